//! The arguments of `repair`.

use clap::Args;

use crate::verbs::replicate::args::OtherArguments;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db repair --plan
  haulout -r /backup/db repair
  haulout -r /backup/db repair --from s3://offsite/db --plan
  haulout -r /backup/db repair --from /mnt/dr/db --other-password-file /etc/haulout/dr

Run haulout verify first: of packs with data, repair reads only those that verify has \
found damaged. What has no good copy anywhere stays lost, unless the next backup stores it again: \
haulout restore --keep-going restores the rest.";

/// Restore what is damaged or lost, from other copies
///
/// Maps, pack tables and relocation records are stored twice. Both copies are read; one that is
/// missing or has changed is made from the other. With --from, everything that a snapshot needs and
/// that has no good copy here is fetched from a copy of this repository; from a repository with
/// other keys, lost blocks are taken from its streams. Records of damage that no longer exists are
/// removed. Exits with 0 if nothing is lost, else names what is and exits with 3.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct RepairArguments {
    /// Say what would be done and what it costs, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,

    /// A copy of this repository, made by replicate in either direction
    ///
    /// An object is put here only if its bytes are what its name says. If the copy has other keys,
    /// lost blocks are read from the same snapshots there, and stored here only if they have the
    /// right hash.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,

    /// Look for lost blocks in all other packs of the repository
    ///
    /// Reads the directory of every pack with data. It finds blocks that are stored whole more than
    /// once, as two backups that ran at the same time store them.
    #[arg(long)]
    pub(crate) search: bool,

    #[command(flatten)]
    pub(crate) other: OtherArguments,
}
