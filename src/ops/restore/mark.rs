//! The mark of a restore that has not finished: a file that says what is being restored.
//!
//! ```text
//! {
//!   "haulout-restore": 1,
//!   "note": "this restore has not finished",
//!   "repository": "8f0c...",    the repository's id
//!   "snapshot": "3fa9...",      the snapshot; of a chain the last one
//!   "include": ["shop/*"]       the globs that were given, if any
//! }
//! ```
//!
//! It is made before anything else in the target, never through a link, and removed when everything
//! is durable. Members that are not known are ignored. What version 0.1.0 wrote is one line of
//! text: it says that a restore has not finished, and not which.

use std::io;
use std::io::Read;
use std::io::Write;

use serde::Deserialize;
use serde::Serialize;

use crate::ops::restore::confined::Root;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// The file that marks an unfinished restore.
pub const INCOMPLETE: &str = ".haulout-incomplete";
/// The version of the mark's form.
const MARK_VERSION: u32 = 1;
/// The largest mark that is read, in bytes.
const MARK_BYTES_MAX: u64 = 1 << 20;

/// The restore that a directory is marked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(rename = "haulout-restore")]
    version: u32,
    #[serde(default)]
    note: String,
    repository: String,
    snapshot: String,
    #[serde(default)]
    include: Vec<String>,
}

impl Mark {
    /// Describes the restore of a snapshot.
    pub(super) fn new(
        repository: &Repository,
        stored: &StoredSnapshot,
        include: &[String],
    ) -> Self {
        Self {
            version: MARK_VERSION,
            note: "this restore has not finished".to_owned(),
            repository: repository.keyring().repository().to_string(),
            snapshot: stored.id().to_string(),
            include: include.to_vec(),
        }
    }

    /// Puts the mark into a directory; fails if it is there.
    pub(super) fn put(&self, root: &mut Root) -> io::Result<()> {
        let mut file = root.make_new_file(&[INCOMPLETE.as_bytes()])?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Says in words why a restore that this mark is of is another one than `wanted`; nothing if it
    /// is the same.
    pub(super) fn differs_from(&self, wanted: &Self) -> Option<String> {
        if self.version != wanted.version {
            return Some("was begun by another version of this program".to_owned());
        }
        if self.repository != wanted.repository {
            return Some("is of another repository".to_owned());
        }
        if self.snapshot != wanted.snapshot {
            return Some(format!("is of snapshot {}", self.short()));
        }
        let globs = |mark: &Self| match mark.include.join(" ") {
            globs if globs.is_empty() => "no --include".to_owned(),
            globs => format!("--include {globs}"),
        };
        (self.include != wanted.include).then(|| format!("was begun with {}", globs(self)))
    }

    /// Returns the snapshot's id as people read it.
    pub(super) fn short(&self) -> &str {
        self.snapshot.get(..12).unwrap_or(&self.snapshot)
    }

    /// Reads the mark of a directory that has one.
    pub(super) fn read(root: &mut Root) -> io::Result<Self> {
        let file = root.open_file(&[INCOMPLETE.as_bytes()])?;
        let mut text = Vec::new();
        file.take(MARK_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}
