//! Runs `mariabackup --prepare` once, and checks the directory afterwards instead of believing the
//! exit status alone.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::prepare::preparer::Preparer;
use crate::ops::prepare::preparer::Tie;
use crate::source::ProducerExit;
use crate::source::Source;
use crate::source::child::ChildSource;

/// The state of a directory after a preparation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareReport {
    /// `log-applied` after a preparation.
    pub backup_type: String,
    /// The LSN up to which the redo log was applied.
    pub lsn: u64,
    /// The version of the tool that took the backup, if it says so.
    pub version: String,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Prepare, what)
}

/// Starts the preparation of a full backup, or the application of an increment to it.
pub(super) fn start(
    target: &Path,
    increment: Option<&Path>,
    preparer: &Preparer<'_>,
    log: Box<dyn Write + Send>,
) -> Result<Box<dyn Source>> {
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    let program = preparer.program;
    let mut command: Vec<OsString> = match preparer.tie {
        Tie::Loose => Vec::new(),
        Tie::Fast => ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from).to_vec(),
    };
    command.extend([program.to_owned(), OsString::from("--prepare")]);
    command.extend(preparer.memory.map(|bytes| format!("--use-memory={bytes}").into()));
    command.push(option("--target-dir=", target));
    command.extend(increment.map(|path| option("--incremental-dir=", path)));
    let (child, _) = ChildSource::start(&command, log, Duration::MAX)
        .map_err(|e| failed(format!("cannot start {}", program.to_string_lossy())).because(e))?;
    Ok(Box::new(child))
}

/// Waits until the program has ended, and checks the directory.
pub(super) fn finish(
    mut child: Box<dyn Source>,
    target: &Path,
    program: &OsStr,
    monitor: &Monitor,
) -> Result<PrepareReport> {
    let shown = program.to_string_lossy();
    drain(&mut *child, monitor)?;
    let ending =
        child.finish().map_err(|e| failed(format!("cannot wait for {shown}")).because(e))?;
    let words = ending.last_words.unwrap_or_default();
    if ending.exit != ProducerExit::Exited(0) {
        let is_silent = words.trim().is_empty();
        let why = if is_silent { format!("it {}", ending.exit) } else { words };
        return Err(failed(format!("{shown} --prepare failed")).because(why));
    }
    if !words.trim_end().ends_with("completed OK!") {
        return Err(failed(format!("{shown} --prepare did not say completed OK!")).because(words));
    }
    check(target)
}

/// Reads the output of the tool, so that the pipe does not fill up, until the tool ends or the user
/// stops it.
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

/// The contents of the checkpoints file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoints {
    pub(super) backup_type: String,
    pub(super) from_lsn: u64,
    pub(super) to_lsn: u64,
}

/// Reads the checkpoints file of a restored or prepared directory.
pub(super) fn checkpoints(target: &Path) -> Result<Checkpoints> {
    let names = ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"];
    let text = names.iter().find_map(|name| fs::read_to_string(target.join(name)).ok());
    let missing = || failed(format!("{} has no checkpoints file", target.display()));
    let text = text.ok_or_else(missing)?;
    let number = |key: &str| value(&text, key).parse().unwrap_or(0);
    let (from_lsn, to_lsn) = (number("from_lsn"), number("to_lsn"));
    Ok(Checkpoints { backup_type: value(&text, "backup_type"), from_lsn, to_lsn })
}

fn value(text: &str, key: &str) -> String {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    });
    found.unwrap_or_default()
}

/// Checks the directory after a preparation.
fn check(target: &Path) -> Result<PrepareReport> {
    let Checkpoints { backup_type, to_lsn: lsn, .. } = checkpoints(target)?;
    if backup_type != "log-applied" {
        let what = format!("the prepared directory says that it is {backup_type}, not log-applied");
        return Err(failed(what));
    }
    let infos = ["mariadb_backup_info", "xtrabackup_info"];
    let info = infos.iter().find_map(|name| fs::read_to_string(target.join(name)).ok());
    let version = info.map_or(String::new(), |text| value(&text, "tool_version"));
    Ok(PrepareReport { backup_type, lsn, version })
}
