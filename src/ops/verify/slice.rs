//! A part of a verification, for a repository that can't be read in one night.
//!
//! The unit is the pack. A slice checks the bytes of some packs and the blocks in them; what is
//! small, or known from a listing, is checked by every slice: keys, secrets of runs, snapshots,
//! records, and that each pack is there with its size. The result names the packs that were checked
//! and those that are left. Records of what was verified tell when each pack was; so a slice can
//! take those first that were verified longest ago ([`Order::OldestFirst`]), and slices one after
//! the other verify each pack once before any twice.
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

use std::collections::HashMap;
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
    /// The order of the packs, if there is no list.
    pub order: Order,
    /// Most bytes of packs that are read; those of a pack whose blocks are decoded count twice.
    pub bytes_max: Option<u64>,
    /// The same in percent of all that is wanted.
    pub percent_max: Option<u8>,
    /// The time at which it ends.
    pub deadline: Option<Deadline<'s>>,
    /// The time after which no pack is hashed any more; blocks of those that were are decoded until
    /// the deadline.
    pub hashing: Option<Deadline<'s>>,
}

/// The order in which packs are taken, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// All that snapshots name, by their names.
    #[default]
    ByName,
    /// All that snapshots need: those first that were verified to the wanted depth longest ago,
    /// and of these in the order of the pack tables.
    OldestFirst,
}

/// What it costs to verify packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Number of the packs.
    pub packs: u64,
    /// Number of objects that hold them.
    pub objects: u64,
    /// Bytes that are read; those of a pack whose blocks are decoded count twice.
    pub bytes: u64,
}

impl Cost {
    /// Returns the cost of verifying packs to a depth.
    pub(super) fn of<'r>(packs: impl IntoIterator<Item = &'r PackRecord>, depth: Depth) -> Self {
        packs.into_iter().fold(Self::default(), |sum, record| Self {
            packs: sum.packs + 1,
            objects: sum.objects + u64_of(objects_of(record).len()),
            bytes: sum.bytes + cost(record, depth),
        })
    }
}

/// A time of a clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline<'s> {
    /// The clock that tells the time.
    pub clock: &'s dyn Clock,
    /// The time, as the clock's `elapsed` counts it.
    pub at: Duration,
}

impl Deadline<'_> {
    fn has_come(&self) -> bool {
        self.clock.elapsed() >= self.at
    }
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
    /// Bytes of the packs that were checked, those of a pack whose blocks were decoded twice.
    pub bytes: u64,
}

/// The packs of a verification that is running, and how far it gets.
#[derive(Debug, Default)]
pub(super) struct Part<'s> {
    /// Its packs; `None` for all.
    packs: Option<HashSet<PackName>>,
    /// All packs that are wanted, in their order, of a slice, with the bytes that each
    /// costs.
    wanted: Vec<(PackName, u64)>,
    deadline: Option<Deadline<'s>>,
    hashing: Option<Deadline<'s>>,
    /// Packs that were not read when the deadline came.
    unread: Mutex<HashSet<PackName>>,
    /// The deadline came while blocks were read.
    is_cut: AtomicBool,
}

impl<'s> Part<'s> {
    /// Chooses the packs of a slice from those that are wanted, of which `named` are all that
    /// snapshots name, sorted.
    pub(super) fn of(
        slice: &Slice<'s>,
        depth: Depth,
        wanted: Option<&[PackName]>,
        named: &[PackRecord],
    ) -> Self {
        let wanted = records_of(wanted, named);
        let of_all = slice.percent_max.map(|percent| {
            let all = u128::from(Cost::of(wanted.iter().copied(), depth).bytes);
            u64::try_from((all * u128::from(percent)).div_ceil(100)).unwrap_or(u64::MAX)
        });
        let bytes_max = slice.bytes_max.into_iter().chain(of_all).min();
        let (mut packs, mut bytes) = (HashSet::new(), 0);
        for record in &wanted {
            bytes += cost(record, depth);
            if !packs.is_empty() && bytes_max.is_some_and(|max| bytes > max) {
                break;
            }
            packs.insert(record.name);
        }
        Part {
            packs: (packs.len() < named.len()).then_some(packs),
            wanted: wanted.iter().map(|record| (record.name, cost(record, depth))).collect(),
            deadline: slice.deadline,
            hashing: slice.hashing,
            ..Part::default()
        }
    }

    /// Puts the packs that are wanted first, in their order, where a deadline may come before all
    /// are read.
    pub(super) fn put_in_order(&self, packs: &mut [PackRecord]) {
        if self.deadline.is_none() && self.hashing.is_none() {
            return;
        }
        let wanted = self.wanted.iter().enumerate();
        let places: HashMap<PackName, usize> = wanted.map(|(at, (name, _))| (*name, at)).collect();
        packs.sort_by_key(|record| places.get(&record.name).copied().unwrap_or(usize::MAX));
    }

    /// Tells whether a pack is one of this part.
    pub(super) fn has(&self, pack: &PackName) -> bool {
        self.packs.as_ref().is_none_or(|packs| packs.contains(pack))
    }

    /// Tells whether the bytes of a pack were read, if they had to be.
    pub(super) fn was_read(&self, pack: &PackName) -> bool {
        self.has(pack) && !lock(&self.unread).contains(pack)
    }

    /// Tells whether it is too late to read a pack as a whole.
    pub(super) fn is_late(&self) -> bool {
        self.deadline.iter().chain(&self.hashing).any(Deadline::has_come)
    }

    /// Leaves the packs out that were not read: their blocks are of another slice.
    pub(super) fn leave_out_unread(&mut self) {
        let unread = lock(&self.unread);
        if !unread.is_empty() {
            let all = || self.wanted.iter().map(|(name, _)| *name).collect();
            let mut packs = self.packs.take().unwrap_or_else(all);
            packs.retain(|pack| !unread.contains(pack));
            self.packs = Some(packs);
        }
    }

    /// Notes that a pack is not read any more.
    pub(super) fn leave(&self, pack: PackName) {
        lock(&self.unread).insert(pack);
    }

    /// Tells whether the reading of blocks shall end; if so, all packs are left.
    pub(super) fn cut(&self) -> bool {
        let is_cut = self.deadline.as_ref().is_some_and(Deadline::has_come);
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
        let is_checked = |name: &PackName| self.was_read(name) && !self.was_cut();
        let mut done = SliceReport { report, ..SliceReport::default() };
        for (name, bytes) in &self.wanted {
            if is_checked(name) {
                done.checked.push(*name);
                done.bytes += bytes;
            } else {
                done.left.push(*name);
            }
        }
        done
    }
}

/// Returns the records of the packs that are wanted, in their order; all of them if there is no
/// list.
pub(super) fn records_of<'n>(
    wanted: Option<&[PackName]>,
    named: &'n [PackRecord],
) -> Vec<&'n PackRecord> {
    let find = |name: &PackName| {
        let at = named.binary_search_by_key(name, |record| record.name).ok();
        at.and_then(|at| named.get(at))
    };
    match wanted {
        Some(packs) => packs.iter().filter_map(find).collect(),
        None => named.iter().collect(),
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
