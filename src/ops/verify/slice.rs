//! A part of a verification, for a repository that can't be read in one night.
//!
//! The unit is the pack. A slice checks the bytes of some packs and the blocks in them; what is
//! small, or known from a listing, is checked by every slice: keys, secrets of runs, snapshots,
//! records, and that each pack is there with its size. The result names the packs that were checked
//! and those that are left, so that a caller who remembers them can go on where it stopped.
//!
//! - Slices whose packs together are all packs find the damage that one whole run finds. A block
//!   that is stored as a difference belongs to the slice of its own pack; to that of its base as
//!   well, if the base's pack is missing or has changed.
//! - Packs are taken in the order that the caller gives, until the next one would exceed the bytes.
//!   The first is taken in any case: else a budget of less than a pack would never end.
//! - A deadline ends the slice early. Packs that were not read are left; if it comes while blocks
//!   are read, all are, because what was read of each is known only at the end. Damage that was
//!   found until then is reported.
//! - A slice adds damage records. It removes none about snapshots: it does not know the rest.
//! - Maps are walked for blocks by each slice, and without them not at all unless something is
//!   damaged; one request for each pack, and those for its blocks, are made by one slice only.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::crew::lock;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::format::pack_table::PackRecord;
use crate::ops::survey::objects_of;
use crate::ops::verify::depth::Depth;
use crate::ops::verify::report::VerifyReport;

/// The part of a verification that is wanted, and what it may cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slice<'s> {
    /// Packs to check, in this order; all in the order of their names if there is no list.
    /// Packs that no snapshot names are passed over.
    pub packs: Option<&'s [PackName]>,
    /// Most bytes of packs that are read; those of a pack whose blocks are decoded count twice.
    pub bytes_max: Option<u64>,
    /// The time at which it ends.
    pub deadline: Option<Deadline<'s>>,
}

/// A time of a clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline<'s> {
    /// The clock that tells the time.
    pub clock: &'s dyn Clock,
    /// The time, as the clock's `elapsed` counts it.
    pub at: Duration,
}

/// The result of a slice.
#[derive(Debug, Clone, Default)]
pub struct SliceReport {
    /// Everything that was found, and what it took.
    pub report: VerifyReport,
    /// Packs that were checked as deep as it was wanted, in the order of the slice.
    pub checked: Vec<PackName>,
    /// Wanted packs that were not, in the same order.
    pub left: Vec<PackName>,
}

/// The packs of a verification that is running, and how far it gets.
#[derive(Debug, Default)]
pub(super) struct Part<'s> {
    /// Its packs; `None` for all.
    packs: Option<HashSet<PackName>>,
    /// All packs that are wanted, in their order, of a slice.
    wanted: Vec<PackName>,
    deadline: Option<Deadline<'s>>,
    /// Packs that were not read when the deadline came.
    unread: Mutex<HashSet<PackName>>,
    /// The deadline came while blocks were read.
    is_cut: AtomicBool,
}

impl<'s> Part<'s> {
    /// Chooses the packs of a slice from those that snapshots name, which are sorted.
    pub(super) fn of(slice: &Slice<'s>, depth: Depth, named: &[PackRecord]) -> Self {
        let find = |name: &PackName| {
            let at = named.binary_search_by_key(name, |record| record.name).ok();
            at.and_then(|at| named.get(at))
        };
        let wanted: Vec<&PackRecord> = match slice.packs {
            Some(packs) => packs.iter().filter_map(find).collect(),
            None => named.iter().collect(),
        };
        let (mut packs, mut bytes) = (HashSet::new(), 0);
        for record in &wanted {
            bytes += cost(record, depth);
            if !packs.is_empty() && slice.bytes_max.is_some_and(|max| bytes > max) {
                break;
            }
            packs.insert(record.name);
        }
        Part {
            packs: (packs.len() < named.len()).then_some(packs),
            wanted: wanted.iter().map(|record| record.name).collect(),
            deadline: slice.deadline,
            ..Part::default()
        }
    }

    /// Tells whether a pack is one of this part.
    pub(super) fn has(&self, pack: &PackName) -> bool {
        self.packs.as_ref().is_none_or(|packs| packs.contains(pack))
    }

    /// Tells whether the deadline has come.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline.clock.elapsed() >= deadline.at)
    }

    /// Notes that a pack is not read any more.
    pub(super) fn leave(&self, pack: PackName) {
        lock(&self.unread).insert(pack);
    }

    /// Tells whether the reading of blocks shall end; if so, all packs are left.
    pub(super) fn cut(&self) -> bool {
        let is_cut = self.is_late();
        self.is_cut.fetch_or(is_cut, Ordering::Relaxed);
        is_cut
    }

    /// Tells whether blocks were left unread.
    pub(super) fn was_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Tells whether it is about all packs, and none was left so far.
    pub(super) fn is_whole(&self) -> bool {
        self.packs.is_none() && !self.was_cut() && lock(&self.unread).is_empty()
    }

    /// Returns the result, with what became of each pack.
    pub(super) fn into_report(self, report: VerifyReport) -> SliceReport {
        let is_checked = |name: &PackName| {
            self.has(name) && !self.was_cut() && !lock(&self.unread).contains(name)
        };
        let (checked, left) = self.wanted.iter().partition(|name| is_checked(name));
        SliceReport { report, checked, left }
    }
}

/// Returns the bytes that are read of a pack.
fn cost(record: &PackRecord, depth: Depth) -> u64 {
    let times = match depth {
        Depth::Objects => 0,
        Depth::Stored => u64_of(objects_of(record).len()),
        Depth::Blocks | Depth::Pages => u64_of(objects_of(record).len()) + 1,
    };
    record.bytes * times
}
