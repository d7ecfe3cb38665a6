//! Verifies what was verified longest ago, within a budget.
//!
//! A budget of time is spent in several slices where blocks are decoded: what was read of a pack is
//! known only when all maps were walked, and a slice that time cuts off has verified no block. The
//! first slice takes what is hashed in a small part of the time; each further one what the time
//! that is left allows, by what the one before took.

use std::time::Duration;

use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::layout::Folder;
use crate::ops::verify::Depth;
use crate::ops::verify::Verification;
use crate::ops::verify::VerifyOptions;
use crate::ops::verify::VerifyReport;
use crate::ops::verify::ages::Ages;
use crate::ops::verify::ledger::Ledger;
use crate::ops::verify::needed::Needed;
use crate::ops::verify::needed::PackBits;
use crate::ops::verify::slice::Cost;
use crate::ops::verify::slice::Deadline;
use crate::ops::verify::slice::Order;
use crate::ops::verify::slice::Part;
use crate::ops::verify::slice::Slice;
use crate::ops::verify::slice::SliceReport;
use crate::ops::verify::slice::records_of;
use crate::ops::verify::tables::Tables;
use crate::ops::verify::verify_slice;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::lineage::TableNodes;

/// Most bytes of the first slice of a time in which blocks are decoded.
const FIRST_BYTES: u64 = 256 << 20;
/// The part of the time in which its packs are hashed: one in so many.
const FIRST_PART: u32 = 16;
/// The share of the time that is left for which a further slice is planned, in percent.
const PLANNED_PERCENT: u64 = 70;

/// How much a verification of what is oldest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Bytes that are read.
    Bytes(u64),
    /// A time after which no more is read.
    Time(Duration),
    /// A part of what it takes to verify everything, in percent.
    Percent(u8),
}

/// What a verification of what is oldest would take.
#[derive(Debug, Clone, Default)]
pub struct OldestPlan {
    /// The packs of the next slice; of a budget of time, all of which it may be the beginning.
    pub slice: Cost,
    /// All packs that snapshots need.
    pub all: Cost,
    /// How long ago they were verified.
    pub ages: Ages,
    /// What was found on the way: keys, tables, records.
    pub report: VerifyReport,
}

impl Verification<'_> {
    /// Returns the packs that snapshots need: those first that were verified longest ago.
    pub(super) fn oldest_first(
        &self,
        tables: &Tables,
        needed: &Needed,
        now: u64,
    ) -> Result<Vec<PackName>> {
        let ledger = self.ledger(tables, now)?;
        let order = order(tables, needed, &ledger, self.options.depth);
        Ok(self.packs_now_in_order(order))
    }

    /// Reads what is known about when packs were verified.
    fn ledger<'t>(&self, tables: &'t Tables, now: u64) -> Result<Ledger<'t>> {
        // What can't be read is reported when the records are written.
        let mut records = self.repository.verified_records()?.records;
        records.extend(self.options.known().and_then(std::result::Result::ok));
        Ok(Ledger::new(records, tables, now))
    }
}

/// Returns the needed packs by the time of their verification; those of one time in the order of
/// the tables, in which they were stored.
fn order(tables: &Tables, needed: &Needed, ledger: &Ledger<'_>, depth: Depth) -> Vec<PackName> {
    let mut taken = PackBits::none(tables);
    let mut order = Vec::new();
    for pack in tables.groups().flat_map(|group| tables.members(group)) {
        if needed.all.has(pack) && !taken.has(pack) {
            taken.add(pack);
            order.push(pack);
        }
    }
    order.sort_by_key(|pack| ledger.time(*pack, depth));
    order.into_iter().map(|pack| tables.name(pack)).collect()
}

/// Tells what a verification of what is oldest would take, without reading any pack of data.
pub fn plan_oldest(
    repository: &Repository,
    options: &VerifyOptions,
    budget: Budget,
    world: &World,
) -> Result<OldestPlan> {
    let (monitor, now) = (&world.monitor, world.clock.unix_seconds());
    let mut verification = Verification::begin(repository, options, monitor)?;
    let (snapshots, _) = verification.snapshots()?;
    let (tables, mut packs) = verification.tables(&snapshots);
    let inventory = Inventory::of(&**repository.store(), &[Folder::Packs, Folder::Twins], "")?;
    verification.leave_out_unneeded(&snapshots, &inventory, &mut packs)?;
    let needed = Needed::of(repository, &snapshots, &tables, monitor)?;
    let ledger = verification.ledger(&tables, now)?;
    let order = order(&tables, &needed, &ledger, options.depth);
    let order = verification.packs_now_in_order(order);
    let part = Part::of(&slice_of(budget), options.depth, Some(&order), &packs);
    let wanted = records_of(Some(&order), &packs);
    let own = wanted.iter().copied().filter(|record| part.has(&record.name));
    Ok(OldestPlan {
        slice: Cost::of(own, options.depth),
        all: Cost::of(wanted.iter().copied(), options.depth),
        ages: Ages::of(&ledger, &tables, &needed, &snapshots, options.depth),
        report: verification.into_report(),
    })
}

/// Returns the slice of a budget, without the end of its time.
fn slice_of<'s>(budget: Budget) -> Slice<'s> {
    let (bytes_max, percent_max) = match budget {
        Budget::Bytes(bytes) => (Some(bytes), None),
        Budget::Percent(percent) => (None, Some(percent)),
        Budget::Time(_) => (None, None),
    };
    Slice { order: Order::OldestFirst, bytes_max, percent_max, ..Slice::default() }
}

/// Verifies what was verified longest ago, as far as the budget goes.
pub fn verify_oldest(
    repository: &Repository,
    options: &VerifyOptions,
    budget: Budget,
    world: &World,
) -> Result<SliceReport> {
    let Budget::Time(time) = budget else {
        return verify_slice(repository, options, &slice_of(budget), world);
    };
    let clock = &*world.clock;
    let at = clock.elapsed().saturating_add(time);
    let deadline = Some(Deadline { clock, at });
    let decodes = options.depth >= Depth::Blocks;
    let bytes_max = decodes.then_some(FIRST_BYTES);
    let began = clock.elapsed();
    let hashing = Deadline { clock, at: began.saturating_add(time / FIRST_PART) };
    let hashing = decodes.then_some(hashing);
    let first = Slice { bytes_max, deadline, hashing, ..slice_of(budget) };
    let mut done = verify_slice(repository, options, &first, world)?;
    let mut last = Spent { bytes: done.bytes, time: clock.elapsed().saturating_sub(began) };
    while decodes && !done.left.is_empty() {
        let left = at.saturating_sub(clock.elapsed());
        let Some(bytes) = last.affords(left) else { break };
        let slice =
            Slice { packs: Some(&done.left), bytes_max: Some(bytes), deadline, ..Slice::default() };
        let began = clock.elapsed();
        let next = verify_slice(repository, options, &slice, world)?;
        last = Spent { bytes: next.bytes, time: clock.elapsed().saturating_sub(began) };
        done.report.add(next.report);
        done.bytes += next.bytes;
        done.checked.extend(next.checked);
        done.left = next.left;
    }
    Ok(done)
}

/// What a slice took.
#[derive(Debug, Clone, Copy)]
struct Spent {
    bytes: u64,
    time: Duration,
}

impl Spent {
    /// Returns the bytes of a slice that ends within a time, if another like this one fits into it
    /// at all.
    fn affords(self, left: Duration) -> Option<u64> {
        if self.bytes == 0 || left < self.time {
            return None;
        }
        let (time, left) = (self.time.as_millis().max(1), left.as_millis());
        let planned = u128::from(self.bytes) * left / time * u128::from(PLANNED_PERCENT) / 100;
        Some(u64::try_from(planned).unwrap_or(u64::MAX)).filter(|bytes| *bytes > 0)
    }
}

/// What was found about the ages of packs.
#[derive(Debug, Clone, Default)]
pub struct AgesReport {
    /// Number of snapshots that need them.
    pub snapshots: u64,
    /// How long ago they were verified.
    pub ages: Ages,
    /// Problems with snapshots and records, in words.
    pub problems: Vec<String>,
}

/// Tells how long ago everything was verified that snapshots need, to the depth of the options;
/// reads records and lists, and no pack of data.
pub fn ages(repository: &Repository, options: &VerifyOptions, world: &World) -> Result<AgesReport> {
    let monitor = &world.monitor;
    let listing = repository.snapshots()?;
    let mut problems: Vec<String> =
        listing.damaged.iter().map(|(_, error)| error.with_causes()).collect();
    let mut snapshots = listing.snapshots;
    snapshots.reverse();
    let nodes = TableNodes::new(repository, monitor);
    let (tables, _) = Tables::read(&snapshots, nodes, &mut |stored, error| {
        problems.push(format!("snapshot {}: {}", stored.id().short(), error.with_causes()));
    });
    let needed = Needed::of(repository, &snapshots, &tables, monitor)?;
    let found = repository.verified_records()?;
    let unread = found.damaged.iter().chain(&found.passed_over);
    problems.extend(unread.map(|error| format!("{}: it is passed over", error.with_causes())));
    let mut records = found.records;
    match options.known() {
        Some(Ok(known)) => records.push(known),
        Some(Err(error)) => {
            problems.push(format!("what this host remembers is passed over: {error}"));
        }
        None => {}
    }
    let ledger = Ledger::new(records, &tables, world.clock.unix_seconds());
    let ages = Ages::of(&ledger, &tables, &needed, &snapshots, options.depth);
    Ok(AgesReport { snapshots: u64_of(snapshots.len()), ages, problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_slice_is_as_large_as_the_time_that_is_left_allows() {
        let spent = Spent { bytes: 1000, time: Duration::from_secs(10) };
        assert_eq!(spent.affords(Duration::from_secs(100)), Some(7000));
        assert_eq!(spent.affords(Duration::from_secs(10)), Some(700));
        assert_eq!(spent.affords(Duration::from_secs(9)), None);
        let nothing = Spent { bytes: 0, ..spent };
        assert_eq!(nothing.affords(Duration::MAX), None, "it would not end");
        let at_once = Spent { bytes: 1, time: Duration::ZERO };
        assert_eq!(at_once.affords(Duration::MAX), Some(u64::MAX));
    }
}
