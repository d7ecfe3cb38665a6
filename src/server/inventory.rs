//! The objects of users that a server lists for an account, and those of InnoDB that it lists for
//! an account with the right to see the dictionary.
//!
//! An account sees in `information_schema` only what it has rights on, so a list by itself can't
//! show what a dump by the same account leaves out. Two things reach further: the rights of the
//! account, and `INNODB_SYS_TABLES`, which shows all tables of InnoDB to an account with PROCESS.
//!
//! Names are compared as the server has them. One of InnoDB that can't be read back from the
//! spelling of file names is left out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::error::Result;
use crate::server::session::Session;
use crate::server::session::Texts;

/// The time in which a server lists its objects; it may have to open each of them.
const LIST_TIME: Duration = Duration::from_mins(2);

/// The time for which a listing may wait for a change of a definition.
const WAIT: &str = "SET SESSION lock_wait_timeout = 10";

/// Schemas of the server itself.
const SYSTEM: &str = "('mysql', 'sys', 'information_schema', 'performance_schema')";

/// Engines whose tables one transaction holds still, or which have no data of their own.
const HELD_STILL: [&str; 8] = [
    "INNODB",
    "ROCKSDB",
    "BLACKHOLE",
    "CONNECT",
    "FEDERATED",
    "PERFORMANCE_SCHEMA",
    "SEQUENCE",
    "SPIDER",
];

/// A schema and a name in it.
pub type ObjectName = (String, String);

/// What a server is asked to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The schemas that matter; all of users if there are none.
    pub schemas: Vec<String>,
    /// Schemas that do not matter.
    pub without_schemas: Vec<String>,
    /// Tables and views that do not matter, as `schema.table`.
    pub without_tables: Vec<String>,
}

impl Scope {
    /// Tells whether the objects of a schema matter.
    pub fn has_schema(&self, schema: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|one| one == schema);
        (self.schemas.is_empty() || is_in(&self.schemas)) && !is_in(&self.without_schemas)
    }

    /// Tells whether a table or view matters.
    fn has(&self, (schema, name): &ObjectName) -> bool {
        let full = format!("{schema}.{name}");
        self.has_schema(schema) && !self.without_tables.contains(&full)
    }
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// A table or sequence, with its engine if the server could read it.
    Table(Option<String>),
    /// A view of other tables.
    View,
    /// A table of InnoDB that the account does not see.
    Hidden,
}

impl TableKind {
    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View => "view",
            Self::Hidden => "table (the account does not see it)",
        }
    }

    /// Returns the engine of a table that no transaction holds still while it is read.
    pub fn changing_engine(&self) -> Option<&str> {
        let Self::Table(Some(engine)) = self else { return None };
        let is_held = HELD_STILL.iter().any(|held| engine.eq_ignore_ascii_case(held));
        (!is_held).then_some(engine)
    }
}

/// The objects of users that a server listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Tables, sequences and views.
    pub tables: BTreeMap<ObjectName, TableKind>,
    /// Functions, procedures and packages, with their kind before the name.
    pub routines: BTreeSet<ObjectName>,
    /// Events of all schemas that matter.
    pub events: BTreeSet<ObjectName>,
    /// Triggers of all tables that matter.
    pub triggers: BTreeSet<ObjectName>,
    /// True if the account may see all tables of InnoDB.
    pub sees_innodb: bool,
}

impl Inventory {
    /// Asks a server for all that matters.
    pub fn ask(session: &mut Session, scope: &Scope) -> Result<Self> {
        session.rows(WAIT)?;
        let of_users = |columns: &str, table: &str, schema: &str| {
            format!(
                "SELECT {columns} FROM information_schema.{table} WHERE {schema} NOT IN {SYSTEM}"
            )
        };
        let mut listed = |statement: &str| match session.try_rows(statement, LIST_TIME)? {
            Ok(rows) => Ok(rows),
            Err(refusal) => Err(session.refused(&refusal)),
        };
        let tables = "TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE";
        let tables = listed(&of_users(tables, "TABLES", "TABLE_SCHEMA"))?;
        let routines = "ROUTINE_SCHEMA, CONCAT(ROUTINE_TYPE, ' ', ROUTINE_NAME)";
        let routines = listed(&of_users(routines, "ROUTINES", "ROUTINE_SCHEMA"))?;
        let events = listed(&of_users("EVENT_SCHEMA, EVENT_NAME", "EVENTS", "EVENT_SCHEMA"))?;
        let triggers = "EVENT_OBJECT_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE";
        let triggers = listed(&of_users(triggers, "TRIGGERS", "EVENT_OBJECT_SCHEMA"))?;
        let innodb = "SELECT NAME FROM information_schema.INNODB_SYS_TABLES";
        let innodb = session.try_rows(innodb, LIST_TIME)?.ok();
        let in_scope = |rows: Vec<Texts>| -> BTreeSet<ObjectName> {
            rows.into_iter().filter_map(pair).filter(|(s, _)| scope.has_schema(s)).collect()
        };
        let mut inventory = Self {
            tables: tables.into_iter().filter_map(table).filter(|(n, _)| scope.has(n)).collect(),
            routines: in_scope(routines),
            events: in_scope(events),
            triggers: triggers.into_iter().filter_map(|row| trigger(row, scope)).collect(),
            sees_innodb: innodb.is_some(),
        };
        let names = innodb.into_iter().flatten().filter_map(|row| row.into_iter().next()?);
        inventory.add_hidden(names, scope);
        Ok(inventory)
    }

    /// Adds the tables of InnoDB that the account did not list.
    fn add_hidden(&mut self, names: impl Iterator<Item = String>, scope: &Scope) {
        for name in names.filter_map(|name| of_innodb(&name)).filter(|name| scope.has(name)) {
            let is_system = SYSTEM.contains(&format!("'{}'", name.0));
            if !is_system {
                self.tables.entry(name).or_insert(TableKind::Hidden);
            }
        }
    }

    /// Returns what another listing has as well: what was there at both moments.
    #[must_use]
    pub fn also_in(mut self, other: &Self) -> Self {
        self.tables.retain(|name, _| other.tables.contains_key(name));
        self.routines.retain(|name| other.routines.contains(name));
        self.events.retain(|name| other.events.contains(name));
        self.triggers.retain(|name| other.triggers.contains(name));
        self
    }
}

fn pair(row: Texts) -> Option<ObjectName> {
    let mut texts = row.into_iter();
    Some((texts.next()??, texts.next()??))
}

fn table(row: Texts) -> Option<(ObjectName, TableKind)> {
    let mut texts = row.into_iter();
    let name = (texts.next()??, texts.next()??);
    let kind = match texts.next()??.as_str() {
        "VIEW" => TableKind::View,
        "SYSTEM VIEW" | "TEMPORARY" | "LOCAL TEMPORARY" => return None,
        _ => TableKind::Table(texts.next().flatten()),
    };
    Some((name, kind))
}

fn trigger(row: Texts, scope: &Scope) -> Option<ObjectName> {
    let mut texts = row.into_iter();
    let (schema, name) = (texts.next()??, texts.next()??);
    let table = (schema, texts.next()??);
    scope.has(&table).then_some((table.0, name))
}

/// Reads the name of a table as the dictionary of InnoDB has it: `schema/table`, spelled as file
/// names are. Parts of tables and tables of InnoDB itself are none.
fn of_innodb(name: &str) -> Option<ObjectName> {
    let (schema, table) = name.split_once('/')?;
    let is_inner = table.starts_with('#') || table.starts_with("FTS_");
    let part = ["#P#", "#p#"].iter().find_map(|mark| table.find(mark));
    let table = &table[..part.unwrap_or(table.len())];
    if is_inner {
        return None;
    }
    Some((unspelled(schema)?, unspelled(table)?))
}

/// Reads a name from the spelling of file names; nothing if it has letters that have spellings of
/// their own there.
fn unspelled(text: &str) -> Option<String> {
    let mut parts = text.split('@');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(4)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        name.push(char::from_u32(code)?);
        name.push_str(rest);
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ObjectName {
        let (schema, name) = text.split_once('.').unwrap();
        (schema.to_owned(), name.to_owned())
    }

    fn row(words: &str) -> Texts {
        words.split(' ').map(|word| (word != "-").then(|| word.replace('_', " "))).collect()
    }

    #[test]
    fn names_of_innodb_are_read_back_as_far_as_they_can_be() {
        for (spelled, expected) in [
            ("shop/orders", Some("shop.orders")),
            ("my@002dshop/a@0020b@0024", Some("my-shop.a b$")),
            ("shop/parts#P#p0", Some("shop.parts")),
            ("shop/parts#p#p0#sp#s1", Some("shop.parts")),
            ("shop/#sql-ib12", None),
            ("shop/FTS_000000000000001a_CONFIG", None),
            ("shop/@1r@00e9", None),
            ("SYS_FOREIGN", None),
        ] {
            assert_eq!(of_innodb(spelled), expected.map(name), "{spelled}");
        }
    }

    #[test]
    fn tables_that_the_account_does_not_see_are_those_of_innodb() {
        let scope = Scope { without_tables: vec!["shop.cache".to_owned()], ..Scope::default() };
        let mut inventory = Inventory::default();
        let (seen, kind) = table(row("shop orders BASE_TABLE InnoDB")).unwrap();
        inventory.tables.insert(seen, kind);
        let names = ["shop/orders", "bank/money", "mysql/gtid_slave_pos", "shop/cache"];
        inventory.add_hidden(names.map(str::to_owned).into_iter(), &scope);
        let kinds: Vec<&TableKind> = inventory.tables.values().collect();
        assert_eq!(kinds, [&TableKind::Hidden, &TableKind::Table(Some("InnoDB".to_owned()))]);
        assert!(inventory.tables.contains_key(&name("bank.money")));
    }

    #[test]
    fn rows_of_the_server_are_tables_views_and_triggers() {
        let kind = |words| table(row(words)).map(|(_, kind)| kind);
        assert_eq!(kind("s v VIEW -"), Some(TableKind::View));
        assert_eq!(kind("s t SEQUENCE InnoDB").unwrap().changing_engine(), None);
        assert_eq!(kind("s t BASE_TABLE Aria").unwrap().changing_engine(), Some("Aria"));
        assert_eq!(kind("s t BASE_TABLE -").unwrap().changing_engine(), None);
        assert_eq!(kind("s t SYSTEM_VIEW MEMORY"), None);
        let scope = Scope { without_tables: vec!["s.t".to_owned()], ..Scope::default() };
        assert_eq!(trigger(row("s tr t"), &scope), None);
        assert_eq!(trigger(row("s tr u"), &scope), Some(name("s.tr")));
    }

    #[test]
    fn what_matters_is_what_the_dump_has() {
        let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let some = Scope { schemas: list("a b"), without_schemas: list("b"), ..Scope::default() };
        let seen = |scope: &Scope| ["a", "b", "c"].map(|schema| scope.has_schema(schema));
        assert_eq!(seen(&some), [true, false, false]);
        assert_eq!(seen(&Scope::default()), [true; 3]);
    }

    #[test]
    fn only_what_was_there_at_both_moments_counts() {
        let listing = |names: &[&str]| {
            let names: BTreeSet<ObjectName> = names.iter().map(|text| name(text)).collect();
            let kind = |name: &ObjectName| (name.clone(), TableKind::View);
            Inventory {
                tables: names.iter().map(kind).collect(),
                routines: names.clone(),
                events: names.clone(),
                triggers: names,
                sees_innodb: true,
            }
        };
        let both = listing(&["a.old", "a.stays"]).also_in(&listing(&["a.stays", "a.new"]));
        assert_eq!(both, listing(&["a.stays"]));
    }
}
