//! Of `cat`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db cat latest xtrabackup_info
  haulout -r /backup/db cat shop@latest shop/orders.ibd > orders.ibd

Every block is verified before it is written; a failure may come after much has been written: look
at the exit status.";

/// Write one file of a snapshot to standard output, verified
///
/// The file is what `restore --to` would make of it. A stream that was not taken apart has one
/// file, called `stream`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CatArguments {
    /// An id, the beginning of one, SOURCE@latest, SOURCE@complete, or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// The path of the file, as `ls` shows it
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
