//! Verifies what is stored.

use haulout::ops;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::run::find;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::tell::progress::Activity;
use crate::verbs::job::Job;
use crate::verbs::verify::plan::VerifyPlan;

impl Job for VerifyPlan {
    fn traits(&self) -> Traits {
        Traits { cache: CacheUse::Refused, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.verify(self)
    }
}

impl Run<'_> {
    /// Verifies the snapshots that are named, or all.
    pub(crate) fn verify(&self, plan: &VerifyPlan) -> Outcome<Exit> {
        let repository = self.repository()?;
        let find = |wanted: &String| find(&repository, wanted);
        let options = VerifyOptions {
            depth: plan.depth,
            snapshots: plan.snapshots.iter().map(find).collect::<Outcome<_>>()?,
            workers: self.settings.at_once.workers,
        };
        let (began, progress) = (self.now(), self.progress(verifying(plan.depth)));
        let report = ops::verify::verify(&repository, &options, &self.monitor)?;
        drop(progress);
        self.report.verify(&report, plan.depth, self.now().saturating_sub(began))?;
        Ok(Exit::with(report.findings.len()))
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
