//! Makes second copies again.

use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::tell::progress::Activity;
use crate::verbs::job::Job;
use crate::verbs::repair::args::RepairArguments;
use crate::verbs::replicate::plan::Mode;

impl Job for RepairArguments {
    fn traits(&self) -> Traits {
        Traits { cache: CacheUse::Refused, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        let mode = if self.plan { Mode::Plan } else { Mode::Send };
        run.repair(mode)
    }
}

impl Run<'_> {
    /// Makes second copies again, or prints the plan for that.
    pub(crate) fn repair(&self, mode: Mode) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (began, progress) = (self.now(), self.progress(Activity::Verifying { passes: 1 }));
        let plan = ops::repair::plan(&repository, self.settings.at_once.workers, &self.monitor)?;
        drop(progress);
        if mode == Mode::Plan {
            self.report.repair_planned(&plan)?;
            return Ok(Exit::with(plan.lost.len()));
        }
        self.report.before_repair(&plan);
        let progress = self.progress(Activity::Verifying { passes: 1 });
        let report = plan.run(&self.monitor)?;
        drop(progress);
        self.report.repair(&report, self.now().saturating_sub(began))?;
        let lost = report.lost.len() + report.left.findings.len();
        Ok(Exit::with(report.failed.len() + lost))
    }
}
