//! Tables that are not InnoDB's: no transaction holds them still, and no cluster replicates them.

use crate::doctor::finding::Finding;

/// The name of the check.
const CHECK: &str = "engines";

/// Engines whose tables have no data of their own to be backed up.
const WITHOUT_DATA: [&str; 6] =
    ["BLACKHOLE", "CONNECT", "FEDERATED", "PERFORMANCE_SCHEMA", "SEQUENCE", "SPIDER"];

/// The way in which the tables are backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By mariabackup, from one server.
    Files,
    /// By a dump in one transaction.
    Dump,
    /// In any way, from a node of a cluster.
    Cluster,
}

/// Judges the tables of users, counted by engine; an account may see only some of them.
///
/// `files` is the number of files of tables that the server has, if it said so.
pub(crate) fn judge(tables: &[(String, u64)], files: Option<u64>, way: Way) -> Finding {
    let total: u64 = tables.iter().map(|(_, count)| count).sum();
    if total == 0 && files.is_some_and(|files| files > 0) {
        return Finding::not_checked(CHECK, "the account sees no tables; it would need SELECT");
    }
    let holds = |engine: &str| {
        let is_safe = engine.eq_ignore_ascii_case("InnoDB");
        !is_safe && !WITHOUT_DATA.iter().any(|other| engine.eq_ignore_ascii_case(other))
    };
    let others: Vec<&(String, u64)> = tables.iter().filter(|(engine, _)| holds(engine)).collect();
    if others.is_empty() {
        return Finding::good(
            CHECK,
            format!("all of {total} tables that the account sees are InnoDB's"),
        );
    }
    let names: Vec<String> =
        others.iter().map(|(engine, count)| format!("{engine} {count}")).collect();
    let found = format!("tables that are not InnoDB's: {}", names.join(", "));
    let convert = "convert them with ALTER TABLE ... ENGINE=InnoDB";
    match way {
        Way::Files => Finding::good(CHECK, found)
            .with_hint("writes to them wait while they are copied; convert those that are large"),
        Way::Dump => Finding::warning(
            CHECK,
            format!("{found}; the dump's transaction does not hold them still"),
            format!("{convert}, or back them up with mariabackup"),
        ),
        Way::Cluster => Finding::warning(
            CHECK,
            format!("{found}; the cluster does not replicate them"),
            convert,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn tables_of_other_engines_matter_to_dumps_and_clusters() {
        let tables = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
            names.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let mixed = tables(&[("InnoDB", 5), ("MyISAM", 2)]);
        for (way, state) in
            [(Way::Files, State::Good), (Way::Dump, State::Warning), (Way::Cluster, State::Warning)]
        {
            let found = judge(&mixed, Some(5), way);
            assert_eq!(found.state, state, "{way:?}");
            assert!(found.found.contains("MyISAM 2") && found.hint.is_some(), "{found:?}");
            let good = judge(&tables(&[("InnoDB", 5), ("SEQUENCE", 1)]), Some(5), way);
            assert_eq!((good.state, good.hint), (State::Good, None));
        }
        assert_eq!(judge(&[], Some(5), Way::Dump).state, State::NotChecked);
        assert_eq!(judge(&[], Some(0), Way::Dump).state, State::Good);
    }
}
