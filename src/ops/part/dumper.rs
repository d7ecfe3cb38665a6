//! Dumps tables of a private server with the program of MariaDB.

use std::io::Read;
use std::process::Command;
use std::process::Stdio;

use crate::base::crew;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::part::physical_part::SchemaPart;
use crate::ops::part::sink::Sink;
use crate::parse::sql::Excerpt;
use crate::parse::sql::LeftOut;
use crate::parse::sql::comment;
use crate::parse::sql::quoted;
use crate::parse::sql::use_statement;
use crate::server::login::Address;
use crate::server::private::PrivateServer;
use crate::server::session::Session;
use crate::source::child::withhold_secrets;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Bytes of messages that an error quotes.
const MESSAGES_BYTES_MAX: u64 = 16 << 10;

/// The program on a private server.
#[derive(Debug)]
pub(super) struct Dumper<'d> {
    pub(super) server: &'d PrivateServer,
    pub(super) monitor: &'d Monitor,
}

impl Dumper<'_> {
    /// Writes a part of a schema; returns what was left out.
    pub(super) fn write(
        &self,
        session: &mut Session,
        part: &SchemaPart,
        mut excerpt: Excerpt,
        sink: &mut Sink<'_>,
    ) -> Result<LeftOut> {
        let mut out = Vec::new();
        sink.begin(&format!("the beginning of schema {}", part.name));
        let mut head = comment(&format!("tables of schema '{}'", part.name)).into_bytes();
        let shown = format!("SHOW CREATE DATABASE IF NOT EXISTS {}", quoted(&part.name));
        let rows = session.rows(&shown)?;
        let made = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
        head.extend_from_slice(made.unwrap_or_default().as_bytes());
        head.extend_from_slice(b";\n");
        head.extend_from_slice(&use_statement(part.name.as_bytes()));
        excerpt.push(&head, &mut out)?;
        sink.write(&out)?;
        out.clear();
        if !part.tables.is_empty() || part.is_whole {
            sink.begin(&format!("the dump of schema {}", part.name));
            self.dump(part, &mut |bytes| {
                excerpt.push(bytes, &mut out)?;
                sink.write(&out)?;
                out.clear();
                Ok(())
            })?;
        }
        if !part.views.is_empty() {
            sink.begin(&format!("the views of schema {}", part.name));
            excerpt.push(b"SET NAMES utf8mb4;\n", &mut out)?;
        }
        for view in &part.views {
            excerpt.push(view.statements().as_bytes(), &mut out)?;
        }
        let left_out = excerpt.finish(&mut out)?;
        sink.write(&out)?;
        Ok(left_out)
    }

    fn dump(&self, part: &SchemaPart, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |why: String| {
            let what = format!("mariadb-dump failed on tables of schema {}", part.name);
            Error::new(ErrorKind::Prepare, what).because(why)
        };
        let mut command = self.command(part);
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let mut stdout = child.stdout.take().expect("its standard output is piped");
        let stderr = child.stderr.take().expect("its standard error is piped");
        let messages = crew::start("said", move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            // What could not be read is not known.
            let _some = stderr.by_ref().take(MESSAGES_BYTES_MAX).read_to_end(&mut text);
            let _rest = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&text).into_owned()
        })?;
        let mut buffer = vec![0; READ_BYTES];
        let copied = loop {
            let read = self
                .monitor
                .check()
                .and_then(|()| stdout.read(&mut buffer).map_err(|e| failed(e.to_string())));
            match read {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    if let Err(error) = take(&buffer[..count]) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if copied.is_err() {
            // Its output is not wanted any more.
            let _gone = child.kill();
        }
        let status = child.wait().map_err(|e| failed(e.to_string()))?;
        let messages = messages.join().unwrap_or_default();
        copied?;
        if status.success() { Ok(()) } else { Err(failed(messages)) }
    }

    fn command(&self, part: &SchemaPart) -> Command {
        let mut command = Command::new("mariadb-dump");
        command.arg("--no-defaults").arg("--user=root");
        if let Address::Socket(path) = self.server.address() {
            let mut option = std::ffi::OsString::from("--socket=");
            option.push(path);
            command.arg(option);
        }
        // Rows lock tables that take numbers from a sequence that is not locked, and would stop.
        command.args(["--hex-blob", "--default-character-set=utf8mb4", "--skip-add-locks"]);
        command.args(["--skip-lock-tables", "--triggers"]);
        if knows("--dump-history") {
            command.arg("--dump-history");
        }
        if part.is_whole {
            command.arg("--routines");
            for view in &part.views {
                command.arg(format!("--ignore-table={}.{}", part.name, view.name));
            }
            for table in &part.without {
                command.arg(format!("--ignore-table={}.{table}", part.name));
            }
        }
        command.arg("--").arg(&part.name);
        if !part.is_whole {
            command.args(&part.tables);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        withhold_secrets(&mut command);
        command
    }
}

/// Tells whether the program knows an option.
fn knows(option: &str) -> bool {
    let mut command = Command::new("mariadb-dump");
    command.args(["--no-defaults", "--help"]).stdin(Stdio::null()).stderr(Stdio::null());
    withhold_secrets(&mut command);
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    memchr::memmem::find(&output, option.as_bytes()).is_some()
}
