//! The entries of previous snapshots that can still be read: "the same as last night" is only true
//! if last night's pack is there.
//!
//! A run lists the packs once and reads the damage records; from then on the question costs one
//! lookup. An entry of a pack that was compacted away is there if the pack is to which it was
//! moved: a bit for each entry says so, 8 KiB for a pack of the most entries.

use std::collections::HashMap;

use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::ids::Storage;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::format::lists::Damage;
use crate::format::pack_table::PackTable;

/// Presence of the packs of a table.
#[derive(Debug, Default)]
pub struct PackPresence {
    /// True for each pack that is absent, by its index; packs beyond the end are this run's own.
    absent: Vec<bool>,
    /// True for each pack that no snapshot needs which the run goes on from; empty if that is not
    /// known.
    unneeded: Vec<bool>,
    damaged: HashMap<PackIndex, Vec<EntryNumber>>,
    /// Of packs that were compacted away, the entries that can be read elsewhere.
    moved: HashMap<PackIndex, EntrySet>,
}

/// Entries of one pack, a bit each.
#[derive(Debug, Default)]
pub struct EntrySet(Vec<u64>);

impl EntrySet {
    /// Adds an entry to the set.
    pub fn insert(&mut self, entry: EntryNumber) {
        let word = usize_of_u32(entry.0 / 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (entry.0 % 64);
    }

    /// Tells whether an entry is in the set.
    pub fn contains(&self, entry: EntryNumber) -> bool {
        self.0.get(usize_of_u32(entry.0 / 64)).is_some_and(|bits| bits >> (entry.0 % 64) & 1 == 1)
    }
}

impl PackPresence {
    /// Starts with none of the packs of the table seen.
    pub fn nothing_of(table: &PackTable) -> Self {
        Self { absent: vec![true; table.len()], ..Self::default() }
    }

    /// Notes that the store lists a pack of this name and size.
    pub fn saw(&mut self, table: &PackTable, name: &PackName, bytes: u64) {
        if let Some(at) = table.find(name)
            && table.get(at).is_some_and(|record| record.bytes == bytes)
        {
            self.absent[usize_of_u32(at.0)] = false;
        }
    }

    /// Tells whether the table names a pack that was not seen.
    pub fn lacks(&self, table: &PackTable, name: &PackName) -> bool {
        table.find(name).is_some_and(|at| self.absent[usize_of_u32(at.0)])
    }

    /// Notes what a damage record says of a pack.
    pub fn record_damage(&mut self, table: &PackTable, name: &PackName, damage: &Damage) {
        let Some(at) = table.find(name) else { return };
        match damage {
            Damage::Pack => self.absent[usize_of_u32(at.0)] = true,
            Damage::Entries(entries) => {
                let known = self.damaged.entry(at).or_default();
                known.extend_from_slice(entries);
                known.sort_unstable();
                known.dedup();
            }
        }
    }

    /// Takes which packs are needed, by their indices: that another one is absent is no damage.
    pub fn take_needed(&mut self, needed: &[bool]) {
        self.unneeded = needed.iter().map(|needed| !needed).collect();
    }

    /// Takes the entries of a pack that is not there which can be read where a compaction has moved
    /// them.
    pub fn take_moved(&mut self, at: PackIndex, entries: EntrySet) {
        self.moved.insert(at, entries);
    }

    /// Returns the packs that were not seen, though they are needed as far as is known.
    pub fn lacking(&self) -> impl Iterator<Item = PackIndex> {
        let is_needed = |at: usize| !self.unneeded.get(at).copied().unwrap_or(false);
        let absent = self.absent.iter().enumerate();
        absent
            .filter(move |(at, absent)| **absent && is_needed(*at))
            .map(|(at, _)| PackIndex(u32_of(at)))
    }

    /// Returns the packs that were not seen, and that no snapshot needs which the run goes on from.
    pub fn unneeded(&self) -> impl Iterator<Item = PackIndex> {
        let both = self.absent.iter().zip(&self.unneeded).enumerate();
        both.filter(|(_, (absent, unneeded))| **absent && **unneeded)
            .map(|(at, _)| PackIndex(u32_of(at)))
    }

    /// Returns the number of packs that are missing or unreadable as a whole, though they are
    /// needed and were not compacted away.
    pub fn absent(&self) -> usize {
        self.lacking().filter(|at| !self.moved.contains_key(at)).count()
    }

    fn is_present(&self, at: Locator) -> bool {
        let absent = self.absent.get(usize_of_u32(at.pack.0)).copied().unwrap_or(false);
        let damaged = self.damaged.get(&at.pack);
        at.pack != PackIndex::UNKNOWN
            && (!absent || self.moved.get(&at.pack).is_some_and(|set| set.contains(at.entry)))
            && damaged.is_none_or(|entries| entries.binary_search(&at.entry).is_err())
    }

    /// Tells whether a block can be read, its bases included.
    pub fn is_usable(&self, storage: Storage) -> bool {
        storage.places().all(|at| self.is_present(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Class;
    use crate::format::pack_table::PackRecord;

    #[test]
    fn an_absent_pack_that_is_not_needed_is_not_used_and_not_counted() {
        let record = |n| PackRecord {
            name: PackName([n; 32]),
            bytes: 10,
            tail_bytes: 1,
            entries: 1,
            class: Class::Data,
        };
        let table = PackTable::new((0..4).map(record).collect());
        let mut presence = PackPresence::nothing_of(&table);
        presence.saw(&table, &PackName([0; 32]), 10);
        assert_eq!(presence.absent(), 3);
        presence.take_needed(&[true, true, false, false]);
        assert_eq!(presence.absent(), 1);
        let whole = |n| Storage::Whole(Locator { pack: PackIndex(n), entry: EntryNumber(0) });
        let usable = [0, 1, 2, 3].map(|n| presence.is_usable(whole(n)));
        assert_eq!(usable, [true, false, false, false]);
    }

    #[test]
    fn an_entry_that_was_moved_is_there_and_another_of_its_pack_is_not() {
        let record = |n| PackRecord {
            name: PackName([n; 32]),
            bytes: 10,
            tail_bytes: 1,
            entries: 200,
            class: Class::Data,
        };
        let table = PackTable::new((0..2).map(record).collect());
        let mut presence = PackPresence::nothing_of(&table);
        assert_eq!(presence.lacking().count(), 2);
        let mut moved = EntrySet::default();
        [3, 64, 199].map(EntryNumber).into_iter().for_each(|entry| moved.insert(entry));
        presence.take_moved(PackIndex(1), moved);
        assert_eq!(presence.absent(), 1);
        let whole = |pack, entry| {
            Storage::Whole(Locator { pack: PackIndex(pack), entry: EntryNumber(entry) })
        };
        let usable = [3, 4, 64, 199, 5000].map(|entry| presence.is_usable(whole(1, entry)));
        assert_eq!(usable, [true, false, true, true, false]);
        assert!(!presence.is_usable(whole(0, 3)));
    }

    #[test]
    fn a_pack_that_only_another_table_names_is_never_used() {
        let entry = EntryNumber(0);
        let [own, other] = [PackIndex(7), PackIndex::UNKNOWN].map(|pack| Locator { pack, entry });
        let presence = PackPresence::default();
        assert!(presence.is_usable(Storage::Whole(own)));
        assert!(!presence.is_usable(Storage::Whole(other)));
        let delta = |base, second| Storage::Delta { at: own, base, second, depth: 1 };
        assert!(!presence.is_usable(delta(other, None)));
        assert!(!presence.is_usable(delta(own, Some(other))));
        assert!(presence.is_usable(delta(own, Some(own))));
    }
}
