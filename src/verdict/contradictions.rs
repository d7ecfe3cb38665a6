//! The contradictions in a backup's statements, and the parts that every backup has and this one
//! lacks.
//!
//! Invariants, each so that a good backup is never refused:
//! - the definition of a tablespace may be missing where nothing reads it: of a full-text index, a
//!   partition (the table has one), a table that is dropped or renamed, and with MySQL 8, which has
//!   no such files;
//! - what a describing file does not say contradicts nothing.

use std::collections::BTreeMap;

use crate::verdict::metadata::Statements;
use crate::verdict::observer::Observer;
use crate::verdict::reason::mbstream::MbstreamReason;

/// The directory of the server's own tables.
const SYSTEM_SCHEMA: &[u8] = b"mysql";

/// Tablespaces without a definition, or of one number, that are named; more are only counted.
const TABLESPACES_NAMED_MAX: usize = 200;

/// Collects what the backup says twice and not in the same way.
pub(super) fn contradictions(seen: &Observer) -> Vec<MbstreamReason> {
    let mut found = statements_against_each_other(&seen.statements);
    if let Some(stated) = seen.statements.positions.page_size {
        let others = seen.page_sizes.iter().filter(|(bytes, _)| **bytes != stated);
        found.extend(others.map(|(bytes, path)| {
            format!("backup-my.cnf states pages of {stated} bytes, '{path}' has some of {bytes}")
        }));
    }
    found.into_iter().map(MbstreamReason::Contradiction).chain(shared_numbers(seen)).collect()
}

fn statements_against_each_other(statements: &Statements) -> Vec<String> {
    let positions = &statements.positions;
    let info = &statements.info;
    let is_incremental = positions.backup_type.as_deref().map(|kind| kind == "incremental");
    let mut found = Vec::new();
    let differ = |name: &str, in_info: Option<u64>, in_checkpoints: Option<u64>| {
        let (info, checkpoints) = (in_info?, in_checkpoints?);
        let words = || {
            format!("{name} is {checkpoints} in the checkpoints file and {info} in the info file")
        };
        (info != checkpoints).then(words)
    };
    found.extend(differ("from_lsn", info.from_lsn, positions.from_lsn));
    found.extend(differ("to_lsn", info.to_lsn, positions.to_lsn));
    if let (Some(says), Some(is)) = (info.is_incremental, is_incremental)
        && says != is
    {
        let kind = positions.backup_type.as_deref().unwrap_or_default();
        let says = if says { "Y" } else { "N" };
        found.push(format!("the backup_type is {kind}, the info file has incremental = {says}"));
    }
    let order = [
        ("from_lsn", positions.from_lsn, "to_lsn", positions.to_lsn),
        ("to_lsn", positions.to_lsn, "last_lsn", positions.last_lsn),
    ];
    found.extend(order.into_iter().filter_map(|(first, early, second, late)| {
        let (early, late) = (early?, late?);
        let words = || format!("{first} is {early}, after {second}, which is {late}");
        (early > late).then(words)
    }));
    found
}

/// Finds tablespaces of one number: of two of them, the server opens one.
fn shared_numbers(seen: &Observer) -> Vec<MbstreamReason> {
    let all = |each: &mut dyn FnMut(u32, &dyn Fn() -> String)| {
        for (path, space) in &seen.spaces.paths {
            each(*space, &|| path.to_string());
        }
        seen.arrived.each_table(&mut |table| {
            for (space, name) in table.numbered_tablespaces() {
                each(space, &|| name.clone());
            }
        });
    };
    let mut numbers: Vec<u32> = Vec::new();
    all(&mut |space, _| numbers.push(space));
    numbers.sort_unstable();
    let repeated = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let mut named: BTreeMap<u32, Vec<String>> =
        repeated.take(TABLESPACES_NAMED_MAX).map(|space| (space, Vec::new())).collect();
    if named.is_empty() {
        return Vec::new();
    }
    all(&mut |space, name| {
        if let Some(names) = named.get_mut(&space) {
            names.push(format!("'{}'", name()));
        }
    });
    let reason = |(space, mut names): (u32, Vec<String>)| {
        names.sort_unstable();
        MbstreamReason::SameSpace { space, names: names.join(" and ") }
    };
    named.into_iter().map(reason).collect()
}

/// Collects what every server has and this backup has not: definitions of its tablespaces, and its
/// own tables.
pub(super) fn absent(seen: &Observer) -> Vec<MbstreamReason> {
    let mut found = Vec::new();
    let is_mysql_8 = seen.arrived.has_top(b"mysql.ibd");
    if !is_mysql_8 {
        seen.arrived.each_table(&mut |table| {
            let room = TABLESPACES_NAMED_MAX.saturating_sub(found.len());
            found
                .extend(table.undefined_tablespaces().take(room).map(MbstreamReason::NoDefinition));
        });
        found.sort_by_key(ToString::to_string);
    }
    let statements = &seen.statements;
    let is_full = statements.positions.backup_type.as_deref() == Some("full-backuped");
    let is_whole = statements.is_selection == Some(false);
    if is_full && is_whole && !is_mysql_8 && !seen.arrived.has_tables_in(SYSTEM_SCHEMA) {
        found.push(MbstreamReason::NoSystemSchema);
    }
    found
}
