//! Runs commands of this program as the user that will run the job, with the rights that its unit
//! will have: what is tested is what will happen at night.
//!
//! Source: `setpriv(1)` of util-linux, which keeps a capability beyond the change of the user.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process;
use std::process::Command;
use std::process::Stdio;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::restore::Ownership;
use haulout::ops::restore::accounts::Accounts;
use haulout::shared::entries::entries;
use serde_json::Value;

use crate::environment::PARENT_VARIABLE;
use crate::environment::is_program;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

const SETPRIV: &str = "setpriv";

/// The user that runs the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Name or number of the user, as it was typed.
    pub(crate) user: String,
    owner: Ownership,
    /// Whether this process is another user's.
    is_other: bool,
}

/// What a command has printed, and its exit status.
#[derive(Debug)]
pub(crate) struct Answered {
    /// Its JSON on standard output.
    pub(crate) json: Value,
    /// Its exit status, if no signal ended it.
    pub(crate) status: Option<i32>,
}

impl Answered {
    /// Returns the error that the command has printed, if it did.
    pub(crate) fn error(&self) -> Option<String> {
        let error = &self.json["error"];
        let message = error["message"].as_str()?.to_owned();
        let causes = error["causes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Some(causes.fold(message, |text, cause| format!("{text}: {cause}")))
    }

    /// Returns the kind of that error.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.json["error"]["kind"].as_str()
    }
}

impl Actor {
    /// Looks the user up; says what is wrong if this process can't act as that user.
    pub(crate) fn new(user: &str) -> Result<Self, String> {
        let owner = Accounts::of_this_host().owner(user)?;
        let own = rustix::process::geteuid();
        let is_other = own.as_raw() != owner.user;
        if is_other && !own.is_root() {
            return Err(format!("this process is not {user}'s: run it as root or as {user}"));
        }
        if is_other && !is_program(SETPRIV) {
            return Err(format!("acting as {user} needs setpriv, of the package util-linux"));
        }
        Ok(Self { user: user.to_owned(), owner, is_other })
    }

    /// Returns a command of this program with a configuration, as the user.
    pub(crate) fn command(&self, config: &Path, reads: Reads) -> Outcome<Command> {
        let program = env::current_exe().map_err(not_started)?;
        let mut command = if self.is_other {
            let mut command = Command::new(SETPRIV);
            command.arg(format!("--reuid={}", self.owner.user));
            let group = self.owner.group.map(|group| format!("--regid={group}"));
            command.args(group).arg("--init-groups");
            if reads == Reads::All {
                let kept = "+dac_read_search";
                command
                    .arg(format!("--inh-caps=-all,{kept}"))
                    .arg(format!("--ambient-caps={kept}"));
            } else {
                command.arg("--inh-caps=-all");
            }
            command.arg("--").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("--config").arg(config);
        // It ends with this process.
        command.env(PARENT_VARIABLE, process::id().to_string());
        Ok(command)
    }

    /// Runs such a command, whose messages are not shown, and returns what it has printed.
    pub(crate) fn ask(&self, config: &Path, arguments: &[&str]) -> Outcome<Answered> {
        let mut command = self.command(config, Reads::Own)?;
        command.args(["--json", "--quiet"]).args(arguments);
        let output = command.stdin(Stdio::null()).output().map_err(not_started)?;
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(Answered { json, status: output.status.code() })
    }

    /// Gives a file or directory to the user.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        if !self.is_other {
            return Ok(());
        }
        chown(path, Some(self.owner.user), self.owner.group)
    }

    /// Makes a directory of the user's, which only the user can look into. One that has nothing in
    /// it becomes such; any other one is left as it is.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() && entries(path)?.next().is_some() {
            return Ok(());
        }
        make_parents(path)?;
        if !path.is_dir() {
            fs::create_dir(path)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        self.own(path)
    }
}

/// Makes the directories above a file that are missing, so that every user can pass through them,
/// whatever the mask of this process is.
pub(crate) fn make_parents(path: &Path) -> io::Result<()> {
    let above = path.parent().map(Path::ancestors).into_iter().flatten();
    let missing: Vec<&Path> = above.take_while(|directory| !directory.exists()).collect();
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The files that a command may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Those that the user may read.
    Own,
    /// Those of all users, as a source of kind `files` needs.
    All,
}

/// Explains that a command could not be started.
pub(crate) fn not_started(error: io::Error) -> Failure {
    Error::new(ErrorKind::Source, "cannot start this program once more").because(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_is_unknown_is_refused() {
        let refused = Actor::new("no-such-user-here").unwrap_err();
        assert!(refused.contains("no-such-user-here"), "{refused}");
        let own = rustix::process::geteuid().as_raw().to_string();
        assert!(!Actor::new(&own).unwrap().is_other);
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_as_it_is() {
        let top = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let own = rustix::process::geteuid().as_raw().to_string();
        let actor = Actor::new(&own).unwrap();
        let (above, inner) = (top.path().join("a/b"), top.path().join("a/b/c"));
        actor.make_directory(&inner).unwrap();
        assert_eq!((mode(&above), mode(&inner)), (0o755, 0o700));
        for (file, expected) in [(None, 0o700), (Some("x"), 0o711)] {
            fs::set_permissions(&inner, fs::Permissions::from_mode(0o711)).unwrap();
            file.iter().for_each(|name| fs::write(inner.join(name), "").unwrap());
            actor.make_directory(&inner).unwrap();
            assert_eq!(mode(&inner), expected);
        }
    }
}
