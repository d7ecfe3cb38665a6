//! Decides what is replayed: which files, from which transaction, up to which place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::base::entries::entries;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::gtid::Gtid;
use crate::base::gtid::GtidState;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::binlog::BinlogIndex;
use crate::parse::binlog::Found;
use crate::parse::binlog::Go;
use crate::parse::binlog::Statement;
use crate::parse::binlog::Unwalked;
use crate::parse::binlog::Walk;
use crate::parse::binlog::drops;
use crate::parse::binlog::transactions;

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Bytes at the beginning of a file in which the state before it stands.
const HEAD_BYTES: u64 = 64 << 10;

/// The most characters of a statement that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// The moment up to which is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The end of the logs.
    End,
    /// A time, seconds since 1970: what was written from then on is left out.
    Time(u64),
    /// A transaction, which is the last one.
    Gtid(Gtid),
    /// The first statement that drops this table, which is left out.
    Drop {
        /// The schema of the table.
        schema: String,
        /// The name of the table.
        table: String,
    },
}

/// The first transaction that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Its id, as text.
    pub gtid: String,
    /// When it was written, seconds since 1970.
    pub time: u64,
    /// The file that it stands in.
    pub file: String,
    /// Its place in that file.
    pub at: u64,
    /// The statement that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// The end of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All files are replayed to their end.
    OfLogs,
    /// The replay ends before this transaction.
    Before(Stopped),
}

/// What a replay will apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPlan {
    /// The files in their order; the last one up to the end.
    pub files: Vec<PathBuf>,
    /// The state from which is replayed: that of the backup.
    pub from: GtidState,
    /// The state after the replay.
    pub through: GtidState,
    /// How many transactions are replayed.
    pub transactions: u64,
    /// When the last of them was written, seconds since 1970.
    pub last_time: Option<u64>,
    /// The end of the replay.
    pub end: End,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Prepare, what)
}

/// Reads binary logs of one server, in their order, and decides what is replayed on a backup with
/// the state `from`.
pub fn plan(
    files: &[PathBuf],
    from: &GtidState,
    until: &Until,
    monitor: &Monitor,
) -> Result<ReplayPlan> {
    if from.is_empty() {
        let why = "it was taken without a binary log, or by a version that did not note it";
        return Err(failed("the backup has no GTID position").because(why));
    }
    let mut indices = Vec::new();
    for path in files {
        indices.push(index(path, monitor)?);
    }
    require_continuous(&indices, from)?;
    let mut planned = ReplayPlan {
        files: Vec::new(),
        from: from.clone(),
        through: from.clone(),
        transactions: 0,
        last_time: None,
        end: End::OfLogs,
    };
    let mut last_seen = false;
    for (path, index) in files.iter().zip(&indices) {
        // What the backup has of it is all there is.
        if from.reaches(&index.after) && !last_seen {
            continue;
        }
        last_seen = true;
        planned.files.push(path.clone());
        if let Some(stopped) = planned.take(path, index, until)? {
            planned.end = End::Before(stopped);
            return Ok(planned);
        }
    }
    planned.require_found(until)?;
    Ok(planned)
}

/// Returns the binary logs in a directory, in the order of their numbers.
pub fn logs_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let unread = |error: io::Error| {
        let what = format!("cannot read the directory {}", directory.display());
        Error::new(ErrorKind::Target, what).because(error)
    };
    let mut logs = Vec::new();
    for entry in entries(directory).map_err(unread)? {
        let path = directory.join(entry.map_err(unread)?.name);
        if let Some(number) = number_of(&path) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// Returns the number in the name of a binary log: `bin.000007`.
fn number_of(path: &Path) -> Option<u64> {
    let ending = path.extension().and_then(OsStr::to_str)?;
    (ending.len() >= 6).then(|| ending.parse().ok())?
}

/// Leaves out the first files of a server that the backup has whole: those before the last one
/// that begins no later than the backup ends.
pub fn needed(files: &[PathBuf], from: &GtidState) -> Result<Vec<PathBuf>> {
    let mut first = 0;
    for (at, path) in files.iter().enumerate() {
        let unread =
            |error| failed(format!("cannot read the binary log {}", path.display())).because(error);
        let mut begin = Vec::new();
        let file = File::open(path).map_err(unread)?;
        file.take(HEAD_BYTES).read_to_end(&mut begin).map_err(unread)?;
        let mut walk = Walk::new();
        // Of the beginning only the state before the file is wanted; the rest is read later.
        let _cut = walk.push(&begin);
        let before = walk.facts().and_then(|facts| facts.before.as_ref());
        if before.is_some_and(|before| from.reaches(before)) {
            first = at;
        }
    }
    Ok(files[first..].to_vec())
}

/// Walks through a whole file, and compares its checksums.
fn index(path: &Path, monitor: &Monitor) -> Result<BinlogIndex> {
    let shown = path.display();
    let unread = |error| failed(format!("cannot read the binary log {shown}")).because(error);
    let mut file = File::open(path).map_err(unread)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut walk = Walk::new();
    let broken = |fault| failed(format!("the binary log {shown} is damaged")).because(fault);
    loop {
        monitor.check()?;
        let count = file.read(&mut buffer).map_err(unread)?;
        if count == 0 {
            break;
        }
        monitor.count(Counter::StreamBytes, u64_of(count));
        walk.push(&buffer[..count]).map_err(broken)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    walk.finish(&name).map_err(broken)
}

/// Tells whether a state has a transaction.
fn has(state: &GtidState, gtid: Gtid) -> bool {
    let mut one = GtidState::default();
    one.enter(gtid);
    state.reaches(&one)
}

/// Refuses files between which something is missing, and a first one that begins after the backup.
fn require_continuous(indices: &[BinlogIndex], from: &GtidState) -> Result<()> {
    let Some(first) = indices.first() else {
        return Err(failed("there are no binary logs after the backup"));
    };
    if !from.reaches(&first.before) {
        let missing = first.before.position().into_iter().find(|gtid| !has(from, *gtid));
        let missing = missing.map_or(String::new(), |gtid| gtid.to_string());
        let why = format!("it goes on after {missing}, which the backup does not have");
        return Err(failed(format!("logs before {} are missing", first.file)).because(why));
    }
    for pair in indices.windows(2) {
        let [one, next] = pair else { continue };
        if !next.before.continues(&one.after) {
            let why = format!(
                "{} ends at {}, and {} goes on after {}",
                one.file, one.after, next.file, next.before
            );
            let what = format!("logs between {} and {} are missing", one.file, next.file);
            return Err(failed(what).because(why));
        }
    }
    Ok(())
}

impl ReplayPlan {
    /// Takes the transactions of a file; returns the one before which the replay ends.
    fn take(&mut self, path: &Path, index: &BinlogIndex, until: &Until) -> Result<Option<Stopped>> {
        let shown = path.display();
        let unread = |error| failed(format!("cannot read the binary log {shown}")).because(error);
        let mut file = BufReader::with_capacity(READ_BYTES, File::open(path).map_err(unread)?);
        let mut search = Search { until, file: &index.file, plan: self, last: None, end: None };
        transactions(&mut file, &mut |found| search.see(found)).map_err(|error| match error {
            Unwalked::Io(error) => unread(error),
            Unwalked::Malformed(at, why) => {
                failed(format!("the binary log {shown} is damaged at byte {at}")).because(why)
            }
        })?;
        search.finish_file();
        Ok(search.end)
    }

    /// Refuses logs in which what was asked for is not found.
    fn require_found(&self, until: &Until) -> Result<()> {
        let range = format!("the logs end at {}", self.through);
        match until {
            Until::End | Until::Time(_) => Ok(()),
            // It may be the last one of all.
            Until::Gtid(gtid) if self.through.gtids().any(|last| last == *gtid) => Ok(()),
            Until::Gtid(gtid) => {
                Err(failed(format!("{gtid} is not in the binary logs after the backup"))
                    .because(range))
            }
            Until::Drop { schema, table } => {
                let what = format!("no statement after the backup drops {schema}.{table}");
                Err(failed(what).because(range))
            }
        }
    }
}

/// A transaction that has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at: u64,
    gtid: Gtid,
    time: u64,
}

/// The search for the end of a replay in one file.
struct Search<'s> {
    until: &'s Until,
    file: &'s str,
    plan: &'s mut ReplayPlan,
    /// The transaction that the walk is in, if the backup does not have it.
    last: Option<Begun>,
    end: Option<Stopped>,
}

impl Search<'_> {
    fn see(&mut self, found: Found) -> Go {
        match found {
            Found::Begins { at, gtid, time } => self.begin(Begun { at, gtid, time }),
            Found::Statement(statement) => self.statement(&statement),
        }
    }

    fn begin(&mut self, begun: Begun) -> Go {
        let before = self.last.take();
        self.enter(before);
        if has(&self.plan.from, begun.gtid) {
            return Go::On;
        }
        let is_over = match self.until {
            Until::End | Until::Drop { .. } => false,
            Until::Time(time) => begun.time >= *time,
            // The one that is the last has been entered.
            Until::Gtid(last) => {
                before.is_some_and(|before| before.gtid == *last)
                    || self.plan.through.gtids().any(|entered| entered == *last)
            }
        };
        if is_over {
            self.stop(begun, None);
            return Go::Stop;
        }
        self.last = Some(begun);
        Go::On
    }

    fn statement(&mut self, statement: &Statement) -> Go {
        let Until::Drop { schema, table } = self.until else { return Go::On };
        let Some(begun) = self.last.filter(|_| drops(statement, schema, table)) else {
            return Go::On;
        };
        self.last = None;
        self.stop(begun, Some(statement.text.chars().take(SHOWN_CHARS_MAX).collect()));
        Go::Stop
    }

    fn stop(&mut self, begun: Begun, statement: Option<String>) {
        let Begun { at, gtid, time } = begun;
        let file = self.file.to_owned();
        self.end = Some(Stopped { gtid: gtid.to_string(), time, file, at, statement });
    }

    /// Counts a transaction as replayed.
    fn enter(&mut self, begun: Option<Begun>) {
        if let Some(begun) = begun {
            self.plan.through.enter(begun.gtid);
            self.plan.transactions += 1;
            self.plan.last_time = Some(begun.time);
        }
    }

    /// Counts the last transaction of a file.
    fn finish_file(&mut self) {
        let last = self.last.take();
        self.enter(last);
    }
}

#[cfg(test)]
mod tests;
