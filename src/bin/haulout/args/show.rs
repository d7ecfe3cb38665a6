//! Of `show`.

use clap::Args;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db show shop@latest";

/// Show what is known about a snapshot
///
/// Its verdict with the reasons, positions (LSN, binary log, GTID, Galera), page statistics,
/// and its files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ShowArguments {
    /// An id, the beginning of one, SOURCE@latest, SOURCE@complete, or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
}
