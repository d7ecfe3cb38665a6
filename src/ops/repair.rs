//! Makes good again what is lost or damaged in this repository and whole somewhere else: meta packs
//! and relocation records from their second copies here, everything that a snapshot needs from
//! another copy of the repository, and blocks from the streams of a repository with other keys.
//!
//! Everything is looked at before anything is changed, and the plan can be shown first, with its
//! cost and with what it will not bring back. Then each object is put, and only then are damage
//! records removed that mean nothing any more. A verification of names, sizes and everything that
//! was found damaged then finds what is still lost.
//!
//! Invariants:
//! - A good copy is never touched.
//! - An object is put only if its bytes are what its name says.
//! - What no snapshot needs is not brought back.
//! - Stopped anywhere, it leaves at least what could be read before; the next run goes on.
//! - No backup waits for it: an intent holds the packs that it puts.
//!
//! What has no good copy anywhere comes back by the next backup, if the server still has it.

mod blocks;
mod fetch;
mod found;
mod look;
mod losses;
mod preview;
mod search;
mod streams;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_ACCEPTED_MAX;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::intent::IntentVerb;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::ops::copies::replace;
use crate::ops::repair::blocks::BadPack;
use crate::ops::repair::fetch::Brought;
use crate::ops::repair::fetch::Far;
use crate::ops::repair::look::Content;
use crate::ops::repair::look::Extent;
use crate::ops::repair::look::Lack;
use crate::ops::repair::look::Overview;
use crate::ops::repair::preview::Preview;
use crate::ops::repair::preview::Side;
use crate::ops::repair::search::Found;
use crate::ops::repair::streams::Again;
use crate::ops::repair::streams::PLACES_MAX;
use crate::ops::repair::streams::Sides;
use crate::ops::replicate;
use crate::ops::replicate::FarSide;
use crate::ops::run_intent::HoldingRun;
use crate::ops::verify::Depth;
use crate::ops::verify::Remember;
use crate::ops::verify::VerifyOptions;
use crate::ops::verify::VerifyReport;
use crate::ops::verify::verify;
use crate::repo::Repository;
use crate::repo::damage::KnownDamage;
use crate::store::Store;
use crate::store::name::ObjectName;

pub use fetch::Fetch;
pub use look::Make;
pub use look::Remove;
pub use losses::Losses;
pub use search::Search;
pub use streams::LostMaps;
pub use streams::Streams;
pub use streams::Taken;

/// The requests of an intent: it is put, the others are listed and it is read, fences are listed,
/// it is deleted.
const INTENT_REQUESTS: u64 = 5;

/// Copies that were made, and why others were not, in words.
type Made = (Vec<ObjectName>, Vec<String>);

/// The cost of what comes from another repository, without the verification at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct RepairCost {
    /// Bytes that are read on the other side.
    pub bytes: u64,
    /// Requests to the other side.
    pub requests_there: u64,
    /// Requests to this repository.
    pub requests_here: u64,
}

/// The plan of a repair.
#[derive(Debug)]
pub struct RepairPlan<'r> {
    repository: &'r Repository,
    workers: u32,
    far: Option<Arc<dyn Store>>,
    known: KnownDamage,
    /// The packs that snapshots name, if that is known of all.
    named: Option<BTreeSet<PackName>>,
    /// Packs that were read and are whole.
    whole: BTreeSet<PackName>,
    /// Copies that the repair makes.
    pub make: Vec<Make>,
    /// Objects that come from the other side.
    pub fetch: Vec<Fetch>,
    /// Relocation records that mean nothing any more.
    moot: Vec<Remove>,
    /// The objects that have no good copy, in words.
    pub lost: Vec<String>,
    /// The objects that have changed and that no snapshot needs, in words.
    pub unneeded: Vec<String>,
    /// Objects without a good copy of which something may be lost, with or without words.
    lacking: u64,
    /// The packs among them.
    bad: BTreeMap<PackName, BadPack>,
    /// The search for lost blocks, if there is one.
    pub search: Option<Search>,
    /// The blocks that are taken from the streams of another repository, if there are any.
    pub streams: Option<Streams>,
}

/// The result of a repair.
#[derive(Debug)]
pub struct RepairReport {
    /// Copies that were made.
    pub made: Vec<ObjectName>,
    /// Objects that came from the other side.
    pub fetched: Vec<ObjectName>,
    /// Bytes that were read on the other side.
    pub fetched_bytes: u64,
    /// Lost blocks that were found in other packs.
    pub blocks_found: u64,
    /// The blocks that were taken from the streams of another repository.
    pub taken: Taken,
    /// Relocation records that say where found and taken blocks are.
    pub recorded: Vec<ObjectName>,
    /// Records that were removed.
    pub removed: Vec<ObjectName>,
    /// The steps that could not be done, in words.
    pub failed: Vec<String>,
    /// The objects that have no good copy, in words, unless `left` lists them.
    pub lost: Vec<String>,
    /// The report of what is still wrong.
    pub left: VerifyReport,
}

/// Looks at everything of which a repository has two copies, and at what is known to be damaged.
pub fn plan<'r>(repository: &'r Repository, workers: u32, world: &World) -> Result<RepairPlan<'r>> {
    let overview = Overview::of(repository, workers, Extent::Copies, &world.monitor)?;
    Ok(RepairPlan::new(repository, workers, overview))
}

/// Looks at a repository, and at what a copy of it has of everything that is lacking here.
pub fn plan_from<'r>(
    repository: &'r Repository,
    far: &Arc<dyn Store>,
    workers: u32,
    world: &World,
) -> Result<RepairPlan<'r>> {
    if replicate::look(repository, &**far)? != FarSide::Same {
        return Err(fetch::no_copy(&**far));
    }
    let mut there = Far::list(far)?;
    let mut fetches: Vec<Fetch> = Vec::new();
    let mut overview = loop {
        let mut preview = Preview::new(repository.store(), Some(far));
        fetches.iter().for_each(|fetch| expect(&mut preview, fetch));
        let seen = repository.shown_by(Arc::new(preview))?;
        let mut overview = Overview::of(&seen, workers, Extent::Everything, &world.monitor)?;
        let before = overview.lacks.len();
        for lack in std::mem::take(&mut overview.lacks) {
            // What was to come has been read there, and is bad as well.
            if let Some(at) = fetches.iter().position(|fetch| fetch.is_for(&lack)) {
                there.refuse(fetches.remove(at).source().clone());
            }
            match there.offer(&lack) {
                Some(fetch) => fetches.push(fetch),
                None => overview.lacks.push(lack),
            }
        }
        // If all tables were read, nothing else is named by what comes.
        if overview.lacks.len() == before || overview.is_complete {
            break overview;
        }
    };
    let mut known: BTreeSet<ObjectName> =
        fetches.iter().flat_map(|fetch| fetch.objects.clone()).collect();
    for lack in &overview.lacks {
        let Content::Pack(pack) = lack.content else { continue };
        for fetch in there.records_of(repository, pack)? {
            if known.insert(fetch.objects[0].clone()) {
                fetches.push(fetch);
            }
        }
    }
    // What was seen to be whole there is not whole here yet.
    fetches.iter().filter_map(Fetch::pack).for_each(|pack| _ = overview.whole.remove(&pack));
    let plan = RepairPlan::new(repository, workers, overview);
    Ok(RepairPlan { far: Some(Arc::clone(far)), fetch: fetches, ..plan })
}

/// Returns the pack of which there is no good copy, if it is one.
fn bad_pack(lack: &Lack) -> Option<(PackName, BadPack)> {
    let Content::Pack(name) = lack.content else { return None };
    let is_there = lack.copies.iter().any(|copy| copy.is_there);
    Some((name, if is_there { BadPack::Spoiled } else { BadPack::Gone }))
}

/// Shows an object that comes from the other side as if it were here.
fn expect(preview: &mut Preview, fetch: &Fetch) {
    for name in &fetch.objects {
        preview.expect(name.clone(), Side::Far, fetch.source().clone(), fetch.bytes);
    }
}

impl<'r> RepairPlan<'r> {
    fn new(repository: &'r Repository, workers: u32, overview: Overview) -> Self {
        let Overview { make, moot, lacks, mut lost, unneeded, known, .. } = overview;
        let lacking = u64_of(lacks.len() + lost.len());
        let bad = lacks.iter().filter_map(bad_pack).collect();
        lost.extend(lacks.into_iter().flat_map(|lack| lack.words));
        // A snapshot that can't be read may name any pack.
        let named = overview.is_complete.then_some(overview.named);
        let whole = overview.whole;
        Self {
            repository,
            workers,
            far: None,
            known,
            named,
            whole,
            make,
            fetch: Vec::new(),
            moot,
            lost,
            unneeded,
            lacking,
            bad,
            search: None,
            streams: None,
        }
    }

    /// Plans to look for the lost blocks in all other packs of the repository.
    pub fn search(self, world: &World) -> Result<Self> {
        self.repository.require_data()?;
        let seen = self.repository.shown_by(Arc::new(self.preview()?))?;
        let search = Search::plan(self.repository, &seen, &self.bad, self.workers, world)?;
        Ok(Self { search: (search.blocks > 0).then_some(search), ..self })
    }

    /// Plans to take the lost blocks from the streams of a repository with other keys. Fails if no
    /// snapshot of one was copied from the other.
    pub fn take_from(self, far: &Repository, world: &World) -> Result<Self> {
        self.take_in_passes(far, PLACES_MAX, world)
    }

    /// Plans the same with passes that look for at most this many places of lost blocks.
    pub fn take_in_passes(
        self,
        far: &Repository,
        places_max: usize,
        world: &World,
    ) -> Result<Self> {
        self.repository.require_data()?;
        let seen = self.repository.shown_by(Arc::new(self.preview()?))?;
        let sides = Sides { near: self.repository, seen: &seen, far };
        let streams = Streams::plan(sides, &self.bad, places_max, world)?;
        Ok(Self { streams: (!streams.is_empty()).then_some(streams), ..self })
    }

    /// Returns the cost of what comes from the other side.
    pub fn cost(&self) -> RepairCost {
        let mut cost = RepairCost::default();
        for fetch in &self.fetch {
            cost.bytes += fetch.bytes;
            cost.requests_there += 1;
            cost.requests_here += fetch.requests();
        }
        if self.repository.has_intents() && !self.held().is_empty() {
            cost.requests_here += INTENT_REQUESTS;
        }
        cost
    }

    /// Returns the packs that are put, under names that may stand on the list of a prune.
    fn held(&self) -> BTreeSet<PackName> {
        let pack = |make: &Make| match Object::parse(&make.object) {
            Some(Object::Pack(name) | Object::Twin(name)) => Some(name),
            Some(_) | None => None,
        };
        let made = self.make.iter().filter_map(pack);
        made.chain(self.fetch.iter().filter_map(Fetch::pack)).collect()
    }

    /// Returns the records that mean nothing any more when everything is done that is planned.
    pub fn remove(&self) -> Vec<Remove> {
        self.records(self.fetch.iter().filter_map(Fetch::pack))
    }

    /// Returns the records that mean nothing any more once these packs are whole too.
    fn records(&self, more: impl IntoIterator<Item = PackName>) -> Vec<Remove> {
        let mut why: BTreeMap<ObjectName, &'static str> = BTreeMap::new();
        for name in self.known.unreadable() {
            // What it is about is looked at again by the verification at the end.
            why.insert(name.clone(), "it can't be read");
        }
        let named = self.named.as_ref();
        let is_unnamed = |pack: &PackName| named.is_some_and(|named| !named.contains(pack));
        let unnamed: BTreeSet<PackName> = self.known.packs().filter(is_unnamed).collect();
        for name in self.known.resolved_by(&unnamed) {
            why.insert(name, "no snapshot names its pack");
        }
        let mut whole = self.whole.clone();
        whole.extend(more);
        for name in self.known.resolved_by(&whole) {
            why.insert(name, "what it is about is whole");
        }
        let known = why.into_iter().map(|(object, why)| Remove { object, why });
        self.moot.iter().cloned().chain(known).collect()
    }

    /// Finds what will still be wrong when everything is done that is planned: a verification of
    /// the repository as it will be. It reads, and records nothing.
    pub fn left(&self, world: &World) -> Result<VerifyReport> {
        if self.lacking == 0 {
            return Ok(VerifyReport::default());
        }
        let seen = self.repository.shown_by(Arc::new(self.preview()?))?;
        verify(&seen, &self.verification(), world)
    }

    /// Returns the store as it will be when everything is done that is planned, but for what a
    /// search may find.
    fn preview(&self) -> Result<Preview> {
        let store = self.repository.store();
        let mut preview = Preview::new(store, self.far.as_ref());
        self.fetch.iter().for_each(|fetch| expect(&mut preview, fetch));
        for Make { object, from, .. } in &self.make {
            let bytes = store.size(from).map_err(|e| e.named(format!("cannot look at {from}")))?;
            preview.expect(object.clone(), Side::Near, from.clone(), bytes.unwrap_or_default());
        }
        self.remove().into_iter().for_each(|remove| preview.remove(remove.object));
        Ok(preview)
    }

    fn verification(&self) -> VerifyOptions {
        let remember = Remember::Nowhere;
        VerifyOptions { workers: self.workers, remember, ..VerifyOptions::new(Depth::Objects) }
    }

    /// Makes, fetches and removes what was planned, and looks what is left.
    pub fn run(mut self, world: &World) -> Result<RepairReport> {
        let monitor = &world.monitor;
        let (made, brought) = self.put_held(world)?;
        let Brought { put: fetched, whole, mut failed, bytes: fetched_bytes } = brought;
        let (made, refused) = made;
        failed.extend(refused);
        let (found, taken) = self.find_blocks(world)?;
        let again = self.repository.shown_by(Arc::clone(self.repository.store()))?;
        let left = verify(&again, &self.verification(), world)?;
        // Only after what they recorded has been recorded again.
        let mut removed = Vec::new();
        for Remove { object, .. } in self.records(whole) {
            monitor.check()?;
            match self.repository.store().delete(&object) {
                Ok(()) => removed.push(object),
                Err(error) => {
                    let error = error.named(format!("cannot remove {object}"));
                    if error.kind() == ErrorKind::Cancelled {
                        return Err(error);
                    }
                    failed.push(error.with_causes());
                }
            }
        }
        let mut lost = self.lost;
        lost.retain(|lost| !left.findings.iter().any(|finding| finding.what == *lost));
        let Found { blocks: blocks_found, put: mut recorded } = found;
        recorded.extend(taken.recorded.iter().cloned());
        Ok(RepairReport {
            made,
            fetched,
            fetched_bytes,
            blocks_found,
            taken,
            recorded,
            removed,
            failed,
            lost,
            left,
        })
    }

    /// Makes copies and brings objects, whose packs an intent holds.
    fn put_held(&self, world: &World) -> Result<(Made, Brought)> {
        let held = self.held();
        let intent = if held.is_empty() {
            None
        } else {
            Some(HoldingRun::begin(self.repository, IntentVerb::Repair, &held, world)?)
        };
        match self.put_all(&world.monitor) {
            Ok(done) => {
                intent.map(HoldingRun::finish).transpose()?;
                Ok(done)
            }
            Err(error) => {
                // Each object that it put is whole, and is needed without it.
                if let Some(intent) = intent {
                    intent.give_up();
                }
                Err(error)
            }
        }
    }

    /// Looks for lost blocks in other packs here, then takes those that are left from streams.
    fn find_blocks(&mut self, world: &World) -> Result<(Found, Taken)> {
        let (repository, workers) = (self.repository, self.workers);
        let found = match &self.search {
            Some(search) => search.run(repository, workers, world)?,
            None => Found::default(),
        };
        let taken = match self.streams.take() {
            Some(streams) => {
                let again = if found.blocks > 0 { Again::Yes } else { Again::No };
                streams.run(repository, workers, again, world)?
            }
            None => Taken::default(),
        };
        Ok((found, taken))
    }

    /// Makes copies, then brings what comes from the other side.
    fn put_all(&self, monitor: &Monitor) -> Result<(Made, Brought)> {
        let (mut made, mut failed) = Made::default();
        for make in &self.make {
            monitor.check()?;
            match self.make(make, monitor) {
                Ok(()) => made.push(make.object.clone()),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => failed.push(error.with_causes()),
            }
        }
        let brought = match &self.far {
            Some(far) => {
                monitor.count(Counter::ExpectedBytes, self.cost().bytes);
                fetch::bring(self.repository, far, &self.fetch, self.workers, monitor)?
            }
            None => Brought::default(),
        };
        Ok(((made, failed), brought))
    }

    fn make(&self, make: &Make, monitor: &Monitor) -> Result<()> {
        let Make { object, from, is_there, .. } = make;
        let store = &**self.repository.store();
        let right = |name: &ObjectName| {
            let bytes = store
                .get(name, PACK_BYTES_ACCEPTED_MAX)
                .map_err(|e| e.named(format!("cannot read {name}")))?;
            if content_hash(name) == Some(*blake3::hash(&bytes).as_bytes()) {
                return Ok(bytes);
            }
            Err(Error::damaged(name, "its bytes do not match its name"))
        };
        let bytes = right(from)?;
        if *is_there {
            replace(store, object, &bytes)?;
        } else {
            store
                .put(object, slice::from_ref(&bytes))
                .map_err(|e| e.named(format!("cannot store {object}")))?;
        }
        monitor.count(Counter::StoredBytes, u64_of(bytes.len()));
        monitor.count(Counter::StoredObjects, 1);
        right(object).map(|_| ())
    }
}
