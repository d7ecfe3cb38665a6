//! The report of `verify`.

use std::time::Duration;

use serde::Serialize;

use haulout::base::error::Result;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::Unit;
use haulout::ops::verify::VerifyReport;

use crate::tell::console::Loudness;
use crate::tell::json::Effort;
use crate::tell::json::Pages;
use crate::tell::phrases::fact;
use crate::tell::phrases::pages;
use crate::tell::report::Format;
use crate::tell::report::Report;
use crate::tell::report::print;
use crate::tell::text::Canvas;
use crate::tell::text::Tone;
use crate::tell::text::clean;
use crate::tell::units;

impl Report {
    /// Prints the report of `verify`.
    pub(crate) fn verify(&self, report: &VerifyReport, depth: Depth, time: Duration) -> Result<()> {
        if self.format == Format::Text && self.console.loudness == Loudness::Quiet {
            let found: Vec<String> = report.findings.iter().map(finding).collect();
            self.warnings(&found, "without --quiet, verify shows all");
        } else if self.format == Format::Text {
            let lines = report.findings.iter().map(|found| finding(found) + "\n");
            print(&lines.collect::<String>())?;
        }
        for note in &report.notes {
            self.console.note(finding(note));
        }
        let depth = match depth {
            Depth::Objects => "objects",
            Depth::Stored => "stored",
            Depth::Blocks => "blocks",
            Depth::Pages => "pages",
        };
        self.result(&Verified::new(report, depth, Effort::of(time)), || {
            if self.console.loudness == Loudness::Brief {
                return brief(report, self.canvas, time);
            }
            verification(report, self.canvas, time)
        })
    }
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
    #[serde(flatten)]
    effort: Effort,
}

/// The JSON report of one finding of `verify`.
#[derive(Debug, Serialize)]
pub(crate) struct Found<'r> {
    snapshot: Option<String>,
    member: Option<&'r str>,
    /// The unit in which the ranges count.
    unit: &'static str,
    /// First page or byte, and number of pages or bytes.
    ranges: Vec<Range>,
    what: &'r str,
}

#[derive(Debug, Serialize)]
struct Range {
    first: u64,
    count: u64,
}

impl<'r> From<&'r Finding> for Found<'r> {
    fn from(finding: &'r Finding) -> Found<'r> {
        let range = |&(first, count): &(u64, u64)| Range { first, count };
        Found {
            snapshot: finding.snapshot.map(|id| id.to_string()),
            member: finding.member.as_deref(),
            unit: match finding.unit {
                Unit::Pages => "pages",
                Unit::Bytes => "bytes",
            },
            ranges: finding.ranges.iter().map(range).collect(),
            what: &finding.what,
        }
    }
}

impl<'r> Verified<'r> {
    /// Creates the JSON report of a verification.
    fn new(report: &'r VerifyReport, depth: &'static str, effort: Effort) -> Verified<'r> {
        Verified {
            depth,
            snapshots: report.snapshots,
            objects: report.objects,
            bytes: report.bytes,
            read_bytes: report.read_bytes,
            blocks: report.blocks,
            pages: (&report.pages).into(),
            findings: report.findings.iter().map(Found::from).collect(),
            notes: report.notes.iter().map(Found::from).collect(),
            recorded: report.recorded,
            effort,
        }
    }
}

/// Formats a finding in one line.
pub(crate) fn finding(finding: &Finding) -> String {
    let words = finding.in_words();
    let joint = if finding.member.is_some() { ", " } else { ": " };
    let line = match finding.snapshot {
        Some(id) => format!("snapshot {}{joint}{words}", id.short()),
        None => words,
    };
    clean(&line).into_owned()
}

/// Formats the number of verified snapshots, and the number of findings.
fn outcome(report: &VerifyReport, canvas: Canvas) -> String {
    let findings = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    let (tone, found) = match findings {
        0 => (Tone::Good, "nothing is wrong".to_owned()),
        _ => (Tone::Bad, units::counted(findings, "finding")),
    };
    let snapshots = units::counted(report.snapshots, "snapshot");
    format!("verified {snapshots}: {}", canvas.paint(tone, &found))
}

/// Formats the report in one line.
fn brief(report: &VerifyReport, canvas: Canvas, time: Duration) -> String {
    let (read, time) = (units::size(report.read_bytes), units::span(time));
    let mut out = format!("{}, {read} read in {time}", outcome(report, canvas));
    if report.recorded > 0 {
        out.extend([", ", &units::counted(report.recorded, "damage record"), " written"]);
    }
    out + "\n"
}

/// Formats the report for people, without the findings.
fn verification(report: &VerifyReport, canvas: Canvas, time: Duration) -> String {
    let mut out = format!("{}\n", outcome(report, canvas));
    let objects =
        format!("{}, {}", units::counted(report.objects, "object"), units::size(report.bytes));
    out += &fact("objects", &objects);
    let read = units::size(report.read_bytes);
    let time = format!("{}, {}", units::span(time), units::rate(report.read_bytes, time));
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
    out
}

#[cfg(test)]
mod tests {
    use haulout::base::ids::SnapshotId;

    use super::*;

    #[test]
    fn a_finding_is_a_line_that_begins_with_its_snapshot() {
        let what = "pack 77b0 is missing".to_owned();
        let mut found = Finding { what, ..Finding::default() };
        assert_eq!(finding(&found), "pack 77b0 is missing");
        found.snapshot = Some(SnapshotId([0xab; 32]));
        assert_eq!(finding(&found), "snapshot ababababab: pack 77b0 is missing");
        found.member = Some("app/t\n1.ibd".to_owned());
        (found.unit, found.ranges) = (Unit::Pages, vec![(5, 1), (7, 3)]);
        let line = "snapshot ababababab, app/t\\n1.ibd, pages 5, 7 to 9: pack 77b0 is missing";
        assert_eq!(finding(&found), line);
    }

    #[test]
    fn the_rate_is_that_of_what_was_read() {
        let second = Duration::from_secs(1);
        let report = VerifyReport { objects: 3, bytes: 5 << 20, ..VerifyReport::default() };
        let text = verification(&report, Canvas::FILE, second);
        assert!(text.contains("3 objects, 5.00 MiB\n"), "{text}");
        assert!(text.contains("0 B in ") && text.contains("0 B/s"), "{text}");
        let report = VerifyReport { read_bytes: 10 << 20, ..report };
        let text = verification(&report, Canvas::FILE, second);
        assert!(text.contains("10.0 MiB in ") && text.contains("10.0 MiB/s"), "{text}");
    }
}
