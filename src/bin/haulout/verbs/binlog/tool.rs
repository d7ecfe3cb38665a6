//! The server's own tool, which writes its binary logs into a spool.
//!
//! The account goes to it by a pipe that it reads as an option file: no password stands among its
//! arguments or on a disk.
//!
//! Source: `mariadb-binlog --help` of 10.11; option files in the manual of the server.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::source::child::Killer;
use haulout::source::child::withhold_secrets;

use crate::environment::is_program;

/// Its names, the better one first.
const NAMES: [&str; 2] = ["mariadb-binlog", "mysqlbinlog"];
/// Bytes of its messages that are quoted.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// The time that it is given to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// The interval between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What the tool is to fetch, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Order<'o> {
    /// The program, if the configuration names one.
    pub(super) program: Option<&'o str>,
    /// The file that it begins with.
    pub(super) first: &'o str,
    /// The directory that it writes to, which is empty.
    pub(super) spool: &'o Path,
    /// The number by which the server knows it among its replicas.
    pub(super) server_id: u32,
    /// Whether it goes on behind the last file.
    pub(super) until: Until,
}

/// How long the tool fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Until it is ended.
    Stopped,
    /// To the end of what the server has.
    LastLog,
}

/// The tool while it runs.
#[derive(Debug)]
pub(super) struct Tool {
    child: Child,
    killer: Killer,
}

impl Tool {
    /// Starts the tool as it is ordered.
    pub(super) fn start(order: &Order<'_>, address: &Address, login: &Login) -> Result<Self> {
        let usual = || NAMES.into_iter().find(|name| is_program(name)).unwrap_or(NAMES[0]);
        let program = order.program.unwrap_or_else(usual);
        let failed = |error: io::Error| {
            let what = format!("cannot start {program}");
            Error::new(ErrorKind::Source, what).because(error)
        };
        let account = by_pipe(&options(address, login)).map_err(failed)?;
        let mut command = Command::new(program);
        command.arg(format!("--defaults-file=/dev/fd/{}", account.as_raw_fd()));
        command.args(["--read-from-remote-server", "--raw"]);
        match order.until {
            Until::Stopped => {
                let id = format!("--stop-never-slave-server-id={}", order.server_id);
                command.args(["--stop-never", &id]);
            }
            Until::LastLog => _ = command.arg("--to-last-log"),
        }
        command.arg(format!("--result-file={}/", order.spool.display())).arg(order.first);
        withhold_secrets(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let killer = Killer::of(&child).map_err(failed)?;
        Ok(Self { child, killer })
    }

    /// Returns what ends it from another thread.
    pub(super) fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Returns how it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let failed =
            |error| Error::new(ErrorKind::Source, "cannot wait for the tool").because(error);
        let status = self.child.try_wait().map_err(failed)?;
        if status.is_some() {
            self.killer.reaped();
        }
        Ok(status)
    }

    /// Ends it, and waits until it has ended.
    pub(super) fn end(&mut self) -> Result<()> {
        self.killer.terminate();
        let mut waited = Duration::ZERO;
        while self.ended()?.is_none() {
            if waited >= PATIENCE {
                self.killer.kill();
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
        Ok(())
    }

    /// Returns the last line that it wrote; it has ended.
    pub(super) fn last_words(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // What can't be read is not quoted.
            let _read = stderr.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.killer.kill();
        // It was killed, and is waited for so that it is none of the dead that nobody buried.
        let _status = self.child.wait();
    }
}

/// Returns a pipe that holds a text, to be read once by a program that inherits it.
fn by_pipe(text: &str) -> io::Result<File> {
    let (reading, writing) = rustix::pipe::pipe()?;
    let mut writing = File::from(writing);
    writing.write_all(text.as_bytes())?;
    drop(writing);
    Ok(File::from(reading))
}

/// Returns the option file that says where the server is, and the account.
fn options(address: &Address, login: &Login) -> String {
    let mut lines = vec!["[client]".to_owned()];
    let mut say = |name: &str, value: &str| lines.push(format!("{name}=\"{}\"", escaped(value)));
    match address {
        Address::Socket(path) => say("socket", &path.display().to_string()),
        Address::Tcp { host, port } => {
            say("host", host);
            say("port", &port.to_string());
            say("protocol", "tcp");
        }
    }
    say("user", &login.user);
    if let Some(password) = &login.password {
        say("password", password);
    }
    if let Some(tls) = &login.tls {
        let files = [("ssl-ca", &tls.authority), ("ssl-cert", &tls.certificate)];
        for (name, path) in files.into_iter().chain([("ssl-key", &tls.key)]) {
            if let Some(path) = path {
                say(name, &path.display().to_string());
            }
        }
        lines.push("ssl".to_owned());
        lines.extend(tls.verifies.then(|| "ssl-verify-server-cert".to_owned()));
    }
    lines.join("\n") + "\n"
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_an_option_file() {
        let address = Address::Tcp { host: "db1".to_owned(), port: 3307 };
        let mut login = Login::of_user("arch\\ive");
        login.password = Some("a \"b\" \\ c".to_owned().into());
        assert_eq!(
            options(&address, &login),
            "[client]\nhost=\"db1\"\nport=\"3307\"\nprotocol=\"tcp\"\nuser=\"arch\\\\ive\"\n\
             password=\"a \\\"b\\\" \\\\ c\"\n"
        );
        let mut text = String::new();
        by_pipe("[client]\n").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "[client]\n");
    }
}
