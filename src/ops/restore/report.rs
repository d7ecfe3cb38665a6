//! The report of a restore: the method, the files and bytes that were written, and what the user
//! should know.

use std::path::PathBuf;

use crate::base::ids::SnapshotId;
use crate::base::monitor::Counts;

/// The result of a restore.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// Id of the snapshot that was restored.
    pub id: SnapshotId,
    /// The way in which the snapshot was restored.
    pub method: Method,
    /// Number of files that were written.
    pub files: u64,
    /// Number of bytes written, holes included.
    pub bytes: u64,
    /// Files that were left out because they can't be restored whole.
    pub lost: Vec<LostFile>,
    /// Sentences that the user should read.
    pub warnings: Vec<String>,
    /// The snapshots of a chain with their directories, the full backup first; empty if there is no
    /// chain.
    pub steps: Vec<Step>,
    /// The monitor's counters at the end.
    pub counts: Counts,
}

/// The way in which a snapshot is restored; it follows from the snapshot, the target and the globs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Its files, into one directory.
    Files,
    /// The entries of a tar, with owners, permissions and times, into one directory.
    Archive,
    /// An increment and everything it builds on, each into a directory of its own.
    Chain,
    /// Nothing was written: the target holds this chain already, and it waits to be prepared.
    ChainInPlace,
    /// Its stream, byte for byte.
    Stream,
    /// Parts of a dump, as a dump that loads.
    Excerpt,
}

/// A file that can't be restored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// Its path below the target.
    pub path: Vec<u8>,
    /// The reason why it is not whole, in words.
    pub why: String,
}

/// A snapshot of a chain, and its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Directory that the snapshot was restored to.
    pub directory: PathBuf,
    /// Id of the snapshot.
    pub snapshot: SnapshotId,
}

impl RestoreReport {
    /// Creates the report of a restore that has written nothing.
    pub fn empty(id: SnapshotId, method: Method) -> Self {
        Self {
            id,
            method,
            files: 0,
            bytes: 0,
            lost: Vec::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            counts: Counts::default(),
        }
    }
}
