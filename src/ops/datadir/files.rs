//! Files of a data directory: every one with its path, its length and its time.

use std::fs;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::base::entries::entries;
use crate::ops::datadir::place::OWN;

/// How deep directories may stand in each other.
const DEPTH_MAX: u32 = 16;

/// Calls `each` for everything below a directory, what a directory holds before itself. Paths are
/// relative; what a restore of ours has there is left out.
pub(super) fn walk(
    directory: &Path,
    each: &mut dyn FnMut(&Path, &Metadata) -> io::Result<()>,
) -> io::Result<()> {
    walk_below(directory, Path::new(""), DEPTH_MAX, each)
}

fn walk_below(
    root: &Path,
    below: &Path,
    depth: u32,
    each: &mut dyn FnMut(&Path, &Metadata) -> io::Result<()>,
) -> io::Result<()> {
    for entry in entries(&root.join(below))? {
        let name = entry?.name;
        if name.as_bytes().starts_with(OWN.as_bytes()) && below.as_os_str().is_empty() {
            continue;
        }
        let path = below.join(&name);
        let metadata = match fs::symlink_metadata(root.join(&path)) {
            // A server that runs removes files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() && depth > 0 {
            walk_below(root, &path, depth - 1, each)?;
        }
        each(&path, &metadata)?;
    }
    Ok(())
}

/// Returns the bytes that the files of a directory take on disk; nothing of one that is not there.
pub(super) fn bytes_on_disk(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    if directory.exists() {
        walk(directory, &mut |_, metadata| {
            bytes += metadata.blocks() * 512;
            Ok(())
        })?;
    }
    Ok(bytes)
}

/// Returns the names in a directory that a restore moves: all but its own, and what belongs to the
/// file system.
pub(super) fn movable(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in entries(directory)? {
        let name = entry?.name;
        if !name.as_bytes().starts_with(OWN.as_bytes()) && name != "lost+found" {
            names.push(PathBuf::from(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Removes a directory with all that is in it; one that is not there is removed already.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Returns the device and the number of a directory, if it is there.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).map(|stat| (stat.dev(), stat.ino())).ok()
}

/// Makes names of a directory durable.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
