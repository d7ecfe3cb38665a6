//! Of `tag`.

use clap::Args;

use crate::grammar::values::tag;

const EXAMPLE: &str = "\
Examples:
  haulout -r /backup/db tag latest --add before-upgrade
  haulout -r /backup/db tag 3fa9c1 --remove nightly --add keep";

/// Attach tags to a snapshot, or remove them
///
/// Without --add and --remove, shows the tags that it has. The snapshot itself never changes: a
/// note about it is stored beside it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct TagArguments {
    /// Id or its beginning, SOURCE@latest, SOURCE@complete or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// A tag to attach; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) add: Vec<String>,

    /// A tag to remove; may be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) remove: Vec<String>,
}
