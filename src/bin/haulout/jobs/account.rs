//! The account with which the tool of a source reaches its server, looked up in the files that the
//! tool reads.
//!
//! ```text
//! /etc/my.cnf, /etc/mysql/my.cnf, $MYSQL_HOME/my.cnf, defaults_file, ~/.my.cnf, args
//! ```
//!
//! Of an option the last one counts: `~/.my.cnf` goes before `defaults_file`, which the tools read
//! as `--defaults-extra-file`. mariabackup takes its own groups before those of all clients,
//! wherever they stand.
//!
//! Source: `mariabackup` and `mariadb-dump` of MariaDB 10.11 with files that contradict each other.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use haulout::error::Result;
use haulout::server::login::Address;
use haulout::server::login::CLIENT_GROUPS;
use haulout::server::login::Login;
use haulout::server::login::PORT;
use haulout::server::login::address_in;
use haulout::server::option_file::Options;

use crate::config::tree::Table;
use crate::jobs::producer::number;

/// The groups that mariabackup reads besides those of all clients.
const BACKUP_GROUPS: [&str; 3] = ["xtrabackup", "mariabackup", "mariadb-backup"];

/// The groups that mariadb-dump reads besides those of all clients.
const DUMP_GROUPS: [&str; 2] = ["mysqldump", "mariadb-dump"];

/// The files that all programs of MariaDB read first.
const SYSTEM_FILES: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];

/// The variables that name a directory with one more, the better one last.
const HOME_VARIABLES: [&str; 2] = ["MYSQL_HOME", "MARIADB_HOME"];

/// The options of a tool that say where the server is and who asks, each with a value.
const WITH_VALUE: [&str; 8] =
    ["user", "password", "socket", "host", "port", "ssl-ca", "ssl-cert", "ssl-key"];

/// Where the server of a host is if nothing else is said.
const USUAL_SOCKET: &str = "/run/mysqld/mysqld.sock";

/// Returns the groups of all tools: for a file with an account that no tool reads itself.
pub(crate) fn all_groups() -> Vec<&'static str> {
    CLIENT_GROUPS.into_iter().chain(BACKUP_GROUPS).chain(DUMP_GROUPS).collect()
}

/// Looks up a variable of the environment.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

/// The options of a tool about its server, and where each comes from.
#[derive(Debug, Default)]
pub(crate) struct ToolOptions(Vec<(PathBuf, Options)>);

impl ToolOptions {
    /// Reads all that the tool of a source reads.
    pub(crate) fn of(source: &Table, variable: Variables<'_>) -> Result<Self> {
        let is_backup = source.text("kind") == Some("mariabackup");
        let all_clients = CLIENT_GROUPS.to_vec();
        let passes = if is_backup {
            vec![all_clients, BACKUP_GROUPS.to_vec()]
        } else {
            vec![all_clients.into_iter().chain(DUMP_GROUPS).collect()]
        };
        let mut read = Vec::new();
        for groups in passes {
            for path in files(source, variable) {
                let is_named =
                    source.text("defaults_file").is_some_and(|own| path == Path::new(own));
                let options = if is_named {
                    Options::read(&path, &groups)?
                } else {
                    Options::read_usual(&path, &groups)?
                };
                read.push((path, options));
            }
        }
        // The small letter is the data directory of mariabackup.
        let host = if is_backup { 'H' } else { 'h' };
        read.push((PathBuf::from("args"), typed(&source.texts("args"), host)));
        Ok(Self(read))
    }

    /// Returns the file that says an option, or `args`.
    pub(crate) fn origin(&self, name: &str) -> Option<&Path> {
        let found = self.0.iter().rev().find(|(_, options)| options.value(name).is_some())?;
        Some(&found.0)
    }

    /// Returns all options as those of one file.
    fn merged(self) -> Options {
        let mut all = Options::default();
        self.0.into_iter().for_each(|(_, options)| all.append(options));
        all
    }

    /// Returns the place of the server and the account; `user` is taken if nothing names one.
    pub(crate) fn account(self, source: &Table, user: &str) -> (Address, Login) {
        let options = self.merged();
        let named = match (source.text("socket"), source.text("host")) {
            (Some(socket), _) => Some(Address::Socket(PathBuf::from(socket))),
            (None, Some(host)) => {
                let port = number(source, "port").and_then(|port| u16::try_from(port).ok());
                Some(Address::Tcp { host: host.to_owned(), port: port.unwrap_or(PORT) })
            }
            (None, None) => None,
        };
        let usual = || Address::Socket(PathBuf::from(USUAL_SOCKET));
        let address = named.or_else(|| address_in(&options)).unwrap_or_else(usual);
        (address, Login::from_options(&options, user))
    }
}

/// Returns the option files of a tool, in the order in which it reads them.
fn files(source: &Table, variable: Variables<'_>) -> Vec<PathBuf> {
    let in_directory = |name: &str, file: &str| {
        let directory = variable(name).filter(|value| !value.is_empty())?;
        Some(Path::new(&directory).join(file))
    };
    let homes = HOME_VARIABLES.iter().rev().find_map(|name| in_directory(name, "my.cnf"));
    let own = source.text("defaults_file").map(PathBuf::from);
    let of_user = in_directory("HOME", ".my.cnf");
    let system = SYSTEM_FILES.map(PathBuf::from);
    system.into_iter().chain(homes).chain(own).chain(of_user).collect()
}

/// Reads the options about the server that are typed as arguments of the tool, which takes this
/// letter for the host.
fn typed(arguments: &[String], host: char) -> Options {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            let name = name.replace('_', "-");
            let value = match value {
                None if WITH_VALUE.contains(&name.as_str()) && name != "password" => {
                    rest.next().map(String::as_str)
                }
                value => value,
            };
            options.add(&name, value);
            continue;
        }
        let Some(short) = argument.strip_prefix('-') else { continue };
        let Some(letter) = short.chars().next() else { continue };
        let name = match letter {
            'u' => "user",
            'p' => "password",
            'S' => "socket",
            'P' => "port",
            letter if letter == host => "host",
            _ => continue,
        };
        let glued = Some(&short[letter.len_utf8()..]).filter(|value| !value.is_empty());
        let next = || rest.next().map(String::as_str);
        let value = if name == "password" { glued } else { glued.or_else(next) };
        options.add(name, value);
    }
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::tree::parse;

    /// Returns the address, the user, and where the user comes from.
    fn account(source: &str, home: &Path) -> (String, String, Option<PathBuf>) {
        let (table, mistakes) = parse(source);
        assert_eq!(mistakes, []);
        let variable = |name: &str| (name == "HOME").then(|| home.as_os_str().to_owned());
        let options = ToolOptions::of(&table, &variable).unwrap();
        let origin = options.origin("user").map(Path::to_owned);
        let (address, login) = options.account(&table, "me");
        (address.to_string(), login.user.clone(), origin)
    }

    #[test]
    fn the_file_of_the_user_goes_before_that_of_the_source() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("backup.cnf");
        let dot = home.path().join(".my.cnf");
        fs::write(&own, "[mariabackup]\nuser = tool\n[client]\nuser = own\nhost = db\n").unwrap();
        let source = |kind: &str, more: &str| {
            format!("kind = '{kind}'\ndefaults_file = '{}'\n{more}", own.display())
        };
        let of = |kind, more| account(&source(kind, more), home.path());
        let expected = |user: &str, origin: &Path| {
            ("db:3306".to_owned(), user.to_owned(), Some(origin.to_owned()))
        };
        // Its own group goes before that of all clients.
        assert_eq!(of("mariabackup", ""), expected("tool", &own));
        assert_eq!(of("mariadb-dump", ""), expected("own", &own));
        fs::write(&dot, "[client]\nuser = dot\n").unwrap();
        assert_eq!(of("mariabackup", ""), expected("tool", &own));
        assert_eq!(of("mariadb-dump", ""), expected("dot", &dot));
        fs::write(&dot, "[client]\nuser = dot\n[mariadb-backup]\nuser = other\n").unwrap();
        assert_eq!(of("mariabackup", ""), expected("other", &dot));
        let args = "args = ['--user', 'x']";
        assert_eq!(of("mariadb-dump", args), expected("x", Path::new("args")));
    }

    #[test]
    fn without_any_file_it_is_the_user_of_the_process() {
        let home = tempfile::tempdir().unwrap();
        let (_, user, origin) = account("kind = 'mariadb-dump'\nsocket = '/s'", home.path());
        assert_eq!((user.as_str(), origin), ("me", None));
    }

    #[test]
    fn arguments_are_read_as_the_tools_read_them() {
        let read = |words: &str, host| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let options = typed(&words, host);
            ["user", "socket", "host", "port"]
                .map(|name| options.value(name).unwrap_or("-").to_owned())
                .join(" ")
        };
        for (words, host, expected) in [
            ("--user=a --socket=/s --host=h --port=1", 'H', "a /s h 1"),
            ("-ua -S /s -h h -P1", 'h', "a /s h 1"),
            ("-u a -h /data -H h", 'H', "a - h -"),
            ("--rsync -p --user a", 'H', "a - - -"),
            ("--where id=1 shop", 'h', "- - - -"),
        ] {
            assert_eq!(read(words, host), expected, "{words}");
        }
    }
}
