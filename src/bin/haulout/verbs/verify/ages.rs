//! Reports how long ago everything was verified, and what a verification of the oldest would take.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::verify::Ages;
use haulout::ops::verify::AgesReport;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Cost;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Oldest;
use haulout::ops::verify::OldestPlan;
use haulout::repo::Object;
use haulout::repo::inventory::Objects;
use serde::Serialize;

use crate::output::damage::Found;
use crate::output::damage::finding;
use crate::output::phrases::fact;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::timefmt;
use crate::output::units;

/// What was not verified within the wanted time.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// The packs and their size.
    pub(crate) packs: Objects,
    /// The oldest of them.
    pub(crate) oldest: Oldest,
    /// The time that was wanted.
    pub(crate) max_age: Duration,
}

impl Overdue {
    /// Tells it in a line.
    pub(crate) fn line(&self, depth: Depth, canvas: Canvas) -> String {
        let Self { packs, oldest, max_age } = self;
        let verb = if packs.count == 1 { "was" } else { "were" };
        format!(
            "{}, {}, {verb} not verified to depth {} within {}; the oldest is {}",
            units::counted(packs.count, "pack"),
            units::size(packs.bytes),
            depth.word(),
            age(*max_age),
            described(oldest, canvas)
        )
    }
}

/// Formats an age in days where it has whole days.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds > 0 && seconds.is_multiple_of(24 * 60 * 60) {
        return units::counted(seconds / (24 * 60 * 60), "day");
    }
    units::span(time)
}

/// Describes the pack that nothing has verified for the longest time.
pub(crate) fn described(oldest: &Oldest, canvas: Canvas) -> String {
    let Oldest { pack, snapshot, verified, stored } = oldest;
    let when = match (verified, stored) {
        (Some(time), _) => format!("verified {}", canvas.time(*time)),
        (None, Some(time)) => format!("never verified, stored {}", canvas.time(*time)),
        (None, None) => "never verified".to_owned(),
    };
    format!("{} of snapshot {}, {when}", Object::Pack(*pack).name(), snapshot.short())
}

/// The JSON report of how long ago everything was verified.
#[derive(Debug, Serialize)]
pub(crate) struct AgesJson {
    packs: u64,
    bytes: u64,
    never_packs: u64,
    never_bytes: u64,
    oldest: Option<OldestJson>,
}

#[derive(Debug, Serialize)]
struct OldestJson {
    pack: String,
    snapshot: String,
    verified: Option<String>,
    stored: Option<String>,
}

impl From<&Oldest> for OldestJson {
    fn from(oldest: &Oldest) -> Self {
        Self {
            pack: oldest.pack.to_string(),
            snapshot: oldest.snapshot.to_string(),
            verified: oldest.verified.map(timefmt::for_programs),
            stored: oldest.stored.map(timefmt::for_programs),
        }
    }
}

impl From<&Ages> for AgesJson {
    fn from(ages: &Ages) -> Self {
        let all = ages.all();
        Self {
            packs: all.count,
            bytes: all.bytes,
            never_packs: ages.never.count,
            never_bytes: ages.never.bytes,
            oldest: ages.oldest.as_ref().map(OldestJson::from),
        }
    }
}

/// The JSON report of what was not verified within the wanted time.
#[derive(Debug, Serialize)]
pub(crate) struct OverdueJson {
    max_age_seconds: u64,
    packs: u64,
    bytes: u64,
    oldest: OldestJson,
}

impl From<&Overdue> for OverdueJson {
    fn from(overdue: &Overdue) -> Self {
        Self {
            max_age_seconds: overdue.max_age.as_secs(),
            packs: overdue.packs.count,
            bytes: overdue.packs.bytes,
            oldest: (&overdue.oldest).into(),
        }
    }
}

/// What a look at the records has found.
#[derive(Debug)]
pub(crate) struct Checked<'r> {
    pub(crate) found: &'r AgesReport,
    pub(crate) depth: Depth,
    pub(crate) overdue: Option<&'r Overdue>,
    pub(crate) max_age: Duration,
}

/// The JSON report of a look at the records.
#[derive(Debug, Serialize)]
struct CheckedJson<'r> {
    depth: &'static str,
    max_age_seconds: u64,
    snapshots: u64,
    ages: AgesJson,
    overdue: Option<OverdueJson>,
    problems: &'r [String],
}

/// The JSON report of what a verification would take.
#[derive(Debug, Serialize)]
struct PlannedJson<'r> {
    depth: &'static str,
    slice: CostJson,
    all: CostJson,
    /// The time after which it ends, if that is the budget.
    ends_after_seconds: Option<u64>,
    ages: AgesJson,
    findings: Vec<Found<'r>>,
}

#[derive(Debug, Serialize)]
struct CostJson {
    packs: u64,
    objects: u64,
    bytes: u64,
}

impl From<Cost> for CostJson {
    fn from(Cost { packs, objects, bytes }: Cost) -> Self {
        Self { packs, objects, bytes }
    }
}

impl Report {
    /// Prints how long ago everything was verified.
    pub(crate) fn ages(&self, checked: &Checked<'_>) -> Result<()> {
        let Checked { found, depth, overdue, max_age } = checked;
        if self.format == Format::Text {
            found.problems.iter().for_each(|problem| self.console.warning(problem));
            let lines = overdue.iter().map(|overdue| overdue.line(*depth, self.canvas) + "\n");
            print(&lines.collect::<String>())?;
        }
        let json = CheckedJson {
            depth: depth.word(),
            max_age_seconds: max_age.as_secs(),
            snapshots: found.snapshots,
            ages: (&found.ages).into(),
            overdue: overdue.map(OverdueJson::from),
            problems: &found.problems,
        };
        self.result(&json, || {
            let all = found.ages.all();
            let snapshots = units::counted(found.snapshots, "snapshot");
            let packs = units::counted(all.count, "pack");
            let outcome = match overdue {
                None => {
                    let what = if found.ages.never.count == 0 { "all" } else { "stored, or" };
                    let (depth, age) = (depth.word(), age(*max_age));
                    let text = format!("{what} verified to depth {depth}, within {age}");
                    self.canvas.paint(Tone::Good, &text).into_owned()
                }
                Some(overdue) => {
                    let text = format!("{} overdue", units::counted(overdue.packs.count, "pack"));
                    self.canvas.paint(Tone::Bad, &text).into_owned()
                }
            };
            let mut out =
                format!("{packs}, {}, of {snapshots}: {outcome}\n", units::size(all.bytes));
            out += &facts(&found.ages, *depth, self.canvas);
            out
        })
    }

    /// Prints what a verification of the oldest would take.
    pub(crate) fn verification_planned(
        &self,
        planned: &OldestPlan,
        depth: Depth,
        budget: Budget,
    ) -> Result<()> {
        let findings = &planned.report.findings;
        if self.format == Format::Text {
            print(&findings.iter().map(|found| finding(found) + "\n").collect::<String>())?;
        }
        let time = match budget {
            Budget::Time(time) => Some(time),
            Budget::Bytes(_) | Budget::Percent(_) => None,
        };
        let json = PlannedJson {
            depth: depth.word(),
            slice: planned.slice.into(),
            all: planned.all.into(),
            ends_after_seconds: time.map(|time| time.as_secs()),
            ages: (&planned.ages).into(),
            findings: findings.iter().map(Found::from).collect(),
        };
        self.result(&json, || {
            let Cost { packs, objects, bytes } = planned.slice;
            let what = match time {
                Some(time) => format!("as much as {} allow, of", units::span(time)),
                None => format!("{} of", units::count(packs)),
            };
            let mut out = format!(
                "would verify {what} {} to depth {}\n",
                units::counted(planned.all.packs, "pack"),
                depth.word()
            );
            let most = if time.is_some() { "at most " } else { "" };
            let objects = units::counted(objects, "object");
            out += &fact("read", &format!("{most}{} in {objects}", units::size(bytes)));
            let all = units::counted(planned.all.objects, "object");
            out += &fact("all", &format!("{} in {all}", units::size(planned.all.bytes)));
            out + &facts(&planned.ages, depth, self.canvas)
        })
    }
}

/// Formats how old the oldest is, and how much was never verified.
pub(crate) fn facts(ages: &Ages, depth: Depth, canvas: Canvas) -> String {
    let mut out = String::new();
    if ages.never.count > 0 {
        let packs = units::counted(ages.never.count, "pack");
        let text = format!("{packs}, {}, to depth {}", units::size(ages.never.bytes), depth.word());
        out += &fact("never", &text);
    }
    if let Some(oldest) = &ages.oldest {
        out += &fact("oldest", &described(oldest, canvas));
    }
    out
}
