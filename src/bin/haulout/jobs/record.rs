//! What is remembered of a job between its runs: a JSON file without secrets, which a person or a
//! monitor may read without a key.
//!
//! It is written when a run begins, after each step and at the end, always whole: to a temporary
//! file that takes the place of the one before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use haulout::error::Error;
use haulout::error::ErrorKind;
use serde::Deserialize;
use serde::Serialize;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::lock::unusable;

/// The mode of files that everybody may read.
const READABLE: u32 = 0o644;

/// What became of a step, or of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// It runs, or its process has died.
    Running,
    /// It failed, or restores nothing.
    Done,
    /// It is done, and a person should look at what was found.
    Findings,
    /// It is not done.
    Failed,
    /// It was left out, for a reason.
    Skipped,
}

impl Standing {
    /// Returns the word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Findings => "findings",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What is remembered of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    /// The word for its kind.
    pub(crate) step: String,
    /// What it was about: a source, or a repository.
    pub(crate) subject: String,
    /// What became of it.
    pub(crate) result: Standing,
    /// Wall time in milliseconds.
    pub(crate) milliseconds: u64,
    /// Why it was left out or failed, or what was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) reason: Option<String>,
    /// The snapshot that a backup has made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) snapshot: Option<String>,
    /// The verdict of that snapshot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) verdict: Option<String>,
    /// Bytes of its stream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) stream_bytes: Option<u64>,
    /// Bytes that were stored for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) stored_bytes: Option<u64>,
    /// What else was measured, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) measured: BTreeMap<Measure, u64>,
}

/// What a step has measured besides bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// The time for which the server of the source stood still, milliseconds.
    PausedMilliseconds,
    /// The time for which the node of the source was desynced, milliseconds.
    DesyncedMilliseconds,
    /// Since when nothing has verified the oldest of the repository, seconds since 1970.
    OldestUnverified,
    /// The bytes of all objects that a look at the repository has found.
    ListedBytes,
}

impl StepRecord {
    /// Creates the record of a step of which nothing is known yet.
    pub(crate) fn new(step: &str, subject: &str, result: Standing) -> Self {
        Self {
            step: step.to_owned(),
            subject: subject.to_owned(),
            result,
            milliseconds: 0,
            reason: None,
            snapshot: None,
            verdict: None,
            stream_bytes: None,
            stored_bytes: None,
            measured: BTreeMap::new(),
        }
    }

    /// Returns what was measured under a name.
    pub(crate) fn measure(&self, name: Measure) -> Option<u64> {
        self.measured.get(&name).copied()
    }
}

/// Nights of a source that are remembered.
pub(crate) const NIGHTS_MAX: usize = 7;

/// A backup of a source that restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Night {
    /// The end of the backup, seconds since 1970.
    pub(crate) ended: u64,
    /// Bytes of its stream.
    pub(crate) stream_bytes: u64,
    /// Bytes that were stored for it.
    pub(crate) stored_bytes: u64,
    /// True if there was no earlier one to compare with.
    #[serde(default)]
    pub(crate) is_first: bool,
    /// The time for which the server stood still, milliseconds.
    #[serde(default)]
    pub(crate) paused_milliseconds: Option<u64>,
    /// The time for which the node of a cluster was desynced, milliseconds.
    #[serde(default)]
    pub(crate) desynced_milliseconds: Option<u64>,
}

/// What is remembered of a source between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    /// The newest snapshot of it.
    #[serde(default)]
    pub(crate) snapshot: Option<String>,
    /// The verdict of that snapshot.
    #[serde(default)]
    pub(crate) verdict: Option<String>,
    /// The last backups that restore, the newest last.
    #[serde(default)]
    pub(crate) nights: Vec<Night>,
}

impl SourceRecord {
    /// Adds a backup, and forgets the oldest if there are many.
    pub(crate) fn add(&mut self, night: Night) {
        self.nights.push(night);
        let excess = self.nights.len().saturating_sub(NIGHTS_MAX);
        self.nights.drain(..excess);
    }
}

/// What is remembered of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The name of the job.
    pub(crate) job: String,
    /// What became of the last run.
    pub(crate) result: Standing,
    /// The exit status of the last run; none while it runs.
    pub(crate) exit_status: Option<u8>,
    /// Why the last run was left out or refused as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) reason: Option<String>,
    /// The beginning of the last run, seconds since 1970.
    pub(crate) started: u64,
    /// The end of the last run, seconds since 1970.
    pub(crate) ended: Option<u64>,
    /// The end of the last run without a failure, seconds since 1970.
    pub(crate) last_success: Option<u64>,
    /// The end of the last run without a failure that is known of another host, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) last_elsewhere: Option<u64>,
    /// The end of the last prune of each repository, seconds since 1970.
    #[serde(default)]
    pub(crate) pruned: BTreeMap<String, u64>,
    /// What is remembered of its sources.
    #[serde(default)]
    pub(crate) sources: BTreeMap<String, SourceRecord>,
    /// Since when nothing has verified the oldest of each repository, seconds since 1970.
    #[serde(default)]
    pub(crate) oldest_unverified: BTreeMap<String, u64>,
    /// The steps of the last run.
    pub(crate) steps: Vec<StepRecord>,
    /// What went wrong beside the steps: hooks, pings, metrics.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) problems: Vec<String>,
}

impl Record {
    /// Returns the path of the file of a job.
    pub(crate) fn path(state_dir: &Path, job: &str) -> PathBuf {
        state_dir.join("jobs").join(format!("{job}.json"))
    }

    /// Reads what is remembered of a job; nothing if it never ran.
    pub(crate) fn read(state_dir: &Path, job: &str) -> Outcome<Option<Self>> {
        let path = Self::path(state_dir, job);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unread(&path, error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| unread(&path, error.into()))
    }

    /// Returns the record of a run that begins now, with what lasts of the one before.
    pub(crate) fn begin(job: &str, now: u64, before: Option<&Self>) -> Self {
        Self {
            job: job.to_owned(),
            result: Standing::Running,
            exit_status: None,
            reason: None,
            started: now,
            ended: None,
            last_success: before.and_then(|before| before.last_success),
            last_elsewhere: before.and_then(|before| before.last_elsewhere),
            pruned: before.map(|before| before.pruned.clone()).unwrap_or_default(),
            sources: before.map(|before| before.sources.clone()).unwrap_or_default(),
            oldest_unverified: before
                .map(|before| before.oldest_unverified.clone())
                .unwrap_or_default(),
            steps: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Writes the record in place of the one before.
    pub(crate) fn write(&self, state_dir: &Path) -> Outcome<()> {
        let path = Self::path(state_dir, &self.job);
        let text = serde_json::to_string_pretty(self).expect("texts and numbers can be written");
        replace(&path, text + "\n").map_err(|error| unusable(&path, error))
    }
}

fn unread(path: &Path, error: io::Error) -> Failure {
    let message = format!("cannot read what is remembered of the job in {}", path.display());
    Failure::new(
        Error::new(ErrorKind::Target, message).because(error),
        "check that this user may read the file; if it is damaged, remove it: the next run writes \
         another one",
    )
}

/// Writes a file that everybody may read, in place of the one before: whole or not at all.
pub(crate) fn replace(path: &Path, text: String) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(READABLE))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_keeps_what_lasts() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("jobs")).unwrap();
        assert_eq!(Record::read(directory.path(), "nightly").unwrap(), None);
        let mut first = Record::begin("nightly", 10, None);
        first.last_success = Some(20);
        first.pruned.insert("local".to_owned(), 15);
        first.write(directory.path()).unwrap();
        assert_eq!(Record::read(directory.path(), "nightly").unwrap().as_ref(), Some(&first));
        let second = Record::begin("nightly", 30, Some(&first));
        assert_eq!((second.last_success, second.result), (Some(20), Standing::Running));
        assert_eq!(second.pruned, first.pruned);
        fs::write(Record::path(directory.path(), "nightly"), "{").unwrap();
        assert!(Record::read(directory.path(), "nightly").is_err());
    }
}
