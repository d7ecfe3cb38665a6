//! Runs `verify`: everything, what was verified longest ago, or only a look at what was recorded.

use std::time::Duration;

use haulout::ops;
use haulout::ops::verify::Ages;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::repo::Repository;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::run::find;
use crate::output::progress::Activity;
use crate::verbs::verify::Part;
use crate::verbs::verify::VerifyPlan;
use crate::verbs::verify::ages::Checked;
use crate::verbs::verify::ages::Overdue;
use crate::verbs::verify::report::Done;

impl Run<'_> {
    /// Verifies what is wanted.
    pub(crate) fn verify(&self, plan: &VerifyPlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let options = VerifyOptions {
            workers: self.settings.at_once.workers,
            known_here: self.verified_here(&repository)?,
            ..VerifyOptions::new(plan.depth)
        };
        match &plan.part {
            Part::Snapshots(named) => self.verify_all(&repository, named, options),
            Part::Oldest(budget) => self.verify_oldest(&repository, plan, *budget, &options),
            Part::Planned(budget) => {
                let planned =
                    ops::verify::plan_oldest(&repository, &options, *budget, &self.world)?;
                self.report.verification_planned(&planned, plan.depth, *budget)?;
                Ok(Exit::with(planned.report.findings.len()))
            }
            Part::Nothing => self.look_at_ages(&repository, plan, &options),
        }
    }

    /// Verifies the snapshots that are named, or all.
    fn verify_all(
        &self,
        repository: &Repository,
        named: &[String],
        options: VerifyOptions,
    ) -> Outcome<Exit> {
        let found = named.iter().map(|wanted| find(repository, wanted));
        let options = VerifyOptions { snapshots: found.collect::<Outcome<_>>()?, ..options };
        let (began, progress) = (self.now(), self.progress(verifying(options.depth)));
        let report = ops::verify::verify(repository, &options, &self.world)?;
        drop(progress);
        let remembered = self.remember_verified(repository, report.unrecorded.as_ref())?;
        let done = Done {
            report: &report,
            depth: options.depth,
            slice: None,
            overdue: None,
            remembered,
            time: self.now().saturating_sub(began),
        };
        self.report.verify(&done)?;
        Ok(Exit::with(report.findings.len()))
    }

    fn verify_oldest(
        &self,
        repository: &Repository,
        plan: &VerifyPlan,
        budget: Budget,
        options: &VerifyOptions,
    ) -> Outcome<Exit> {
        let (began, progress) = (self.now(), self.progress(verifying(plan.depth)));
        let slice = ops::verify::verify_oldest(repository, options, budget, &self.world)?;
        drop(progress);
        let report = &slice.report;
        let remembered = self.remember_verified(repository, report.unrecorded.as_ref())?;
        let overdue = report.ages.as_ref().and_then(|ages| self.overdue(ages, plan));
        let done = Done {
            report,
            depth: plan.depth,
            slice: Some(&slice),
            overdue: overdue.as_ref(),
            remembered,
            time: self.now().saturating_sub(began),
        };
        self.report.verify(&done)?;
        Ok(Exit::with(report.findings.len() + usize::from(overdue.is_some())))
    }

    /// Looks at what was recorded, and verifies nothing.
    fn look_at_ages(
        &self,
        repository: &Repository,
        plan: &VerifyPlan,
        options: &VerifyOptions,
    ) -> Outcome<Exit> {
        let found = ops::verify::ages(repository, options, &self.world)?;
        let overdue = self.overdue(&found.ages, plan);
        let max_age = plan.max_age.unwrap_or(Duration::MAX);
        let checked =
            Checked { found: &found, depth: plan.depth, overdue: overdue.as_ref(), max_age };
        self.report.ages(&checked)?;
        Ok(Exit::with(found.problems.len() + usize::from(overdue.is_some())))
    }

    /// Returns what was not verified within the wanted time, if there is a wish and such.
    fn overdue(&self, ages: &Ages, plan: &VerifyPlan) -> Option<Overdue> {
        let max_age = plan.max_age?;
        let packs = ages.older_than(max_age, self.world.clock.unix_seconds());
        let oldest = ages.oldest.filter(|_| packs.count > 0)?;
        Some(Overdue { packs, oldest, max_age })
    }
}

/// Returns the activity of a verification, with how often it reads what is stored.
fn verifying(depth: Depth) -> Activity {
    let passes = match depth {
        Depth::Objects | Depth::Stored => 1,
        Depth::Blocks | Depth::Pages => 2,
    };
    Activity::Verifying { passes }
}
