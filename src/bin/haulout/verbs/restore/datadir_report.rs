//! The plan and the report of a restore to a data directory.

use std::time::Duration;

use haulout::error::Result;
use haulout::ops::datadir::DatadirReport;
use haulout::ops::datadir::Losses;
use haulout::ops::datadir::Plan;
use haulout::ops::datadir::PlanStep;
use haulout::ops::datadir::Startable;
use haulout::ops::datadir::Undone;
use haulout::ops::datadir::Way;
use haulout::ops::replay::Replayed;
use serde::Serialize;

use crate::output::json::Effort;
use crate::output::phrases;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::units;

/// The JSON form of a plan.
#[derive(Debug, Serialize)]
struct PlanSummary<'p> {
    snapshot: &'p str,
    directory: String,
    way: Way,
    steps: &'p [PlanStep],
    bytes: u64,
    expected_seconds: Option<u64>,
    keeps: Option<String>,
    removes: Option<String>,
    log: String,
    losses: &'p Losses,
    lost_seconds: Option<u64>,
    gtid: Option<&'p str>,
    problems: &'p [String],
    notes: &'p [String],
}

/// The JSON form of a report.
#[derive(Debug, Serialize)]
struct Summary<'r> {
    snapshot: &'r str,
    directory: String,
    bytes: Option<u64>,
    lsn: Option<u64>,
    pages: Option<u64>,
    tables: Option<usize>,
    kept: Option<String>,
    log: String,
    losses: &'r Losses,
    lost_seconds: Option<u64>,
    gtid: Option<&'r str>,
    missing: &'r [String],
    warnings: &'r [String],
    holds: &'static str,
    #[serde(flatten)]
    effort: Effort,
}

/// The JSON form of what was taken back.
#[derive(Debug, Serialize)]
struct UndoneSummary<'u> {
    snapshot: &'u str,
    directory: String,
    holds: &'static str,
}

/// Returns the word by which programs know what a directory holds.
fn word(startable: Startable) -> &'static str {
    match startable {
        Startable::Old => "old",
        Startable::New => "new",
        Startable::Neither => "neither",
        Startable::Nothing => "nothing",
    }
}

impl Report {
    /// Prints the plan of a restore.
    pub(crate) fn datadir_plan(&self, source: &str, plan: &Plan) -> Result<()> {
        let head = &plan.head;
        let path = |path: &std::path::PathBuf| path.display().to_string();
        let value = PlanSummary {
            snapshot: &head.snapshot,
            directory: path(&head.places.directory),
            way: head.places.way,
            steps: &plan.steps,
            bytes: plan.bytes,
            expected_seconds: plan.seconds(),
            keeps: plan.keeps.as_ref().map(path),
            removes: plan.removes.as_ref().map(path),
            log: path(&head.places.log),
            losses: &head.losses,
            lost_seconds: head.losses.seconds(),
            gtid: head.gtid.as_ref().map(|(_, state)| state.as_str()),
            problems: &plan.problems,
            notes: &plan.notes,
        };
        self.result(&value, || plan_text(source, plan, self.canvas))
    }

    /// Prints the report of a restore.
    pub(crate) fn datadir(
        &self,
        source: &str,
        report: &DatadirReport,
        time: Duration,
    ) -> Result<()> {
        let head = &report.head;
        for missing in &report.missing {
            self.console.warning(format!("{missing} is left out: it can't be restored whole"));
        }
        for warning in &report.warnings {
            self.console.warning(warning);
        }
        let value = Summary {
            snapshot: &head.snapshot,
            directory: head.places.directory.display().to_string(),
            bytes: report.restored.map(|(bytes, _)| bytes),
            lsn: report.lsn,
            pages: report.pages,
            tables: report.tables,
            kept: report.kept.as_ref().map(|path| path.display().to_string()),
            log: head.places.log.display().to_string(),
            losses: &report.losses,
            lost_seconds: report.losses.seconds(),
            gtid: head.gtid.as_ref().map(|(_, state)| state.as_str()),
            missing: &report.missing,
            warnings: &report.warnings,
            holds: word(Startable::New),
            effort: Effort::of(time),
        };
        self.result(&value, || report_text(source, report, time, self.canvas))
    }

    /// Prints that a restore was taken back.
    pub(crate) fn datadir_undone(&self, undone: &Undone) -> Result<()> {
        let directory = undone.head.places.directory.display().to_string();
        let value = UndoneSummary {
            snapshot: &undone.head.snapshot,
            directory: directory.clone(),
            holds: word(undone.startable),
        };
        self.result(&value, || {
            format!("taken back: {}: {}\n", clean(&directory), undone.startable.words())
        })
    }
}

/// Says what is lost, in one sentence.
fn lost(losses: &Losses, canvas: Canvas) -> String {
    let backup = canvas.time(losses.backup);
    let Some((seconds, newest)) = losses.seconds().zip(losses.newest) else {
        return format!("all after {backup}; no old data show when it was written last");
    };
    let file = losses.file.as_deref().unwrap_or_default();
    if seconds == 0 {
        return format!("nothing that is known: no file was written after {backup}");
    }
    let span = units::span(Duration::from_secs(seconds));
    let newest = canvas.time(newest);
    let mut text =
        format!("at most what was written in {span}, from {backup} to {newest} ({file})");
    if !losses.binlogs.is_empty() {
        text.extend([format!("; it is in the binary logs {}", losses.binlogs.join(", "))]);
    }
    text
}

fn plan_text(source: &str, plan: &Plan, canvas: Canvas) -> String {
    let places = &plan.head.places;
    let directory = places.directory.display();
    let mut text = format!("restore of {} to {}\n", clean(source), clean(&directory.to_string()));
    for (number, step) in plan.steps.iter().enumerate() {
        let bytes = step.bytes.map(|bytes| format!(", {}", units::size(bytes)));
        let words = format!("{}{}", step.words, bytes.unwrap_or_default());
        text += &phrases::fact(&format!("step {}", number + 1), &words);
    }
    let time = match (plan.seconds(), plan.rate) {
        (Some(seconds), Some(rate)) => {
            let span = units::span(Duration::from_secs(seconds));
            let rate = units::rate(rate, Duration::from_secs(1));
            format!("{span} to restore, at the {rate} of the last one; preparing not counted")
        }
        _ => "not known: no earlier restore to this directory was measured".to_owned(),
    };
    text += &phrases::told("time", &time, canvas);
    let way = match places.way {
        Way::Rename => "the directories are exchanged by name",
        Way::Contents => "contents are moved, since the directory is a mount point",
    };
    text += &phrases::told("swap", way, canvas);
    if let Some(keeps) = &plan.keeps {
        text += &phrases::told("kept", &format!("the old data, as {}", keeps.display()), canvas);
    }
    if let Some(removes) = &plan.removes {
        let words = format!("all data in {}, before there are new ones", removes.display());
        text += &phrases::told("removed", &words, canvas);
    }
    text += &phrases::told("lost", &lost(&plan.head.losses, canvas), canvas);
    if let Some((path, state)) = &plan.head.gtid {
        let words = format!("{state}, by {}", path.display());
        text += &phrases::told("GTID", &words, canvas);
    }
    text += &phrases::told("log", &places.log.display().to_string(), canvas);
    for note in &plan.notes {
        text += &phrases::told("note", note, canvas);
    }
    for problem in &plan.problems {
        text += &phrases::told("problem", problem, canvas);
    }
    text
}

/// Says what was replayed, and what is the first that was not.
fn told_replay(replayed: &Replayed, report: &DatadirReport, canvas: Canvas) -> String {
    let count = units::counted(replayed.transactions, "transaction");
    let last = replayed.last_time.map(|time| format!(", the last of {}", canvas.time(time)));
    let end = report.stopped.as_ref().map_or(", to the end of the logs".to_owned(), |stopped| {
        let statement = stopped.statement.as_ref().map(|text| format!(": {}", clean(text)));
        let (gtid, time) = (&stopped.gtid, canvas.time(stopped.time));
        format!("; not {gtid} of {time}{}", statement.unwrap_or_default())
    });
    format!("{count}{}{end}", last.unwrap_or_default())
}

fn report_text(source: &str, report: &DatadirReport, time: Duration, canvas: Canvas) -> String {
    let places = &report.head.places;
    let bytes = report
        .restored
        .map(|(bytes, time)| format!(", {} at {}", units::size(bytes), units::rate(bytes, time)));
    let mut text = format!(
        "restored {} to {} in {}{}\n",
        clean(source),
        clean(&places.directory.display().to_string()),
        units::span(time),
        bytes.unwrap_or_default()
    );
    let mut judged = Vec::new();
    judged.extend(report.lsn.map(|lsn| format!("log-applied at LSN {lsn}")));
    judged.extend(report.pages.map(|pages| format!("{} right", units::counted(pages, "page"))));
    let tables = report.tables.and_then(|tables| u64::try_from(tables).ok());
    judged.extend(tables.map(|tables| format!("{} opened", units::counted(tables, "table"))));
    if !judged.is_empty() {
        text += &phrases::fact("judged", &judged.join(", "));
    }
    if let Some(kept) = &report.kept {
        text += &phrases::fact("kept", &format!("the old data, as {}", kept.display()));
    }
    text += &phrases::told("lost", &lost(&report.losses, canvas), canvas);
    if let Some(replayed) = &report.replayed {
        text += &phrases::told("replayed", &told_replay(replayed, report, canvas), canvas);
    }
    if let Some((_, state)) = &report.head.gtid {
        let replayed = report.replayed.as_ref().map(|replayed| &replayed.gtid_state);
        text += &phrases::fact("GTID", replayed.unwrap_or(state));
    }
    text += &phrases::fact("log", &places.log.display().to_string());
    if report.head.start.is_empty() {
        text += &phrases::fact("next", "start the server");
    }
    text
}
