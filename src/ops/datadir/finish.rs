//! The last changes to a prepared directory before it is swapped: files of the backup tool go, the
//! GTID state and the position in a cluster come, everything gets its owner and its mode.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::datadir::files;
use crate::ops::datadir::files::remove_file;
use crate::ops::datadir::galera;
use crate::ops::datadir::galera::Joining;
use crate::ops::datadir::journal::Head;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::give;

/// Beginnings of the names of files that a backup tool leaves, and that no server needs.
const OF_TOOL: [&str; 6] = [
    "xtrabackup_",
    "mariadb_backup_",
    "donor_galera_info",
    "backup-my.cnf",
    "haulout-chain.json",
    ".haulout-incomplete",
];

/// Finishes a directory; `head` says what it gets.
pub(super) fn finish(
    work: &Path,
    head: &Head,
    binlog: Option<&str>,
    replayed: Option<&str>,
) -> Result<()> {
    let failed = |error: io::Error| unwritable(work, error);
    if let (Some(planned), Some(found)) = (&head.joining, Joining::of_backup(work))
        && *planned != found
    {
        let what = format!(
            "the files say that the node was at {}:{}, the snapshot {}:{}",
            found.cluster, found.position, planned.cluster, planned.position
        );
        return Err(Error::new(ErrorKind::Prepare, what));
    }
    for name in files::movable(work).map_err(failed)? {
        let text = name.to_string_lossy();
        // Binary logs without their index would make the server count on from their numbers.
        let is_binlog = binlog.is_some_and(|binlog| text == binlog);
        if is_binlog || OF_TOOL.iter().any(|begins| text.starts_with(begins)) {
            remove_file(&work.join(&name)).map_err(failed)?;
        }
    }
    for name in [galera::STATE, galera::VIEW] {
        remove_file(&work.join(name)).map_err(failed)?;
    }
    if let Some(joining) = &head.joining {
        joining.write(work).map_err(failed)?;
    }
    if let Some((path, state)) = &head.gtid {
        write_gtid_state(work, head, path, replayed.unwrap_or(state))?;
    }
    set_modes(work).map_err(failed)?;
    if let Some(owner) = head.ownership() {
        give(work, owner)?;
    }
    let root = fs::File::open(work).map_err(failed)?;
    rustix::fs::syncfs(&root).map_err(|error| failed(error.into()))
}

/// Writes the file from which a server without binary logs takes its GTID state. Tried with 10.11:
/// the first transaction continues from it, and the first binary log begins with it.
fn write_gtid_state(work: &Path, head: &Head, path: &Path, state: &str) -> Result<()> {
    let within = path.strip_prefix(&head.places.directory).ok();
    let path = within.map_or_else(|| path.to_owned(), |name| work.join(name));
    let lines: Vec<&str> = state.split(',').map(str::trim).collect();
    let written = fs::write(&path, lines.join("\n") + "\n");
    written.map_err(|error| unwritable(&path, error))?;
    if within.is_none()
        && let Some((user, group)) = head.owner
    {
        let given = std::os::unix::fs::chown(&path, Some(user), group);
        given.map_err(|error| unwritable(&path, error))?;
    }
    Ok(())
}

/// Gives directories the mode 0700 and files 0660, as a server makes them.
fn set_modes(work: &Path) -> io::Result<()> {
    files::walk(work, &mut |path, metadata| {
        let mode = if metadata.is_dir() { 0o700 } else { 0o660 };
        if metadata.is_symlink() {
            return Ok(());
        }
        fs::set_permissions(work.join(path), fs::Permissions::from_mode(mode))
    })?;
    fs::set_permissions(work, fs::Permissions::from_mode(0o700))
}

/// Puts the labels of `SELinux` right, where the host has them. Returns what did not work.
pub(super) fn relabel(directory: &Path) -> Option<String> {
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return None;
    }
    let mut command = Command::new("restorecon");
    command.arg("-R").arg(directory).stdin(Stdio::null()).stdout(Stdio::null());
    match command.stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("restorecon -R {} ended with {status}", directory.display())),
        Err(error) => Some(format!("restorecon can't be started: {error}")),
    }
}
