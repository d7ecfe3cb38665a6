//! The size of what a backup of a server reads, as the server says it.
//!
//! The sizes of tables are estimates of the engines, and those of InnoDB are pages: the text of a
//! dump has other lengths. Data and indexes together were more than the text of a dump in each case
//! that was tried.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::server::inventory::Scope;
use crate::server::session::Session;
use crate::server::session::Texts;

/// The time in which a server adds up its tables; it may have to open each of them.
const SUM_TIME: Duration = Duration::from_mins(1);

const TABLES: &str = "SELECT TABLE_SCHEMA, SUM(IFNULL(DATA_LENGTH, 0) + IFNULL(INDEX_LENGTH, 0)) \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN \
    ('mysql', 'sys', 'information_schema', 'performance_schema') GROUP BY TABLE_SCHEMA";

/// Returns the bytes of data and indexes of the tables that matter and that the account sees.
pub fn tables(session: &mut Session, scope: &Scope) -> Result<u64> {
    match session.try_rows(TABLES, SUM_TIME)? {
        Ok(rows) => Ok(sum(rows, scope)),
        Err(refusal) => Err(session.refused(&refusal)),
    }
}

fn sum(rows: Vec<Texts>, scope: &Scope) -> u64 {
    let bytes = |row: Texts| {
        let mut texts = row.into_iter();
        let schema = texts.next()??;
        let bytes: u64 = texts.next()??.parse().ok()?;
        scope.has_schema(&schema).then_some(bytes)
    };
    rows.into_iter().filter_map(bytes).fold(0, u64::saturating_add)
}

/// Returns the data directory of a server.
pub fn data_directory(session: &mut Session) -> Result<PathBuf> {
    let found = session.pairs("SHOW GLOBAL VARIABLES WHERE Variable_name = 'datadir'")?;
    let path = found.get("datadir").filter(|path| !path.is_empty()).map(PathBuf::from);
    path.ok_or_else(|| {
        let message = format!("the server {} names no data directory", session.address());
        Error::new(ErrorKind::Server, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_the_dump_leaves_out_count_nothing() {
        let row = |schema: &str, bytes: Option<&str>| {
            vec![Some(schema.to_owned()), bytes.map(str::to_owned)]
        };
        let rows = || vec![row("a", Some("100")), row("b", Some("20")), row("c", None)];
        assert_eq!(sum(rows(), &Scope::default()), 120);
        let without = Scope { without_schemas: vec!["a".to_owned()], ..Scope::default() };
        assert_eq!(sum(rows(), &without), 20);
        assert_eq!(sum(vec![row("a", Some("18446744073709551616"))], &Scope::default()), 0);
    }
}
