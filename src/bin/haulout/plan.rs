//! What the command line means on this machine: defaults filled in, contradictions refused.
//!
//! A [`Plan`] is made before anything is touched. What it depends on besides the arguments comes in
//! as [`Surroundings`], so that it can be tested.

pub(crate) mod backup;
pub(crate) mod init;
pub(crate) mod key;
mod memory;
pub(crate) mod network;
pub(crate) mod replicate;
pub(crate) mod restore;
pub(crate) mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::limiter::Timetable;
use haulout::ops::memory::AtOnce;
use haulout::ops::tag::TagChange;
use haulout::store::place::Place;

use crate::args::Common;
use crate::args::Verb;
use crate::args::cat::CatArguments;
use crate::args::snapshots::SnapshotsArguments;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::limit::Limit;
use crate::password::PasswordSource;
use crate::password::VARIABLES;
use crate::plan::backup::BackupPlan;
use crate::plan::init::NewRepository;
use crate::plan::key::KeyPlan;
use crate::plan::network::NetworkPlan;
use crate::plan::replicate::Mode;
use crate::plan::replicate::ReplicatePlan;
use crate::plan::restore::RestorePlan;
use crate::plan::verify::VerifyPlan;

/// The facts that a plan depends on besides the arguments.
pub(crate) struct Surroundings<'s> {
    /// Looks up a variable of the environment.
    pub(crate) variable: &'s dyn Fn(&str) -> Option<OsString>,
    /// Returns all variables that are text.
    pub(crate) variables: &'s dyn Fn() -> Vec<(String, String)>,
    /// The name of this host.
    pub(crate) host: String,
    /// Processors that this process may use.
    pub(crate) processors: u32,
    /// Whether standard input is a terminal.
    pub(crate) stdin: Stream,
    /// Whether standard output is a terminal.
    pub(crate) stdout: Stream,
}

/// The kind of a standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A terminal, with a person at it.
    Terminal,
    /// The stream was closed when the program was started.
    Closed,
    /// A file, a pipe, or the null device.
    Other,
}

/// The work to do, with the settings that all verbs share.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The location of the repository.
    pub(crate) place: Place,
    /// The way to reach it, if it is an object store.
    pub(crate) network: NetworkPlan,
    /// The limit for bytes to and from the repository.
    pub(crate) limit: Option<Timetable>,
    /// The source of the repository's password.
    pub(crate) password: PasswordSource,
    /// Whether files with secrets may be readable by everybody.
    pub(crate) exposed: Exposed,
    /// The directory in which this host remembers what the repository showed.
    pub(crate) state: Option<PathBuf>,
    /// A recovery kit that opens the repository instead of a password.
    pub(crate) recovery_kit: Option<PathBuf>,
    /// The amount of work done at the same time.
    pub(crate) at_once: AtOnce,
    /// The name of this host.
    pub(crate) host: String,
    /// The verb to run.
    pub(crate) job: Job,
}

/// A verb with its own settings.
#[derive(Debug)]
pub(crate) enum Job {
    /// Creates a new repository.
    Init(NewRepository),
    /// Stores a stream as a snapshot.
    Backup(BackupPlan),
    /// Lists the snapshots that match.
    Snapshots(SnapshotsArguments),
    /// Shows a snapshot, or the messages of its producer.
    Show(String, Shown),
    /// Lists the files of a snapshot that match these globs.
    Ls(String, Vec<String>),
    /// Writes a file of a snapshot to standard output.
    Cat(String, String),
    /// Compares an earlier snapshot with a later one.
    Diff(String, String),
    /// Shows what the repository holds, or what one snapshot added.
    Stats(Option<String>),
    /// Changes the tags of a snapshot.
    Tag(String, TagChange),
    /// Restores a snapshot to a directory or standard output.
    Restore(RestorePlan),
    /// Verifies some snapshots, or all.
    Verify(VerifyPlan),
    /// Makes second copies again, or prints the plan for that.
    Repair(Mode),
    /// Sends snapshots to another repository, or fetches them.
    Replicate(ReplicatePlan),
    /// Manages the keys that open the repository.
    Key(KeyPlan),
}

/// The treatment of a file with a secret that every user of this host can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposed {
    /// The file is used.
    Accepted,
    /// The file is a finding, and refused where secrets are made.
    Reported,
}

/// The part of a snapshot that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The snapshot's own facts.
    Snapshot,
    /// The messages of its producer.
    Log,
}

impl Plan {
    /// Builds the plan from the parsed arguments and the surroundings.
    pub(crate) fn new(common: Common, verb: Verb, around: &Surroundings<'_>) -> Outcome<Plan> {
        let limit = limit(&verb);
        let network = NetworkPlan::new(common.network.clone(), around.variables);
        let job = match verb {
            Verb::Init(typed) => Job::Init(NewRepository::new(&typed)),
            Verb::Backup(typed) => Job::Backup(BackupPlan::new(typed, around)?),
            Verb::Snapshots(typed) => Job::Snapshots(typed),
            Verb::Show(typed) => {
                let what = if typed.log { Shown::Log } else { Shown::Snapshot };
                Job::Show(typed.snapshot, what)
            }
            Verb::Ls(typed) => Job::Ls(typed.snapshot, typed.globs),
            Verb::Cat(typed) => cat(typed, &common, around)?,
            Verb::Diff(typed) => Job::Diff(typed.former, typed.later),
            Verb::Stats(typed) => Job::Stats(typed.snapshot),
            Verb::Tag(typed) => {
                let change = TagChange { add: typed.add, remove: typed.remove };
                Job::Tag(typed.snapshot, change)
            }
            Verb::Restore(typed) => Job::Restore(RestorePlan::new(typed, &common, around)?),
            Verb::Verify(typed) => Job::Verify(VerifyPlan::new(typed)),
            Verb::Repair(typed) => Job::Repair(if typed.plan { Mode::Plan } else { Mode::Send }),
            Verb::Replicate(typed) => {
                let memory = common.memory.0;
                Job::Replicate(ReplicatePlan::new(*typed, memory, &network, around)?)
            }
            Verb::Key(typed) => Job::Key(KeyPlan::new(typed, around)),
        };
        let place = place(common.repo.clone())?;
        let at_once = memory::at_once(&common, (&place, &job), around.processors)?;
        let password = PasswordSource::choose(
            common.password_file,
            common.password_command,
            &VARIABLES,
            around.variable,
        );
        let exposed =
            if common.insecure_permissions { Exposed::Accepted } else { Exposed::Reported };
        let (recovery_kit, state) = (common.recovery_kit, common.state);
        let (host, limit) = (around.host.clone(), limit.map(|limit| limit.0));
        Ok(Plan {
            place,
            network,
            limit,
            password,
            exposed,
            state,
            recovery_kit,
            at_once,
            host,
            job,
        })
    }
}

fn cat(typed: CatArguments, common: &Common, around: &Surroundings<'_>) -> Outcome<Job> {
    if common.json {
        return Err(Failure::usage(
            "the file is on standard output, where --json would be",
            "leave --json out and look at the exit status; haulout ls --json tells about files",
        ));
    }
    require_open(around.stdout)?;
    Ok(Job::Cat(typed.snapshot, typed.file))
}

/// Refuses to write a result to standard output if it was closed and the result would be lost.
pub(crate) fn require_open(stdout: Stream) -> Outcome<()> {
    if stdout == Stream::Closed {
        return Err(Failure::new(
            Error::new(ErrorKind::Target, "standard output is closed"),
            "send it to a file or a program; to throw it away, send it to /dev/null",
        ));
    }
    Ok(())
}

fn limit(verb: &Verb) -> Option<Limit> {
    match verb {
        Verb::Backup(typed) => typed.limit.clone(),
        Verb::Restore(typed) => typed.limit.clone(),
        Verb::Replicate(typed) => typed.limit.clone(),
        Verb::Init(_)
        | Verb::Snapshots(_)
        | Verb::Show(_)
        | Verb::Ls(_)
        | Verb::Cat(_)
        | Verb::Diff(_)
        | Verb::Stats(_)
        | Verb::Tag(_)
        | Verb::Verify(_)
        | Verb::Repair(_)
        | Verb::Key(_) => None,
    }
}

fn place(repo: Option<String>) -> Outcome<Place> {
    let Some(location) = repo.filter(|location| !location.is_empty()) else {
        return Err(Failure::usage(
            "no repository is named",
            "name it with --repo, or in the variable HAULOUT_REPO",
        ));
    };
    Place::parse(&location).map_err(|cause| {
        let message = format!("{location} is no place of a repository");
        let error = Error::new(ErrorKind::Usage, message).because(cause);
        Failure::new(error, place_hint(&location))
    })
}

/// Returns a hint with the location that was probably meant.
fn place_hint(location: &str) -> String {
    if location.starts_with('~') {
        return format!(
            "write the home directory out, or leave the shell to do it; ./{location} is a \
             directory of that name"
        );
    }
    let (scheme, rest) = location.split_once(':').unwrap_or_default();
    let rest = rest.trim_start_matches('/');
    match scheme.to_ascii_lowercase().as_str() {
        "s3" | "gs" | "az" if !rest.is_empty() && !rest.contains(['@', ':']) => {
            format!("write {}://{rest}", scheme.to_ascii_lowercase())
        }
        _ if location.contains("://") => {
            "give a path, or a URL like s3://bucket/prefix, gs://... or az://...".to_owned()
        }
        _ => format!(
            "give a path, or a URL like s3://bucket/prefix; other hosts are reached when they are \
             mounted; ./{location} is a directory of that name"
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;
    use crate::args::Command;

    /// Parses a line and plans it with these standard streams.
    pub(crate) fn plan_on(line: &str, stdin: Stream, stdout: Stream) -> Outcome<Plan> {
        let typed = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Verb(verb) = typed.command else { panic!("a verb") };
        let host = "db1".to_owned();
        let (variable, variables): (_, &dyn Fn() -> _) = (&|_: &str| None, &Vec::new);
        let around = Surroundings { variable, variables, host, processors: 8, stdin, stdout };
        Plan::new(typed.common, verb, &around)
    }

    /// Parses a line and plans it where nothing is a terminal.
    pub(crate) fn plan(line: &str) -> Outcome<Plan> {
        plan_on(line, Stream::Other, Stream::Other)
    }

    #[test]
    fn the_repository_is_a_path_or_a_url() {
        for (url, place) in [("file:///a%20b", "/a b"), ("s3://bucket/db/", "s3://bucket/db")] {
            let plan = plan(&format!("haulout -r {url} snapshots")).unwrap();
            assert_eq!(plan.place.to_string(), place);
        }
        for line in
            ["haulout -r ftp://bucket snapshots", "haulout snapshots", "haulout -r= snapshots"]
        {
            assert_eq!(plan(line).unwrap_err().kind(), ErrorKind::Usage, "{line}");
        }
    }

    #[test]
    fn what_was_probably_meant_by_an_odd_place_is_hinted_at() {
        for (place, hint) in [
            ("s3:bucket/x", "write s3://bucket/x"),
            ("S3://bucket", "write s3://bucket"),
            ("user@host:/x", "mounted"),
            ("rclone:x:y", "mounted"),
            ("C:\\x", "./C:\\x is a directory"),
            ("~/x", "home directory"),
            ("sftp://host/x", "s3://bucket/prefix"),
        ] {
            let failure = plan(&format!("haulout -r {place} snapshots")).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Usage, "{place}");
            assert!(failure.hint().contains(hint), "{place}: {}", failure.hint());
        }
    }

    #[test]
    fn a_terminal_is_neither_a_source_nor_a_target() {
        let (person, other) = (Stream::Terminal, Stream::Other);
        assert!(plan_on("haulout -r /x backup", person, other).is_err());
        assert!(plan_on("haulout -r /x backup -- cat", person, other).is_ok());
        assert!(plan_on("haulout -r /x restore latest --stdout", other, person).is_err());
        assert!(plan_on("haulout -r /x restore latest --stdout", person, other).is_ok());
        assert!(plan("haulout -r /x restore latest --stdout --json").is_err());
    }

    #[test]
    fn a_closed_stream_is_neither_a_source_nor_a_target() {
        let (closed, other) = (Stream::Closed, Stream::Other);
        for line in ["restore latest --stdout", "cat latest file"] {
            let failure = plan_on(&format!("haulout -r /x {line}"), other, closed).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Target, "{line}");
        }
        assert!(plan_on("haulout -r /x restore latest --to /y", other, closed).is_ok());
        assert!(plan_on("haulout -r /x backup", closed, other).is_err());
        assert!(plan_on("haulout -r /x backup -- cat", closed, closed).is_ok());
    }
}
