//! What the command line means on this machine: defaults filled in, contradictions refused.
//!
//! A [`Plan`] is made before anything is touched. What it depends on besides the arguments comes in
//! as [`Surroundings`], so that it can be tested.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::encode::Level;
use haulout::encode::ReadBack;
use haulout::ops::backup::CHECKPOINT_BYTES;
use haulout::ops::backup::CHECKPOINT_SECONDS;
use haulout::ops::verify::Depth;
use haulout::store::local::path_of;

use crate::args::Arguments;
use crate::args::BackupArguments;
use crate::args::Common;
use crate::args::DepthName;
use crate::args::RestoreArguments;
use crate::args::Verb;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::password::PasswordSource;
use crate::units::ByteCount;

/// Less than this and nothing runs.
const MEMORY_MIN: ByteCount = ByteCount(96 << 20);
/// What a run uses besides its workers (the table in `pipeline`).
const MEMORY_FIXED: u64 = 120 << 20;
/// What each worker uses.
const MEMORY_PER_WORKER: u64 = 8 << 20;
/// More tags than this don't fit into a snapshot together with everything else.
const TAGS_MAX: usize = 32;

/// What there is besides the arguments.
pub(crate) struct Surroundings<'s> {
    /// The environment.
    pub(crate) variable: &'s dyn Fn(&str) -> Option<OsString>,
    /// The name of this host.
    pub(crate) host: String,
    /// Processors that this process may use.
    pub(crate) processors: u32,
    /// Whether standard input is a terminal.
    pub(crate) stdin: Stream,
    /// Whether standard output is.
    pub(crate) stdout: Stream,
}

/// What is behind one of the standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A person.
    Terminal,
    /// A file, a pipe, nothing.
    Other,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the repository is.
    pub(crate) place: PathBuf,
    /// Where its password comes from.
    pub(crate) password: PasswordSource,
    /// Worker threads.
    pub(crate) workers: u32,
    /// This host.
    pub(crate) host: String,
    /// The verb.
    pub(crate) job: Job,
}

/// A verb with all it needs.
#[derive(Debug)]
pub(crate) enum Job {
    /// Make a repository.
    Init(NewRepository),
    /// Back up.
    Backup(BackupPlan),
    /// List snapshots.
    Snapshots,
    /// Show a snapshot.
    Show(String),
    /// Restore one.
    Restore(RestorePlan),
    /// Verify some, or all.
    Verify(VerifyPlan),
}

/// How a new repository is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRepository {
    /// With a password.
    Encrypted,
    /// Not at all.
    Clear,
}

/// A backup.
#[derive(Debug)]
pub(crate) struct BackupPlan {
    /// The lineage.
    pub(crate) source: String,
    /// Words to attach.
    pub(crate) tags: Vec<String>,
    /// How new blocks are compressed.
    pub(crate) level: Level,
    /// Whether what is encoded is read back.
    pub(crate) read_back: ReadBack,
    /// Bytes between checkpoints.
    pub(crate) checkpoint_bytes: u64,
    /// Seconds between checkpoints.
    pub(crate) checkpoint_seconds: u64,
    /// The producer; empty to read standard input.
    pub(crate) command: Vec<OsString>,
}

/// A restore.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    /// Which snapshot.
    pub(crate) snapshot: String,
    /// Where to.
    pub(crate) target: Target,
    /// Only these files, if any are named.
    pub(crate) include: Vec<String>,
}

/// Where a restore goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// Files in a directory; then this program prepares them.
    Directory(PathBuf, Option<OsString>),
}

/// A verification.
#[derive(Debug)]
pub(crate) struct VerifyPlan {
    /// Which snapshots; none stands for all.
    pub(crate) snapshots: Vec<String>,
    /// How deep.
    pub(crate) depth: Depth,
}

impl Plan {
    /// What `typed` means here.
    pub(crate) fn new(typed: Arguments, around: &Surroundings<'_>) -> Outcome<Plan> {
        let Arguments { common, verb } = typed;
        let job = match verb {
            Verb::Init(init) if init.no_encryption => Job::Init(NewRepository::Clear),
            Verb::Init(_) => Job::Init(NewRepository::Encrypted),
            Verb::Backup(backup) => Job::Backup(BackupPlan::new(backup, around)?),
            Verb::Snapshots => Job::Snapshots,
            Verb::Show(show) => Job::Show(show.snapshot),
            Verb::Restore(restore) => {
                Job::Restore(RestorePlan::new(restore, &common, around.stdout)?)
            }
            Verb::Verify(verify) => {
                let depth = depth(verify.depth);
                Job::Verify(VerifyPlan { snapshots: verify.snapshots, depth })
            }
        };
        let workers = workers(&common, around.processors)?;
        let place = place(common.repo)?;
        let password =
            PasswordSource::choose(common.password_file, common.password_command, around.variable);
        Ok(Plan { place, password, workers, host: around.host.clone(), job })
    }
}

fn place(repo: Option<String>) -> Outcome<PathBuf> {
    let Some(location) = repo.filter(|location| !location.is_empty()) else {
        return Err(Failure::usage(
            "no repository is named",
            "name it with --repo, or in the variable HAULOUT_REPO",
        ));
    };
    path_of(&location).map_err(|cause| {
        let message = format!("{location} is no place of a repository");
        let error = Error::new(ErrorKind::Usage, message).because(cause);
        Failure::new(error, "give a path, or a URL like file:///backup/db")
    })
}

fn workers(common: &Common, processors: u32) -> Outcome<u32> {
    if common.memory < MEMORY_MIN {
        return Err(Failure::usage(
            format!("--memory {} is too little", common.memory),
            format!("give at least {MEMORY_MIN}"),
        ));
    }
    let affordable = common.memory.0.saturating_sub(MEMORY_FIXED) / MEMORY_PER_WORKER;
    let affordable = u32::try_from(affordable).unwrap_or(u32::MAX).max(1);
    Ok(common.threads.unwrap_or(processors).clamp(1, affordable))
}

fn depth(name: DepthName) -> Depth {
    match name {
        DepthName::Objects => Depth::Objects,
        DepthName::Stored => Depth::Stored,
        DepthName::Blocks => Depth::Blocks,
        DepthName::Pages => Depth::Pages,
    }
}

impl BackupPlan {
    fn new(typed: BackupArguments, around: &Surroundings<'_>) -> Outcome<BackupPlan> {
        if typed.command.is_empty() && around.stdin == Stream::Terminal {
            return Err(Failure::usage(
                "backup reads a stream from standard input, which is a terminal",
                "let haulout run the producer: haulout backup -- mariabackup --backup \
                 --stream=mbstream",
            ));
        }
        if typed.tags.len() > TAGS_MAX {
            return Err(Failure::usage(
                format!("{} tags are too many", typed.tags.len()),
                format!("give at most {TAGS_MAX}"),
            ));
        }
        let source = typed.source.unwrap_or_else(|| default_source(&around.host, &typed.command));
        Ok(BackupPlan {
            source,
            tags: typed.tags,
            level: typed.compression.0,
            read_back: if typed.no_read_back { ReadBack::Off } else { ReadBack::On },
            checkpoint_bytes: typed.checkpoint_bytes.map_or(CHECKPOINT_BYTES, |bytes| bytes.0),
            checkpoint_seconds: typed.checkpoint_seconds.unwrap_or(CHECKPOINT_SECONDS),
            command: typed.command,
        })
    }
}

/// Host and program: two producers on one host have nothing in common.
fn default_source(host: &str, command: &[OsString]) -> String {
    let program = command.first().and_then(|program| Path::new(program).file_name());
    let program = program.map_or("stdin".into(), |program| program.to_string_lossy());
    // What a typed name may not have: see `args`.
    format!("{host}-{program}").replace(|c: char| c == '@' || c.is_control(), "-")
}

impl RestorePlan {
    fn new(typed: RestoreArguments, common: &Common, stdout: Stream) -> Outcome<RestorePlan> {
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
            None if stdout == Stream::Terminal => {
                return Err(Failure::usage(
                    "standard output is a terminal",
                    "send the stream to a file or a program, or restore into a directory with --to",
                ));
            }
            None => Target::Stdout,
        };
        Ok(RestorePlan { snapshot: typed.snapshot, target, include: typed.include })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn plan_on(line: &str, stdin: Stream, stdout: Stream) -> Outcome<Plan> {
        let typed = Arguments::try_parse_from(line.split(' ')).unwrap();
        let host = "db1".to_owned();
        let around = Surroundings { variable: &|_| None, host, processors: 8, stdin, stdout };
        Plan::new(typed, &around)
    }

    fn plan(line: &str) -> Outcome<Plan> {
        plan_on(line, Stream::Other, Stream::Other)
    }

    fn backup(line: &str) -> BackupPlan {
        let Job::Backup(backup) = plan(line).unwrap().job else { panic!("a backup") };
        backup
    }

    #[test]
    fn memory_bounds_the_workers() {
        for (options, workers) in [
            ("", 8),
            ("--threads 2", 2),
            ("--memory 96MiB", 1),
            ("--memory 144M", 3),
            ("--memory 1G --threads 1000", 113),
        ] {
            let line = format!("haulout -r /x snapshots {options}");
            assert_eq!(plan(line.trim_end()).unwrap().workers, workers, "{options}");
        }
        let failure = plan("haulout -r /x snapshots --memory 95M").unwrap_err();
        assert_eq!(failure.message(), "--memory 95.0 MiB is too little");
        assert_eq!(failure.hint(), "give at least 96.0 MiB");
    }

    #[test]
    fn the_source_is_called_after_host_and_program() {
        for (line, source) in [
            ("haulout -r /x backup", "db1-stdin"),
            ("haulout -r /x backup -- /usr/bin/mariabackup --backup", "db1-mariabackup"),
            ("haulout -r /x backup -- ./dump@home", "db1-dump-home"),
            ("haulout -r /x backup --source shop -- cat", "shop"),
        ] {
            assert_eq!(backup(line).source, source, "{line}");
        }
    }

    #[test]
    fn the_repository_is_a_path_or_a_file_url() {
        assert_eq!(plan("haulout -r file:///a%20b snapshots").unwrap().place, Path::new("/a b"));
        for line in
            ["haulout -r s3://bucket snapshots", "haulout snapshots", "haulout -r= snapshots"]
        {
            assert_eq!(plan(line).unwrap_err().kind(), ErrorKind::Usage, "{line}");
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
    fn as_many_tags_as_fit() {
        let line = format!("haulout -r /x backup{}", " --tag t".repeat(TAGS_MAX));
        assert_eq!(backup(&line).tags.len(), TAGS_MAX);
        assert!(plan(&(line + " --tag t")).is_err());
    }
}
