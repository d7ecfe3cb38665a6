//! The text of a configuration file as values that know where they stand.
//!
//! `toml` goes on after a fault of the notation, so that all faults are reported at once.
//! What the values mean is not known here.

use serde::Serialize;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

/// A place in the file, as editors count: both begin with 1, columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    /// The number of the line.
    pub(crate) line: usize,
    /// The number of the character in it.
    pub(crate) column: usize,
}

impl Place {
    /// Returns the place of a byte.
    fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let begins = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line, column: before[begins..].chars().count() + 1 }
    }
}

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The beginning of the value.
    pub(crate) place: Place,
    /// The value, by its kind.
    pub(crate) data: Data,
}

/// A whole number, positive or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// A string of characters.
    Text(String),
    /// An array of any values.
    Number(i64),
    /// A number with a point, as it is written.
    Decimal(String),
    /// One of `true` and `false`.
    Flag(bool),
    /// An array of values.
    List(Vec<Value>),
    /// A table, inline or with a heading.
    Table(Table),
    /// A kind of value that no key takes, by its name in TOML.
    Other(&'static str),
}

impl Data {
    /// Returns the name of the kind, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Decimal(_) => "a number with a point",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name of the key.
    pub(crate) key: String,
    /// The place of the key.
    pub(crate) place: Place,
    /// The value of the key.
    pub(crate) value: Value,
}

/// The entries of a table, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) Vec<Entry>);

impl Table {
    /// Returns the entry with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// Returns the text of a key, if it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.value.as_text()
    }

    /// Returns the table of a key, if it has one.
    pub(crate) fn table(&self, key: &str) -> Option<&Self> {
        self.get(key)?.value.as_table()
    }

    /// Returns the values of the list of a key; none if it is not there.
    pub(crate) fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Entry { value: Value { data: Data::List(values), .. }, .. }) => values,
            Some(_) | None => &[],
        }
    }

    /// Returns the texts of the list of a key; none if it is not there.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Value::as_text).map(str::to_owned).collect()
    }
}

impl Value {
    /// Returns the text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Data::Text(text) = &self.data { Some(text) } else { None }
    }

    /// Returns the table, if it is one.
    pub(crate) fn as_table(&self) -> Option<&Table> {
        if let Data::Table(table) = &self.data { Some(table) } else { None }
    }

    /// Returns the value as an option of the command line has it: several for a list, nothing for
    /// what can't stand there.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        match &self.data {
            Data::Text(text) => Some(vec![text.clone()]),
            Data::Number(number) => Some(vec![number.to_string()]),
            Data::Flag(flag) => Some(vec![flag.to_string()]),
            Data::List(values) => {
                let words: Option<Vec<Vec<String>>> = values.iter().map(Self::words).collect();
                words.map(|words| words.concat())
            }
            Data::Table(_) | Data::Decimal(_) | Data::Other(_) => None,
        }
    }

    /// Returns the value as it stands in a file.
    pub(crate) fn in_toml(&self) -> String {
        match &self.data {
            Data::Text(text) => format!("{text:?}"),
            Data::Number(number) => number.to_string(),
            Data::Decimal(number) => number.clone(),
            Data::Flag(flag) => flag.to_string(),
            Data::List(values) => {
                format!("[{}]", values.iter().map(Self::in_toml).collect::<Vec<_>>().join(", "))
            }
            Data::Table(table) => {
                let entry =
                    |Entry { key, value, .. }: &Entry| format!("{key} = {}", value.in_toml());
                format!("{{ {} }}", table.0.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            Data::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// A fault of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The place of the fault.
    pub(crate) place: Place,
    /// What is wrong there.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Mistake {
    /// Creates a mistake without a hint.
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Parses the text of a file. All faults of the notation are returned with what could be read.
pub(crate) fn parse(text: &str) -> (Table, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mistake = |error: &toml::de::Error| {
        let offset = error.span().map_or(0, |span| span.start);
        Mistake::new(Place::of(text, offset), error.message().to_owned())
    };
    let mut mistakes: Vec<Mistake> = errors.iter().map(mistake).collect();
    let table = table_of(text, document.get_ref(), &mut mistakes);
    (table, mistakes)
}

fn table_of(text: &str, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place::of(text, key.span().start),
            value: value_of(text, value, mistakes),
        })
        .collect();
    entries.sort_by_key(|entry| entry.place);
    Table(entries)
}

fn value_of(text: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) -> Value {
    let place = Place::of(text, value.span().start);
    let data = match value.get_ref() {
        DeValue::String(string) => Data::Text(string.to_string()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            if number.is_err() {
                mistakes.push(Mistake::new(place, "the number is too large"));
            }
            Data::Number(number.unwrap_or_default())
        }
        DeValue::Boolean(flag) => Data::Flag(*flag),
        DeValue::Array(values) => {
            Data::List(values.iter().map(|value| value_of(text, value, mistakes)).collect())
        }
        DeValue::Table(table) => Data::Table(table_of(text, table, mistakes)),
        DeValue::Float(number) => Data::Decimal(number.as_str().to_owned()),
        DeValue::Datetime(_) => Data::Other("a date"),
    };
    Value { place, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let (table, mistakes) =
            parse("# a\n[job.x]\n  \"\u{e9}\" = 1\n  \"\u{e8}b\" = [\"c\", true]\n");
        assert_eq!(mistakes, []);
        let job = table.table("job").unwrap().table("x").unwrap();
        assert_eq!(job.get("\u{e9}").unwrap().place, Place { line: 3, column: 3 });
        assert_eq!(job.get("\u{e9}").unwrap().value.data, Data::Number(1));
        assert_eq!(job.get("\u{e8}b").unwrap().value.place, Place { line: 4, column: 10 });
        assert_eq!(job.get("\u{e8}b").unwrap().value.words().unwrap(), ["c", "true"]);
    }

    #[test]
    fn all_faults_of_the_notation_are_found_at_once() {
        let (table, mistakes) = parse("a = \nb = 1\nc = 'x\nd = 99999999999999999999\n");
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.place.line).collect();
        assert_eq!(lines, [1, 3, 4], "{mistakes:?}");
        assert_eq!(table.get("b").unwrap().value.data, Data::Number(1));
    }
}
