//! Shows a snapshot.

use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::run::find_tagged;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::show::args::ShowArguments;

/// The part of a snapshot that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The snapshot's own facts.
    Snapshot,
    /// The messages of its producer.
    Log,
}

impl Job for ShowArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        let what = if self.log { Shown::Log } else { Shown::Snapshot };
        run.show(&self.snapshot, what)
    }
}

impl Run<'_> {
    /// Shows a snapshot, or the messages of its producer.
    fn show(&self, wanted: &str, what: Shown) -> Outcome<Exit> {
        let repository = self.repository()?;
        let mut stored = find_tagged(self, &repository, wanted)?;
        if what == Shown::Log {
            let log = ops::show::log(&repository, &stored, &self.monitor)?;
            self.report.producer_log(&stored, log.as_deref())?;
            return Ok(Exit::Done);
        }
        if self.report.wants_everything() {
            ops::show::name_all_findings(&repository, &mut stored, &self.monitor)?;
        }
        let links = ops::chain::links(&repository, &stored)?;
        let damage = repository.known_damage()?;
        self.report.show((&stored, &damage), &links, &mut |each| {
            ops::show::members(&repository, &stored, &self.monitor, each)
        })?;
        Ok(Exit::Done)
    }
}
