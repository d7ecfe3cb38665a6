//! `config`: what the configuration file means, and what is wrong with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;

use clap::Args;
use clap::Subcommand;
use serde::Serialize;

use crate::config;
use crate::config::Choice;
use crate::config::Config;
use crate::config::effective::Effective;
use crate::config::effective::effective;
use crate::config::schema::schema;
use crate::config::tree::Entry;
use crate::config::tree::Mistake;
use crate::config::tree::Place;
use crate::doctor::finding::State;
use crate::doctor::repository::Said;
use crate::doctor::repository::judge_key;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::help_texts::Grammar;
use crate::jobs::plan::JobPlan;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;

const EXAMPLE: &str = "\
Examples:
  haulout config check
  haulout config show
  haulout config schema > haulout.schema.json";

const EXAMPLE_CHECK: &str = "\
Example:
  haulout config check --config ./haulout.toml";

const EXAMPLE_SHOW: &str = "\
Example:
  haulout config show --config ./haulout.toml";

const EXAMPLE_SCHEMA: &str = "\
Example:
  haulout config schema > haulout.schema.json";

/// Check or show the configuration file
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE, subcommand_required = true)]
pub(crate) struct ConfigArguments {
    /// What to do with the file.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What is done with the file.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Action {
    /// Print all mistakes of the file
    ///
    /// Each has its line and column. Without mistakes nothing but the path is printed. A key that
    /// is not enough for a step of a job is one, if there is the repository and this user may read
    /// the file with the key. Exits with 2 if there are mistakes.
    #[command(after_long_help = EXAMPLE_CHECK)]
    Check,
    /// Print the values that hold, and where each comes from
    ///
    /// A value comes from a line of the file, from a variable of the environment, or is the
    /// default of the program.
    #[command(after_long_help = EXAMPLE_SHOW)]
    Show,
    /// Print a JSON schema of the file
    ///
    /// Editors complete and check a file with it.
    #[command(after_long_help = EXAMPLE_SCHEMA)]
    Schema,
}

/// The JSON report of `config check`.
#[derive(Debug, Serialize)]
struct Checked<'c> {
    file: String,
    mistakes: Vec<Found<'c>>,
}

#[derive(Debug, Serialize)]
struct Found<'c> {
    #[serde(flatten)]
    place: Place,
    message: &'c str,
    hint: Option<&'c str>,
}

impl<'c> From<&'c Mistake> for Found<'c> {
    fn from(mistake: &'c Mistake) -> Self {
        let Mistake { place, message, hint } = mistake;
        Self { place: *place, message, hint: hint.as_deref() }
    }
}

/// The JSON report of `config show`.
#[derive(Debug, Serialize)]
struct Shown {
    file: String,
    values: Vec<Effective>,
}

impl ConfigArguments {
    /// Does with the file what was asked for.
    pub(crate) fn run(
        &self,
        choice: &Choice,
        grammar: &Grammar,
        variable: &dyn Fn(&str) -> Option<OsString>,
        report: &Report,
    ) -> Outcome<Exit> {
        let raw = grammar.raw();
        match self.action {
            Action::Schema => {
                let text = serde_json::to_string_pretty(&schema(&raw));
                print(&(text.expect("it is made of texts and numbers") + "\n"))?;
                Ok(Exit::Done)
            }
            Action::Check => check(choice, grammar, report),
            Action::Show => {
                let Some(config) = Config::load(choice, &raw)? else {
                    return Err(no_file(choice));
                };
                let values = effective(&config, &raw, variable);
                show(&config, values, report)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// Explains that the standard file is not there.
pub(crate) fn no_file(choice: &Choice) -> Failure {
    let path = choice.path().display();
    Failure::usage(
        format!("there is no configuration {path} that this user may read"),
        "name one with --config or HAULOUT_CONFIG; haulout help config shows how it is written",
    )
}

fn check(choice: &Choice, grammar: &Grammar, report: &Report) -> Outcome<Exit> {
    let path = choice.path();
    let text = config::read(path).map_err(|error| config::not_read(path, error))?;
    let (file, mut mistakes) = config::examine(&text, &grammar.raw());
    if mistakes.is_empty() {
        mistakes = of_jobs(&Config { path: path.to_owned(), file });
    }
    if report.format == Format::Json {
        let mistakes = mistakes.iter().map(Found::from).collect();
        print_json(&Checked { file: path.display().to_string(), mistakes })?;
    } else {
        for mistake in &mistakes {
            let hint = mistake.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
            print(&format!("{}{hint}\n", config::line(path, mistake)))?;
        }
        if mistakes.is_empty() {
            print(&format!("{}: no mistakes\n", path.display()))?;
        }
    }
    Ok(if mistakes.is_empty() { Exit::Done } else { Exit::Usage })
}

/// Returns the mistakes of jobs that have a step which they, or their keys, can't do.
fn of_jobs(config: &Config) -> Vec<Mistake> {
    let jobs = config.file.table("job").map_or(&[][..], |jobs| &jobs.0);
    let mut keys = BTreeMap::new();
    let mut mistakes = Vec::new();
    for Entry { key, place, .. } in jobs {
        match JobPlan::new(config, key, &|_| true) {
            Ok(plan) => mistakes.extend(of_keys(config, &plan, &mut keys, *place)),
            Err(failure) => {
                mistakes.push(Mistake::new(*place, failure.message()).with_hint(failure.hint()));
            }
        }
    }
    mistakes
}

/// Returns the mistakes of a job whose keys are not enough for its steps, as far as this user can
/// open the repositories; `keys` is what each has said. Nobody is asked for a password.
fn of_keys(
    config: &Config,
    plan: &JobPlan,
    keys: &mut BTreeMap<String, Option<Said>>,
    place: Place,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (name, steps) in plan.steps_by_place() {
        let said = keys.entry(name.to_owned()).or_insert_with(|| {
            let file = config.repository(name)?.text("password_file")?;
            File::open(file).ok()?;
            Some(Said::by(config, name, &["key", "list"]))
        });
        let found = said.as_ref().and_then(|said| judge_key(said, &steps));
        let Some(found) = found.filter(|found| found.state == State::Failed) else { continue };
        let job = &plan.name;
        let message = format!("job.{job}: the key of the repository {name} is {}", found.found);
        let mistake = Mistake::new(place, message);
        mistakes.push(match &found.hint {
            Some(hint) => mistake.with_hint(hint),
            None => mistake,
        });
    }
    mistakes
}

fn show(config: &Config, values: Vec<Effective>, report: &Report) -> Outcome<()> {
    let file = config.path.display().to_string();
    if report.format == Format::Json {
        return Ok(print_json(&Shown { file, values })?);
    }
    let mut text = format!("# {file}\n");
    for Effective { key, value, from } in values {
        text.extend([key.as_str(), " = ", &value, "  # ", &from, "\n"]);
    }
    Ok(print(&text)?)
}
