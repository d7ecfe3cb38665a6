//! The arguments of `prune`.

use std::time::Duration;

use clap::Args;

use crate::grammar::values::lock_period;
use crate::grammar::values::percent;
use crate::open::consent::ConsentArguments;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db prune --plan
  haulout -r /backup/db prune --yes
  haulout -r /backup/db prune --break 77ab12cd

Backups, copies and restores go on meanwhile. What a run that stands may rely on stays; \
the report names these runs, and what ends them if they were killed.";

/// Delete what no snapshot needs, and compact what is mostly unused
///
/// Deletes packs that only removed snapshots and failed runs needed, then moves what is live of
/// mostly unused packs into new ones. Nothing is deleted if anything can't be read or counted.
/// Exits with 3 if the store refused a deletion, or something is doubtful.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
pub(crate) struct PruneArguments {
    /// Say what would be deleted and moved, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,

    #[command(flatten)]
    pub(crate) consent: ConsentArguments,

    /// Share of the bytes in use that may be unused beside them
    ///
    /// Less takes more reading and writing: 5% suits a disk of your own, 25% a store that charges
    /// for reading.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    pub(crate) max_unused: u64,

    /// Share of the repository that one compaction writes again at most
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = percent)]
    pub(crate) max_rewrite: u64,

    /// Do not compact
    #[arg(long)]
    pub(crate) no_compact: bool,

    /// First compare the need lists of snapshots with their maps
    ///
    /// It reads every map of every snapshot that is kept. Nothing is deleted if a list names fewer
    /// packs than the maps need, or if one of them cannot be read.
    #[arg(long, hide_short_help = true)]
    pub(crate) audit: bool,

    /// Extend the locks of what is needed to this long from now: 35d
    ///
    /// For a bucket with Object Lock. A lock that lasts for half of it stays as it is.
    #[arg(long, value_name = "DURATION", hide_short_help = true, value_parser = lock_period)]
    pub(crate) extend_lock: Option<Duration>,

    /// This backup, replicate or repair was killed: keep nothing for it; may be repeated
    ///
    /// The beginning of its id, as haulout unlock prints it. If it is alive, it fails at its end.
    #[arg(long = "break", value_name = "RUN")]
    pub(crate) breaks: Vec<String>,

    /// This prune or compaction was killed: replicates need not wait for it; may be repeated
    #[arg(long = "abandon", value_name = "RUN")]
    pub(crate) abandons: Vec<String>,

    /// Delete packs of runs of which nothing is known
    ///
    /// Without it they end prune: a snapshot that needs them may be lost, and come back from a
    /// copy.
    #[arg(long, hide_short_help = true)]
    pub(crate) yes_orphans: bool,

    /// Go on although snapshots are missing that the last prune kept
    ///
    /// Without it they end prune: the store may have given a list that lacks some.
    #[arg(long, hide_short_help = true)]
    pub(crate) yes_fewer: bool,
}
