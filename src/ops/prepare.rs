//! Runs `mariabackup --prepare` on a restored directory and checks what it left, instead of
//! believing its exit status alone.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::source::Fate;
use crate::source::Source;
use crate::source::child::ChildSource;

/// What a preparation left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareReport {
    /// `log-applied` after a preparation.
    pub backup_type: String,
    /// The LSN up to which the redo log was applied.
    pub lsn: u64,
    /// The version of the tool that took the backup, if it says so.
    pub version: String,
}

/// Prepares a restored backup in place. Messages of the tool go to `log`.
pub fn prepare(
    target: &Path,
    program: &OsStr,
    log: Box<dyn Write + Send>,
    monitor: &Monitor,
) -> Result<PrepareReport> {
    let failed = |what: &str| Error::new(ErrorKind::Prepare, what.to_owned());
    let mut directory = OsString::from("--target-dir=");
    directory.push(target);
    let command = [program.to_owned(), OsString::from("--prepare"), directory];
    let shown = program.to_string_lossy().into_owned();
    let (child, _) = ChildSource::start(&command, log)
        .map_err(|e| failed(&format!("cannot start {shown}")).because(e))?;
    let mut child: Box<dyn Source> = Box::new(child);
    drain(&mut *child, monitor)?;
    let ending =
        child.finish().map_err(|e| failed(&format!("cannot wait for {shown}")).because(e))?;
    let words = ending.last_words.unwrap_or_default();
    if ending.fate != Fate::Exited(0) {
        return Err(failed(&format!("{shown} --prepare failed")).because(words));
    }
    if !words.trim_end().ends_with("completed OK!") {
        return Err(failed(&format!("{shown} --prepare did not say completed OK!")).because(words));
    }
    check(target)
}

/// Reads what the tool writes: nothing of interest, but it must not fill up, and somebody may want
/// to stop.
fn drain(child: &mut dyn Source, monitor: &Monitor) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        monitor.check()?;
        match child.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return Ok(()),
        }
    }
}

/// Reads the checkpoints file that a preparation rewrites.
fn check(target: &Path) -> Result<PrepareReport> {
    let names = ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"];
    let texts = names.iter().filter_map(|name| fs::read_to_string(target.join(name)).ok());
    let Some(text) = texts.into_iter().next() else {
        return Err(Error::new(
            ErrorKind::Prepare,
            "the prepared directory has no checkpoints file",
        ));
    };
    let value = |text: &str, key: &str| {
        let found = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let backup_type = value(&text, "backup_type");
    if backup_type != "log-applied" {
        let what = format!("the prepared directory says that it is {backup_type}, not log-applied");
        return Err(Error::new(ErrorKind::Prepare, what));
    }
    let infos = ["mariadb_backup_info", "xtrabackup_info"];
    let info = infos.iter().find_map(|name| fs::read_to_string(target.join(name)).ok());
    let version = info.map_or(String::new(), |text| value(&text, "tool_version"));
    let lsn = value(&text, "to_lsn").parse().unwrap_or(0);
    Ok(PrepareReport { backup_type, lsn, version })
}
