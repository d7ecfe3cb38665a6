//! Of `repair`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db repair --plan
  haulout -r /backup/db repair

Run haulout verify first: of packs with data, repair reads only those that verify has \
found damaged. What has no good copy in this repository stays lost: fetch it with haulout \
replicate --from, or let the next backup store it again.";

/// Restore damaged metadata from its second copies
///
/// Maps, pack tables and relocation records are stored twice. Both copies are read; one that is
/// missing or has changed is made from the other. Records of damage that no longer exists are
/// removed. Exits with 0 if nothing is lost, else names what is and exits with 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct RepairArguments {
    /// Say what would be done, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,
}
