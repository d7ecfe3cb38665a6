//! The command lines of producers, from what a source says.
//!
//! Sources: the manuals of `mariadb-backup`, `mariadb-dump` and GNU `tar`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::config::tree::Data;
use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;

/// The mode bits of a file that lets everybody read it or write to it.
const OTHERS: u32 = 0o006;

/// Schemas of the system that a dump leaves out; the server leaves out the other ones itself.
const SYSTEM_SCHEMAS: [&str; 2] = ["mysql", "sys"];

/// Returns the command line of a producer.
///
/// `has_program` tells whether a program can be found.
pub(crate) fn command(source: &Table, has_program: &dyn Fn(&str) -> bool) -> Vec<String> {
    match source.text("kind").unwrap_or_default() {
        "mariabackup" => mariabackup(source, has_program),
        "mariadb-dump" => dump(source, has_program),
        "files" => files(source),
        _ => source.texts("command"),
    }
}

/// Tells whether a source is of the accounts of a server.
pub(crate) fn is_of_accounts(source: &Table) -> bool {
    source.text("kind") == Some("mariadb-dump") && source.text("only") == Some("accounts")
}

/// Refuses an option file that everybody can read or write to. The tools ignore one that everybody
/// can write to with a warning, and go on without its account.
pub(crate) fn require_private_options(source: &Table) -> Outcome<()> {
    let Some(path) = source.text("defaults_file") else { return Ok(()) };
    let metadata = fs::metadata(Path::new(path)).map_err(|error| {
        let message = format!("cannot read the option file {path}");
        Failure::new(
            Error::new(ErrorKind::Source, message).because(error),
            "check defaults_file in the configuration, and that this user may read the file",
        )
    })?;
    if metadata.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Error::new(ErrorKind::Exposed, format!("every user of this host can read or write {path}")),
        "run chmod 0640 on the file, and give it the group of the user that runs the job",
    ))
}

fn first_of(source: &Table, names: [&str; 2], has_program: &dyn Fn(&str) -> bool) -> String {
    let usual =
        || if has_program(names[0]) || !has_program(names[1]) { names[0] } else { names[1] };
    source.text("program").unwrap_or_else(usual).to_owned()
}

/// Returns the options that reach a server; the option file comes first, or it is refused.
fn connection(source: &Table) -> Vec<String> {
    let mut options = Vec::new();
    options
        .extend(source.text("defaults_file").map(|path| format!("--defaults-extra-file={path}")));
    options.extend(source.text("socket").map(|path| format!("--socket={path}")));
    options.extend(source.text("host").map(|host| format!("--host={host}")));
    options.extend(number(source, "port").map(|port| format!("--port={port}")));
    options
}

/// Returns a number, if it is there.
pub(crate) fn number(source: &Table, key: &str) -> Option<i64> {
    match source.get(key).map(|entry| &entry.value.data) {
        Some(Data::Number(number)) => Some(*number),
        _ => None,
    }
}

/// Returns whether a key is true or false, if it is there.
pub(super) fn is_set(source: &Table, key: &str) -> Option<bool> {
    match source.get(key).map(|entry| &entry.value.data) {
        Some(Data::Flag(is_on)) => Some(*is_on),
        _ => None,
    }
}

fn mariabackup(source: &Table, has_program: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut command = vec![first_of(source, ["mariadb-backup", "mariabackup"], has_program)];
    command.extend(connection(source));
    command.extend(["--backup", "--stream=mbstream"].map(str::to_owned));
    command.extend(number(source, "parallel").map(|count| format!("--parallel={count}")));
    let is_node = source.get("cluster").is_some();
    let has_position = is_set(source, "galera_info").unwrap_or(is_node);
    command.extend(has_position.then(|| "--galera-info".to_owned()));
    command.extend(source.texts("args"));
    command
}

fn dump(source: &Table, has_program: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut command = vec![first_of(source, ["mariadb-dump", "mysqldump"], has_program)];
    command.extend(connection(source));
    if is_of_accounts(source) {
        // With REPLACE a load could lock its user out; without IF NOT EXISTS it stops at root.
        command.extend(["--system=users", "--insert-ignore"].map(str::to_owned));
        command.extend(source.texts("args"));
        return command;
    }
    let usual = ["--single-transaction", "--routines", "--events", "--triggers"];
    command.extend(usual.map(str::to_owned));
    let excluded = source.texts("exclude_tables");
    command.extend(excluded.into_iter().map(|table| format!("--ignore-table={table}")));
    command.extend(source.texts("args"));
    let databases = source.texts("databases");
    if databases.is_empty() {
        let excluded = source.texts("exclude_databases");
        let all = SYSTEM_SCHEMAS.map(str::to_owned).into_iter().chain(excluded);
        command.push("--all-databases".to_owned());
        command.extend(all.map(|name| format!("--ignore-database={name}")));
    } else {
        command.push("--databases".to_owned());
        command.extend(databases);
    }
    command
}

fn files(source: &Table) -> Vec<String> {
    // Which files changed while they were read is known by what tar says in English.
    let program = source.text("program").unwrap_or("tar");
    let mut command = ["env", "LC_ALL=C", program].map(str::to_owned).to_vec();
    let usual = ["--create", "--file=-", "--sort=name", "--acls", "--xattrs", "--numeric-owner"];
    command.extend(usual.map(str::to_owned));
    let stays = is_set(source, "one_file_system") == Some(true);
    command.extend(stays.then(|| "--one-file-system".to_owned()));
    command.extend(source.texts("exclude").into_iter().map(|glob| format!("--exclude={glob}")));
    command.extend(source.texts("args"));
    // Names in a tar are relative.
    command.extend(["--directory=/", "--"].map(str::to_owned));
    let relative = |path: String| match path.trim_start_matches('/') {
        "" => ".".to_owned(),
        rest => rest.to_owned(),
    };
    command.extend(source.texts("paths").into_iter().map(relative));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    fn line(text: &str) -> String {
        let (table, mistakes) = parse(text);
        assert_eq!(mistakes, []);
        command(&table, &|name| name == "mysqldump" || name == "mariadb-backup").join(" ")
    }

    #[test]
    fn each_kind_of_source_has_its_command_line() {
        for (text, expected) in [
            (
                "kind = 'mariabackup'\nsocket = '/s'\ndefaults_file = '/c'\nparallel = 4\n\
                 galera_info = true\nargs = ['--rsync']",
                "mariadb-backup --defaults-extra-file=/c --socket=/s --backup --stream=mbstream \
                 --parallel=4 --galera-info --rsync",
            ),
            (
                "kind = 'mariabackup'\ncluster = 'c'",
                "mariadb-backup --backup --stream=mbstream --galera-info",
            ),
            (
                "kind = 'mariabackup'\ncluster = 'c'\ngalera_info = false",
                "mariadb-backup --backup --stream=mbstream",
            ),
            (
                "kind = 'mariadb-dump'\nhost = 'db'\nport = 3307\nexclude_databases = ['tmp']\n\
                 exclude_tables = ['a.b']",
                "mysqldump --host=db --port=3307 --single-transaction --routines --events \
                 --triggers --ignore-table=a.b --all-databases --ignore-database=mysql \
                 --ignore-database=sys --ignore-database=tmp",
            ),
            (
                "kind = 'mariadb-dump'\nonly = 'accounts'\nprogram = '/opt/dump'",
                "/opt/dump --system=users --insert-ignore",
            ),
            (
                "kind = 'files'\npaths = ['/etc/nova', '/']\nexclude = ['*.log']",
                "env LC_ALL=C tar --create --file=- --sort=name --acls --xattrs --numeric-owner \
                 --exclude=*.log --directory=/ -- etc/nova .",
            ),
            ("kind = 'command'\ncommand = ['cat', '/x']", "cat /x"),
        ] {
            assert_eq!(line(text), expected);
        }
    }
}
