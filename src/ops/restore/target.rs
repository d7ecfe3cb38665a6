//! The directory that a restore fills: empty or new before, marked while it is not finished, and
//! durable after.
//!
//! - It is opened once, and everything is done through its descriptor.
//! - What is in it is not touched; a `lost+found`, as a new file system has one, is no content.
//! - A directory that others can write to is refused, unless that is allowed
//!   ([`sharing`](super::sharing)).

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::restore::accounts::Ownership;
use crate::ops::restore::confined::Power;
use crate::ops::restore::confined::Root;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::mark::INCOMPLETE;
use crate::ops::restore::mark::Mark;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::restore::options::Sharing;
use crate::ops::restore::options::Unfinished;
use crate::ops::restore::sharing;
use crate::ops::restore::sharing::Use;

/// The directory in which a file system keeps what its check finds.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// A directory that is being filled.
#[derive(Debug)]
pub(super) struct TargetDirectory {
    pub(super) root: Root,
    path: PathBuf,
    /// True if an earlier restore may have made some of the files.
    is_resumed: bool,
}

/// A file to write to.
#[derive(Debug)]
pub(super) enum Opened {
    /// It was made and is empty.
    New(File),
    /// An earlier restore has made it, and may have written some of it.
    Again(File),
}

fn occupied(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Occupied, what)
}

impl TargetDirectory {
    /// Opens the directory, makes it if it is not there, and marks it as unfinished.
    pub(super) fn begin(path: &Path, mark: &Mark, options: &RestoreOptions) -> Result<Self> {
        require_power(options.owner)?;
        let directory = open(path, &options.sharing)?;
        let mut root = Root::new(directory, Power::of_this_process());
        root.give_to(options.owner);
        if options.unfinished == Unfinished::Resume && is_the_same(path, &mut root, mark)? {
            return Ok(Self { root, path: path.to_owned(), is_resumed: true });
        }
        require_empty(path, &mut root)?;
        match mark.put(&mut root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(unfinished(path, &mut root))
            }
            Err(error) => Err(unwritable(&path.join(INCOMPLETE), error)),
            Ok(()) => Ok(Self { root, path: path.to_owned(), is_resumed: false }),
        }
    }

    /// Returns the path by which it was named, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file to write to: one that is made, or one of the restore that goes on here.
    pub(super) fn open_file(&mut self, components: &[&[u8]]) -> io::Result<Opened> {
        if !self.is_resumed {
            return self.root.make_new_file(components).map(Opened::New);
        }
        match self.root.open_again(components)? {
            Some(file) => Ok(Opened::Again(file)),
            None => self.root.make_file(components).map(Opened::New),
        }
    }

    /// Returns the root below which files are made.
    pub(super) fn root(&mut self) -> &mut Root {
        &mut self.root
    }

    /// Returns the path of a file in it, for messages.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    /// Makes a directory in it, for a part of what is restored.
    pub(super) fn part(&mut self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let root = self.root.below(&[name.as_bytes()]).map_err(|e| unwritable(&path, e))?;
        Ok(Self { root, path, is_resumed: self.is_resumed })
    }

    /// Makes everything durable, then removes the mark.
    pub(super) fn finish(&self) -> Result<()> {
        let directory = self.root.as_directory();
        let failed = |e: Errno| unwritable(&self.path, e.into());
        self.root.give_itself().map_err(|e| unwritable(&self.path, e))?;
        rustix::fs::syncfs(directory).map_err(failed)?;
        let removed = self.root.remove(INCOMPLETE.as_bytes());
        removed.map_err(|e| unwritable(&self.path.join(INCOMPLETE), e))?;
        rustix::fs::fsync(directory).map_err(failed)
    }
}

/// Refuses an owner that this process can't give anything to.
fn require_power(owner: Option<Ownership>) -> Result<()> {
    if owner.is_none() || Power::of_this_process() == Power::Root {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, "only root can give files to another owner"))
}

/// Tells whether a directory holds the unfinished restore that `mark` describes. Another one is
/// refused.
fn is_the_same(path: &Path, root: &mut Root, mark: &Mark) -> Result<bool> {
    let there = match Mark::read(root) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(_) => {
            let what = "holds a restore that does not say of what it is";
            return Err(occupied(format!("{} {what}", path.display())));
        }
    };
    match there.differs_from(mark) {
        None => Ok(true),
        Some(why) => Err(occupied(format!("the unfinished restore in {} {why}", path.display()))),
    }
}

fn unfinished(path: &Path, root: &mut Root) -> Error {
    let of = match Mark::read(root) {
        Ok(mark) => format!(" of snapshot {}", mark.short()),
        Err(_) => String::new(),
    };
    occupied(format!("{} holds a restore{of} that has not finished", path.display()))
}

/// Opens a directory, and makes it with those above it if it is not there.
fn open(path: &Path, sharing: &Sharing) -> Result<OwnedFd> {
    if path.as_os_str().is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the name of the target is empty"));
    }
    let failed = |e: Errno| unwritable(path, e.into());
    // What is there may be reached through links: they are the user's own. What is not is made
    // below it, by descriptors.
    let there = path.ancestors().find(|above| fs::metadata(named(above)).is_ok());
    let there = there.unwrap_or(Path::new("/"));
    let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = match rustix::fs::open(named(there), flags, Mode::empty()) {
        Err(Errno::NOTDIR) => {
            return Err(occupied(format!("{} is not a directory", there.display())));
        }
        opened => opened.map_err(failed)?,
    };
    let used = if missing.as_os_str().is_empty() { Use::Target } else { Use::Parent };
    require_private(named(there), used, &at, sharing)?;
    for component in missing.components() {
        let name = component.as_os_str();
        if name == OsStr::new("..") {
            return Err(unwritable(path, Errno::NOENT.into()));
        }
        at = match make(&at, name) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let what = "is a symbolic link that leads nowhere, or was just replaced";
                return Err(occupied(format!("{} {what}", path.display())));
            }
            made => made.map_err(failed)?,
        };
    }
    Ok(at)
}

/// Returns the path, `.` for the empty one before a relative name.
fn named(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn make(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Refuses a directory that others can write to, or that they can put another one in place of.
fn require_private(path: &Path, used: Use, directory: &OwnedFd, sharing: &Sharing) -> Result<()> {
    let Sharing::Refuse(accounts) = sharing else { return Ok(()) };
    let found = sharing::exposure(directory, used, accounts).map_err(|e| unwritable(path, e))?;
    let Some(exposure) = found else { return Ok(()) };
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let place = real.ancestors().nth(exposure.level).unwrap_or(Path::new("/"));
    let what = format!("{} {}", place.display(), exposure.by);
    Err(Error::new(ErrorKind::Shared, what))
}

fn require_empty(path: &Path, root: &mut Root) -> Result<()> {
    let directory = root.as_directory();
    let failed = |e: Errno| unwritable(path, e.into());
    let mut first = None;
    for entry in rustix::fs::Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name == INCOMPLETE.as_bytes() {
            return Err(unfinished(path, root));
        }
        if !matches!(name, b"." | b"..") && !is_lost_and_found(directory, name) {
            first.get_or_insert_with(|| name.to_vec());
        }
    }
    let Some(name) = first else { return Ok(()) };
    let name = OsStr::from_bytes(&name);
    Err(occupied(format!("{} is not empty: it has {}", path.display(), name.display())))
}

fn is_lost_and_found(directory: &OwnedFd, name: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty());
    name == LOST_AND_FOUND && !matches!(opened, Err(Errno::NOTDIR | Errno::LOOP))
}
