//! The command line of haulout: what was typed -> what it means -> one verb of the library -> its
//! report.
//!
//! | file | knows |
//! |---|---|
//! | `args/VERB` | what can be typed, and the help texts |
//! | `grammar` | how much of it each help text shows, and the variables of the environment |
//! | `plan/VERB` | what it means on this machine |
//! | `dispatch`, `job`, `traits` | which verb runs, and what it declares to shared code |
//! | `run/VERB` | which verb of the library does it |
//! | `report/VERB` | how the outcome is printed, as text or JSON |
//! | `json`, `words`, `text`, `units` | what reports have in common |
//! | `about` | what the program says about itself: manual pages, completions, the guide |
//! | `guide` | how a chapter of the guide looks on a terminal |
//! | `hints` | what to do about an error |
//! | `password`, `prompt` | where secrets come from |
//! | `known` | what this host remembers of a repository |
//! | `panics` | that a panic of any thread ends the program |
//! | `signals`, `progress`, `console`, `producer_log` | what happens during a run |

mod about;
mod args;
mod console;
mod dispatch;
mod exit;
mod failure;
mod grammar;
mod guide;
mod hints;
mod job;
mod json;
mod known;
mod limit;
mod machine;
mod moment;
mod panics;
mod password;
mod plan;
mod proc_status;
mod producer_log;
mod progress;
mod prompt;
mod report;
mod run;
mod signals;
mod text;
mod traits;
mod units;
mod words;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Arguments;
use crate::args::Command;
use crate::report::Report;

fn main() -> ExitCode {
    panics::end_the_program();
    machine::forbid_core_dumps();
    machine::raise_open_files();
    let mut grammar = grammar::grammar();
    let parsed = grammar.try_get_matches_from_mut(std::env::args_os());
    let typed = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(typed) => typed,
        Err(mut refusal) => {
            args::synonyms::suggest(&mut refusal);
            return report::refusal(&refusal).into();
        }
    };
    let Arguments { common, command } = typed;
    let report = Report::new(&common, &machine::variable);
    let done = match command {
        Command::Verb(verb) => dispatch::run(common, verb, &machine::surroundings(), &report),
        Command::About(about) => about::tell(&about, &report),
    };
    done.unwrap_or_else(|failure| report.failure(&failure)).into()
}
