//! Writes what is stored of a history behind a backup to a directory, as the server's files.

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::gtid::Gtid;
use crate::base::gtid::GtidState;
use crate::base::world::World;
use crate::ops::binlog::coverage::Begins;
use crate::ops::binlog::coverage::Coverage;
use crate::ops::binlog::coverage::OpenEnd;
use crate::ops::binlog::coverage::StoredFile;
use crate::ops::binlog::coverage::Stretch;
use crate::ops::cat::CatOptions;
use crate::ops::cat::cat;
use crate::repo::Repository;

/// The path of a file in the snapshot of a stream that was not taken apart.
const STREAM: &str = "stream";

/// The part of what is stored that a backup can be continued with.
#[derive(Debug, Clone, Copy)]
pub struct Continuation<'c> {
    stretch: &'c Stretch,
    from: &'c GtidState,
    /// Why the history is not stored further than it is, if something later is.
    pub ends_with: Option<Begins>,
}

impl Coverage {
    /// Finds the stretch that goes on from the state of a backup.
    pub fn behind<'c>(&'c self, from: &'c GtidState) -> Result<Continuation<'c>> {
        let goes_on = |stretch: &&Stretch| {
            let is_begun = stretch.before().is_some_and(|before| from.reaches(before));
            is_begun && stretch.after().is_some_and(|after| after.reaches(from))
        };
        let Some(at) = self.stretches.iter().rposition(|stretch| goes_on(&stretch)) else {
            let what = "no stored binary log goes on from the backup";
            let shown = |state: Option<&GtidState>| {
                state
                    .filter(|state| !state.is_empty())
                    .map_or("nothing".to_owned(), ToString::to_string)
            };
            let stored = self.stretches.iter().map(|stretch| {
                format!("from {} to {}", shown(stretch.before()), shown(stretch.after()))
            });
            let stored: Vec<String> = stored.collect();
            let why = format!("the backup is at {from}; stored is {}", stored.join(", "));
            return Err(Error::new(ErrorKind::Missing, what).because(why));
        };
        let ends_with = self.stretches.get(at + 1).map(|next| next.begins);
        Ok(Continuation { stretch: &self.stretches[at], from, ends_with })
    }
}

impl Continuation<'_> {
    /// Returns the state up to which the history is stored.
    pub fn through(&self) -> &GtidState {
        self.stretch.after().unwrap_or(self.from)
    }

    /// Returns how many transactions are stored behind the backup, by their numbers.
    pub fn transactions(&self) -> u64 {
        let reached = self.from.position();
        let of_domain = |last: &Gtid| {
            let first = reached.iter().find(|gtid| gtid.domain == last.domain);
            last.sequence.saturating_sub(first.map_or(0, |gtid| gtid.sequence))
        };
        self.through().position().iter().map(of_domain).sum()
    }

    /// Returns the time of the last stored event.
    pub fn last_time(&self) -> Option<u64> {
        self.stretch.last_time()
    }

    fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.stretch.files.iter().filter(|file| !self.from.reaches(&file.index.after))
    }

    fn open(&self) -> Option<&OpenEnd> {
        self.stretch.open.as_ref().filter(|open| !self.from.reaches(&open.head.after))
    }

    /// Returns the bytes of the files that are written.
    pub fn bytes(&self) -> u64 {
        let open = self.open().map_or(0, |open| open.head.end);
        self.files().map(|file| file.index.bytes).sum::<u64>() + open
    }

    /// Writes the files to a directory, and returns their paths in their order.
    pub fn fetch(
        &self,
        repository: &Repository,
        directory: &Path,
        workers: u32,
        world: &World,
    ) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for file in self.files() {
            let path = directory.join(checked(&file.index.file)?);
            let mut out = create(&path)?;
            let stored = repository.find_snapshot(&file.snapshot.to_string())?;
            let wanted = CatOptions { path: STREAM, workers };
            cat(repository, &stored, &wanted, &mut out, world)?;
            finish(out, &path)?;
            paths.push(path);
        }
        if let Some(open) = self.open() {
            let path = directory.join(checked(&open.head.file)?);
            let mut out = create(&path)?;
            for name in &open.segments {
                world.monitor.check()?;
                let (_, bytes) = repository.read_segment(name)?;
                out.write_all(&bytes).map_err(|error| unwritten(&path, error))?;
            }
            finish(out, &path)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// Refuses a name that leads out of a directory.
fn checked(name: &str) -> Result<&str> {
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if is_plain {
        return Ok(name);
    }
    Err(Error::new(ErrorKind::Damaged, format!("{name:?} is no name of a binary log")))
}

fn create(path: &Path) -> Result<BufWriter<std::fs::File>> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map(BufWriter::new).map_err(|error| unwritten(path, error))
}

fn finish(out: BufWriter<std::fs::File>, path: &Path) -> Result<()> {
    out.into_inner().map(drop).map_err(|error| unwritten(path, error.into_error()))
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(error)
}
