//! What a restore loses: the time from the backup to the newest write that is known.

use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde::Serialize;

use crate::ops::datadir::files::walk;

/// The newest write in the old data directory, against the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// The time of the backup, in seconds since 1970.
    pub backup: u64,
    /// The time of the newest write, if an old directory shows one.
    pub newest: Option<u64>,
    /// The file that was written then.
    pub file: Option<String>,
    /// Binary logs in the old directory that were written after the backup.
    pub binlogs: Vec<String>,
}

impl Losses {
    /// Looks at the old data directory: tables, redo log and binary logs.
    pub(super) fn look(directory: &Path, backup: u64) -> io::Result<Self> {
        let mut losses = Self { backup, ..Self::default() };
        if !directory.exists() {
            return Ok(losses);
        }
        walk(directory, &mut |path, metadata| {
            if !metadata.is_file() || !shows_writes(path) {
                return Ok(());
            }
            let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let time = since.as_secs();
            let name = path.to_string_lossy().into_owned();
            if is_binlog(path) && time > backup {
                losses.binlogs.push(name.clone());
            }
            if losses.newest.is_none_or(|newest| newest < time) {
                (losses.newest, losses.file) = (Some(time), Some(name));
            }
            Ok(())
        })?;
        losses.binlogs.sort();
        Ok(losses)
    }

    /// Returns the seconds from the backup to the newest write.
    pub fn seconds(&self) -> Option<u64> {
        self.newest.map(|newest| newest.saturating_sub(self.backup))
    }
}

/// Tells whether a file is written when data change: not so temporary files and logs of messages.
fn shows_writes(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".ibd", ".MYD", ".MAD", ".CSV"];
    let begins = ["ib_logfile", "ibdata", "undo0", "aria_log."];
    ends.iter().any(|end| name.ends_with(end))
        || begins.iter().any(|beginning| name.starts_with(beginning))
        || is_binlog(path)
}

/// Tells whether a file has the name of a binary log: a dot and six digits at its end.
fn is_binlog(path: &Path) -> bool {
    let Some(ending) = path.extension().and_then(|ending| ending.to_str()) else { return false };
    let is_top = path.parent().is_none_or(|above| above.as_os_str().is_empty());
    is_top && ending.len() == 6 && ending.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_write_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, seconds: u64| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            File::create(path).unwrap().set_modified(time).unwrap();
        };
        write("shop/t.ibd", 150);
        write("bin.000001", 90);
        write("bin.000002", 160);
        write("error.log", 900);
        write("ibtmp1", 900);
        let losses = Losses::look(directory.path(), 100).unwrap();
        assert_eq!((losses.seconds(), losses.file.as_deref()), (Some(60), Some("bin.000002")));
        assert_eq!(losses.binlogs, ["bin.000002"]);
        let none = Losses::look(&directory.path().join("none"), 100).unwrap();
        assert_eq!(none.seconds(), None);
    }
}
