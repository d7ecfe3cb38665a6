//! Of `stats`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db stats
  haulout -r /backup/db stats shop@latest";

/// Tell what the repository holds, and what each night and each table adds
///
/// Without a snapshot: the objects, the sources and what every snapshot added. With one: what each
/// of its tables added to the repository. Only maps and directories are read, no data.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct StatsArguments {
    /// The snapshot whose tables are told
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
}
