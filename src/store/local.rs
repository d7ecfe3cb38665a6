//! A store in a local directory: a disk, a mounted share.
//!
//! Every object is a file under its name, `packs/ab/<hash>` and so on, mode 0400 in directories of
//! mode 0700; where the directory of the repository lets its group in, the group may read as well.
//! Files that root makes belong to the owner of that directory. Writing follows the protocol in
//! `writer`; reading by parts goes through a few files that are kept open (`files`).
//!
//! It does without `object_store`'s local file system, which does not fsync unless asked to, never
//! syncs a deletion, and reads in pieces of 8 KiB.
//!
//! Temporary files are named `.tmp-<process>-<number>` beside their targets. Listings ignore them.
//! Those that a killed process left are removed by [`LocalStore::sweep_temporaries`], on request
//! only. It removes a file if it gets the lock that every writer holds on its own: locks vanish
//! with their process, whatever its id, host or boot. Where the file system has no locks, nothing
//! is swept. Even a wrong guess would be harmless: no temporary file was acknowledged to anybody,
//! and its writer writes it again.
//!
//! Symbolic links inside the directory are refused: a listing that followed them could leave the
//! store, one that skipped them would say that packs are missing. The directory itself may be
//! reached through one.
//!
//! It does not watch free space, and does not detect damage on the disk.

mod disk;
mod files;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
mod writer;

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use bytes::Bytes;

use crate::base::buffers::ReadBuffers;
use crate::base::entries::Entry;
use crate::base::entries::Kind;
use crate::base::entries::entries;
use crate::format::layout::Object;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::error::category_of;
use crate::store::local::disk::Disk;
use crate::store::local::disk::OsDisk;
use crate::store::local::disk::is_absent;
use crate::store::local::disk::make_private_directory;
use crate::store::local::files::OpenFile;
use crate::store::local::files::OpenFiles;
use crate::store::local::files::ReadFailure;
use crate::store::local::writer::TEMPORARY_PREFIX;
use crate::store::local::writer::Writer;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::store::name::is_prefix;

/// Bytes of a file that are read at once: a call costs little, and what was read is still in the
/// processor's second-level cache when it is opened and decoded.
const READ_BYTES_BEST: usize = 512 << 10;

/// Objects as files below a directory.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    writer: Writer<OsDisk>,
    files: OpenFiles,
    /// Buffers that objects and parts of them are read into.
    buffers: ReadBuffers,
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of temporary files removed.
    pub removed: u64,
    /// Number of bytes in the removed files.
    pub bytes: u64,
    /// Temporary files left alone: being written, or on a file system without locks.
    pub kept: u64,
}

/// Reads where a local store is: a path, or a `file://` URL of this host.
pub fn path_of(location: &str) -> Result<PathBuf, StoreError> {
    let Some((scheme, rest)) = location.split_once("://") else {
        return Ok(PathBuf::from(location));
    };
    if scheme != "file" {
        return Err(Fault::UnknownScheme(format!("{scheme}://")).on(Verb::Open, location));
    }
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let decoded = path.starts_with('/').then(|| percent_decoded(path)).flatten();
    let Some(bytes) = decoded else { return Err(Fault::BadUrl.on(Verb::Open, location)) };
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    (!bytes.contains(&0)).then_some(bytes)
}

impl LocalStore {
    /// Opens a directory that exists.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(path).map_err(on(Verb::Open, path.display()))?;
        let metadata = fs::metadata(&root).map_err(on(Verb::Open, root.display()))?;
        if !metadata.is_dir() {
            return Err(Fault::NotADirectory.on(Verb::Open, root.display()));
        }
        let writer = Writer::new(OsDisk, root.clone(), std::process::id());
        Ok(Self { root, writer, files: OpenFiles::default(), buffers: ReadBuffers::default() })
    }

    /// Makes the directory durably, and opens it. It may be there already; what it is in must be:
    /// a file system that is not mounted, or a mistyped name, is no reason to make directories.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(path).map_err(on(Verb::Open, path.display()))?;
        make_directory(&root).map_err(on(Verb::Open, root.display()))?;
        Self::open(&root)
    }

    /// Removes the temporary files of writers that are gone.
    pub fn sweep_temporaries(&self) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        self.walk(Verb::Sweep, "", &mut |entry| match entry {
            Found::Object(_) => Ok(()),
            Found::Temporary(path) => sweep_one(&path, &mut swept),
        })?;
        Ok(swept)
    }

    fn walk(
        &self,
        verb: Verb,
        prefix: &str,
        each: &mut dyn FnMut(Found) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let shown = if prefix.is_empty() { self.location() } else { prefix.to_owned() };
        // A disk that is not mounted must not look like an empty repository.
        fs::metadata(&self.root).map_err(on(verb, &shown))?;
        self.refuse_links(prefix).map_err(unread(verb, &shown))?;
        let mut pending = vec![prefix.to_owned()];
        while let Some(prefix) = pending.pop() {
            self.walk_one(&prefix, &mut pending, each).map_err(unread(verb, &shown))?;
        }
        Ok(())
    }

    /// Refuses a prefix that leads through a symbolic link.
    fn refuse_links(&self, prefix: &str) -> Result<(), ReadFailure> {
        let ends = prefix.match_indices('/').map(|(at, _)| &prefix[..at]);
        for directory in ends {
            match fs::symlink_metadata(self.root.join(directory)) {
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(Fault::SymbolicLink(directory.to_owned()).into());
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Walks through one directory, and adds those in it to `pending`.
    fn walk_one(
        &self,
        prefix: &str,
        pending: &mut Vec<String>,
        each: &mut dyn FnMut(Found) -> io::Result<()>,
    ) -> Result<(), ReadFailure> {
        let directory = self.root.join(prefix);
        let entries = match entries(&directory) {
            Err(error) if is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            match look(&directory, &entry?, prefix) {
                Ok(Looked::Directory(below)) => pending.push(below),
                Ok(Looked::Found(found)) => each(found)?,
                Ok(Looked::Foreign) => {}
                Ok(Looked::Link(path)) => return Err(Fault::SymbolicLink(path).into()),
                // It was removed since it was listed.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Store for LocalStore {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.writer.put(name, payload).map_err(|failure| failure.on(Verb::Put, name))
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let outcome = self.writer.replace(name, payload);
        // A file that is open is still the old one.
        self.files.forget(name);
        outcome.map_err(|failure| failure.on(Verb::Replace, name))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let file = OpenFile::open(&self.writer.path(name));
        file.and_then(|file| file.read(bytes_max, &self.buffers)).map_err(unread(Verb::Get, name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let file = self.files.get(name, &self.writer.path(name));
        file.and_then(|file| file.read_range(range, &self.buffers))
            .map_err(unread(Verb::GetRange, name))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        OsDisk.size(&self.writer.path(name)).map_err(on(Verb::Size, name))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        if !is_prefix(prefix) {
            return Err(Fault::NotAPrefix.on(Verb::List, prefix));
        }
        self.walk(Verb::List, prefix, &mut |found| {
            if let Found::Object(meta) = found {
                each(meta);
            }
            Ok(())
        })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let outcome = self.writer.delete(name);
        self.files.forget(name);
        outcome.map_err(|failure| failure.on(Verb::Delete, name))
    }

    fn read_bytes_best(&self) -> usize {
        READ_BYTES_BEST
    }

    fn being_written(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        self.walk(Verb::List, "", &mut |entry| match entry {
            Found::Object(_) => Ok(()),
            Found::Temporary(path) => {
                count += u64::from(is_being_written(&path)?);
                Ok(())
            }
        })?;
        Ok(count)
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }
}

/// A file that a walk reports.
enum Found {
    Object(ObjectMeta),
    Temporary(PathBuf),
}

/// The kind of a directory entry.
enum Looked {
    Found(Found),
    Directory(String),
    Link(String),
    Foreign,
}

/// Says what an entry is. What has the name of an object and is no file is reported as an object
/// too: a reader learns that it is damaged, while one that was passed over would seem to have been
/// removed.
fn look(directory: &Path, entry: &Entry, prefix: &str) -> io::Result<Looked> {
    let Some(own) = entry.name.to_str() else { return Ok(Looked::Foreign) };
    let path = directory.join(own);
    let kind = match entry.kind {
        Kind::Unknown => Kind::at(&path)?,
        known @ (Kind::File | Kind::Directory | Kind::Link | Kind::Special) => known,
    };
    if own.starts_with(TEMPORARY_PREFIX) && kind == Kind::File {
        return Ok(Looked::Found(Found::Temporary(path)));
    }
    // Whatever is named like no object (lost+found, .snapshot) is none of ours.
    let Ok(name) = ObjectName::new(&format!("{prefix}{own}")) else { return Ok(Looked::Foreign) };
    let size = match kind {
        Kind::Directory if Object::parse(&name).is_none() => {
            return Ok(Looked::Directory(format!("{name}/")));
        }
        Kind::Link => return Ok(Looked::Link(name.to_string())),
        Kind::File => fs::symlink_metadata(&path)?.len(),
        Kind::Directory | Kind::Special | Kind::Unknown => 0,
    };
    Ok(Looked::Found(Found::Object(ObjectMeta { name, size })))
}

/// Tells whether a process is writing a temporary file, as its lock shows.
fn is_being_written(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => Ok(matches!(file.try_lock(), Err(TryLockError::WouldBlock))),
        // It has its final name, or is gone.
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a temporary file unless a process is writing it.
fn sweep_one(path: &Path, swept: &mut Swept) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if is_absent(&error) => return Ok(()),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {
            swept.kept += 1;
            return Ok(());
        }
    }
    // Between opening and locking, the name may have been given to another file.
    let locked = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {}
        Ok(_) => return Ok(()),
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    fs::remove_file(path)?;
    swept.removed += 1;
    swept.bytes += locked.len();
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Err(ErrorKind::NotFound.into()) };
    match make_private_directory(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => OsDisk.sync(&OsDisk.open(parent)?),
    }
}

/// Says what was to be read when it could not be.
fn unread(verb: Verb, object: impl ToString) -> impl Fn(ReadFailure) -> StoreError {
    let object = object.to_string();
    move |failure| match failure {
        ReadFailure::Fault(fault) => fault.on(verb, &object),
        ReadFailure::System(error) if is_absent(&error) => {
            StoreError::new(verb, &object, Category::NotFound).because(error)
        }
        ReadFailure::System(error) => on(verb, &object)(error),
    }
}

/// Says what was to be done when the system returned an error.
fn on(verb: Verb, object: impl ToString) -> impl Fn(io::Error) -> StoreError {
    let object = object.to_string();
    move |error| StoreError::new(verb, &object, category_of(&error)).because(error)
}
