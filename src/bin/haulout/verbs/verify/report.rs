//! The report of `verify`.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyReport;
use serde::Serialize;

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

impl<'r> Verified<'r> {
    /// Creates the JSON report of a verification.
    fn new(report: &'r VerifyReport, depth: &'static str, effort: Effort) -> Self {
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
    use super::*;

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
