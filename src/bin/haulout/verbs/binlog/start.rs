//! `binlog archive`: finds out what a job says, and becomes the archive of its source.
//!
//! The configuration file gives a repository its options by its name on the command line, so the
//! archive is a command line too. It takes the place of this process, which systemd watches.

use std::os::unix::process::CommandExt;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::store::location::Location;

use crate::config::Config;
use crate::config::tree::Table;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::archived::metrics_of;
use crate::jobs::archived::source_of;
use crate::jobs::founding;
use crate::jobs::plan::no_job;
use crate::jobs::plan::state_dir;
use crate::jobs::producer::require_private_options;
use crate::output::report::Report;
use crate::verbs::binlog::args::ArchiveArguments;

/// The interval where a put costs next to nothing.
const OF_DIRECTORIES: &str = "1min";
/// The interval where each put is paid for.
const OF_BUCKETS: &str = "10min";

impl ArchiveArguments {
    /// Becomes the archive of the job's source.
    pub(crate) fn run(&self, config: &Config, report: &Report) -> Outcome<Exit> {
        let Some(job) = config.job(&self.job) else { return Err(no_job(config, &self.job)) };
        let (name, source) = source_of(config, job).ok_or_else(|| {
            Failure::usage(
                format!("no source of the job {} has a server", self.job),
                "name a source of kind mariabackup or mariadb-dump in its sources",
            )
        })?;
        require_private_options(source)?;
        let place = job.text("repository").unwrap_or_default();
        let mut command = founding::of(config, place)?;
        if report.is_json() {
            command.arg("--json");
        }
        let interval = interval(config, place, source);
        command.args(["binlog", "follow", &name, "--interval", &interval, "--state-dir"]);
        command.arg(state_dir(config));
        if let Some(metrics) = job.text("metrics") {
            command.arg("--metrics").arg(metrics_of(metrics.as_ref(), &name));
        }
        command.args(self.once.then_some("--once"));
        command.args(self.consent.yes.then_some("--yes"));
        let error = command.exec();
        Err(Error::new(ErrorKind::Source, "cannot start this program once more")
            .because(error)
            .into())
    }
}

/// Returns how often the open file is stored.
fn interval(config: &Config, place: &str, source: &Table) -> String {
    let said = source.table("binlog").and_then(|table| table.text("interval"));
    let url = config.repository(place).and_then(|table| table.text("url"));
    let usual = match url.map(Location::parse) {
        Some(Ok(Location::Bucket { .. })) => OF_BUCKETS,
        _ => OF_DIRECTORIES,
    };
    said.unwrap_or(usual).to_owned()
}
