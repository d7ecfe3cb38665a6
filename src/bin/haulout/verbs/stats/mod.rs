//! `stats`: shows the size of the repository, and what snapshots added.

mod report;

use clap::Args;
use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db stats
  haulout -r /backup/db stats shop@latest";

/// Show the size of the repository and what each snapshot added
///
/// Without a snapshot: the objects, the sources and what every snapshot added. With one: what each
/// of its tables added to the repository. Only maps and directories are read, no data.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct StatsArguments {
    /// Show this snapshot's tables
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
}

impl Job for StatsArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.stats(self.snapshot.as_deref())
    }
}

impl Run<'_> {
    /// Shows what the repository holds, or what one snapshot added.
    pub(crate) fn stats(&self, wanted: Option<&str>) -> Outcome<Exit> {
        let repository = self.repository()?;
        if let Some(wanted) = wanted {
            let stored = self.find(&repository, wanted)?;
            let added = ops::stats::summary::added(&repository, &stored, &self.world)?;
            self.report.snapshot_stats(&stored, &added)?;
            return Ok(Exit::Done);
        }
        let held = ops::stats::holdings(&repository)?;
        let listing = repository.snapshots()?;
        self.report.stats(repository.features(), &held, &listing)?;
        Ok(Exit::with(listing.damaged.len()))
    }
}
