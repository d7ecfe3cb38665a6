//! Of `show`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db show shop@latest
  haulout -r /backup/db show 77b0c1d2 --log";

/// Show what is known about a snapshot
///
/// Its verdict with the reasons, positions (LSN, binary log, GTID, Galera), page statistics,
/// and its files.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct ShowArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Show what the producer wrote to its standard error, instead
    ///
    /// The first 16 KiB and the last 48 KiB are kept, without passwords. Who may only write to the
    /// repository can't read them.
    #[arg(long)]
    pub(crate) log: bool,
}
