//! `generate`: prints what starts a job of the configuration file on its schedule.

use std::env;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::config::Config;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::jobs::kubernetes;
use crate::jobs::kubernetes::ClusterArguments;
use crate::jobs::lock::unwritten;
use crate::jobs::plan::schedule_of;
use crate::jobs::record::replace;
use crate::jobs::units::Unit;
use crate::jobs::watch;
use crate::output::report::Report;

const EXAMPLE: &str = "\
Examples:
  haulout generate systemd nightly
  haulout generate systemd nightly --to /etc/systemd/system
  haulout generate cron nightly > /etc/cron.d/haulout-nightly
  haulout generate kubernetes nightly --image registry.example.org/haulout:0.2 | kubectl apply -f -
  haulout generate prometheus nightly > /etc/prometheus/rules/haulout-nightly.yml";

/// Print what starts a job on its schedule, or watches it
///
/// The unit of systemd may write where the job does: to its repositories that are directories, to
/// caches, metrics and `state_dir`. A schedule that the target can't express exactly is refused.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct GenerateArguments {
    /// What starts or watches the job
    #[arg(value_name = "TARGET")]
    pub(crate) target: Target,

    /// The name of the job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// The user that runs the job
    #[arg(long, value_name = "USER", default_value = "mysql")]
    pub(crate) user: String,

    /// Write the files into this directory instead of printing them
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

/// What starts or watches a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A service and a timer
    Systemd,
    /// A line for a file in /etc/cron.d
    Cron,
    /// A `CronJob` with its claim and network policy
    Kubernetes,
    /// A Job that restores the server, and how to use it
    KubernetesRestore,
    /// Alert rules
    Prometheus,
    /// A dashboard
    Grafana,
}

/// The JSON report: the files.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    text: String,
}

impl GenerateArguments {
    /// Prints or writes the files.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let program =
            env::current_exe().map_or("haulout".into(), |path| path.display().to_string());
        let unit = Unit::new(config, &self.job, &self.user, program)?;
        let files: Vec<File> = match self.target {
            Target::Systemd => {
                unit.systemd()?.into_iter().map(|(name, text)| File { name, text }).collect()
            }
            Target::Cron => vec![self.file("", unit.cron()?)],
            Target::Kubernetes => {
                vec![self.file(".yaml", kubernetes::manifest(&unit, &self.cluster)?)]
            }
            Target::KubernetesRestore => {
                vec![self.file("-restore.yaml", kubernetes::restore(&unit, &self.cluster)?)]
            }
            Target::Prometheus => vec![self.file(".rules.yml", rules(&unit, report)?)],
            Target::Grafana => vec![self.file(".json", watch::dashboard(&unit)?)],
        };
        if let Some(directory) = &self.to {
            for File { name, text } in &files {
                let path = directory.join(name);
                replace(&path, text.clone()).map_err(|error| unwritten(&path, error))?;
                report.console.note(format!("wrote {}", path.display()));
            }
            return Ok(Exit::Done);
        }
        report.result(&files, || in_words(&files))?;
        Ok(Exit::Done)
    }

    fn file(&self, end: &str, text: String) -> File {
        File { name: format!("haulout-{}{end}", self.job), text }
    }
}

/// Returns the alert rules of a job, by the times of its schedule from now on.
fn rules(unit: &Unit<'_>, report: &Report) -> Outcome<String> {
    let now = i64::try_from(report.clock.unix_seconds()).unwrap_or_default();
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let zone = schedule_of(Some(unit.job)).map_or(TimeZone::UTC, |(_, zone)| zone);
    watch::rules(unit, &zone, now)
}

/// Returns the files one after another, each below its name if there are several.
fn in_words(files: &[File]) -> String {
    match files {
        [one] => one.text.clone(),
        several => {
            let each = several.iter().map(|file| format!("# {}\n{}", file.name, file.text));
            each.collect::<Vec<_>>().join("\n")
        }
    }
}
