//! The files of a spool, and one of them as a stream that is checked while it is stored.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use crate::base::entries;
use crate::base::entries::Kind;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::producer::ProducerExit;
use crate::format::binlog::BinlogIndex;
use crate::parse::binlog::Walk;
use crate::source::Ending;
use crate::source::Source;

/// The place of the mark of an open file.
pub(super) const MARK_AT: u64 = 21;
/// The bit of that byte that is the mark.
pub(super) const MARK: u8 = 1;

/// A file of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    /// The number at the end of its name, by which files follow each other.
    pub(super) number: u64,
    /// The name of the file.
    pub(super) name: String,
    /// The path of the file.
    pub(super) path: PathBuf,
}

/// Lists the files of a spool in their order; what has no number is none.
pub(super) fn files(spool: &Path) -> Result<Vec<Spooled>> {
    let failed = |error: io::Error| {
        let what = format!("cannot read the directory {}", spool.display());
        Error::new(ErrorKind::Source, what).because(error)
    };
    let mut found = Vec::new();
    for entry in entries::entries(spool).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(name) = entry.name.to_str().filter(|_| entry.kind == Kind::File) else { continue };
        let number = name.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
        if let Some(number) = number {
            let path = spool.join(name);
            found.push(Spooled { number, name: name.to_owned(), path });
        }
    }
    found.sort_by_key(|file| file.number);
    Ok(found)
}

/// Clears the mark of an open file in bytes of it that begin at a place.
pub(super) fn unmark(bytes: &mut [u8], at: u64) {
    if let Some(offset) = MARK_AT.checked_sub(at)
        && let Some(flags) = bytes.get_mut(usize_of(offset))
    {
        *flags &= !MARK;
    }
}

/// A closed file as a stream: its bytes without the mark of an open file, checked once more.
#[derive(Debug)]
pub(super) struct BinlogSource {
    file: File,
    at: u64,
    walk: Walk,
    expected: BinlogIndex,
}

impl BinlogSource {
    /// Opens a file of which a walk has said this.
    pub(super) fn open(path: &Path, expected: BinlogIndex) -> Result<Self> {
        let file = File::open(path).map_err(|error| unread(path, error))?;
        Ok(Self { file, at: 0, walk: Walk::new(), expected })
    }
}

impl Source for BinlogSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize_of(self.expected.bytes - self.at).min(buffer.len());
        let count = self.file.read(&mut buffer[..left])?;
        let bytes = &mut buffer[..count];
        unmark(bytes, self.at);
        self.at += u64_of(count);
        self.walk.push(bytes).map_err(io::Error::other)?;
        Ok(count)
    }

    fn finish(self: Box<Self>) -> io::Result<Ending> {
        let found = self.walk.finish(&self.expected.file).map_err(io::Error::other)?;
        if found != self.expected {
            let what = format!("{} changed while it was stored", self.expected.file);
            return Err(io::Error::other(what));
        }
        Ok(Ending::new(ProducerExit::Exited(0), None))
    }

    fn expected_bytes(&self) -> Option<u64> {
        Some(self.expected.bytes)
    }
}

/// Explains that a file of the spool can't be read.
pub(super) fn unread(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("cannot read {}", path.display())).because(error)
}
