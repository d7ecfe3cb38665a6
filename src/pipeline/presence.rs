//! The entries of previous snapshots that can still be read: "the same as last night" is only true
//! if last night's pack is there.
//!
//! A run lists the packs once and reads the damage records; from then on the question costs one
//! lookup.

use std::collections::HashMap;

use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::ids::Storage;
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

    /// Returns the number of packs that are missing or unreadable as a whole, though they are
    /// needed.
    pub fn absent(&self) -> usize {
        let is_needed = |at: usize| !self.unneeded.get(at).copied().unwrap_or(false);
        let absent = self.absent.iter().enumerate();
        absent.filter(|(at, absent)| **absent && is_needed(*at)).count()
    }

    fn is_present(&self, at: Locator) -> bool {
        let absent = self.absent.get(usize_of_u32(at.pack.0)).copied().unwrap_or(false);
        let damaged = self.damaged.get(&at.pack);
        at.pack != PackIndex::UNKNOWN
            && !absent
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
