//! Prunes and compacts, or prints the plan for that.

use std::collections::BTreeSet;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::prune;
use haulout::ops::prune::Audited;
use haulout::ops::prune::Fewer;
use haulout::ops::prune::Locks;
use haulout::ops::prune::NeedLists;
use haulout::ops::prune::Orphans;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::compact;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::CompactReport;
use haulout::ops::prune::compact::FirstTime;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::standing::RunId;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::consent::Answer;
use crate::open::consent::ConsentArguments;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::features::needs;
use crate::output::features::refused_before;
use crate::output::progress::Activity;
use crate::output::standing::Standing;
use crate::verbs::job::Job;
use crate::verbs::prune::args::PruneArguments;

/// The hint for a repository that an earlier version made.
const UPGRADE: &str = "run haulout upgrade, after which runs put intents and prune knows what they \
                       rely on; versions before 0.2 refuse the repository then";
/// The hint for snapshots that may be lost.
const ORPHANS: &str = "nothing was deleted: run prune again later, and look for the snapshot in a \
                       copy of the repository; if it is known what is missing, give --yes-orphans \
                       for packs, --yes-fewer for snapshots";
/// The hint for what can't be read.
const DAMAGED: &str = "nothing was deleted: haulout repair brings back what a copy has; a snapshot \
                       that stays lost is removed by haulout forget ID --damaged";
/// The words for the first deletion after an upgrade.
const FIRST_DELETION: &str = "nothing was deleted yet since the repository was upgraded, and a run \
                              of an earlier version that still stands would lose what it relies on";

/// The words for a repository with a need list that may not be believed.
const WRONG_LISTS: &str = "a need list names too few packs, or could not be compared";

/// The compaction that is wanted.
pub(crate) struct Compacts {
    /// Its options; none if it is not wanted.
    options: Option<CompactOptions>,
    consent: ConsentArguments,
}

impl Compacts {
    /// Returns the compaction by default options.
    pub(crate) fn by(consent: ConsentArguments) -> Self {
        Self { options: Some(CompactOptions::default()), consent }
    }

    fn new(typed: &PruneArguments) -> Self {
        let options = CompactOptions {
            max_unused: typed.max_unused,
            max_rewrite: typed.max_rewrite,
            ..CompactOptions::default()
        };
        Self { options: (!typed.no_compact).then_some(options), consent: typed.consent }
    }
}

/// The end of a compaction.
pub(crate) enum Compaction {
    /// The compaction is done.
    Done(CompactReport),
    /// It was left out, for this reason.
    Skipped(String),
    /// It failed, for this reason; prune has done its work all the same.
    Failed(String),
}

/// The report of a prune with a compaction.
pub(crate) struct Pruned {
    pub(crate) report: PruneReport,
    pub(crate) compaction: Compaction,
    /// The runs that stand after it.
    pub(crate) standing: Vec<Standing>,
}

impl Pruned {
    /// Returns the number of things that someone should look at.
    pub(crate) fn findings(&self) -> usize {
        let PruneReport { spared, doubtful, refused, doubted, locks, audit, .. } = &self.report;
        let locks = locks.as_ref().map_or(0, unlocked);
        let lists = wrong_lists(audit.as_ref());
        let compaction = match &self.compaction {
            Compaction::Done(report) => report.refused.len(),
            Compaction::Skipped(_) => 0,
            Compaction::Failed(_) => 1,
        };
        let doubts = doubtful.len() + doubted.len();
        spared.len() + refused.len() + doubts + compaction + locks + lists
    }
}

/// Returns the number of locks that were not extended.
fn unlocked(locks: &Locks) -> usize {
    locks.failed.len() + usize::from(locks.left() > 0)
}

/// Returns the number of need lists that an audit found wrong.
fn wrong_lists(audit: Option<&Audited>) -> usize {
    audit.map_or(0, |audit| audit.findings.len())
}

impl Job for PruneArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.prune(self)
    }
}

impl Run<'_> {
    /// Prunes the repository, or prints the plan for that.
    fn prune(&self, typed: &PruneArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        require_deletable(&repository)?;
        let orphans = if typed.yes_orphans { Orphans::Deleted } else { Orphans::Refused };
        let options = PruneOptions {
            breaks: named(&repository, &typed.breaks)?,
            abandons: named(&repository, &typed.abandons)?,
            orphans,
            fewer: if typed.yes_fewer { Fewer::Accepted } else { Fewer::Refused },
            lock: typed.extend_lock,
            need_lists: if typed.audit { NeedLists::Audited } else { NeedLists::Believed },
            ..PruneOptions::default()
        };
        let compacts = Compacts::new(typed);
        if typed.plan {
            let plan = prune::plan(&repository, &options, &self.world).map_err(explained)?;
            let compaction = match &compacts.options {
                Some(options) => Some(compact::plan(&repository, options, &self.world)?),
                None => None,
            };
            self.report.prune_planned(&plan, compaction.as_ref())?;
            let doubts = plan.doubtful.len() + plan.doubted.len();
            return Ok(Exit::with(doubts + wrong_lists(plan.audit.as_ref())));
        }
        self.require_first_deletion(&repository, typed.consent)?;
        let began = self.now();
        let pruned = self.pruned(&repository, &options, &compacts)?;
        self.report.pruned(&pruned, self.now().saturating_sub(began))?;
        Ok(Exit::with(pruned.findings()))
    }

    /// Asks before the first deletion after an upgrade: a run of an earlier version leaves no
    /// intent. A prune that has ended was asked, whether it deleted anything or not; it has left a
    /// list of what it kept.
    pub(crate) fn require_first_deletion(
        &self,
        repository: &Repository,
        consent: ConsentArguments,
    ) -> Outcome<()> {
        if consent.yes
            || !repository.removals(None)?.names().is_empty()
            || repository.earlier()?.is_empty()
            || !repository.kept_before()?.snapshots.is_empty()
        {
            return Ok(());
        }
        let question = format!("{FIRST_DELETION}: have all of them ended?");
        self.require_consent(consent, &question, FIRST_DELETION)
    }

    /// Prunes, and then compacts.
    pub(crate) fn pruned(
        &self,
        repository: &Repository,
        options: &PruneOptions,
        compacts: &Compacts,
    ) -> Outcome<Pruned> {
        let progress = self.progress(Activity::Pruning);
        let report = prune::prune(repository, options, &self.world).map_err(explained)?;
        drop(progress);
        self.remember(repository)?;
        if report.audit.as_ref().is_some_and(Audited::forbids_deletions) {
            let compaction = Compaction::Skipped(WRONG_LISTS.to_owned());
            let standing = standing(repository)?;
            return Ok(Pruned { report, compaction, standing });
        }
        let compaction = match self.compaction(repository, compacts) {
            Err(failure) if failure.kind() != ErrorKind::Cancelled => {
                self.report.console.warning(format!("the compaction failed: {}", failure.line()));
                Compaction::Failed(failure.line())
            }
            done => done?,
        };
        let standing = standing(repository)?;
        Ok(Pruned { report, compaction, standing })
    }

    fn compaction(&self, repository: &Repository, compacts: &Compacts) -> Outcome<Compaction> {
        let Some(options) = &compacts.options else {
            return Ok(Compaction::Skipped("--no-compact".to_owned()));
        };
        let mut options = options.clone();
        if !repository.features().include(Features::COMPACTED) {
            let plan = compact::plan(repository, &options, &self.world)?;
            if plan.packs == 0 {
                return Ok(Compaction::Done(CompactReport::default()));
            }
            let needs = needs(Features::COMPACTED).unwrap_or_default();
            let refused = refused_before(&repository.store().location(), &needs);
            let question = format!("the first compaction sets feature 1, and {refused}: compact?");
            match self.answer(compacts.consent, &question)? {
                Answer::Yes => options.first_time = FirstTime::SetsFeature,
                Answer::No => return Ok(Compaction::Skipped("the answer was no".to_owned())),
                Answer::Unasked => {
                    let why = format!("the first one sets feature 1, and {refused}: give --yes");
                    return Ok(Compaction::Skipped(why));
                }
            }
        }
        let progress = self.progress(Activity::Pruning);
        let report = compact::compact(repository, &options, &self.world)?;
        drop(progress);
        Ok(Compaction::Done(report))
    }
}

/// Returns the runs that stand.
fn standing(repository: &Repository) -> Outcome<Vec<Standing>> {
    Ok(repository.standing()?.runs.iter().map(Standing::from).collect())
}

/// Refuses a key that may not delete, and a repository in which nothing may be deleted.
pub(crate) fn require_deletable(repository: &Repository) -> Outcome<()> {
    prune::require_allowed(repository).map_err(|error| {
        if error.kind() == ErrorKind::Unsupported {
            return Failure::new(error, UPGRADE);
        }
        error.into()
    })
}

/// Gives the error of a prune its hint.
fn explained(error: Error) -> Failure {
    let hints = [(ErrorKind::Gap, ORPHANS), (ErrorKind::Damaged, DAMAGED)];
    match hints.into_iter().find(|(kind, _)| *kind == error.kind()) {
        Some((_, hint)) => Failure::new(error, hint),
        None => error.into(),
    }
}

/// Finds the runs that stand and whose ids begin like this.
fn named(repository: &Repository, wanted: &[String]) -> Outcome<BTreeSet<RunId>> {
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let standing = repository.standing()?;
    let unread = standing.unread.iter().map(|(run, _)| *run);
    let runs: BTreeSet<RunId> = standing.runs.iter().map(|run| run.run).chain(unread).collect();
    let mut found = BTreeSet::new();
    for wanted in wanted {
        let mut matching = runs.iter().filter(|run| run.to_string().starts_with(wanted));
        match (matching.next(), matching.next()) {
            (Some(run), None) if !wanted.is_empty() => found.extend([*run]),
            (None, _) => return Err(no_run(format!("no run {wanted} stands"))),
            (Some(_), _) => {
                return Err(no_run(format!("{wanted} is the beginning of several runs")));
            }
        }
    }
    Ok(found)
}

fn no_run(what: String) -> Failure {
    Failure::usage(what, "haulout unlock names the runs that stand")
}
