//! The plan of `backup`.

use std::ffi::OsString;
use std::path::Path;
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
use haulout::store::limiter::Timetable;

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
    /// The command line of the producer; empty to read standard input.
    pub(crate) command: Vec<OsString>,
    /// The limit for bytes to the repository.
    pub(crate) limit: Option<Timetable>,
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
            command: typed.command,
            limit: typed.limit.map(|limit| limit.0),
        })
    }
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
    fn as_many_tags_as_fit() {
        let line = format!("backup{}", " --tag t".repeat(TAGS_MAX));
        assert_eq!(backup(&line).tags.len(), TAGS_MAX);
        assert!(plan(&(line + " --tag t")).is_err());
    }
}
