//! Whether a server works on a data directory: InnoDB and Aria lock a file each while they run.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::process::Flock;
use rustix::process::FlockType;
use rustix::process::fcntl_getlk;

/// The files that a running server has locked.
const LOCKED: [&str; 2] = ["ibdata1", "aria_log_control"];

/// A process that uses a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Process id; nothing if it is in another container.
    pub(super) id: Option<i32>,
    /// The file that it has locked.
    pub(super) file: &'static str,
}

/// Returns a process that works on a data directory, if there is one.
pub(super) fn holder(directory: &Path) -> io::Result<Option<Holder>> {
    for file in LOCKED {
        let opened = match File::options().read(true).write(true).open(directory.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let wanted = Flock::from(FlockType::WriteLock);
        if let Some(lock) = fcntl_getlk(&opened, &wanted)? {
            let id = lock.pid.map(rustix::process::Pid::as_raw_nonzero).map(i32::from);
            return Ok(Some(Holder { id, file }));
        }
    }
    Ok(None)
}

impl Holder {
    /// Returns who it is, in words.
    pub(super) fn words(&self) -> String {
        let who = self.id.map_or("a process".to_owned(), |id| format!("process {id}"));
        format!("{who} has {} locked", self.file)
    }
}
