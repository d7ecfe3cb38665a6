//! The packs that pack tables name, in stretches of up to 256 as records of what was verified name
//! them, and since when each is stored.
//!
//! # Memory
//!
//! A pack takes 56 bytes: its name, its size, the time, its places. That is 73 MB for 1.3 million.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::ops::Range;

use crate::base::error::Error;
use crate::base::ids::BlockHash;
use crate::base::ids::PackName;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::format::pack_table::PackRecord;
use crate::format::verified::GroupKey;
use crate::repo::lineage::TableNodes;
use crate::repo::lineage::TablePart;
use crate::repo::snapshots::StoredSnapshot;

/// The packs of some snapshots' tables. A pack is meant by its place among all of them.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// The names of all packs, sorted.
    names: Vec<PackName>,
    /// Stored bytes of each pack.
    bytes: Vec<u64>,
    /// Since when each pack is stored at the earliest, seconds since 1970; 0 if that is not known.
    stored: Vec<u64>,
    /// The packs of all groups, one group after the other.
    members: Vec<u32>,
    /// Where each group begins in `members`, and the end.
    begins: Vec<usize>,
    /// The groups of each snapshot's table; nothing if that can't be read.
    snapshots: Vec<Option<Vec<Range<usize>>>>,
}

impl Tables {
    /// Reads the tables of snapshots, which come newest first; `fail` hears of those that can't be
    /// read. Returns the records of all packs beside, sorted by their names.
    pub(super) fn read(
        snapshots: &[StoredSnapshot],
        mut nodes: TableNodes,
        fail: &mut dyn FnMut(&StoredSnapshot, Error),
    ) -> (Self, Vec<PackRecord>) {
        let mut groups = Groups { begins: vec![0], ..Groups::default() };
        let mut tables = Self::default();
        for stored in snapshots {
            let mut own = Vec::new();
            let read = nodes.parts(&stored.snapshot.packs, &mut |part| {
                own.push(groups.take(part));
            });
            tables.snapshots.push(match read {
                Ok(()) => Some(own),
                Err(error) => {
                    fail(stored, error);
                    None
                }
            });
        }
        let mut records = groups.records.clone();
        records.sort_by_key(|record| record.name);
        records.dedup_by_key(|record| record.name);
        tables.names = records.iter().map(|record| record.name).collect();
        tables.bytes = records.iter().map(|record| record.bytes).collect();
        let place = |record: &PackRecord| {
            u32_of(tables.place(&record.name).expect("all records are among them"))
        };
        tables.members = groups.records.iter().map(place).collect();
        tables.begins = groups.begins;
        tables.stored = tables.stored_since(snapshots);
        (tables, records)
    }

    /// Returns since when each pack is stored: since the run began that put the oldest snapshot
    /// whose table names it, unless that follows one that is not there.
    fn stored_since(&self, snapshots: &[StoredSnapshot]) -> Vec<u64> {
        let there: BTreeSet<String> =
            snapshots.iter().map(|stored| stored.id().to_string()).collect();
        let mut since: Vec<Option<u64>> = vec![None; self.len()];
        let mut seen = vec![false; self.groups().len()];
        for (stored, groups) in snapshots.iter().zip(&self.snapshots).rev() {
            let about = &stored.snapshot.about;
            let follows_all = about.parent.as_ref().is_none_or(|parent| there.contains(parent));
            let began = if follows_all { about.started } else { 0 };
            for group in groups.iter().flatten().cloned().flatten() {
                if !std::mem::replace(&mut seen[group], true) {
                    for pack in self.members(group) {
                        since[pack].get_or_insert(began);
                    }
                }
            }
        }
        since.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Returns the number of packs.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns the place of a pack.
    pub(super) fn place(&self, name: &PackName) -> Option<usize> {
        self.names.binary_search(name).ok()
    }

    /// Returns the name of a pack.
    pub(super) fn name(&self, pack: usize) -> PackName {
        self.names[pack]
    }

    /// Returns the stored bytes of a pack.
    pub(super) fn bytes(&self, pack: usize) -> u64 {
        self.bytes[pack]
    }

    /// Returns since when a pack is stored at the earliest; 0 if that is not known.
    pub(super) fn stored(&self, pack: usize) -> u64 {
        self.stored[pack]
    }

    /// Returns all groups; those of different snapshots may share packs.
    pub(super) fn groups(&self) -> Range<usize> {
        0..self.begins.len().saturating_sub(1)
    }

    /// Returns the packs of a group, in the order of their table.
    pub(super) fn members(&self, group: usize) -> impl Iterator<Item = usize> + Clone {
        self.slice(group).iter().map(|pack| usize_of_u32(*pack))
    }

    fn slice(&self, group: usize) -> &[u32] {
        &self.members[self.begins[group]..self.begins[group + 1]]
    }

    /// Returns the packs in the table of a snapshot; nothing if that can't be read.
    pub(super) fn packs_of(&self, snapshot: usize) -> Option<impl Iterator<Item = usize>> {
        let groups = self.snapshots[snapshot].as_ref()?;
        Some(groups.iter().cloned().flatten().flat_map(|group| self.members(group)))
    }

    /// Tells whether all tables were read.
    pub(super) fn are_all_read(&self) -> bool {
        self.snapshots.iter().all(Option::is_some)
    }

    /// Tells whether the table of a snapshot was read.
    pub(super) fn is_read(&self, snapshot: usize) -> bool {
        self.snapshots[snapshot].is_some()
    }

    /// Returns the key of the first packs of a group.
    pub(super) fn key(&self, group: usize, packs: usize) -> Option<GroupKey> {
        GroupKey::of(self.members(group).take(packs).map(|pack| &self.names[pack]))
    }

    /// Returns the groups, but for those that are the beginning of another one.
    pub(super) fn longest_groups(&self) -> Vec<usize> {
        let mut by_first: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut groups: Vec<usize> = self.groups().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(self.slice(*group).len()));
        groups.retain(|group| {
            let own = self.slice(*group);
            let Some(first) = own.first() else { return false };
            let longer = by_first.entry(*first).or_default();
            if longer.iter().any(|other| self.slice(*other).starts_with(own)) {
                return false;
            }
            longer.push(*group);
            true
        });
        groups
    }
}

/// Groups that were read, with the records of their packs.
#[derive(Debug, Default)]
struct Groups {
    records: Vec<PackRecord>,
    begins: Vec<usize>,
    nodes: HashMap<BlockHash, Range<usize>>,
}

impl Groups {
    /// Takes a part of a table, and returns its groups.
    fn take(&mut self, part: TablePart<'_>) -> Range<usize> {
        match part {
            TablePart::Known(hash) => self.nodes.get(&hash).cloned().unwrap_or_default(),
            TablePart::Node(hash, records) => {
                let groups = self.add(records);
                self.nodes.insert(hash, groups.clone());
                groups
            }
            TablePart::Tail(records) => self.add(records),
        }
    }

    fn add(&mut self, records: &[PackRecord]) -> Range<usize> {
        let first = self.begins.len() - 1;
        for group in records.chunks(PACK_TABLE_NODE) {
            self.records.extend_from_slice(group);
            self.begins.push(self.records.len());
        }
        first..self.begins.len() - 1
    }
}
