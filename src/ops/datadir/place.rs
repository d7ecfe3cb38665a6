//! The places of a restore: the directory, and what stands beside it meanwhile.
//!
//! ```text
//! DIR.haulout-restore.json   the journal           DIR/.haulout-restore.json
//! DIR.haulout-log-TIME       the log               DIR/.haulout-log-TIME
//! DIR.haulout-logs-TIME      binary logs           DIR/.haulout-logs-TIME
//! DIR.haulout-new-TIME       the new directory     DIR/.haulout-new-TIME
//! DIR.haulout-run-TIME       of private servers    /tmp/haulout-run-TIME
//! DIR-save-TIME              the old data          DIR/.haulout-save-TIME
//! ```
//!
//! On the right for a directory that is a mount point: it can't be renamed, and what stands beside
//! it is on another file system.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;

/// Beginning of the names within a directory that belong to a restore.
pub(super) const OWN: &str = ".haulout-";

/// The longest path below which a private server still has room for its socket.
const RUNTIME_BYTES_MAX: usize = 60;

/// The way in which the new directory takes the place of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The directories are exchanged by name.
    Rename,
    /// Their contents are moved, since the directory is a mount point.
    Contents,
}

/// The places of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The data directory of the server.
    pub directory: PathBuf,
    /// The way of the swap.
    pub way: Way,
    /// The journal of the restore.
    pub journal: PathBuf,
    /// The log of the restore.
    pub log: PathBuf,
    /// The place where files are restored and prepared.
    pub work: PathBuf,
    /// The new directory, on the file system of the old one; the same unless staged elsewhere.
    pub new: PathBuf,
    /// The place where the old data are kept.
    pub save: PathBuf,
    /// The directory for binary logs that are replayed.
    pub logs: PathBuf,
    /// The directory in which private servers have theirs.
    pub runtime: PathBuf,
}

impl Places {
    /// Finds the places for a directory. `stamp` tells this restore from others, `temporary` is for
    /// what has no room beside the directory.
    pub(super) fn new(
        directory: &Path,
        staging: Option<&Path>,
        stamp: &str,
        temporary: &Path,
    ) -> Result<Self> {
        let directory = resolved(directory)?;
        let way = if is_mount_point(&directory) { Way::Contents } else { Way::Rename };
        let own = |label: &str| beside(&directory, way, label);
        let new = own(&format!("new-{stamp}"));
        let (save, beside_run) = match way {
            Way::Rename => {
                (with_ending(&directory, &format!("-save-{stamp}")), own(&format!("run-{stamp}")))
            }
            Way::Contents => (own(&format!("save-{stamp}")), PathBuf::new()),
        };
        let length = beside_run.as_os_str().len();
        let runtime = if (1..RUNTIME_BYTES_MAX).contains(&length) {
            beside_run
        } else {
            temporary.join(format!("haulout-run-{stamp}"))
        };
        let staged = |staging: &Path| {
            let name = directory.file_name().unwrap_or_default();
            let mut name = OsString::from(name);
            name.push(format!(".haulout-new-{stamp}"));
            staging.join(name)
        };
        Ok(Self {
            journal: journal_of(&directory),
            log: own(&format!("log-{stamp}")),
            logs: own(&format!("logs-{stamp}")),
            work: staging.map_or_else(|| new.clone(), staged),
            new,
            save,
            runtime,
            way,
            directory,
        })
    }

    /// Tells whether files are restored elsewhere first.
    pub fn is_staged(&self) -> bool {
        self.work != self.new
    }
}

/// Returns the place of the journal for a directory, whose path is resolved.
pub(super) fn journal_of(directory: &Path) -> PathBuf {
    let way = if is_mount_point(directory) { Way::Contents } else { Way::Rename };
    beside(directory, way, "restore.json")
}

/// Returns the path of a directory without links; it need not exist, but the one above must.
pub(super) fn resolved(directory: &Path) -> Result<PathBuf> {
    let failed = |error: io::Error| {
        let message = format!("cannot find the directory {}", directory.display());
        Error::new(ErrorKind::Target, message).because(error)
    };
    match fs::canonicalize(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found.map_err(failed),
    }
    let absolute = std::path::absolute(directory).map_err(failed)?;
    let (Some(above), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(failed(io::Error::other("it has no name")));
    };
    Ok(fs::canonicalize(above).map_err(failed)?.join(name))
}

fn beside(directory: &Path, way: Way, label: &str) -> PathBuf {
    match way {
        Way::Rename => with_ending(directory, &format!(".haulout-{label}")),
        Way::Contents => directory.join(format!("{OWN}{label}")),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Tells whether a directory is one that a file system is mounted on: it has another device than
/// the one above, or the kernel lists it (a bind mount).
fn is_mount_point(directory: &Path) -> bool {
    let Some(above) = directory.parent() else { return true };
    let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev()).ok();
    let Some(own) = device(directory) else { return false };
    if device(above) != Some(own) {
        return true;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = |line: &str| line.split(' ').nth(4).map(unescaped);
    mounts.lines().filter_map(place).any(|path| Path::new(&path) == directory)
}

/// Returns a path of the kernel's list, in which a blank is `\040`.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_restore_stands_beside_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = fs::canonicalize(directory.path()).unwrap().join("mysql");
        let text = |ending: &str| with_ending(&data, ending);
        let temporary = Path::new("/tmp");
        let places = Places::new(&data, None, "T", temporary).unwrap();
        assert_eq!((places.way, places.is_staged()), (Way::Rename, false));
        assert_eq!(places.journal, text(".haulout-restore.json"));
        assert_eq!(places.new, text(".haulout-new-T"));
        assert_eq!(places.save, text("-save-T"));
        let staged = Places::new(&data, Some(Path::new("/big")), "T", temporary).unwrap();
        assert_eq!(staged.work, Path::new("/big/mysql.haulout-new-T"));
        assert!(staged.is_staged());
    }

    #[test]
    fn a_link_to_a_directory_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let above = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(above.join("real")).unwrap();
        std::os::unix::fs::symlink("real", above.join("link")).unwrap();
        assert_eq!(resolved(&above.join("link")).unwrap(), above.join("real"));
        assert!(resolved(&above.join("none/deep")).is_err());
    }

    #[test]
    fn a_mount_point_holds_what_belongs_to_it() {
        let places = Places::new(Path::new("/proc"), None, "T", Path::new("/tmp")).unwrap();
        assert_eq!(places.way, Way::Contents);
        assert_eq!(places.save, Path::new("/proc/.haulout-save-T"));
        assert_eq!(places.runtime, Path::new("/tmp/haulout-run-T"));
    }
}
