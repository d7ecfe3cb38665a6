//! What a dump must hold, by the word of its server, and what of it is missing.
//!
//! A tool whose account lacks rights leaves objects out and ends with status 0. Which tables and
//! views arrived is known by name, since each is a member of the stream; triggers, routines and
//! events are counted, since they stand inside of members.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::format::record::MemberKey;
use crate::parse::sql::DumpCounts;
use crate::parse::sql::DumpKind;
use crate::parse::sql::SqlMember;
use crate::parse::sql::SqlPart;
use crate::server::inventory::Inventory;
use crate::server::inventory::ObjectName;
use crate::server::inventory::TableKind;
use crate::verdict::Facts;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;

/// Objects that are named, of each kind.
const NAMED_MAX: usize = 100;

/// Knows the server of a dump.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Returns what the dump must hold. It is asked once, when the stream has ended.
    fn expected(&self) -> Expected;
}

/// What is known of the server when a dump has ended.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The objects that were there before and after the dump, if they are known.
    pub inventory: Option<Inventory>,
    /// What was found besides.
    pub findings: Vec<Finding>,
}

/// Returns the counts of a stream that is a dump of statements.
pub(super) fn counts_of(facts: &Facts) -> Option<DumpCounts> {
    let Facts::Sql(facts) = facts else { return None };
    (facts.kind == DumpKind::Statements).then_some(facts.counts)
}

/// Compares what must be there with what arrived: `visit` goes through the members of the stream.
pub(super) fn compare(
    inventory: &Inventory,
    counts: &DumpCounts,
    visit: impl FnOnce(&mut dyn FnMut(&MemberKey) -> Result<()>) -> Result<()>,
) -> Result<Vec<Finding>> {
    let mut missing = inventory.tables.clone();
    let mut without_schema = BTreeSet::new();
    visit(&mut |key| {
        let Some(SqlMember { schema, part }) = SqlMember::of(&key.path) else { return Ok(()) };
        let SqlPart::Object(name) = part else { return Ok(()) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if let Some(schema) = schema {
            missing.remove(&(text(schema), text(name)));
        } else {
            without_schema.insert(text(name));
        }
        Ok(())
    })?;
    missing.retain(|(_, name), _| !without_schema.contains(name));
    let mut findings = missing_tables(&missing, &inventory.tables);
    let pairs = [
        ("routines", &inventory.routines, counts.routines),
        ("events", &inventory.events, counts.events),
        ("triggers", &inventory.triggers, counts.triggers),
    ];
    for (word, listed, made) in pairs {
        if u64_of(listed.len()) > made {
            let text = format!("the server lists {}, and the dump makes {made}", listed.len());
            findings.push(Finding::new(Code::MissingObjects, word, text));
        }
    }
    findings.extend(not_held_still(inventory));
    Ok(findings)
}

/// Names schemas of which nothing is there, and tables of others.
fn missing_tables(
    missing: &BTreeMap<ObjectName, TableKind>,
    all: &BTreeMap<ObjectName, TableKind>,
) -> Vec<Finding> {
    let count = |tables: &BTreeMap<ObjectName, TableKind>| {
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        tables.keys().for_each(|(schema, _)| *counted.entry(schema.clone()).or_default() += 1);
        counted
    };
    let (lost, had) = (count(missing), count(all));
    let is_whole = |schema: &String| lost.get(schema) == had.get(schema);
    let schemas = lost.iter().filter(|(schema, _)| is_whole(schema)).map(|(schema, count)| {
        let text = format!("the dump has none of its tables and views: {count} on the server");
        Finding::new(Code::MissingObjects, schema, text)
    });
    let tables = missing.iter().filter(|((schema, _), _)| !is_whole(schema));
    let tables = tables.map(|((schema, name), kind)| {
        let text = format!("the server has the {}, and the dump has not", kind.word());
        Finding::new(Code::MissingObjects, format!("{schema}/{name}"), text)
    });
    bounded(schemas.chain(tables).collect(), Code::MissingObjects)
}

/// Names tables that the transaction of the dump did not hold still.
fn not_held_still(inventory: &Inventory) -> Vec<Finding> {
    let found = inventory.tables.iter().filter_map(|((schema, name), kind)| {
        let engine = kind.changing_engine()?;
        let text = format!("{engine}: the transaction of the dump does not hold it still");
        Some(Finding::new(Code::NotTransactional, format!("{schema}/{name}"), text))
    });
    bounded(found.collect(), Code::NotTransactional)
}

fn bounded(mut findings: Vec<Finding>, code: Code) -> Vec<Finding> {
    let others = findings.len().saturating_sub(NAMED_MAX);
    findings.truncate(NAMED_MAX);
    if others > 0 {
        findings.push(Finding::new(code, "stream", format!("{others} more of them")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ObjectName {
        let (schema, name) = text.split_once('/').unwrap();
        (schema.to_owned(), name.to_owned())
    }

    fn inventory(tables: &[&str]) -> Inventory {
        let table = |text: &&str| (name(text), TableKind::Table(Some("InnoDB".to_owned())));
        Inventory { tables: tables.iter().map(table).collect(), ..Inventory::default() }
    }

    fn found(inventory: &Inventory, counts: DumpCounts, members: &[&str]) -> Vec<String> {
        let visit = |each: &mut dyn FnMut(&MemberKey) -> Result<()>| {
            let key = |path: &&str| MemberKey { path: path.as_bytes().to_vec(), incarnation: 0 };
            members.iter().try_for_each(|path| each(&key(path)))
        };
        let findings = compare(inventory, &counts, visit).unwrap();
        findings.iter().map(|one| format!("{} {}: {}", one.code, one.object, one.text)).collect()
    }

    #[test]
    fn each_table_that_the_server_lists_is_a_member() {
        let mut listed = inventory(&["shop/a b", "shop/orders", "bank/money", "x/t"]);
        listed.tables.insert(name("shop/v"), TableKind::View);
        listed.tables.insert(name("shop/secret"), TableKind::Hidden);
        let whole = ["bank/money.sql", "shop/a%20b.sql", "shop/orders.sql", "shop/secret.sql"];
        let rest = ["shop/v.placeholder.sql", "shop/v.view.sql", "x/@database.sql", "x/t.sql"];
        let all = [&whole[..], &rest].concat();
        assert_eq!(found(&listed, DumpCounts::default(), &all), Vec::<String>::new());
        let some = ["shop/a%20b.sql", "shop/orders.sql", "x/@database.sql", "x/@routines.sql"];
        assert_eq!(
            found(&listed, DumpCounts::default(), &some),
            [
                "missing-objects bank: the dump has none of its tables and views: 1 on the server",
                "missing-objects x: the dump has none of its tables and views: 1 on the server",
                "missing-objects shop/secret: the server has the table (the account does not see \
                 it), and the dump has not",
                "missing-objects shop/v: the server has the view, and the dump has not",
            ]
        );
        // A dump of one schema may not say which.
        let alone = inventory(&["shop/orders"]);
        assert_eq!(found(&alone, DumpCounts::default(), &["orders.sql"]), Vec::<String>::new());
    }

    #[test]
    fn programs_are_counted() {
        let mut listed = inventory(&[]);
        listed.routines = ["a/f", "a/g"].map(name).into();
        listed.events = ["a/e"].map(name).into();
        listed.triggers = ["a/t"].map(name).into();
        let counts = DumpCounts { routines: 2, events: 1, triggers: 1, ..DumpCounts::default() };
        assert_eq!(found(&listed, counts, &[]), Vec::<String>::new());
        let fewer = DumpCounts { routines: 1, triggers: 0, ..counts };
        assert_eq!(
            found(&listed, fewer, &[]),
            [
                "missing-objects routines: the server lists 2, and the dump makes 1",
                "missing-objects triggers: the server lists 1, and the dump makes 0",
            ]
        );
    }

    #[test]
    fn tables_of_other_engines_are_named_up_to_a_bound() {
        let mut listed = inventory(&[]);
        for number in 0..NAMED_MAX + 7 {
            let kind = TableKind::Table(Some("Aria".to_owned()));
            listed.tables.insert(name(&format!("shop/t{number:03}")), kind);
        }
        let members: Vec<String> =
            (0..NAMED_MAX + 7).map(|n| format!("shop/t{n:03}.sql")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let found = found(&listed, DumpCounts::default(), &members);
        assert_eq!(found.len(), NAMED_MAX + 1);
        assert!(found[0].starts_with("not-transactional shop/t000: Aria: "), "{}", found[0]);
        assert_eq!(found[NAMED_MAX], "not-transactional stream: 7 more of them");
    }
}
