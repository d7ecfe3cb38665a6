//! Of `verify`.

use clap::Args;
use clap::ValueEnum;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db verify --depth objects
  haulout -r /backup/db verify latest --depth pages";

/// Verify the integrity of stored data
///
/// Says what is damaged in terms of snapshot, table and page, and records it, so that the next
/// backup stores damaged blocks again.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VerifyArguments {
    /// Snapshots to verify [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,

    /// How deep to look; each depth includes those before it
    #[arg(long, value_name = "DEPTH", value_enum, default_value_t = DepthName::Blocks)]
    pub(crate) depth: DepthName,
}

/// How deep `verify` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DepthName {
    /// Names and sizes of all objects
    Objects,
    /// The checksum of every stored object
    Stored,
    /// Every block, decrypted, decompressed and hashed
    Blocks,
    /// The checksum that every page of InnoDB and Aria carries as well
    Pages,
}
