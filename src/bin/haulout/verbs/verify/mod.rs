//! `verify`: verifies what is stored.

mod ages;
mod report;
mod run;

use std::time::Duration;

use clap::Args;
use clap::ValueEnum;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Depth;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::values;
use crate::open::run::Run;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db verify --depth objects
  haulout -r /backup/db verify latest --depth pages
  haulout -r /backup/db verify --oldest --budget 2h
  haulout -r /backup/db verify --max-age 30d";

/// Verify the integrity of stored data
///
/// Says what is damaged in terms of snapshot, table and page, and records it, so that the next
/// backup stores damaged blocks again. Records what was verified as well, so that a repository can
/// be verified in parts.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VerifyArguments {
    /// Snapshots to verify [default: all]
    #[arg(value_name = "SNAPSHOT", conflicts_with_all = ["oldest", "max_age"])]
    pub(crate) snapshots: Vec<String>,

    /// How deep to look; each depth includes those before it
    #[arg(long, value_name = "DEPTH", value_enum, default_value_t = DepthName::Blocks)]
    pub(crate) depth: DepthName,

    /// Take the packs that were verified to this depth longest ago
    ///
    /// Packs that were never verified come first. Packs that no snapshot needs are left out.
    #[arg(long)]
    pub(crate) oldest: bool,

    /// With --oldest, how much: 50GiB, 2h, 30min or 5% [default: all]
    ///
    /// A size is what is read, a time ends when it is over, and a share is one of what it takes to
    /// verify everything. At least one pack is verified.
    #[arg(long, value_name = "BUDGET", value_parser = values::budget, requires = "oldest")]
    pub(crate) budget: Option<Budget>,

    /// With --oldest, say what would be read, and read no data
    #[arg(long, visible_alias = "dry-run", requires = "oldest")]
    pub(crate) plan: bool,

    /// Fail if anything was not verified to this depth within this time: 30d, 12h
    ///
    /// Alone, it only looks at what was recorded; with --oldest, at what is recorded then. New
    /// packs count from when they were stored. Exits with 3, and names the oldest.
    #[arg(long, value_name = "TIME", value_parser = values::duration, conflicts_with = "plan")]
    pub(crate) max_age: Option<Duration>,
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
    /// The part that is verified.
    pub(crate) part: Part,
    /// The depth of the verification.
    pub(crate) depth: Depth,
    /// The time within which everything must have been verified.
    pub(crate) max_age: Option<Duration>,
}

/// The part of a repository that is verified.
#[derive(Debug)]
pub(crate) enum Part {
    /// The snapshots as the user named them; none stands for all.
    Snapshots(Vec<String>),
    /// The packs that were verified longest ago, within a budget.
    Oldest(Budget),
    /// The same, and only what it would take is said.
    Planned(Budget),
    /// Nothing: what was recorded is looked at.
    Nothing,
}

impl VerifyPlan {
    /// Builds the plan from the parsed arguments.
    pub(crate) fn new(typed: VerifyArguments) -> Self {
        let budget = typed.budget.unwrap_or(Budget::Percent(100));
        let part = match (typed.oldest, typed.plan, typed.max_age) {
            (true, true, _) => Part::Planned(budget),
            (true, false, _) => Part::Oldest(budget),
            (false, _, Some(_)) => Part::Nothing,
            (false, _, None) => Part::Snapshots(typed.snapshots),
        };
        Self { part, depth: depth(typed.depth), max_age: typed.max_age }
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
