//! Fetches binary logs before anything else, and replays them on a private server behind the
//! preparation.
//!
//! A replay that was interrupted has changed the data by an unknown part of it: the restore starts
//! over then.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::base::entropy::random;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::world::World;
use crate::ops::binlog::coverage;
use crate::ops::datadir::health;
use crate::ops::datadir::journal::Head;
use crate::ops::datadir::moment::Moment;
use crate::ops::replay;
use crate::ops::replay::End;
use crate::ops::replay::ReplayPlan;
use crate::ops::replay::Replayed;
use crate::ops::replay::Tools;
use crate::ops::replay::logs_in;
use crate::ops::restore::confined::unwritable;
use crate::repo::Repository;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::server::private::PrivateServer;
use crate::server::private::START_TIME;
use crate::server::session::STATEMENT_TIME;
use crate::server::session::Session;

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

/// An account that is there for a replay: the passwords of those in the backup are not known.
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
                "UPDATE IGNORE mysql.roles_mapping SET User = 'root' WHERE User = '{name}' \
                 AND Role NOT IN (SELECT Role FROM (SELECT Role FROM mysql.roles_mapping \
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
