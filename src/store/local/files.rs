//! Reading files by parts, with the last used ones kept open.
//!
//! A restore reads a few kilobytes here and there from some packs, and opening a file costs more
//! than such a read. So a small number of files stays open, least recently used out first.
//!
//! Invariants:
//! - A file that this process deleted is not read from the cache afterwards.
//! - A range beyond the end is refused before anything is allocated for it. Objects never change,
//!   so the size that was seen when the file was opened is the size.
//!
//! It does not see what other processes delete: a file that is open stays readable, with the bytes
//! that it always had.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::base::buffers::ReadBuffers;
use crate::base::crew::lock;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::store::error::Fault;
use crate::store::name::ObjectName;

/// Files that are kept open.
const OPEN_FILES_MAX: usize = 64;

/// A file of an object, open for reading.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    bytes: u64,
}

/// A reason why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFailure {
    #[error(transparent)]
    System(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl OpenFile {
    /// Opens a regular file; a link or a pipe in its place is refused, not followed.
    pub(super) fn open(path: &Path) -> Result<Self, ReadFailure> {
        // Without NONBLOCK, opening a pipe would wait for somebody to write into it.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(Fault::NotAFile.into()),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Fault::NotAFile.into());
        }
        Ok(Self { file, bytes: metadata.len() })
    }

    /// Reads the whole object, if it has at most `bytes_max` bytes, into one of `buffers`.
    pub(super) fn read(&self, bytes_max: u64, buffers: &ReadBuffers) -> Result<Bytes, ReadFailure> {
        if self.bytes > bytes_max {
            return Err(Fault::TooLong { bytes: self.bytes, bytes_max }.into());
        }
        self.read_range(0..self.bytes, buffers)
    }

    /// Reads exactly a range: into one of `buffers`, or into memory of its own if they lend none of
    /// this size.
    pub(super) fn read_range(
        &self,
        range: Range<u64>,
        buffers: &ReadBuffers,
    ) -> Result<Bytes, ReadFailure> {
        if range.end > self.bytes {
            return Err(Fault::TooShort { bytes: self.bytes, end: range.end }.into());
        }
        let length = usize_of(range.end - range.start);
        if buffers.lends(length) {
            let mut buffer = buffers.of_length(length);
            let mut filled = 0;
            while filled < length {
                filled += self.read_at(&mut buffer[filled..], &range, filled)?;
            }
            return Ok(buffer.freeze());
        }
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(length).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        while buffer.len() < length {
            let filled = buffer.len();
            self.read_at(spare_capacity(&mut buffer), &range, filled)?;
        }
        // The allocation may be larger than asked for, and the file longer than the range.
        buffer.truncate(length);
        Ok(buffer.into())
    }

    /// Reads bytes of a range of which `filled` were read, and returns how many they are.
    fn read_at<B: rustix::buffer::Buffer<u8, Output = usize>>(
        &self,
        buffer: B,
        range: &Range<u64>,
        filled: usize,
    ) -> Result<usize, ReadFailure> {
        let at = range.start + u64_of(filled);
        match rustix::io::pread(&self.file, buffer, at) {
            // Objects do not shrink: this one was damaged while it was open.
            Ok(0) => Err(Fault::TooShort { bytes: at, end: range.end }.into()),
            Ok(read) => Ok(read),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// The files used last, least recently used first.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<(ObjectName, Arc<OpenFile>)>,
    /// Counts deletions: what was opened before one may be the deleted file.
    deletions: u64,
}

impl OpenFiles {
    /// Gives the file of an object, opening `path` if it is not open.
    pub(super) fn get(&self, name: &ObjectName, path: &Path) -> Result<Arc<OpenFile>, ReadFailure> {
        let deletions = {
            let mut state = self.state();
            if let Some(at) = state.files.iter().position(|(own, _)| own == name) {
                state.files[at..].rotate_left(1);
                let (_, file) = state.files.last().expect("it was just found");
                return Ok(Arc::clone(file));
            }
            state.deletions
        };
        // Opened outside the lock: a slow disk must not hold up readers of other files.
        let file = Arc::new(OpenFile::open(path)?);
        self.keep(name, &file, deletions);
        Ok(file)
    }

    fn keep(&self, name: &ObjectName, file: &Arc<OpenFile>, deletions: u64) {
        let mut state = self.state();
        if state.deletions != deletions || state.files.iter().any(|(own, _)| own == name) {
            return;
        }
        if state.files.len() == OPEN_FILES_MAX {
            state.files.remove(0);
        }
        state.files.push((name.clone(), Arc::clone(file)));
    }

    /// Forgets an object that is being deleted. To be called after the deletion.
    pub(super) fn forget(&self, name: &ObjectName) {
        let mut state = self.state();
        state.deletions += 1;
        state.files.retain(|(own, _)| own != name);
    }

    // A list of open files is whole even if a thread panicked beside it.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state().files.len()
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::FdFlags;

    use super::*;
    use crate::store::name::ObjectName;

    #[test]
    fn a_file_that_was_opened_before_a_deletion_is_not_kept_after_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = ObjectName::new("object").unwrap();
        let opened = OpenFile::open(file.path()).unwrap().into();
        let files = OpenFiles::default();
        files.keep(&name, &opened, 0);
        files.keep(&name, &opened, 0);
        assert_eq!(files.count(), 1, "two readers that open it at once keep it once");
        files.forget(&name);
        files.keep(&name, &opened, 0);
        assert_eq!(files.count(), 0);
        files.keep(&name, &opened, 1);
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn child_processes_do_not_inherit_open_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = OpenFile::open(file.path()).unwrap();
        let flags = rustix::io::fcntl_getfd(&opened.file).unwrap();
        assert!(flags.contains(FdFlags::CLOEXEC));
    }
}
