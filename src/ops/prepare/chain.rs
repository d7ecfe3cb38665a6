//! Prepares a chain that was restored: the full backup, then every increment in its order.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

use crate::base::entries::Entry;
use crate::base::entries::Kind;
use crate::base::entries::entries;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::prepare::preparer::Preparer;
use crate::ops::prepare::program;
use crate::ops::prepare::program::PrepareReport;
use crate::ops::restore::chain::record::Directory;
use crate::ops::restore::chain::record::Record;
use crate::ops::restore::chain::record::State;
use crate::ops::restore::confined::unwritable;

/// Directories below a backup that are looked into.
const DEPTH_MAX: u32 = 8;

fn refused(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Chain, what)
}

/// Prepares the chain in `target`; what was prepared stands in its first directory afterwards. Each
/// run of the program writes its messages to what `log` gives.
pub(super) fn apply(
    target: &Path,
    preparer: &Preparer<'_>,
    log: &dyn Fn() -> Box<dyn Write + Send>,
    monitor: &Monitor,
) -> Result<PrepareReport> {
    let record = Record::read(target)?;
    let mut record =
        record.ok_or_else(|| refused(format!("{} holds no chain", target.display())))?;
    let mut last = None;
    for number in 0..record.directories.len() {
        let directory = record.directories[number].clone();
        match directory.state {
            State::Applied => continue,
            State::Applying => {
                let what = "was interrupted while it was applied, and can't be used again";
                return Err(refused(format!("{} {what}", directory.name)));
            }
            State::Restored => {}
        }
        let (base, path) = (target.join(&record.directories[0].name), target.join(&directory.name));
        let increment = (number > 0).then_some(path.as_path());
        if let Some(path) = increment {
            check_fit(&base, path, &directory)?;
        }
        let mut mark = |state: State| {
            record.directories[number].state = state;
            record.write(target)
        };
        mark(State::Applying)?;
        let child = match program::start(&base, increment, preparer, log()) {
            Ok(child) => child,
            Err(error) => {
                // Nothing has run: the directory is as it was.
                mark(State::Restored)?;
                return Err(error);
            }
        };
        let report = program::finish(child, &base, preparer.program, monitor)?;
        if report.lsn != directory.to_lsn {
            let what = format!("after {} the backup is at LSN {}", directory.name, report.lsn);
            return Err(refused(format!("{what}, not at {}", directory.to_lsn)));
        }
        mark(State::Applied)?;
        if let Some(path) = increment {
            fs::remove_dir_all(path).map_err(|e| unwritable(path, e))?;
        }
        last = Some(report);
    }
    last.ok_or_else(|| refused(format!("the chain in {} was prepared before", target.display())))
}

/// Refuses an increment that does not begin where the base ends, or that was used before.
fn check_fit(base: &Path, increment: &Path, directory: &Directory) -> Result<()> {
    let name = &directory.name;
    let (before, after) = (program::checkpoints(base)?, program::checkpoints(increment)?);
    let stated = (after.from_lsn, after.to_lsn);
    if after.backup_type != "incremental" || stated != (directory.from_lsn, directory.to_lsn) {
        return Err(refused(format!("{name} is not what was restored there")));
    }
    if before.to_lsn != after.from_lsn {
        let (ends, begins) = (before.to_lsn, after.from_lsn);
        let what = format!("the base is at LSN {ends}, {name} begins at {begins}");
        return Err(refused(what));
    }
    let lacks = |e: io::Error| refused(format!("cannot look into {name}")).because(e);
    if let Some(file) = consumed(increment, DEPTH_MAX).map_err(lacks)? {
        return Err(refused(format!("{name} was applied before: {file} has lost its pages")));
    }
    Ok(())
}

/// Returns a `.meta` file without its `.delta` file, as an application leaves them.
fn consumed(directory: &Path, depth: u32) -> io::Result<Option<String>> {
    for entry in entries(directory)? {
        let Entry { name, kind } = entry?;
        let path = directory.join(&name);
        let kind = if kind == Kind::Unknown { Kind::at(&path)? } else { kind };
        if kind == Kind::Directory {
            let found = if depth > 0 { consumed(&path, depth - 1)? } else { None };
            if found.is_some() {
                return Ok(found);
            }
        }
        let is_meta = path.extension().is_some_and(|extension| extension == "meta");
        if is_meta && !path.with_extension("delta").exists() {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}
