//! The lock of a job: one run of it at a time on this host; and others of the same kind.
//!
//! It is a lock on an open file, which the system takes away with the process. There is no file to
//! remove after a crash, and no age to guess from. Children do not inherit it.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::create_dir_all;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use rustix::io::Errno;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

/// A lock, held as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a name in a directory, which is created; nothing if another process has
    /// it.
    pub(crate) fn take(directory: &Path, name: &str) -> Outcome<Option<Self>> {
        create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let path = directory.join(format!("{name}.lock"));
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| unusable(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(unusable(&path, error.into())),
        }
    }
}

/// The lock of a job.
#[derive(Debug)]
pub(crate) struct JobLock {
    _lock: Lock,
}

impl JobLock {
    /// Takes the lock of a job; nothing if another process has it.
    pub(crate) fn take(state_dir: &Path, job: &str) -> Outcome<Option<Self>> {
        let lock = Lock::take(&state_dir.join("jobs"), job)?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }

    /// Tells whether a process has the lock of a job.
    pub(crate) fn is_held(state_dir: &Path, job: &str) -> bool {
        let path = state_dir.join("jobs").join(format!("{job}.lock"));
        // A shared lock is taken for a moment: a run that begins in it would be refused, and the
        // lock of one that runs refuses this.
        let Ok(file) = File::open(path) else { return false };
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
    }
}

/// Explains that the directory of what jobs remember can't be used.
pub(crate) fn unusable(path: &Path, error: std::io::Error) -> Failure {
    let message = format!("cannot write {}", path.display());
    Failure::new(
        Error::new(ErrorKind::Target, message).because(error),
        "set state_dir in [defaults] of the configuration to a directory of the user that runs \
         the job",
    )
}

/// Explains that a file can't be written.
pub(crate) fn unwritten(path: &Path, error: std::io::Error) -> Failure {
    let message = format!("cannot write {}", path.display());
    Failure::new(
        Error::new(ErrorKind::Target, message).because(error),
        "check that the directory is there, and that this user may write to it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_once_at_a_time_and_its_lock_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let held = JobLock::take(directory.path(), "nightly").unwrap();
        assert!(held.is_some());
        assert!(JobLock::take(directory.path(), "nightly").unwrap().is_none());
        assert!(JobLock::take(directory.path(), "weekly").unwrap().is_some());
        drop(held);
        assert!(JobLock::take(directory.path(), "nightly").unwrap().is_some());
    }
}
