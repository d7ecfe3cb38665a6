//! Retention: which snapshots a policy keeps, and the removal of the others.
//!
//! A plan says why each snapshot is kept, and what takes the place of each that is removed, before
//! anything is. What would be a mistake more often than a wish is refused ([`Refusal`]), and each
//! refusal has a flag of its own. One that is about a source keeps the snapshots of that source;
//! those of the others go all the same.
//!
//! A policy decides about the snapshots of each source for itself. It counts what is whole: a
//! snapshot that lacks a pack is neither counted nor removed.

pub mod calendar;
pub mod policy;
pub mod window;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::world::World;
use crate::format::binlog::BINLOG_SUFFIX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::removed::Removal;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::Verdict;
use crate::ops::forget::policy::Candidate;
use crate::ops::forget::policy::Decision;
use crate::ops::forget::policy::Kept;
use crate::ops::forget::policy::Policy;
use crate::ops::forget::policy::State;
use crate::ops::forget::policy::decide;
use crate::ops::forget::window::Binlog;
use crate::ops::forget::window::Window;
use crate::ops::prune;
use crate::ops::prune::Removing;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::needs::NeedsReader;
use crate::repo::notes::Notes;
use crate::repo::snapshots::Described;
use crate::repo::snapshots::Listing;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::repo::standing::IntentVerb;
use crate::repo::standing::RunId;
use crate::repo::standing::StandingRun;

/// The snapshots that are to be removed, as they are chosen.
#[derive(Debug, Clone)]
pub enum Choice {
    /// What a policy does not keep, of these sources or of all.
    ByPolicy {
        /// The names of the sources; empty for all.
        sources: Vec<String>,
        /// The rules of the policy.
        policy: Policy,
    },
    /// These snapshots, which can be read.
    Named(BTreeSet<SnapshotId>),
    /// These snapshots, none of which can be read.
    Damaged(BTreeSet<SnapshotId>),
}

/// Fewest snapshots of a source that are more than half of it, and too many to go at once.
const HALF_MIN: usize = 6;
/// A time that is this long after the clock is a mistake of one of the two, seconds.
const FUTURE_SECONDS: u64 = 86_400;

/// A reason for which a removal is refused unless it is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No complete snapshot of the source would be left.
    NoneComplete,
    /// The newest complete snapshot of the source would go.
    NewestComplete,
    /// More than half of the snapshots of the source would go.
    Half,
    /// The rules keep nothing.
    NothingKept,
    /// No snapshot of the source has a tag that the policy names.
    NoTag,
    /// Snapshots are dated a day after this clock.
    Future,
    /// A snapshot is held.
    Held,
    /// A snapshot that stays can't be restored without one that would go.
    Required,
    /// A note can't be read, and may hold a snapshot.
    UnreadNote,
    /// A snapshot can't be read.
    UnreadSnapshot,
}

/// A refusal with the source that it is about, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason for the refusal.
    pub refusal: Refusal,
    /// The source whose snapshots stay; all stay if there is none.
    pub source: Option<String>,
    /// The same in words, with what it is about.
    pub words: String,
}

/// Words for the records of what is removed.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// The program and its version.
    pub program: String,
    /// The host that removes them.
    pub host: String,
    /// Why the snapshots are removed; the rules say it where it is empty.
    pub reason: String,
}

/// A run that stands and may rely on a snapshot: even removed, that stays until the run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootOf {
    /// The id of the run.
    pub run: RunId,
    /// The work of the run.
    pub verb: IntentVerb,
    /// When it put its intent, seconds since 1970.
    pub since: u64,
}

/// The decision about one snapshot.
#[derive(Debug)]
pub struct Decided {
    /// The snapshot, with the tags that it has now.
    pub described: Described,
    /// The decision, with all reasons.
    pub decision: Decision,
    /// The runs that may rely on it.
    pub root_of: Vec<RootOf>,
}

impl Decided {
    /// Tells whether the snapshot is to be removed.
    pub fn is_removed(&self) -> bool {
        self.decision.kept.is_empty()
    }

    /// Tells whether the snapshot lacks a pack.
    pub fn is_doubtful(&self) -> bool {
        self.decision.kept.contains(&Kept::Doubtful)
    }
}

/// The decisions about the snapshots of one source, the oldest first.
#[derive(Debug)]
pub struct SourcePlan {
    /// The name of the source.
    pub source: String,
    /// The snapshots of the source.
    pub snapshots: Vec<Decided>,
}

/// The plan of a removal.
#[derive(Debug, Default)]
pub struct ForgetPlan {
    /// The sources, in the order of their names.
    pub sources: Vec<SourcePlan>,
    /// Snapshots that can't be read and are to be removed.
    pub unread: Vec<SnapshotName>,
    /// What speaks against it.
    pub refused: Vec<Refused>,
}

impl ForgetPlan {
    /// Drops the refusals that were consented to.
    pub fn consent(&mut self, covers: &dyn Fn(Refusal) -> bool) {
        self.refused.retain(|refused| !covers(refused.refusal));
    }

    /// Tells whether the snapshots of a source stay, because something speaks against it.
    pub fn is_refused(&self, source: &str) -> bool {
        let backups = source.strip_suffix(BINLOG_SUFFIX).unwrap_or(source);
        let is_about = |of: &str| of == source || of == backups;
        self.refused.iter().any(|refused| refused.source.as_deref().is_none_or(is_about))
    }

    /// Returns the snapshots that are to be removed, with the records about them: of the sources
    /// against which nothing speaks.
    pub fn removes(&self, who: &Who, time: u64) -> Vec<Removing> {
        let allowed = self.sources.iter().filter(|plan| !self.is_refused(&plan.source));
        let gone = allowed.flat_map(|plan| &plan.snapshots).filter(|of| of.is_removed());
        let mut removes: Vec<Removing> = gone.map(|of| removing(of, who, time)).collect();
        if self.refused.is_empty() {
            removes.extend(self.unread.iter().map(|name| removing_unread(*name, who, time)));
        }
        removes
    }

    /// Returns the number of snapshots that lack a pack.
    pub fn doubtful(&self) -> usize {
        let snapshots = self.sources.iter().flat_map(|plan| &plan.snapshots);
        snapshots.filter(|decided| decided.is_doubtful()).count()
    }
}

fn removing(decided: &Decided, who: &Who, time: u64) -> Removing {
    let Decided { described: Described { name, about }, decision, .. } = decided;
    let replaced_by = decision.replaced_by.map(|id| id.to_string());
    let reason = match decision.replaced_by {
        Some(id) if who.reason.is_empty() => format!("no rule keeps it beside {}", id.short()),
        _ => who.reason.clone(),
    };
    let removal = Removal {
        time,
        program: who.program.clone(),
        host: who.host.clone(),
        predecessor: about.parent.clone(),
        run: about.run.clone(),
        runs: Vec::new(),
        kind: about.kind,
        verdict: about.verdict,
        requires: about.requires.clone(),
        reason,
        replaced_by,
        origin: about.origin.clone(),
    };
    Removing { name: *name, removal }
}

/// Returns the record about a snapshot of which only the name is known (FORMAT.md 10.4).
fn removing_unread(name: SnapshotName, who: &Who, time: u64) -> Removing {
    let reason = if who.reason.is_empty() { "it can't be read" } else { &who.reason };
    let removal = Removal {
        time,
        program: who.program.clone(),
        host: who.host.clone(),
        predecessor: None,
        run: String::new(),
        runs: Vec::new(),
        kind: SnapshotKind::Full,
        verdict: Verdict::Partial,
        requires: Vec::new(),
        reason: reason.to_owned(),
        replaced_by: None,
        origin: None,
    };
    Removing { name, removal }
}

/// Finds what a choice keeps and removes, and changes nothing. `offset` gives the seconds that
/// local time is ahead of UTC at a time.
pub fn plan(
    repository: &Repository,
    choice: &Choice,
    offset: &dyn Fn(u64) -> i64,
    world: &World,
) -> Result<ForgetPlan> {
    prune::require_allowed(repository)?;
    let listing = repository.snapshots()?;
    let notes = repository.notes(None)?;
    let lacking = lacking(repository, &listing, world)?;
    let standing = repository.standing()?.runs;
    let now = world.clock.unix_seconds();
    let mut plan = ForgetPlan::default();
    if let Some(unread) = notes.damaged.first() {
        plan.refuse(Refusal::UnreadNote, None, format!("a note can't be read: {unread}"));
    }
    if let Choice::Damaged(ids) = choice {
        plan.unread = unread(ids, &listing)?;
        plan.check_unread_holds(&notes, now);
    } else {
        plan.check_damaged(&listing);
    }
    let by_source = by_source(listing, &notes);
    let mut windows = BTreeMap::new();
    for (source, snapshots) in by_source {
        // Their names come right behind that of their backups, or those have none.
        if snapshots.iter().all(|described| described.about.binlog.is_some()) {
            let seen = Seen { notes: &notes, lacking: &lacking, now };
            let decisions = about_binlogs(choice, &source, &snapshots, &windows, &seen);
            let Some(decisions) = decisions else { continue };
            let snapshots = joined(snapshots, decisions, &standing);
            plan.sources.push(SourcePlan { source, snapshots });
            continue;
        }
        let candidates: Vec<Candidate> =
            snapshots.iter().map(|described| candidate(described, &notes, &lacking)).collect();
        let about = About { source: &source, candidates: &candidates, now };
        let decisions = match choice {
            Choice::ByPolicy { sources, .. }
                if !sources.is_empty() && !sources.contains(&source) =>
            {
                continue;
            }
            Choice::ByPolicy { policy, .. } => {
                plan.check_policy(policy, &about);
                decide(policy, &candidates, offset)
            }
            Choice::Named(ids) if candidates.iter().all(|one| !ids.contains(&one.id)) => continue,
            Choice::Named(ids) => {
                plan.check_named(ids, &about);
                named(ids, &candidates)
            }
            Choice::Damaged(ids) => {
                plan.check_required(ids, &about);
                continue;
            }
        };
        let planned = SourcePlan { source, snapshots: joined(snapshots, decisions, &standing) };
        windows.insert(planned.source.clone(), begin_of_window(&planned));
        plan.check_what_is_left(&planned, &lacking);
        plan.sources.push(planned);
    }
    plan.finish(choice)
}

/// What is known besides snapshots when binary logs are decided about.
struct Seen<'s> {
    notes: &'s Notes,
    lacking: &'s BTreeSet<SnapshotId>,
    now: u64,
}

/// Decides about the binary logs of a source; nothing if they were not chosen.
fn about_binlogs(
    choice: &Choice,
    source: &str,
    snapshots: &[Described],
    windows: &BTreeMap<String, Option<u64>>,
    seen: &Seen<'_>,
) -> Option<Vec<Decision>> {
    let Seen { notes, lacking, now } = *seen;
    match choice {
        Choice::ByPolicy { sources, policy } => {
            if !names_binlogs(sources, source) {
                return None;
            }
            let binlogs = snapshots.iter().map(|one| binlog(one, notes, lacking));
            let window = window_of(policy, source, windows);
            Some(window::decide(window, &binlogs.collect::<Vec<_>>(), now))
        }
        Choice::Named(ids) => {
            if snapshots.iter().all(|one| !ids.contains(&one.id())) {
                return None;
            }
            let candidates = snapshots.iter().map(|one| candidate(one, notes, lacking));
            Some(named(ids, &candidates.collect::<Vec<_>>()))
        }
        Choice::Damaged(_) => None,
    }
}

/// Tells whether sources that were named, or all, are those of these binary logs.
fn names_binlogs(sources: &[String], binlogs: &str) -> bool {
    let backups = binlogs.strip_suffix(BINLOG_SUFFIX).unwrap_or(binlogs);
    sources.is_empty() || sources.iter().any(|source| source == backups || source == binlogs)
}

/// Returns when the backup was started with which the window of a source begins.
fn begin_of_window(planned: &SourcePlan) -> Option<u64> {
    let begins = |of: &&Decided| of.decision.kept.contains(&Kept::WindowBegins);
    planned.snapshots.iter().find(begins).map(|of| of.described.about.started)
}

/// Returns where the window for binary logs begins.
fn window_of(policy: &Policy, binlogs: &str, windows: &BTreeMap<String, Option<u64>>) -> Window {
    let backups = binlogs.strip_suffix(BINLOG_SUFFIX).unwrap_or(binlogs);
    match (policy.pitr, windows.get(backups).copied().flatten()) {
        (None, _) => Window::None,
        (Some(_), None) => Window::Open,
        (Some(_), Some(start)) => Window::From(start),
    }
}

fn binlog(described: &Described, notes: &Notes, lacking: &BTreeSet<SnapshotId>) -> Binlog {
    let id = described.id();
    let holds = notes.holds(id);
    Binlog {
        id,
        last_time: described.about.binlog.as_ref().and_then(|index| index.last_time),
        held_until: holds.iter().map(|held| held.until.unwrap_or(u64::MAX)).max(),
        is_doubtful: lacking.contains(&id),
    }
}

/// Returns the snapshots of each source, with the tags that they have now.
fn by_source(listing: Listing<StoredSnapshot>, notes: &Notes) -> BTreeMap<String, Vec<Described>> {
    let mut by_source: BTreeMap<String, Vec<Described>> = BTreeMap::new();
    for stored in listing.snapshots {
        let mut described = Described::from(stored);
        notes.apply_to(described.id(), &mut described.about);
        by_source.entry(described.about.source.clone()).or_default().push(described);
    }
    by_source
}

/// Joins snapshots and the decisions about them, in the order of the snapshots, with the runs that
/// may rely on them.
fn joined(
    snapshots: Vec<Described>,
    decisions: Vec<Decision>,
    standing: &[StandingRun],
) -> Vec<Decided> {
    let decisions = decisions.into_iter().map(|decision| (decision.id, decision));
    let mut by_id: BTreeMap<SnapshotId, Decision> = decisions.collect();
    let decided = |described: Described| {
        let decision = by_id.remove(&described.id())?;
        let relies = standing.iter().filter(|run| run.roots.contains(&described.name));
        let root_of =
            relies.map(|run| RootOf { run: run.run, verb: run.verb, since: run.time }).collect();
        Some(Decided { described, decision, root_of })
    };
    snapshots.into_iter().filter_map(decided).collect()
}

/// Returns the names of snapshots that can't be read.
fn unread(
    ids: &BTreeSet<SnapshotId>,
    listing: &Listing<StoredSnapshot>,
) -> Result<Vec<SnapshotName>> {
    let damaged = listing.damaged.iter().map(|(name, _)| *name);
    let names: Vec<SnapshotName> = damaged.filter(|name| ids.contains(&name.id)).collect();
    match ids.iter().find(|id| !names.iter().any(|name| name.id == **id)) {
        None => Ok(names),
        Some(id) => {
            let what = format!("snapshot {} can be read, so it is not damaged", id.short());
            Err(Error::new(ErrorKind::Usage, what))
        }
    }
}

/// Finds the snapshots that lack a pack, by their need lists; one without a list is not walked.
fn lacking(
    repository: &Repository,
    listing: &Listing<StoredSnapshot>,
    world: &World,
) -> Result<BTreeSet<SnapshotId>> {
    let folders = [Folder::Moves, Folder::Packs, Folder::Twins];
    let inventory = Inventory::of(&**repository.store(), &folders, "")?;
    let of = |object: Object| {
        if let Object::Relocation { pack, .. } = object { Some(pack) } else { None }
    };
    let moved: BTreeSet<PackName> = inventory.others().filter_map(|(at, _)| of(at)).collect();
    let is_listed = |object: Object| inventory.size(&object).is_some();
    let mut lacking = BTreeSet::new();
    let mut reader = NeedsReader::new(repository, &world.monitor);
    for stored in listing.snapshots.iter().rev() {
        world.monitor.check()?;
        let needs = match reader.listed(stored) {
            Ok(Some(needs)) => needs,
            Ok(None) => continue,
            // What says what it needs is gone with one of its packs.
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                lacking.insert(stored.id());
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut is_lacking = false;
        needs.visit(&mut |record, _| {
            let pack = record.name;
            is_lacking |= !is_listed(Object::Pack(pack))
                && !is_listed(Object::Twin(pack))
                && !moved.contains(&pack);
        });
        if is_lacking {
            lacking.insert(stored.id());
        }
    }
    Ok(lacking)
}

fn candidate(described: &Described, notes: &Notes, lacking: &BTreeSet<SnapshotId>) -> Candidate {
    let (id, about) = (described.id(), &described.about);
    let holds = notes.holds(id);
    let held_until = holds.iter().map(|held| held.until.unwrap_or(u64::MAX)).max();
    let requires = about.requires.iter().filter_map(|id| hex::decode(id)).map(SnapshotId);
    Candidate {
        id,
        sequence: described.name.sequence,
        time: about.started,
        verdict: about.verdict,
        state: if lacking.contains(&id) { State::Doubtful } else { State::Whole },
        requires: requires.collect(),
        tags: about.tags.clone(),
        held_until,
    }
}

/// Decides that some snapshots of a source go, and all others stay.
fn named(ids: &BTreeSet<SnapshotId>, candidates: &[Candidate]) -> Vec<Decision> {
    let decision = |candidate: &Candidate| Decision {
        id: candidate.id,
        kept: if ids.contains(&candidate.id) { Vec::new() } else { vec![Kept::NotNamed] },
        replaced_by: None,
        has_odd_time: false,
    };
    candidates.iter().map(decision).collect()
}

/// Returns the name of the source that snapshots of this id have.
fn name_of_source(id: SourceId, listing: &Listing<StoredSnapshot>) -> Option<String> {
    let other = listing.snapshots.iter().find(|stored| stored.name.source == id)?;
    Some(other.snapshot.about.source.clone())
}

/// What is known of a source while its plan is checked.
struct About<'a> {
    source: &'a str,
    candidates: &'a [Candidate],
    /// The time of this machine, seconds since 1970.
    now: u64,
}

impl ForgetPlan {
    fn refuse(&mut self, refusal: Refusal, source: Option<&str>, words: impl Into<String>) {
        let source = source.map(str::to_owned);
        self.refused.push(Refused { refusal, source, words: words.into() });
    }

    /// Refuses to decide about the source of a snapshot that can't be read: it may be the newest
    /// good one, or require any other.
    fn check_damaged(&mut self, listing: &Listing<StoredSnapshot>) {
        for (name, error) in &listing.damaged {
            // Of a source without a readable snapshot nothing else is decided.
            let source = name_of_source(name.source, listing);
            let source = source.unwrap_or_else(|| name.source.to_string());
            let words = format!("snapshot {} can't be read: {error}", name.id.short());
            self.refuse(Refusal::UnreadSnapshot, Some(&source), words);
        }
    }

    fn check_unread_holds(&mut self, notes: &Notes, now: u64) {
        for name in self.unread.clone() {
            if !notes.holds_at(name.id, now).is_empty() {
                let words = format!("snapshot {} is held", name.id.short());
                self.refuse(Refusal::Held, None, words);
            }
        }
    }

    fn check_policy(&mut self, policy: &Policy, about: &About<'_>) {
        let source = about.source;
        if policy.keeps_nothing() {
            let words = format!("the rules keep nothing of {source}");
            self.refuse(Refusal::NothingKept, Some(source), words);
        }
        for tag in &policy.tags {
            if !about.candidates.iter().any(|candidate| candidate.tags.contains(tag)) {
                let words = format!("no snapshot of {source} has the tag {tag}");
                self.refuse(Refusal::NoTag, Some(source), words);
            }
        }
        let latest = about.now.saturating_add(FUTURE_SECONDS);
        let count = about.candidates.iter().filter(|candidate| candidate.time > latest).count();
        if count > 0 {
            let words = format!("{count} snapshots of {source} are dated a day after this clock");
            self.refuse(Refusal::Future, Some(source), words);
        }
    }

    fn check_named(&mut self, ids: &BTreeSet<SnapshotId>, about: &About<'_>) {
        self.check_required(ids, about);
        for candidate in about.candidates.iter().filter(|candidate| ids.contains(&candidate.id)) {
            if candidate.held_until.is_some_and(|until| until >= about.now) {
                let words = format!("snapshot {} is held", candidate.id.short());
                self.refuse(Refusal::Held, Some(about.source), words);
            }
        }
    }

    /// Refuses to take what a snapshot that stays can't be restored without.
    fn check_required(&mut self, ids: &BTreeSet<SnapshotId>, about: &About<'_>) {
        for candidate in about.candidates.iter().filter(|candidate| !ids.contains(&candidate.id)) {
            for required in candidate.requires.iter().filter(|required| ids.contains(required)) {
                let (id, required) = (candidate.id.short(), required.short());
                let words = format!("snapshot {id} can't be restored without {required}");
                self.refuse(Refusal::Required, Some(about.source), words);
            }
        }
    }

    /// Refuses to take the last or the newest complete snapshot of a source, or most of them.
    fn check_what_is_left(&mut self, plan: &SourcePlan, lacking: &BTreeSet<SnapshotId>) {
        let source = plan.source.as_str();
        let is_complete = |decided: &&Decided| {
            let described = &decided.described;
            described.about.verdict == Verdict::Complete && !lacking.contains(&described.id())
        };
        let mut complete = plan.snapshots.iter().filter(is_complete);
        let newest = complete.clone().max_by_key(|decided| {
            let name = decided.described.name;
            (name.sequence, name.id)
        });
        if newest.is_some() && complete.all(Decided::is_removed) {
            let words = format!("no complete snapshot of {source} would be left");
            self.refuse(Refusal::NoneComplete, Some(source), words);
        } else if let Some(newest) = newest.filter(|newest| newest.is_removed()) {
            let id = newest.described.id().short();
            let words = format!("the newest complete snapshot of {source}, {id}, would go");
            self.refuse(Refusal::NewestComplete, Some(source), words);
        }
        let all = plan.snapshots.len();
        let removed = plan.snapshots.iter().filter(|decided| decided.is_removed()).count();
        if removed >= HALF_MIN && removed * 2 > all {
            let words = format!("{removed} of {all} snapshots of {source} would go");
            self.refuse(Refusal::Half, Some(source), words);
        }
    }

    /// Leaves the refusals about what was chosen; fails if a source was chosen that is not there.
    fn finish(mut self, choice: &Choice) -> Result<Self> {
        let sources: BTreeSet<&String> = self.sources.iter().map(|plan| &plan.source).collect();
        if let Choice::ByPolicy { sources: wanted, .. } = choice
            && let Some(unknown) = wanted.iter().find(|source| !sources.contains(source))
        {
            let what = format!("there is no snapshot of {unknown}");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        if !matches!(choice, Choice::Damaged(_)) {
            self.refused.retain(|refused| {
                refused.source.as_ref().is_none_or(|source| sources.contains(source))
            });
        }
        self.refused.sort_by_key(|refused| refused.refusal);
        Ok(self)
    }
}
