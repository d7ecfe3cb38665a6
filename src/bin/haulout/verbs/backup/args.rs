//! Of `backup`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;
use haulout::ops::accept::ACCEPTED_BYTES_MAX;
use haulout::ops::backup::Level;
use haulout::repo::StreamFormat;
use haulout::verdict::finding::Acceptance;
use haulout::verdict::finding::NoAcceptance;

use crate::grammar::limit::Limit;
use crate::grammar::values::duration;
use crate::grammar::values::path;
use crate::grammar::values::source_name;
use crate::grammar::values::tag;
use crate::output::units::ByteCount;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db backup -- mariabackup --backup --stream=mbstream
  haulout -r /backup/db backup -- mariadb-dump -A --single-transaction
  haulout -r /backup/db backup --source shop < full.mbs

Let haulout start the producer: of a pipe it sees no exit status (unattested).";

/// Store a stream as a snapshot
///
/// Runs COMMAND and reads its standard output; without COMMAND, reads standard input. The
/// stream of `mariabackup --stream=mbstream` is taken apart into files and pages and checked, a
/// dump of `mariadb-dump` or `mysqldump` into tables, a tar into its files; any other stream
/// is stored as it is.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct BackupArguments {
    /// Name of what is backed up [default: HOST-PROGRAM]
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub(crate) source: Option<String>,

    /// The stream's format: auto, mbstream, sql, tar or raw [default: auto]
    ///
    /// `auto` detects it from the first bytes; `raw` stores any stream as one member. A stream of
    /// another format is stored as what it is, and the snapshot is partial.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) format: Format,

    /// Attach this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,

    /// Accept findings of this code (haulout help errors); may be repeated
    ///
    /// CODE:GLOB accepts those whose object matches GLOB. An accepted warning is a note and does
    /// not lead to exit status 3, in later backups of this source either; `none` revokes.
    #[arg(long, value_name = "CODE[:GLOB]", value_parser = acceptance)]
    pub(crate) accept: Vec<Acceptable>,

    /// zstd level for new data: -7 to 19, or auto [default: auto]
    ///
    /// `auto` is the fastest that pays, and a higher one while the producer is slow.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "auto",
        hide_default_value = true,
        allow_hyphen_values = true,
        value_parser = compression
    )]
    pub(crate) compression: Compression,

    /// Do not decode and compare encoded data before it is stored
    #[arg(long, hide_short_help = true)]
    pub(crate) no_read_back: bool,

    /// Publish a checkpoint after this much of the stream [default: 64GiB]
    ///
    /// After a kill the next run continues from the last checkpoint.
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) checkpoint_bytes: Option<ByteCount>,

    /// Publish a checkpoint after this time [default: 15min]
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = duration)]
    pub(crate) checkpoint_time: Option<Duration>,

    /// How long the producer may run after its stream, then it is ended [default: 1min]
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = duration)]
    pub(crate) grace: Option<Duration>,

    /// Directory of the spool for mariabackup's last stage [default: TMPDIR]
    #[arg(long, value_name = "DIR", hide_short_help = true, value_parser = path())]
    pub(crate) spool: Option<PathBuf>,

    /// Size limit of the spool [default: 4GiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) spool_size: Option<ByteCount>,

    /// Longest standstill of that stage on a Galera node [default: 1min]
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = duration)]
    pub(crate) stall_limit: Option<Duration>,

    /// Ask the server of the source: jobs do (haulout help config)
    #[arg(long, hide_short_help = true)]
    pub(crate) ask_server: bool,

    /// Limit the upload, in bytes a second: 10MiB, or a timetable
    ///
    /// In a timetable, 'mon-fri 08:00-18:00 5MiB, 80MiB', the first entry that matches the local
    /// time applies; the rate may be "unlimited".
    #[arg(long, value_name = "RATE")]
    pub(crate) limit: Option<Limit>,

    /// The producer and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// A level of compression as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression(pub(crate) Level);

fn compression(text: &str) -> Result<Compression, String> {
    let refusal = || "it is neither auto nor a number from -7 to 19".to_owned();
    if text == "auto" {
        return Ok(Compression(Level::AUTO));
    }
    let number = text.parse().map_err(|_| refusal())?;
    Level::new(number).map(Compression).ok_or_else(refusal)
}

/// A parsed value of `--accept`.
#[derive(Debug, Clone)]
pub(crate) enum Acceptable {
    /// Revokes what was accepted before.
    None,
    /// Accepts findings from now on.
    Some(Acceptance),
}

fn acceptance(text: &str) -> Result<Acceptable, String> {
    if text == "none" {
        return Ok(Acceptable::None);
    }
    if text.len() > ACCEPTED_BYTES_MAX {
        return Err(format!("it is longer than {ACCEPTED_BYTES_MAX} bytes"));
    }
    text.parse().map(Acceptable::Some).map_err(|why| match why {
        NoAcceptance::UnknownCode => {
            "there is no such code; haulout help errors lists them".to_owned()
        }
        NoAcceptance::NotAcceptable => {
            let code = text.split(':').next().unwrap_or_default();
            format!("{code} can't be accepted; haulout help errors says what to do about it")
        }
        NoAcceptance::NoGlob => "what follows the colon is no glob".to_owned(),
    })
}

/// What a stream is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Told from its first bytes
    Auto,
    /// Of mariabackup, or Percona's xbstream
    Mbstream,
    /// A dump of mariadb-dump or mysqldump
    Sql,
    /// Of tar: ustar, pax or GNU
    Tar,
    /// Anything
    Raw,
}

impl Format {
    /// Returns the declared format, if one was given.
    pub(crate) fn asked(self) -> Option<StreamFormat> {
        match self {
            Self::Auto => None,
            Self::Mbstream => Some(StreamFormat::Mbstream),
            Self::Sql => Some(StreamFormat::Sql),
            Self::Tar => Some(StreamFormat::Tar),
            Self::Raw => Some(StreamFormat::Raw),
        }
    }
}
