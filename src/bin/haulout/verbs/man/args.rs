//! Of `man`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout man | man -l -
  haulout man --to /usr/local/share/man/man1";

/// Print the manual pages
///
/// One for the program and one for each command, made from the same texts as --help.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct ManArguments {
    /// Write them into this directory instead, a file each
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}
