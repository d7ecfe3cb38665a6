//! The JSON schema of a configuration file, for editors that check what is typed.

use clap::Command;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::config::check::OptionKey;
use crate::config::check::options_of;
use crate::config::check::own_options;
use crate::config::keys::HowMany;
use crate::config::keys::Key;
use crate::config::keys::Kind;
use crate::config::keys::Need;
use crate::config::keys::Options;
use crate::config::keys::SECTIONS;
use crate::config::keys::Section;

/// Returns the schema, of draft 2020-12.
pub(crate) fn schema(grammar: &Command) -> Value {
    let sections: Map<String, Value> = SECTIONS
        .iter()
        .map(|section| {
            let one = of_section(section, grammar);
            let value = match section.number {
                HowMany::One => one,
                HowMany::Named => json!({
                    "type": "object",
                    "description": section.about,
                    "additionalProperties": one,
                }),
            };
            (section.name.to_owned(), value)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "haulout.toml",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

fn of_section(section: &Section, grammar: &Command) -> Value {
    let options = options_of(section.options, grammar);
    let mut properties: Map<String, Value> = options.iter().map(of_option).collect();
    if section.options == Options::All {
        let commands = grammar.get_subcommands().map(|command| of_command(command, &[]));
        properties.extend(commands);
    }
    object(section.about, section.keys, properties)
}

fn of_command(command: &Command, above: &[&str]) -> (String, Value) {
    let words: Vec<&str> = above.iter().copied().chain([command.get_name()]).collect();
    let own = own_options(command, &words);
    let mut properties: Map<String, Value> = own.iter().map(of_option).collect();
    properties.extend(command.get_subcommands().map(|inner| of_command(inner, &words)));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    (command.get_name().to_owned(), object(&about, &[], properties))
}

fn of_option(option: &OptionKey) -> (String, Value) {
    let one = if option.is_flag {
        json!({ "type": "boolean" })
    } else if option.words.is_empty() {
        json!({ "type": ["string", "integer"] })
    } else {
        json!({ "enum": option.words })
    };
    let mut value = if option.is_repeatable {
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    } else {
        one
    };
    value["description"] = json!(option.about);
    (option.key.clone(), value)
}

fn object(about: &str, keys: &[Key], mut properties: Map<String, Value>) -> Value {
    properties.extend(keys.iter().map(|key| {
        let mut value = of_kind(&key.kind);
        value["description"] = json!(key.about);
        (key.name.to_owned(), value)
    }));
    let is_required = |key: &&Key| key.need == Need::Required;
    let required: Vec<&str> = keys.iter().filter(is_required).map(|key| key.name).collect();
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of_kind(kind: &Kind) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match kind {
        Kind::Text | Kind::Name(_) => json!({ "type": "string", "minLength": 1 }),
        Kind::Path => json!({ "type": "string", "pattern": "^/" }),
        Kind::Parsed(_) => json!({ "type": "string" }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Words(words) => {
            json!({ "type": "array", "items": { "enum": words }, "uniqueItems": true })
        }
        Kind::Decimal(_) => json!({ "type": "number" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Texts | Kind::Addresses(_) => texts(),
        Kind::Command => {
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
        }
        Kind::Names(_) => {
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true })
        }
        Kind::Table(keys) => object("", keys, Map::new()),
        Kind::Tables(keys) => {
            json!({ "type": "array", "items": object("", keys, Map::new()) })
        }
    }
}
