//! Of `ls`.

use clap::Args;

const EXAMPLE: &str = "\
Example:
  haulout -r /backup/db ls shop@latest 'shop/*.ibd'";

/// List the files of a snapshot
///
/// One line each, in the order of their paths. `show` tells the rest about a snapshot.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct LsArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Only files whose path matches one of these; a star matches slashes too
    #[arg(value_name = "GLOB")]
    pub(crate) globs: Vec<String>,
}
