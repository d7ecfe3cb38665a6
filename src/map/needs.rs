//! Counts, while maps are written, in which packs anything lies that the snapshot needs
//! (FORMAT.md 7.4).
//!
//! Nothing is read for it. Every entry that goes into a map passes here once, so do the pages of
//! maps and tables; of a page that is taken over from the former snapshot, or stored as its
//! difference to that, the reader names the packs of the chain under it, which it has just read.
//! What a checkpoint stored besides stays counted: a list may name too much, never too little.

use crate::base::ids::Class;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::format::needs::Need;
use crate::format::needs::NeedList;
use crate::format::pack_table::PackTable;

/// The counts of one pack: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    /// Entries in maps whose own record is in the pack. An entry that several maps name counts as
    /// often: a bit for each entry would take a thousand times the memory.
    places: u32,
    /// Bases in the pack that entries in maps name, as often as they do.
    bases: u32,
}

/// The counts of all packs of a table.
#[derive(Debug)]
pub struct NeedCounter {
    /// The counts by the indices of the packs.
    packs: Vec<Counted>,
}

impl NeedCounter {
    /// Creates a counter for a table with this many packs.
    pub fn new(packs: usize) -> Self {
        Self { packs: vec![Counted::default(); packs] }
    }

    /// Adds a pack to those that are counted.
    pub fn add_pack(&mut self, at: PackIndex) {
        let packs = self.packs.len().max(usize_of_u32(at.0) + 1);
        self.packs.resize(packs, Counted::default());
    }

    /// Counts the places that a block, or a page, is made from. What no pack of the table holds
    /// can't be read, and is not needed.
    pub fn note(&mut self, storage: Storage) {
        let mut places = storage.places();
        if let Some(own) = places.next().and_then(|at| self.counted(at.pack)) {
            own.places = own.places.saturating_add(1);
        }
        places.for_each(|base| self.touch(&[base.pack]));
    }

    /// Counts packs that a page rests on.
    pub fn touch(&mut self, packs: &[PackIndex]) {
        for at in packs {
            if let Some(of) = self.counted(*at) {
                of.bases = of.bases.saturating_add(1);
            }
        }
    }

    fn counted(&mut self, at: PackIndex) -> Option<&mut Counted> {
        self.packs.get_mut(usize_of_u32(at.0))
    }

    /// Returns the list of what was counted so far. All packs of data are closed; those of pages
    /// may be open.
    pub fn list(&self, table: &PackTable) -> NeedList {
        let need = |(at, counted): (usize, &Counted)| {
            let at = PackIndex(u32_of(at));
            let record = table.get(at).filter(|record| record.class == Class::Data);
            let Some(record) = record else { return Need { at, places: 0, bases: 0 } };
            // At least 1, though a damaged record says that the pack is empty.
            let entries = record.entries.max(1);
            let places = counted.places.min(entries);
            Need { at, places, bases: counted.bases.min(entries - places) }
        };
        let named = |(_, counted): &(usize, &Counted)| **counted != Counted::default();
        NeedList { packs: self.packs.iter().enumerate().filter(named).map(need).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::EntryNumber;
    use crate::base::ids::Locator;
    use crate::base::ids::PackName;
    use crate::format::pack_table::PackRecord;

    fn record(n: u8, class: Class, entries: u32) -> PackRecord {
        PackRecord { name: PackName([n; 32]), bytes: 1000, tail_bytes: 77, entries, class }
    }

    fn at(pack: u32, entry: u32) -> Locator {
        Locator { pack: PackIndex(pack), entry: EntryNumber(entry) }
    }

    #[test]
    fn places_and_both_bases_are_counted_and_bounded_by_the_entries_of_their_pack() {
        let classes = [Class::Data, Class::Data, Class::Meta, Class::Data, Class::Data];
        let records = (0..).zip(classes).map(|(n, class)| record(n, class, 3));
        let table = PackTable::new(records.collect());
        let mut counter = NeedCounter::new(table.len());
        counter.add_pack(PackIndex(5));
        counter.add_pack(PackIndex(6));
        assert_eq!(counter.list(&table), NeedList::default());
        counter.note(Storage::Zero);
        (0..5).for_each(|_| counter.note(Storage::Whole(at(4, 1))));
        let second = Some(at(3, 0));
        counter.note(Storage::Delta { at: at(1, 0), base: at(4, 0), second, depth: 1 });
        counter.note(Storage::Whole(at(2, 7)));
        counter.note(Storage::Whole(at(6, 0)));
        counter.note(Storage::Whole(at(7, 0)));
        counter.note(Storage::Whole(at(PackIndex::UNKNOWN.0, 0)));
        counter.touch(&[PackIndex(2), PackIndex(5)]);
        let need = |at, places, bases| Need { at: PackIndex(at), places, bases };
        let packs = vec![
            need(1, 1, 0),
            need(2, 0, 0),
            need(3, 0, 1),
            need(4, 3, 0),
            need(5, 0, 0),
            need(6, 0, 0),
        ];
        assert_eq!(counter.list(&table), NeedList { packs });
    }

    #[test]
    fn a_pack_takes_eight_bytes() {
        assert_eq!(size_of::<Counted>(), 8);
        assert_eq!(NeedCounter::new(10_000).packs.capacity(), 10_000);
    }
}
