//! Of `repair`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db repair --plan
  haulout -r /backup/db repair

What has no good copy in this repository stays lost: haulout replicate --from brings it from a copy,
and the next backup stores again what its source still has. To find what is damaged, run haulout
verify first: of packs with data, repair looks only at those that verify has found damaged.";

/// Make lost or changed second copies again, from what this repository still holds
///
/// Maps and lists are stored twice, and so are records of where healed blocks are. Both copies are
/// read; one that is missing or has changed is made from the other one. Records of damage that is
/// no more are removed. Ends with 0 if nothing is lost, else says what is, and ends with 3.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RepairArguments {
    /// Say what would be done, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,
}
