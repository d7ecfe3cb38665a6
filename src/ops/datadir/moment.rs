//! The moment up to which a restored server is taken: binary logs are fetched before anything else,
//! and replayed on a private server behind the preparation.
//!
//! A replay that was interrupted has changed the data by an unknown part of it: the restore starts
//! over then.

use std::ffi::OsStr;
use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::base::entries::entries;
use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::gtid::GtidState;
use crate::base::hex;
use crate::base::world::World;
use crate::ops::binlog::Begins;
use crate::ops::binlog::coverage;
use crate::ops::datadir::check::Findings;
use crate::ops::datadir::health;
use crate::ops::datadir::journal::Head;
use crate::ops::datadir::options::DatadirOptions;
use crate::ops::replay;
use crate::ops::replay::End;
use crate::ops::replay::ReplayPlan;
use crate::ops::replay::Replayed;
use crate::ops::replay::Tools;
use crate::ops::replay::Until;
use crate::ops::restore::confined::unwritable;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::server::private::PrivateServer;
use crate::server::private::START_TIME;
use crate::server::session::STATEMENT_TIME;
use crate::server::session::Session;

/// Names of the program that decodes binary logs.
const BINLOG_PROGRAMS: [&str; 2] = ["mariadb-binlog", "mysqlbinlog"];

/// Names of the client.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

/// Where binary logs come from, and up to where they are replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The end of the replay.
    pub until: Until,
    /// A directory with binary logs of the server; otherwise those of the repository are taken.
    pub directory: Option<PathBuf>,
    /// The directories in which programs are looked for.
    pub programs: Vec<PathBuf>,
}

/// A replay that is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The end of the replay.
    pub until: Until,
    /// The state of the backup.
    pub from: GtidState,
    /// The source of the backup, whose binary logs are taken.
    pub source: String,
    /// A directory with binary logs, if they do not come from the repository.
    pub directory: Option<PathBuf>,
    /// The bytes of the logs that are fetched.
    pub bytes: u64,
    /// The program that decodes.
    pub binlog: PathBuf,
    /// The client that applies.
    pub client: PathBuf,
}

impl Moment {
    /// Plans a replay, and looks whether what it needs is there.
    pub(super) fn plan(
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &DatadirOptions,
        found: &mut Findings,
    ) -> Result<Option<Self>> {
        let Some(wanted) = &options.replay else { return Ok(None) };
        let about = &stored.snapshot.about;
        let mut problem = |what: String| found.problems.push(what);
        if options.donors.is_some() {
            problem("after a replay a node has data of its own and can't join by IST".to_owned());
        }
        let mut program = |names: &[&str]| {
            find(names, &wanted.programs).unwrap_or_else(|| {
                problem(format!("there is no program {} on this host", names.join(" or ")));
                PathBuf::from(names[0])
            })
        };
        let (binlog, client) = (program(&BINLOG_PROGRAMS), program(&CLIENTS));
        let from = about.positions.gtid.as_deref().and_then(|text| text.parse().ok());
        let mut moment = Self {
            until: wanted.until.clone(),
            from: from.unwrap_or_default(),
            source: about.source.clone(),
            directory: wanted.directory.clone(),
            bytes: 0,
            binlog,
            client,
        };
        if moment.from.is_empty() {
            problem("the snapshot has no GTID position: it was taken without log_bin".to_owned());
        } else if let Some(directory) = &moment.directory {
            match logs_in(directory) {
                Ok(logs) if logs.is_empty() => {
                    problem(format!("there are no binary logs in {}", directory.display()));
                }
                Ok(_) => {}
                Err(error) => problem(error.with_causes()),
            }
        } else {
            moment.look(repository, found)?;
        }
        Ok(Some(moment))
    }

    /// Looks at what is stored of the history behind the backup.
    fn look(&mut self, repository: &Repository, found: &mut Findings) -> Result<()> {
        let coverage = coverage(repository, &self.source)?;
        let behind = match coverage.behind(&self.from) {
            Ok(behind) => behind,
            Err(error) => {
                found.problems.push(error.with_causes());
                return Ok(());
            }
        };
        self.bytes = behind.bytes();
        let why = match behind.ends_with {
            Some(Begins::Gap) => ": a gap follows",
            Some(Begins::Reset) => ": the binary logs were reset there",
            Some(Begins::Replaced) => ": another server goes on from there",
            Some(Begins::Open) => {
                ": that file was never stored as it was closed, and others follow"
            }
            Some(Begins::First) | None => "",
        };
        let through = behind.through();
        let end = format!("the stored binary logs end at {through}{why}");
        match &self.until {
            Until::Gtid(gtid) => {
                let mut wanted = GtidState::default();
                wanted.enter(*gtid);
                if !through.reaches(&wanted) {
                    found.problems.push(format!("{gtid} is not reached: {end}"));
                }
            }
            Until::Time(time) if behind.last_time().is_some_and(|last| last < *time) => {
                found.notes.push(format!("{end}, before the time that is wanted"));
            }
            Until::Time(_) | Until::End | Until::Drop { .. } => {}
        }
        Ok(())
    }
}

/// Finds the first program of these names in directories.
fn find(names: &[&str], directories: &[PathBuf]) -> Option<PathBuf> {
    let mut places =
        names.iter().flat_map(|name| directories.iter().map(move |dir| dir.join(name)));
    places.find(|path| path.is_file())
}

/// Returns the binary logs in a directory, in the order of their numbers.
fn logs_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let unread = |error: io::Error| {
        let what = format!("cannot read the directory {}", directory.display());
        Error::new(ErrorKind::Target, what).because(error)
    };
    let mut logs = Vec::new();
    for entry in entries(directory).map_err(unread)? {
        let path = directory.join(entry.map_err(unread)?.name);
        if let Some(number) = number_of(&path) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// Returns the number in the name of a binary log: `bin.000007`.
fn number_of(path: &Path) -> Option<u64> {
    let ending = path.extension().and_then(OsStr::to_str)?;
    (ending.len() >= 6).then(|| ending.parse().ok())?
}

/// Fetches the logs, and decides what is replayed of them.
pub(super) fn fetch(
    repository: &Repository,
    head: &Head,
    moment: &Moment,
    workers: u32,
    world: &World,
) -> Result<ReplayPlan> {
    let logs = &head.places.logs;
    let failed = |error: io::Error| unwritable(logs, error);
    if moment.directory.is_none() {
        if logs.exists() {
            fs::remove_dir_all(logs).map_err(failed)?;
        }
        DirBuilder::new().mode(0o700).create(logs).map_err(failed)?;
        let stored = coverage(repository, &moment.source)?;
        stored.behind(&moment.from)?.fetch(repository, logs, workers, world)?;
    }
    plan(head, moment, world)
}

/// Decides what is replayed of the logs that are there.
fn plan(head: &Head, moment: &Moment, world: &World) -> Result<ReplayPlan> {
    let directory = moment.directory.as_deref().unwrap_or(&head.places.logs);
    let mut logs = logs_in(directory)?;
    // A server's directory has logs of before the backup; the first that is needed begins earlier.
    if moment.directory.is_some() {
        logs = replay::needed(&logs, &moment.from)?;
    }
    replay::plan(&logs, &moment.from, &moment.until, &world.monitor)
}

/// Says where a replay ends.
pub(super) fn words(plan: &ReplayPlan) -> String {
    let count = plan.transactions;
    match &plan.end {
        End::OfLogs => format!("{count} transactions to replay, up to the end of the logs"),
        End::Before(stopped) => {
            let statement = stopped.statement.as_ref();
            let statement = statement.map_or(String::new(), |text| format!(": {text}"));
            let gtid = &stopped.gtid;
            format!("{count} transactions to replay, up to the one before {gtid}{statement}")
        }
    }
}

/// Replays the logs on a private server that writes.
pub(super) fn replay(
    head: &Head,
    moment: &Moment,
    log: &mut dyn Write,
    world: &World,
) -> Result<Replayed> {
    let plan = plan(head, moment, world)?;
    let tools = Tools { binlog: moment.binlog.clone(), client: moment.client.clone() };
    let scratch = &head.places.logs;
    let failed = |error: io::Error| unwritable(scratch, error);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(scratch);
    made.map_err(failed)?;
    let account = Account::random(world);
    let first = health::file_for_server(head, "replay.sql", &account.statements())?;
    let mut server = health::writing_server(head, &first, world)?;
    let connected = server.connect_within(&account.login(), START_TIME, world);
    fs::remove_file(&first).map_err(failed)?;
    let replayed = connected.and_then(|_session| {
        let login = account.login_file(head, &server)?;
        let replayed = replay::replay(&plan, &tools, &login, scratch, world)?;
        // A replay may last longer than a server keeps an idle connection.
        account.leave(&mut server.connect(&account.login())?)?;
        Ok(replayed)
    });
    let mut said = Vec::new();
    let stopped = server.stop(&mut said, world);
    // The log of this restore has it in any case.
    let _kept = log.write_all(&said);
    let replayed = replayed?;
    stopped?;
    Ok(replayed)
}

/// An account that is there for a replay: those of the backup have passwords that nobody told.
struct Account {
    name: String,
    password: String,
}

impl Account {
    fn random(world: &World) -> Self {
        let name = hex::encode(&random::<4>(&*world.entropy));
        let password = hex::encode(&random::<16>(&*world.entropy));
        // Some servers want characters of each kind.
        Self { name: format!("haulout-{name}"), password: format!("Aa1-{password}") }
    }

    /// Returns the statements that make the account, a line each. It may also grant the roles that
    /// others have made.
    fn statements(&self) -> String {
        let Self { name, password } = self;
        [
            format!("CREATE USER `{name}`@localhost IDENTIFIED BY '{password}';"),
            format!("GRANT ALL PRIVILEGES ON *.* TO `{name}`@localhost WITH GRANT OPTION;"),
            format!(
                "INSERT INTO mysql.roles_mapping (Host, User, Role, Admin_option) \
                 SELECT 'localhost', '{name}', User, 'Y' FROM mysql.global_priv \
                 WHERE JSON_VALUE(Priv, '$.is_role') = 1;"
            ),
            "FLUSH PRIVILEGES;".to_owned(),
        ]
        .join("\n")
            + "\n"
    }

    fn login(&self) -> Login {
        let password = Some(Zeroizing::new(self.password.clone()));
        Login { password, ..Login::of_user(&self.name) }
    }

    /// Writes the option file of the client.
    fn login_file(&self, head: &Head, server: &PrivateServer) -> Result<PathBuf> {
        let Address::Socket(socket) = server.address() else {
            unreachable!("a private server has no network")
        };
        let path = head.places.logs.join("client.cnf");
        let Self { name, password } = self;
        let text = format!(
            "[client]\nuser = {name}\npassword = {password}\nsocket = \"{}\"\n",
            socket.display()
        );
        let file =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| unwritable(&path, error))?;
        Ok(path)
    }

    /// Removes the account; roles that the replay has made get root for their administrator.
    fn leave(&self, session: &mut Session) -> Result<()> {
        let name = &self.name;
        for statement in [
            format!(
                "UPDATE IGNORE mysql.roles_mapping SET User = 'root' WHERE User = '{name}' AND Role \
                 NOT IN (SELECT Role FROM (SELECT Role FROM mysql.roles_mapping \
                 WHERE User <> '{name}' AND Admin_option = 'Y') AS others)"
            ),
            format!("DELETE FROM mysql.roles_mapping WHERE User = '{name}'"),
            format!("DROP USER `{name}`@localhost"),
            "FLUSH PRIVILEGES".to_owned(),
        ] {
            let done = session.run(&statement, STATEMENT_TIME)?;
            done.map_err(|refusal| session.refused(&refusal))?;
        }
        Ok(())
    }
}
