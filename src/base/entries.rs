//! The entries of a directory.
//!
//! The standard library panics if a directory can't be closed, as one on a broken disk or a network
//! file system may: a backup would end in the middle for nothing. Here what was read counts.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;

/// The entries of a directory, without itself and its parent.
#[derive(Debug)]
pub struct Entries {
    inner: Dir,
}

/// An entry of a directory: its name and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in the directory, without the path.
    pub name: OsString,
    /// The kind of the entry, links not followed.
    pub kind: Kind,
}

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The entry is a regular file.
    File,
    /// The entry is a directory.
    Directory,
    /// The entry is a symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Special,
    /// The file system does not say the kind, so the entry has to be looked at.
    Unknown,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice => Self::Special,
            FileType::Unknown => Self::Unknown,
        }
    }

    /// Returns what has this name; links are not followed.
    pub fn at(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Self::of(FileType::from_raw_mode(stat.st_mode)))
    }
}

/// Opens a directory to be read through.
pub fn entries(directory: &Path) -> io::Result<Entries> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty())?;
    Ok(Entries { inner: Dir::new(opened)? })
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        loop {
            let entry = match self.inner.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                return Some(Ok(Entry {
                    name: name.to_owned(),
                    kind: Kind::of(entry.file_type()),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn entries_come_with_their_kinds() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink("file", at("link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let mut found: Vec<Entry> =
            entries(directory.path()).unwrap().collect::<io::Result<_>>().unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let told: Vec<_> =
            found.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind)).collect();
        let expected = [
            ("file", Kind::File),
            ("folder", Kind::Directory),
            ("link", Kind::Link),
            ("socket", Kind::Special),
        ];
        assert_eq!(told, expected);
        assert!(expected.iter().all(|(name, kind)| Kind::at(&at(name)).unwrap() == *kind));
        assert_eq!(entries(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(entries(&at("file")).unwrap_err().kind(), ErrorKind::NotADirectory);
    }
}
