//! Asks servers and programs. Nothing here judges what they say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use haulout::error::Result;
use haulout::server::galera::Node;
use haulout::server::grants::Grants;
use haulout::server::grants::quoted;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::server::session::Session;
use haulout::shared::entries::entries;
use haulout::world::Clock;

use crate::doctor::galera::Member;
use crate::doctor::rights::Answer;
use crate::doctor::rights::Needs;
use crate::doctor::rights::Right;
use crate::doctor::rights::Trial;
use crate::doctor::server::number;
use crate::doctor::tool::Tool;
use crate::doctor::writes::Growth;

/// The time between two looks at a counter.
const BETWEEN: Duration = Duration::from_secs(2);

/// The time in which tables are counted; the server may have to open each of them.
const COUNT_TIME: Duration = Duration::from_mins(1);

/// The time for which a trial may wait for a backup that runs.
const LOCK_SECONDS: u8 = 2;

const COUNTERS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_os_log_written', \
    'wsrep_replicated_bytes', 'wsrep_received_bytes', 'Uptime')";

const COMPARED: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('version', 'server_id', 'wsrep_gtid_domain_id')";

const ENGINES: &str = "SELECT IFNULL(ENGINE, 'unreadable'), COUNT(*) \
    FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA \
    NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') GROUP BY 1";

const FILES: &str = "SELECT COUNT(*) FROM information_schema.INNODB_SYS_TABLESPACES";

/// Roles have no host.
const ACCOUNTS: &str = "SELECT CONCAT(User, '@', Host) FROM mysql.global_priv WHERE Host <> ''";

const PLUGINS: &str = "SELECT PLUGIN_NAME FROM information_schema.PLUGINS \
    WHERE PLUGIN_TYPE = 'ENCRYPTION' AND PLUGIN_STATUS = 'ACTIVE'";

/// Asks a program for its version.
pub(crate) fn tool(program: &str) -> Tool {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let answer = match output {
        Ok(output) if output.status.success() => {
            let both = [output.stdout, output.stderr].concat();
            Ok(String::from_utf8_lossy(&both).into_owned())
        }
        Ok(output) => Err(format!("it ended with {}", output.status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("it is not there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Tool { program: program.to_owned(), answer }
}

/// Tries to read the files of a server.
pub(crate) fn read_files(directory: &str) -> std::result::Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let directory = Path::new(directory);
    entries(directory).map_err(words)?;
    File::open(directory.join("ibdata1")).map_err(|error| format!("ibdata1: {error}"))?;
    Ok(())
}

/// The answers of a server to what is asked of every one.
#[derive(Debug)]
pub(crate) struct Answers {
    /// The variables, with lower-case names.
    pub(crate) variables: BTreeMap<String, String>,
    /// The state of a node, if the server is one.
    pub(crate) node: Option<Node>,
}

impl Answers {
    /// Asks a server for what even a node out of its cluster says.
    pub(crate) fn ask(session: &mut Session) -> Result<Self> {
        let variables = session.pairs("SHOW GLOBAL VARIABLES")?;
        Ok(Self { variables, node: Node::ask(session)? })
    }

    /// Returns a variable; nothing if it is empty or unknown.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }
}

/// Asks a member of a cluster for what is compared.
pub(crate) fn member(place: String, login: &Login) -> Member {
    let ask = || -> std::result::Result<_, String> {
        let address = place.parse::<Address>()?;
        let session = Session::connect(&address, login);
        let answer = session.and_then(|mut session| session.pairs(COMPARED));
        answer.map_err(|error| error.with_causes())
    };
    let answer = ask();
    Member { place, answer }
}

/// Returns the account that the server takes this client for.
pub(crate) fn account(session: &mut Session) -> Result<String> {
    let rows = session.rows("SELECT CURRENT_USER()")?;
    Ok(first(rows).unwrap_or_default())
}

/// Looks for the rights that a source needs.
pub(crate) fn rights(session: &mut Session, needs: &Needs) -> Result<Vec<Right>> {
    let mut rights = Vec::new();
    let wait = format!("SET SESSION lock_wait_timeout = {LOCK_SECONDS}");
    session.rows(&wait)?;
    for trial in &needs.trials {
        let answer = tried(session, trial)?;
        rights.push(Right { name: trial.right, schema: None, answer });
    }
    if needs.looked_up.is_empty() {
        return Ok(rights);
    }
    let lines =
        session.rows("SHOW GRANTS")?.into_iter().filter_map(|row| row.into_iter().next()?);
    let grants = Grants::read(&lines.collect::<Vec<_>>());
    rights.extend(needs.looked_up.iter().map(|(name, schema)| {
        let has = grants.has(name, schema.as_deref());
        let answer = if has { Answer::Has } else { Answer::Lacks };
        Right { name, schema: schema.clone(), answer }
    }));
    Ok(rights)
}

/// Returns the accounts that the server lists and does not know, each with its words: a dump of
/// accounts ends at the first of them.
pub(crate) fn unknown_accounts(session: &mut Session) -> Result<Option<Vec<String>>> {
    let listed = session.try_rows(ACCOUNTS, COUNT_TIME)?;
    let Ok(rows) = listed else { return Ok(None) };
    let mut unknown = Vec::new();
    for account in rows.into_iter().filter_map(|row| row.into_iter().next()?) {
        let statement = format!("SHOW CREATE USER {}", quoted(&account));
        if let Err(refusal) = session.try_rows(&statement, COUNT_TIME)? {
            unknown.push(format!("{account} ({refusal})"));
        }
    }
    Ok(Some(unknown))
}

fn tried(session: &mut Session, trial: &Trial) -> Result<Answer> {
    let time = Duration::from_secs(u64::from(LOCK_SECONDS) + 8);
    let answer = match session.try_rows(trial.statement, time)? {
        Ok(_) => Answer::Has,
        Err(refusal) => return Ok(Answer::of_refusal(refusal.code, &refusal.message)),
    };
    if let Some(end) = trial.end {
        session.rows(end)?;
    }
    Ok(answer)
}

/// The growth of what a server writes, between two looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writes {
    /// Bytes of the redo log.
    pub(crate) redo: Growth,
    /// Bytes of write sets, of this node and of the others.
    pub(crate) write_sets: Growth,
}

impl Writes {
    /// Looks twice at a server.
    pub(crate) fn watch(session: &mut Session, clock: &dyn Clock) -> Result<Self> {
        let (before, began) = (session.pairs(COUNTERS)?, clock.elapsed());
        sleep(BETWEEN);
        let (after, time) = (session.pairs(COUNTERS)?, clock.elapsed().saturating_sub(began));
        let uptime = Duration::from_secs(number(&after, "uptime").unwrap_or_default());
        let growth = |names: &[&str]| {
            let sum = |values: &BTreeMap<String, String>| -> u64 {
                names.iter().filter_map(|name| number(values, name)).sum()
            };
            let bytes_in_all = sum(&after);
            Growth { bytes: bytes_in_all.saturating_sub(sum(&before)), time, bytes_in_all, uptime }
        };
        Ok(Self {
            redo: growth(&["innodb_os_log_written"]),
            write_sets: growth(&["wsrep_replicated_bytes", "wsrep_received_bytes"]),
        })
    }
}

/// Returns the seconds that the clock of a server is ahead of that of this host.
pub(crate) fn ahead(session: &mut Session, clock: &dyn Clock) -> Result<Option<i64>> {
    let rows = session.rows("SELECT UNIX_TIMESTAMP()")?;
    let here = i64::try_from(clock.unix_seconds()).ok();
    Ok(first(rows)
        .and_then(|text| text.parse::<i64>().ok())
        .zip(here)
        .map(|(there, here)| there - here))
}

/// Returns the number of files of InnoDB, if the account may count them.
pub(crate) fn files(session: &mut Session) -> Result<Option<u64>> {
    let counted = session.try_rows(FILES, COUNT_TIME)?;
    Ok(counted.ok().and_then(first).and_then(|text| text.parse().ok()))
}

/// Returns the names of active plugins that encrypt tables.
pub(crate) fn encryption(session: &mut Session) -> Result<Vec<String>> {
    let rows = session.rows(PLUGINS)?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
}

/// Counts the tables of users by engine, as far as the account sees them.
pub(crate) fn engines(session: &mut Session) -> Result<Vec<(String, u64)>> {
    let rows = match session.try_rows(ENGINES, COUNT_TIME)? {
        Ok(rows) => rows,
        Err(refusal) => return Err(session.refused(&refusal)),
    };
    let counted = rows.into_iter().filter_map(|row| {
        let mut texts = row.into_iter();
        Some((texts.next()??, texts.next()??.parse().ok()?))
    });
    Ok(counted.collect())
}

fn first(rows: Vec<Vec<Option<String>>>) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}
