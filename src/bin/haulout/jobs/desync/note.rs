//! The note about a desync that has begun, for whatever comes after a watchdog that was killed.
//!
//! The note is a file, replaced as a whole; who may change it holds the lock beside it, which ends
//! with its process.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::fail::failure::Outcome;
use crate::jobs::lock::Lock;
use crate::jobs::lock::unwritten;
use crate::jobs::record::replace;

/// What is known of a desync from before the moment in which it was switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Desync {
    /// The name of the node.
    pub(crate) node: String,
    /// The id of the running node.
    pub(crate) id: String,
    /// The time of the note, seconds since 1970.
    pub(crate) since: u64,
    /// The run, as the processes of its producer have it in their environment.
    pub(crate) run: String,
    /// The process id of the watchdog.
    pub(crate) watchdog: u32,
}

/// The place of a note, locked.
#[derive(Debug)]
pub(crate) struct NotePlace {
    path: PathBuf,
    _lock: Lock,
}

impl NotePlace {
    /// Takes the place of a cluster's note; nothing if a watchdog holds it.
    pub(crate) fn take(state_dir: &Path, cluster: &str) -> Outcome<Option<Self>> {
        let directory = state_dir.join("desync");
        let Some(lock) = Lock::take(&directory, cluster)? else { return Ok(None) };
        let path = path(state_dir, cluster);
        Ok(Some(Self { path, _lock: lock }))
    }

    /// Returns the note, if there is one. One that can't be read is of a node that is not known.
    pub(crate) fn read(&self) -> Option<Desync> {
        let text = fs::read(&self.path).ok()?;
        Some(serde_json::from_slice(&text).unwrap_or_else(|_| Desync {
            node: String::new(),
            id: String::new(),
            since: u64::MAX,
            run: String::new(),
            watchdog: 0,
        }))
    }

    /// Writes the note in place of the one before.
    pub(crate) fn write(&self, note: &Desync) -> Outcome<()> {
        let mut text = serde_json::to_string(note).unwrap_or_default();
        text.push('\n');
        replace(&self.path, text).map_err(|error| unwritten(&self.path, error))
    }

    /// Removes the note, if there is one.
    pub(crate) fn remove(&self) -> Outcome<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unwritten(&self.path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Tells whether there is a note about a cluster, without taking its place.
pub(crate) fn is_there(state_dir: &Path, cluster: &str) -> bool {
    path(state_dir, cluster).exists()
}

fn path(state_dir: &Path, cluster: &str) -> PathBuf {
    state_dir.join("desync").join(format!("{cluster}.json"))
}
