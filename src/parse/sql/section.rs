//! The members of a dump: what each is about, and under which path it is kept.
//!
//! | path | holds |
//! |---|---|
//! | `@preamble.sql` | everything before the first database or table: the session's settings |
//! | `@replication.sql` | binary log and GTID positions, which a restored table must not set |
//! | `@system.sql` | users, roles, plugins |
//! | `SCHEMA/@database.sql` | `CREATE DATABASE` and `USE` |
//! | `SCHEMA/TABLE.sql` | structure, rows and triggers of a table; a sequence |
//! | `SCHEMA/VIEW.placeholder.sql` | what stands for a view until everything it needs is there |
//! | `SCHEMA/VIEW.view.sql` | the view |
//! | `SCHEMA/@routines.sql`, `SCHEMA/@events.sql` | functions, procedures and packages; events |
//! | `@trailer.sql` | what puts the session's settings back, and the completion line |
//!
//! Without a known schema (`--compact` of one database) tables stand at the top level. In names,
//! everything but letters, digits, `_`, `-`, `$` and bytes from 0x80 is written `%xx`, so that no
//! name of a table leads out of a directory or looks like one of ours.

/// The longest name that makes a path: 64 characters of the longest kind.
const NAME_BYTES_MAX: usize = 256;

/// The longest spelling of a name that makes a path.
const SPELLED_BYTES_MAX: usize = 224;

/// The subject of a part of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Section {
    Preamble,
    Replication,
    System,
    Trailer,
    Database(Name),
    Routines(Option<Name>),
    Events(Option<Name>),
    Object(Kind, Option<Name>, Name),
}

/// The kind of an object with a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Placeholder,
    View,
}

/// A name of a schema, table or view that fits into a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// Takes a name as the server knows it, without quotes.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (1..=NAME_BYTES_MAX).contains(&bytes.len());
        let name = Self(bytes.to_vec());
        (fits && name.spelled().len() <= SPELLED_BYTES_MAX).then_some(name)
    }

    /// Returns the name for people; bytes that are not UTF-8 are replaced.
    pub(super) fn display(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    fn spelled(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len());
        for byte in &self.0 {
            if byte.is_ascii_alphanumeric() || b"_-$".contains(byte) || !byte.is_ascii() {
                out.push(*byte);
            } else {
                out.extend_from_slice(format!("%{byte:02x}").as_bytes());
            }
        }
        out
    }
}

impl Section {
    /// Returns the path of the member.
    pub(super) fn path(&self) -> Vec<u8> {
        let (schema, last) = match self {
            Self::Preamble => (None, b"@preamble".to_vec()),
            Self::Replication => (None, b"@replication".to_vec()),
            Self::System => (None, b"@system".to_vec()),
            Self::Trailer => (None, b"@trailer".to_vec()),
            Self::Database(schema) => (Some(schema), b"@database".to_vec()),
            Self::Routines(schema) => (schema.as_ref(), b"@routines".to_vec()),
            Self::Events(schema) => (schema.as_ref(), b"@events".to_vec()),
            Self::Object(kind, schema, name) => {
                let suffix: &[u8] = match kind {
                    Kind::Table => b"",
                    Kind::Placeholder => b".placeholder",
                    Kind::View => b".view",
                };
                (schema.as_ref(), [&name.spelled(), suffix].concat())
            }
        };
        let mut path = schema.map(Name::spelled).unwrap_or_default();
        if schema.is_some() {
            path.push(b'/');
        }
        path.extend_from_slice(&last);
        path.extend_from_slice(b".sql");
        path
    }

    /// Tells whether both are about the same object, even if of different kinds.
    pub(super) fn shares_object_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(_, schema, name), Self::Object(_, other_schema, other_name)) => {
                schema == other_schema && name == other_name
            }
            _ => self == other,
        }
    }

    /// Says what the section is about, for people.
    pub(super) fn words(&self) -> String {
        let of = |schema: &Option<Name>| {
            schema.as_ref().map_or(String::new(), |schema| format!(" of {}", schema.display()))
        };
        match self {
            Self::Preamble => "its preamble".to_owned(),
            Self::Replication => "its replication positions".to_owned(),
            Self::System => "users and plugins".to_owned(),
            Self::Trailer => "its trailer".to_owned(),
            Self::Database(schema) => format!("database '{}'", schema.display()),
            Self::Routines(schema) => format!("the routines{}", of(schema)),
            Self::Events(schema) => format!("the events{}", of(schema)),
            Self::Object(kind, schema, name) => {
                let schema = schema.as_ref().map_or(String::new(), |s| s.display() + ".");
                let kind = if *kind == Kind::Table { "table" } else { "view" };
                format!("{kind} '{schema}{}'", name.display())
            }
        }
    }
}

/// The content of a member's path, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlMember {
    /// Its schema, as the server knows it.
    pub schema: Option<Vec<u8>>,
    /// The part of the dump that it holds.
    pub part: SqlPart,
}

/// The purpose of a member of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlPart {
    /// Every restore begins with it.
    Preamble,
    /// Every restore ends with it.
    Trailer,
    /// Makes the schema and goes into it.
    Database,
    /// An object, or the `@routines` and `@events` of a schema: by this name.
    Object(Vec<u8>),
    /// Positions, users and the like: `@replication`, `@system`.
    Server(Vec<u8>),
}

impl SqlMember {
    /// Reads the path of a member of a dump.
    pub fn of(path: &[u8]) -> Option<Self> {
        let stem = path.strip_suffix(b".sql")?;
        let (schema, last) = match stem.iter().position(|byte| *byte == b'/') {
            Some(at) => (Some(unspelled(&stem[..at])?), &stem[at + 1..]),
            None => (None, stem),
        };
        let part = match (schema.is_some(), last) {
            (false, b"@preamble") => SqlPart::Preamble,
            (false, b"@trailer") => SqlPart::Trailer,
            (true, b"@database") => SqlPart::Database,
            (_, b"@routines" | b"@events") => SqlPart::Object(last.to_vec()),
            (false, _) if last.starts_with(b"@") => SqlPart::Server(last.to_vec()),
            _ => {
                let end = last.iter().position(|byte| *byte == b'.').unwrap_or(last.len());
                SqlPart::Object(unspelled(&last[..end])?)
            }
        };
        Some(Self { schema, part })
    }

    /// Returns the name to select it by: `schema.table`, or `table` if the schema is not known.
    pub fn name(&self) -> Vec<u8> {
        let last: &[u8] = match &self.part {
            SqlPart::Preamble => b"@preamble",
            SqlPart::Trailer => b"@trailer",
            SqlPart::Database => b"@database",
            SqlPart::Object(name) | SqlPart::Server(name) => name,
        };
        match &self.schema {
            Some(schema) => [schema, &b"."[..], last].concat(),
            None => last.to_vec(),
        }
    }
}

fn unspelled(spelled: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let text = std::str::from_utf8(digits).ok()?;
        out.push(u8::from_str_radix(text, 16).ok()?);
        rest = tail;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::path::StreamPath;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_makes_a_harmless_path_of_its_own_and_is_read_back(
            schema in prop::collection::vec(any::<u8>(), 1..64),
            table in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            let (schema, table) = (Name::new(&schema).unwrap(), Name::new(&table).unwrap());
            let section = Section::Object(Kind::View, Some(schema.clone()), table.clone());
            let path = section.path();
            prop_assert!(StreamPath::new(&path).unwrap().is_canonical());
            let member = SqlMember::of(&path).unwrap();
            prop_assert_eq!(member.name(), [&schema.0, &b"."[..], &table.0].concat());
            prop_assert_eq!(member.schema, Some(schema.0));
        }

        #[test]
        fn arbitrary_paths_do_no_harm(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let _unused = SqlMember::of(&path);
        }
    }

    #[test]
    fn names_that_look_like_ours_or_like_paths_are_spelled_apart() {
        for (name, path) in [
            ("instances", "nova/instances.sql"),
            ("@database", "nova/%40database.sql"),
            ("../../etc/passwd", "nova/%2e%2e%2f%2e%2e%2fetc%2fpasswd.sql"),
            ("v.view", "nova/v%2eview.sql"),
            ("r\u{e9}sum\u{e9}", "nova/r\u{e9}sum\u{e9}.sql"),
            ("a b", "nova/a%20b.sql"),
        ] {
            let (schema, table) = (Name::new(b"nova"), Name::new(name.as_bytes()).unwrap());
            let section = Section::Object(Kind::Table, schema, table);
            assert_eq!(section.path(), path.as_bytes());
        }
        assert_eq!(Name::new(&[b'/'; 100]), None, "no path has room for it");
        assert_eq!(Name::new(b""), None);
    }
}
