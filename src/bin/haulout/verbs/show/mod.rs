//! `show`: shows what is known about a snapshot.

mod report;

use clap::Args;
use haulout::ops;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::show::report::Known;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db show shop@latest
  haulout -r /backup/db show 77b0c1d2 --log";

/// Show what is known about a snapshot
///
/// Its verdict with the reasons, positions (LSN, binary log, GTID, Galera), page statistics,
/// and its files.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct ShowArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Show what the producer wrote to its standard error, instead
    ///
    /// The first 16 KiB and the last 48 KiB are kept, without passwords. Who may only write to the
    /// repository can't read them.
    #[arg(long)]
    pub(crate) log: bool,
}

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
        let mut stored = self.find(&repository, wanted)?;
        let notes = self.notes(&repository, Some(stored.id()))?;
        notes.apply(&mut stored);
        if what == Shown::Log {
            let log = ops::show::log(&repository, &stored, &self.world)?;
            self.report.producer_log(&stored, log.as_deref())?;
            return Ok(Exit::Done);
        }
        if self.report.wants_everything() {
            ops::show::name_all_findings(&repository, &mut stored, &self.world)?;
        }
        let links = ops::chain::links(&repository, &stored)?;
        let damage = repository.known_damage()?;
        let verified = self.history(&repository)?.of(stored.id());
        let holds = notes.holds_at(stored.id(), self.world.clock.unix_seconds());
        let known = Known { damage: &damage, verified: &verified, holds: &holds };
        self.report.show(&stored, &known, &links, &mut |each| {
            ops::show::members(&repository, &stored, &self.world, each)
        })?;
        Ok(Exit::Done)
    }
}
