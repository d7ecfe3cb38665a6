//! What is there, looked at in the order that makes deletions safe: what is out, the runs that
//! stand, the snapshots.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Monitor;
use crate::format::intent::IntentVerb;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::RELOCATION_TWINS_PREFIX;
use crate::format::snapshot::SnapshotKind;
use crate::ops::prune::wishes::Fewer;
use crate::repo::Repository;
use crate::repo::fences::Fences;
use crate::repo::removals::Removals;
use crate::repo::snapshot_lists::KeptBefore;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::repo::standing::StandingRun;
use crate::seal::ids::RunId;
use crate::store::name::ObjectMeta;

/// The ids of snapshots.
pub(super) type Ids = BTreeSet<SnapshotId>;

/// What a prune has seen.
#[derive(Debug)]
pub(super) struct View {
    /// The snapshots that are out, of those that were asked for.
    pub(super) out: Ids,
    removals: Removals,
    pub(super) fences: Fences,
    /// The runs that stand; those that verdicts break are not among them.
    pub(super) standing: Vec<StandingRun>,
    /// The runs that stood and were broken.
    pub(super) broken: Vec<StandingRun>,
    /// The snapshots that were listed, oldest first, but for those that are out and gone.
    pub(super) snapshots: Vec<StoredSnapshot>,
    /// The names of the snapshots that were listed.
    pub(super) listed: Vec<SnapshotName>,
    /// The snapshots that listed ones which are not out can't be restored without.
    required: Ids,
    /// The relocation records of each pack, in both copies.
    pub(super) moves: BTreeMap<PackName, Vec<Object>>,
    /// Runs that have put a snapshot, and whether it ended them.
    runs: BTreeMap<RunId, HasEnded>,
    /// Runs that were seen to have ended, by their intents.
    gone: BTreeSet<RunId>,
    /// The snapshots of runs without intents that still ran when intents began.
    late: Ids,
    /// The snapshots that earlier prunes have kept.
    pub(super) kept_before: KeptBefore,
    /// Records that do not count.
    pub(super) doubted: Vec<Error>,
}

/// What the snapshots of a run show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HasEnded {
    /// It has put a checkpoint, and may go on.
    Unknown,
    /// It has put a snapshot that is none.
    Yes,
}

impl View {
    /// Looks at everything but packs. Snapshots that are to be removed count as out already, for a
    /// plan.
    pub(super) fn look(
        repository: &Repository,
        to_be_removed: Ids,
        fewer: Fewer,
        monitor: &Monitor,
    ) -> Result<Self> {
        // Before the snapshots are listed: those of a prune that ends in between may be newer.
        let mut kept_before = repository.kept_before()?;
        // What is out is what is seen here: what comes later counts for the next prune.
        let removals = repository.removals(None)?;
        let mut fences = repository.fences()?;
        let mut doubted = fences.take_doubted();
        doubted.append(&mut kept_before.doubted);
        let standing = repository.standing()?;
        if let Some((run, error)) = standing.unread.into_iter().next() {
            let what = format!("it is not known what run {run} relies on, so nothing is deleted");
            return Err(Error::new(ErrorKind::Damaged, what).because(error));
        }
        // A prune writes no packs and relies on nothing; this one stands itself.
        let runs = standing.runs.into_iter().filter(|run| run.verb != IntentVerb::Prune);
        let (broken, standing_runs): (Vec<_>, Vec<_>) =
            runs.partition(|run| fences.judges(run.run));
        let mut view = Self {
            out: to_be_removed,
            removals,
            fences,
            standing: standing_runs,
            broken,
            snapshots: Vec::new(),
            listed: Vec::new(),
            required: Ids::new(),
            moves: BTreeMap::new(),
            runs: BTreeMap::new(),
            gone: standing.ended,
            late: Ids::new(),
            kept_before,
            doubted,
        };
        view.list_snapshots(repository)?;
        if fewer == Fewer::Refused {
            view.check_kept_before(repository)?;
        }
        view.list_moves(repository)?;
        // Removals are many after some years. Those of snapshots that are not listed matter only to
        // runs: which of them have ended, and which have lost a root.
        let there: Ids = view.listed.iter().map(|name| name.id).collect();
        let all = !view.standing.is_empty() || !view.broken.is_empty();
        view.read_removals(repository, &|id| all || there.contains(id))?;
        view.read_snapshots(repository, monitor)?;
        view.check_lineages(repository)?;
        Ok(view)
    }

    /// Reads the removals of some snapshots.
    fn read_removals(
        &mut self,
        repository: &Repository,
        is_wanted: &dyn Fn(&SnapshotId) -> bool,
    ) -> Result<()> {
        for id in self.removals.snapshots().into_iter().filter(is_wanted) {
            let doubted = &mut self.doubted;
            let Some(removal) = repository.removal_of(&self.removals, id, doubted)? else {
                continue;
            };
            self.out.insert(id);
            self.note_run(&removal.run, removal.kind);
        }
        Ok(())
    }

    /// Lists the snapshots, twice: a store may give a list that lacks one, once.
    fn list_snapshots(&mut self, repository: &Repository) -> Result<()> {
        self.listed = repository.listed_snapshots(None)?;
        self.listed.extend(repository.listed_snapshots(None)?);
        self.listed.sort_unstable_by_key(|name| (name.source, name.sequence, name.id));
        self.listed.dedup();
        let there: Ids = self.listed.iter().map(|name| name.id).collect();
        // Who judged a run has seen these.
        let removed = self.removals.snapshots();
        let spared = self.fences.spared().find(|id| !there.contains(id) && !removed.contains(id));
        match spared {
            None => Ok(()),
            Some(id) => Err(short_list(id)),
        }
    }

    /// Fails if snapshots that an earlier prune kept are neither listed nor removed.
    fn check_kept_before(&self, repository: &Repository) -> Result<()> {
        let mut known = self.removals.snapshots();
        known.extend(self.listed.iter().map(|name| name.id));
        if self.kept_before.snapshots.is_subset(&known) {
            return Ok(());
        }
        // Another prune may have removed one since.
        known.extend(repository.removals(None)?.snapshots());
        let lost: Vec<&SnapshotId> = self.kept_before.snapshots.difference(&known).collect();
        let Some(first) = lost.first() else { return Ok(()) };
        let what = format!(
            "snapshots that the last prune kept are neither listed nor removed: {} in all, the \
             first is {}; nothing is deleted by a list that may be short",
            lost.len(),
            first.short()
        );
        Err(Error::new(ErrorKind::Gap, what))
    }

    /// Lists the relocation records, in both copies. A run puts them before its snapshot.
    fn list_moves(&mut self, repository: &Repository) -> Result<()> {
        for prefix in [Folder::Moves.prefix(), RELOCATION_TWINS_PREFIX] {
            let mut add = |meta: ObjectMeta| {
                let object = Object::parse(&meta.name);
                if let Some(
                    object
                    @ (Object::Relocation { pack, .. } | Object::RelocationTwin { pack, .. }),
                ) = object
                {
                    self.moves.entry(pack).or_default().push(object);
                }
            };
            let listed = repository.store().list(prefix, &mut add);
            listed.map_err(|e| e.named(format!("cannot list {prefix}")))?;
        }
        Ok(())
    }

    fn read_snapshots(&mut self, repository: &Repository, monitor: &Monitor) -> Result<()> {
        for name in &self.listed {
            monitor.check()?;
            let is_out = self.out.contains(&name.id);
            match repository.read_any_snapshot(name) {
                Ok(stored) => self.snapshots.push(stored),
                // Another prune has come to its end.
                Err(error) if is_out && error.kind() == ErrorKind::Missing => {}
                Err(error) if is_out => self.doubted.push(error),
                // The run that put it has another one, under the new key.
                Err(error) if repository.was_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.snapshots.iter().any(|stored| stored.snapshot.about.protocol.is_none()) {
            let earlier = repository.earlier()?;
            let late =
                |stored: &&StoredSnapshot| earlier.doubts(stored.id(), &stored.snapshot.about);
            self.late = self.snapshots.iter().filter(late).map(StoredSnapshot::id).collect();
        }
        for at in 0..self.snapshots.len() {
            let (id, about) = (self.snapshots[at].id(), &self.snapshots[at].snapshot.about);
            if self.fences.bars(&about.run, id) {
                self.out.insert(id);
            }
            let (run, kind) = (about.run.clone(), about.kind);
            self.note_run(&run, kind);
        }
        for stored in self.snapshots.iter().filter(|stored| !self.out.contains(&stored.id())) {
            let requires = stored.snapshot.about.requires.iter();
            self.required.extend(requires.filter_map(|id| hex::decode(id)).map(SnapshotId));
        }
        Ok(())
    }

    fn note_run(&mut self, run: &str, kind: SnapshotKind) {
        let Some(run) = hex::decode(run).map(RunId::new) else { return };
        let ended = match kind {
            SnapshotKind::Checkpoint => HasEnded::Unknown,
            SnapshotKind::Full | SnapshotKind::Incremental => HasEnded::Yes,
        };
        let known = self.runs.entry(run).or_insert(ended);
        *known = ended.max(*known);
    }

    /// Fails if a snapshot that another one follows or requires is neither listed nor removed, and
    /// is there all the same: then the list is short.
    fn check_lineages(&self, repository: &Repository) -> Result<()> {
        let mut known = self.removals.snapshots();
        known.extend(self.listed.iter().map(|name| name.id));
        let lacks = |id: &SnapshotId| !known.contains(id);
        for stored in self.kept() {
            let about = &stored.snapshot.about;
            let id = |text: &String| hex::decode(text).map(SnapshotId);
            if let Some(required) = about.requires.iter().filter_map(id).find(lacks) {
                return Err(short_list(required));
            }
            // A copy need not have what another one follows.
            let Some(id) = about.parent.as_ref().and_then(id).filter(lacks) else { continue };
            let sequence = stored.name.sequence.saturating_sub(1);
            let object = SnapshotName { sequence, id, ..stored.name }.object();
            let there = repository.store().size(&object);
            if there.map_err(|e| e.named(format!("cannot look for {object}")))?.is_some() {
                return Err(short_list(id));
            }
        }
        Ok(())
    }

    /// Takes runs for ended, for a plan.
    pub(super) fn take_for_ended<'i>(&mut self, runs: impl Iterator<Item = &'i RunId>) {
        let ended: BTreeSet<RunId> = runs.copied().collect();
        let (broken, standing) = std::mem::take(&mut self.standing)
            .into_iter()
            .partition(|run| ended.contains(&run.run));
        self.standing = standing;
        self.broken.extend::<Vec<_>>(broken);
    }

    /// Tells whether a run that has an intent has ended, by what it has put.
    pub(super) fn has_ended(&self, run: &StandingRun) -> bool {
        // Copies carry the id of the run that made them first, so they show nothing.
        run.verb == IntentVerb::Backup && self.runs.get(&run.run) == Some(&HasEnded::Yes)
    }

    /// Returns the runs that stand and have not ended.
    pub(super) fn runs_under_way(&self) -> impl Iterator<Item = &StandingRun> {
        self.standing.iter().filter(|run| !self.has_ended(run))
    }

    /// Returns the snapshots that are roots of runs that stand.
    pub(super) fn roots(&self) -> impl Iterator<Item = &SnapshotName> {
        self.standing.iter().flat_map(|run| &run.roots)
    }

    /// Returns the snapshots whose packs stay, the newest first: those that are not out, and those
    /// that one of them requires. An increment that was being made when its full backup was removed
    /// would be lost otherwise.
    pub(super) fn kept(&self) -> impl Iterator<Item = &StoredSnapshot> {
        self.snapshots.iter().rev().filter(|stored| !self.may_go(&stored.id()))
    }

    /// Returns the snapshots that are listed and out, and that nothing relies on.
    pub(super) fn snapshots_to_delete(&self) -> impl Iterator<Item = &SnapshotName> {
        let roots: Ids = self.roots().map(|name| name.id).collect();
        self.listed.iter().filter(move |name| self.may_go(&name.id) && !roots.contains(&name.id))
    }

    /// Returns the snapshots that are listed, not out, and doubtful.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = &SnapshotName> {
        let kept = self.listed.iter().filter(|name| !self.may_go(&name.id));
        kept.filter(|name| self.doubts(name.id))
    }

    /// Tells whether a snapshot may lack packs, and is not to be relied upon.
    pub(super) fn doubts(&self, id: SnapshotId) -> bool {
        self.fences.doubts(id) || self.late.contains(&id)
    }

    fn may_go(&self, id: &SnapshotId) -> bool {
        self.out.contains(id) && !self.required.contains(id)
    }

    /// Reads all removals, and returns the runs whose snapshots they are about.
    pub(super) fn runs_removed(&self, repository: &Repository) -> Result<BTreeSet<RunId>> {
        let mut runs = BTreeSet::new();
        for id in self.removals.snapshots() {
            let removal = repository.removal_of(&self.removals, id, &mut Vec::new())?;
            let named = removal.into_iter().flat_map(|removal| [vec![removal.run], removal.runs]);
            runs.extend(named.flatten().filter_map(|run| hex::decode(&run)).map(RunId::new));
        }
        Ok(runs)
    }

    /// Tells whether it is known that a run has written here.
    pub(super) fn knows(&self, run: RunId) -> bool {
        let mut runs = self.standing.iter().chain(&self.broken);
        self.runs.contains_key(&run)
            || self.gone.contains(&run)
            || self.fences.names(run)
            || runs.any(|standing| standing.run == run)
    }
}

fn short_list(id: SnapshotId) -> Error {
    let what = format!(
        "snapshot {} is known and was not listed: nothing is deleted by a list that may be short",
        id.short()
    );
    Error::new(ErrorKind::Gap, what)
}
