//! The command line of haulout: what was typed -> what it means -> one verb of the library -> its
//! report.
//!
//! | room | knows |
//! |---|---|
//! | `verbs/VERB` | one verb: what can be typed, what it means here, the call, the report |
//! | `verbs` | which verbs there are, and what each declares to shared code |
//! | `open` | the settings that all verbs share, and how they lead to an opened repository |
//! | `config` | the configuration file, and what it adds to a command line |
//! | `jobs` | jobs of the configuration: their steps, how they run, what is remembered |
//! | `doctor` | what is looked at before a job is trusted with a night, and how it is judged |
//! | `setup` | a first configuration: its questions, the tests of answers, the first backup |
//! | `grammar` | options and values that verbs share, and how help texts are laid out |
//! | `output` | what is printed: reports, messages, progress, JSON, the guide |
//! | `fail` | errors with their hints, and exit statuses |
//! | `secrets` | passwords, key files and recovery kits |
//! | `environment`, `proc_status` | the machine that the program runs on |
//! | `panics`, `signals` | how a run ends that does not end by itself |

mod config;
mod doctor;
mod environment;
mod fail;
mod grammar;
mod jobs;
mod open;
mod output;
mod panics;
mod proc_status;
mod rescue;
mod secrets;
mod setup;
mod signals;
mod verbs;

use std::process::ExitCode;

use clap::ArgMatches;
use clap::FromArgMatches;

use crate::config::Choice;
use crate::config::Config;
use crate::config::apply::Variables;
use crate::config::apply::apply;
use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::Grammar;
use crate::grammar::synonyms;
use crate::output::report;
use crate::verbs::Arguments;
use crate::verbs::BinlogAction;
use crate::verbs::BinlogArguments;
use crate::verbs::Command;
use crate::verbs::InitArguments;
use crate::verbs::Verb;

fn main() -> ExitCode {
    panics::end_the_program();
    environment::forbid_core_dumps();
    environment::raise_open_files();
    environment::end_with_job();
    let grammar = verbs::grammar();
    let (matches, typed) = match parse(&grammar) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.into(),
    };
    let report = typed.common.report(&environment::variable);
    let around = environment::surroundings();
    let done = match typed.command {
        Command::About(about) => verbs::describe(typed.common, &about, &around, &report),
        Command::Rescue(rescue) => verbs::rescue(&typed.common, &rescue, &around, &report),
        Command::Setup(setup) => verbs::set_up(typed.common, &setup, &around, &report),
        Command::Verb(_) | Command::Jobs(_) => match configured(&grammar, &matches, typed) {
            Ok(Ok(line)) => return line.run(around),
            Ok(Err(refused)) => Ok(refused),
            Err(failure) => Err(failure),
        },
    };
    done.unwrap_or_else(|failure| report.failure(&failure)).into()
}

/// Parses the command line; a refusal is printed.
fn parse(grammar: &Grammar) -> Result<(ArgMatches, Arguments), Exit> {
    let parsed = grammar.shown().try_get_matches_from_mut(std::env::args_os());
    let typed = parsed.and_then(|matches| {
        let typed = Arguments::from_arg_matches(&matches)?;
        Ok((matches, typed))
    });
    typed.map_err(|mut refusal| {
        synonyms::suggest(&mut refusal);
        report::refusal(&refusal)
    })
}

/// A command line with all that the configuration file adds to it.
struct Line {
    typed: Arguments,
    config: Option<Config>,
    variables: Variables,
}

/// Adds what the configuration file says to a command line: it is parsed again with other defaults.
/// If that is refused, which is printed, it returns how the program ends.
fn configured(
    grammar: &Grammar,
    matches: &ArgMatches,
    typed: Arguments,
) -> Outcome<Result<Line, Exit>> {
    let choice = Choice::new(typed.common.config.clone(), &environment::variable);
    let raw = grammar.raw();
    let Some(config) = Config::load(&choice, &raw)? else {
        return Ok(Ok(Line { typed, config: None, variables: Variables::default() }));
    };
    let (raw, variables) = apply(&config, &raw, matches, &environment::variable)?;
    // What was typed is fit for itself, and so is the file: both together may not be.
    let parsed = parse(&grammar.with(raw));
    Ok(parsed.map(|(_, typed)| Line { typed, config: Some(config), variables }))
}

impl Line {
    /// Runs the command where the variables of the environment are those that apply.
    fn run(self, around: Surroundings<'_>) -> ExitCode {
        let Self { typed, config, variables } = self;
        let Arguments { common, command } = typed;
        let report = common.report(&environment::variable);
        let named = |name: &str| Some(config.as_ref()?.repository(name)?.text("url")?.to_owned());
        let source = |name: &str| config.as_ref()?.source(name).cloned();
        let around = Surroundings {
            variable: &|name| (around.variable)(name).filter(|_| variables.apply(name)),
            variables: &|| {
                let mut all = (around.variables)();
                all.retain(|(name, _)| variables.apply(name));
                all.extend_from_slice(variables.added());
                all
            },
            named: &named,
            source: &source,
            is_other_named: variables.is_other_named(),
            ..around
        };
        let done = match command {
            Command::Verb(Verb::Init(InitArguments { job: Some(job), .. })) => {
                verbs::found(&job, config.as_ref(), &report)
            }
            Command::Verb(Verb::Binlog(BinlogArguments {
                action: BinlogAction::Archive(typed),
            })) => verbs::archive(&typed, config.as_ref(), &report),
            Command::Verb(Verb::Forget(typed)) if typed.rules.by_configuration => {
                verbs::forget_by_policy(&common, &typed, config.as_ref(), &report)
            }
            Command::Verb(verb) => verbs::run(common, verb, &around, &report),
            Command::Jobs(jobs) => verbs::work(&jobs, config.as_ref(), &report),
            Command::About(about) => verbs::describe(common, &about, &around, &report),
            Command::Rescue(rescue) => verbs::rescue(&common, &rescue, &around, &report),
            Command::Setup(setup) => verbs::set_up(common, &setup, &around, &report),
        };
        let exit = done.unwrap_or_else(|failure| report.failure(&failure));
        report.console.end_program_line();
        exit.into()
    }
}
