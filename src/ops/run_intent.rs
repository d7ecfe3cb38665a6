//! The intent of a run: what it relies on, said before it relies on anything (FORMAT.md 10.5).
//!
//! The order of requests is the promise. A run names the snapshots that it may rely on, then puts
//! its intent, then looks which of them were removed or barred; a prune puts its removals, then
//! lists the intents. One of the two sees the other, and neither waits. When the snapshot of the
//! run is there, it looks for fences again: a run that a prune has stopped reports no success.
//!
//! Invariants:
//! - Whatever a run reads of earlier snapshots, it reads of those that [`RunIntent::confirm`]
//!   returned, and it lists packs after that.
//! - In a repository without intents nothing is put. When the snapshot of the run is there, it is
//!   asked whether there still are none.
//!
//! A run that fails leaves its intent: its packs are there, and prune looks for the runs of packs.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::world::World;
use crate::format::config::Features;
use crate::format::intent::Held;
use crate::format::intent::Intent;
use crate::format::intent::IntentVerb;
use crate::format::intent::held;
use crate::repo::Repository;
use crate::repo::features::features_now;
use crate::repo::fences::Fences;
use crate::repo::snapshots::SnapshotName;
use crate::seal::ids::RunId;
use crate::store::name::ObjectName;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::finding::FindingLog;

/// The snapshots that a run may rely on, as far as they could be listed.
#[derive(Debug, Default)]
pub(super) struct RunRoots {
    /// Their names, in the order of their sequence numbers.
    pub(super) names: Vec<SnapshotName>,
    /// The largest sequence number that the source has used, 0 if it has used none; nothing if that
    /// can't be told.
    pub(super) sequence: Option<u64>,
    /// The largest epoch of the fences that the run has seen.
    pub(super) epoch: u64,
}

/// The intent of a run of a source.
#[derive(Debug)]
pub(super) struct RunIntent<'r> {
    repository: &'r Repository,
    run: RunId,
    source: SourceId,
    /// The snapshots of the source; nothing if they could not be listed.
    listed: Option<Vec<SnapshotName>>,
    /// The object of the intent; nothing in a repository without intents.
    object: Option<ObjectName>,
}

impl<'r> RunIntent<'r> {
    /// Chooses roots, all snapshots of a source, and puts the intent.
    ///
    /// A run that can't list them relies on none; that is reported to `log`.
    pub(super) fn begin(
        repository: &'r Repository,
        run: RunId,
        source: SourceId,
        time: u64,
        log: &FindingLog,
    ) -> Result<Self> {
        let listed = or_report(repository.listed_snapshots(Some(source)), log)?;
        let mut begun = Self { repository, run, source, listed, object: None };
        if !repository.has_intents() {
            return Ok(begun);
        }
        let mut intent = Intent::new(IntentVerb::Backup, time);
        let roots = begun.listed.iter().flatten().map(|name| (name.sequence, name.id));
        intent.roots.insert(source, roots.collect());
        begun.object = Some(repository.put_intent(run, &intent)?);
        Ok(begun)
    }

    /// Looks behind the intent, and returns the roots that are left. Fails if a fence names the
    /// run.
    pub(super) fn confirm(&self, log: &FindingLog) -> Result<RunRoots> {
        let Self { repository, source, .. } = *self;
        let Some(listed) = &self.listed else { return Ok(RunRoots::default()) };
        if self.object.is_none() {
            let sequence = Some(listed.last().map_or(0, |name| name.sequence));
            return Ok(RunRoots { names: listed.clone(), sequence, epoch: 0 });
        }
        let looked = repository.look_at_hidden(Some(source), listed);
        let Some(hidden) = or_report(looked, log)? else { return Ok(RunRoots::default()) };
        for error in hidden.doubted() {
            log.report(Finding::new(Code::DamagePassedOver, "fences/", error.with_causes()));
        }
        if hidden.fences().names(self.run) {
            return Err(fenced(self.run));
        }
        let largest = repository.largest_sequence(listed, hidden.removals());
        let Some(sequence) = or_report(largest, log)? else { return Ok(RunRoots::default()) };
        let names = listed.iter().filter(|name| !hidden.hides(name)).copied().collect();
        Ok(RunRoots { names, sequence: Some(sequence), epoch: hidden.fences().epoch() })
    }

    /// Fails if a fence names the run; otherwise removes the intent, if this host may.
    pub(super) fn finish(self) -> Result<()> {
        if self.object.is_none() {
            return self.require_no_intents();
        }
        if self.repository.fences()?.names(self.run) {
            return Err(fenced(self.run));
        }
        self.remove();
        Ok(())
    }

    /// Fails if runs put intents now: the repository was upgraded since this run began, so its
    /// snapshot may be doubtful.
    fn require_no_intents(&self) -> Result<()> {
        let Self { repository, run, .. } = self;
        if !features_now(&**repository.store(), repository.keyring())?.include(Features::INTENTS) {
            return Ok(());
        }
        let what = format!(
            "the repository was upgraded while this run ({run}) was under way, and may count \
             nothing that it stored: run it again"
        );
        Err(Error::new(ErrorKind::Fenced, what))
    }

    /// Removes the intent of a run that fails and has put nothing else.
    pub(super) fn give_up(self) {
        self.remove();
    }

    fn remove(&self) {
        remove(self.repository, self.object.as_ref());
    }
}

/// The packs and snapshots that a run holds.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// The packs that it relies on or will put.
    pub(super) packs: BTreeSet<Held>,
    /// The snapshots that it will put.
    pub(super) puts: BTreeSet<SnapshotId>,
}

/// The intent of a run that puts packs under names that may have been there before: those that it
/// holds (FORMAT.md 10.7).
#[derive(Debug)]
pub(super) struct HoldingRun<'r> {
    repository: &'r Repository,
    run: RunId,
    /// The objects of the intent, one for each part; none in a repository without intents.
    objects: Vec<ObjectName>,
}

impl<'r> HoldingRun<'r> {
    /// Puts an intent that holds these packs. Fails while a prune or a compaction stands: it may
    /// have listed the packs before.
    pub(super) fn begin(
        repository: &'r Repository,
        verb: IntentVerb,
        packs: &BTreeSet<PackName>,
        world: &World,
    ) -> Result<Self> {
        let packs = packs.iter().map(held).collect();
        Self::begin_with(repository, verb, Holds { packs, ..Holds::default() }, world)
    }

    /// Puts an intent that holds packs and announces snapshots, with the same looks.
    pub(super) fn begin_with(
        repository: &'r Repository,
        verb: IntentVerb,
        holds: Holds,
        world: &World,
    ) -> Result<Self> {
        let run = RunId::random(&**repository.entropy());
        Self::begin_as(repository, run, verb, holds, world)
    }

    /// Puts the intent of this run, with the same looks.
    pub(super) fn begin_as(
        repository: &'r Repository,
        run: RunId,
        verb: IntentVerb,
        holds: Holds,
        world: &World,
    ) -> Result<Self> {
        let mut begun = Self { repository, run, objects: Vec::new() };
        if !repository.has_intents() {
            return Ok(begun);
        }
        let mut intent = Intent::new(verb, world.clock.unix_seconds());
        (intent.holds, intent.puts) = (holds.packs, holds.puts);
        for part in intent.into_parts() {
            match repository.put_intent(run, &part) {
                Ok(object) => begun.objects.push(object),
                Err(error) => {
                    begun.give_up();
                    return Err(error);
                }
            }
        }
        if let Err(error) = begun.refuse_beside_deleters() {
            begun.give_up();
            return Err(error);
        }
        Ok(begun)
    }

    /// Fails while a prune or a compaction stands.
    fn refuse_beside_deleters(&self) -> Result<()> {
        let standing = self.repository.standing()?;
        let Some(deleter) = standing.deleter() else { return Ok(()) };
        let (verb, other) = (deleter.verb.name(), deleter.run);
        let place = self.repository.store().location();
        let objects: Vec<&str> = deleter.objects.iter().map(ObjectName::as_str).collect();
        let what = format!(
            "a {verb} stands in {place} (run {other}), and may delete what this command needs; if \
             it is known to be dead, remove its intent: {}",
            objects.join(", ")
        );
        Err(Error::new(ErrorKind::Busy, what))
    }

    /// Confirms a doubtful snapshot: it has all that it needs, which the intent holds.
    pub(super) fn confirm(&self, snapshot: SnapshotId) -> Result<()> {
        self.repository.put_cleared(snapshot, self.run).map(drop)
    }

    /// Looks at the fences; fails if one names the run.
    pub(super) fn look(&self) -> Result<Fences> {
        if self.objects.is_empty() {
            return Ok(Fences::default());
        }
        let fences = self.repository.fences()?;
        if fences.names(self.run) { Err(fenced(self.run)) } else { Ok(fences) }
    }

    /// Fails if a fence names the run; otherwise removes the intent, if this host may.
    pub(super) fn finish(self) -> Result<()> {
        self.look()?;
        self.give_up();
        Ok(())
    }

    /// Removes the intent of a run that fails and on which nothing relies.
    pub(super) fn give_up(self) {
        self.objects.iter().for_each(|object| remove(self.repository, Some(object)));
    }
}

/// Removes an intent. A holder of a write-only key is not expected to have the right to delete.
/// Whatever stays is removed by prune, which sees that the run has ended.
fn remove(repository: &Repository, object: Option<&ObjectName>) {
    if let Some(object) = object
        && repository.opens_data()
    {
        let _stays = repository.store().delete(object);
    }
}

/// Reports why the snapshots of a source can't be told, but for a wish to stop.
fn or_report<T>(outcome: Result<T>, log: &FindingLog) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
        Err(error) => {
            let text = format!("its snapshots could not be listed: {}", error.with_causes());
            log.report(Finding::new(Code::DamagePassedOver, "snapshots/", text));
            Ok(None)
        }
    }
}

fn fenced(run: RunId) -> Error {
    let what = format!("a prune has stopped this run ({run}), and counts nothing that it stored");
    Error::new(ErrorKind::Fenced, what)
}
