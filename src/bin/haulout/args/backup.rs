//! Of `backup`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use haulout::encode::Level;
use haulout::format::snapshot::StreamFormat;
use haulout::ops::findings::ACCEPTED_BYTES_MAX;
use haulout::verdict::finding::Acceptance;
use haulout::verdict::finding::NoAcceptance;

use crate::args::values::duration;
use crate::args::values::source_name;
use crate::args::values::tag;
use crate::limit::Limit;
use crate::units::ByteCount;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db backup --tag nightly -- mariabackup --backup --stream=mbstream
  haulout -r /backup/db backup -- mariadb-dump --all-databases --single-transaction
  haulout -r /backup/db backup --source shop < full.mbs

Let haulout run the producer where you can: from a shell's pipe its exit status can't be seen, and
the snapshot is at best \"unattested\". Without a name, the source is called after this host and the
command (db1-mariabackup), or db1-stdin.";

/// Store a stream as a snapshot
///
/// Runs COMMAND and reads its standard output; without COMMAND, reads standard input. The
/// stream of `mariabackup --stream=mbstream` is taken apart into files and pages and checked, a
/// dump of `mariadb-dump` or `mysqldump` into tables, a tar into its files; any other stream
/// is stored as it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct BackupArguments {
    /// Name of what is backed up; its snapshots are compared with one another
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub(crate) source: Option<String>,

    /// What the stream is
    ///
    /// `auto` tells it from the first bytes. A stream that is not what it is said to be is kept as
    /// what it looks like, and its snapshot is partial. `raw` keeps anything as one member, unread.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) format: Format,

    /// A word to attach; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    pub(crate) tags: Vec<String>,

    /// Accept findings of this code from now on; may be repeated
    ///
    /// CODE:GLOB accepts those whose object matches GLOB. An accepted warning is shown as a note
    /// and no longer leads to exit status 3. The snapshot records it, and later backups of this
    /// source take it over. `none` revokes what earlier backups accepted; what else is given in
    /// the same command holds. `haulout help errors` explains the codes.
    #[arg(long, value_name = "CODE[:GLOB]", value_parser = acceptance)]
    pub(crate) accept: Vec<Acceptable>,

    /// zstd level of what is new, -7 to 19, or auto
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "auto",
        allow_hyphen_values = true,
        value_parser = compression
    )]
    pub(crate) compression: Compression,

    /// Do not decode and compare what was encoded before it is stored
    ///
    /// Reading back catches a faulty processor or memory before the damage is in the only copy.
    #[arg(long)]
    pub(crate) no_read_back: bool,

    /// Publish a checkpoint after so much of the stream [default: 64GiB]
    ///
    /// A run that is killed goes on from its last checkpoint.
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub(crate) checkpoint_bytes: Option<ByteCount>,

    /// Publish a checkpoint after so long [default: 15min]
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = duration)]
    pub(crate) checkpoint_time: Option<Duration>,

    /// How long the producer may still run after its stream has ended [default: 1min]
    ///
    /// One that runs for longer is ended, and the snapshot is partial.
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = duration)]
    pub(crate) grace: Option<Duration>,

    /// Bytes a second to the repository: 10MiB, or a timetable
    ///
    /// A timetable is 'mon-fri 08:00-18:00 5MiB, 80MiB': the first entry that has the moment, by
    /// the local clock, decides; "unlimited" is a rate too. On an object store no second exceeds
    /// the limit; on a directory the mean does not.
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

/// A value of `--accept`.
#[derive(Debug, Clone)]
pub(crate) enum Acceptable {
    /// What was accepted before is revoked.
    None,
    /// This is accepted.
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
    /// What was said, if anything.
    pub(crate) fn asked(self) -> Option<StreamFormat> {
        match self {
            Format::Auto => None,
            Format::Mbstream => Some(StreamFormat::Mbstream),
            Format::Sql => Some(StreamFormat::Sql),
            Format::Tar => Some(StreamFormat::Tar),
            Format::Raw => Some(StreamFormat::Raw),
        }
    }
}
