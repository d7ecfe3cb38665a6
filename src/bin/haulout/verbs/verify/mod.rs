//! `verify`: verifies what is stored.

mod report;

use clap::Args;
use clap::ValueEnum;
use haulout::ops;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::run::find;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::output::progress::Activity;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db verify --depth objects
  haulout -r /backup/db verify latest --depth pages";

/// Verify the integrity of stored data
///
/// Says what is damaged in terms of snapshot, table and page, and records it, so that the next
/// backup stores damaged blocks again.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VerifyArguments {
    /// Snapshots to verify [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,

    /// How deep to look; each depth includes those before it
    #[arg(long, value_name = "DEPTH", value_enum, default_value_t = DepthName::Blocks)]
    pub(crate) depth: DepthName,
}

/// The depth to which `verify` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DepthName {
    /// Names and sizes of all objects
    Objects,
    /// The checksum of every stored object
    Stored,
    /// Every block, decrypted, decompressed and hashed
    Blocks,
    /// The checksum that every page of InnoDB and Aria carries as well
    Pages,
}

/// The settings of one verification.
#[derive(Debug)]
pub(crate) struct VerifyPlan {
    /// The snapshots as the user named them; none stands for all.
    pub(crate) snapshots: Vec<String>,
    /// The depth of the verification.
    pub(crate) depth: Depth,
}

impl VerifyPlan {
    /// Builds the plan from the parsed arguments.
    pub(crate) fn new(typed: VerifyArguments) -> Self {
        Self { snapshots: typed.snapshots, depth: depth(typed.depth) }
    }
}

fn depth(name: DepthName) -> Depth {
    match name {
        DepthName::Objects => Depth::Objects,
        DepthName::Stored => Depth::Stored,
        DepthName::Blocks => Depth::Blocks,
        DepthName::Pages => Depth::Pages,
    }
}

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
            snapshots: plan.snapshots.iter().map(find).collect::<Outcome<_>>()?,
            workers: self.settings.at_once.workers,
            ..VerifyOptions::new(plan.depth)
        };
        let (began, progress) = (self.now(), self.progress(verifying(plan.depth)));
        let report = ops::verify::verify(&repository, &options, &self.world)?;
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
