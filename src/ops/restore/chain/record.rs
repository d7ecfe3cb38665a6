//! A restored chain on disk: one directory for each snapshot, and a record of how far each is.
//!
//! ```text
//! DIR/full               the full backup; after preparing, the data directory
//! DIR/increment-1        the oldest increment, and so on; gone once it was applied
//! DIR/haulout-chain.json which is which, and how far applying has come
//! ```
//!
//! Applying an increment consumes its directory: `mariabackup` removes the changed pages from it.
//! Doing so twice with what is left ends in "completed OK!" and deletes tables of the base
//! (reproduced with 10.11). So the record says *applying* before the program is started and
//! *applied* when it has ended well; what was interrupted in between is never touched again.

use std::io;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::restore::confined::Root;
use crate::ops::restore::confined::unwritable;

/// Name of the record's file in the target.
pub(super) const RECORD: &str = "haulout-chain.json";
/// Name of the file while it is written.
const RECORD_NEW: &str = "haulout-chain.json.new";
/// The largest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// The state of a directory of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::ops) enum State {
    /// It is as the backup left it.
    Restored,
    /// A program is at work on it, or was when it was interrupted.
    Applying,
    /// The program has finished its work on it.
    Applied,
}

/// A directory of the chain, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct Directory {
    /// Its name in the target.
    pub(in crate::ops) name: String,
    /// The snapshot that it was restored from.
    pub(in crate::ops) snapshot: String,
    /// The LSN at which its pages begin.
    pub(in crate::ops) from_lsn: u64,
    /// The LSN at which its pages end.
    pub(in crate::ops) to_lsn: u64,
    /// The state of the directory.
    pub(in crate::ops) state: State,
}

/// The directories of a chain, the full backup first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct Record {
    pub(in crate::ops) directories: Vec<Directory>,
}

impl Record {
    /// Reads the record in `target`; `None` if there is none.
    pub(in crate::ops) fn read(target: &Path) -> Result<Option<Self>> {
        let path = target.join(RECORD);
        let mut root = match Root::open(target) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unwritable(target, error)),
        };
        let damaged = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Prepare, format!("cannot read {}", path.display())).because(cause)
        };
        let file = match root.open_file(&[RECORD.as_bytes()]) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(error.into())),
        };
        let limited = io::Read::take(file, RECORD_BYTES_MAX);
        let record: Self = serde_json::from_reader(limited).map_err(|e| damaged(e.into()))?;
        let is_plain = |name: &str| !name.is_empty() && !name.contains('/') && name != "..";
        if !record.directories.iter().all(|directory| is_plain(&directory.name)) {
            return Err(damaged("a directory's name is a path".into()));
        }
        Ok(Some(record))
    }

    /// Replaces the record in `target`, durably.
    pub(in crate::ops) fn write(&self, target: &Path) -> Result<()> {
        let mut root = Root::open(target).map_err(|e| unwritable(target, e))?;
        self.write_into(&mut root).map_err(|e| unwritable(&target.join(RECORD), e))
    }

    /// Writes it under another name, which then takes the place of the previous one: neither is
    /// written through, whatever else it may be by now.
    pub(super) fn write_into(&self, root: &mut Root) -> io::Result<()> {
        let mut file = root.make_file(&[RECORD_NEW.as_bytes()])?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        root.rename(RECORD_NEW.as_bytes(), RECORD.as_bytes())?;
        Ok(rustix::fs::fsync(root.as_directory())?)
    }
}
