//! Compares what a file says with the keys that are declared, and finds all mistakes at once.

use std::ffi::OsString;

use clap::ArgAction;
use clap::Command;

use crate::config::keys::HowMany;
use crate::config::keys::Key;
use crate::config::keys::Kind;
use crate::config::keys::Need;
use crate::config::keys::Options;
use crate::config::keys::PING_ADDRESS;
use crate::config::keys::SECTIONS;
use crate::config::keys::SOURCE_KINDS;
use crate::config::keys::Section;
use crate::config::keys::SourceKind;
use crate::config::tree::Data;
use crate::config::tree::Entry;
use crate::config::tree::Mistake;
use crate::config::tree::Place;
use crate::config::tree::Table;
use crate::config::tree::Value;

/// The likeness from which a word is suggested, of 1.
const LIKENESS_MIN: f64 = 0.8;

/// The check of one file.
pub(crate) struct Check<'c> {
    /// The grammar of the command line, whose options are keys.
    pub(crate) grammar: &'c Command,
    /// The whole file, for names of sections.
    pub(crate) file: &'c Table,
    /// Checks the whole file, section by section.
    pub(crate) mistakes: Vec<Mistake>,
}

impl Check<'_> {
    /// Checks the whole file.
    pub(crate) fn run(&mut self) {
        let file = self.file;
        for Entry { key, place, value } in &file.0 {
            let Some(section) = SECTIONS.iter().find(|section| section.name == key) else {
                self.unknown(*place, "section", key, SECTIONS.iter().map(|known| known.name));
                continue;
            };
            let Some(table) = self.table(&format!("[{key}]"), value) else { continue };
            match section.number {
                HowMany::One => self.section(section, key, table, *place),
                HowMany::Named => self.named_sections(section, table),
            }
        }
    }

    fn named_sections(&mut self, section: &Section, table: &Table) {
        for Entry { key: name, place, value } in &table.0 {
            let heading = format!("[{}.{name}]", section.name);
            if let Some(why) = unfit(name) {
                self.mistakes.push(Mistake::new(*place, format!("{heading}: the name {why}")));
            }
            let Some(inner) = self.table(&heading, value) else { continue };
            self.section(section, &format!("{}.{name}", section.name), inner, *place);
        }
    }

    fn table<'t>(&mut self, heading: &str, value: &'t Value) -> Option<&'t Table> {
        let table = value.as_table();
        if table.is_none() {
            let message = format!("{heading} is {}, and no table", value.data.kind());
            self.mistakes.push(Mistake::new(value.place, message));
        }
        table
    }

    fn section(&mut self, section: &Section, path: &str, table: &Table, place: Place) {
        let options = options_of(section.options, self.grammar);
        self.required(section.keys, path, table, place);
        if section.name == "source" {
            self.producer(path, table, place);
        }
        if section.name == "job" {
            self.ping(path, table);
        }
        for entry in &table.0 {
            if let Some(key) = section.keys.iter().find(|key| key.name == entry.key) {
                self.value(&key.kind, &format!("{path}.{}", key.name), &entry.value);
            } else if let Some(option) = options.iter().find(|option| option.key == entry.key) {
                self.option(option, path, &entry.value);
            } else if section.options == Options::All
                && let Some(command) = self.grammar.find_subcommand(&entry.key)
            {
                self.of_command(command, &format!("{path}.{}", entry.key), &entry.value);
            } else {
                let known = section.keys.iter().map(|key| key.name.to_owned());
                let known: Vec<String> =
                    known.chain(options.iter().map(|option| option.key.clone())).collect();
                self.unknown_key(path, entry, &known);
            }
        }
    }

    /// Compares the keys of a source with those that its kind needs and takes.
    fn producer(&mut self, path: &str, table: &Table, place: Place) {
        let Some(word) = table.text("kind") else { return };
        let Some(kind) = SOURCE_KINDS.iter().find(|kind| kind.word == word) else { return };
        for key in kind.needed.iter().filter(|key| table.get(key).is_none()) {
            self.wrong(place, path, &format!("a source of kind {word} needs the key {key}"));
        }
        let of_kind =
            |kind: &SourceKind, key: &str| kind.needed.contains(&key) || kind.taken.contains(&key);
        for entry in &table.0 {
            let is_of_any = SOURCE_KINDS.iter().any(|kind| of_kind(kind, &entry.key));
            if is_of_any && !of_kind(kind, &entry.key) {
                let why = format!("a source of kind {word} does not take the key {}", entry.key);
                self.wrong(entry.place, path, &why);
            }
        }
    }

    /// Requires exactly one address of the pings of a job.
    fn ping(&mut self, path: &str, job: &Table) {
        let Some(entry) = job.get("ping") else { return };
        let Some(ping) = entry.value.as_table() else { return };
        let count = PING_ADDRESS.iter().filter(|key| ping.get(key).is_some()).count();
        if count != 1 {
            let why = format!("it needs one of the keys {}", PING_ADDRESS.join(" and "));
            self.wrong(entry.place, &format!("{path}.ping"), &why);
        }
    }

    /// Checks the options of one command, or of the commands below it.
    fn of_command(&mut self, command: &Command, path: &str, value: &Value) {
        let Some(table) = self.table(&format!("[{path}]"), value) else { return };
        let words: Vec<&str> = path.split('.').skip(1).collect();
        let options = own_options(command, &words);
        for entry in &table.0 {
            if let Some(option) = options.iter().find(|option| option.key == entry.key) {
                self.option(option, path, &entry.value);
            } else if let Some(inner) = command.find_subcommand(&entry.key) {
                self.of_command(inner, &format!("{path}.{}", entry.key), &entry.value);
            } else {
                let known: Vec<String> = options.iter().map(|option| option.key.clone()).collect();
                self.unknown_key(path, entry, &known);
            }
        }
    }

    fn required(&mut self, keys: &[Key], path: &str, table: &Table, place: Place) {
        let is_missing = |key: &&Key| key.need == Need::Required && table.get(key.name).is_none();
        for key in keys.iter().filter(is_missing) {
            let message = format!("{path}: the key {} is missing ({})", key.name, key.about);
            self.mistakes.push(Mistake::new(place, message));
        }
    }

    fn unknown_key(&mut self, path: &str, entry: &Entry, known: &[String]) {
        let elsewhere = SECTIONS.iter().find(|section| {
            let is_there = section.keys.iter().any(|key| key.name == entry.key);
            is_there && !path.starts_with(section.name)
        });
        if let Some(section) = elsewhere {
            let message = format!("{path}: there is no key {} here", entry.key);
            let hint = format!("it is a key of [{}]", section.name);
            self.mistakes.push(Mistake::new(entry.place, message).with_hint(hint));
            return;
        }
        let what = format!("key of [{path}]");
        self.unknown(entry.place, &what, &entry.key, known.iter().map(String::as_str));
    }

    fn unknown<'k>(
        &mut self,
        place: Place,
        what: &str,
        word: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let message = format!("{word} is no {what}");
        let hint = match alike(word, known.clone()) {
            Some(meant) => format!("probably {meant} is meant"),
            None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.mistakes.push(Mistake::new(place, message).with_hint(hint));
    }

    fn wrong(&mut self, place: Place, path: &str, why: &str) {
        self.mistakes.push(Mistake::new(place, format!("{path}: {why}")));
    }

    fn value(&mut self, kind: &Kind, path: &str, value: &Value) {
        let place = value.place;
        let wanted = |what: &str| format!("it is {}, and must be {what}", value.data.kind());
        match (kind, &value.data) {
            (Kind::Text | Kind::Path | Kind::Name(_), Data::Text(text)) if text.is_empty() => {
                self.wrong(place, path, "it is empty");
            }
            (Kind::Path, Data::Text(text)) if !text.starts_with('/') => {
                self.wrong(
                    place,
                    path,
                    "it must be an absolute path, since a job has no directory",
                );
            }
            (Kind::Name(section), Data::Text(name)) => self.name(place, path, section, name),
            (Kind::Parsed(parse), Data::Text(text)) => {
                if let Err(why) = parse(text) {
                    self.wrong(place, path, &why);
                }
            }
            (Kind::Decimal(parse), Data::Number(_) | Data::Decimal(_)) => {
                if let Err(why) = parse(&value.in_toml()) {
                    self.wrong(place, path, &why);
                }
            }
            (Kind::Word(words), Data::Text(text)) => self.word(place, path, text, words),
            (Kind::Number { least, most }, Data::Number(number)) => {
                if !(*least..=*most).contains(number) {
                    self.wrong(place, path, &format!("it must be from {least} to {most}"));
                }
            }
            (Kind::Table(keys), Data::Table(table)) => {
                self.inner(keys, path, table, place);
            }
            (Kind::Text | Kind::Path, Data::Text(_)) | (Kind::Flag, Data::Flag(_)) => {}
            (
                Kind::Texts
                | Kind::Addresses(_)
                | Kind::Command
                | Kind::Names(_)
                | Kind::Words(_)
                | Kind::Tables(_),
                Data::List(values),
            ) => self.list(kind, path, value, values),
            (kind, _) => self.wrong(place, path, &wanted(name_of(kind))),
        }
    }

    fn list(&mut self, kind: &Kind, path: &str, list: &Value, values: &[Value]) {
        if matches!(kind, Kind::Command) && values.is_empty() {
            self.wrong(list.place, path, "it is empty: the first word is the program");
        }
        if matches!(kind, Kind::Addresses(_)) && values.is_empty() {
            self.wrong(list.place, path, "it is empty");
        }
        for value in values {
            match (kind, &value.data) {
                (Kind::Tables(keys), Data::Table(table)) => {
                    self.inner(keys, path, table, value.place);
                }
                (Kind::Texts | Kind::Command, Data::Text(_)) => {}
                (Kind::Addresses(accept), Data::Text(text)) => {
                    if let Err(why) = accept(text) {
                        self.wrong(value.place, path, &why);
                    }
                }
                (Kind::Names(section), Data::Text(name)) => {
                    self.name(value.place, path, section, name);
                }
                (Kind::Words(words), Data::Text(word)) => {
                    self.word(value.place, path, word, words);
                }
                (kind, data) => {
                    let why = format!("{} is in it, and it must be {}", data.kind(), name_of(kind));
                    self.wrong(value.place, path, &why);
                }
            }
        }
        self.twice(kind, path, values);
    }

    /// Refuses a name that stands in a list twice.
    fn twice(&mut self, kind: &Kind, path: &str, values: &[Value]) {
        if !matches!(kind, Kind::Names(_) | Kind::Words(_)) {
            return;
        }
        for (index, value) in values.iter().enumerate() {
            if values[..index].iter().any(|earlier| earlier.data == value.data) {
                let name = value.as_text().unwrap_or_default();
                self.wrong(value.place, path, &format!("{name} stands in it twice"));
            }
        }
    }

    fn inner(&mut self, keys: &[Key], path: &str, table: &Table, place: Place) {
        self.required(keys, path, table, place);
        for entry in &table.0 {
            if let Some(key) = keys.iter().find(|key| key.name == entry.key) {
                self.value(&key.kind, &format!("{path}.{}", key.name), &entry.value);
            } else {
                let what = format!("key of {path}");
                self.unknown(entry.place, &what, &entry.key, keys.iter().map(|key| key.name));
            }
        }
    }

    fn word(&mut self, place: Place, path: &str, word: &str, words: &[&str]) {
        if !words.contains(&word) {
            self.unknown(place, &format!("value of {path}"), word, words.iter().copied());
        }
    }

    fn name(&mut self, place: Place, path: &str, section: &str, name: &str) {
        let sections = self.file.table(section);
        if sections.is_some_and(|known| known.get(name).is_some()) {
            return;
        }
        let known: Vec<&str> = sections
            .map(|known| known.0.iter().map(|entry| entry.key.as_str()).collect())
            .unwrap_or_default();
        let message = format!("{path}: there is no [{section}.{name}]");
        let hint = match alike(name, known.iter().copied()) {
            Some(meant) => format!("probably {meant} is meant"),
            None if known.is_empty() => format!("add a section [{section}.{name}]"),
            None => format!("there are {}", known.join(", ")),
        };
        self.mistakes.push(Mistake::new(place, message).with_hint(hint));
    }

    /// Checks the value of an option as the command line does.
    fn option(&mut self, option: &OptionKey, path: &str, value: &Value) {
        let path = format!("{path}.{}", option.key);
        let place = value.place;
        if option.is_flag {
            if !matches!(value.data, Data::Flag(_)) {
                let why = format!("it is {}, and must be true or false", value.data.kind());
                self.wrong(place, &path, &why);
            }
            return;
        }
        let words = match (&value.data, value.words()) {
            (Data::Flag(_), _) | (_, None) => {
                let why = format!("it is {}, and must be a text", value.data.kind());
                return self.wrong(place, &path, &why);
            }
            (Data::List(_), Some(_)) if !option.is_repeatable => {
                return self.wrong(place, &path, "it is a list, and takes one value");
            }
            (_, Some(words)) => words,
        };
        for word in words {
            if let Some(why) = refusal(self.grammar, option, &word) {
                self.wrong(place, &path, &why);
            }
        }
    }
}

/// An option of the command line as a key.
#[derive(Debug, Clone)]
pub(crate) struct OptionKey {
    /// The name of the key.
    pub(crate) key: String,
    /// The name of the argument in the grammar.
    pub(crate) id: String,
    /// The commands that it belongs to, word by word; none for an option of every command.
    pub(crate) command: Vec<String>,
    /// The help text, without a full stop.
    pub(crate) about: String,
    /// True if it takes no value.
    pub(crate) is_flag: bool,
    /// True if it may be given more than once.
    pub(crate) is_repeatable: bool,
    /// The values that it takes, if they are words.
    pub(crate) words: Vec<String>,
}

/// Returns the options of the command line that a section takes.
pub(crate) fn options_of(options: Options, grammar: &Command) -> Vec<OptionKey> {
    match options {
        Options::None => Vec::new(),
        Options::All => own_options(grammar, &[]),
        Options::Common(names) => {
            let mut all = own_options(grammar, &[]);
            all.retain(|option| names.contains(&option.key.as_str()));
            all
        }
        Options::Of(name, without) => {
            let command = grammar.find_subcommand(name).expect("the command exists");
            let mut all = own_options(command, &[name]);
            all.retain(|option| !without.contains(&option.key.as_str()));
            all
        }
    }
}

/// Returns the options of a command that stand in its own grammar.
pub(crate) fn own_options(command: &Command, words: &[&str]) -> Vec<OptionKey> {
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    let is_option = |name: &str| !["help", "version", "config"].contains(&name);
    named
        .filter(|(name, _)| is_option(name))
        .map(|(name, arg)| OptionKey {
            key: name.replace('-', "_"),
            id: arg.get_id().to_string(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            is_flag: !arg.get_action().takes_values(),
            is_repeatable: matches!(arg.get_action(), ArgAction::Append),
            words: arg
                .get_possible_values()
                .iter()
                .filter(|_| arg.get_action().takes_values())
                .map(|value| value.get_name().to_owned())
                .collect(),
        })
        .collect()
}

/// Returns why the command line refuses a value of an option.
fn refusal(grammar: &Command, option: &OptionKey, value: &str) -> Option<String> {
    let mut line: Vec<OsString> = vec!["haulout".into()];
    line.extend(option.command.iter().map(OsString::from));
    line.push(format!("--{}={value}", option.key.replace('_', "-")).into());
    let error = grammar.clone().try_get_matches_from(line).err()?;
    let of_value = [clap::error::ErrorKind::InvalidValue, clap::error::ErrorKind::ValueValidation];
    if !of_value.contains(&error.kind()) {
        return None;
    }
    if let Some(source) = std::error::Error::source(&error) {
        return Some(source.to_string());
    }
    let known = option.words.join(", ");
    Some(if known.is_empty() { "it is empty".to_owned() } else { format!("known are {known}") })
}

/// Returns the known word that is most like another, if one is.
fn alike<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &&'k str| strsim::jaro_winkler(word, known);
    let best = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) >= LIKENESS_MIN).then_some(best)
}

/// Returns why a name does not do for a section.
fn unfit(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name == "latest" {
        return Some("stands for the newest snapshot");
    }
    let is_fit = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(['-', '.']);
    (starts || !name.chars().all(is_fit)).then_some("may have letters, digits, - _ and . only")
}

fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Path | Kind::Parsed(_) | Kind::Word(_) | Kind::Name(_) => "a text",
        Kind::Flag => "true or false",
        Kind::Number { .. } | Kind::Decimal(_) => "a number",
        Kind::Words(_) | Kind::Texts | Kind::Addresses(_) | Kind::Command | Kind::Names(_) => {
            "a list of texts"
        }
        Kind::Table(_) => "a table",
        Kind::Tables(_) => "a list of tables",
    }
}
