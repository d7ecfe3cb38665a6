//! The `mariadb` client that executes what is loaded: `DELIMITER` is its language, and so is the
//! way in which it finds the end of a statement.
//!
//! It stops at the first error, which names the line of the statement. Its standard output is a
//! file in memory from which it also reads its options: the account is in no argument, no
//! environment and no file system.
//!
//! - `--binary-mode` takes every byte as it is and knows no commands of the client but `DELIMITER`
//!   and `charset`: a dump can't make it run programs or read files.
//! - It is killed, not ended, if what is fed breaks off: at the end of its input it would execute
//!   the statement that was cut.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::fs::MemfdFlags;
use rustix::fs::Mode;

use crate::base::crew;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::part::place::Places;
use crate::server::login::Address;
use crate::server::login::Login;
use crate::source::child::withhold_secrets;

/// The time between two looks at whether the user stops it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const LOOK_TIME: Duration = Duration::from_millis(20);

/// Bytes of messages that are kept.
const MESSAGES_BYTES_MAX: u64 = 64 << 10;

/// The line with which dump programs turn on a mode that clients before 2024 do not know.
const SANDBOX: &[u8] = b"/*M!999999\\- enable the sandbox mode */";

/// Where statements go, and who sends them.
#[derive(Debug, Clone)]
pub struct Server {
    /// The place of the server.
    pub address: Address,
    /// The account that loads.
    pub login: Login,
    /// The client, `mariadb` or its path.
    pub client: std::ffi::OsString,
}

/// A client that is being fed.
#[derive(Debug)]
pub(in crate::ops) struct Client<'m> {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Option<JoinHandle<Vec<u8>>>,
    places: Places,
    monitor: &'m Monitor,
    /// The first line, until it is known whether it is left out.
    first: Option<Vec<u8>>,
}

impl<'m> Client<'m> {
    /// Starts a client; `charset` is that of what it is fed.
    pub(in crate::ops) fn start(
        server: &Server,
        charset: Option<&str>,
        monitor: &'m Monitor,
    ) -> Result<Self> {
        let shown = server.client.to_string_lossy();
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Load, format!("cannot start {shown}")).because(error)
        };
        let options = option_file(server).map_err(failed)?;
        let mut command = Command::new(&server.client);
        command.args(["--defaults-file=/dev/fd/1", "--batch", "--binary-mode"]);
        command.args(["--no-auto-rehash", "--max-allowed-packet=1G"]);
        command.args(charset.map(|charset| format!("--default-character-set={charset}")));
        command.stdin(Stdio::piped()).stdout(options).stderr(Stdio::piped()).process_group(0);
        withhold_secrets(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take().expect("its standard input is piped");
        let stderr = child.stderr.take().expect("its standard error is piped");
        let mut client = Self {
            child,
            stdin: None,
            messages: None,
            places: Places::default(),
            monitor,
            first: Some(Vec::new()),
        };
        rustix::io::ioctl_fionbio(stdin.as_fd(), true).map_err(|e| failed(e.into()))?;
        let read = move || {
            let mut messages = Vec::new();
            let mut stderr = stderr;
            // What could not be read is not known.
            let _some = stderr.by_ref().take(MESSAGES_BYTES_MAX).read_to_end(&mut messages);
            let _rest = io::copy(&mut stderr, &mut io::sink());
            messages
        };
        let reader = crew::start("said", read);
        client.messages = Some(reader?);
        client.stdin = Some(stdin);
        Ok(client)
    }

    /// Says that what follows belongs to a part of the backup.
    pub(in crate::ops) fn begin(&mut self, part: &str) {
        self.places.begin(part);
    }

    /// Feeds the next bytes. The line that turns on the sandbox mode is left out.
    pub(in crate::ops) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(mut first) = self.first.take() else { return self.pass(bytes) };
        first.extend_from_slice(bytes);
        let could_be = first.len() < SANDBOX.len() && SANDBOX.starts_with(&first);
        if could_be {
            self.first = Some(first);
            return Ok(());
        }
        let rest = first.strip_prefix(SANDBOX).unwrap_or(&first);
        self.pass(rest)
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        self.places.feed(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            self.monitor.check()?;
            let stdin = self.stdin.as_mut().expect("it is there until it is finished");
            match stdin.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = [PollFd::new(&*stdin, PollFlags::OUT)];
                    let _looked = rustix::event::poll(&mut ready, Some(&LOOK));
                }
                // It has ended: its messages say why.
                Err(_) => return Err(self.ended()),
            }
        }
        Ok(())
    }

    /// Ends the input, and waits until all of it is executed.
    pub(in crate::ops) fn finish(mut self) -> Result<()> {
        if let Some(first) = self.first.take() {
            self.pass(&first)?;
        }
        self.stdin = None;
        loop {
            self.monitor.check()?;
            let ended = self.child.try_wait();
            let lost = |e| Error::new(ErrorKind::Load, "cannot wait for the client").because(e);
            match ended.map_err(lost)? {
                Some(status) if status.success() => {
                    let messages = self.take_messages();
                    return if messages.contains("ERROR ") {
                        Err(self.failure(&messages))
                    } else {
                        Ok(())
                    };
                }
                Some(_) => return Err(self.ended()),
                None => std::thread::sleep(LOOK_TIME),
            }
        }
    }

    fn ended(&mut self) -> Error {
        self.stdin = None;
        // Its messages are read to their end, which is its own.
        let messages = self.take_messages();
        self.failure(&messages)
    }

    fn take_messages(&mut self) -> String {
        let messages = self.messages.take().and_then(|reader| reader.join().ok());
        String::from_utf8_lossy(&messages.unwrap_or_default()).into_owned()
    }

    fn failure(&mut self, messages: &str) -> Error {
        let said = messages.lines().find(|line| line.starts_with("ERROR "));
        let place = said.and_then(line_of).map(|line| self.places.describe(line));
        let what = match place {
            Some(place) => format!("the server refused a statement: {place}"),
            None => "the client stopped".to_owned(),
        };
        let why = said.unwrap_or(messages.trim());
        Error::new(ErrorKind::Load, what).because(why.to_owned())
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // Killed before its input ends: a statement that was cut is not executed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Returns the line that a message of the client names: `ERROR 1064 (42000) at line 7: ...`.
fn line_of(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once(" at line ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Makes a file in memory with the options of the client.
fn option_file(server: &Server) -> io::Result<File> {
    let memory = rustix::fs::memfd_create("haulout-client", MemfdFlags::CLOEXEC)?;
    // A client ignores a file that everybody can write to.
    rustix::fs::fchmod(&memory, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(memory);
    file.write_all(options_of(server).as_bytes())?;
    Ok(file)
}

fn options_of(Server { address, login, .. }: &Server) -> zeroize::Zeroizing<String> {
    let mut text = zeroize::Zeroizing::new(String::from("[client]\n"));
    let mut add = |name: &str, value: &str| {
        let value = zeroize::Zeroizing::new(value.replace('\\', "\\\\").replace('"', "\\\""));
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(&value);
        text.push_str("\"\n");
    };
    add("user", &login.user);
    if let Some(password) = &login.password {
        add("password", password);
    }
    match address {
        Address::Socket(path) => add("socket", &path.to_string_lossy()),
        Address::Tcp { host, port } => {
            add("host", host);
            add("port", &port.to_string());
            add("protocol", "tcp");
        }
    }
    if let Some(tls) = &login.tls {
        let files =
            [("ssl-ca", &tls.authority), ("ssl-cert", &tls.certificate), ("ssl-key", &tls.key)];
        for (name, path) in files {
            if let Some(path) = path {
                add(name, &path.to_string_lossy());
            }
        }
        add("ssl", "1");
        add("ssl-verify-server-cert", if tls.verifies { "1" } else { "0" });
    }
    text
}

/// Tells whether a program can be started.
pub(in crate::ops) fn is_there(program: &OsStr) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    withhold_secrets(&mut command);
    command.status().is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn server(directory: &Path, script: &str) -> Server {
        let client = directory.join("client");
        fs::write(&client, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
        let login = Login {
            user: "me".to_owned(),
            password: Some(zeroize::Zeroizing::new("a\\\"b #".to_owned())),
            tls: None,
        };
        let address = Address::Socket("/run/x.sock".into());
        Server { address, login, client: client.into_os_string() }
    }

    #[test]
    fn the_account_is_in_a_file_in_memory_and_the_sandbox_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let script = format!(
            "echo \"$@\" >{0}.args; exec 3>&1; cat /dev/fd/3 >{0}.options; cat >{0}",
            out.display()
        );
        let monitor = Monitor::default();
        let server = server(directory.path(), &script);
        let mut client = Client::start(&server, Some("gbk"), &monitor).unwrap();
        let text = [SANDBOX, b" \nSELECT 1;\n"].concat();
        text.chunks(7).for_each(|piece| client.feed(piece).unwrap());
        client.finish().unwrap();
        assert_eq!(fs::read(&out).unwrap(), b" \nSELECT 1;\n");
        let options = fs::read_to_string(out.with_extension("options")).unwrap();
        assert!(options.contains("password=\"a\\\\\\\"b #\"\n"), "{options}");
        let arguments = fs::read_to_string(out.with_extension("args")).unwrap();
        assert!(!arguments.contains('#') && arguments.contains("=gbk"), "{arguments}");
    }

    #[test]
    fn the_first_error_is_placed() {
        let directory = tempfile::tempdir().unwrap();
        let script = "read a; read b; echo 'ERROR 1146 (42S02) at line 2: no table' >&2; exit 1";
        let server = server(directory.path(), script);
        let monitor = Monitor::default();
        let mut client = Client::start(&server, None, &monitor).unwrap();
        client.begin("shop/t.sql");
        let fed = client.feed(b"SET x;\nINSERT INTO t VALUES (1);\n");
        let error = fed.and_then(|()| client.finish()).unwrap_err();
        assert_eq!(
            error.with_causes(),
            "the server refused a statement: line 2 of shop/t.sql, in \"INSERT INTO t VALUES \
             (1);\": ERROR 1146 (42S02) at line 2: no table"
        );
    }

    #[test]
    fn a_client_that_never_reads_ends_when_the_user_stops_it() {
        let directory = tempfile::tempdir().unwrap();
        let server = server(directory.path(), "exec sleep 1000");
        let monitor = Monitor::default();
        let mut client = Client::start(&server, None, &monitor).unwrap();
        let fed = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| client.feed(&vec![b' '; 1 << 20]));
            std::thread::sleep(Duration::from_millis(50));
            monitor.stop();
            feeding.join().unwrap()
        });
        assert_eq!(fed.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
