//! Compares two snapshots.

use haulout::ops;

use crate::args::diff::DiffArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::job::Job;
use crate::run::Run;
use crate::traits::Traits;

impl Job for DiffArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.diff(&self.former, &self.later)
    }
}

impl Run<'_> {
    /// Compares two snapshots and prints the differences.
    pub(super) fn diff(&self, former: &str, later: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (former, later) = (self.find(&repository, former)?, self.find(&repository, later)?);
        self.report.diff((&former, &later), &mut |each| {
            ops::diff::diff(&repository, (&former, &later), &self.monitor, each)
        })?;
        Ok(Exit::Done)
    }
}
