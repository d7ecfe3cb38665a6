//! This host: what a job writes, and what a restore would need.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Access;
use rustix::fs::access;
use rustix::fs::major;
use rustix::fs::minor;
use rustix::fs::statvfs;

use crate::doctor::finding::Finding;
use crate::doctor::tool::Tool;
use crate::doctor::tool::Version;
use crate::output::units;

/// Times the bytes of the last run that should be free.
const ROOM: u64 = 2;

/// The disk and the file system of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The name in the configuration, or what it is.
    pub(crate) name: String,
    /// The number of the file system.
    pub(crate) file_system: u64,
    /// The name of the disk below it, if it is known.
    pub(crate) disk: Option<String>,
}

impl Place {
    /// Looks at a directory, or at what will hold it.
    pub(crate) fn of(name: &str, path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(nearest(path))?;
        let device = metadata.dev();
        let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
        let disk = fs::canonicalize(link).ok().and_then(|path| disk_of(&path));
        Ok(Self { name: name.to_owned(), file_system: device, disk })
    }
}

/// Returns the nearest directory above a path that is there, or itself.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"))
}

/// Returns the name of the disk of a block device, from its path in `/sys/devices`.
fn disk_of(device: &Path) -> Option<String> {
    let mut parts = device.iter().skip_while(|part| *part != "block");
    Some(parts.nth(1)?.to_string_lossy().into_owned())
}

/// Judges two directories of which one is to survive the other.
pub(crate) fn judge_apart(one: &Place, other: &Place) -> Finding {
    const CHECK: &str = "disk";
    let hint = "put it on another disk, and better on another host: one fault takes both";
    let names = format!("{} and {}", one.name, other.name);
    if one.file_system == other.file_system {
        return Finding::warning(CHECK, format!("{names} are on one file system"), hint);
    }
    match (&one.disk, &other.disk) {
        (Some(disk), Some(same)) if disk == same => {
            Finding::warning(CHECK, format!("{names} are on one disk, {disk}"), hint)
        }
        _ => Finding::good(CHECK, format!("{names} are on different file systems")),
    }
}

/// Returns the bytes that this user may still write below a directory.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let room = statvfs(nearest(path))?;
    let blocks = if rustix::process::geteuid().is_root() { room.f_bfree } else { room.f_bavail };
    Ok(blocks.saturating_mul(room.f_frsize))
}

/// Judges the free space of a directory by what the last run has stored.
pub(crate) fn judge_space(free: u64, stored: Option<u64>) -> Finding {
    const CHECK: &str = "free space";
    let free_words = units::size(free);
    let Some(stored) = stored else {
        return Finding::not_checked(
            CHECK,
            format!("{free_words}; no run has measured what it takes"),
        );
    };
    let found = format!("{free_words}; the last run stored {}", units::size(stored));
    if free >= stored.saturating_mul(ROOM) {
        return Finding::good(CHECK, found);
    }
    Finding::warning(CHECK, found, "make room, or keep fewer snapshots: haulout help retention")
}

/// Tells whether this user may write to a directory, or make it.
pub(crate) fn writes(directory: &Path) -> Result<(), String> {
    let there = nearest(directory);
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("cannot write to {}: {}", there.display(), io::Error::from(error)))
}

/// Judges a directory that the job writes to.
pub(crate) fn judge_written(
    check: &'static str,
    path: &Path,
    written: Result<(), String>,
    hint: &str,
) -> Finding {
    match written {
        Ok(()) => Finding::good(check, format!("{} can be written", path.display())),
        Err(why) => Finding::failed(check, why, hint),
    }
}

/// Judges what a restore of files of a server would need here.
pub(crate) fn judge_restore(backup: &Tool, server: &Tool, wanted: Option<Version>) -> Finding {
    const CHECK: &str = "restore";
    let program = &backup.program;
    if let Err(why) = &backup.answer {
        return Finding::warning(
            CHECK,
            format!("{program} can't be run here: {why}"),
            "install it where backups are restored: restore --prepare runs it",
        );
    }
    let own = server.answer.as_ref().ok().and_then(|answer| Version::find(answer));
    let (Some(own), Some(wanted)) = (own, wanted) else {
        return Finding::good(CHECK, format!("{program} can prepare files here")).with_hint(
            "files are started by a server of the same release series, which is not on this host",
        );
    };
    if own.series() == wanted.series() {
        return Finding::good(CHECK, format!("{program} and mariadbd {own} are on this host"));
    }
    Finding::warning(
        CHECK,
        format!("mariadbd {own} is on this host, and the files are of {wanted}"),
        "restore where a server of the release series of the backup is installed",
    )
}

/// Returns the directory of a file.
pub(crate) fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_copy_on_the_same_disk_is_worth_a_warning() {
        let place = |file_system, disk: Option<&str>| Place {
            name: "x".to_owned(),
            file_system,
            disk: disk.map(str::to_owned),
        };
        for (one, other, state) in [
            (place(1, Some("sda")), place(1, Some("sda")), State::Warning),
            (place(1, Some("sda")), place(2, Some("sda")), State::Warning),
            (place(1, Some("sda")), place(2, Some("sdb")), State::Good),
            (place(1, None), place(2, None), State::Good),
        ] {
            assert_eq!(judge_apart(&one, &other).state, state, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_partition_belongs_to_its_disk() {
        for (path, disk) in [
            ("/sys/devices/pci0000:00/ata1/host0/block/sda/sda1", Some("sda")),
            ("/sys/devices/pci0000:00/nvme/nvme0/block/nvme0n1", Some("nvme0n1")),
            ("/sys/devices/virtual/block/dm-0", Some("dm-0")),
            ("/sys/devices/virtual/block", None),
        ] {
            assert_eq!(disk_of(Path::new(path)).as_deref(), disk, "{path}");
        }
    }

    #[test]
    fn directories_are_looked_at_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("a/b");
        let (one, other) =
            (Place::of("a", directory.path()).unwrap(), Place::of("b", &missing).unwrap());
        assert_eq!(judge_apart(&one, &other).state, State::Warning);
        assert!(free_bytes(&missing).unwrap() > 0);
        assert_eq!(writes(&missing), Ok(()));
        let refused = judge_written("metrics", &missing, Err("no".to_owned()), "do");
        assert_eq!(refused.state, State::Failed);
    }

    #[test]
    fn the_space_of_two_runs_is_free() {
        for (free, stored, state) in [
            (10, Some(5), State::Good),
            (9, Some(5), State::Warning),
            (10, None, State::NotChecked),
        ] {
            assert_eq!(judge_space(free, stored).state, state, "{free}");
        }
    }

    #[test]
    fn a_restore_needs_the_tool_and_a_server_of_the_series() {
        let tool = |answer: Result<&str, &str>| Tool {
            program: "mariabackup".to_owned(),
            answer: answer.map(str::to_owned).map_err(str::to_owned),
        };
        let good = tool(Ok("10.11.19-MariaDB"));
        let wanted = Version::find("10.11.3");
        for (backup, server, state) in [
            (good.clone(), good.clone(), State::Good),
            (tool(Err("it is not there")), good.clone(), State::Warning),
            (good.clone(), tool(Ok("10.6.1-MariaDB")), State::Warning),
            (good, tool(Err("it is not there")), State::Good),
        ] {
            assert_eq!(judge_restore(&backup, &server, wanted).state, state);
        }
    }
}
