//! The report of `restore`.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::prepare::PrepareReport;
use haulout::ops::restore::RestoreReport;
use haulout::repo::Verdict;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::output::json::Effort;
use crate::output::json::seconds;
use crate::output::phrases;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::units;

/// The outcome of a restore.
#[derive(Debug)]
pub(crate) struct Restored<'r> {
    /// The snapshot that was restored.
    pub(crate) stored: &'r StoredSnapshot,
    /// The destination in words.
    pub(crate) target: String,
    /// The report of the library.
    pub(crate) report: RestoreReport,
    /// The time it took, without preparing.
    pub(crate) time: Duration,
    /// The report of preparing, if it was asked for, and the time that took.
    pub(crate) prepared: Option<(PrepareReport, Duration)>,
}

/// The stream on which the report of a restore is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    /// Standard output, as for other results.
    StandardOutput,
    /// Standard error, because the restored stream is on standard output.
    StandardError,
}

impl Report {
    /// Prints the report of a restore.
    pub(crate) fn restore(&self, restored: &Restored<'_>, to: OutputStream) -> Result<()> {
        let Restored { stored, target, report, time, prepared } = restored;
        for lost in &report.lost {
            let path = lost.path.escape_ascii();
            self.console.warning(format!("{path} is left out: {}", lost.why));
        }
        for warning in &report.warnings {
            self.console.warning(warning);
        }
        let text = || restoration(restored, self.canvas);
        if to == OutputStream::StandardError {
            self.console.note(text().trim_end());
            return Ok(());
        }
        let about = &stored.snapshot.about;
        let value = RestoreSummary {
            snapshot: report.id.to_string(),
            source: &about.source,
            verdict: about.verdict,
            target: target.clone(),
            files: report.files,
            bytes: report.bytes,
            fetched_bytes: report.counts.fetched_bytes,
            lost: report.lost.iter().map(Lost::from).collect(),
            warnings: &report.warnings,
            steps: report.steps.iter().map(Step::from).collect(),
            prepared: prepared.as_ref().map(|(report, time)| Prepared::new(report, *time)),
            effort: Effort::of(*time),
        };
        self.result(&value, || {
            let mut text = text();
            for (number, step) in report.steps.iter().enumerate() {
                let label = if number == 0 { "full" } else { "increment" };
                let (directory, id) = (step.directory.display(), step.snapshot.short());
                text += &phrases::fact(label, &format!("{directory}, of snapshot {id}"));
            }
            if let Some((PrepareReport { backup_type, lsn, version }, time)) = prepared {
                let time = units::span(*time);
                let how = format!("{backup_type} at LSN {lsn}, by {version}, {time}");
                text += &phrases::fact("prepared", &how);
            }
            text
        })
    }
}

fn restoration(restored: &Restored<'_>, canvas: Canvas) -> String {
    let Restored { stored, target, report, time, .. } = restored;
    let time = *time;
    let about = &stored.snapshot.about;
    let files = match report.files {
        0 => String::new(),
        files => format!(" in {}", units::counted(files, "file")),
    };
    format!(
        "restored {} ({}, {}) to {}: {}{files}, {}, {}, every block verified\n",
        report.id.short(),
        clean(&about.source),
        canvas.time(about.time),
        clean(target),
        units::size(report.bytes),
        units::span(time),
        units::rate(report.bytes, time)
    )
}

/// The JSON report of `restore`.
#[derive(Debug, Serialize)]
struct RestoreSummary<'r> {
    snapshot: String,
    source: &'r str,
    verdict: Verdict,
    target: String,
    files: u64,
    bytes: u64,
    fetched_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<Lost<'r>>,
    warnings: &'r [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    prepared: Option<Prepared<'r>>,
    #[serde(flatten)]
    effort: Effort,
}

/// A file that was left out.
#[derive(Debug, Serialize)]
struct Lost<'r> {
    path: String,
    why: &'r str,
}

impl<'r> From<&'r haulout::ops::restore::LostFile> for Lost<'r> {
    fn from(lost: &'r haulout::ops::restore::LostFile) -> Self {
        let path = String::from_utf8_lossy(&lost.path).into_owned();
        Lost { path, why: &lost.why }
    }
}

/// A snapshot of a chain, and the directory it was restored to.
#[derive(Debug, Serialize)]
struct Step {
    directory: String,
    snapshot: String,
}

impl From<&haulout::ops::restore::Step> for Step {
    fn from(step: &haulout::ops::restore::Step) -> Self {
        let directory = step.directory.display().to_string();
        Self { directory, snapshot: step.snapshot.to_string() }
    }
}

/// The JSON report of preparing.
#[derive(Debug, Serialize)]
struct Prepared<'r> {
    backup_type: &'r str,
    lsn: u64,
    version: &'r str,
    seconds: f64,
}

impl<'r> Prepared<'r> {
    /// Creates the report of a preparation that took this time.
    fn new(report: &'r PrepareReport, time: Duration) -> Self {
        let PrepareReport { backup_type, lsn, version } = report;
        Prepared { backup_type, lsn: *lsn, version, seconds: seconds(time) }
    }
}
