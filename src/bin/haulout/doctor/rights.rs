//! The rights that the account of a source needs, and the statement that grants those that are
//! missing.
//!
//! Source: each right was taken away by itself from an account of MariaDB 10.11, and the backup
//! tried.

use haulout::server::grants::OF_DUMP;
use haulout::server::grants::on;
use haulout::server::grants::quoted;

use crate::config::tree::Table;
use crate::doctor::finding::Finding;

/// The name of the check.
const CHECK: &str = "rights";

/// The number of the error for an account that lacks a right.
const ACCESS_DENIED: [u16; 5] = [1044, 1045, 1142, 1143, 1227];

/// A statement that shows whether an account has a right, and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The right that it needs.
    pub(crate) right: &'static str,
    /// The statement that needs it.
    pub(crate) statement: &'static str,
    /// The statement that ends what the first one began.
    pub(crate) end: Option<&'static str>,
}

/// The first stage lets everybody else go on: only a second backup waits for it.
const RELOAD: Trial =
    Trial { right: "RELOAD", statement: "BACKUP STAGE START", end: Some("BACKUP STAGE END") };
const PROCESS: Trial =
    Trial { right: "PROCESS", statement: "SHOW ENGINE INNODB STATUS", end: None };
/// mariabackup does not look for this right at its start, and fails at its end without it.
const BINLOG_MONITOR: Trial =
    Trial { right: "BINLOG MONITOR", statement: "SHOW MASTER STATUS", end: None };
const SLAVE_MONITOR: Trial =
    Trial { right: "SLAVE MONITOR", statement: "SHOW SLAVE STATUS", end: None };

/// What a source needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Rights that statements try.
    pub(crate) trials: Vec<Trial>,
    /// Rights that are looked up, on everything or on a schema.
    pub(crate) looked_up: Vec<(&'static str, Option<String>)>,
}

impl Needs {
    /// Returns what a source needs, from what it does.
    pub(crate) fn of(source: &Table) -> Self {
        let args = source.texts("args");
        let says = |option: &str| args.iter().any(|arg| arg.split('=').next() == Some(option));
        let mut needs = Self::default();
        if source.text("kind") == Some("mariabackup") {
            needs.trials.extend([RELOAD, PROCESS, BINLOG_MONITOR]);
            needs.trials.extend(says("--slave-info").then_some(SLAVE_MONITOR));
            let pauses = says("--safe-slave-backup");
            needs.looked_up.extend(pauses.then_some(("REPLICATION SLAVE ADMIN", None)));
            return needs;
        }
        if ["--master-data", "--dump-slave"].into_iter().any(says) {
            needs.trials.push(BINLOG_MONITOR);
        }
        if source.text("only") == Some("accounts") {
            needs.looked_up.push(("SELECT", Some("mysql".to_owned())));
            return needs;
        }
        let databases = source.texts("databases");
        let schemas: Vec<Option<String>> = if databases.is_empty() {
            vec![None]
        } else {
            databases.into_iter().map(Some).collect()
        };
        let of_schema = |schema: Option<String>| OF_DUMP.map(|right| (right, schema.clone()));
        needs.looked_up.extend(schemas.into_iter().flat_map(of_schema));
        needs
    }
}

/// What came out of looking for a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The account has it.
    Has,
    /// The account lacks it.
    Lacks,
    /// It could not be seen, for this reason.
    Unknown(String),
}

impl Answer {
    /// Reads the answer of a server to a trial.
    pub(crate) fn of_refusal(code: u16, message: &str) -> Self {
        if ACCESS_DENIED.contains(&code) {
            Self::Lacks
        } else {
            Self::Unknown(format!("error {code}: {message}"))
        }
    }
}

/// A right, what it is needed on, and whether the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Right {
    /// The name of the right in a statement.
    pub(crate) name: &'static str,
    /// The schema that it is needed on, or everything.
    pub(crate) schema: Option<String>,
    /// Whether the account has it.
    pub(crate) answer: Answer,
}

/// Judges the rights of an account.
pub(crate) fn judge(account: &str, rights: &[Right]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing: Vec<&Right> = rights.iter().filter(|one| one.answer == Answer::Lacks).collect();
    if !missing.is_empty() {
        let mut scopes: Vec<Option<&str>> =
            missing.iter().map(|right| right.schema.as_deref()).collect();
        scopes.dedup();
        let names = |scope: Option<&str>| {
            let of = missing.iter().filter(|right| right.schema.as_deref() == scope);
            of.map(|right| right.name).collect::<Vec<_>>().join(", ")
        };
        let found = scopes.iter().map(|&scope| format!("{} on {}", names(scope), on(scope)));
        let found = found.collect::<Vec<_>>().join("; ");
        let to = quoted(account);
        let grant =
            |scope: Option<&str>| format!("GRANT {} ON {} TO {to};", names(scope), on(scope));
        let grants = scopes.iter().copied().map(grant).collect::<Vec<_>>().join(" ");
        findings.push(Finding::failed(CHECK, format!("{account} lacks {found}"), grants));
    }
    for right in rights {
        if let Answer::Unknown(why) = &right.answer {
            findings.push(Finding::not_checked(CHECK, format!("{}: {why}", right.name)));
        }
    }
    if findings.is_empty() {
        // Of several schemas each needs the same ones.
        let mut names: Vec<&str> = Vec::new();
        for right in rights {
            if !names.contains(&right.name) {
                names.push(right.name);
            }
        }
        findings.push(Finding::good(CHECK, format!("{account} has {}", names.join(", "))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;
    use crate::doctor::finding::State;

    fn needs(text: &str) -> String {
        let (table, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        let needs = Needs::of(&table);
        let looked_up = needs.looked_up.iter().map(|(right, schema)| {
            schema.as_ref().map_or((*right).to_owned(), |schema| format!("{right} on {schema}"))
        });
        let tried = needs.trials.iter().map(|trial| trial.right.to_owned());
        tried.chain(looked_up).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_kind_of_source_needs_its_rights() {
        for (text, expected) in [
            ("kind = 'mariabackup'", "RELOAD, PROCESS, BINLOG MONITOR"),
            (
                "kind = 'mariabackup'\nargs = ['--slave-info', '--safe-slave-backup']",
                "RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR, REPLICATION SLAVE ADMIN",
            ),
            ("kind = 'mariadb-dump'", "SELECT, SHOW VIEW, EVENT, TRIGGER"),
            (
                "kind = 'mariadb-dump'\ndatabases = ['a']\nargs = ['--master-data=2']",
                "BINLOG MONITOR, SELECT on a, SHOW VIEW on a, EVENT on a, TRIGGER on a",
            ),
            ("kind = 'mariadb-dump'\nonly = 'accounts'", "SELECT on mysql"),
        ] {
            assert_eq!(needs(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_granted_by_the_statement_of_the_hint() {
        let right = |name, schema: Option<&str>, answer| Right {
            name,
            schema: schema.map(str::to_owned),
            answer,
        };
        let found = judge(
            "backup@localhost",
            &[
                right("RELOAD", None, Answer::Lacks),
                right("PROCESS", None, Answer::Has),
                right("BINLOG MONITOR", None, Answer::Lacks),
                right("EVENT", Some("shop"), Answer::Lacks),
            ],
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].state, State::Failed);
        assert_eq!(
            found[0].hint.as_deref(),
            Some(
                "GRANT RELOAD, BINLOG MONITOR ON *.* TO 'backup'@'localhost'; \
                 GRANT EVENT ON `shop`.* TO 'backup'@'localhost';"
            )
        );
        let good = judge("b@%", &[right("PROCESS", None, Answer::Has)]);
        assert_eq!((good[0].state, good[0].found.as_str()), (State::Good, "b@% has PROCESS"));
        let unknown = judge("b@%", &[right("RELOAD", None, Answer::Unknown("busy".to_owned()))]);
        assert_eq!(unknown[0].state, State::NotChecked);
    }

    #[test]
    fn only_a_refusal_for_want_of_a_right_says_that_it_is_missing() {
        assert_eq!(Answer::of_refusal(1227, "Access denied"), Answer::Lacks);
        let timeout = Answer::of_refusal(1205, "Lock wait timeout exceeded");
        assert!(matches!(timeout, Answer::Unknown(_)));
    }
}
