//! Compares two snapshots.

use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::diff::args::DiffArguments;
use crate::verbs::job::Job;

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
    pub(crate) fn diff(&self, former: &str, later: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let (former, later) = (self.find(&repository, former)?, self.find(&repository, later)?);
        self.report.diff((&former, &later), &mut |each| {
            ops::diff::diff(&repository, (&former, &later), &self.monitor, each)
        })?;
        Ok(Exit::Done)
    }
}
