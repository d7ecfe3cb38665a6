//! Of `binlog` and what it can do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;

use crate::grammar::values::duration;
use crate::grammar::values::path;
use crate::open::consent::ConsentArguments;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db binlog list db1
  haulout binlog archive nightly

A server's binary logs hold every change between two backups. Each file that the server \
closes is stored as a snapshot of SOURCE.binlog; what it writes to is stored every \
interval.";

const ARCHIVE_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db binlog archive nightly --once
  haulout binlog archive nightly

It needs mariadb-binlog, and an account with REPLICATION SLAVE and BINLOG MONITOR. It runs \
until it is stopped, and waits for a server that is away. haulout generate systemd writes \
a unit for it.";

const LIST_EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db binlog list
  haulout -r /backup/db binlog list db1 --json

A stretch is history without a gap: a backup in it can be brought to any moment up to its \
end. Exit status 3 if there is a gap.";

const FOLLOW_EXAMPLE: &str = "\
Example:
  haulout -r /backup/db binlog follow db1 --interval 1min --state-dir /var/lib/haulout";

/// Archive the binary logs of a server, and list what is stored of them
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct BinlogArguments {
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) action: BinlogAction,
}

/// What `binlog` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum BinlogAction {
    Archive(ArchiveArguments),
    List(ListArguments),
    Follow(FollowArguments),
}

/// Store binary logs as the server writes them, until it is stopped
///
/// The server is the one of the job's source that has the key binlog, or else of its first source
/// that has a server.
#[derive(Debug, Args)]
#[command(after_long_help = ARCHIVE_EXAMPLE)]
pub(crate) struct ArchiveArguments {
    /// The name of the job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Store what there is, and end
    #[arg(long)]
    pub(crate) once: bool,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,
}

/// List the stretches of history that are stored
#[derive(Debug, Args)]
#[command(after_long_help = LIST_EXAMPLE)]
pub(crate) struct ListArguments {
    /// The source whose backups they continue [default: all that have binary logs]
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// List each file
    #[arg(long)]
    pub(crate) files: bool,
}

/// Archive the binary logs of one source
#[derive(Debug, Args)]
#[command(hide = true, after_long_help = FOLLOW_EXAMPLE)]
pub(crate) struct FollowArguments {
    /// The name of the source
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,

    /// How often the open file is stored
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = duration)]
    pub(crate) interval: Duration,

    /// The directory of what jobs remember
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub(crate) state_dir: PathBuf,

    /// File of metrics
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub(crate) metrics: Option<PathBuf>,

    /// Store what there is, and end
    #[arg(long)]
    pub(crate) once: bool,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,
}
