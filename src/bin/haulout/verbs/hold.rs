//! `hold` and `release`: keep a snapshot whatever the rules say, and end that.

use clap::Args;
use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops;
use haulout::ops::hold::HOLDS_MAX;
use haulout::ops::hold::Hold;
use haulout::ops::hold::HoldReport;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::tag;
use crate::grammar::values::until;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::output::holds::HeldUntil;
use crate::output::holds::listed;
use crate::output::holds::words;
use crate::output::phrases::fact;
use crate::output::report::Report;
use crate::output::text::clean;
use crate::output::units;
use crate::verbs::job::Job;

const HOLD_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db hold db1@latest --until 2027-06-30 --reason audit
  haulout -r /backup/db hold 3fa9c1 --reason 'before the migration'";

const RELEASE_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db release 3fa9c1";

/// Keep a snapshot whatever the rules of retention say
///
/// Until the hold ends, or haulout release ends it, forget removes the snapshot neither by rules
/// nor by name. A snapshot may have several holds: it stays until the last of them has ended.
#[derive(Debug, Args)]
#[command(after_long_help = HOLD_EXAMPLE)]
pub(crate) struct HoldArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Last day of the hold, in UTC, or its last moment [default: no end]
    ///
    /// As in 2027-06-30, or 2027-06-30T18:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = until)]
    pub(crate) until: Option<u64>,

    /// Why, in a few words
    #[arg(long, value_name = "TEXT", value_parser = tag)]
    pub(crate) reason: Option<String>,
}

/// End all holds of a snapshot
#[derive(Debug, Args)]
#[command(after_long_help = RELEASE_EXAMPLE)]
pub(crate) struct ReleaseArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
}

impl Job for HoldArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.hold(self)
    }
}

impl Job for ReleaseArguments {
    fn traits(&self) -> Traits {
        Traits { effect: Effect::Adds, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.release(&self.snapshot)
    }
}

impl Run<'_> {
    /// Adds a hold to a snapshot, and prints those that it has.
    fn hold(&self, typed: &HoldArguments) -> Outcome<Exit> {
        let now = self.world.clock.unix_seconds();
        if typed.until.is_some_and(|until| until < now) {
            let what = "the day of --until has passed";
            return Err(Error::new(ErrorKind::Usage, what).into());
        }
        let repository = self.repository()?;
        let stored = self.find(&repository, &typed.snapshot)?;
        let reason = typed.reason.clone().unwrap_or_default();
        let wanted = Hold { until: typed.until, reason };
        let held = ops::hold::hold(&repository, &stored, &wanted, &self.world);
        let report = held.map_err(|error| {
            if error.kind() == ErrorKind::Usage {
                let hint = format!("keep at most {HOLDS_MAX}: haulout release ends all of them");
                return Failure::new(error, hint);
            }
            error.into()
        })?;
        self.report.held(&stored, &report)?;
        Ok(Exit::Done)
    }

    /// Ends the holds of a snapshot, and prints them.
    fn release(&self, wanted: &str) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, wanted)?;
        let report = ops::hold::release(&repository, &stored, &self.world)?;
        self.report.released(&stored, &report)?;
        Ok(Exit::Done)
    }
}

/// The JSON report of `hold` and `release`.
#[derive(Debug, Serialize)]
struct Held<'r> {
    snapshot: String,
    /// The holds that it has now.
    holds: Vec<HeldUntil<'r>>,
    released: Vec<HeldUntil<'r>>,
}

impl<'r> Held<'r> {
    fn new(stored: &StoredSnapshot, report: &'r HoldReport) -> Self {
        let HoldReport { holds, released } = report;
        Self { snapshot: stored.id().to_string(), holds: listed(holds), released: listed(released) }
    }
}

impl Report {
    /// Prints the report of `hold`.
    fn held(&self, stored: &StoredSnapshot, report: &HoldReport) -> Result<()> {
        self.result(&Held::new(stored, report), || {
            let id = stored.id().short();
            if let [hold] = report.holds.as_slice() {
                return format!("snapshot {id} is held {}\n", clean(&words(hold, self.canvas)));
            }
            let mut text = format!("snapshot {id} is held\n");
            text.extend(report.holds.iter().map(|hold| fact("held", &words(hold, self.canvas))));
            text
        })
    }

    /// Prints the report of `release`.
    fn released(&self, stored: &StoredSnapshot, report: &HoldReport) -> Result<()> {
        self.result(&Held::new(stored, report), || {
            let id = stored.id().short();
            match report.released.len() {
                0 => format!("snapshot {id} has no hold\n"),
                count => {
                    let holds = units::counted(haulout::shared::num::u64_of(count), "hold");
                    format!("released {holds} of snapshot {id}\n")
                }
            }
        })
    }
}
