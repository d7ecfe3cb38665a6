//! What is looked at before a server is changed: tables that would be replaced, tables that a
//! cluster would not replicate, and what an earlier load has left behind.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::part::client::Server;
use crate::ops::part::client::is_there;
use crate::ops::part::options::Existing;
use crate::ops::part::options::PartOptions;
use crate::ops::part::options::Unreplicated;
use crate::ops::wanted::TableName;
use crate::parse::sql::TableDefinition;
use crate::server::galera::Node;
use crate::server::session::STATEMENT_TIME;
use crate::server::session::Session;

/// Names that an error lists.
const NAMES_MAX: usize = 10;

/// The role through which a dump makes roles; a load that stops leaves it behind.
const IMPORT_ROLE: &str = "mariadb_dump_import_role";

/// A table that is going to be made, with its definition if that is known.
pub(super) type Made = (TableName, Option<TableDefinition>);

/// Looks at a server before anything is loaded into it; returns what the user should know.
/// `definitions` returns those of the tables, which only a cluster is asked about.
pub(super) fn check(
    server: &Server,
    tables: &[TableName],
    options: &PartOptions,
    definitions: &mut dyn FnMut() -> Result<Vec<Made>>,
) -> Result<Vec<String>> {
    let mut session = reach(server)?;
    let is_node = Node::ask(&mut session)?.is_some();
    let mut notes = Vec::new();
    if options.existing == Existing::Refuse {
        refuse_existing(&mut session, tables)?;
    }
    if is_node {
        let unreplicated = unreplicated(&definitions()?);
        if !unreplicated.is_empty() {
            let names = listed(&unreplicated);
            if options.unreplicated == Unreplicated::Refuse {
                let what = format!(
                    "the server is a node of a cluster, which does not replicate all of this: \
                     {names}"
                );
                return Err(Error::new(ErrorKind::Load, what));
            }
            notes.push(format!("on this node only, or not safely replicated: {names}"));
        }
    }
    notes.extend(drop_import_role(&mut session)?);
    Ok(notes)
}

/// Connects to a server that something is going to be loaded into, if its client is there.
pub(super) fn reach(server: &Server) -> Result<Session> {
    if !is_there(&server.client) {
        let name = server.client.to_string_lossy();
        let what = format!("the client of MariaDB is needed, and {name} can't be started");
        return Err(Error::new(ErrorKind::Load, what));
    }
    Session::connect(&server.address, &server.login)
}

/// Refuses to load tables that the server has.
fn refuse_existing(session: &mut Session, tables: &[TableName]) -> Result<()> {
    let schemas: BTreeSet<&str> = tables.iter().map(|name| name.schema.as_str()).collect();
    let mut there = BTreeSet::new();
    for schema in schemas {
        let statement = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {}",
            text(schema)
        );
        for row in session.rows(&statement)? {
            let table = row.into_iter().next().flatten().unwrap_or_default();
            there.insert(TableName { schema: schema.to_owned(), table });
        }
    }
    let replaced: Vec<String> =
        tables.iter().filter(|name| there.contains(name)).map(ToString::to_string).collect();
    if replaced.is_empty() {
        return Ok(());
    }
    let what = format!("the server has tables that this would replace: {}", listed(&replaced));
    Err(Error::new(ErrorKind::Occupied, what))
}

/// Says of which tables changes do not reach the other nodes, or can't be told apart there.
fn unreplicated(tables: &[Made]) -> Vec<String> {
    let reason = |(name, definition): &Made| match definition {
        Some(definition) if !definition.is_replicated() => {
            let engine = definition.engine.as_deref().unwrap_or_default();
            Some(format!("{name} ({engine})"))
        }
        Some(definition) if !definition.has_primary_key => Some(format!("{name} (no primary key)")),
        Some(_) | None => None,
    };
    tables.iter().filter_map(reason).collect()
}

/// Drops the role that a load of accounts leaves behind if it stops.
fn drop_import_role(session: &mut Session) -> Result<Option<String>> {
    let dropped = session.run(&format!("DROP ROLE {IMPORT_ROLE}"), STATEMENT_TIME)?;
    // It is not there, or the account may not make accounts: then a load that needs it says so.
    Ok(dropped.is_ok().then(|| format!("dropped the role {IMPORT_ROLE} of an earlier load")))
}

/// Joins names for people.
pub(super) fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        let others = format!(" and {} others", names.len() - NAMES_MAX);
        text.push_str(&others);
    }
    text
}

/// Writes a text of SQL, for any setting of `sql_mode`.
pub(super) fn text(value: &str) -> String {
    if value.is_empty() {
        return "''".to_owned();
    }
    let digits = crate::base::hex::encode(value.as_bytes());
    format!("CONVERT(x'{digits}' USING utf8mb4)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_a_cluster_does_not_replicate_are_named_with_the_reason() {
        let made = |table: &str, definition: &str| {
            let name = TableName { schema: "a".to_owned(), table: table.to_owned() };
            (name, TableDefinition::find(definition.as_bytes()))
        };
        let tables = [
            made("good", "CREATE TABLE `good` (\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;"),
            made("keyless", "CREATE TABLE `keyless` (\n  `id` int\n) ENGINE=InnoDB;"),
            made("old", "CREATE TABLE `old` (\n  PRIMARY KEY (`id`)\n) ENGINE=MyISAM;"),
            made("unknown", ""),
        ];
        assert_eq!(unreplicated(&tables), ["a.keyless (no primary key)", "a.old (MyISAM)"]);
        assert_eq!(text("a'"), "CONVERT(x'6127' USING utf8mb4)");
    }
}
