//! Of `snapshots`.

use clap::Args;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db snapshots --json | jq -r '.[] | select(.verdict == \"complete\") | .id'";

/// List the snapshots
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct SnapshotsArguments {}
