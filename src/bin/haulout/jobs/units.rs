//! Units of systemd and lines of cron that start a job, from what the configuration says.
//!
//! A unit may write where the job writes, and nowhere else. A schedule that a target can't express
//! exactly is refused.
//!
//! Sources: `systemd.exec(5)`, `systemd.timer(5)`, `systemd.time(7)`, `crontab(5)`.

use std::collections::BTreeSet;
use std::path::Path;

use haulout::store::location::Location;

use crate::config::Config;
use crate::config::schedule::Schedule;
use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::archived;
use crate::jobs::desync::wishes::Wishes;
use crate::jobs::plan::no_job;
use crate::jobs::plan::state_dir;

/// The directory that systemd makes for a unit with `StateDirectory=haulout`.
const STATE_OF_UNIT: &str = "/var/lib/haulout";

/// A job as a unit starts it.
#[derive(Debug)]
pub(crate) struct Unit<'u> {
    /// The configuration that the job stands in.
    pub(crate) config: &'u Config,
    /// The name of the job.
    pub(crate) name: &'u str,
    /// The section of the job.
    pub(crate) job: &'u Table,
    /// The times at which the job is to run.
    pub(crate) schedule: Schedule,
    /// The user that runs the job.
    user: &'u str,
    /// The path of this program.
    program: String,
}

impl<'u> Unit<'u> {
    /// Looks up a job, which must have a schedule.
    pub(crate) fn new(
        config: &'u Config,
        name: &'u str,
        user: &'u str,
        program: String,
    ) -> Outcome<Self> {
        let Some(job) = config.job(name) else { return Err(no_job(config, name)) };
        let schedule = job.text("schedule").and_then(|text| text.parse().ok());
        let Some(schedule) = schedule else {
            return Err(Failure::usage(
                format!("the job {name} has no schedule"),
                "give it one, as in schedule = \"daily 02:30\"",
            ));
        };
        Ok(Self { config, name, job, schedule, user, program })
    }

    /// Returns the service and the timer, each with the name of its file, and the service of the
    /// archive of binary logs, if a source says that it has one.
    pub(crate) fn systemd(&self) -> Outcome<Vec<(String, String)>> {
        let name = |kind: &str| format!("haulout-{}.{kind}", self.name);
        let mut units = vec![(name("service"), self.service()), (name("timer"), self.timer()?)];
        if archived::wanted(self.config, self.job).is_some() {
            units.push((format!("haulout-{}-binlog.service", self.name), self.archive()));
        }
        Ok(units)
    }

    /// Returns the service of the archive, which runs as long as the host does.
    fn archive(&self) -> String {
        let archive = self.program_with(&format!("binlog archive {}", self.name));
        let mut lines = vec![
            "[Unit]".to_owned(),
            format!("Description=haulout archive of binary logs, job {}", self.name),
            "Wants=network-online.target".to_owned(),
            "After=network-online.target mariadb.service".to_owned(),
            String::new(),
            "[Service]".to_owned(),
            "Type=notify".to_owned(),
            "NotifyAccess=main".to_owned(),
            format!("User={}", self.user),
            format!("ExecStart={}", archive.replace('%', "%%")),
            "Restart=always".to_owned(),
            "RestartSec=30".to_owned(),
            "KillMode=mixed".to_owned(),
            "LimitNOFILE=1048576".to_owned(),
            "UMask=0077".to_owned(),
        ];
        lines.extend(self.confinement(&[]));
        lines.extend(["", "[Install]", "WantedBy=multi-user.target"].map(str::to_owned));
        lines.join("\n") + "\n"
    }

    fn service(&self) -> String {
        let mut lines = vec![
            "[Unit]".to_owned(),
            format!("Description=haulout job {}", self.name),
            "Wants=network-online.target".to_owned(),
            "After=network-online.target mariadb.service".to_owned(),
            String::new(),
            "[Service]".to_owned(),
            "# The run says when it begins and what it does. Only its own process does so."
                .to_owned(),
            "Type=notify".to_owned(),
            "NotifyAccess=main".to_owned(),
            format!("User={}", self.user),
            // A percent sign begins a specifier in a unit.
            format!("ExecStart={}", self.command().replace('%', "%%")),
            "# 3: done with findings; 4: the job runs already.".to_owned(),
            "SuccessExitStatus=3 4".to_owned(),
            "TimeoutStartSec=infinity".to_owned(),
            "KillMode=mixed".to_owned(),
        ];
        if let Some(source) = self.desynced() {
            let left = self.program_with(&format!("desync {source} --left"));
            lines.extend([
                "# The watchdog of a desynced node dies with a run that is killed.".to_owned(),
                format!("ExecStopPost={}", left.replace('%', "%%")),
                "TimeoutStopSec=20min".to_owned(),
            ]);
        }
        lines.extend(["LimitNOFILE=1048576".to_owned(), "UMask=0077".to_owned()]);
        let reads_files = self.sources().iter().any(|source| source.text("kind") == Some("files"));
        lines.extend(self.confinement(if reads_files { READS_FILES } else { &[] }));
        lines.join("\n") + "\n"
    }

    /// Returns what confines a service to what the job uses; `capabilities` are lines in the place
    /// of none at all.
    fn confinement(&self, capabilities: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        if state_dir(self.config) == Path::new(STATE_OF_UNIT) {
            lines.push("StateDirectory=haulout".to_owned());
        }
        // With a minus, since the run reports a directory that is missing, and systemd would not
        // even start it: no ping, no metrics.
        lines.extend(self.writable().into_iter().map(|path| format!("ReadWritePaths=-{path}")));
        if capabilities.is_empty() {
            lines.push("CapabilityBoundingSet=".to_owned());
        }
        lines.extend(capabilities.iter().map(|line| (*line).to_owned()));
        let paths = self.paths();
        let is_below =
            |tops: &[&str]| paths.iter().any(|path| tops.iter().any(|top| path.starts_with(top)));
        lines.push(format!(
            "ProtectHome={}",
            if is_below(&["/home/", "/root/"]) { "no" } else { "yes" }
        ));
        lines.push(format!(
            "PrivateTmp={}",
            if is_below(&["/tmp/", "/var/tmp/"]) { "no" } else { "yes" }
        ));
        lines.extend(HARDENING.map(str::to_owned));
        lines
    }

    fn timer(&self) -> Outcome<String> {
        let Some(calendar) = self.schedule.calendar() else {
            return Err(Failure::usage(
                format!("systemd can't express the schedule {} of {}", self.schedule, self.name),
                "give days of the month or weekdays, but not both",
            ));
        };
        let zone = self.job.text("timezone").filter(|zone| *zone != "local");
        let zone = zone.map_or(String::new(), |zone| format!(" {zone}"));
        let jitter = self.job.text("jitter");
        let jitter = jitter.map_or(String::new(), |time| format!("RandomizedDelaySec={time}\n"));
        Ok(format!(
            "[Unit]\nDescription=haulout job {}, {}\n\n[Timer]\nOnCalendar={calendar}{zone}\n\
             {jitter}Persistent=true\n\n[Install]\nWantedBy=timers.target\n",
            self.name, self.schedule
        ))
    }

    /// Returns the line of a file in `/etc/cron.d`.
    pub(crate) fn cron(&self) -> Outcome<String> {
        for (key, why) in
            [("timezone", "cron has the zone of the host"), ("jitter", "cron starts at the minute")]
        {
            let value = self.job.text(key).filter(|value| *value != "local");
            if let Some(value) = value {
                return Err(Failure::usage(
                    format!("cron can't express {key} = {value:?} of {}", self.name),
                    format!("{why}: leave {key} out, or use haulout generate systemd"),
                ));
            }
        }
        // A percent sign ends a command in a crontab.
        let command = self.command().replace('%', "\\%");
        Ok(format!("{} {} {command} --quiet\n", self.schedule.cron(), self.user))
    }

    fn command(&self) -> String {
        self.program_with(&format!("run {} --scheduled", self.name))
    }

    /// Returns the first source whose node is desynced.
    fn desynced(&self) -> Option<String> {
        let is_desynced = |name: &String| {
            let cluster = self.config.source(name).and_then(|source| source.text("cluster"));
            let table = |name| self.config.file.table("cluster")?.table(name);
            cluster.and_then(table).and_then(Wishes::of).is_some()
        };
        self.job.texts("sources").into_iter().find(is_desynced)
    }

    /// Returns a command line of this program.
    fn program_with(&self, words: &str) -> String {
        let config = self.config.path.display().to_string();
        let [program, config] = [&self.program, &config].map(|word| {
            let is_plain = !word.contains(char::is_whitespace);
            if is_plain { word.clone() } else { format!("\"{word}\"") }
        });
        format!("{program} --config {config} {words}")
    }

    /// Returns the sections of its sources.
    pub(crate) fn sources(&self) -> Vec<&Table> {
        let names = self.job.texts("sources");
        names.iter().filter_map(|name| self.config.source(name)).collect()
    }

    fn names(&self) -> Vec<String> {
        let main = self.job.text("repository").map(str::to_owned);
        main.into_iter().chain(self.job.texts("replicas")).collect()
    }

    /// Returns the sections of its repository and of the copies.
    pub(crate) fn repositories(&self) -> Vec<&Table> {
        self.names().iter().filter_map(|name| self.config.repository(name)).collect()
    }

    /// Returns the repositories that are directories, by their names.
    pub(crate) fn directories(&self) -> Vec<(String, String)> {
        let directory = |name: String| {
            let url = self.config.repository(&name)?.text("url")?;
            match Location::parse(url).ok()? {
                Location::Directory(path) => Some((name, path.display().to_string())),
                Location::Bucket { .. } => None,
            }
        };
        self.names().into_iter().filter_map(directory).collect()
    }

    /// Returns the directories that the job writes to.
    pub(crate) fn writable(&self) -> BTreeSet<String> {
        let mut paths: BTreeSet<String> =
            self.directories().into_iter().map(|(_, path)| path).collect();
        let caches = self.repositories().into_iter().filter_map(|table| table.text("cache"));
        paths.extend(caches.map(str::to_owned));
        let defaults = self.config.file.table("defaults");
        paths.extend(defaults.and_then(|table| table.text("cache")).map(str::to_owned));
        let state = state_dir(self.config);
        if state != Path::new(STATE_OF_UNIT) {
            paths.insert(state.display().to_string());
        }
        let metrics = self.job.text("metrics").and_then(|path| Path::new(path).parent());
        paths.extend(metrics.map(|directory| directory.display().to_string()));
        paths
    }

    /// Returns all paths that stand in what the job uses.
    fn paths(&self) -> BTreeSet<String> {
        let mut paths = self.writable();
        paths.insert(self.config.path.display().to_string());
        let clusters = self.config.file.table("cluster").map_or(&[][..], |all| &all.0);
        let clusters = clusters.iter().filter_map(|entry| entry.value.as_table());
        for table in self.sources().into_iter().chain(self.repositories()).chain(clusters) {
            let values = table.0.iter().flat_map(|entry| entry.value.words().unwrap_or_default());
            paths.extend(values.filter(|value| value.starts_with('/')));
        }
        let hooks = self.job.table("hooks").into_iter().flat_map(|hooks| &hooks.0);
        for hook in hooks.filter_map(|entry| match &entry.value.data {
            Data::List(list) => Some(list),
            Data::Text(_)
            | Data::Number(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::Table(_)
            | Data::Other(_) => None,
        }) {
            let tables = hook.iter().filter_map(|value| value.as_table());
            paths.extend(
                tables
                    .flat_map(|table| table.texts("command"))
                    .filter(|word| word.starts_with('/')),
            );
        }
        paths
    }
}

/// What a job needs whose sources are files of other users.
const READS_FILES: &[&str] = &[
    "# The files of other users are read.",
    "AmbientCapabilities=CAP_DAC_READ_SEARCH",
    "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
];

/// What a job never needs. Neither is there `PrivateUsers`, with which `unix_socket` accounts
/// fail, nor a `RestrictAddressFamilies` without the network.
const HARDENING: [&str; 14] = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
];
