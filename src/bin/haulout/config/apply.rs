//! What a configuration file adds to one command line: defaults of its options, the addresses of
//! repositories that have names, and the credentials that belong to them.
//!
//! A variable that names a place or its credentials never applies to a repository that has a name:
//! its section says how it is reached and opened, unless it says `credentials = "environment"`.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::Command;
use clap::parser::ValueSource;

use crate::config::Config;
use crate::config::check::OptionKey;
use crate::config::check::options_of;
use crate::config::check::own_options;
use crate::config::credentials;
use crate::config::keys::Options;
use crate::config::keys::section;
use crate::config::tree::Data;
use crate::config::tree::Entry;
use crate::config::tree::Table;
use crate::config::tree::Value;
use crate::fail::failure::Outcome;

/// The prefix of variables for the other side of a command.
const OTHER: &str = "HAULOUT_OTHER_";
/// The beginnings of variables with passwords and credentials.
const SECRETS: [&str; 4] = ["HAULOUT_PASSWORD", "AWS_", "GOOGLE_", "AZURE_"];
/// The commands whose `--to` and `--from` name a repository.
const TWO_SIDED: [&str; 2] = ["replicate", "repair"];
/// The options of a repository that a command has for its other side as well, as `other_NAME`.
const OF_OTHER: [&str; 6] =
    ["endpoint", "region", "ca_file", "allow_http", "password_file", "password_command"];

/// The variables of the environment, with what a file takes away from them and adds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    /// True if those for the repository are left aside.
    is_repo_named: bool,
    /// True if those for the other side are left aside.
    is_other_named: bool,
    /// Those that the file adds.
    added: Vec<(String, String)>,
}

impl Variables {
    /// Tells whether a variable of the environment applies.
    pub(crate) fn apply(&self, name: &str) -> bool {
        if name.starts_with(OTHER) {
            return !self.is_other_named;
        }
        !self.is_repo_named || !SECRETS.iter().any(|begins| name.starts_with(begins))
    }

    /// Returns the variables that the file adds.
    pub(crate) fn added(&self) -> &[(String, String)] {
        &self.added
    }

    /// Tells whether the other side has a name, and so nothing in common with this one.
    pub(crate) fn is_other_named(&self) -> bool {
        self.is_other_named
    }
}

/// The default that a file sets for an option of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Default {
    command: Vec<String>,
    id: String,
    values: Vec<String>,
}

/// Returns the grammar with the defaults of the file, for a command line that was parsed without
/// them, and the variables that apply.
pub(crate) fn apply(
    config: &Config,
    grammar: &Command,
    typed: &ArgMatches,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Outcome<(Command, Variables)> {
    let line = Line { grammar, typed, command: command_of(typed) };
    let mut defaults = Vec::new();
    if let Some(table) = config.file.table("defaults") {
        line.general(table, variable, &mut defaults);
    }
    let mut variables = Variables::default();
    let named = |id: &str| defaults.iter().find(|default| default.id == id);
    let repo = line.text("repo").or_else(|| named("repo")?.values.first().cloned());
    let repo = repo.and_then(|name| config.repository(&name));
    if let Some(table) = repo {
        line.of_repository(table, &mut defaults);
        variables.is_repo_named = !takes_environment(table);
        variables.added.extend(credentials::variables_of(table)?);
    }
    if let Some(other) = line.other().and_then(|name| config.repository(&name)) {
        line.of_other(other, repo, &mut defaults);
        variables.is_other_named = !takes_environment(other);
        let own = credentials::variables_of(other)?;
        variables
            .added
            .extend(own.into_iter().map(|(name, value)| (OTHER.to_owned() + &name, value)));
    }
    let grammar = defaults.into_iter().fold(grammar.clone(), |grammar, default| {
        with_default(grammar, &default.command, &default.id, default.values)
    });
    Ok((grammar, variables))
}

fn takes_environment(repository: &Table) -> bool {
    repository.text("credentials").is_some()
}

/// A command line as it was typed.
struct Line<'l> {
    grammar: &'l Command,
    typed: &'l ArgMatches,
    /// The command and those below it, word by word.
    command: Vec<String>,
}

impl Line<'_> {
    /// Adds what `[defaults]` says about this command.
    fn general(
        &self,
        table: &Table,
        variable: &dyn Fn(&str) -> Option<OsString>,
        defaults: &mut Vec<Default>,
    ) {
        let is_set = ["HAULOUT_PASSWORD_FILE", "HAULOUT_PASSWORD_COMMAND", "HAULOUT_PASSWORD"];
        let is_set = is_set.into_iter().any(|name| variable(name).is_some());
        let all = options_of(Options::All, self.grammar);
        self.add(table, &all, |key| !(is_set && key.starts_with("password")), defaults);
        let (mut table, mut command) = (Some(table), Some(self.grammar));
        for depth in 0..self.command.len() {
            let word = &self.command[depth];
            table = table.and_then(|table| table.table(word));
            command = command.and_then(|command| command.find_subcommand(word));
            if let (Some(table), Some(command)) = (table, command) {
                let words: Vec<&str> = self.command[..=depth].iter().map(String::as_str).collect();
                self.add(table, &own_options(command, &words), |_| true, defaults);
            }
        }
    }

    /// Adds how a repository is reached and opened.
    fn of_repository(&self, table: &Table, defaults: &mut Vec<Default>) {
        let options =
            options_of(section("repository").map_or(Options::None, |s| s.options), self.grammar);
        self.add(table, &options, |_| true, defaults);
        self.limit(table, defaults);
    }

    /// Adds how the repository on the other side is reached. It has keys of its own if its password
    /// is another one.
    fn of_other(&self, other: &Table, repo: Option<&Table>, defaults: &mut Vec<Default>) {
        let password = |table: &Table| {
            let text = |key| table.text(key).map(str::to_owned);
            (text("password_file"), text("password_command"))
        };
        let has_same_keys = repo.is_some_and(|repo| password(repo) == password(other));
        for Entry { key, value, .. } in &other.0 {
            let is_left_out = key.starts_with("password") && has_same_keys;
            if OF_OTHER.contains(&key.as_str()) && !is_left_out {
                self.add_one(&self.command, &format!("other_{key}"), value, defaults);
            }
        }
        self.limit(other, defaults);
    }

    fn limit(&self, table: &Table, defaults: &mut Vec<Default>) {
        if let Some(entry) = table.get("limit") {
            self.add_one(&self.command, "limit", &entry.value, defaults);
        }
    }

    fn add(
        &self,
        table: &Table,
        options: &[OptionKey],
        applies: impl Fn(&str) -> bool,
        defaults: &mut Vec<Default>,
    ) {
        for Entry { key, value, .. } in &table.0 {
            let option = options.iter().find(|option| option.key == *key && applies(key));
            if let Some(option) = option {
                self.add_one(&option.command, &option.id, value, defaults);
            }
        }
    }

    /// Adds a default for an option that the command has, unless one that excludes it was typed.
    /// It takes the place of an earlier default.
    fn add_one(&self, command: &[String], id: &str, value: &Value, defaults: &mut Vec<Default>) {
        let Some(values) = value.words().filter(|_| value.data != Data::Flag(false)) else {
            return;
        };
        let Some(found) = self.grammar_of(command) else { return };
        let Some(arg) = found.get_arguments().find(|arg| arg.get_id() == id) else { return };
        let excludes = |other: &&clap::Arg| {
            let has = |one: &clap::Arg, another: &clap::Arg| {
                let conflicts = found.get_arg_conflicts_with(one);
                conflicts.iter().any(|found| found.get_id() == another.get_id())
            };
            has(arg, other) || has(other, arg)
        };
        let is_excluded = found
            .get_arguments()
            .filter(excludes)
            .any(|other| self.is_typed(other.get_id().as_str()));
        defaults.retain(|default| default.id != id || default.command != command);
        if !is_excluded {
            defaults.push(Default { command: command.to_vec(), id: id.to_owned(), values });
        }
    }

    fn grammar_of(&self, command: &[String]) -> Option<&Command> {
        command.iter().try_fold(self.grammar, |grammar, word| grammar.find_subcommand(word))
    }

    /// Tells whether an option was typed, or set by a variable.
    fn is_typed(&self, id: &str) -> bool {
        let mut level = Some(self.typed);
        while let Some(matches) = level {
            let source = matches.try_contains_id(id).is_ok().then(|| matches.value_source(id));
            if source.flatten().is_some_and(|source| source != ValueSource::DefaultValue) {
                return true;
            }
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        false
    }

    /// Returns the text of an option that was typed, or set by a variable.
    fn text(&self, id: &str) -> Option<String> {
        let mut level = Some(self.typed);
        let mut found = None;
        while let Some(matches) = level {
            if let Ok(Some(text)) = matches.try_get_one::<String>(id) {
                found = Some(text.clone());
            }
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        found
    }

    /// Returns the name of the repository on the other side, if this command has one.
    fn other(&self) -> Option<String> {
        let command = self.command.first()?;
        let has_two = TWO_SIDED.contains(&command.as_str());
        has_two.then(|| self.text("to").or_else(|| self.text("from"))).flatten()
    }
}

/// Returns the words of the command that was typed.
fn command_of(typed: &ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    let mut level = typed.subcommand();
    while let Some((word, matches)) = level {
        words.push(word.to_owned());
        level = matches.subcommand();
    }
    words
}

fn with_default(grammar: Command, command: &[String], id: &str, values: Vec<String>) -> Command {
    match command.split_first() {
        None => grammar.mut_arg(id, |arg| arg.default_values(values)),
        Some((word, rest)) => {
            grammar.mut_subcommand(word, |inner| with_default(inner, rest, id, values))
        }
    }
}
