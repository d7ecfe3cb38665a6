//! A chain on disk: one directory for each snapshot, and a record of what became of it.
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
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::chain::chain_of;
use crate::ops::restore;
use crate::ops::restore::Mark;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::RestoreReport;
use crate::ops::restore::Step;
use crate::ops::restore::Target;
use crate::ops::restore::Unfinished;
use crate::ops::restore::confined::Root;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// Name of the record's file in the target.
const RECORD: &str = "haulout-chain.json";
/// What it is called while it is written.
const RECORD_NEW: &str = "haulout-chain.json.new";
/// Bytes that a record has at most.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// What became of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It is as the backup left it.
    Restored,
    /// A program is at work on it, or was when it was interrupted.
    Applying,
    /// The program has finished its work on it.
    Applied,
}

/// A directory of the chain, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Directory {
    /// Its name in the target.
    pub(super) name: String,
    /// The snapshot that it was restored from.
    pub(super) snapshot: String,
    /// The LSN at which its pages begin.
    pub(super) from_lsn: u64,
    /// The LSN at which its pages end.
    pub(super) to_lsn: u64,
    /// What became of it.
    pub(super) state: State,
}

/// The directories of a chain, the full backup first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) directories: Vec<Directory>,
}

impl Record {
    /// Reads the record in `target`; `None` if there is none.
    pub(super) fn read(target: &Path) -> Result<Option<Record>> {
        let path = target.join(RECORD);
        let mut root = match Root::open(target) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(restore::unwritable(target, error)),
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
        let record: Record = serde_json::from_reader(limited).map_err(|e| damaged(e.into()))?;
        let is_plain = |name: &str| !name.is_empty() && !name.contains('/') && name != "..";
        if !record.directories.iter().all(|directory| is_plain(&directory.name)) {
            return Err(damaged("a directory's name is a path".into()));
        }
        Ok(Some(record))
    }

    /// Replaces the record in `target`, durably.
    pub(super) fn write(&self, target: &Path) -> Result<()> {
        let mut root = Root::open(target).map_err(|e| restore::unwritable(target, e))?;
        self.write_into(&mut root).map_err(|e| restore::unwritable(&target.join(RECORD), e))
    }

    /// Writes it under another name, which then takes the place of the former one: neither is
    /// written through, whatever else it may be by now.
    fn write_into(&self, root: &mut Root) -> io::Result<()> {
        let mut file = root.make_file(&[RECORD_NEW.as_bytes()])?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        root.rename(RECORD_NEW.as_bytes(), RECORD.as_bytes())?;
        Ok(rustix::fs::fsync(root.as_directory())?)
    }
}

/// Restores an increment and everything that it builds on into directories below `target`.
pub fn to_directories(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    if !options.include.is_empty() {
        let what = "an increment can only be restored as a whole, with everything it builds on";
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let chain = chain_of(repository, stored)?;
    let choose = |link| restore::choose(repository, link, options, monitor);
    let chosen = chain.iter().map(choose).collect::<Result<Vec<_>>>()?;
    if options.unfinished == Unfinished::Refuse {
        restore::before::require_room(target, chosen.iter())?;
    }
    let mark = Mark::new(repository, stored, &options.include);
    let mut target = Target::begin(target, &mark, options)?;
    let mut report = RestoreReport::empty(stored.id());
    let mut record = Record { directories: Vec::new() };
    for (number, (link, chosen)) in chain.iter().zip(chosen).enumerate() {
        let name = match number {
            0 => "full".to_owned(),
            number => format!("increment-{number}"),
        };
        let mut part = target.part(&name)?;
        let written = restore::write_files(&chosen, &mut part, options, monitor)?;
        report.files += written.files;
        report.bytes += written.bytes;
        report.warnings.extend(written.warnings);
        // The directories hold files of the same names.
        report.lost.extend(written.lost.into_iter().map(|mut lost| {
            lost.path = [name.as_bytes(), b"/", &lost.path].concat();
            lost
        }));
        report.steps.push(Step { directory: part.path().to_owned(), snapshot: link.id() });
        let positions = &link.snapshot.about.positions;
        record.directories.push(Directory {
            name,
            snapshot: link.id().to_string(),
            from_lsn: positions.from_lsn.unwrap_or(0),
            to_lsn: positions.to_lsn.unwrap_or(0),
            state: State::Restored,
        });
    }
    // What has lost files must not be applied.
    if report.lost.is_empty() {
        let written = record.write_into(target.root());
        written.map_err(|e| restore::unwritable(&target.path().join(RECORD), e))?;
    }
    target.finish()?;
    report.counts = monitor.counts();
    Ok(report)
}

/// Tells whether `target` holds this snapshot's chain, restored and not prepared yet.
pub fn is_waiting(target: &Path, stored: &StoredSnapshot) -> Result<bool> {
    if target.join(restore::INCOMPLETE).symlink_metadata().is_ok() {
        return Ok(false);
    }
    let Some(record) = Record::read(target)? else { return Ok(false) };
    let last = record.directories.last();
    Ok(last.is_some_and(|last| last.snapshot == stored.id().to_string()))
}
