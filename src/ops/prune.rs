//! Prune: removes snapshots, and deletes what no snapshot needs (FORMAT.md 10.6).
//!
//! It runs beside backups and replicates without waiting for them. The order of its listings, not a
//! lock or a clock, keeps it from deleting what another process is about to rely on:
//!
//! 1. Its intent, with the snapshots that it removes. Then the packs: only these can be deleted.
//! 2. The holds. Then `removed/` for what is not held.
//! 3. If runs are to be broken: an announcement, the snapshots that they have put, a verdict.
//! 4. What is out: `removed/`, and the verdicts.
//! 5. The intents, with their texts: a run that is not among them either has put its snapshot,
//!    which 6 shows, or looks at `removed/` and the verdicts later than 4.
//! 6. The snapshots, twice, and the relocation records.
//! 7. What these snapshots need, and the roots of the runs of 5. Anything that can't be read ends
//!    prune without a deletion.
//! 8. Deletions in batches, second copies first, and before each batch a look whether to stop.
//! 9. The intents of runs that have ended, the objects of snapshots that are out, what was recorded
//!    about them and about deleted packs; a list of the snapshots that stay; last its own intent.
//! 10. If it is asked to: the locks of what is needed are extended (`locks`).
//!
//! Before all of it need lists are compared with the maps of their snapshots, if that is wanted
//! (`audit`).
//!
//! `tests/model` searches this order, with each of its rules left out, beside all that can meet it.
//!
//! Stopped anywhere, it leaves garbage and its intent. The intent makes replicates wait, until
//! someone says that the prune is dead ([`PruneOptions::abandons`]).
//!
//! # Memory
//!
//! A pack and its second copy take 41 bytes each, and what one snapshot needs 12 bytes a pack, one
//! snapshot at a time: 1.3 million packs take some 150 MB.

mod audit;
mod breaking;
mod clean_up;
pub mod compact;
mod deletions;
mod garbage;
mod guard;
mod live;
mod locks;
mod view;
mod wishes;

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::removed::Removal;
use crate::ops::prune::audit::Auditor;
use crate::ops::prune::deletions::Deletions;
use crate::ops::prune::garbage::Garbage;
use crate::ops::prune::guard::Guard;
use crate::ops::prune::live::looked;
use crate::ops::prune::locks::Lockable;
use crate::ops::prune::view::View;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::snapshots::SnapshotName;
use crate::seal::ids::RunId;
use crate::store::lock::Versions;

pub use crate::ops::prune::audit::AuditFinding;
pub use crate::ops::prune::audit::Audited;
pub use crate::ops::prune::audit::Difference;
pub use crate::ops::prune::audit::PACKS_NAMED_MAX;
pub use crate::ops::prune::audit::WrongList;
pub use crate::ops::prune::clean_up::CleanedUp;
pub use crate::ops::prune::garbage::Doomed;
pub use crate::ops::prune::garbage::KeptBy;
pub use crate::ops::prune::locks::FAILED_MAX;
pub use crate::ops::prune::locks::Locks;
pub use crate::ops::prune::wishes::Fewer;
pub use crate::ops::prune::wishes::NeedLists;
pub use crate::ops::prune::wishes::Orphans;
pub use crate::ops::prune::wishes::PruneOptions;
pub use crate::ops::prune::wishes::Removing;
pub use crate::ops::prune::wishes::UnreadNotes;

/// What a prune would do, without doing it.
#[derive(Debug)]
pub struct PrunePlan {
    /// The number of packs that are there.
    pub packs: u64,
    /// The number of those that a snapshot or the root of a run needs.
    pub needed: u64,
    /// The packs that would be deleted.
    pub doomed: Vec<Doomed>,
    /// What is kept for runs, and by which.
    pub kept_by: Vec<KeptBy>,
    /// The snapshots whose objects would be deleted.
    pub snapshots: Vec<SnapshotName>,
    /// The bytes of what is not needed in packs of which something is, at most.
    pub unused_bytes: u64,
    /// The requests that the deletions take.
    pub requests: u64,
    /// Snapshots that a broken replicate has put, and that no later one has confirmed.
    pub doubtful: Vec<SnapshotName>,
    /// Records that do not count, and what can't be read of what runs rely on.
    pub doubted: Vec<Error>,
    /// What the audit of need lists found, if there was one.
    pub audit: Option<Audited>,
}

impl PrunePlan {
    /// Returns the bytes that the deletions free.
    pub fn freed_bytes(&self) -> u64 {
        self.doomed.iter().map(|doomed| doomed.bytes).sum()
    }
}

/// What a prune has done.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// The snapshots that were removed.
    pub removed: Vec<SnapshotName>,
    /// The snapshots that were to be removed and were not, and why.
    pub spared: Vec<(SnapshotName, String)>,
    /// The number of packs that were there.
    pub packs: u64,
    /// The number of those that are needed.
    pub needed: u64,
    /// The packs that were deleted.
    pub deleted: Vec<Doomed>,
    /// What is kept for runs, and by which.
    pub kept_by: Vec<KeptBy>,
    /// What was cleaned up besides packs.
    pub cleaned_up: CleanedUp,
    /// The bytes of what is not needed in packs of which something is, at most.
    pub unused_bytes: u64,
    /// Snapshots that a broken replicate has put, and that no later one has confirmed.
    pub doubtful: Vec<SnapshotName>,
    /// Deletions that the store refused or failed, in words.
    pub refused: Vec<String>,
    /// Records that do not count.
    pub doubted: Vec<Error>,
    /// What the store keeps of what was deleted, if anything was.
    pub versions: Versions,
    /// What became of locks, if they were to be extended.
    pub locks: Option<Locks>,
    /// What the audit of need lists found, if there was one. If it forbids deletions, there was
    /// none.
    pub audit: Option<Audited>,
}

/// Finds what a prune would do, and changes nothing.
pub fn plan(repository: &Repository, options: &PruneOptions, world: &World) -> Result<PrunePlan> {
    require_allowed(repository)?;
    let inventory = packs(repository)?;
    let to_be_removed = options.removes.iter().map(|removing| removing.name.id).collect();
    let mut view = View::look(repository, to_be_removed, options.fewer, &world.monitor)?;
    view.take_for_ended(options.breaks.union(&options.abandons));
    let mut auditor = auditor(repository, options, world);
    if let Some(auditor) = &mut auditor {
        auditor.audit(&view)?;
    }
    let garbage = Garbage::find(repository, &inventory, &view, options.orphans, &world.monitor)?;
    let snapshots: Vec<SnapshotName> = view.snapshots_to_delete().copied().collect();
    Ok(PrunePlan {
        packs: u64_of(inventory.packs().count()),
        needed: garbage.needed,
        unused_bytes: garbage.live.unused_bytes(),
        requests: garbage.requests(snapshots.len(), repository.store().deletes_at_once()),
        snapshots,
        doubtful: view.doubtful().copied().collect(),
        doomed: garbage.doomed,
        kept_by: garbage.kept_by,
        doubted: view.doubted,
        audit: auditor.map(Auditor::into_audited),
    })
}

/// Returns the auditor of need lists, if they are to be audited.
fn auditor<'r>(
    repository: &'r Repository,
    options: &PruneOptions,
    world: &'r World,
) -> Option<Auditor<'r>> {
    (options.need_lists == NeedLists::Audited).then(|| Auditor::new(repository, &world.monitor))
}

/// Removes the snapshots that the options name, so that they are shown and restored no longer; what
/// only they need is deleted by the next prune.
pub fn remove(
    repository: &Repository,
    options: &PruneOptions,
    world: &World,
) -> Result<PruneReport> {
    require_allowed(repository)?;
    let guard = Guard::begin(repository, &options.removes, world)?;
    let mut report = PruneReport::default();
    let done = put_removals(repository, options, &mut report, world);
    guard.end(done, &mut report.refused)?;
    Ok(report)
}

/// Removes snapshots, and deletes what no snapshot needs.
pub fn prune(
    repository: &Repository,
    options: &PruneOptions,
    world: &World,
) -> Result<PruneReport> {
    require_allowed(repository)?;
    let mut auditor = auditor(repository, options, world);
    if let Some(first) = &mut auditor {
        audit_first(repository, options, first, world)?;
        if first.forbids_deletions() {
            let audit = auditor.take().map(Auditor::into_audited);
            return Ok(PruneReport { audit, ..PruneReport::default() });
        }
    }
    let mut guard = Guard::begin(repository, &options.removes, world)?;
    let mut refused = Vec::new();
    let begun = clean_up::abandon(repository, &options.abandons).and_then(|()| packs(repository));
    let inventory = match begun {
        Ok(inventory) => inventory,
        Err(error) => return guard.end(Err(error), &mut refused),
    };
    let pruning = Pruning { repository, options, inventory: &inventory, world };
    let done = pruning.run(&mut guard, auditor);
    let (mut report, lockable) = guard.end(done, &mut refused)?;
    report.refused.append(&mut refused);
    if !report.deleted.is_empty() || report.cleaned_up.snapshots > 0 {
        report.versions = repository.store().versions().unwrap_or(Versions::Unknown);
    }
    if let Some(period) = options.lock {
        report.locks = Some(locks::extend(repository, lockable, period, world)?);
    }
    Ok(report)
}

/// Audits the need lists of what is kept, before anything else is done.
fn audit_first(
    repository: &Repository,
    options: &PruneOptions,
    auditor: &mut Auditor<'_>,
    world: &World,
) -> Result<()> {
    looked(|| {
        let removed = options.removes.iter().map(|removing| removing.name.id).collect();
        let mut view = View::look(repository, removed, options.fewer, &world.monitor)?;
        view.take_for_ended(options.breaks.union(&options.abandons));
        auditor.audit(&view)
    })
}

/// A prune whose intent stands.
struct Pruning<'p, 'i> {
    repository: &'p Repository,
    options: &'p PruneOptions,
    inventory: &'i Inventory,
    world: &'p World,
}

impl<'i> Pruning<'_, 'i> {
    fn run(
        &self,
        guard: &mut Guard<'_>,
        mut auditor: Option<Auditor<'_>>,
    ) -> Result<(PruneReport, Lockable<'i>)> {
        let Pruning { repository, options, inventory, world } = *self;
        let monitor = &world.monitor;
        let mut report = PruneReport::default();
        put_removals(repository, options, &mut report, world)?;
        breaking::break_runs(repository, &options.breaks, world)?;
        let (mut view, garbage) = looked(|| {
            let view = View::look(repository, BTreeSet::new(), options.fewer, monitor)?;
            let garbage = Garbage::find(repository, inventory, &view, options.orphans, monitor)?;
            Ok((view, garbage))
        })?;
        report.packs = u64_of(inventory.packs().count());
        report.needed = garbage.needed;
        report.unused_bytes = garbage.live.unused_bytes();
        report.doubtful = view.doubtful().copied().collect();
        report.doubted.append(&mut view.doubted);
        if let Some(auditor) = &mut auditor {
            // What has come since the first look.
            auditor.audit(&view)?;
        }
        report.audit = auditor.map(Auditor::into_audited);
        if !report.audit.as_ref().is_some_and(Audited::forbids_deletions) {
            let refused = &mut report.refused;
            let mut deletions = Deletions { repository, guard, monitor, refused };
            report.deleted = garbage::delete(&garbage.doomed, &mut deletions)?;
            report.cleaned_up = clean_up::clean_up(&view, &garbage, &mut deletions)?;
            clean_up::list_kept(&view, &mut deletions, world.clock.unix_seconds())?;
        }
        report.kept_by = garbage.kept_by;
        let lockable = Lockable::new(inventory, &view, garbage.live);
        Ok((report, lockable))
    }
}

/// Refuses to prune a repository in which runs leave no intents, or with a key that may not.
pub fn require_allowed(repository: &Repository) -> Result<()> {
    if !repository.opens_data() {
        let what = "this key may add backups, and delete none";
        return Err(Error::new(ErrorKind::WriteOnly, what));
    }
    repository.require_newest_key()?;
    let required = Features::INTENTS.with(Features::NEEDS);
    if repository.features().include(required) {
        return repository.require_prompt_listings();
    }
    let what = "runs leave no intents in this repository, so nothing may be deleted";
    Err(Error::new(ErrorKind::Unsupported, what))
}

/// Lists the packs and their second copies: what is put later can't be deleted.
fn packs(repository: &Repository) -> Result<Inventory> {
    Inventory::of(&**repository.store(), &[Folder::Packs, Folder::Twins], "")
}

/// Puts a record about each snapshot that is not held, and that no other requires.
fn put_removals(
    repository: &Repository,
    options: &PruneOptions,
    report: &mut PruneReport,
    world: &World,
) -> Result<()> {
    if options.removes.is_empty() {
        return Ok(());
    }
    let nameless = options.removes.iter().filter(|removing| removing.removal.run.is_empty());
    let nameless: BTreeSet<SnapshotId> = nameless.map(|removing| removing.name.id).collect();
    let mut runs = Vec::new();
    if !nameless.is_empty() {
        match runs_of_unread(repository, nameless, world) {
            Ok(found) => runs = found,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            // The snapshot goes all the same; what only it needed is deleted when asked to.
            Err(error) => report.doubted.push(error),
        }
    }
    let notes = repository.notes(None)?;
    if let (Some(unread), UnreadNotes::Refused) = (notes.damaged.first(), options.unread_notes) {
        let what = format!("a note can't be read, and may hold a snapshot: {unread}");
        return Err(Error::new(ErrorKind::Damaged, what));
    }
    for Removing { name, removal } in &options.removes {
        if let Some(held) = notes.holds_at(name.id, removal.time).last() {
            let why = if held.reason.is_empty() {
                "it is held".to_owned()
            } else {
                format!("it is held: {}", held.reason)
            };
            report.spared.push((*name, why));
            continue;
        }
        let runs = if removal.run.is_empty() { runs.clone() } else { Vec::new() };
        repository.put_removal(name, &Removal { runs, ..removal.clone() })?;
        report.removed.push(*name);
    }
    Ok(())
}

/// Returns the runs that have put the snapshots which can't be read, as far as that shows: those
/// that wrote packs and of which nothing else is known, if they are not more than these snapshots.
/// More would be a sign of lost snapshots.
fn runs_of_unread(
    repository: &Repository,
    mut unread: BTreeSet<SnapshotId>,
    world: &World,
) -> Result<Vec<String>> {
    let inventory = packs(repository)?;
    for name in repository.listed_snapshots(None)? {
        world.monitor.check()?;
        let read = repository.read_any_snapshot(&name);
        if read.is_err_and(|error| error.kind() == ErrorKind::Damaged) {
            unread.insert(name.id);
        }
    }
    let count = unread.len();
    let view = View::look(repository, unread, Fewer::Accepted, &world.monitor)?;
    let runs = garbage::unknown_runs(repository, &inventory, &view, &world.monitor)?;
    let runs = runs.filter(|runs| runs.len() <= count).unwrap_or_default();
    Ok(runs.iter().map(RunId::to_string).collect())
}
