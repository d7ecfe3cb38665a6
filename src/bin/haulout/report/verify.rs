//! What came of `verify`.

use std::time::Duration;

use serde::Serialize;

use haulout::base::error::Result;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::VerifyReport;

use crate::console::Loudness;
use crate::json::Effort;
use crate::json::Pages;
use crate::report::Format;
use crate::report::Report;
use crate::report::print;
use crate::text::Canvas;
use crate::text::Tone;
use crate::text::clean;
use crate::units;
use crate::words::fact;
use crate::words::pages;

impl Report {
    /// What came of `verify`.
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
            verification(report, self.canvas, time)
        })
    }
}

/// Of `verify`.
#[derive(Debug, Serialize)]
struct Verified<'r> {
    depth: &'static str,
    snapshots: u64,
    objects: u64,
    bytes: u64,
    blocks: u64,
    pages: Pages,
    findings: Vec<Found<'r>>,
    notes: Vec<Found<'r>>,
    recorded: u64,
    #[serde(flatten)]
    effort: Effort,
}

/// One of the findings of `verify`.
#[derive(Debug, Serialize)]
struct Found<'r> {
    snapshot: Option<String>,
    member: Option<&'r str>,
    /// First block and number of blocks.
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
            ranges: finding.pages.iter().map(range).collect(),
            what: &finding.what,
        }
    }
}

impl<'r> Verified<'r> {
    /// What came of a verification.
    fn new(report: &'r VerifyReport, depth: &'static str, effort: Effort) -> Verified<'r> {
        Verified {
            depth,
            snapshots: report.snapshots,
            objects: report.objects,
            bytes: report.bytes,
            blocks: report.blocks,
            pages: (&report.pages).into(),
            findings: report.findings.iter().map(Found::from).collect(),
            notes: report.notes.iter().map(Found::from).collect(),
            recorded: report.recorded,
            effort,
        }
    }
}

/// A finding in one line.
fn finding(finding: &Finding) -> String {
    let mut where_to = Vec::new();
    if let Some(id) = finding.snapshot {
        where_to.push(format!("snapshot {}", id.short()));
    }
    where_to.extend(finding.member.clone());
    if !finding.pages.is_empty() {
        where_to.push(ranges(&finding.pages));
    }
    if where_to.is_empty() {
        return clean(&finding.what).into_owned();
    }
    clean(&format!("{}: {}", where_to.join(", "), finding.what)).into_owned()
}

/// `blocks 5, 7 to 9`.
fn ranges(ranges: &[(u64, u64)]) -> String {
    const NAMED_MAX: usize = 8;
    let one = |&(first, count): &(u64, u64)| match count {
        0 | 1 => first.to_string(),
        _ => format!("{first} to {}", first + count - 1),
    };
    let named: Vec<String> = ranges.iter().take(NAMED_MAX).map(one).collect();
    let more = if ranges.len() > NAMED_MAX { " and more" } else { "" };
    let noun = if matches!(ranges, [(_, 0 | 1)]) { "block" } else { "blocks" };
    format!("{noun} {}{more}", named.join(", "))
}

/// What came of a verification, without the findings.
fn verification(report: &VerifyReport, canvas: Canvas, time: Duration) -> String {
    let findings = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    let (tone, found) = match findings {
        0 => (Tone::Good, "nothing is wrong".to_owned()),
        _ => (Tone::Bad, units::counted(findings, "finding")),
    };
    let mut out = format!(
        "verified {}: {}\n",
        units::counted(report.snapshots, "snapshot"),
        canvas.paint(tone, &found)
    );
    let objects = format!(
        "{}, {} in {}, {}",
        units::counted(report.objects, "object"),
        units::size(report.bytes),
        units::span(time),
        units::rate(report.bytes, time)
    );
    out += &fact("objects", &objects);
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
    fn a_finding_names_snapshot_file_and_blocks() {
        let mut found = Finding {
            snapshot: None,
            member: None,
            pages: Vec::new(),
            what: "pack 77b0 is missing".to_owned(),
        };
        assert_eq!(finding(&found), "pack 77b0 is missing");
        found.member = Some("app/t\n1.ibd".to_owned());
        found.pages = vec![(5, 1), (7, 3)];
        assert_eq!(finding(&found), "app/t\\n1.ibd, blocks 5, 7 to 9: pack 77b0 is missing");
        found.pages = vec![(5, 1)];
        assert_eq!(finding(&found), "app/t\\n1.ibd, block 5: pack 77b0 is missing");
        found.pages = vec![(5, 1); 20];
        assert!(finding(&found).contains("5 and more"));
    }
}
