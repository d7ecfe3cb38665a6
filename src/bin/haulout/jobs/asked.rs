//! What a backup asks of the server of its source: whether it is a node of a Galera cluster, and
//! what a dump must hold.
//!
//! ```text
//! mariabackup: is it a node? ---> --galera-info, and the limit of its pause
//! mariadb-dump: rights, objects --before, and again at the end--> what must be in the dump
//! ```
//!
//! Invariants:
//! - A server that can't be asked costs no backup: it is the finding `server-not-asked`.
//! - Only what the server listed before the dump and after it must be in it: what was made or
//!   dropped meanwhile may be there or not.
//! - What the configuration says goes before what the server says.

use std::ffi::OsString;
use std::sync::Arc;

use haulout::error::Error;
use haulout::error::Result;
use haulout::ops::expected::Expected;
use haulout::ops::expected::Witness;
use haulout::server::galera::is_node;
use haulout::server::grants::Grants;
use haulout::server::grants::OF_DUMP;
use haulout::server::grants::on;
use haulout::server::inventory::Inventory;
use haulout::server::inventory::Scope;
use haulout::server::session::Session;
use haulout::source::Server;
use haulout::source::stages::server_of;
use haulout::verdict::finding::Code;
use haulout::verdict::finding::Finding;
use haulout::verdict::finding::FindingLog;

use crate::config::tree::Table;
use crate::jobs::producer::is_of_accounts;
use crate::jobs::producer::is_set;
use crate::jobs::server;

/// The option of mariabackup that stores the position in the cluster.
const POSITION: &str = "--galera-info";

/// What a backup knows of its server.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Whether the server is a node of a cluster.
    pub(crate) server: Server,
    /// The command line of the producer.
    pub(crate) command: Vec<OsString>,
    /// The server, if it knows what the stream must hold.
    pub(crate) witness: Option<Arc<dyn Witness>>,
}

impl Asked {
    /// Returns what the command line of a producer says by itself.
    pub(crate) fn nothing(command: &[OsString]) -> Self {
        Self { server: server_of(command), command: command.to_vec(), witness: None }
    }

    /// Asks the server of a source about a backup with this command line.
    pub(crate) fn of(
        name: &str,
        source: &Table,
        command: &[OsString],
        findings: &FindingLog,
    ) -> Self {
        let asked = Self::nothing(command);
        match source.text("kind") {
            Some("mariabackup") => asked.of_backup(name, source, findings),
            Some("mariadb-dump") if !is_of_accounts(source) => {
                let witness = ServerWitness::new(name, source);
                Self { witness: Some(Arc::new(witness)), ..asked }
            }
            _ => asked,
        }
    }

    fn of_backup(self, name: &str, source: &Table, findings: &FindingLog) -> Self {
        if self.server == Server::ClusterNode {
            return self;
        }
        let is_of_cluster = if source.get("cluster").is_some() {
            Ok(true)
        } else {
            server::of_source(source).and_then(|mut session| is_node(&mut session))
        };
        match is_of_cluster {
            Ok(true) => {
                let is_left = is_set(source, "galera_info").is_some() || is_said(&self.command);
                let mut command = self.command;
                command.extend((!is_left).then(|| POSITION.into()));
                Self { server: Server::ClusterNode, command, ..self }
            }
            Ok(false) => self,
            Err(error) => {
                let what = "whether it is a node of a Galera cluster";
                findings.report(not_asked(name, what, &error));
                self
            }
        }
    }
}

/// Tells whether a command line says itself whether the position is stored.
fn is_said(command: &[OsString]) -> bool {
    command.iter().any(|word| word.to_string_lossy().replace('_', "-").contains("galera-info"))
}

fn not_asked(name: &str, what: &str, error: &Error) -> Finding {
    let text = format!("{what} is not known: {}", error.with_causes());
    Finding::new(Code::ServerNotAsked, name, text)
}

/// The server of a dump, asked before it and after it.
#[derive(Debug)]
struct ServerWitness {
    name: String,
    source: Table,
    scope: Scope,
    before: Result<Seen>,
}

/// What a server showed at one moment.
#[derive(Debug)]
struct Seen {
    inventory: Inventory,
    /// The account, and the rights that it lacks with what they are needed on.
    account: String,
    lacks: Vec<(&'static str, String)>,
}

impl ServerWitness {
    fn new(name: &str, source: &Table) -> Self {
        let scope = scope(source);
        let before = server::of_source(source)
            .and_then(|mut session| Seen::ask(&mut session, &scope, &needed(source)));
        Self { name: name.to_owned(), source: source.clone(), scope, before }
    }

    fn again(&self) -> Result<Inventory> {
        let mut session = server::of_source(&self.source)?;
        Inventory::ask(&mut session, &self.scope)
    }
}

impl Witness for ServerWitness {
    fn expected(&self) -> Expected {
        let unknown = |error: &Error| {
            let finding = not_asked(&self.name, "what the dump must hold", error);
            Expected { inventory: None, findings: vec![finding] }
        };
        let seen = match &self.before {
            Ok(seen) => seen,
            Err(error) => return unknown(error),
        };
        let mut expected = match self.again() {
            Ok(after) => {
                let inventory = after_options(seen.inventory.clone().also_in(&after), &self.source);
                Expected { inventory: Some(inventory), findings: Vec::new() }
            }
            Err(error) => unknown(&error),
        };
        expected.findings.extend(seen.missing_rights());
        expected
    }
}

impl Seen {
    fn ask(session: &mut Session, scope: &Scope, needed: &[&'static str]) -> Result<Self> {
        let first = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
            rows.into_iter().filter_map(|row| row.into_iter().next()?).collect()
        };
        let account = first(session.rows("SELECT CURRENT_USER()")?).concat();
        let grants = Grants::read(&first(session.rows("SHOW GRANTS")?));
        let inventory = Inventory::ask(session, scope)?;
        Ok(Self { inventory, account, lacks: lacking(&grants, scope, needed) })
    }

    fn missing_rights(&self) -> Option<Finding> {
        let words = self.lacks.iter().map(|(right, on)| format!("{right} on {on}"));
        let words = words.collect::<Vec<_>>().join(", ");
        let text = format!(
            "the account lacks {words}: what needs it is not in the dump, and not in what the \
             server lists"
        );
        (!self.lacks.is_empty()).then(|| Finding::new(Code::MissingRights, &self.account, text))
    }
}

/// Returns the rights that an account lacks, and what they are needed on.
fn lacking(grants: &Grants, scope: &Scope, needed: &[&'static str]) -> Vec<(&'static str, String)> {
    let schemas: Vec<Option<&str>> = if scope.schemas.is_empty() {
        vec![None]
    } else {
        scope.schemas.iter().map(|name| Some(name.as_str())).collect()
    };
    let pairs = schemas.iter().flat_map(|schema| needed.iter().map(move |right| (right, *schema)));
    let lacks = pairs.filter(|(right, schema)| !grants.has(right, *schema));
    lacks.map(|(right, schema)| (*right, on(schema))).collect()
}

/// Returns the rights that a dump with the options of a source needs.
fn needed(source: &Table) -> Vec<&'static str> {
    let args = source.texts("args");
    let is_off = |option: &str| args.iter().any(|arg| arg == option);
    let mut rights = OF_DUMP.to_vec();
    rights.retain(|right| match *right {
        "EVENT" => !is_off("--skip-events"),
        "TRIGGER" => !is_off("--skip-triggers"),
        _ => true,
    });
    rights
}

/// Returns what a dump has, as its source and its arguments say.
pub(crate) fn scope(source: &Table) -> Scope {
    let args = source.texts("args");
    let valued = |option: &str| -> Vec<String> {
        let glued = args.iter().filter_map(|arg| arg.strip_prefix(option)?.strip_prefix('='));
        let apart = args.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str());
        glued.chain(apart).map(str::to_owned).collect()
    };
    let with = |key: &str, option: &str| {
        let named = source.texts(key).into_iter();
        named.chain(valued(option)).collect()
    };
    Scope {
        schemas: source.texts("databases"),
        without_schemas: with("exclude_databases", "--ignore-database"),
        without_tables: with("exclude_tables", "--ignore-table"),
    }
}

/// Leaves out what the arguments of the tool leave out, and names that it may write otherwise.
fn after_options(mut inventory: Inventory, source: &Table) -> Inventory {
    let args = source.texts("args");
    let says = |start: &str| args.iter().any(|arg| arg.starts_with(start));
    if says("--skip-routines") {
        inventory.routines.clear();
    }
    if says("--skip-events") {
        inventory.events.clear();
    }
    if says("--skip-triggers") || says("--no-create-info") {
        inventory.triggers.clear();
    }
    if says("--default-character-set") {
        inventory.tables.retain(|(schema, name), _| schema.is_ascii() && name.is_ascii());
    }
    inventory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    fn source(text: &str) -> Table {
        let (table, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        table
    }

    fn asked(text: &str, command: &str) -> (String, Server, usize) {
        let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        let findings = FindingLog::default();
        let asked = Asked::of("db", &source(text), &words, &findings);
        let line = asked.command.iter().map(|word| word.to_string_lossy().into_owned());
        let found = findings.take();
        assert!(found.iter().all(|one| one.code == Code::ServerNotAsked), "{found:?}");
        (line.collect::<Vec<_>>().join(" "), asked.server, found.len())
    }

    #[test]
    fn what_the_configuration_says_goes_before_what_the_server_says() {
        let none = "kind = 'mariabackup'\nsocket = '/nowhere'\n";
        let with = |more: &str| format!("{none}{more}");
        for (text, command, expected, server, findings) in [
            (with(""), "m", "m", Server::Unknown, 1),
            (with("cluster = 'c'"), "m", "m --galera-info", Server::ClusterNode, 0),
            (with("cluster = 'c'"), "m --galera-info", "m --galera-info", Server::ClusterNode, 0),
            (with("cluster = 'c'\ngalera_info = false"), "m", "m", Server::ClusterNode, 0),
            (
                with("cluster = 'c'"),
                "m --galera_info=0",
                "m --galera_info=0",
                Server::ClusterNode,
                0,
            ),
        ] {
            let expected = (expected.to_owned(), server, findings);
            assert_eq!(asked(&text, command), expected, "{text}");
        }
    }

    #[test]
    fn a_server_of_a_dump_that_does_not_answer_is_a_finding() {
        let dump = source("kind = 'mariadb-dump'\nsocket = '/nowhere'");
        let witness = Asked::of("db", &dump, &["d".into()], &FindingLog::default()).witness;
        let expected = witness.unwrap().expected();
        assert!(expected.inventory.is_none());
        assert_eq!(expected.findings[0].code, Code::ServerNotAsked);
        assert!(expected.findings[0].text.contains("/nowhere"), "{:?}", expected.findings);
        let accounts = source("kind = 'mariadb-dump'\nonly = 'accounts'");
        assert!(Asked::of("db", &accounts, &[], &FindingLog::default()).witness.is_none());
    }

    #[test]
    fn a_dump_has_what_its_source_and_its_arguments_say() {
        let dump = source(
            "kind = 'mariadb-dump'\ndatabases = ['a', 'b']\nexclude_tables = ['a.x']\n\
             args = ['--ignore-table=a.y', '--ignore-table', 'a.z', '--skip-events']",
        );
        let found = scope(&dump);
        assert_eq!(found.schemas, ["a", "b"]);
        assert_eq!(found.without_tables, ["a.x", "a.y", "a.z"]);
        assert_eq!(needed(&dump), ["SELECT", "SHOW VIEW", "TRIGGER"]);
        let grants = ["GRANT SELECT, SHOW VIEW, TRIGGER ON `a`.* TO `x`@`%`".to_owned()];
        let lacks = lacking(&Grants::read(&grants), &found, &needed(&dump));
        let of_b = |right| (right, "`b`.*".to_owned());
        assert_eq!(lacks, ["SELECT", "SHOW VIEW", "TRIGGER"].map(of_b));
        let all = lacking(&Grants::read(&grants), &Scope::default(), &["EVENT"]);
        assert_eq!(all, [("EVENT", "*.*".to_owned())]);
    }

    #[test]
    fn arguments_that_leave_objects_out_are_followed() {
        let name = |text: &str| ("shop".to_owned(), text.to_owned());
        let all = Inventory {
            events: [name("e")].into(),
            triggers: [name("t")].into(),
            routines: [name("r")].into(),
            ..Inventory::default()
        };
        let left = |args: &str| {
            let source = source(&format!("kind = 'mariadb-dump'\nargs = [{args}]"));
            let left = after_options(all.clone(), &source);
            (left.events.len(), left.triggers.len(), left.routines.len())
        };
        assert_eq!(left(""), (1, 1, 1));
        assert_eq!(left("'--skip-events', '--no-create-info'"), (0, 0, 1));
        assert_eq!(left("'--skip-triggers', '--skip-routines'"), (1, 0, 0));
    }
}
