//! `diff`: compares two snapshots.

mod report;

use clap::Args;
use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db diff 3fa9c1 shop@latest";

/// Compare two snapshots by file, page and byte
///
/// Only their maps are compared, no data is read: hashes tell what is the same. Pages are counted
/// by the blocks they are compared in, 16 KiB or a page, whichever is larger. With -v every file is
/// listed, otherwise the tables that differ most.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct DiffArguments {
    /// Earlier snapshot: id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "A")]
    pub(crate) earlier: String,

    /// The later one
    #[arg(value_name = "B")]
    pub(crate) later: String,
}

impl Job for DiffArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.diff(&self.earlier, &self.later)
    }
}

impl Run<'_> {
    /// Compares two snapshots and prints the differences.
    pub(crate) fn diff(&self, earlier: &str, later: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (earlier, later) = (self.find(&repository, earlier)?, self.find(&repository, later)?);
        self.report.diff(&earlier, &later, &mut |each| {
            ops::diff::summary::summary(&repository, &earlier, &later, &self.world, each)
        })?;
        Ok(Exit::Done)
    }
}
