//! Of `replicate`.

use clap::ArgGroup;
use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db replicate --to /mnt/offsite/db --plan
  haulout -r /backup/db replicate --to /mnt/offsite/db --source shop --last 14
  haulout -r /backup/db replicate --from /mnt/offsite/db

A copy has the same keys, and gets the stored packs as they are, the newest snapshot first. It can
be interrupted at any time: what has arrived is not sent again.";

/// Send snapshots to another repository, or fetch them
///
/// Sends what the other side lacks. If there is no repository yet, one is made, with the same keys.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
#[command(group(ArgGroup::new("other").required(true).args(["to", "from"])))]
pub(crate) struct ReplicateArguments {
    /// Where to send snapshots
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,

    /// Where to fetch snapshots from
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,

    /// Only snapshots of this source; may be repeated
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,

    /// Only this snapshot; may be repeated
    #[arg(
        long = "snapshot",
        value_name = "SNAPSHOT",
        conflicts_with_all = ["sources", "last"]
    )]
    pub(crate) snapshots: Vec<String>,

    /// Only the newest N snapshots of each source
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) last: Option<u32>,

    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub(crate) plan: bool,

    /// Read back what was sent, and compare it
    #[arg(long)]
    pub(crate) verify: bool,
}
