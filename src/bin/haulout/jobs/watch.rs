//! What watches the metrics of a job: alert rules of Prometheus, and a dashboard of Grafana.
//!
//! A job that failed and one that was never started look alike to the first rule: it goes by the
//! age of the last success, which must be older than the longest time between two runs.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::json;

use crate::config::schedule::Schedule;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::duration;
use crate::jobs::units::Unit;
use crate::jobs::yaml;

/// The time that a run may take before its lack is noticed.
const RUN_TIME: Duration = Duration::from_hours(3);
/// Runs of which the times between are looked at: more than those of a year by day.
const RUNS_SEEN: usize = 400;
/// The age from which what nothing has verified is an alert, days.
const UNVERIFIED_DAYS: u64 = 90;

/// Returns the longest time between two runs of a schedule, from a moment on.
fn longest_gap(schedule: &Schedule, zone: &TimeZone, from: Timestamp) -> Option<Duration> {
    let mut last = schedule.next_after(from, zone)?;
    let mut longest = Duration::ZERO;
    for _run in 0..RUNS_SEEN {
        let next = schedule.next_after(last, zone)?;
        longest = longest.max(Duration::try_from(next.duration_since(last)).ok()?);
        last = next;
    }
    Some(longest)
}

/// Refuses a job without metrics: there would be nothing to watch.
fn require_metrics(unit: &Unit<'_>) -> Outcome<()> {
    if unit.job.text("metrics").is_some() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("the job {} has no metrics", unit.name),
        "give it a file that the node exporter reads, as in metrics = \
         \"/var/lib/prometheus/node-exporter/haulout.prom\"",
    ))
}

/// Returns alert rules of Prometheus for a job, as YAML.
pub(crate) fn rules(unit: &Unit<'_>, zone: &TimeZone, now: Timestamp) -> Outcome<String> {
    require_metrics(unit)?;
    let Some(gap) = longest_gap(&unit.schedule, zone, now) else {
        return Err(Failure::usage(
            format!("the schedule {} of {} has no end of its times", unit.schedule, unit.name),
            "give the job a schedule that comes again",
        ));
    };
    let name = unit.name;
    let of = |metric: &str| format!("haulout_job_{metric}{{job_name=\"{name}\"}}");
    let jitter = unit.job.text("jitter").and_then(|text| duration(text).ok()).unwrap_or_default();
    let late = (gap + jitter + RUN_TIME).as_secs();
    let hours = late.div_ceil(3600);
    let rule = |alert: &str, expression: String, severity: &str, summary: String| {
        json!({
            "alert": alert,
            "expr": expression,
            "labels": { "severity": severity },
            "annotations": { "summary": summary },
        })
    };
    let unverified = UNVERIFIED_DAYS * 24 * 3600;
    let group = json!({ "groups": [{ "name": format!("haulout-{name}"), "rules": [
        rule(
            "HauloutNoSuccess",
            format!("time() - {} > {late}", of("last_success_timestamp_seconds")),
            "critical",
            format!("The job {name} has not succeeded for {hours} h"),
        ),
        rule(
            "HauloutNoMetrics",
            format!("absent({})", of("last_run_timestamp_seconds")),
            "critical",
            format!("There are no metrics of the job {name}: it never ran, or its host is down"),
        ),
        rule(
            "HauloutFailed",
            format!("{} == 1", of("exit_code")),
            "critical",
            format!("The last run of the job {name} failed"),
        ),
        rule(
            "HauloutFindings",
            format!("{} == 3", of("exit_code")),
            "warning",
            format!("The last run of the job {name} had findings: haulout status {name}"),
        ),
        rule(
            "HauloutNotComplete",
            format!("haulout_job_verdict{{job_name=\"{name}\",verdict!=\"complete\"}} == 1"),
            "warning",
            "The newest snapshot of {{ $labels.source }} is {{ $labels.verdict }}".to_owned(),
        ),
        rule(
            "HauloutUnverified",
            format!("time() - {} > {unverified}", of("oldest_unverified_timestamp_seconds")),
            "warning",
            format!("Nothing has verified a part of {{{{ $labels.repository }}}} for \
                     {UNVERIFIED_DAYS} days"),
        ),
    ]}]});
    Ok(yaml::document(&group))
}

/// A panel of a dashboard before it has a place.
struct Panel {
    title: &'static str,
    kind: &'static str,
    unit: &'static str,
    /// Expressions with their legends.
    queries: Vec<(String, &'static str)>,
}

/// Columns of a dashboard, and those of a panel.
const COLUMNS: usize = 24;
const PANEL_COLUMNS: usize = 8;
const PANEL_ROWS: usize = 8;

/// Returns a dashboard of Grafana for a job, as JSON.
pub(crate) fn dashboard(unit: &Unit<'_>) -> Outcome<String> {
    require_metrics(unit)?;
    let name = unit.name;
    let of = |metric: &str| format!("haulout_job_{metric}{{job_name=\"{name}\"}}");
    let age = |metric: &str| format!("time() - {}", of(metric));
    let panel = |title, kind, unit, queries| Panel { title, kind, unit, queries };
    let bytes = |kind: &str| format!("haulout_job_bytes{{job_name=\"{name}\",kind=\"{kind}\"}}");
    let panels = [
        panel(
            "Since the last success",
            "stat",
            "s",
            vec![(age("last_success_timestamp_seconds"), "success")],
        ),
        panel("Exit status of the last run", "stat", "none", vec![(of("exit_code"), "status")]),
        panel("Verdicts", "table", "none", vec![(of("verdict"), "{{source}}: {{verdict}}")]),
        panel("Time of a run", "timeseries", "s", vec![(of("duration_seconds"), "run")]),
        panel(
            "Time of its steps",
            "timeseries",
            "s",
            vec![(of("phase_seconds"), "{{phase}} {{subject}}")],
        ),
        panel(
            "Since the oldest was verified",
            "stat",
            "s",
            vec![(age("oldest_unverified_timestamp_seconds"), "{{repository}}")],
        ),
        panel("Stored by a backup", "timeseries", "bytes", vec![(bytes("stored"), "{{source}}")]),
        panel("Read by a backup", "timeseries", "bytes", vec![(bytes("stream"), "{{source}}")]),
    ];
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let panels: Vec<Value> =
        panels.iter().enumerate().map(|(index, one)| placed(one, index, &source)).collect();
    let dashboard = json!({
        "title": format!("haulout: {name}"),
        "uid": format!("haulout-{name}"),
        "tags": ["haulout"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "5m",
        "time": { "from": "now-30d", "to": "now" },
        "templating": { "list": [{
            "name": "datasource",
            "type": "datasource",
            "query": "prometheus",
        }]},
        "panels": panels,
    });
    Ok(serde_json::to_string_pretty(&dashboard).expect("it is made of texts and numbers") + "\n")
}

fn placed(panel: &Panel, index: usize, source: &Value) -> Value {
    let in_row = COLUMNS / PANEL_COLUMNS;
    let is_table = panel.kind == "table";
    let target = |(number, (expression, legend)): (usize, &(String, &str))| {
        json!({
            "refId": format!("Q{number}"),
            "datasource": source,
            "expr": expression,
            "legendFormat": legend,
            "instant": is_table,
            "format": if is_table { "table" } else { "time_series" },
        })
    };
    let targets: Vec<Value> = panel.queries.iter().enumerate().map(target).collect();
    json!({
        "id": index + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": source,
        "gridPos": {
            "x": index % in_row * PANEL_COLUMNS,
            "y": index / in_row * PANEL_ROWS,
            "w": PANEL_COLUMNS,
            "h": PANEL_ROWS,
        },
        "fieldConfig": { "defaults": { "unit": panel.unit }, "overrides": [] },
        "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_between_runs_is_that_of_the_schedule() {
        let from: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        for (schedule, hours) in
            [("daily 02:30", 24), ("weekly sun 04:00", 168), ("hourly :05", 1), ("0 4 * * 1-5", 72)]
        {
            let schedule: Schedule = schedule.parse().unwrap();
            let gap = longest_gap(&schedule, &TimeZone::UTC, from);
            assert_eq!(gap, Some(Duration::from_hours(hours)), "{schedule}");
        }
    }
}
