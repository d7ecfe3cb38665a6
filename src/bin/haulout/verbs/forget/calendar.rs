//! `forget --simulate`: what the rules leave of imagined backups.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::forget::calendar::Calendar;
use haulout::ops::forget::calendar::Left;
use haulout::ops::forget::calendar::Simulated;
use haulout::shared::num::u64_of;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::output::report::Report;
use crate::output::retention;
use crate::output::retention::ReasonJson;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::table;
use crate::output::timefmt;
use crate::output::units;
use crate::verbs::forget::args::ForgetArguments;

/// The most backups that are imagined.
const BACKUPS_MAX: u64 = 100_000;

/// The hint where no rules were given.
const NO_RULE: &str = "give rules, as in --keep-daily 14 --keep-weekly 8";

const COLUMNS: [Column; 2] = [
    Column { title: "TIME", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "KEPT BECAUSE", side: Side::Left, narrow: Narrow::Keep },
];

/// Returns the failure of a command without rules.
pub(crate) fn no_rule(hint: &str) -> Failure {
    Failure::usage("nothing says which snapshots stay", hint)
}

/// Returns the seconds that a zone is ahead of UTC at a time.
pub(crate) fn offset(zone: &TimeZone, time: u64) -> i64 {
    let moment = i64::try_from(time).ok().and_then(|time| Timestamp::from_second(time).ok());
    moment.map_or(0, |moment| zone.to_offset(moment).seconds().into())
}

impl ForgetArguments {
    /// Applies the rules to imagined backups, the last of which begins now, and prints what is
    /// left.
    pub(crate) fn simulate(&self, report: &Report) -> Outcome<Exit> {
        let (every, period) = (self.calendar.every, self.calendar.period);
        let [every, period] = [every, period].map(|time| time.map_or(0, |time| time.as_secs()));
        let count = period.checked_div(every).unwrap_or_default();
        if count == 0 || count > BACKUPS_MAX {
            let what = format!("--every and --for make {count} backups");
            let hint = format!("choose times that make 1 to {BACKUPS_MAX} of them");
            return Err(Failure::usage(what, hint));
        }
        if !self.rules.are_given() {
            return Err(no_rule(NO_RULE));
        }
        let now = report.clock.unix_seconds();
        let first = now.saturating_sub((count - 1).saturating_mul(every));
        let calendar = Calendar { first, every, count };
        let zone = &self.rules.time_zone;
        let simulated = calendar.simulate(&self.rules.policy(), &|time| offset(zone, time));
        report.simulated(&calendar, &simulated)?;
        Ok(Exit::Done)
    }
}

/// The JSON report of `forget --simulate`.
#[derive(Debug, Serialize)]
struct SimulatedJson {
    backups: u64,
    every_seconds: u64,
    /// The most that were there at a time.
    most: usize,
    left: Vec<LeftJson>,
}

#[derive(Debug, Serialize)]
struct LeftJson {
    time: String,
    kept: Vec<ReasonJson>,
}

impl From<&Left> for LeftJson {
    fn from(left: &Left) -> Self {
        let kept = retention::listed_of(&left.decision);
        Self { time: timefmt::for_programs(left.time), kept }
    }
}

impl Report {
    /// Prints what a calendar leaves.
    fn simulated(&self, calendar: &Calendar, simulated: &Simulated) -> Result<()> {
        let Simulated { left, most } = simulated;
        let value = SimulatedJson {
            backups: calendar.count,
            every_seconds: calendar.every,
            most: *most,
            left: left.iter().map(LeftJson::from).collect(),
        };
        self.result(&value, || {
            let canvas = self.canvas;
            let row = |left: &Left| {
                let why = retention::reasons(&left.decision, canvas);
                vec![canvas.time(left.time).into(), why.into()]
            };
            let rows: Vec<_> = left.iter().map(row).collect();
            let backups = units::counted(calendar.count, "backup");
            let every = units::span(Duration::from_secs(calendar.every));
            let (left, most) = (u64_of(left.len()), u64_of(*most));
            let (left, most) = (units::count(left), units::count(most));
            let head = format!("{backups}, one every {every}: {left} are left, at most {most}\n");
            table(&COLUMNS, &rows, canvas) + &head
        })
    }
}
