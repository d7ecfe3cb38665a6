//! Of `cat`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db cat latest xtrabackup_info
  haulout -r /backup/db cat shop@latest shop/orders.ibd > t.ibd

Every block is verified before it is written. A failure may come late: look at the \
exit status.";

/// Write one file of a snapshot to standard output
///
/// The file is what `restore --to` would make of it. A stream that was not taken apart has one
/// file, called `stream`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct CatArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// The path of the file, as `ls` shows it
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}
