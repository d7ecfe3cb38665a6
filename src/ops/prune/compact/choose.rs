//! The choice of packs: the emptiest first, within the limits that the user has set, and small ones
//! if there are many.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::PackName;
use crate::base::limits::PACK_DIRECTORY_ROOM;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::layout::Object;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::ops::prune::compact::wishes::CompactOptions;
use crate::ops::prune::compact::wishes::CompactPlan;
use crate::ops::prune::compact::wishes::ENTRIES_MAX;
use crate::ops::prune::live::Looked;
use crate::ops::prune::view::View;
use crate::repo::Repository;
use crate::repo::inventory::InUse;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::PackMarks;
use crate::repo::lineage::TableNodes;
use crate::repo::needs::NeedsReader;

/// Percent of a pack that is in use: more is not worth the reading.
const USED_PERCENT_MAX: u64 = 90;
/// Fewest small packs that are merged.
const SMALL_MIN: usize = 64;
/// The part of a full pack, as one in so many, that a small one has at most.
const SMALL_ONE_IN: u64 = 4;
/// Moves that follow each other.
const MOVES_MAX: usize = 32;

/// A pack that is taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) record: PackRecord,
    /// Bytes in use, about.
    used_bytes: u64,
}

/// The packs that are taken apart, the emptiest first.
#[derive(Debug)]
pub(super) struct Choice(Vec<Candidate>);

impl Choice {
    /// Chooses the packs that are worth it.
    pub(super) fn make(
        repository: &Repository,
        inventory: &Inventory,
        looked: &Looked,
        options: &CompactOptions,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let view = &looked.view;
        let mut counted = Counted {
            repository,
            inventory,
            marks: inventory.pack_marks(),
            gone: BTreeMap::new(),
            moved: BTreeMap::new(),
        };
        counted.count(looked, monitor)?;
        counted.follow_moves(monitor)?;
        let damage = repository.known_damage()?;
        let may_go = |pack: &PackName| {
            !damage.names(pack) && !view.standing.iter().any(|run| run.holds(pack))
        };
        let records = counted.records(view, options, monitor)?;
        Ok(Self(chosen(&counted.marks, &records, options, &may_go)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the packs.
    pub(super) fn names(&self) -> BTreeSet<PackName> {
        self.0.iter().map(|candidate| candidate.record.name).collect()
    }

    /// Returns the records of the packs.
    pub(super) fn into_packs(self) -> Vec<PackRecord> {
        self.0.into_iter().map(|candidate| candidate.record).collect()
    }

    /// Returns what it will cost, about.
    pub(super) fn plan(&self) -> CompactPlan {
        let mut plan = CompactPlan { packs: u64_of(self.0.len()), ..CompactPlan::default() };
        for Candidate { record, used_bytes } in &self.0 {
            plan.read_bytes += used_bytes + u64::from(record.tail_bytes);
            plan.written_bytes += used_bytes;
            plan.freed_bytes += record.bytes.saturating_sub(*used_bytes);
        }
        plan
    }
}

/// Chooses the emptiest of the packs whose records are known, then the small ones.
fn chosen(
    marks: &PackMarks<'_>,
    records: &BTreeMap<PackName, PackRecord>,
    options: &CompactOptions,
    may_go: &dyn Fn(&PackName) -> bool,
) -> Vec<Candidate> {
    let (mut all_bytes, mut used_bytes) = (0, 0);
    let mut candidates = Vec::new();
    for (name, bytes, used) in marks.parts() {
        all_bytes += bytes;
        used_bytes += used;
        let record = records.get(&name).filter(|record| record.bytes == bytes && may_go(&name));
        candidates.extend(record.map(|record| Candidate { record: *record, used_bytes: used }));
    }
    // In parts of a million, so that the order is the same on every machine.
    let emptiness = |one: &Candidate| one.used_bytes * 1_000_000 / one.record.bytes.max(1);
    candidates.sort_by_key(|one| (emptiness(one), one.record.name));
    let small_max = small_max(options);
    let is_small = |one: &Candidate| one.record.bytes < small_max;
    let merges = candidates.iter().filter(|one| is_small(one)).count() >= SMALL_MIN;
    let mut unused = all_bytes - used_bytes;
    let unused_max = used_bytes / 100 * options.max_unused;
    let mut left = all_bytes / 100 * options.max_rewrite;
    let mut entries = ENTRIES_MAX;
    let mut chosen = Vec::new();
    for one in candidates {
        let free = one.record.bytes.saturating_sub(one.used_bytes);
        let is_empty = one.used_bytes * 100 <= one.record.bytes * USED_PERCENT_MAX;
        let is_wanted = unused > unused_max && is_empty || merges && is_small(&one);
        let count = u64::from(one.record.entries);
        if !is_wanted || one.used_bytes > left || count > entries {
            continue;
        }
        left -= one.used_bytes;
        entries -= count;
        unused = unused.saturating_sub(free);
        chosen.push(one);
    }
    chosen
}

/// Returns the bytes from which on a pack is not small; a full one has room for its directory.
fn small_max(options: &CompactOptions) -> u64 {
    u64_of(options.pack_bytes.saturating_sub(PACK_DIRECTORY_ROOM)) / SMALL_ONE_IN
}

/// What is counted of packs.
struct Counted<'c> {
    repository: &'c Repository,
    inventory: &'c Inventory,
    /// The part of each listed pack that is in use.
    marks: PackMarks<'c>,
    /// Entries in use of packs that were not listed.
    gone: BTreeMap<PackName, u64>,
    /// The records of listed packs that stand in no table, and the entries in use.
    moved: BTreeMap<PackName, (PackRecord, u64)>,
}

impl Counted<'_> {
    /// Counts what snapshots and roots need.
    fn count(&mut self, looked: &Looked, monitor: &Arc<Monitor>) -> Result<()> {
        let mut reader = NeedsReader::new(self.repository, monitor);
        for stored in looked.view.kept().chain(&looked.roots) {
            monitor.check()?;
            let needs = match reader.listed(stored)? {
                Some(needs) => needs,
                None => reader.walked(stored)?,
            };
            needs.visit(&mut |record, need| {
                if record.class != Class::Data {
                    self.marks.insert(record.name);
                    return;
                }
                let entries = u64::from(need.places) + u64::from(need.bases);
                let part = InUse::part(entries, record.entries.into());
                if !self.marks.insert_part(record.name, part) {
                    let known = self.gone.entry(record.name).or_default();
                    *known = entries.max(*known);
                }
            });
        }
        Ok(())
    }

    /// Counts what was moved: of what is in use in a compacted pack, each of its new packs has a
    /// part that follows from the number of entries that were moved there.
    fn follow_moves(&mut self, monitor: &Arc<Monitor>) -> Result<()> {
        let reader = self.repository.packs(PackTable::default(), monitor);
        let mut due = std::mem::take(&mut self.gone);
        for _ in 0..MOVES_MAX {
            let mut next: BTreeMap<PackName, u64> = BTreeMap::new();
            for (old, used) in &due {
                monitor.check()?;
                let lists = reader.compacted(old);
                for list in lists.iter().flat_map(|lists| lists.iter()) {
                    self.follow(list, *used, &mut next);
                }
            }
            if next.is_empty() {
                break;
            }
            due = next;
        }
        for (name, (record, used)) in &self.moved {
            self.marks.insert_part(*name, InUse::part(*used, record.entries.into()));
        }
        Ok(())
    }

    /// Counts what was moved as one record says; what was moved again goes to `next`.
    fn follow(&mut self, list: &Relocation, used: u64, next: &mut BTreeMap<PackName, u64>) {
        let all = u64_of(list.moves.len()).max(1);
        for (at, record) in (0..).zip(list.compacted.iter().flatten()) {
            let count = list.moves.iter().filter(|(_, to, _)| *to == at).count();
            let used = (u64_of(count) * used.min(all)).div_ceil(all);
            if self.inventory.size(&Object::Pack(record.name)).is_some() {
                self.moved.entry(record.name).or_insert((*record, 0)).1 += used;
            } else {
                *next.entry(record.name).or_default() += used;
            }
        }
    }

    /// Returns the records of data packs that may be worth taking apart.
    fn records(
        &self,
        view: &View,
        options: &CompactOptions,
        monitor: &Arc<Monitor>,
    ) -> Result<BTreeMap<PackName, PackRecord>> {
        let small_max = small_max(options);
        let is_wanted = |(name, bytes, used): (PackName, u64, u64)| {
            (used * 100 <= bytes * USED_PERCENT_MAX || bytes < small_max).then_some(name)
        };
        let wanted: BTreeSet<PackName> = self.marks.parts().filter_map(is_wanted).collect();
        let mut records: BTreeMap<PackName, PackRecord> =
            self.moved.iter().map(|(name, (record, _))| (*name, *record)).collect();
        let mut nodes = TableNodes::new(self.repository, monitor);
        for stored in view.snapshots.iter().rev() {
            monitor.check()?;
            nodes.new_records(&stored.snapshot.packs, &mut |record| {
                if record.class == Class::Data && wanted.contains(&record.name) {
                    records.insert(record.name, *record);
                }
            })?;
        }
        Ok(records)
    }
}
