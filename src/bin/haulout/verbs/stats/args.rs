//! Of `stats`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db stats
  haulout -r /backup/db stats shop@latest";

/// Show the size of the repository and what each snapshot added
///
/// Without a snapshot: the objects, the sources and what every snapshot added. With one: what each
/// of its tables added to the repository. Only maps and directories are read, no data.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct StatsArguments {
    /// Show this snapshot's tables
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
}
