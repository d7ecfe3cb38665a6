//! Of `completions`.

use clap::Args;
use clap_complete::Shell;

const EXAMPLE: &str = "\
Examples:
  haulout completions bash > /etc/bash_completion.d/haulout
  haulout completions fish > ~/.config/fish/completions/haulout.fish";

/// Print a script for completion in a shell
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct CompletionsArguments {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}
