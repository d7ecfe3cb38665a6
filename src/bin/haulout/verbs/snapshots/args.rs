//! Of `snapshots`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db snapshots --source shop --last 7
  haulout -r /backup/db snapshots --json | jq -r '.[].id'";

/// List the snapshots
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct SnapshotsArguments {
    /// Only snapshots of this source; may be repeated
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,

    /// Only snapshots with this tag; if repeated, with all of them
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,

    /// Only the newest N of them of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,
}
