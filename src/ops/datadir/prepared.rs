//! The preparation of a restored directory within a restore that may be interrupted.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::base::entries::entries;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::chain::has_base;
use crate::ops::datadir::check;
use crate::ops::datadir::files;
use crate::ops::datadir::journal::Head;
use crate::ops::datadir::judge;
use crate::ops::datadir::options::Listener;
use crate::ops::prepare::PrepareReport;
use crate::ops::prepare::Preparer;
use crate::ops::prepare::Tie;
use crate::ops::prepare::prepare_by;
use crate::ops::restore::confined::unwritable;
use crate::repo::snapshots::StoredSnapshot;

/// Stands in the log before what the program says.
const MARKER: &str = "haulout: the preparation begins";

/// The last words of a preparation.
const OK: &str = "completed OK!";

/// The memory that the program takes by itself.
const MEMORY_MIN: u64 = 96 << 20;

/// The most of the log that is read.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// The first directory of a restored chain, in which the data are.
const FULL: &str = "full";

/// How far a preparation that was interrupted has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was not begun, or may be repeated.
    Waits,
    /// It has ended well.
    Done,
    /// What became of the files is not known.
    Unknown,
}

/// Writes messages to the log of the restore and to the listener's.
struct Both(File, Box<dyn Write + Send>);

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// Runs the program on what was restored.
pub(super) fn run(
    stored: &StoredSnapshot,
    head: &Head,
    log: &File,
    listener: &dyn Listener,
    world: &World,
) -> Result<PrepareReport> {
    let (work, path) = (&head.places.work, &head.places.log);
    let failed = |error: io::Error| unwritable(path, error);
    let mut own = log.try_clone().map_err(failed)?;
    writeln!(own, "{MARKER}").map_err(failed)?;
    // The file was opened above: if it can't be opened again, only its messages are lost.
    let writer = || -> Box<dyn Write + Send> {
        match own.try_clone() {
            Ok(log) => Box::new(Both(log, listener.program())),
            Err(_) => listener.program(),
        }
    };
    let preparer = Preparer {
        program: OsStr::new(&head.prepare_program),
        memory: Some(memory(work)),
        tie: Tie::Fast,
    };
    prepare_by(stored, work, &preparer, &writer, world)
}

/// Returns the memory for a preparation: what the redo log has, between what the program takes by
/// itself and half of what is free.
fn memory(work: &Path) -> u64 {
    let of = |directory: &Path| fs::metadata(directory.join("ib_logfile0")).map(|stat| stat.len());
    let redo = of(work).or_else(|_| of(&work.join(FULL))).unwrap_or(0);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let half = kib.unwrap_or(0).saturating_mul(1024) / 2;
    redo.min(half).max(MEMORY_MIN)
}

/// Tells whether a restore to this directory has finished.
pub(super) fn is_restored(work: &Path, mark: &str) -> bool {
    let is_empty = entries(work).map_or(true, |mut all| all.next().is_none());
    !is_empty && fs::symlink_metadata(work.join(mark)).is_err()
}

/// Returns how far an interrupted preparation has come. A full backup may be prepared again unless
/// the program has ended with its log cut off; an increment that was being applied may not.
pub(super) fn state(head: &Head, stored: &StoredSnapshot) -> Result<State> {
    let is_chain = has_base(stored);
    let work = &head.places.work;
    let is_applied = |directory: &Path| {
        let names = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
        let text = names.iter().find_map(|name| fs::read_to_string(directory.join(name)).ok());
        text.map(|text| text.contains("log-applied"))
    };
    let is_promoted = side_of(work).exists() || is_applied(work).is_some();
    let has_ended = said(head)?.trim_end().ends_with(OK);
    Ok(match (is_chain, is_promoted) {
        (true, true) => State::Done,
        (true, false) if is_chain_untouched(work) => State::Waits,
        (true, false) => State::Unknown,
        (false, _) => match is_applied(work) {
            Some(true) if has_ended => State::Done,
            Some(false) => State::Waits,
            Some(true) | None => State::Unknown,
        },
    })
}

/// Tells whether no snapshot of a chain has been touched yet.
fn is_chain_untouched(work: &Path) -> bool {
    let text = fs::read_to_string(work.join("haulout-chain.json")).unwrap_or_default();
    !text.is_empty() && !text.contains("\"applying\"") && !text.contains("\"applied\"")
}

/// Returns the place of a chain's data while they move up.
pub(super) fn side_of(work: &Path) -> PathBuf {
    let mut side = work.as_os_str().to_owned();
    side.push(".full");
    PathBuf::from(side)
}

/// Makes the first directory of a prepared chain the directory itself. May be repeated.
pub(super) fn promote(work: &Path) -> Result<()> {
    let failed = |error: io::Error| unwritable(work, error);
    let (full, side) = (work.join(FULL), side_of(work));
    let is_chain = work.join("haulout-chain.json").exists();
    if is_chain && full.exists() && !side.exists() {
        fs::rename(&full, &side).map_err(failed)?;
    }
    if side.exists() {
        files::remove(work).map_err(failed)?;
        fs::rename(&side, work).map_err(failed)?;
    }
    Ok(())
}

/// Returns what the program has said when it was run last.
fn said(head: &Head) -> Result<String> {
    let path = &head.places.log;
    let read = || {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut text)?;
        io::Result::Ok(text)
    };
    let text = read().map_err(|error| check::unread(path, error))?;
    let text = String::from_utf8_lossy(&text);
    let said = text.rsplit_once(MARKER).map_or("", |(_, said)| said);
    // What follows a resumed run are words of the restore.
    let end = said.find(OK).map_or(said.len(), |_| said.rfind(OK).unwrap_or(0) + OK.len());
    Ok(said[..end].to_owned())
}

/// Judges a prepared directory. Returns the number of pages that were checked.
pub(super) fn judge(
    head: &Head,
    paths: &[(String, u64)],
    missing: &[String],
    world: &World,
) -> Result<u64> {
    let names: Vec<String> = paths.iter().map(|(path, _)| path.clone()).collect();
    let expected = judge::expected(&names);
    // Those of a chain stand below the directory of their snapshot.
    let lost: Vec<String> = missing
        .iter()
        .map(|path| {
            path.split_once('/').map_or(path.as_str(), |(first, rest)| {
                if first == FULL || first.starts_with("increment-") { rest } else { path }
            })
        })
        .map(str::to_owned)
        .collect();
    let wanted = judge::Wanted { expected: &expected, lost: &lost };
    judge::judge(&head.places.work, &said(head)?, &wanted, &world.monitor)
}
