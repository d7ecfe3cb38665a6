//! Of `diff`.

use clap::Args;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db diff 3fa9c1 shop@latest";

/// Compare two snapshots by file, page and byte
///
/// Only their maps are compared, no data is read: hashes tell what is the same. Pages are counted
/// by the blocks they are compared in, 16 KiB or a page, whichever is larger. With -v every file is
/// listed, otherwise the tables that differ most.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct DiffArguments {
    /// Earlier snapshot: id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "A")]
    pub(crate) former: String,

    /// The later one
    #[arg(value_name = "B")]
    pub(crate) later: String,
}
