//! `status`: shows what is remembered of the jobs of the configuration file.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::config::Config;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::values::long_duration;
use crate::jobs::archived;
use crate::jobs::archived::ArchiveState;
use crate::jobs::lock::JobLock;
use crate::jobs::plan::schedule_of;
use crate::jobs::plan::state_dir;
use crate::jobs::record::Record;
use crate::jobs::record::Standing;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::timefmt;

const EXAMPLE: &str = "\
Examples:
  haulout status
  haulout status nightly --nagios --max-age 26h

Exit status with --nagios: 0 OK, 1 warning, 2 critical, 3 unknown.";

/// Show when jobs ran, and when they run next
///
/// Reads what the runs on this host have left in the directory `state_dir`; it needs no key.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct StatusArguments {
    /// Only this job
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,

    /// Print one line, with the exit status of a Nagios plugin
    ///
    /// Critical: a job never succeeded, its last run failed, or its last success is older than
    /// --max-age. Warning: the last run had findings.
    #[arg(long, requires = "max_age")]
    pub(crate) nagios: bool,

    /// With --nagios, the age of the last success from which a job is critical: 26h, 8d
    #[arg(long, value_name = "DURATION", value_parser = long_duration, requires = "nagios")]
    pub(crate) max_age: Option<Duration>,
}

/// The JSON report of one job.
#[derive(Debug, Serialize)]
struct Job {
    #[serde(rename = "job")]
    name: String,
    /// The state now: the result of the last run, `running`, `interrupted` or `never`.
    state: State,
    last_run: Option<String>,
    last_success: Option<String>,
    next_run: Option<String>,
    /// Since when nothing has verified the oldest of a repository.
    oldest_unverified: Option<String>,
    record: Option<Record>,
    /// How the archive of binary logs stands, if the job has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    binlog: Option<ArchiveState>,
}

/// What can be said of a job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Never,
    Running,
    Interrupted,
    Done,
    Findings,
    Failed,
    Skipped,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Never => "never ran",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Findings => "findings",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

impl State {
    fn tone(self) -> Tone {
        match self {
            Self::Done => Tone::Good,
            Self::Running | Self::Skipped => Tone::Plain,
            Self::Findings | Self::Never => Tone::Doubtful,
            Self::Interrupted | Self::Failed => Tone::Bad,
        }
    }
}

/// The levels of a Nagios plugin, whose numbers are its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    Warning,
    Critical,
}

impl StatusArguments {
    /// Prints what is remembered.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let jobs = self.jobs(config, report)?;
        if let Some(max_age) = self.max_age {
            let now = report.clock.unix_seconds();
            let (level, line) = judged(&jobs, now, max_age);
            print(&line)?;
            return Ok(match level {
                Level::Good => Exit::Done,
                // The numbers of Nagios are those of other states here.
                Level::Warning => Exit::Failed,
                Level::Critical => Exit::Usage,
            });
        }
        report.result(&jobs, || in_words(&jobs, report))?;
        Ok(Exit::Done)
    }

    fn jobs(&self, config: &Config, report: &Report) -> Outcome<Vec<Job>> {
        let names = config.names("job");
        let wanted: Vec<&str> = match &self.job {
            Some(name) if !names.contains(&name.as_str()) => {
                return Err(Failure::usage(
                    format!("{} has no job {name}", config.path.display()),
                    "haulout status without a name shows all jobs",
                ));
            }
            Some(name) => vec![name],
            None => names,
        };
        wanted.into_iter().map(|name| job(config, name, report)).collect()
    }
}

fn job(config: &Config, name: &str, report: &Report) -> Outcome<Job> {
    let state_dir = state_dir(config);
    let record = Record::read(&state_dir, name)?;
    let state = match record.as_ref().map(|record| record.result) {
        None => State::Never,
        Some(Standing::Running) if JobLock::is_held(&state_dir, name) => State::Running,
        Some(Standing::Running) => State::Interrupted,
        Some(Standing::Done) => State::Done,
        Some(Standing::Findings) => State::Findings,
        Some(Standing::Failed) => State::Failed,
        // Another node has run it: what counts is the last success of all.
        Some(Standing::Skipped) => State::Skipped,
    };
    let next = schedule_of(config.job(name)).and_then(|(schedule, zone)| {
        let now = i64::try_from(report.clock.unix_seconds()).ok()?;
        let next = schedule.next_after(Timestamp::from_second(now).ok()?, &zone)?;
        u64::try_from(next.as_second()).ok()
    });
    let last = record.as_ref().map(|record| record.ended.unwrap_or(record.started));
    let success = record.as_ref().and_then(|record| record.last_success);
    Ok(Job {
        name: name.to_owned(),
        state,
        last_run: last.map(timefmt::for_programs),
        last_success: success.map(timefmt::for_programs),
        next_run: next.map(timefmt::for_programs),
        oldest_unverified: record.as_ref().and_then(oldest).map(timefmt::for_programs),
        record,
        binlog: archive_of(config, &state_dir, name),
    })
}

/// Returns how the archive of binary logs of a job stands, if the configuration asks for one.
fn archive_of(config: &Config, state_dir: &Path, job: &str) -> Option<ArchiveState> {
    let source = archived::wanted(config, config.job(job)?)?;
    let never = || ArchiveState { source: source.clone(), ..ArchiveState::default() };
    Some(ArchiveState::read(state_dir, &source).unwrap_or_else(never))
}

/// Returns since when nothing has verified the oldest of the repositories of a job.
fn oldest(record: &Record) -> Option<u64> {
    record.oldest_unverified.values().min().copied()
}

/// Returns the worst level of all jobs, and the line of a Nagios plugin.
fn judged(jobs: &[Job], now: u64, max_age: Duration) -> (Level, String) {
    let of = |job: &Job| {
        // What another node of a cluster has run counts as well.
        let success = job.record.as_ref();
        let success = success.and_then(|record| record.last_success.max(record.last_elsewhere));
        let age = success.map(|success| now.saturating_sub(success));
        let (level, what) = match (age, job.state) {
            (None, _) => (Level::Critical, "never succeeded".to_owned()),
            (_, State::Failed | State::Interrupted) => {
                (Level::Critical, format!("the last run {}", failed(job.state)))
            }
            (Some(age), _) if age > max_age.as_secs() => {
                (Level::Critical, format!("last success {} h ago", age / 3600))
            }
            (Some(age), State::Findings) => {
                (Level::Warning, format!("done with findings, {} h ago", age / 3600))
            }
            (Some(age), _) => (Level::Good, format!("{} h ago", age / 3600)),
        };
        (level, format!("{}: {what}", job.name))
    };
    let mut found: Vec<(Level, String)> = jobs.iter().map(of).collect();
    found.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let worst = found.first().map_or(Level::Critical, |(level, _)| *level);
    let word = match worst {
        Level::Good => "OK",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
    };
    let parts: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
    let parts = if parts.is_empty() { "there are no jobs".to_owned() } else { parts.join("; ") };
    (worst, format!("HAULOUT {word} - {parts}\n"))
}

fn failed(state: State) -> &'static str {
    if state == State::Interrupted { "was interrupted" } else { "failed" }
}

fn in_words(jobs: &[Job], report: &Report) -> String {
    if jobs.is_empty() {
        return "the configuration has no jobs\n".to_owned();
    }
    let left = |title, narrow| Column { title, side: Side::Left, narrow };
    let columns = [
        left("job", Narrow::Keep),
        left("state", Narrow::Keep),
        left("last success", Narrow::Seconds),
        left("next run", Narrow::Seconds),
        left("unverified since", Narrow::Seconds),
    ];
    let time = |time: Option<u64>| time.map_or("-".to_owned(), |time| report.canvas.time(time));
    let row = |job: &Job| -> Vec<Cell> {
        let success = job.record.as_ref().and_then(|record| record.last_success);
        let next = job.next_run.as_ref().and_then(|next| next.parse::<Timestamp>().ok());
        let next = next.and_then(|next| u64::try_from(next.as_second()).ok());
        vec![
            job.name.as_str().into(),
            Cell::toned(job.state.to_string(), job.state.tone()),
            time(success).into(),
            time(next).into(),
            time(job.record.as_ref().and_then(oldest)).into(),
        ]
    };
    let archives = jobs.iter().filter_map(|job| job.binlog.as_ref());
    let archives: String = archives.map(|state| archive_in_words(state, report)).collect();
    table(&columns, &jobs.iter().map(row).collect::<Vec<_>>(), report.canvas) + &archives
}

/// Returns how an archive of binary logs stands in a line.
fn archive_in_words(state: &ArchiveState, report: &Report) -> String {
    let source = &state.source;
    let Some(caught_up) = state.caught_up else {
        return format!("binary logs of {source}: nothing was archived by this host yet\n");
    };
    let gaps = if state.gaps == 0 { String::new() } else { format!(", {} gaps", state.gaps) };
    let trouble = state.trouble.as_ref().map(|why| format!("; {}", clean(why)));
    format!(
        "binary logs of {source}: all stored at {}{gaps}{}\n",
        report.canvas.time(caught_up),
        trouble.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job_of(state: State, success: Option<u64>) -> Job {
        let mut record = Record::begin("nightly", 0, None);
        record.last_success = success;
        Job {
            name: "nightly".to_owned(),
            state,
            last_run: None,
            last_success: None,
            next_run: None,
            oldest_unverified: None,
            record: Some(record),
            binlog: None,
        }
    }

    #[test]
    fn a_monitor_gets_the_worst_of_all_jobs() {
        let hour = 3600;
        let at = |jobs: &[Job]| judged(jobs, 30 * hour, Duration::from_hours(26));
        let good = job_of(State::Done, Some(20 * hour));
        assert_eq!(at(&[good]).1, "HAULOUT OK - nightly: 10 h ago\n");
        for (state, success, level) in [
            (State::Running, Some(29 * hour), Level::Good),
            (State::Findings, Some(29 * hour), Level::Warning),
            (State::Done, Some(hour), Level::Critical),
            (State::Running, Some(hour), Level::Critical),
            (State::Failed, Some(29 * hour), Level::Critical),
            (State::Interrupted, Some(29 * hour), Level::Critical),
            (State::Never, None, Level::Critical),
        ] {
            assert_eq!(at(&[job_of(state, success)]).0, level, "{state:?} {success:?}");
        }
        let jobs = [job_of(State::Done, Some(29 * hour)), job_of(State::Failed, Some(hour))];
        let (level, line) = at(&jobs);
        assert_eq!(level, Level::Critical);
        assert!(line.starts_with("HAULOUT CRITICAL - nightly: the last run failed; "), "{line}");
        assert_eq!(at(&[]).0, Level::Critical);
    }
}
