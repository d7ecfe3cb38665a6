//! Puts a new directory in the place of an old one, and takes it back.
//!
//! By name, two directories are exchanged in one system call: at no moment is there no directory,
//! or half of one. Where contents are moved, guards stand in for the files that InnoDB and Aria
//! look for first: a server that is started meanwhile ends with an error and changes nothing (tried
//! with 10.11: without a guard it would make a new, empty system tablespace).

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

use rustix::fs::CWD;
use rustix::fs::RenameFlags;
use rustix::fs::renameat_with;
use rustix::io::Errno;

use crate::ops::datadir::files;
use crate::ops::datadir::files::identity;
use crate::ops::datadir::files::movable;

/// The files without which no server starts, the first to be looked for first.
const GUARDED: [&str; 2] = ["ibdata1", "aria_log_control"];

/// The contents of a guard.
const GUARD: &str = "a restore by haulout is not finished here: run haulout restore --resume\n";

/// The name of a guard until it stands where it shall.
const DRAFT: &str = ".haulout-guard";

/// Exchanges `directory`, which has or had the identity `old`, with `new`; the old one becomes
/// `save`. May be repeated after an interruption at any moment.
pub(super) fn by_name(
    directory: &Path,
    new: &Path,
    save: &Path,
    old: Option<(u64, u64)>,
) -> io::Result<()> {
    let Some(old) = old else {
        return match identity(new) {
            // It was done before.
            None if directory.exists() => Ok(()),
            _ => rename(new, directory),
        };
    };
    if identity(directory) == Some(old) {
        exchange(directory, new, save)?;
    }
    if identity(directory).is_none() {
        // Without a system call for it, the names were changed one after the other.
        rename(new, directory)?;
    }
    if identity(new) == Some(old) {
        rename(new, save)?;
    }
    files::sync(directory.parent().unwrap_or(Path::new("/")))
}

/// Takes that back: the old directory gets its name again. The new one is at `new` afterwards.
pub(super) fn back_by_name(
    directory: &Path,
    new: &Path,
    save: &Path,
    old: Option<(u64, u64)>,
) -> io::Result<()> {
    let Some(old) = old else {
        return match identity(new) {
            None if directory.exists() => rename(directory, new),
            _ => Ok(()),
        };
    };
    if identity(directory) == Some(old) {
        return Ok(());
    }
    let kept = if identity(save) == Some(old) { save } else { new };
    if identity(kept) != Some(old) {
        let what = format!("the old data are neither at {} nor {}", save.display(), new.display());
        return Err(io::Error::other(what));
    }
    if identity(directory).is_none() {
        rename(kept, directory)?;
    } else {
        exchange(directory, kept, new)?;
        if kept != new && identity(kept).is_some() {
            rename(kept, new)?;
        }
    }
    files::sync(directory.parent().unwrap_or(Path::new("/")))
}

/// Exchanges two directories. Where the file system can't do that at once, `one` is moved out of
/// the way to `aside` first.
fn exchange(one: &Path, other: &Path, aside: &Path) -> io::Result<()> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rename(one, aside)?;
            rename(other, one)
        }
        done => Ok(done?),
    }
}

/// Renames, and replaces nothing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !to.exists() => fs::rename(from, to),
        done => Ok(done?),
    }
}

/// Moves all contents of a directory to another one on its file system, guards in their place.
pub(super) fn move_out(directory: &Path, to: &Path) -> io::Result<()> {
    match fs::create_dir(to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => copy_attributes(directory, to)?,
    }
    guard(directory, Some(to))?;
    for name in movable(directory)? {
        if !is_guard(&directory.join(&name)) {
            rename(&directory.join(&name), &to.join(&name))?;
        }
    }
    files::sync(to)?;
    files::sync(directory)
}

/// Moves all contents of a directory into another one, in which there are guards only; the files
/// that they stand for come last.
pub(super) fn move_in(directory: &Path, from: &Path) -> io::Result<()> {
    if from.exists() {
        let (last, first): (Vec<_>, Vec<_>) = movable(from)?
            .into_iter()
            .partition(|name| GUARDED.iter().any(|guarded| Path::new(guarded) == name));
        for name in first {
            rename(&from.join(&name), &directory.join(&name))?;
        }
        files::sync(directory)?;
        // In the order of their names Aria's comes first: the system tablespace is the last.
        for name in last {
            if !is_guard(&from.join(&name)) {
                // It takes the place of the guard at once.
                fs::rename(from.join(&name), directory.join(&name))?;
            }
        }
    }
    for guarded in GUARDED {
        if is_guard(&directory.join(guarded)) {
            files::remove_file(&directory.join(guarded))?;
        }
    }
    files::sync(directory)
}

/// Puts guards into a directory; the files that they stand for move to `to`, or are removed.
pub(super) fn guard(directory: &Path, to: Option<&Path>) -> io::Result<()> {
    let draft = directory.join(DRAFT);
    for guarded in GUARDED {
        let place = directory.join(guarded);
        let put_away = || match to {
            Some(to) if draft.exists() && !is_guard(&draft) => rename(&draft, &to.join(guarded)),
            _ => files::remove_file(&draft),
        };
        if is_guard(&place) {
            // It was interrupted here.
            put_away()?;
            continue;
        }
        let mut file = fs::File::create(&draft)?;
        file.write_all(GUARD.as_bytes())?;
        file.sync_all()?;
        if place.exists() {
            renameat_with(CWD, &draft, CWD, &place, RenameFlags::EXCHANGE)?;
            files::sync(directory)?;
            put_away()?;
        } else {
            rename(&draft, &place)?;
        }
    }
    files::sync(directory)
}

/// Tells whether a file is a guard.
pub(super) fn is_guard(path: &Path) -> bool {
    let is_short = fs::metadata(path).is_ok_and(|stat| stat.len() <= 200 && stat.is_file());
    is_short && fs::read_to_string(path).is_ok_and(|text| text == GUARD)
}

fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(from)?;
    let now = fs::metadata(to)?;
    if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
        std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    fs::set_permissions(to, metadata.permissions())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::ops::datadir::place::Way;

    struct Place {
        _root: tempfile::TempDir,
        directory: PathBuf,
        new: PathBuf,
        save: PathBuf,
    }

    impl Place {
        /// A new directory beside the old one, or within it.
        fn new(way: Way) -> Self {
            let root = tempfile::tempdir().unwrap();
            let directory = root.path().join("data");
            let place = |name: &str| match way {
                Way::Contents => directory.join(format!(".haulout-{name}")),
                Way::Rename => root.path().join(name),
            };
            let (new, save) = (place("new"), place("save"));
            for (path, text) in [(&directory, "old"), (&new, "new")] {
                fs::create_dir_all(path.join("shop")).unwrap();
                for name in ["ibdata1", "aria_log_control", "shop/t.ibd", text] {
                    fs::write(path.join(name), text).unwrap();
                }
            }
            Self { directory, new, save, _root: root }
        }
    }

    /// Returns the server that a directory holds whole.
    fn at(path: &Path) -> Option<String> {
        let text = fs::read_to_string(path.join("ibdata1")).ok()?;
        let all = ["aria_log_control", "shop/t.ibd"];
        let same = |name: &&str| fs::read_to_string(path.join(name)).ok().as_ref() == Some(&text);
        (all.iter().all(same) && path.join(&text).exists()).then_some(text)
    }

    #[test]
    fn directories_are_exchanged_and_exchanged_back() {
        let place = Place::new(Way::Rename);
        let Place { directory, new, save, .. } = &place;
        let old = identity(directory);
        by_name(directory, new, save, old).unwrap();
        by_name(directory, new, save, old).unwrap();
        assert_eq!(at(directory).as_deref(), Some("new"));
        assert_eq!(at(save).as_deref(), Some("old"));
        back_by_name(directory, new, save, old).unwrap();
        back_by_name(directory, new, save, old).unwrap();
        assert_eq!(at(directory).as_deref(), Some("old"));
        assert_eq!(at(new).as_deref(), Some("new"));
        // Interrupted between the exchange and the second name.
        exchange(directory, new, save).unwrap();
        back_by_name(directory, new, save, old).unwrap();
        assert_eq!(at(directory).as_deref(), Some("old"));
        exchange(directory, new, save).unwrap();
        by_name(directory, new, save, old).unwrap();
        assert_eq!(at(save).as_deref(), Some("old"));
        // And where names are changed one after the other.
        back_by_name(directory, new, save, old).unwrap();
        rename(directory, save).unwrap();
        by_name(directory, new, save, old).unwrap();
        assert_eq!(at(directory).as_deref(), Some("new"));
    }

    #[test]
    fn a_new_directory_needs_no_old_one() {
        let place = Place::new(Way::Rename);
        let Place { directory, new, save, .. } = &place;
        fs::remove_dir_all(directory).unwrap();
        by_name(directory, new, save, None).unwrap();
        by_name(directory, new, save, None).unwrap();
        assert_eq!(at(directory).as_deref(), Some("new"));
        back_by_name(directory, new, save, None).unwrap();
        assert!(!directory.exists() && !save.exists());
    }

    #[test]
    fn contents_are_moved_and_moved_back() {
        let place = Place::new(Way::Contents);
        let Place { directory, new, save, .. } = &place;
        fs::create_dir(directory.join("lost+found")).unwrap();
        move_out(directory, save).unwrap();
        assert!(is_guard(&directory.join("ibdata1")) && is_guard(&directory.join(GUARDED[1])));
        // Both may be repeated.
        move_out(directory, save).unwrap();
        assert_eq!(at(save).as_deref(), Some("old"));
        move_in(directory, new).unwrap();
        move_in(directory, new).unwrap();
        assert_eq!(at(directory).as_deref(), Some("new"));
        move_out(directory, new).unwrap();
        move_in(directory, save).unwrap();
        assert_eq!(at(directory).as_deref(), Some("old"));
        assert_eq!(at(new).as_deref(), Some("new"));
        assert!(directory.join("lost+found").exists());
    }

    #[test]
    fn an_old_directory_that_is_half_out_comes_back() {
        let place = Place::new(Way::Contents);
        let Place { directory, save, .. } = &place;
        fs::create_dir(save).unwrap();
        guard(directory, Some(save)).unwrap();
        rename(&directory.join("shop"), &save.join("shop")).unwrap();
        move_in(directory, save).unwrap();
        assert_eq!(at(directory).as_deref(), Some("old"));
    }

    #[test]
    fn a_guard_that_was_interrupted_is_put_in_order() {
        let place = Place::new(Way::Contents);
        let Place { directory, save, .. } = &place;
        fs::create_dir(save).unwrap();
        let draft = directory.join(DRAFT);
        fs::write(&draft, GUARD).unwrap();
        let data = directory.join("ibdata1");
        renameat_with(CWD, &draft, CWD, &data, RenameFlags::EXCHANGE).unwrap();
        guard(directory, Some(save)).unwrap();
        assert_eq!(fs::read_to_string(save.join("ibdata1")).unwrap(), "old");
        assert!(!draft.exists());
    }
}
