//! The values that hold after the file, the environment and the defaults of the program have been
//! put together, each with where it comes from.

use std::ffi::OsString;

use clap::Command;
use serde::Serialize;

use crate::config::Config;
use crate::config::check::OptionKey;
use crate::config::check::options_of;
use crate::config::keys::HowMany;
use crate::config::keys::Options;
use crate::config::keys::SECTIONS;
use crate::config::keys::Section;
use crate::config::tree::Data;
use crate::config::tree::Entry;
use crate::config::tree::Table;
use crate::config::tree::Value;

/// A value that holds, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Effective {
    /// The path of the key: `repository.local.url`.
    pub(crate) key: String,
    /// The value as it stands in a file.
    pub(crate) value: String,
    /// A line of the file, a variable of the environment, or `default`.
    pub(crate) from: String,
}

/// Returns all values that hold, section by section in the order of the file.
pub(crate) fn effective(
    config: &Config,
    grammar: &Command,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<Effective> {
    let empty = Table::default();
    let general = config.file.table("defaults").unwrap_or(&empty);
    let view = View { general, grammar, variable };
    let mut found = Vec::new();
    for section in &SECTIONS {
        let table = config.file.table(section.name);
        match section.number {
            HowMany::One => {
                view.section(section, section.name, table.unwrap_or(&empty), &mut found);
            }
            HowMany::Named => {
                for Entry { key, value, .. } in table.map_or(&[][..], |table| &table.0) {
                    let path = format!("{}.{key}", section.name);
                    let inner = value.as_table().unwrap_or(&empty);
                    view.section(section, &path, inner, &mut found);
                }
            }
        }
    }
    found
}

/// What the values of a section may come from besides the section itself.
struct View<'v> {
    general: &'v Table,
    grammar: &'v Command,
    variable: &'v dyn Fn(&str) -> Option<OsString>,
}

impl View<'_> {
    fn section(&self, section: &Section, path: &str, table: &Table, found: &mut Vec<Effective>) {
        entries(path, table, found);
        for option in options_of(section.options, self.grammar) {
            if table.get(&option.key).is_some() {
                continue;
            }
            if let Some((value, from)) = self.elsewhere(section, &option) {
                found.push(Effective { key: format!("{path}.{}", option.key), value, from });
            }
        }
    }

    /// Returns the value of an option that a section does not set, and where that comes from.
    fn elsewhere(&self, section: &Section, option: &OptionKey) -> Option<(String, String)> {
        let command = option
            .command
            .iter()
            .try_fold(self.grammar, |grammar, word| grammar.find_subcommand(word))?;
        let arg = command.get_arguments().find(|arg| arg.get_id() == option.id.as_str())?;
        let name = arg.get_env().and_then(|name| name.to_str());
        if let Some(name) = name
            && let Some(value) = (self.variable)(name)
        {
            return Some((in_quotes(&value.to_string_lossy()), format!("variable {name}")));
        }
        let is_own = section.options == Options::All;
        let above = option.command.iter().try_fold(self.general, |table, word| table.table(word));
        if let Some(entry) = above.filter(|_| !is_own).and_then(|table| table.get(&option.key)) {
            return Some((shown(&entry.key, &entry.value), line_of(entry)));
        }
        let default = arg.get_default_values().first()?;
        let is_shown = arg.get_action().takes_values();
        is_shown.then(|| (in_quotes(&default.to_string_lossy()), "default".to_owned()))
    }
}

fn entries(path: &str, table: &Table, found: &mut Vec<Effective>) {
    for entry in &table.0 {
        let key = format!("{path}.{}", entry.key);
        match &entry.value.data {
            Data::Table(inner) => entries(&key, inner, found),
            Data::Text(_)
            | Data::Number(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::List(_)
            | Data::Other(_) => {
                let value = shown(&key, &entry.value);
                found.push(Effective { key, value, from: line_of(entry) });
            }
        }
    }
}

fn line_of(entry: &Entry) -> String {
    format!("line {}", entry.place.line)
}

/// Returns a value as it stands in a file. A command may have a password in it. With
/// the address of a ping, others can ping in the place of the job.
fn shown(key: &str, value: &Value) -> String {
    if key.ends_with("password_command") || key.ends_with(".ping.url") {
        return "(hidden)".to_owned();
    }
    value.in_toml()
}

fn in_quotes(text: &str) -> String {
    format!("{text:?}")
}
