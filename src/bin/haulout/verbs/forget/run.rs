//! Removes snapshots, or prints the plan for that.

use std::collections::BTreeSet;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::forget;
use haulout::ops::forget::Choice;
use haulout::ops::forget::ForgetPlan;
use haulout::ops::forget::Refusal;
use haulout::ops::forget::Who;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PrunePlan;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::UnreadNotes;
use haulout::repo::Repository;
use haulout::repo::SnapshotId;
use haulout::shared::num::u64_of;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::consent::unasked;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::units;
use crate::verbs::forget::args::Allowed;
use crate::verbs::forget::args::ForgetArguments;
use crate::verbs::forget::calendar::no_rule;
use crate::verbs::forget::calendar::offset;
use crate::verbs::job::Job;
use crate::verbs::prune::run::Compacts;
use crate::verbs::prune::run::Pruned;
use crate::verbs::prune::run::require_deletable;

/// The hint where neither rules nor snapshots were given.
const NO_CHOICE: &str = "give rules, as in --keep-daily 14, or name the snapshots to remove";

/// What a removal has planned and done.
pub(crate) struct Forgotten {
    pub(crate) plan: ForgetPlan,
    /// What its deletions would free, if that is known.
    pub(crate) space: Option<PrunePlan>,
    /// What was done; nothing for a plan.
    pub(crate) done: Option<PruneReport>,
    /// What the prune after it has done.
    pub(crate) pruned: Option<Pruned>,
    /// The removals are only planned.
    pub(crate) is_plan: bool,
}

impl Forgotten {
    /// Returns the number of things that someone should look at.
    fn findings(&self) -> usize {
        let Self { plan, done, pruned, .. } = self;
        let of = |done: &PruneReport| done.spared.len() + done.refused.len() + done.doubted.len();
        let spared = done.as_ref().map_or(0, of);
        let pruned = pruned.as_ref().map_or(0, Pruned::findings);
        plan.refused.len() + plan.doubtful() + spared + pruned
    }
}

impl Job for ForgetArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.forget(self)
    }
}

impl Run<'_> {
    /// Removes snapshots, or prints the plan for that.
    fn forget(&self, typed: &ForgetArguments) -> Outcome<Exit> {
        if typed.snapshots.is_empty() && !typed.rules.are_given() {
            return Err(no_rule(NO_CHOICE));
        }
        // A timer shall not learn this when there is something to remove for the first time.
        if !typed.plan && !self.can_consent(typed.consent) {
            return Err(unasked("forget removes snapshots, and there is no terminal to ask on"));
        }
        let repository = self.repository()?;
        require_deletable(&repository)?;
        let choice = self.choice(&repository, typed)?;
        let zone = &typed.rules.time_zone;
        let mut plan = forget::plan(&repository, &choice, &|at| offset(zone, at), &self.world)?;
        let allows = |refusal: Refusal| typed.allow.contains(&Allowed::from(refusal));
        plan.consent(&allows);
        let who = Who {
            program: concat!("haulout ", env!("HAULOUT_VERSION")).to_owned(),
            host: self.settings.host.clone(),
            reason: typed.reason.clone().unwrap_or_default(),
        };
        let removes = plan.removes(&who, self.world.clock.unix_seconds());
        let unread_notes =
            if allows(Refusal::UnreadNote) { UnreadNotes::Ignored } else { UnreadNotes::Refused };
        let options = PruneOptions { removes, unread_notes, ..PruneOptions::default() };
        let is_unattended = typed.consent.yes && !typed.plan;
        let space = if is_unattended { None } else { self.space(&repository, &options)? };
        let is_plan = typed.plan;
        let mut all = Forgotten { plan, space, done: None, pruned: None, is_plan };
        if typed.plan {
            self.report.forgotten(&all)?;
            return Ok(Exit::with(all.findings()));
        }
        self.report.before_forget(&all)?;
        let count = options.removes.len();
        if count > 0 {
            let question = format!("remove {}?", units::counted(u64_of(count), "snapshot"));
            self.require_consent(typed.consent, &question, "forget removes snapshots")?;
            self.require_first_deletion(&repository, typed.consent)?;
            all.done = Some(prune::remove(&repository, &options, &self.world)?);
            self.remember(&repository)?;
        }
        if typed.prune {
            let options = PruneOptions::default();
            all.pruned = Some(self.pruned(&repository, &options, &Compacts::by(typed.consent))?);
        }
        self.report.forgotten(&all)?;
        Ok(Exit::with(all.findings()))
    }

    /// Finds what the removals would free. That it can't be known stops no removal.
    fn space(&self, repository: &Repository, options: &PruneOptions) -> Outcome<Option<PrunePlan>> {
        match prune::plan(repository, options, &self.world) {
            Ok(plan) => Ok(Some(plan)),
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error.into()),
            Err(error) => {
                let why = error.with_causes();
                self.warn(format!("prune would delete nothing: {why}"));
                Ok(None)
            }
        }
    }

    /// Returns what was typed as the library has it.
    fn choice(&self, repository: &Repository, typed: &ForgetArguments) -> Outcome<Choice> {
        if typed.snapshots.is_empty() {
            let (sources, policy) = (typed.sources.clone(), typed.rules.policy());
            return Ok(Choice::ByPolicy { sources, policy });
        }
        if typed.damaged {
            return Ok(Choice::Damaged(unreadable(repository, &typed.snapshots)?));
        }
        let find = |wanted: &String| Ok(self.find(repository, wanted)?.id());
        let ids: Outcome<BTreeSet<SnapshotId>> = typed.snapshots.iter().map(find).collect();
        Ok(Choice::Named(ids?))
    }
}

/// Finds the snapshots that can't be read by the beginnings of their ids.
fn unreadable(repository: &Repository, wanted: &[String]) -> Outcome<BTreeSet<SnapshotId>> {
    let names = repository.snapshot_names(None)?;
    let mut found = BTreeSet::new();
    for wanted in wanted {
        let mut ids = names.iter().map(|name| name.id);
        let mut matching = ids.by_ref().filter(|id| id.to_string().starts_with(wanted));
        match (matching.next(), matching.next()) {
            (Some(id), None) => found.extend([id]),
            (None, _) => {
                let what = format!("there is no snapshot {wanted}");
                return Err(Error::new(ErrorKind::Usage, what).into());
            }
            (Some(_), Some(_)) => {
                let what = format!("{wanted} is the beginning of several snapshots");
                return Err(Error::new(ErrorKind::Usage, what).into());
            }
        }
    }
    Ok(found)
}
