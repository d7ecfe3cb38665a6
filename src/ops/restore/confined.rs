//! Makes files below a directory and nowhere else, whatever their names say and whatever another
//! process that may write there does at the same time.
//!
//! Every name is taken apart and walked component by component from the directory's descriptor;
//! no component may be a symbolic link, so that nothing that was made before can lead outside. A
//! file is opened only if this call has made it. Attributes are set through descriptors: a name
//! that was looked up once may be something else by now.
//!
//! - [`Root::make_new_file`] fails if something is in the way; [`Root::make_file`], which is for
//!   archives with several entries of one name, removes it, and never writes through it.
//! - `..`, zero bytes and names without a component are refused; a leading `/` is dropped, as tar
//!   does.
//! - Names may be longer than the system's `PATH_MAX`: no path is ever put together.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::fs::Uid;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::ops::restore::accounts::Ownership;

/// Owner, permissions, time of change and extended attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) changed: (i64, u32),
    pub(super) extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Rights of the process that restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    /// Owners, special bits and all extended attributes can be set.
    Root,
    /// Only what any user may do with own files.
    User,
}

impl Power {
    pub(super) fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::User }
    }
}

/// Creates the error for a file or directory that can't be written.
pub(in crate::ops) fn unwritable(path: &Path, cause: io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(cause)
}

/// Splits a name; says in words why it can't be one.
pub(super) fn components(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    if name.is_empty() {
        return Err("has no name");
    }
    if name.contains(&0) {
        return Err("has a zero byte in its name");
    }
    if parts.iter().any(|part| *part == b"..") {
        return Err("leads out of the target with '..'");
    }
    Ok(parts)
}

/// A directory below which files are made.
#[derive(Debug)]
pub(in crate::ops) struct Root {
    directory: Arc<OwnedFd>,
    power: Power,
    /// The owner of all that is made, if it is not the user who makes it.
    owner: Option<Ownership>,
    /// The parent that was used last.
    last: Option<(Vec<Vec<u8>>, Arc<OwnedFd>)>,
}

/// The treatment of directories that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A name itself, whatever it is: nothing is opened, and no link is followed.
const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const PRIVATE: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Root {
    /// Makes files below this directory.
    pub(super) fn new(directory: OwnedFd, power: Power) -> Self {
        Self { directory: Arc::new(directory), power, owner: None, last: None }
    }

    /// Makes files below the directory of this name.
    pub(in crate::ops) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self::new(directory, Power::of_this_process()))
    }

    /// Gives everything that is made from now on to this owner.
    pub(super) fn give_to(&mut self, owner: Option<Ownership>) {
        self.owner = owner;
    }

    /// Gives the directory itself to them.
    pub(super) fn give_itself(&self) -> io::Result<()> {
        Ok(give(&self.directory, self.owner)?)
    }

    /// Returns the directory itself.
    pub(in crate::ops) fn as_directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Makes a directory, unless it is there, and returns what makes files below it.
    pub(super) fn below(&mut self, components: &[&[u8]]) -> io::Result<Self> {
        let directory = self.directory(components, Missing::Make)?;
        Ok(Self { directory, power: self.power, owner: self.owner, last: None })
    }

    /// Returns the directory of these components.
    fn directory(&mut self, components: &[&[u8]], missing: Missing) -> io::Result<Arc<OwnedFd>> {
        if let Some((last, directory)) = &self.last
            && last == components
        {
            return Ok(Arc::clone(directory));
        }
        let mut directory = Arc::clone(&self.directory);
        for component in components {
            directory = Arc::new(enter(&directory, component, missing, self.owner)?);
        }
        let key = components.iter().map(|component| component.to_vec()).collect();
        self.last = Some((key, Arc::clone(&directory)));
        Ok(directory)
    }

    /// Returns the parent of a new file, with what was in its place removed.
    fn place<'n>(&mut self, components: &[&'n [u8]]) -> io::Result<(Arc<OwnedFd>, &'n [u8])> {
        let Some((name, parents)) = components.split_last() else {
            return Err(io::Error::other("it is the target itself"));
        };
        let parent = self.directory(parents, Missing::Make)?;
        match rustix::fs::unlinkat(&parent, *name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                self.last = None;
                rustix::fs::unlinkat(&parent, *name, AtFlags::REMOVEDIR)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok((parent, name))
    }

    /// Makes a directory, unless it is there.
    pub(super) fn make_directory(&mut self, components: &[&[u8]]) -> io::Result<()> {
        let Some((name, parents)) = components.split_last() else { return Ok(()) };
        let parent = self.directory(parents, Missing::Make)?;
        if let Ok(there) = rustix::fs::openat(&parent, *name, DIRECTORY, Mode::empty()) {
            // A restore that goes on may have given it rights that forbid to fill it.
            let _own = rustix::fs::fchmod(there, PRIVATE);
            return Ok(());
        }
        let (parent, name) = self.place(components)?;
        enter(&parent, name, Missing::Make, self.owner)?;
        Ok(())
    }

    /// Makes a file to write to, in place of whatever has its name.
    pub(in crate::ops) fn make_file(&mut self, components: &[&[u8]]) -> io::Result<File> {
        let (parent, name) = self.place(components)?;
        self.new_file(&parent, name)
    }

    fn new_file(&self, parent: &OwnedFd, name: &[u8]) -> io::Result<File> {
        let file = rustix::fs::openat(parent, name, NEW_FILE, PRIVATE_FILE)?;
        give(&file, self.owner)?;
        Ok(File::from(file))
    }

    /// Makes a file to write to; fails if something has its name.
    pub(super) fn make_new_file(&mut self, components: &[&[u8]]) -> io::Result<File> {
        let Some((name, parents)) = components.split_last() else {
            return Err(io::Error::other("it is the target itself"));
        };
        let parent = self.directory(parents, Missing::Make)?;
        self.new_file(&parent, name)
    }

    /// Opens a file that an earlier restore has made, to go on with it; nothing if there is none
    /// that is its own and has no other names.
    pub(super) fn open_again(&mut self, components: &[&[u8]]) -> io::Result<Option<File>> {
        let Some((name, parents)) = components.split_last() else { return Ok(None) };
        let parent = self.directory(parents, Missing::Make)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&parent, *name, flags, Mode::empty()) else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&file)?;
        let own = [Some(rustix::process::geteuid().as_raw()), self.owner.map(|owner| owner.user)];
        let is_own = own.contains(&Some(stat.st_uid)) && stat.st_nlink == 1;
        if kind_of(&stat) != FileType::RegularFile || !is_own {
            return Ok(None);
        }
        give(&file, self.owner)?;
        Ok(Some(File::from(file)))
    }

    /// Removes a name of a file, if it still is this file's.
    pub(super) fn remove_file(&mut self, components: &[&[u8]], id: FileId) -> io::Result<bool> {
        let Some((name, parents)) = components.split_last() else { return Ok(false) };
        let Ok(parent) = self.directory(parents, Missing::Refuse) else { return Ok(false) };
        match rustix::fs::statat(&parent, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileId::of(&stat) == id => {
                rustix::fs::unlinkat(&parent, *name, AtFlags::empty())?;
                Ok(true)
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Opens a file to read it, if it is one; nothing waits for the other end of a pipe.
    pub(in crate::ops) fn open_file(&mut self, components: &[&[u8]]) -> io::Result<File> {
        let Some((name, parents)) = components.split_last() else {
            return Err(io::Error::other("it is the target itself"));
        };
        let parent = self.directory(parents, Missing::Refuse)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, *name, flags, Mode::empty())?;
        if kind_of(&rustix::fs::fstat(&file)?) == FileType::RegularFile {
            return Ok(File::from(file));
        }
        Err(io::Error::other("it is no regular file"))
    }

    /// Removes a file of the directory itself.
    pub(super) fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    /// Gives a file of the directory itself another name there, in place of what had it.
    pub(in crate::ops) fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    /// Makes another name of a file that is there.
    pub(super) fn make_link(&mut self, from: &[&[u8]], components: &[&[u8]]) -> io::Result<()> {
        if from == components {
            return Ok(());
        }
        let Some((old, parents)) = from.split_last() else {
            return Err(io::Error::other("it links to the target itself"));
        };
        let source = self.directory(parents, Missing::Refuse)?;
        // What it links to must be there before what is in the way goes.
        rustix::fs::statat(&source, *old, AtFlags::SYMLINK_NOFOLLOW)?;
        let (parent, name) = self.place(components)?;
        Ok(rustix::fs::linkat(source, *old, parent, name, AtFlags::empty())?)
    }

    /// Makes a symbolic link; where it leads is of no matter, since nothing here follows it.
    pub(super) fn make_symbolic_link(
        &mut self,
        components: &[&[u8]],
        link: &[u8],
        attributes: &Attributes,
    ) -> io::Result<u64> {
        let (parent, name) = self.place(components)?;
        rustix::fs::symlinkat(link, &parent, name)?;
        let made = Made::find(&parent, name, FileType::Symlink)?;
        made.give(attributes, self.power)?;
        let mut failed = 0;
        for (key, value) in &attributes.extended {
            // No call takes a link by its descriptor, so its directory goes by that of its own.
            let path = [path_of(&parent).as_bytes(), b"/", name].concat();
            let flags = XattrFlags::empty();
            let set = rustix::fs::lsetxattr(path.as_slice(), key.as_slice(), value, flags);
            failed += u64::from(set.is_err());
        }
        rustix::fs::utimensat(parent, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(failed)
    }

    /// Makes a named pipe or a device.
    pub(super) fn make_node(
        &mut self,
        components: &[&[u8]],
        kind: FileType,
        device: (u32, u32),
        attributes: &Attributes,
    ) -> io::Result<()> {
        let (parent, name) = self.place(components)?;
        let device = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(&parent, name, kind, PRIVATE_FILE, device)?;
        let made = Made::find(&parent, name, kind)?;
        made.give(attributes, self.power)?;
        let path = path_of(&made.name);
        rustix::fs::chmodat(CWD, path, mode(attributes, self.power), AtFlags::empty())?;
        Ok(rustix::fs::utimensat(parent, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Gives a directory its attributes; it may have been replaced by something else since.
    pub(super) fn finish_directory(
        &mut self,
        components: &[&[u8]],
        attributes: &Attributes,
    ) -> io::Result<u64> {
        match self.directory(components, Missing::Refuse) {
            Ok(directory) => finish(&directory, attributes, self.power),
            Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Opens a directory of a directory; makes it if that is asked for and it is not there.
fn enter(
    parent: &OwnedFd,
    name: &[u8],
    missing: Missing,
    owner: Option<Ownership>,
) -> rustix::io::Result<OwnedFd> {
    let open = || rustix::fs::openat(parent, name, DIRECTORY, Mode::empty());
    match open() {
        Err(Errno::NOENT) if missing == Missing::Make => {}
        other => return other,
    }
    match rustix::fs::mkdirat(parent, name, PRIVATE) {
        Ok(()) => {
            let made = open()?;
            give(&made, owner)?;
            Ok(made)
        }
        // Somebody else has made it; what it is shows when it is opened.
        Err(Errno::EXIST) => open(),
        Err(error) => Err(error),
    }
}

/// Gives the file of a descriptor to another owner.
fn give(descriptor: impl AsFd, owner: Option<Ownership>) -> rustix::io::Result<()> {
    let Some(Ownership { user, group }) = owner else { return Ok(()) };
    rustix::fs::fchown(descriptor, Some(Uid::from_raw(user)), group.map(Gid::from_raw))
}

/// The identity of a file, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }

    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// A link or node that was just made, by a descriptor of its own.
struct Made {
    name: OwnedFd,
}

impl Made {
    /// Finds it again. One that has other names, or is something else, was put there by another
    /// process.
    fn find(parent: &OwnedFd, name: &[u8], kind: FileType) -> io::Result<Self> {
        let name = rustix::fs::openat(parent, name, NAME_ONLY, Mode::empty())?;
        let stat = rustix::fs::fstat(&name)?;
        if kind_of(&stat) != kind || stat.st_nlink != 1 {
            return Err(io::Error::other("was replaced while it was made"));
        }
        Ok(Self { name })
    }

    /// Gives it its owner, if that is possible.
    fn give(&self, attributes: &Attributes, power: Power) -> io::Result<()> {
        if power == Power::User {
            return Ok(());
        }
        let (owner, group) = ids(attributes);
        Ok(rustix::fs::chownat(&self.name, c"", owner, group, AtFlags::EMPTY_PATH)?)
    }
}

/// Returns a name that leads to the file of a descriptor, even if the file's own name has been
/// given to another one.
fn path_of(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// Gives a directory and all that is in it to an owner. A file that has other names is refused: it
/// may be one from elsewhere.
pub(super) fn give_all(directory: &OwnedFd, owner: Ownership) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let it = rustix::fs::openat(directory, name, NAME_ONLY, Mode::empty())?;
        let stat = rustix::fs::fstat(&it)?;
        if kind_of(&stat) == FileType::Directory {
            give_all(&rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())?, owner)?;
            continue;
        }
        if stat.st_nlink != 1 {
            let what = format!("{} has other names too", name.to_string_lossy());
            return Err(io::Error::other(what));
        }
        let (user, group) = (Some(Uid::from_raw(owner.user)), owner.group.map(Gid::from_raw));
        rustix::fs::chownat(&it, c"", user, group, AtFlags::EMPTY_PATH)?;
    }
    Ok(give(directory, Some(owner))?)
}

/// Gives a file its attributes, the time last; how many extended ones could not be set.
pub(super) fn finish(file: impl AsFd, attributes: &Attributes, power: Power) -> io::Result<u64> {
    let file = file.as_fd();
    if power == Power::Root {
        let (owner, group) = ids(attributes);
        rustix::fs::fchown(file, owner, group)?;
    }
    let mut failed = 0;
    for (name, value) in &attributes.extended {
        let flags = XattrFlags::empty();
        let mine = [&b"user."[..], b"system.posix_acl_"];
        let may = power == Power::Root || mine.iter().any(|mine| name.starts_with(mine));
        let set = may && rustix::fs::fsetxattr(file, name.as_slice(), value, flags).is_ok();
        failed += u64::from(!set);
    }
    // Changing the owner took the special bits away.
    rustix::fs::fchmod(file, mode(attributes, power))?;
    rustix::fs::futimens(file, &times(attributes))?;
    Ok(failed)
}

/// Returns the permissions to set: special bits only together with the owner that they are meant
/// for.
fn mode(attributes: &Attributes, power: Power) -> Mode {
    let kept = if power == Power::Root { 0o7777 } else { 0o777 };
    Mode::from_raw_mode(attributes.mode & kept)
}

fn ids(attributes: &Attributes) -> (Option<Uid>, Option<Gid>) {
    // The largest number means: leave it as it is.
    let usable = |id: &u32| *id != u32::MAX;
    let owner = attributes.owner.filter(usable).map(Uid::from_raw);
    (owner, attributes.group.filter(usable).map(Gid::from_raw))
}

fn times(attributes: &Attributes) -> Timestamps {
    let (seconds, nanoseconds) = attributes.changed;
    let last_modification = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Timestamps { last_access, last_modification }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn root_of(path: &Path) -> Root {
        Root::new(OwnedFd::from(File::open(path).unwrap()), Power::User)
    }

    fn plain() -> Attributes {
        let (owner, group) = (None, None);
        Attributes { mode: 0o644, owner, group, changed: (17, 0), extended: Vec::new() }
    }

    #[test]
    fn names_lose_their_slash_and_must_stay_inside() {
        assert_eq!(components(b"/etc//./nova"), Ok(vec![&b"etc"[..], b"nova"]));
        assert_eq!(components(b"./"), Ok(Vec::new()));
        for hostile in [&b"a/../b"[..], b"..", b"/..", b"a\0b", b""] {
            assert!(components(hostile).is_err(), "{}", hostile.escape_ascii());
        }
        assert!(components(b"..a/b..").is_ok());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("victim"), "untouched").unwrap();
        let mut root = root_of(inside.path());
        let away = outside.path().as_os_str().as_encoded_bytes();
        root.make_symbolic_link(&[b"away"], away, &plain()).unwrap();
        assert!(root.make_file(&[b"away", b"victim"]).is_err());
        assert!(root.make_directory(&[b"away", b"made"]).is_err());
        assert!(root.make_link(&[b"away", b"victim"], &[b"mine"]).is_err());
        assert!(root.finish_directory(&[b"away"], &plain()).is_ok(), "it is no directory any more");
        // In place of the link itself a file may be made.
        root.make_file(&[b"away"]).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(inside.path().join("away")).unwrap(), b"new");
        assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_comes_last_wins() {
        let inside = tempfile::tempdir().unwrap();
        let mut root = root_of(inside.path());
        root.make_file(&[b"a"]).unwrap().write_all(b"1").unwrap();
        root.make_link(&[b"a"], &[b"b"]).unwrap();
        // A new file of that name does not change the one that it was linked to.
        root.make_file(&[b"a"]).unwrap().write_all(b"2").unwrap();
        assert_eq!(fs::read(inside.path().join("b")).unwrap(), b"1");
        root.make_directory(&[b"a"]).unwrap();
        root.make_file(&[b"a", b"inner"]).unwrap();
        assert!(root.make_file(&[b"a"]).is_err(), "a directory with files is not replaced");
        fs::remove_file(inside.path().join("a/inner")).unwrap();
        root.make_file(&[b"a"]).unwrap();
        assert!(inside.path().join("a").is_file());
    }

    #[test]
    fn names_may_be_longer_than_a_path() {
        let inside = tempfile::tempdir().unwrap();
        let mut root = root_of(inside.path());
        let part = [b'x'; 200];
        let long: Vec<&[u8]> = std::iter::repeat_n(&part[..], 40).collect();
        root.make_file(&long).unwrap();
        root.finish_directory(&long[..39], &plain()).unwrap();
    }
}
