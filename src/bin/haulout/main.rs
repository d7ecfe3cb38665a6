//! The command line of haulout: what was typed -> what it means -> one verb of the library -> its
//! report.
//!
//! | room | knows |
//! |---|---|
//! | `verbs/VERB` | one verb: what can be typed, what it means here, the call, the report |
//! | `verbs` | which verbs there are, and what each declares to shared code |
//! | `open` | the settings that all verbs share, and how they lead to an opened repository |
//! | `grammar` | options and values that verbs share, and how help texts are laid out |
//! | `tell` | what is printed: reports, messages, progress, JSON, the guide |
//! | `fail` | errors with their hints, and exit statuses |
//! | `secrets` | passwords, key files and recovery kits |
//! | `environment`, `proc_status` | the machine that the program runs on |
//! | `panics`, `signals` | how a run ends that does not end by itself |

mod environment;
mod fail;
mod grammar;
mod open;
mod output;
mod panics;
mod proc_status;
mod secrets;
mod signals;
mod verbs;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::grammar::synonyms;
use crate::output::report;
use crate::verbs::Arguments;
use crate::verbs::Command;

fn main() -> ExitCode {
    panics::end_the_program();
    environment::forbid_core_dumps();
    environment::raise_open_files();
    let mut grammar = verbs::grammar().shown();
    let parsed = grammar.try_get_matches_from_mut(std::env::args_os());
    let typed = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(typed) => typed,
        Err(mut refusal) => {
            synonyms::suggest(&mut refusal);
            return report::refusal(&refusal).into();
        }
    };
    let Arguments { common, command } = typed;
    let report = common.report(&environment::variable);
    let done = match command {
        Command::Verb(verb) => verbs::run(common, verb, &environment::surroundings(), &report),
        Command::About(about) => verbs::describe(&about, &report),
    };
    done.unwrap_or_else(|failure| report.failure(&failure)).into()
}
