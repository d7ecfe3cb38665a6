//! Of `help`.

use clap::Args;

const EXAMPLE: &str = "\
Examples:
  haulout help
  haulout help backup | less
  haulout help errors";

/// Print a chapter of the guide, or the reference of a command
///
/// Without a topic, lists the chapters. A word that is no chapter is taken for a command.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct HelpArguments {
    /// A chapter of the guide, or a command
    #[arg(value_name = "TOPIC")]
    pub(crate) words: Vec<String>,
}
