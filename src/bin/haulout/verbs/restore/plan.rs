//! The plan of `restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use haulout::ops::restore::Devices;
use haulout::ops::restore::Losses;
use haulout::ops::restore::Unfinished;
use haulout::store::limiter::Timetable;

use crate::environment::Stream;
use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::verbs::restore::args::RestoreArguments;

/// The settings of one restore.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    /// The snapshot as the user named it.
    pub(crate) snapshot: String,
    /// The destination of the restore.
    pub(crate) target: Target,
    /// Globs of the files to restore; empty for all.
    pub(crate) include: Vec<String>,
    /// The schema that tables of a dump are written for, if not their own.
    pub(crate) into: Option<String>,
    /// The treatment of an archive's device nodes.
    pub(crate) devices: Devices,
    /// The lookup of owners, by name or by number.
    pub(crate) by_name: ByName,
    /// The treatment of a target that others can write to.
    pub(crate) shared: SharedTarget,
    /// The treatment of a restore that has not finished.
    pub(crate) unfinished: Unfinished,
    /// The treatment of files that are not whole.
    pub(crate) losses: Losses,
    /// The owner of all restored files, as it was typed.
    pub(crate) owner: Option<String>,
    /// The limit for bytes from the repository.
    pub(crate) limit: Option<Timetable>,
}

/// The treatment of a target that others can write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedTarget {
    /// The target is refused.
    Refuse,
    /// The target is used.
    Allow,
}

/// The lookup of the owners in a tar, by name or by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByName {
    /// By name, where this host knows the name.
    Yes,
    /// By number only, whatever the names.
    No,
}

/// The destination of a restore.
#[derive(Debug)]
pub(crate) enum Target {
    /// The stream goes to standard output.
    Stdout,
    /// Files in a directory; then the program, if any, prepares them.
    Directory(PathBuf, Option<OsString>),
}

/// Returns the snapshot that was named.
pub(super) fn named(snapshot: Option<String>) -> Outcome<String> {
    snapshot.ok_or_else(|| {
        Failure::usage(
            "which snapshot is to be restored is not said",
            "name it: latest, SOURCE@latest or an id",
        )
    })
}

impl RestorePlan {
    /// Builds the plan from the parsed arguments on this host.
    pub(crate) fn new(
        typed: RestoreArguments,
        common: &Common,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let into = into_schema(&typed)?;
        if typed.stdout && typed.keep_going {
            return Err(Failure::usage(
                "a stream with gaps is none: --keep-going restores files",
                "restore into a directory with --to",
            ));
        }
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
                around.require_stdout()?;
                Target::Stdout
            }
        };
        if typed.plan || typed.staging.is_some() {
            return Err(Failure::usage(
                "--plan and --staging are for --datadir, --table, --schema and --load",
                "leave them out; ls and show tell what a snapshot has",
            ));
        }
        let snapshot = named(typed.snapshot)?;
        let devices = if typed.devices { Devices::Make } else { Devices::Skip };
        let by_name = if typed.numeric_owner { ByName::No } else { ByName::Yes };
        let shared = if typed.shared_target { SharedTarget::Allow } else { SharedTarget::Refuse };
        let unfinished = if typed.resume { Unfinished::Resume } else { Unfinished::Refuse };
        let losses = if typed.keep_going { Losses::LeaveOut } else { Losses::Fail };
        let RestoreArguments { include, owner, limit, .. } = typed;
        Ok(Self {
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
            limit: limit.map(|limit| limit.0),
        })
    }
}

/// Returns the schema that tables of a dump are written for, which --include chooses.
fn into_schema(typed: &RestoreArguments) -> Outcome<Option<String>> {
    let Some(into) = &typed.into else { return Ok(None) };
    if typed.to.is_some() || typed.include.is_empty() || into.table.is_some() {
        return Err(Failure::usage(
            "--into writes parts of a backup for another schema",
            "name the parts with --table or --schema, or those of a dump with --stdout --include",
        ));
    }
    Ok(Some(into.schema.clone()))
}
