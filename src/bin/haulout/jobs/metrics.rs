//! Metrics of a job for the textfile collector of Prometheus' node exporter.
//!
//! The file is replaced as a whole after each run. A run that fails keeps the time of the last
//! success, so that an alert on its age sees a job that fails and one that is not started alike;
//! a source whose backup fails keeps the figures of its last one.
//!
//! Source of the format: "Exposition formats" of Prometheus.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::jobs::record::Night;
use crate::jobs::record::Record;
use crate::jobs::record::SourceRecord;
use crate::jobs::record::replace;

/// Writes the metrics of a job.
pub(crate) fn write(path: &Path, record: &Record) -> io::Result<()> {
    replace(path, text(record))
}

fn text(record: &Record) -> String {
    let job = &record.job;
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, values: Vec<(String, String)>| {
        if values.is_empty() {
            return;
        }
        out.extend(["# HELP haulout_", name, " ", help, "\n# TYPE haulout_", name, " gauge\n"]);
        for (labels, value) in values {
            let line = format!("haulout_{name}{{job_name={job:?}{labels}}} {value}\n");
            out.push_str(&line);
        }
    };
    let one = |value: Option<u64>| -> Vec<(String, String)> {
        value.map(|value| (String::new(), value.to_string())).into_iter().collect()
    };
    gauge(
        "job_last_success_timestamp_seconds",
        "End of the last run in which no step failed.",
        one(record.last_success),
    );
    gauge("job_last_run_timestamp_seconds", "End of the last run.", one(record.ended));
    gauge(
        "job_exit_code",
        "Exit status of the last run: 0 done, 1 failed, 3 done with findings.",
        one(record.exit_status.map(u64::from)),
    );
    let time = record.ended.map(|ended| ended.saturating_sub(record.started));
    gauge("job_duration_seconds", "Wall time of the last run.", one(time));
    gauge("job_phase_seconds", "Wall time of the steps of the last run.", phases(record));
    gauge("job_bytes", "Bytes of the last backup of a source.", bytes(record));
    gauge("job_verdict", "Verdict of the last snapshot of a source.", verdicts(record));
    gauge(
        "job_source_last_success_timestamp_seconds",
        "End of the last backup of a source that restores.",
        of_nights(record, |night| Some(night.ended.to_string())),
    );
    gauge(
        "job_galera_paused_seconds",
        "Time for which the last backup of a source made its server stand still.",
        of_nights(record, |night| night.paused_milliseconds.map(seconds)),
    );
    gauge(
        "job_desync_seconds",
        "Time for which the last backup of a source kept its node desynced.",
        of_nights(record, |night| night.desynced_milliseconds.map(seconds)),
    );
    let oldest = record.oldest_unverified.iter();
    gauge(
        "job_oldest_unverified_timestamp_seconds",
        "Time since which nothing has verified the oldest of a repository.",
        oldest.map(|(name, at)| (format!(",repository={name:?}"), at.to_string())).collect(),
    );
    let version = format!(",version={:?}", env!("CARGO_PKG_VERSION"));
    gauge("build_info", "Version of the program.", vec![(version, "1".to_owned())]);
    out
}

/// Returns the seconds of each kind of step, for each of its subjects.
fn phases(record: &Record) -> Vec<(String, String)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for step in &record.steps {
        let labels = format!(",phase={:?},subject={:?}", step.step, step.subject);
        *sums.entry(labels).or_default() += step.milliseconds;
    }
    sums.into_iter().map(|(labels, time)| (labels, seconds(time))).collect()
}

/// Returns a value of the last backup of each source that restores.
fn of_nights(record: &Record, value: fn(&Night) -> Option<String>) -> Vec<(String, String)> {
    let of = |(source, kept): (&String, &SourceRecord)| {
        Some((format!(",source={source:?}"), value(kept.nights.last()?)?))
    };
    record.sources.iter().filter_map(of).collect()
}

fn bytes(record: &Record) -> Vec<(String, String)> {
    let of =
        |(source, kept): (&String, &SourceRecord)| {
            let night = kept.nights.last()?;
            let kinds = [("stream", night.stream_bytes), ("stored", night.stored_bytes)];
            Some(kinds.map(|(kind, bytes)| {
                (format!(",source={source:?},kind={kind:?}"), bytes.to_string())
            }))
        };
    record.sources.iter().filter_map(of).flatten().collect()
}

fn verdicts(record: &Record) -> Vec<(String, String)> {
    let of = |(source, kept): (&String, &SourceRecord)| {
        let verdict = kept.verdict.as_ref()?;
        Some((format!(",source={source:?},verdict={verdict:?}"), "1".to_owned()))
    };
    record.sources.iter().filter_map(of).collect()
}

/// Formats a time as seconds.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
