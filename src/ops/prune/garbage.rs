//! The packs that no snapshot needs and no run keeps.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::intent::IntentVerb;
use crate::format::layout::Object;
use crate::format::trailer::TRAILER_BYTES;
use crate::format::trailer::Trailer;
use crate::ops::prune::deletions::Deleted;
use crate::ops::prune::deletions::Deletions;
use crate::ops::prune::guard::LOOK_DELETIONS_MAX;
use crate::ops::prune::live::needed;
use crate::ops::prune::view::View;
use crate::ops::prune::wishes::Orphans;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::PackMarks;
use crate::repo::lineage::TableNodes;
use crate::repo::standing::StandingRun;
use crate::seal::ids::RunId;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The part of all packs, as one in so many, that may be named by no snapshot.
const UNNAMED_ONE_IN: u64 = 5;
/// Fewest packs that are named by no snapshot and are too many.
const UNNAMED_MIN: u64 = 6;

/// A pack that is deleted, with its second copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doomed {
    /// The name of the pack.
    pub pack: PackName,
    /// The bytes of all copies.
    pub bytes: u64,
    /// The bytes of the copy in `packs/`, if there is one.
    first: Option<u64>,
    /// The bytes of the copy in `twins/`, if there is one.
    second: Option<u64>,
}

/// Requests of a look.
const LOOK_REQUESTS: u64 = 3;

/// Packs whose names are made at a time.
const WINDOW: usize = 16 * LOOK_DELETIONS_MAX;

/// Deletes packs, of each the second copy first, and returns those that are gone.
pub(super) fn delete(doomed: &[Doomed], deletions: &mut Deletions<'_, '_>) -> Result<Vec<Doomed>> {
    let mut deleted = Vec::with_capacity(doomed.len());
    for window in doomed.chunks(WINDOW) {
        let seconds: Vec<&Doomed> = window.iter().filter(|pack| pack.second.is_some()).collect();
        let names: Vec<ObjectName> =
            seconds.iter().map(|doomed| Object::Twin(doomed.pack).name()).collect();
        let done = deletions.all(&names)?;
        let stays =
            |(doomed, done): (&&Doomed, Deleted)| (done == Deleted::Refused).then_some(doomed.pack);
        let stay: BTreeSet<PackName> = seconds.iter().zip(done).filter_map(stays).collect();
        let (firsts, others): (Vec<Doomed>, Vec<Doomed>) = window
            .iter()
            .filter(|doomed| !stay.contains(&doomed.pack))
            .copied()
            .partition(|doomed| doomed.first.is_some());
        let names: Vec<ObjectName> =
            firsts.iter().map(|doomed| Object::Pack(doomed.pack).name()).collect();
        let done = firsts.into_iter().zip(deletions.all(&names)?);
        let gone = done.filter(|(_, done)| *done == Deleted::Yes).map(|(doomed, _)| doomed);
        deleted.extend(gone.chain(others));
    }
    deleted.sort_unstable_by_key(|doomed| doomed.pack);
    Ok(deleted)
}

/// A run that stands, and what is kept for it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBy {
    /// The id of the run.
    pub run: RunId,
    /// The work of the run.
    pub verb: IntentVerb,
    /// When it put its intent, seconds since 1970.
    pub since: u64,
    /// The number of packs that it wrote or holds, and nothing needs.
    pub packs: u64,
    /// The bytes of these packs.
    pub bytes: u64,
}

impl KeptBy {
    fn new(run: &StandingRun) -> Self {
        Self { run: run.run, verb: run.verb, since: run.time, packs: 0, bytes: 0 }
    }
}

/// What is to be deleted, and what is not.
#[derive(Debug)]
pub(super) struct Garbage<'i> {
    /// The number of listed packs that something needs.
    pub(super) needed: u64,
    /// The packs that something needs.
    pub(super) live: PackMarks<'i>,
    pub(super) doomed: Vec<Doomed>,
    pub(super) kept_by: Vec<KeptBy>,
}

impl<'i> Garbage<'i> {
    /// Returns the requests that the deletion of the packs and of some snapshots takes, looks
    /// included, where the store deletes this many objects with a request.
    pub(super) fn requests(&self, snapshots: usize, at_once: usize) -> u64 {
        let firsts = self.doomed.iter().filter(|doomed| doomed.first.is_some()).count();
        let seconds = self.doomed.iter().filter(|doomed| doomed.second.is_some()).count();
        let at_once = at_once.clamp(1, LOOK_DELETIONS_MAX);
        let batches = [firsts, seconds, snapshots].map(|objects| objects.div_ceil(at_once));
        let looks = (firsts + seconds + snapshots).div_ceil(LOOK_DELETIONS_MAX);
        u64_of(batches.into_iter().sum::<usize>()) + LOOK_REQUESTS * u64_of(looks)
    }

    /// Finds the garbage among the packs of an inventory that was listed before the view.
    pub(super) fn find(
        repository: &Repository,
        inventory: &'i Inventory,
        view: &View,
        orphans: Orphans,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let live = needed(repository, inventory, view, monitor)?;
        let candidates = candidates(inventory, &live);
        let packs = u64_of(inventory.packs().count());
        let needed = live.listed();
        let kept_by = view.runs_under_way().map(KeptBy::new).collect();
        let mut garbage = Self { needed, live, doomed: Vec::new(), kept_by };
        if candidates.is_empty() {
            return Ok(garbage);
        }
        let tables = named_by_tables(repository, inventory, view, monitor)?;
        let mut owners = Owners { repository, view, orphans, without: 0, unknown: Vec::new() };
        let mut unnamed_count = 0;
        for doomed in candidates.into_values() {
            monitor.check()?;
            // What a broken replicate had sent was written by runs that may be known elsewhere.
            let was_sent = view.broken.iter().any(|run| run.holds(&doomed.pack));
            let is_named = tables.contains(&doomed.pack) || was_sent;
            let named = if is_named { Named::Yes } else { Named::No };
            let known = owners.without;
            let keeper = owners.keeper(&doomed, named)?;
            unnamed_count += u64::from(named == Named::No && owners.without == known);
            match keeper {
                Some(keeper) => garbage.keep(keeper, &doomed),
                None => garbage.doomed.push(doomed),
            }
        }
        owners.finish()?;
        let is_too_many = unnamed_count * UNNAMED_ONE_IN > packs && unnamed_count >= UNNAMED_MIN;
        if is_too_many && orphans == Orphans::Refused && view.runs_under_way().next().is_none() {
            let what = format!("{unnamed_count} of {packs} packs are named by no snapshot");
            return Err(Error::new(ErrorKind::Gap, what));
        }
        Ok(garbage)
    }

    /// Notes that a pack is kept for a run.
    fn keep(&mut self, run: RunId, doomed: &Doomed) {
        if let Some(keeper) = self.kept_by.iter_mut().find(|keeper| keeper.run == run) {
            keeper.packs += 1;
            keeper.bytes += doomed.bytes;
        }
    }
}

/// Finds the runs that wrote packs which no table of a snapshot names, and of which nothing else is
/// known; nothing if one of them can't be told.
pub(super) fn unknown_runs(
    repository: &Repository,
    inventory: &Inventory,
    view: &View,
    monitor: &Arc<Monitor>,
) -> Result<Option<BTreeSet<RunId>>> {
    let tables = named_by_tables(repository, inventory, view, monitor)?;
    let orphans = Orphans::Refused;
    let mut owners = Owners { repository, view, orphans, without: 0, unknown: Vec::new() };
    for doomed in candidates(inventory, &tables).into_values() {
        monitor.check()?;
        if !view.broken.iter().any(|run| run.holds(&doomed.pack)) {
            owners.keeper(&doomed, Named::No)?;
        }
    }
    owners.pass_over_removed()?;
    Ok(owners.unknown.into_iter().map(|(_, run)| run).collect())
}

/// Returns the listed packs that nothing needs, with both copies.
fn candidates(inventory: &Inventory, live: &PackMarks<'_>) -> BTreeMap<PackName, Doomed> {
    let mut candidates: BTreeMap<PackName, Doomed> = BTreeMap::new();
    let none = |pack| Doomed { pack, bytes: 0, first: None, second: None };
    for (pack, bytes) in inventory.packs().filter(|(pack, _)| !live.contains(pack)) {
        let doomed = candidates.entry(pack).or_insert_with(|| none(pack));
        doomed.first = Some(bytes);
        doomed.bytes += bytes;
    }
    for (pack, bytes) in inventory.twins().filter(|(pack, _)| !live.contains(pack)) {
        let doomed = candidates.entry(pack).or_insert_with(|| none(pack));
        doomed.second = Some(bytes);
        doomed.bytes += bytes;
    }
    candidates
}

/// Returns the packs that the pack tables of listed snapshots name, whether these need them or not.
fn named_by_tables<'i>(
    repository: &Repository,
    inventory: &'i Inventory,
    view: &View,
    monitor: &Arc<Monitor>,
) -> Result<PackMarks<'i>> {
    let mut named = inventory.pack_marks();
    let mut nodes = TableNodes::new(repository, monitor);
    for stored in view.snapshots.iter().rev() {
        let read = nodes.new_records(&stored.snapshot.packs, &mut |record| {
            named.insert(record.name);
        });
        match read {
            Ok(()) => {}
            // What it names has an owner all the same.
            Err(error) if error.kind() != ErrorKind::Cancelled => {}
            Err(error) => return Err(error),
        }
    }
    Ok(named)
}

/// The run that wrote a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The pack is gone: another prune has deleted it.
    Gone,
    /// Its trailer can't be read.
    Unread,
    /// This run, by its trailer.
    Run(RunId),
}

/// Whether the pack table of a listed snapshot names a pack, or the intent of a broken replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// One at least does.
    Yes,
    /// None of them does.
    No,
}

/// Finds the runs that wrote packs.
struct Owners<'v> {
    repository: &'v Repository,
    view: &'v View,
    orphans: Orphans,
    /// The number of packs of runs that put no snapshot, which no table names.
    without: u64,
    /// Packs of runs that are known from nowhere, as far as was looked; without a run if that can't
    /// be read.
    unknown: Vec<(PackName, Option<RunId>)>,
}

impl Owners<'_> {
    /// Returns the run for which a pack is kept that nothing needs.
    fn keeper(&mut self, doomed: &Doomed, named: Named) -> Result<Option<RunId>> {
        let view = self.view;
        if let Some(run) = view.runs_under_way().find(|run| run.holds(&doomed.pack)) {
            return Ok(Some(run.run));
        }
        let stands = view.runs_under_way().next().is_some();
        if !stands && named == Named::Yes {
            return Ok(None);
        }
        let owner = match self.owner(doomed)? {
            Owner::Gone => return Ok(None),
            Owner::Unread => None,
            Owner::Run(run) => Some(run),
        };
        if let Some(run) = view.runs_under_way().find(|run| Some(run.run) == owner) {
            return Ok(Some(run.run));
        }
        let is_without = owner.is_some_and(|run| run.puts_no_snapshot());
        self.without += u64::from(is_without);
        let is_known = is_without || owner.is_some_and(|run| view.knows(run));
        if named == Named::No && !is_known && self.orphans == Orphans::Refused {
            self.unknown.push((doomed.pack, owner));
        }
        Ok(None)
    }

    /// Finds the run that wrote a pack.
    fn owner(&self, doomed: &Doomed) -> Result<Owner> {
        let (object, bytes) = match (doomed.first, doomed.second) {
            (Some(bytes), _) => (Object::Pack(doomed.pack), bytes),
            (None, second) => (Object::Twin(doomed.pack), second.unwrap_or_default()),
        };
        let from = bytes.saturating_sub(u64_of(TRAILER_BYTES));
        let name = object.name();
        match self.repository.store().get_range(&name, from..bytes) {
            Ok(tail) => {
                let trailer = tail.first_chunk().and_then(|tail| Trailer::decode(tail).ok());
                Ok(trailer.map_or(Owner::Unread, |trailer| Owner::Run(RunId::new(trailer.run))))
            }
            Err(error) if error.category() == Category::NotFound => Ok(Owner::Gone),
            Err(error) if error.category() == Category::Damaged => Ok(Owner::Unread),
            Err(error) => Err(error.named(format!("cannot read {name}"))),
        }
    }

    /// Passes over the packs of runs that removals name.
    fn pass_over_removed(&mut self) -> Result<()> {
        if !self.unknown.is_empty() {
            let removed = self.view.runs_removed(self.repository)?;
            self.unknown.retain(|(_, run)| !run.is_some_and(|run| removed.contains(&run)));
        }
        Ok(())
    }

    /// Fails if a pack is left whose run is known from nowhere.
    fn finish(mut self) -> Result<()> {
        self.pass_over_removed()?;
        let Some((first, _)) = self.unknown.first() else { return Ok(()) };
        let what = format!(
            "{} packs were written by runs of which nothing is known, the first is {}: a snapshot \
             may be lost",
            self.unknown.len(),
            Object::Pack(*first).name()
        );
        Err(Error::new(ErrorKind::Gap, what))
    }
}
