//! A file of the spool that is walked while it grows, and the segments that are stored of it.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::binlog::BinlogIndex;
use crate::format::binlog::SEGMENT_BYTES_FULL;
use crate::format::binlog::SEGMENT_BYTES_MAX;
use crate::ops::binlog::spooled::Spooled;
use crate::ops::binlog::spooled::unmark;
use crate::ops::binlog::spooled::unread;
use crate::parse::binlog::BinlogFault;
use crate::parse::binlog::Walk;
use crate::repo::segments::SegmentName;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// A part of a file that is stored as a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The segment that holds it.
    pub(super) name: SegmentName,
    /// The place at which it ends.
    pub(super) end: u64,
    /// The BLAKE3 of its bytes; nothing of a segment that an earlier archive put.
    pub(super) digest: Option<String>,
}

/// A file that is walked.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) spooled: Spooled,
    file: File,
    pub(super) walk: Walk,
    /// Its segments, in the order of their places; nothing before they were looked for.
    pub(super) parts: Option<Vec<Part>>,
}

impl OpenFile {
    /// Opens a file at its beginning.
    pub(super) fn open(spooled: Spooled) -> Result<Self> {
        let file = File::open(&spooled.path).map_err(|error| unread(&spooled.path, error))?;
        Ok(Self { spooled, file, walk: Walk::new(), parts: None })
    }

    /// Walks through what has come since.
    pub(super) fn advance(&mut self, monitor: &Monitor) -> Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            monitor.check()?;
            let count = match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unread(&self.spooled.path, error)),
            };
            self.walk.push(&buffer[..count]).map_err(|fault| self.broken(fault))?;
        }
    }

    /// Describes the file, which is at its end.
    pub(super) fn finish(&self) -> Result<BinlogIndex> {
        self.walk.finish(&self.spooled.name).map_err(|fault| self.broken(fault))
    }

    /// Returns the place up to which segments are stored.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.parts.as_ref().and_then(|parts| parts.last()).map_or(0, |part| part.end)
    }

    /// Returns the bounds of the segment that is to be put next; nothing if all whole events are
    /// stored. The last segment is put again as long as it is not full.
    pub(super) fn next_bounds(&self) -> Option<(u64, u64)> {
        let whole = self.walk.whole_bytes();
        if whole <= self.stored_bytes() {
            return None;
        }
        let start = match self.parts.as_ref().and_then(|parts| parts.last()) {
            Some(last) if last.end - last.name.start >= SEGMENT_BYTES_FULL => last.end,
            Some(last) => last.name.start,
            None => 0,
        };
        Some((start, whole.min(start + SEGMENT_BYTES_MAX)))
    }

    /// Enters a segment that was put.
    pub(super) fn enter(&mut self, part: Part) {
        let parts = self.parts.get_or_insert_default();
        parts.retain(|other| other.name != part.name);
        parts.push(part);
    }

    /// Reads bytes of the file, without the mark of an open one.
    pub(super) fn bytes(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize_of(end - start)];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|error| unread(&self.spooled.path, error))?;
        unmark(&mut bytes, start);
        Ok(bytes)
    }

    /// Returns the BLAKE3 of a part of the file; nothing if it ends before.
    pub(super) fn digest(&self, start: u64, end: u64) -> Result<Option<String>> {
        if end > self.walk.bytes() {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        let mut at = start;
        while at < end {
            let next = end.min(at + u64_of(READ_BYTES));
            hasher.update(&self.bytes(at, next)?);
            at = next;
        }
        Ok(Some(hex::encode(hasher.finalize().as_bytes())))
    }

    fn broken(&self, fault: BinlogFault) -> Error {
        let what = format!("the binary log {} did not come as it is", self.spooled.name);
        Error::new(ErrorKind::Source, what).because(fault)
    }
}
