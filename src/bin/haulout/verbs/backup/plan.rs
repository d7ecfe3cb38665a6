//! The plan of `backup`.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::accept::ACCEPTED_MAX;
use haulout::ops::accept::Accept;
use haulout::ops::accept::AcceptedBefore;
use haulout::ops::backup::CHECKPOINT_BYTES;
use haulout::ops::backup::CHECKPOINT_SECONDS;
use haulout::ops::backup::Level;
use haulout::ops::backup::ReadBack;
use haulout::repo::StreamFormat;
use haulout::source::child::GRACE;
use haulout::source::outlet::SPOOL_BYTES;
use haulout::source::outlet::STALL_LIMIT;
use haulout::store::limiter::Timetable;

use crate::config::tree::Table;
use crate::environment::Stream;
use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::verbs::backup::args::Acceptable;
use crate::verbs::backup::args::BackupArguments;

/// More tags than this don't fit into a snapshot together with everything else.
const TAGS_MAX: usize = 32;

/// The settings of one backup.
#[derive(Debug)]
pub(crate) struct BackupPlan {
    /// The name of the source, which is the lineage of the snapshot.
    pub(crate) source: String,
    /// The declared format of the stream, if one was given.
    pub(crate) format: Option<StreamFormat>,
    /// Tags to attach to the snapshot.
    pub(crate) tags: Vec<String>,
    /// The findings that are accepted.
    pub(crate) accept: Accept,
    /// The compression level of new blocks.
    pub(crate) level: Level,
    /// The read-back of encoded blocks, on or off.
    pub(crate) read_back: ReadBack,
    /// Number of bytes between checkpoints.
    pub(crate) checkpoint_bytes: u64,
    /// Number of seconds between checkpoints.
    pub(crate) checkpoint_seconds: u64,
    /// The time that the producer may run after its stream has ended.
    pub(crate) grace: Duration,
    /// The rules for the stage in which the producer's server stands still.
    pub(crate) stage: StagePlan,
    /// The command line of the producer; empty to read standard input.
    pub(crate) command: Vec<OsString>,
    /// The section of the source, if its server is asked.
    pub(crate) asks: Option<Table>,
    /// The limit for bytes to the repository.
    pub(crate) limit: Option<Timetable>,
}

/// The rules for the stage in which a producer's server stands still.
#[derive(Debug)]
pub(crate) struct StagePlan {
    /// The directory of the spool, if one was given.
    pub(crate) spool: Option<PathBuf>,
    /// Number of bytes that the spool takes at most.
    pub(crate) spool_bytes: u64,
    /// The time for which the stage may stand still.
    pub(crate) stall_limit: Duration,
}

impl BackupPlan {
    /// Builds the plan from the parsed arguments on this host.
    pub(crate) fn new(typed: BackupArguments, around: &Surroundings<'_>) -> Outcome<Self> {
        if typed.command.is_empty() && around.stdin == Stream::Terminal {
            return Err(Failure::usage(
                "backup reads a stream from standard input, which is a terminal",
                "let haulout run the producer: haulout backup -- mariabackup --backup \
                 --stream=mbstream",
            ));
        }
        if typed.command.is_empty() && around.stdin == Stream::Closed {
            return Err(Failure::new(
                Error::new(ErrorKind::Source, "standard input is closed"),
                "send a stream to it, or let haulout run the producer: haulout backup -- COMMAND",
            ));
        }
        if typed.tags.len() > TAGS_MAX {
            return Err(Failure::usage(
                format!("{} tags are too many", typed.tags.len()),
                format!("give at most {TAGS_MAX}"),
            ));
        }
        let source = typed.source.unwrap_or_else(|| default_source(&around.host, &typed.command));
        let asks = if typed.ask_server { Some(section(&source, around)?) } else { None };
        Ok(Self {
            source,
            format: typed.format.asked(),
            tags: typed.tags,
            accept: accept(typed.accept)?,
            level: typed.compression.0,
            read_back: if typed.no_read_back { ReadBack::Off } else { ReadBack::On },
            checkpoint_bytes: typed.checkpoint_bytes.map_or(CHECKPOINT_BYTES, |bytes| bytes.0),
            checkpoint_seconds: typed
                .checkpoint_time
                .map_or(CHECKPOINT_SECONDS, |time| time.as_secs()),
            grace: typed.grace.unwrap_or(GRACE),
            stage: StagePlan {
                spool: typed.spool,
                spool_bytes: typed.spool_size.map_or(SPOOL_BYTES, |bytes| bytes.0),
                stall_limit: typed.stall_limit.unwrap_or(STALL_LIMIT),
            },
            command: typed.command,
            asks,
            limit: typed.limit.map(|limit| limit.0),
        })
    }
}

/// Returns the section that the configuration has for a source.
fn section(source: &str, around: &Surroundings<'_>) -> Outcome<Table> {
    (around.source)(source).ok_or_else(|| {
        Failure::usage(
            format!("the configuration has no source {source}, whose server --ask-server asks"),
            "name a source of the configuration with --source, or leave the option out",
        )
    })
}

/// Combines the values of `--accept`; `none` is about earlier backups, wherever it stands.
fn accept(typed: Vec<Acceptable>) -> Outcome<Accept> {
    let mut accept = Accept::default();
    for one in typed {
        match one {
            Acceptable::None => accept.previous = AcceptedBefore::Revoked,
            Acceptable::Some(acceptance) => accept.added.push(acceptance),
        }
    }
    if accept.added.len() > ACCEPTED_MAX {
        return Err(Failure::usage(
            format!("too many --accept ({})", accept.added.len()),
            format!("give at most {ACCEPTED_MAX}; a glob covers many objects"),
        ));
    }
    Ok(accept)
}

/// Joins host and program: two producers on one host have nothing in common.
fn default_source(host: &str, command: &[OsString]) -> String {
    let program = command.first().and_then(|program| Path::new(program).file_name());
    let program = program.map_or("stdin".into(), |program| program.to_string_lossy());
    // What a typed name may not have: see `args`.
    format!("{host}-{program}").replace(|c: char| c == '@' || c.is_control(), "-")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        backup: BackupArguments,
    }

    fn plan(line: &str) -> Outcome<BackupPlan> {
        let typed = Line::try_parse_from(line.split(' ')).unwrap();
        let around = Surroundings::of_a_test(Stream::Other, Stream::Other);
        BackupPlan::new(typed.backup, &around)
    }

    fn backup(line: &str) -> BackupPlan {
        plan(line).unwrap()
    }

    #[test]
    fn the_source_is_called_after_host_and_program() {
        for (line, source) in [
            ("backup", "db1-stdin"),
            ("backup -- /usr/bin/mariabackup --backup", "db1-mariabackup"),
            ("backup -- ./dump@home", "db1-dump-home"),
            ("backup --source shop -- cat", "shop"),
        ] {
            assert_eq!(backup(line).source, source, "{line}");
        }
    }

    #[test]
    fn earlier_acceptances_are_revoked_by_the_word_none() {
        let accept = backup("backup --accept foreign-text --accept none").accept;
        assert_eq!(accept.previous, AcceptedBefore::Revoked);
        assert_eq!(accept.added.len(), 1);
        let accept = backup("backup --accept lost-members:shop/*").accept;
        assert_eq!(accept.previous, AcceptedBefore::Kept);
        assert_eq!(accept.added[0].as_str(), "lost-members:shop/*");
    }

    #[test]
    fn a_server_is_asked_of_a_source_of_the_configuration_only() {
        assert!(backup("backup --source shop -- cat").asks.is_none());
        let refused = plan("backup --source shop --ask-server -- cat").unwrap_err();
        assert!(refused.line().contains("no source shop"), "{}", refused.line());
    }

    #[test]
    fn as_many_tags_as_fit() {
        let line = format!("backup{}", " --tag t".repeat(TAGS_MAX));
        assert_eq!(backup(&line).tags.len(), TAGS_MAX);
        assert!(plan(&(line + " --tag t")).is_err());
    }
}
