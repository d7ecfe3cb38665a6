//! Parts of a server that a user asks for by name, and the name that they get instead of their own.
//!
//! A table is written `schema.table`. A name with a point or a backtick in it stands in backticks,
//! in which a backtick is written twice, as in SQL.

use std::fmt;
use std::str::FromStr;

/// The longest name of a schema or table, characters, by the servers' rules.
const NAME_CHARS_MAX: usize = 64;

/// A schema or a table that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Everything in a schema.
    Schema(String),
    /// A table or view.
    Table(TableName),
}

/// A table or view with its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// The name of its schema.
    pub schema: String,
    /// Its own name, without quotes.
    pub table: String,
}

/// The schema that something is loaded into, and maybe the name that its one table gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The name of the schema.
    pub schema: String,
    /// The name of the table, if it gets another one.
    pub table: Option<String>,
}

impl fmt::Display for TableName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.schema, self.table)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(schema) => write!(out, "schema {schema}"),
            Self::Table(name) => write!(out, "table {name}"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(out, "{}.{table}", self.schema),
            None => out.write_str(&self.schema),
        }
    }
}

impl Wanted {
    /// Returns the schema that it is in, or that it is.
    pub fn schema(&self) -> &str {
        match self {
            Self::Schema(schema) => schema,
            Self::Table(name) => &name.schema,
        }
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let missing = || "a table is written SCHEMA.TABLE".to_owned();
        match &names(text)?[..] {
            [schema, table] => Ok(Self { schema: schema.clone(), table: table.clone() }),
            _ => Err(missing()),
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match &names(text)?[..] {
            [schema] => Ok(Self { schema: schema.clone(), table: None }),
            [schema, table] => Ok(Self { schema: schema.clone(), table: Some(table.clone()) }),
            _ => Err("it is written SCHEMA or SCHEMA.TABLE".to_owned()),
        }
    }
}

/// Splits names at points.
fn names(text: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut letters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        let last = names.last_mut().expect("there is always one");
        match letter {
            '`' if is_quoted && letters.peek() == Some(&'`') => {
                letters.next();
                last.push('`');
            }
            '`' if is_quoted || last.is_empty() => is_quoted = !is_quoted,
            '.' if !is_quoted => names.push(String::new()),
            letter if letter.is_control() => return Err("it has a control character".to_owned()),
            letter => last.push(letter),
        }
    }
    if is_quoted {
        return Err("a backtick is not closed".to_owned());
    }
    for name in &names {
        if name.is_empty() || name.ends_with(' ') {
            return Err("a name is empty or ends with a blank".to_owned());
        }
        if name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("a name is longer than {NAME_CHARS_MAX} characters"));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_backticks() {
        for (text, schema, table) in [
            ("shop.orders", "shop", "orders"),
            ("`my.shop`.`or``ders`", "my.shop", "or`ders"),
            ("sh`op.a b", "sh`op", "a b"),
        ] {
            let name: TableName = text.parse().unwrap();
            assert_eq!((name.schema.as_str(), name.table.as_str()), (schema, table));
        }
        for text in ["", "shop", "a.b.c", "a.", ".b", "`a.b", "a.b ", "a.\n"] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
        let into: Destination = "aside".parse().unwrap();
        assert_eq!(into.table, None);
        let into: Destination = "aside.orders_old".parse().unwrap();
        assert_eq!(into.to_string(), "aside.orders_old");
        assert!("a.b.c".parse::<Destination>().is_err());
    }
}
