//! The journal of a restore: what is restored to where, and how far it has come.
//!
//! ```text
//! {"haulout-restore":1,"snapshot":"3fa9...","places":{...},...}     the head
//! {"begun":"restore"}                                               a line for every event
//! {"ended":"restore"}
//! ```
//!
//! Lines are only added, each is durable before what it announces, and a last line that was cut off
//! does not count. The file is locked by the process that works on the restore, and the lock
//! ends with it.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::datadir::galera::Joining;
use crate::ops::datadir::losses::Losses;
use crate::ops::datadir::moment::Moment;
use crate::ops::datadir::place::Places;
use crate::ops::datadir::place::Way;
use crate::ops::restore::Ownership;

/// The version of the journal's form.
const VERSION: u32 = 1;

/// The largest journal that is read, in bytes.
const JOURNAL_BYTES_MAX: u64 = 1 << 20;

/// A step of a restore, in the order in which they usually come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Binary logs are fetched, and it is decided what is replayed of them.
    FetchLogs,
    /// The files are restored.
    Restore,
    /// `mariabackup --prepare` runs on them, and is judged.
    Prepare,
    /// Binary logs are replayed on a private server.
    Replay,
    /// A private server looks at them.
    FirstStart,
    /// They get their owner, and what the next start needs.
    Finish,
    /// The public server is stopped, by a command of the operator.
    Stop,
    /// The old data are removed.
    Discard,
    /// The files are copied from the staging directory.
    Copy,
    /// The new directory takes the place of the old one.
    Swap,
    /// The public server is started, by a command of the operator.
    Start,
}

impl Step {
    /// Returns what the step does, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FetchLogs => "fetch the binary logs, and find where the replay ends",
            Self::Restore => "restore the files",
            Self::Prepare => "prepare them, and judge the outcome",
            Self::Replay => "replay the binary logs on a private server",
            Self::FirstStart => "start a private server on them, and look at every table",
            Self::Finish => "give them their owner, and set the GTID state",
            Self::Stop => "stop the server",
            Self::Discard => "remove the old data",
            Self::Copy => "copy the files from the staging directory",
            Self::Swap => "put the new directory in its place",
            Self::Start => "start the server",
        }
    }
}

/// An event in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    /// A step is about to begin.
    Begun(Step),
    /// A step has ended well.
    Ended(Step),
    /// The contents of the old directory are moved out.
    OldIsOut,
    /// It is being taken back.
    Undoing,
    /// The contents of the new directory are moved out again.
    NewIsOut,
    /// Files that were left out, since they can't be restored whole.
    Missing(Vec<String>),
    /// The GTID state after the replay.
    Replayed(String),
}

/// The restore that a journal is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    #[serde(rename = "haulout-restore")]
    version: u32,
    /// The id of its repository.
    pub repository: String,
    /// The id of the snapshot.
    pub snapshot: String,
    /// The places of the restore.
    pub places: Places,
    /// Its steps in their order.
    pub steps: Vec<Step>,
    /// The user and the group that the files are given to.
    pub owner: Option<(u32, Option<u32>)>,
    /// The device and the number of the old directory, if there is one.
    pub old: Option<(u64, u64)>,
    /// The position in a cluster, if the server is to join one.
    pub joining: Option<Joining>,
    /// The file that gets the GTID state, and the state.
    pub gtid: Option<(PathBuf, String)>,
    /// The moment up to which binary logs are replayed, if any are.
    pub moment: Option<Moment>,
    /// Whether files that can't be restored whole are left out.
    pub keeps_going: bool,
    /// Whether every table is checked.
    pub checks_tables: bool,
    /// The command that stops the public server; empty if there is none.
    pub stop: Vec<String>,
    /// The command that starts it.
    pub start: Vec<String>,
    /// The program of the server.
    pub program: PathBuf,
    /// The program that prepares.
    pub prepare_program: String,
    /// What is lost, as far as it was known.
    pub losses: Losses,
    /// The time at which it began, in seconds since 1970.
    pub began: u64,
}

impl Head {
    /// Returns the owner of the files, if they are given to one.
    pub(super) fn ownership(&self) -> Option<Ownership> {
        self.owner.map(|(user, group)| Ownership { user, group })
    }

    /// Returns the head of a restore at these places, otherwise empty.
    pub(super) fn new(repository: String, snapshot: String, places: Places) -> Self {
        Self {
            version: VERSION,
            repository,
            snapshot,
            places,
            steps: Vec::new(),
            owner: None,
            old: None,
            joining: None,
            gtid: None,
            moment: None,
            keeps_going: false,
            checks_tables: false,
            stop: Vec::new(),
            start: Vec::new(),
            program: PathBuf::new(),
            prepare_program: String::new(),
            losses: Losses::default(),
            began: 0,
        }
    }
}

/// A journal that this process has locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// The restore that it is about.
    pub head: Head,
    events: Vec<Event>,
}

fn failed(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let message = format!("cannot use the journal {}", path.display());
    Error::new(ErrorKind::Target, message).because(cause)
}

impl Journal {
    /// Begins the journal of a restore; there must be none.
    pub(super) fn begin(head: Head) -> Result<Self> {
        let path = head.places.journal.clone();
        let unmade = |error: io::Error| failed(&path, error);
        // Under another name first: a journal without its head would be of no use to anyone.
        let mut draft = path.clone().into_os_string();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let written = File::create(&draft).and_then(|mut file| {
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            writeln!(file, "{}", serde_json::to_string(&head)?)?;
            file.sync_all()?;
            fs::hard_link(&draft, &path)?;
            Ok(file)
        });
        let _gone = fs::remove_file(&draft);
        let file = written.map_err(|error| {
            let is_there = error.kind() == io::ErrorKind::AlreadyExists;
            if is_there { unfinished(&head.places.directory) } else { unmade(error) }
        })?;
        sync_above(&path).map_err(unmade)?;
        Ok(Self { path: path.clone(), file, head, events: Vec::new() })
    }

    /// Opens and locks the journal at `path`; nothing if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |error: io::Error| failed(path, error);
        let mut file = match File::options().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(failed(io::Error::other("another haulout works on this restore")));
        }
        let (head, events, good_bytes) = parse(&mut file).map_err(failed)?;
        // What follows must not continue a line that was cut off.
        file.set_len(good_bytes).map_err(failed)?;
        Ok(Some(Self { path: path.to_owned(), file, head, events }))
    }

    /// Adds an event, durably.
    pub(super) fn add(&mut self, event: Event) -> Result<()> {
        let mut line = serde_json::to_vec(&event).map_err(|e| failed(&self.path, e))?;
        line.push(b'\n');
        let added = self.file.seek(io::SeekFrom::End(0)).and_then(|_| self.file.write_all(&line));
        added.and_then(|()| self.file.sync_data()).map_err(|error| failed(&self.path, error))?;
        self.events.push(event);
        Ok(())
    }

    /// Tells whether an event is in it.
    pub(super) fn has(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    /// Returns the files that were left out.
    pub(super) fn missing(&self) -> Vec<String> {
        let of_event = |event: &Event| match event {
            Event::Missing(paths) => Some(paths.clone()),
            Event::Begun(_)
            | Event::Ended(_)
            | Event::OldIsOut
            | Event::Undoing
            | Event::Replayed(_)
            | Event::NewIsOut => None,
        };
        self.events.iter().rev().find_map(of_event).unwrap_or_default()
    }

    /// Returns the GTID state after the replay, if there was one.
    pub(super) fn replayed(&self) -> Option<String> {
        let of_event = |event: &Event| match event {
            Event::Replayed(state) => Some(state.clone()),
            Event::Begun(_)
            | Event::Ended(_)
            | Event::OldIsOut
            | Event::Undoing
            | Event::Missing(_)
            | Event::NewIsOut => None,
        };
        self.events.iter().rev().find_map(of_event)
    }

    /// Returns the steps that have not ended.
    pub(super) fn left(&self) -> Vec<Step> {
        let is_left = |step: &Step| !self.has(&Event::Ended(*step));
        self.head.steps.iter().copied().filter(is_left).collect()
    }

    /// Forgets that steps have begun or ended: they are done again.
    pub(super) fn forget_all(&mut self) -> Result<()> {
        let head = serde_json::to_string(&self.head).map_err(|e| failed(&self.path, e))?;
        let length = u64::try_from(head.len() + 1).unwrap_or(u64::MAX);
        let cut = self.file.set_len(length).and_then(|()| self.file.sync_all());
        cut.map_err(|error| failed(&self.path, error))?;
        self.events.clear();
        Ok(())
    }

    /// Removes the journal: the restore is over.
    pub(super) fn remove(self) -> Result<()> {
        let removed = fs::remove_file(&self.path).and_then(|()| sync_above(&self.path));
        removed.map_err(|error| failed(&self.path, error))
    }

    /// Returns the way of the swap.
    pub(super) fn way(&self) -> Way {
        self.head.places.way
    }
}

/// Returns the error for a directory in which a restore has not finished.
pub(super) fn unfinished(directory: &Path) -> Error {
    let what = format!("a restore to {} has not finished", directory.display());
    Error::new(ErrorKind::Occupied, what)
}

fn sync_above(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Reads the head and the events, and the length of what is whole.
fn parse(file: &mut File) -> io::Result<(Head, Vec<Event>, u64)> {
    let mut reader = BufReader::new(file.take(JOURNAL_BYTES_MAX));
    let mut line = String::new();
    let mut bytes = u64::try_from(reader.read_line(&mut line)?).unwrap_or(0);
    let head: Head = serde_json::from_str(&line)?;
    if head.version != VERSION {
        return Err(io::Error::other("another version of haulout has written it"));
    }
    let mut events = Vec::new();
    loop {
        line.clear();
        let read = reader.read_line(&mut line)?;
        if read == 0 || !line.ends_with('\n') {
            return Ok((head, events, bytes));
        }
        let Ok(event) = serde_json::from_str(&line) else { return Ok((head, events, bytes)) };
        events.push(event);
        bytes += u64::try_from(read).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(directory: &Path) -> Head {
        let data = directory.join("mysql");
        let places = Places::new(&data, None, "T", Path::new("/tmp")).unwrap();
        let mut head = Head::new("r".into(), "s".into(), places);
        head.steps = vec![Step::Restore, Step::Prepare, Step::Swap];
        head
    }

    #[test]
    fn a_journal_is_continued_where_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let head = head(directory.path());
        let path = head.places.journal.clone();
        let mut journal = Journal::begin(head.clone()).unwrap();
        journal.add(Event::Begun(Step::Restore)).unwrap();
        journal.add(Event::Ended(Step::Restore)).unwrap();
        assert!(Journal::open(&path).unwrap_err().with_causes().contains("another haulout"));
        drop(journal);
        let mut cut = fs::read(&path).unwrap();
        cut.extend(b"{\"begun\":\"pre");
        fs::write(&path, cut).unwrap();
        let mut journal = Journal::open(&path).unwrap().unwrap();
        assert_eq!(journal.head, head);
        assert_eq!(journal.left(), [Step::Prepare, Step::Swap]);
        journal.add(Event::Begun(Step::Prepare)).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap().unwrap();
        assert!(journal.has(&Event::Begun(Step::Prepare)));
        journal.remove().unwrap();
        assert!(Journal::open(&path).unwrap().is_none());
    }

    #[test]
    fn a_second_restore_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let head = head(directory.path());
        let _journal = Journal::begin(head.clone()).unwrap();
        let error = Journal::begin(head).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Occupied);
        assert!(error.to_string().contains("has not finished"), "{error}");
    }
}
