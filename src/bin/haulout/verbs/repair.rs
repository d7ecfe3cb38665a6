//! `repair`: makes damaged metadata again from its second copies.

use std::time::Duration;

use clap::Args;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::repair::Make;
use haulout::ops::repair::Remove;
use haulout::ops::repair::RepairPlan;
use haulout::ops::repair::RepairReport;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::output::damage::Found;
use crate::output::damage::finding;
use crate::output::json::Effort;
use crate::output::phrases::fact;
use crate::output::progress::Activity;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::output::units;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db repair --plan
  haulout -r /backup/db repair

Run haulout verify first: of packs with data, repair reads only those that verify has \
found damaged. What has no good copy in this repository stays lost: fetch it with haulout \
replicate --from, or let the next backup store it again.";

/// Restore damaged metadata from its second copies
///
/// Maps, pack tables and relocation records are stored twice. Both copies are read; one that is
/// missing or has changed is made from the other. Records of damage that no longer exists are
/// removed. Exits with 0 if nothing is lost, else names what is and exits with 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct RepairArguments {
    /// Say what would be done, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,
}

impl Job for RepairArguments {
    fn traits(&self) -> Traits {
        Traits { cache: CacheUse::Refused, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.repair(self)
    }
}

impl Run<'_> {
    /// Makes second copies again, or prints the plan for that.
    pub(crate) fn repair(&self, typed: &RepairArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (began, progress) = (self.now(), self.progress(Activity::Verifying { passes: 1 }));
        let plan = ops::repair::plan(&repository, self.settings.at_once.workers, &self.world)?;
        drop(progress);
        if typed.plan {
            self.report.repair_planned(&plan)?;
            return Ok(Exit::with(plan.lost.len()));
        }
        self.report.before_repair(&plan);
        let progress = self.progress(Activity::Verifying { passes: 1 });
        let report = plan.run(&self.world)?;
        drop(progress);
        self.report.repair(&report, self.now().saturating_sub(began))?;
        let lost = report.lost.len() + report.left.findings.len();
        Ok(Exit::with(report.failed.len() + lost))
    }
}

/// The JSON report of `repair --plan`.
#[derive(Debug, Serialize)]
struct Planned<'r> {
    make: Vec<Made<'r>>,
    remove: Vec<Removed<'r>>,
    lost: &'r [String],
}

#[derive(Debug, Serialize)]
struct Made<'r> {
    object: String,
    from: String,
    why: &'r str,
}

#[derive(Debug, Serialize)]
struct Removed<'r> {
    object: String,
    why: &'r str,
}

/// The JSON report of `repair`.
#[derive(Debug, Serialize)]
struct Repaired<'r> {
    made: Vec<String>,
    removed: Vec<String>,
    failed: &'r [String],
    /// Objects that have no good copy here.
    lost: &'r [String],
    /// The findings about snapshots that follow from those.
    findings: Vec<Found<'r>>,
    #[serde(flatten)]
    effort: Effort,
}

impl Report {
    /// Prints what a repair would do.
    pub(crate) fn repair_planned(&self, plan: &RepairPlan<'_>) -> Result<()> {
        let made = |make: &'_ Make| (make.object.to_string(), make.from.to_string());
        let planned = Planned {
            make: plan
                .make
                .iter()
                .map(|make| {
                    let (object, from) = made(make);
                    Made { object, from, why: &make.why }
                })
                .collect(),
            remove: plan
                .remove
                .iter()
                .map(|Remove { object, why }| Removed { object: object.to_string(), why })
                .collect(),
            lost: &plan.lost,
        };
        self.result(&planned, || {
            let mut text = lines(plan);
            let lost = plan.lost.iter().map(|lost| fact("lost", lost));
            text.extend(lost);
            if text.is_empty() { "there is nothing to repair\n".to_owned() } else { text }
        })
    }

    /// Prints what is about to be done.
    pub(crate) fn before_repair(&self, plan: &RepairPlan<'_>) {
        for line in lines(plan).lines() {
            self.console.note(line.trim());
        }
    }

    /// Prints the report of a repair.
    pub(crate) fn repair(&self, report: &RepairReport, time: Duration) -> Result<()> {
        let RepairReport { made, removed, failed, lost, left } = report;
        for failed in failed {
            self.console.warning(failed);
        }
        let value = Repaired {
            made: made.iter().map(ToString::to_string).collect(),
            removed: removed.iter().map(ToString::to_string).collect(),
            failed,
            lost,
            findings: left.findings.iter().map(Found::from).collect(),
            effort: Effort::of(time),
        };
        self.result(&value, || {
            let mut text = match (made.len(), removed.len()) {
                (0, 0) => "nothing had to be repaired\n".to_owned(),
                (made, removed) => format!(
                    "made {} again, removed {}\n",
                    units::counted(u64_of(made), "object"),
                    units::counted(u64_of(removed), "record")
                ),
            };
            let found = left.findings.iter().map(finding);
            text.extend(lost.iter().cloned().chain(found).map(|lost| fact("lost", &lost)));
            text
        })
    }
}

fn lines(plan: &RepairPlan<'_>) -> String {
    let make = plan.make.iter().map(|Make { object, from, why, .. }| {
        fact("make", &clean(&format!("{object} from {from}: it {why}")))
    });
    let remove = plan
        .remove
        .iter()
        .map(|Remove { object, why }| fact("remove", &clean(&format!("{object}: {why}"))));
    make.chain(remove).collect()
}
