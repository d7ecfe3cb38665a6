//! Tells what the repository holds, or what one snapshot added.

use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::stats::args::StatsArguments;

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
            self.report.snapshot_stats(&stored, &mut |each| {
                ops::stats::shares(&repository, &stored, &self.monitor, each)
            })?;
            return Ok(Exit::Done);
        }
        let held = ops::stats::holdings(&repository)?;
        let listing = repository.snapshots()?;
        self.report.stats(&held, &listing)?;
        Ok(Exit::with(listing.damaged.len()))
    }
}
