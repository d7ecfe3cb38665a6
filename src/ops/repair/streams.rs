//! Takes lost blocks from the streams of a repository with other keys.
//!
//! `replicate` to other keys backs streams up again. So both repositories have the same streams,
//! and no object of either is of use to the other one. What ties them together is the origin that
//! the description of a copied snapshot names (FORMAT.md 10.10): a snapshot here and one there are
//! a *pair* if one is the origin of the other, or both have the same one. Hence either side can be
//! repaired from the other.
//!
//! For each pair the maps here say which bytes of which member a lost block is, and the maps there
//! which blocks have these bytes. They are read there, put together, and hashed with the keys of
//! this repository. What has the right hash is stored here in new packs, as whole blocks, and
//! relocation records say for which entries they stand, as after a search.
//!
//! Lost maps and tables of members can't be had in this way: they name places, which are others on
//! each side. Nor can what is under them, since nothing else says where it belongs. The snapshot
//! can be copied back as a new one.
//!
//! # Passes
//!
//! A pass looks for a bounded number of lost blocks. As long as one may have left something out,
//! another one follows. What a pass could not have is not looked for again.
//!
//! Invariants:
//! - Nothing is stored that does not have its hash under the keys of this repository.
//! - A record is put when the packs that it names are there.
//! - Stopped anywhere, it leaves whole packs that nothing names, and its intent. Its run puts no
//!   snapshot, and its id says so (FORMAT.md 10.8).

mod counted;
mod lost;
mod pairs;
mod reading;
mod storing;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_PACK_BYTES_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::encode::EncodedFrame;
use crate::format::config::Features;
use crate::format::intent::IntentVerb;
use crate::format::pack_table::PackTable;
use crate::ops::backup::begin_run;
use crate::ops::batches;
use crate::ops::batches::Sender;
use crate::ops::repair::blocks::BadPack;
use crate::ops::repair::blocks::passed_over;
use crate::ops::repair::streams::counted::Counted;
use crate::ops::repair::streams::lost::Lost;
use crate::ops::repair::streams::lost::Seek;
use crate::ops::repair::streams::lost::Wish;
use crate::ops::repair::streams::pairs::Pair;
use crate::ops::repair::streams::reading::Asking;
use crate::ops::repair::streams::reading::Forms;
use crate::ops::repair::streams::reading::Had;
use crate::ops::repair::streams::storing::RECORDED_AT_ONCE;
use crate::ops::repair::streams::storing::Storing;
use crate::ops::run_intent::HoldingRun;
use crate::ops::run_intent::Holds;
use crate::pack::reader::Reading;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;
use crate::seal::ids::RunId;
use crate::store::name::ObjectName;

/// Places of lost blocks that one pass looks for.
pub(super) const PLACES_MAX: usize = 100_000;
/// Blocks that no pair had after which no further pass is made.
const REFUSED_MAX: usize = 1_000_000;
/// Requests that a run takes: its intent, its keys, a look at the fences.
const RUN_REQUESTS: u64 = 8;
/// Requests that a pack takes, or a copy of a record: it is put and looked at.
const PUT_REQUESTS: u64 = 2;

/// The repositories between which blocks go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'s> {
    /// The repository that is repaired.
    pub(super) near: &'s Repository,
    /// The same as it will be when everything else is done.
    pub(super) seen: &'s Repository,
    /// The one with other keys.
    pub(super) far: &'s Repository,
}

/// A snapshot of which not all maps have a good copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostMaps {
    /// The id of the snapshot here.
    pub snapshot: SnapshotId,
    /// The same snapshot on the other side.
    pub there: SnapshotId,
}

/// The plan to take lost blocks from the streams of another repository.
#[derive(Debug)]
pub struct Streams {
    far: Repository,
    pairs: Vec<Pair>,
    lost: Lost,
    bad: BTreeMap<PackName, BadPack>,
    places_max: usize,
    /// Snapshots of this repository that the other one has as well.
    pub snapshots: u64,
    /// Lost blocks that the other side has, by its maps.
    pub blocks: u64,
    /// The raw bytes of these blocks, which is the most that is stored.
    pub bytes: u64,
    /// There may be more lost blocks than one pass looks for.
    pub is_more: bool,
    /// Bytes that are read on the other side.
    pub read_bytes: u64,
    /// Requests to the other side.
    pub requests_there: u64,
    /// Requests to this repository, at most.
    pub requests_here: u64,
    /// Snapshots of which maps are lost, which the other side can't give back.
    pub lost_maps: Vec<LostMaps>,
}

/// The result of taking blocks from streams.
#[derive(Debug, Default)]
pub struct Taken {
    /// Blocks that were stored.
    pub blocks: u64,
    /// Raw bytes of the stored blocks.
    pub bytes: u64,
    /// Bytes that were read on the other side.
    pub read_bytes: u64,
    /// Blocks of which the other side has other bytes.
    pub different: u64,
    /// Lost blocks that the other side does not have, or can't read.
    pub missing: u64,
    /// The packs that were put, in all copies.
    pub packs: Vec<ObjectName>,
    /// The relocation records that were put, in both copies.
    pub recorded: Vec<ObjectName>,
    /// Snapshots of which maps are lost, which the other side can't give back.
    pub lost_maps: Vec<LostMaps>,
}

/// The blocks that a repair has had so far.
#[derive(Default)]
struct Progress {
    /// Those of this pass.
    had: HashSet<BlockHash>,
    /// Those that have other bytes on the other side.
    different: BTreeSet<BlockHash>,
    /// Blocks that no pair had.
    refused: BTreeSet<BlockHash>,
    blocks: u64,
    bytes: u64,
}

impl Progress {
    /// Takes the blocks of a frame.
    fn take(&mut self, frame: &EncodedFrame) {
        for block in frame.blocks() {
            self.had.insert(block.hash);
            self.different.remove(&block.hash);
        }
        self.blocks += u64_of(frame.blocks().len());
    }
}

impl Streams {
    /// Finds the lost blocks, with a limited number of places in a pass, and what it costs to have
    /// them. Fails if no snapshot of one side was copied from the other.
    pub(super) fn plan(
        Sides { near, seen, far }: Sides<'_>,
        bad: &BTreeMap<PackName, BadPack>,
        places_max: usize,
        world: &World,
    ) -> Result<Self> {
        far.require_data()?;
        let monitor = &world.monitor;
        let pairs = pairs::pairs(near, far)?;
        let refused = BTreeSet::new();
        let seek = Seek { pairs: &pairs, bad, refused: &refused, places_max };
        let lost = Lost::find(seen, seek, monitor)?;
        let mut streams = Self {
            far: far.clone(),
            snapshots: u64_of(pairs.len()),
            blocks: 0,
            bytes: 0,
            is_more: lost.is_more,
            read_bytes: 0,
            requests_there: 0,
            requests_here: 0,
            lost_maps: lost_maps(&pairs, &lost),
            pairs,
            lost,
            bad: bad.clone(),
            places_max,
        };
        streams.estimate(monitor)?;
        Ok(streams)
    }

    /// Tells whether nothing is to be had, and nothing to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.lost.blocks.is_empty() && self.lost_maps.is_empty()
    }

    /// Finds out what the first pass costs, by the maps and directories of the other side.
    fn estimate(&mut self, monitor: &Arc<Monitor>) -> Result<()> {
        if self.lost.blocks.is_empty() {
            return Ok(());
        }
        let counted = Arc::new(Counted::new(self.far.store()));
        let far = self.far.shown_by(Arc::<Counted>::clone(&counted))?;
        let mut opener = Opener::new(&far, monitor);
        let (mut found, mut reading) = (HashSet::new(), Reading::default());
        for (number, pair) in self.pairs.iter().enumerate() {
            let wishes = self.lost.wishes(number, &found);
            let Some(contents) = open(&mut opener, pair, &wishes)? else { continue };
            reading::find_in(&contents, &self.lost, &wishes, &mut |asking| {
                monitor.check()?;
                found.extend(asking.blocks.iter().map(|asked| asked.hash));
                let Reading { bytes, requests } = contents.packs().reading(&asking.wanted());
                reading.bytes += bytes;
                reading.requests += requests;
                Ok(())
            })?;
        }
        self.read_bytes = counted.bytes() + reading.bytes;
        self.requests_there = counted.requests() + reading.requests;
        let found = self.lost.blocks.iter().filter(|(hash, _)| found.contains(*hash));
        (self.blocks, self.bytes) =
            found.fold((0, 0), |(count, bytes), (_, block)| (count + 1, bytes + block.length));
        let packs = self.bytes.div_ceil(u64_of(SMALL_PACK_BYTES_MAX) / 2);
        let lost_packs = u64_of(self.bad.len());
        let records = lost_packs * self.lost.places().div_ceil(RECORDED_AT_ONCE);
        self.requests_here = RUN_REQUESTS + PUT_REQUESTS * (packs + 2 * records);
        Ok(())
    }

    /// Takes the blocks, in as many passes as it needs. What was planned is found again if other
    /// steps of the repair have found blocks since.
    pub(super) fn run(
        self,
        repository: &Repository,
        workers: u32,
        again: Again,
        world: &World,
    ) -> Result<Taken> {
        let mut taken = Taken { lost_maps: self.lost_maps.clone(), ..Taken::default() };
        if self.lost.blocks.is_empty() {
            return Ok(taken);
        }
        let run = RunId::without_snapshot(&*world.entropy);
        let (verb, holds) = (IntentVerb::Repair, Holds::default());
        let intent = HoldingRun::begin_as(repository, run, verb, holds, world)?;
        let counted = Arc::new(Counted::new(self.far.store()));
        let passes = Passes {
            repository,
            far: self.far.shown_by(Arc::<Counted>::clone(&counted))?,
            pairs: &self.pairs,
            bad: &self.bad,
            places_max: self.places_max,
            workers,
            monitor: &world.monitor,
        };
        let first = (again == Again::No).then_some(self.lost);
        match passes.run(run, &intent, first, &mut taken) {
            Ok(()) => {}
            Err(error) => {
                // What it has recorded is whole, and nothing names the rest.
                intent.give_up();
                return Err(error);
            }
        }
        taken.read_bytes = counted.bytes();
        intent.finish()?;
        Ok(taken)
    }
}

/// Whether lost blocks are found again before they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// They are as they were planned.
    No,
    /// Some may have been found since.
    Yes,
}

/// Opens a snapshot of the other side, if something is wanted of it and it can be read.
fn open(opener: &mut Opener<'_>, pair: &Pair, wishes: &[Wish]) -> Result<Option<Contents>> {
    if wishes.is_empty() { Ok(None) } else { passed_over(opener.open(&pair.far)) }
}

fn lost_maps(pairs: &[Pair], lost: &Lost) -> Vec<LostMaps> {
    let of_pair = |pair: &Pair| LostMaps { snapshot: pair.near.id(), there: pair.far.id() };
    let lost = pairs.iter().filter(|pair| lost.unread.contains(&pair.near.id()));
    lost.map(of_pair).collect()
}

/// The blocks that are sought in a pair.
#[derive(Clone, Copy)]
struct Sought<'s> {
    lost: &'s Lost,
    wishes: &'s [Wish],
}

/// The passes of a repair.
struct Passes<'p> {
    repository: &'p Repository,
    far: Repository,
    pairs: &'p [Pair],
    bad: &'p BTreeMap<PackName, BadPack>,
    places_max: usize,
    workers: u32,
    monitor: &'p Arc<Monitor>,
}

impl Passes<'_> {
    fn run(
        &self,
        run: RunId,
        intent: &HoldingRun<'_>,
        first: Option<Lost>,
        taken: &mut Taken,
    ) -> Result<()> {
        let keys = begin_run(self.repository, run, self.monitor)?;
        let mut storing = Storing::new(self.repository, intent, keys, self.monitor);
        let mut progress = Progress::default();
        let mut next = first;
        loop {
            let mut lost = match next.take() {
                Some(lost) => lost,
                None => self.find(&progress)?,
            };
            // One that can't be read from where it was stored is not stored over and over.
            lost.blocks.retain(|hash, _| !progress.had.contains(hash));
            progress.had.clear();
            let before = (progress.blocks, progress.refused.len());
            self.pass(&lost, &mut storing, &mut progress)?;
            let after = (progress.blocks, progress.refused.len());
            // What is left to bases is read again if these were had.
            let is_left = lost.leaves_some && after.1 > before.1;
            if !(lost.is_more || is_left) || after == before || after.1 > REFUSED_MAX {
                break;
            }
        }
        (taken.blocks, taken.bytes) = (progress.blocks, progress.bytes);
        taken.different = u64_of(progress.different.len());
        taken.missing = u64_of(progress.refused.difference(&progress.different).count());
        (taken.packs, taken.recorded) = (storing.put, storing.recorded);
        Ok(())
    }

    /// Finds what is lost now.
    fn find(&self, progress: &Progress) -> Result<Lost> {
        let now = self.repository.shown_by(Arc::clone(self.repository.store()))?;
        let Self { pairs, bad, places_max, .. } = *self;
        let seek = Seek { pairs, bad, refused: &progress.refused, places_max };
        Lost::find(&now, seek, self.monitor)
    }

    /// Takes blocks from one pair after the other, until there are none left.
    fn pass(&self, lost: &Lost, storing: &mut Storing<'_>, progress: &mut Progress) -> Result<()> {
        self.monitor.count(Counter::ExpectedBytes, lost.bytes());
        let mut opener = Opener::new(&self.far, self.monitor);
        for (number, pair) in self.pairs.iter().enumerate() {
            let wishes = lost.wishes(number, &progress.had);
            if let Some(contents) = open(&mut opener, pair, &wishes)? {
                self.take(&contents, Sought { lost, wishes: &wishes }, storing, progress)?;
            }
        }
        storing.finish(lost)?;
        let left = lost.blocks.keys().filter(|hash| !progress.had.contains(*hash));
        progress.refused.extend(left);
        Ok(())
    }

    /// Takes the blocks that a snapshot of the other side has.
    fn take(
        &self,
        contents: &Contents,
        Sought { lost, wishes }: Sought<'_>,
        storing: &mut Storing<'_>,
        progress: &mut Progress,
    ) -> Result<()> {
        let packs = self.repository.packs(PackTable::default(), self.monitor);
        let hasher = packs.hasher();
        let is_normal = self.repository.features().include(Features::NORMAL_FORM);
        let forms = if is_normal { Forms::Normal } else { Forms::Plain };
        batches::in_order(
            self.workers,
            self.monitor,
            |sender: &mut Sender<'_, Asking>| {
                reading::find_in(contents, lost, wishes, &mut |asking| sender.send(asking))
            },
            |asking| reading::read(&asking, hasher, forms),
            |had: Had| {
                for (class, frame) in &had.frames {
                    storing.add(*class, frame, lost)?;
                    progress.take(frame);
                }
                progress.bytes += had.bytes;
                progress.different.extend(had.different);
                self.monitor.count(Counter::StreamBytes, had.bytes);
                Ok(())
            },
        )
    }
}
