//! Makes second copies again.

use haulout::ops;

use crate::args::repair::RepairArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::job::Job;
use crate::plan::replicate::Mode;
use crate::progress::Activity;
use crate::run::Run;
use crate::traits::CacheUse;
use crate::traits::Traits;

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
    pub(super) fn repair(&self, mode: Mode) -> Outcome<Exit> {
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
