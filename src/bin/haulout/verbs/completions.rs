//! `completions`: prints a script for completion in a shell.

use clap::Args;
use clap_complete::Shell;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::Grammar;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;

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

/// The JSON report of `completions`.
#[derive(Debug, Serialize)]
struct Script {
    /// The name of the shell.
    shell: String,
    /// The completion script that the shell reads.
    script: String,
}

impl CompletionsArguments {
    /// Prints the completion script of a shell.
    pub(crate) fn run(&self, grammar: &Grammar, report: &Report) -> Outcome<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar.shown(), "haulout", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let script = Script { shell: self.shell.to_string(), script };
        // It is the result, however quiet the program is to be.
        match report.format {
            Format::Json => print_json(&script)?,
            Format::Text => print(&script.script)?,
        }
        Ok(Exit::Done)
    }
}
