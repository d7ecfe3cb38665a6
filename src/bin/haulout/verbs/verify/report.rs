//! The report of `verify`.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::verify::Depth;
use haulout::ops::verify::SliceReport;
use haulout::ops::verify::VerifyReport;
use haulout::shared::num::u64_of;
use serde::Serialize;

use crate::open::verified_state::Remembered;
use crate::output::console::Loudness;
use crate::output::damage::Found;
use crate::output::damage::finding;
use crate::output::json::Effort;
use crate::output::json::Pages;
use crate::output::phrases::fact;
use crate::output::phrases::pages;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::text::Canvas;
use crate::output::text::Tone;
use crate::output::units;
use crate::verbs::verify::ages::AgesJson;
use crate::verbs::verify::ages::Overdue;
use crate::verbs::verify::ages::OverdueJson;
use crate::verbs::verify::ages::facts;

impl Report {
    /// Prints the report of `verify`.
    pub(crate) fn verify(&self, done: &Done<'_>) -> Result<()> {
        let report = done.report;
        let overdue = done.overdue.map(|overdue| overdue.line(done.depth, self.canvas));
        if self.format == Format::Text && self.console.loudness == Loudness::Quiet {
            let found: Vec<String> = report.findings.iter().map(finding).chain(overdue).collect();
            self.warnings(&found, "without --quiet, verify shows all");
        } else if self.format == Format::Text {
            let lines = report.findings.iter().map(finding).chain(overdue);
            print(&lines.map(|line| line + "\n").collect::<String>())?;
        }
        for note in &report.notes {
            self.console.note(finding(note));
        }
        self.result(&Verified::new(done), || {
            if self.console.loudness == Loudness::Brief {
                return brief(done, self.canvas);
            }
            verification(done, self.canvas)
        })
    }
}

/// A verification that has ended.
#[derive(Debug)]
pub(crate) struct Done<'r> {
    /// Everything that was found.
    pub(crate) report: &'r VerifyReport,
    pub(crate) depth: Depth,
    /// What became of each pack, if it was a slice.
    pub(crate) slice: Option<&'r SliceReport>,
    /// What is not verified in time even now.
    pub(crate) overdue: Option<&'r Overdue>,
    /// Where it is remembered.
    pub(crate) remembered: Remembered,
    pub(crate) time: Duration,
}

/// The JSON report of `verify`.
#[derive(Debug, Serialize)]
struct Verified<'r> {
    depth: &'static str,
    snapshots: u64,
    objects: u64,
    bytes: u64,
    read_bytes: u64,
    blocks: u64,
    pages: Pages,
    findings: Vec<Found<'r>>,
    notes: Vec<Found<'r>>,
    recorded: u64,
    /// Where it is remembered what was verified.
    remembered: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<SliceJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue: Option<OverdueJson>,
    #[serde(flatten)]
    effort: Effort,
}

/// The JSON report of a slice.
#[derive(Debug, Serialize)]
struct SliceJson {
    /// Number of packs that were verified.
    packs: u64,
    /// Number of packs that were left.
    left: u64,
    ages: Option<AgesJson>,
}

impl From<&SliceReport> for SliceJson {
    fn from(slice: &SliceReport) -> Self {
        Self {
            packs: u64_of(slice.checked.len()),
            left: u64_of(slice.left.len()),
            ages: slice.report.ages.as_ref().map(AgesJson::from),
        }
    }
}

impl<'r> Verified<'r> {
    /// Creates the JSON report of a verification.
    fn new(done: &Done<'r>) -> Self {
        let report = done.report;
        Verified {
            depth: done.depth.word(),
            snapshots: report.snapshots,
            objects: report.objects,
            bytes: report.bytes,
            read_bytes: report.read_bytes,
            blocks: report.blocks,
            pages: (&report.pages).into(),
            findings: report.findings.iter().map(Found::from).collect(),
            notes: report.notes.iter().map(Found::from).collect(),
            recorded: report.recorded,
            remembered: done.remembered.word(),
            slice: done.slice.map(SliceJson::from),
            overdue: done.overdue.map(OverdueJson::from),
            effort: Effort::of(done.time),
        }
    }
}

/// Formats the number of verified snapshots or packs, and the number of findings.
fn outcome(done: &Done<'_>, canvas: Canvas) -> String {
    let findings = u64_of(done.report.findings.len());
    let (tone, found) = match findings {
        0 => (Tone::Good, "nothing is wrong".to_owned()),
        _ => (Tone::Bad, units::counted(findings, "finding")),
    };
    let what = match done.slice {
        None => units::counted(done.report.snapshots, "snapshot"),
        Some(slice) => {
            let all = u64_of(slice.checked.len() + slice.left.len());
            let packs = units::count(u64_of(slice.checked.len()));
            format!("{packs} of {}", units::counted(all, "pack"))
        }
    };
    format!("verified {what}: {}", canvas.paint(tone, &found))
}

/// Formats the report in one line.
fn brief(done: &Done<'_>, canvas: Canvas) -> String {
    let report = done.report;
    let (read, time) = (units::size(report.read_bytes), units::span(done.time));
    let mut out = format!("{}, {read} read in {time}", outcome(done, canvas));
    if report.recorded > 0 {
        out.extend([", ", &units::counted(report.recorded, "damage record"), " written"]);
    }
    out + "\n"
}

/// Formats the report for people, without the findings.
fn verification(done: &Done<'_>, canvas: Canvas) -> String {
    let report = done.report;
    let mut out = format!("{}\n", outcome(done, canvas));
    let objects =
        format!("{}, {}", units::counted(report.objects, "object"), units::size(report.bytes));
    out += &fact("objects", &objects);
    let read = units::size(report.read_bytes);
    let rate = units::rate(report.read_bytes, done.time);
    let time = format!("{}, {rate}", units::span(done.time));
    out += &fact("read", &format!("{read} in {time}"));
    if report.blocks > 0 {
        out += &fact("blocks", &units::count(report.blocks));
    }
    let counts = &report.pages;
    if let Some(pages) = pages(counts.verified, counts.unverifiable, counts.corrupt, counts.zero) {
        out += &fact("pages", &pages);
    }
    if report.recorded > 0 {
        let text = format!(
            "{}; the next backup of the source stores again what it still has",
            units::counted(report.recorded, "damage record")
        );
        out += &fact("recorded", &text);
    }
    if let Some(ages) = &report.ages {
        out += &facts(ages, done.depth, canvas);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_what_was_read() {
        let second = Duration::from_secs(1);
        let report = VerifyReport { objects: 3, bytes: 5 << 20, ..VerifyReport::default() };
        let told = |report: &VerifyReport| {
            let done = Done {
                report,
                depth: Depth::Stored,
                slice: None,
                overdue: None,
                remembered: Remembered::InRepository,
                time: second,
            };
            verification(&done, Canvas::FILE)
        };
        let text = told(&report);
        assert!(text.contains("3 objects, 5.00 MiB\n"), "{text}");
        assert!(text.contains("0 B in ") && text.contains("0 B/s"), "{text}");
        let report = VerifyReport { read_bytes: 10 << 20, ..report };
        let text = told(&report);
        assert!(text.contains("10.0 MiB in ") && text.contains("10.0 MiB/s"), "{text}");
    }
}
