//! The first start of a restored server: private and read only, with a look at every table.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::datadir::journal::Head;
use crate::ops::restore::Ownership;
use crate::ops::restore::confined::unwritable;
use crate::server::login::Login;
use crate::server::needs::needs_of_backup;
use crate::server::private::Grants;
use crate::server::private::PrivateOptions;
use crate::server::private::PrivateServer;
use crate::server::private::ServerUser;
use crate::server::private::Writes;
use crate::server::private::reports_error;
use crate::server::session::Session;

/// How long a look at all tables may take.
const LIST_TIME: Duration = Duration::from_mins(10);

/// How long the check of one table may take.
const CHECK_TIME: Duration = Duration::from_hours(6);

/// Tables that are named.
const NAMED_MAX: usize = 10;

/// Lists the tables of which a file is missing.
const WITHOUT_ENGINE: &str = "SELECT CONCAT(table_schema, '.', table_name) \
    FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND engine IS NULL";

/// Lists the tables that can be checked.
const ALL_TABLES: &str = "SELECT CONCAT('`', REPLACE(table_schema, '`', '``'), '`.`', \
    REPLACE(table_name, '`', '``'), '`') FROM information_schema.tables \
    WHERE table_type = 'BASE TABLE' AND engine IS NOT NULL \
    AND table_schema NOT IN ('information_schema', 'performance_schema')";

/// Tables of a restored server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health {
    /// The tables that were looked at.
    pub(super) tables: usize,
}

/// Starts a private server on a prepared directory that writes as usual and has its accounts, after
/// the statements of a file. Where the scheduler of events is disabled, as without accounts, none
/// can be made; switched off it starts none, and all can be made.
pub(super) fn writing_server(head: &Head, first: &Path, world: &World) -> Result<PrivateServer> {
    let mut private = private(head, Writes::Allowed)?;
    private.grants = Grants::Checked;
    let mut option = OsString::from("--init-file=");
    option.push(first);
    private.more.extend([OsString::from("--event-scheduler=OFF"), option]);
    PrivateServer::start(&private, world)
}

/// Writes a file for a private server that no other user can read.
pub(super) fn file_for_server(head: &Head, name: &str, text: &str) -> Result<PathBuf> {
    let runtime = &head.places.runtime;
    make_runtime(runtime)?;
    let path = runtime.join(name);
    let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    let owner = head.ownership().and_then(server_user);
    let given = written.and_then(|()| match owner {
        Some(ServerUser { user, group }) => chown(&path, Some(user), Some(group)),
        None => Ok(()),
    });
    given.map_err(|error| unwritable(&path, error))?;
    Ok(path)
}

/// Returns the options of a private server on a prepared directory.
fn private(head: &Head, writes: Writes) -> Result<PrivateOptions> {
    let (work, runtime) = (&head.places.work, &head.places.runtime);
    make_runtime(runtime)?;
    let mut private = PrivateOptions::new(head.program.clone(), work, runtime);
    private.user = head.ownership().and_then(server_user);
    private.writes = writes;
    private.more = needs_of_backup(&work.join("backup-my.cnf"))?;
    Ok(private)
}

/// Starts a private server on a prepared directory, looks, and stops it. Its log goes to `log`.
/// `missing` names tables that are known to be lost.
pub(super) fn look(
    head: &Head,
    missing: &[String],
    log: &mut dyn Write,
    world: &World,
) -> Result<Health> {
    let server = PrivateServer::start(&private(head, Writes::Refused)?, world)?;
    let seen = server
        .connect(&Login::of_user("root"))
        .and_then(|mut session| tables(&mut session, head, missing, world));
    let mut said = Vec::new();
    let stopped = server.stop(&mut said, world);
    // The log of this restore has it in any case.
    let _kept = log.write_all(&said);
    let seen = seen?;
    stopped?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let errors: Vec<&str> = said.lines().filter(|line| reports_error(line)).collect();
    // What is missing is named by the restore, and by the server once more.
    if errors.is_empty() || !missing.is_empty() {
        return Ok(seen);
    }
    let shown = errors[..errors.len().min(NAMED_MAX)].join("\n");
    Err(unwell("the restored server reports errors", &shown))
}

fn unwell(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Prepare, what).because(why.to_owned())
}

fn tables(session: &mut Session, head: &Head, missing: &[String], world: &World) -> Result<Health> {
    let mut list = |statement: &str| -> Result<Vec<String>> {
        let rows = session.try_rows(statement, LIST_TIME)?;
        let rows = rows.map_err(|refusal| session.refused(&refusal))?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
    };
    let unopened = list(WITHOUT_ENGINE)?;
    if !unopened.is_empty() && missing.is_empty() {
        let shown = unopened[..unopened.len().min(NAMED_MAX)].join(", ");
        return Err(unwell("tables of the restored server can't be opened", &shown));
    }
    let all = list(ALL_TABLES)?;
    if head.checks_tables {
        for table in &all {
            world.monitor.check()?;
            check(session, table)?;
        }
    }
    Ok(Health { tables: all.len() })
}

fn check(session: &mut Session, table: &str) -> Result<()> {
    let rows = session.try_rows(&format!("CHECK TABLE {table}"), CHECK_TIME)?;
    let rows = rows.map_err(|refusal| session.refused(&refusal))?;
    for row in rows {
        let mut texts = row.into_iter().skip(2).map(Option::unwrap_or_default);
        let kind = texts.next().unwrap_or_default();
        let text = texts.next().unwrap_or_default();
        if kind.eq_ignore_ascii_case("error") || kind == "status" && text == "Corrupt" {
            return Err(unwell(&format!("the table {table} is not sound"), &text));
        }
    }
    Ok(())
}

/// Returns the user of the server, if it is another one than that of this program.
fn server_user(owner: Ownership) -> Option<ServerUser> {
    let Ownership { user, group } = owner;
    let is_other = rustix::process::geteuid().is_root() && user != 0;
    let own_group = || rustix::process::getegid().as_raw();
    is_other.then(|| ServerUser { user, group: group.unwrap_or_else(own_group) })
}

/// Makes the directory in which private servers have theirs; their user must reach them.
fn make_runtime(runtime: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(runtime);
    let made = made.and_then(|()| fs::set_permissions(runtime, fs::Permissions::from_mode(0o711)));
    made.map_err(|error| {
        let what = format!("cannot make the directory {}", runtime.display());
        Error::new(ErrorKind::Target, what).because(error)
    })
}
