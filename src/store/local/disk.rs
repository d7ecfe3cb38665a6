//! The few operations on files that writing needs, so that a test can stand in for the disk.
//!
//! [`Disk`] is as small as the protocol of the `writer` beside it allows. [`OsDisk`] is the real
//! one; the tests have one that loses what was not made durable.
//!
//! It decides nothing: order, retries and names are the writer's.

use std::fmt::Debug;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::fs::TryLockError;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use bytes::Bytes;
use rustix::fs::CWD;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::base::entries::Kind;
use crate::base::entries::entries;

/// Bytes of a file that are compared at once.
const COMPARED_BYTES: usize = 64 << 10;
const FILE_MODE: u32 = 0o400;
const DIRECTORY_MODE: u32 = 0o700;
/// The mode bits that a directory in the repository takes over from the one that it is in: the
/// rights of the group, and that the group is handed down.
const DIRECTORY_SHARED: u32 = 0o2070;
/// The mode bits that a file takes over: objects are never written again.
const FILE_SHARED: u32 = 0o040;

/// Whose something new becomes, and who else may use it: as the directory says that it is in. So a
/// run as root locks no other user out, whatever its umask.
#[derive(Debug, Clone, Copy)]
struct Heritage {
    user: u32,
    group: u32,
    mode: u32,
}

impl Heritage {
    fn of(path: &Path) -> io::Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let metadata = fs::metadata(parent.unwrap_or(Path::new(".")))?;
        Ok(Self { user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() })
    }

    /// Gives something its owner and mode. Only root may give away, and some file systems have no
    /// owners: then it stays whose it is.
    fn give(self, file: &File, mode: u32) -> io::Result<()> {
        let own = file.metadata()?;
        let user =
            (own.uid() != self.user && rustix::process::geteuid().is_root()).then_some(self.user);
        let group = (own.gid() != self.group).then_some(self.group);
        if user.is_some() || group.is_some() {
            let _kept = std::os::unix::fs::fchown(file, user, group);
        }
        if file.metadata()?.mode() & 0o7777 != mode {
            let _kept = file.set_permissions(Permissions::from_mode(mode));
        }
        Ok(())
    }
}

/// The operations of a disk that the writer needs.
pub(super) trait Disk: Debug + Send + Sync {
    /// A file or directory that is open; dropping it closes it.
    type File;

    /// Makes a new file and locks it; `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Appends some bytes of `parts`; returns how many.
    fn write(&self, file: &mut Self::File, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Makes the bytes of a file durable, or the names in a directory.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Gives a file its final name; `AlreadyExists` if that is taken.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file the name of another one, which is gone in the same moment.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Opens what is there, file or directory, to sync it.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Tells whether a file that was opened has just these bytes.
    fn holds(&self, file: &Self::File, parts: &[Bytes]) -> io::Result<bool>;

    /// Removes the file with this path.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns the size of what has this name, `None` if there is nothing.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Makes a directory; `AlreadyExists` if the name is taken.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Returns the paths of the directories that are in a directory.
    fn directories(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy)]
pub(super) struct OsDisk;

impl Disk for OsDisk {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        let heritage = Heritage::of(path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        heritage.give(&file, FILE_MODE | heritage.mode & FILE_SHARED)?;
        match file.try_lock() {
            // Where there are no locks, sweeping leaves every temporary file alone.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
            // Someone sweeps it this instant: it is lost, the next name is not.
            Err(TryLockError::WouldBlock) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn write(&self, file: &mut File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        file.write_vectored(parts)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Network and user-space file systems may lack the flag; all that matter have links.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => publish_by_link(from, to),
            outcome => outcome.map_err(io::Error::from),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn holds(&self, mut file: &File, parts: &[Bytes]) -> io::Result<bool> {
        let mut buffer = vec![0; COMPARED_BYTES];
        for piece in parts.iter().flat_map(|part| part.chunks(COMPARED_BYTES)) {
            let read = &mut buffer[..piece.len()];
            match file.read_exact(read) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                outcome => outcome?,
            }
            if read != piece {
                return Ok(false);
            }
        }
        Ok(file.read(&mut buffer[..1])? == 0)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "it is not a regular file")),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let heritage = Heritage::of(path)?;
        make_private_directory(path)?;
        heritage.give(&File::open(path)?, DIRECTORY_MODE | heritage.mode & DIRECTORY_SHARED)
    }

    fn directories(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in entries(path)? {
            let entry = entry?;
            if entry.kind == Kind::Directory {
                found.push(path.join(entry.name));
            }
        }
        Ok(found)
    }
}

/// Makes a directory for its owner alone: what it is in says nothing about it.
pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// Tells whether an error says that there is no such name. `a/b` is absent, too, where `a` is a
/// file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Gives a file its final name by a second link, which never replaces either.
pub(super) fn publish_by_link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    // The object is there. What is left of the old name goes with the next sweep at the latest.
    fs::remove_file(from).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_sync_reaches_the_system() {
        // A device that can't be synced says so, if it is asked.
        let device = OsDisk.open(Path::new("/dev/null")).unwrap();
        OsDisk.sync(&device).unwrap_err();
        let directory = tempfile::tempdir().unwrap();
        OsDisk.sync(&OsDisk.open(directory.path()).unwrap()).unwrap();
    }
}
