//! Looks for lost blocks in all other packs of the repository: one pass over the directories, which
//! have the hash of every whole block.
//!
//! The same block is stored twice where two runs stored it at the same time, where two sources
//! have it, or where a run could not see the first copy. Blocks that are stored as differences
//! have no hash in a directory, and are not found.
//!
//! What is found is read, and must have its hash; then a relocation record says where it is. The
//! packs that it names are held by an intent from before they are read.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::directory::Content;
use crate::format::intent::IntentVerb;
use crate::format::layout::Folder;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::ops::repair::blocks::BadPack;
use crate::ops::repair::blocks::LostBlocks;
use crate::ops::repair::found::Copies;
use crate::ops::repair::found::put_records;
use crate::ops::run_intent::HoldingRun;
use crate::ops::survey;
use crate::pack::reader::Packs;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::store::name::ObjectName;

/// Directories that are read for the plan, to tell how long a pass takes.
const SAMPLES: usize = 8;
/// Copies of a block that are tried.
const COPIES_MAX: usize = 4;
/// Requests that open a pack of which no pack table has a record.
const REQUESTS_UNNAMED: u64 = 3;

/// The plan of a search.
#[derive(Debug)]
pub struct Search {
    /// Blocks that are looked for.
    pub blocks: u64,
    /// There are more lost blocks than one search looks for.
    pub is_more: bool,
    /// Packs whose directories are read.
    pub packs: u64,
    /// Bytes of these directories; of packs that no snapshot names it is not known before.
    pub bytes: u64,
    /// Requests of the pass.
    pub requests: u64,
    /// The time that the pass takes, by the first few directories.
    pub time: Duration,
    lost: LostBlocks,
    names: Vec<PackName>,
    records: Vec<PackRecord>,
}

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Blocks that were found.
    pub(super) blocks: u64,
    /// Relocation records that were put.
    pub(super) put: Vec<ObjectName>,
}

impl Search {
    /// Finds the blocks that are lost in the repository as `seen`, and the packs to look into.
    pub(super) fn plan(
        repository: &Repository,
        seen: &Repository,
        bad: &BTreeMap<PackName, BadPack>,
        workers: u32,
        world: &World,
    ) -> Result<Self> {
        let monitor = &world.monitor;
        let lost = LostBlocks::find(seen, bad, monitor)?;
        let blocks = lost.count();
        let is_more = lost.is_more;
        let mut search = Self {
            blocks,
            is_more,
            packs: 0,
            bytes: 0,
            requests: 0,
            time: Duration::ZERO,
            lost,
            names: Vec::new(),
            records: Vec::new(),
        };
        if blocks == 0 {
            return Ok(search);
        }
        let snapshots = seen.snapshots()?.snapshots;
        search.records = survey::named_packs(seen, &snapshots, monitor, &mut |_, _| {});
        let known: BTreeMap<PackName, PackRecord> =
            search.records.iter().map(|record| (record.name, *record)).collect();
        let inventory = Inventory::of(&**repository.store(), &[Folder::Packs], "")?;
        for (name, _) in inventory.packs().filter(|(name, _)| !bad.contains_key(name)) {
            match known.get(&name) {
                Some(record) if record.class == Class::Meta => continue,
                Some(record) => {
                    search.bytes += u64::from(record.tail_bytes);
                    search.requests += 1;
                }
                None => search.requests += REQUESTS_UNNAMED,
            }
            search.names.push(name);
        }
        search.packs = u64_of(search.names.len());
        search.time = search.estimate(repository, workers, world)?;
        Ok(search)
    }

    fn reader(&self, repository: &Repository, monitor: &Arc<Monitor>) -> Packs {
        repository.packs(PackTable::new(self.records.clone()), monitor)
    }

    /// Reads some directories, and returns how long all of them take.
    fn estimate(&self, repository: &Repository, workers: u32, world: &World) -> Result<Duration> {
        let packs = self.reader(repository, &world.monitor);
        let began = world.clock.elapsed();
        let samples = self.names.len().min(SAMPLES);
        for name in &self.names[..samples] {
            world.monitor.check()?;
            // One that can't be opened takes its time as well.
            let _opened = packs.open(name);
        }
        let each = world.clock.elapsed().saturating_sub(began) / u32_of(samples.max(1));
        let rounds = self.packs.div_ceil(u64::from(workers.max(1)));
        Ok(each.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)))
    }

    /// Looks into every pack, and puts relocation records for what is found.
    pub(super) fn run(
        &self,
        repository: &Repository,
        workers: u32,
        world: &World,
    ) -> Result<Found> {
        let monitor = &world.monitor;
        let packs = self.reader(repository, monitor);
        let mut found: BTreeMap<BlockHash, Vec<EntryAddress>> = BTreeMap::new();
        let shape =
            Shape { planner: "plan", workers, weight_max: u64::from(workers.max(1)) * 2, monitor };
        crew::in_order(
            shape,
            |planner| self.names.iter().try_for_each(|name| planner.work(1, name)),
            || |name: &PackName| self.look_into(&packs, name),
            |hits: Vec<(BlockHash, EntryAddress)>| {
                for (hash, at) in hits {
                    let copies = found.entry(hash).or_default();
                    if copies.len() < COPIES_MAX {
                        copies.push(at);
                    }
                }
                Ok(())
            },
        )?;
        if found.is_empty() {
            return Ok(Found::default());
        }
        let held: BTreeSet<PackName> = found.values().flatten().map(|at| at.pack).collect();
        let intent = HoldingRun::begin(repository, IntentVerb::Repair, &held, world)?;
        let done = self.record(repository, &packs, found, monitor);
        // Records are good without it: prune keeps the packs that they name.
        match done {
            Ok(done) => {
                intent.finish()?;
                Ok(done)
            }
            Err(error) => {
                intent.give_up();
                Err(error)
            }
        }
    }

    /// Returns the wanted blocks that a pack has whole.
    fn look_into(&self, packs: &Packs, name: &PackName) -> Result<Vec<(BlockHash, EntryAddress)>> {
        let pack = match packs.open(name) {
            Ok(pack) => pack,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut hits = Vec::new();
        for (number, slot) in pack.directory().slots.iter().enumerate() {
            let Content::Whole(hash) = slot.content else { continue };
            let at = EntryAddress { pack: *name, entry: EntryNumber(u32_of(number)) };
            let wanted = self.lost.by_hash.get(&hash);
            if wanted.is_some_and(|places| !places.contains(&at)) {
                hits.push((hash, at));
            }
        }
        Ok(hits)
    }

    /// Reads what was found, and puts a record for each pack that it stands in for.
    fn record(
        &self,
        repository: &Repository,
        packs: &Packs,
        found: BTreeMap<BlockHash, Vec<EntryAddress>>,
        monitor: &Monitor,
    ) -> Result<Found> {
        let mut done = Found::default();
        let mut of_packs = Copies::new();
        for (hash, copies) in found {
            monitor.check()?;
            let is_right = |at: &&EntryAddress| packs.block_at(**at, hash).is_ok();
            let Some(copy) = copies.iter().find(is_right) else { continue };
            done.blocks += 1;
            for place in self.lost.by_hash.get(&hash).into_iter().flatten() {
                of_packs.entry(place.pack).or_default().push((place.entry, *copy));
            }
        }
        done.put = put_records(repository, of_packs, monitor)?;
        Ok(done)
    }
}
