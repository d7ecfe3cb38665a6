//! Archives of binary logs: which source of a job has one, what it remembers for other commands,
//! and its metrics.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::config::Config;
use crate::config::tree::Table;
use crate::jobs::record::replace;

/// How an archive stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ArchiveState {
    /// The source whose binary logs it stores.
    pub(crate) source: String,
    /// When this was written, seconds since 1970.
    pub(crate) time: u64,
    /// The name of the newest file.
    pub(crate) file: Option<String>,
    /// The state behind what is stored.
    pub(crate) after: Option<String>,
    /// The time of the last event that is stored.
    pub(crate) last_event: Option<u64>,
    /// When all that the server had was stored.
    pub(crate) caught_up: Option<u64>,
    /// How many gaps there are in what is stored.
    pub(crate) gaps: u64,
    /// Why nothing is fetched at the moment.
    pub(crate) trouble: Option<String>,
}

impl ArchiveState {
    /// Returns the file of the state of a source's archive.
    pub(crate) fn path(state_dir: &Path, source: &str) -> PathBuf {
        directory(state_dir).join(format!("{source}.json"))
    }

    /// Reads the state of a source's archive; nothing if there is none.
    pub(crate) fn read(state_dir: &Path, source: &str) -> Option<Self> {
        let text = fs::read_to_string(Self::path(state_dir, source)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the state to its file.
    pub(crate) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self).expect("strings and numbers can be written");
        replace(&Self::path(state_dir, &self.source), text)
    }

    /// Returns for how long what the server has written may be missing, at a time.
    pub(crate) fn lag(&self, now: u64) -> Option<u64> {
        self.caught_up.map(|caught_up| now.saturating_sub(caught_up))
    }

    /// Returns the metrics as their text.
    pub(crate) fn metrics(&self) -> String {
        let mut out = String::new();
        let mut gauge = |name: &str, help: &str, value: Option<u64>| {
            let Some(value) = value else { return };
            out.extend([
                format!("# HELP haulout_binlog_{name} {help}\n"),
                format!("# TYPE haulout_binlog_{name} gauge\n"),
                format!("haulout_binlog_{name}{{source={:?}}} {value}\n", self.source),
            ]);
        };
        let last = "Time of the last event that is stored.";
        gauge("last_event_timestamp_seconds", last, self.last_event);
        let lag = "Time since all that the server had written was stored, when this was written.";
        gauge("lag_seconds", lag, self.lag(self.time));
        let caught_up = "When all that the server had written was stored.";
        gauge("caught_up_timestamp_seconds", caught_up, self.caught_up);
        gauge("gaps", "Gaps in the history that is stored.", Some(self.gaps));
        out
    }
}

/// Returns the source of a job whose binary logs are archived, and its name.
pub(crate) fn source_of<'c>(config: &'c Config, job: &Table) -> Option<(String, &'c Table)> {
    let has_server =
        |source: &&Table| ["mariabackup", "mariadb-dump"].map(Some).contains(&source.text("kind"));
    let of = |name: String| {
        let source = config.source(&name).filter(has_server)?;
        Some((name, source))
    };
    let mut found: Vec<_> = job.texts("sources").into_iter().filter_map(of).collect();
    let at = found.iter().position(|(_, source)| source.table("binlog").is_some());
    (!found.is_empty()).then(|| found.swap_remove(at.unwrap_or_default()))
}

/// Tells whether the configuration asks for an archive of a job's binary logs, and of which source.
pub(crate) fn wanted(config: &Config, job: &Table) -> Option<String> {
    source_of(config, job)
        .filter(|(_, source)| source.table("binlog").is_some())
        .map(|(name, _)| name)
}

/// Returns the directory of what archives remember.
pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("binlog")
}

/// Returns the file of the metrics of a source's archive, beside those of its job.
pub(crate) fn metrics_of(of_job: &Path, source: &str) -> PathBuf {
    of_job.with_file_name(format!("haulout-binlog-{source}.prom"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_back_and_has_its_metrics() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(super::directory(directory.path())).unwrap();
        let state = ArchiveState {
            source: "db1".to_owned(),
            time: 1000,
            last_event: Some(940),
            caught_up: Some(970),
            gaps: 1,
            ..ArchiveState::default()
        };
        state.write(directory.path()).unwrap();
        assert_eq!(ArchiveState::read(directory.path(), "db1"), Some(state.clone()));
        assert_eq!(ArchiveState::read(directory.path(), "db2"), None);
        let metrics = state.metrics();
        for line in [
            "haulout_binlog_last_event_timestamp_seconds{source=\"db1\"} 940",
            "haulout_binlog_lag_seconds{source=\"db1\"} 30",
            "haulout_binlog_gaps{source=\"db1\"} 1",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{metrics}");
        }
        let beside = metrics_of(Path::new("/m/haulout.prom"), "db1");
        assert_eq!(beside, Path::new("/m/haulout-binlog-db1.prom"));
    }
}
