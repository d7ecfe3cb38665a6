//! What `restore` is to do.

use std::ffi::OsString;
use std::path::PathBuf;

use haulout::ops::restore::Devices;
use haulout::ops::restore::Losses;
use haulout::ops::restore::Unfinished;

use crate::args::Common;
use crate::args::restore::RestoreArguments;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::plan::Stream;
use crate::plan::Surroundings;
use crate::plan::require_open;

/// A restore.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    /// Which snapshot.
    pub(crate) snapshot: String,
    /// Where to.
    pub(crate) target: Target,
    /// Only these files, if any are named.
    pub(crate) include: Vec<String>,
    /// The schema that tables of a dump are written for, if not their own.
    pub(crate) into: Option<String>,
    /// Whether device nodes are made.
    pub(crate) devices: Devices,
    /// Whether names of owners count.
    pub(crate) by_name: ByName,
    /// What happens with a target that others can write to.
    pub(crate) shared: SharedTarget,
    /// What happens with a restore that has not finished.
    pub(crate) unfinished: Unfinished,
    /// What happens with files that are not whole.
    pub(crate) losses: Losses,
    /// Whom all of it is to belong to, as it was typed.
    pub(crate) owner: Option<String>,
}

/// What happens with a target that others can write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedTarget {
    /// It is refused.
    Refuse,
    /// It is used.
    Allow,
}

/// Whether the owners in a tar are found by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByName {
    /// They are, where this host knows them.
    Yes,
    /// By number only.
    No,
}

/// Where a restore goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// Files in a directory; then this program prepares them.
    Directory(PathBuf, Option<OsString>),
}

impl RestorePlan {
    /// What was typed, on this machine.
    pub(crate) fn new(
        typed: RestoreArguments,
        common: &Common,
        around: &Surroundings<'_>,
    ) -> Outcome<RestorePlan> {
        let target = match typed.to {
            Some(directory) => {
                Target::Directory(directory, typed.prepare.then_some(typed.prepare_program))
            }
            None if common.json => {
                return Err(Failure::usage(
                    "with --stdout the stream is on standard output, where --json would be",
                    "leave --json out and look at the exit status",
                ));
            }
            None if around.stdout == Stream::Terminal => {
                return Err(Failure::usage(
                    "standard output is a terminal",
                    "send the stream to a file or a program, or restore into a directory with --to",
                ));
            }
            None => {
                require_open(around.stdout)?;
                Target::Stdout
            }
        };
        let devices = if typed.devices { Devices::Make } else { Devices::Skip };
        let by_name = if typed.numeric_owner { ByName::No } else { ByName::Yes };
        let shared = if typed.shared_target { SharedTarget::Allow } else { SharedTarget::Refuse };
        let unfinished = if typed.resume { Unfinished::Resume } else { Unfinished::Refuse };
        let losses = if typed.keep_going { Losses::LeaveOut } else { Losses::Fail };
        let RestoreArguments { snapshot, include, into, owner, .. } = typed;
        Ok(RestorePlan {
            snapshot,
            target,
            include,
            into,
            devices,
            by_name,
            shared,
            unfinished,
            losses,
            owner,
        })
    }
}
