//! The report of `backup`.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::backup::BackupReport;
use haulout::ops::backup::Level;
use haulout::repo::Finding;
use haulout::repo::Positions;
use haulout::repo::Severity;
use haulout::repo::SnapshotKind;
use haulout::repo::StreamFormat;
use haulout::repo::Verdict;
use haulout::shared::num::u64_of;
use haulout::verdict::CheckName;
use haulout::verdict::finding::Code;
use haulout::world::Counts;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::findings::lines;
use crate::output::json::Blocks;
use crate::output::json::Effort;
use crate::output::json::Pages;
use crate::output::phrases;
use crate::output::phrases::blocks;
use crate::output::phrases::fact;
use crate::output::phrases::told;
use crate::output::phrases::tone;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::units;

impl Report {
    /// Prints the report of a backup.
    pub(crate) fn backup(&self, report: &BackupReport, time: Duration) -> Result<()> {
        if let Some(others) = report.new_among {
            let source = &report.about.source;
            let others = units::counted(u64_of(others), "other source");
            self.console.note(format!(
                "{source} is new in this repository and shares nothing with its {others}"
            ));
        }
        let loudness = self.console.loudness;
        let mut warnings = of_repository(report);
        if loudness == Loudness::Quiet {
            warnings = of_stream(report).into_iter().chain(warnings).collect();
            let head = format!("snapshot {} of {}", report.id.short(), report.about.source);
            if let Some(first) = warnings.first_mut() {
                *first = format!("{head}: {}: {first}", report.about.verdict);
            }
        }
        self.warnings(&warnings, &shown_by(report));
        let effort = Effort::of(time);
        self.result(&Backup::new(report, effort), || {
            if loudness == Loudness::Brief {
                return brief(report, self.canvas, time);
            }
            text(report, self.canvas, time, effort.peak_memory_bytes)
        })
    }
}

/// Lists the warnings about the repository. Snapshots that can't be read are findings.
fn of_repository(report: &BackupReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.packs_absent > 0 {
        let packs = report.packs_absent;
        let healed = report.counts.blocks_healed;
        warnings.push(format!(
            "packs of earlier runs that are missing or damaged: {packs}; blocks of them that were \
             stored again: {healed}"
        ));
    }
    warnings
}

/// Lists the warnings about the stream.
fn of_stream(report: &BackupReport) -> Vec<String> {
    let about = &report.about;
    let doubtful = matches!(about.verdict, Verdict::Partial | Verdict::CorruptPages);
    let mut warnings = if doubtful { about.reasons.clone() } else { Vec::new() };
    let urgent = report.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    let line = |Finding { code, object, text, .. }: &Finding| format!("{code}: {object}: {text}");
    warnings.extend(urgent.map(line));
    warnings
}

/// Returns the commands that show all warnings.
fn shown_by(report: &BackupReport) -> String {
    let id = report.id.short();
    let log = if report.has_log { format!("; haulout show {id} --log") } else { String::new() };
    format!("haulout show {id}{log}")
}

/// The JSON report of `backup`.
#[derive(Debug, Serialize)]
struct Backup<'r> {
    snapshot: String,
    source: &'r str,
    format: StreamFormat,
    kind: SnapshotKind,
    verdict: Verdict,
    reasons: &'r [String],
    findings: &'r [Finding],
    accepted: &'r [String],
    tags: &'r [String],
    stream_bytes: u64,
    stored_bytes: u64,
    objects: u64,
    members: u64,
    blocks: Blocks,
    delta_bytes: u64,
    moved_bytes: u64,
    candidates_read: u64,
    whole_bytes: u64,
    compression: Compression,
    pages: Pages,
    pause: Option<Pause>,
    positions: &'r Positions,
    new_source: bool,
    damaged_snapshots: &'r [String],
    packs_absent: usize,
    #[serde(flatten)]
    effort: Effort,
}

/// The compression of the blocks that were stored whole.
#[derive(Debug, Serialize)]
struct Compression {
    level: String,
    /// Raw bytes at each step of `auto`, the fastest first.
    steps: [u64; 4],
}

/// The stage in which the server of the producer stood still.
#[derive(Debug, Serialize)]
struct Pause {
    milliseconds: u64,
    /// Bytes of the stream that came in it.
    stream_bytes: u64,
    /// Those of them that went through the spool.
    spooled_bytes: u64,
}

impl Pause {
    /// Returns what was counted, if there was such a stage.
    fn of(counts: &Counts) -> Option<Self> {
        let Counts { paused_ms, tail_bytes, spooled_bytes, .. } = *counts;
        let stage = Self { milliseconds: paused_ms, stream_bytes: tail_bytes, spooled_bytes };
        (paused_ms > 0 || tail_bytes > 0).then_some(stage)
    }

    /// Describes the stage in a line.
    fn line(&self) -> String {
        let spooled = match self.spooled_bytes {
            0 => String::new(),
            bytes => format!(", {} of them through the spool", units::size(bytes)),
        };
        let span = units::span(Duration::from_millis(self.milliseconds));
        format!("{span} at the server, {} in it{spooled}", units::size(self.stream_bytes))
    }
}

/// Returns the raw bytes of blocks stored whole, by the step at which they were compressed.
fn steps(counts: &Counts) -> [u64; 4] {
    let Counts { whole_bytes, fine_bytes, deep_bytes, best_bytes, .. } = *counts;
    let raised = fine_bytes + deep_bytes + best_bytes;
    [whole_bytes.saturating_sub(raised), fine_bytes, deep_bytes, best_bytes]
}

/// Describes the level of compression, and which shares of the new data `auto` compressed at which
/// step.
fn level(report: &BackupReport) -> String {
    let level = report.level;
    if level != Level::AUTO {
        return level.to_string();
    }
    let steps = steps(&report.counts);
    let all: u64 = steps.iter().sum();
    let used = steps.iter().enumerate().filter(|(_, bytes)| **bytes > 0);
    let shares: Vec<String> =
        used.map(|(step, bytes)| format!("step {step} {}", units::share(*bytes, all))).collect();
    if shares.is_empty() { level.to_string() } else { format!("{level}: {}", shares.join(", ")) }
}

impl<'r> Backup<'r> {
    /// Creates the JSON report of a backup.
    fn new(report: &'r BackupReport, effort: Effort) -> Self {
        let BackupReport { id, about, counts, .. } = report;
        Backup {
            snapshot: id.to_string(),
            source: &about.source,
            format: about.format,
            kind: about.kind,
            verdict: about.verdict,
            reasons: &about.reasons,
            findings: &report.findings,
            accepted: &about.accepted,
            tags: &about.tags,
            stream_bytes: counts.stream_bytes,
            stored_bytes: counts.stored_bytes,
            objects: counts.stored_objects,
            members: counts.members,
            blocks: counts.into(),
            delta_bytes: counts.delta_bytes,
            moved_bytes: counts.moved_bytes,
            candidates_read: counts.candidates_read,
            whole_bytes: counts.whole_bytes,
            compression: Compression { level: report.level.to_string(), steps: steps(counts) },
            pages: counts.into(),
            pause: Pause::of(counts),
            positions: &about.positions,
            new_source: report.new_among.is_some(),
            damaged_snapshots: &report.damaged,
            packs_absent: report.packs_absent,
            effort,
        }
    }
}

/// Summarises a backup in one line, with a further line for each warning, and for a stream that was
/// not recognised.
fn brief(report: &BackupReport, canvas: Canvas, time: Duration) -> String {
    let BackupReport { id, about, counts, .. } = report;
    let mut out = format!(
        "snapshot {} of {}: {}, {} in {}, {} stored\n",
        id.short(),
        clean(&about.source),
        canvas.paint(tone(about.verdict), &about.verdict.to_string()),
        units::size(counts.stream_bytes),
        units::span(time),
        units::size(counts.stored_bytes)
    );
    if about.verdict != Verdict::Complete {
        out.extend(about.reasons.iter().map(|reason| told("because", reason, canvas)));
    }
    // Nothing looks into a stream that is not recognised: that is worth a line every night.
    let is_reported = |finding: &&Finding| {
        finding.severity == Severity::Warning || finding.code == Code::NotRecognised.as_str()
    };
    let urgent: Vec<Finding> = about.findings.iter().filter(is_reported).cloned().collect();
    let more = if urgent.len() == about.findings.len() { about.more_findings } else { 0 };
    out += &lines(&urgent, more, canvas);
    if report.has_log && about.verdict == Verdict::Partial {
        out += &fact("log", &format!("haulout show {} --log", id.short()));
    }
    out
}

/// Formats the report of a backup for people.
fn text(report: &BackupReport, canvas: Canvas, time: Duration, peak: u64) -> String {
    let BackupReport { id, about, counts, .. } = report;
    let verdict = about.verdict.to_string();
    let mut out = format!(
        "snapshot {} of {}: {}\n",
        id.short(),
        clean(&about.source),
        canvas.paint(tone(about.verdict), &verdict)
    );
    for reason in &about.reasons {
        out += &told("because", reason, canvas);
    }
    out += &lines(&about.findings, about.more_findings, canvas);
    let hidden = CheckName::HiddenContent.as_str();
    for check in about.checks.iter().filter(|check| check.name == hidden) {
        out += &told("note", &check.detail, canvas);
    }
    let stream = format!(
        "{}, {} in {}, {}, {}",
        about.format,
        units::size(counts.stream_bytes),
        units::counted(counts.members, "file"),
        units::span(time),
        units::rate(counts.stream_bytes, time)
    );
    out += &fact("stream", &stream);
    out += &fact("blocks", &blocks(counts));
    let pages = phrases::pages(
        counts.pages_verified,
        counts.pages_unverifiable,
        counts.pages_corrupt,
        counts.pages_zero,
    );
    if let Some(pages) = pages {
        out += &fact("pages", &pages);
    }
    let stored = format!(
        "{} in {}, {} of the stream",
        units::size(counts.stored_bytes),
        units::counted(counts.stored_objects, "object"),
        units::share(counts.stored_bytes, counts.stream_bytes)
    );
    out += &fact("stored", &stored);
    out += &fact("level", &level(report));
    if let Some(pause) = Pause::of(counts) {
        out += &fact("pause", &pause.line());
    }
    out + &fact("memory", &format!("{} at most", units::size(peak)))
}
