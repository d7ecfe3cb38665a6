//! The accounts of a server as SQL: what `mariadb-dump` writes of them, and the grants to `PUBLIC`,
//! which it leaves out.
//!
//! The dump is held in memory: it has some lines for each account. Its last line says that it is
//! complete, and stays the last one.

use std::io;
use std::io::Read;
use std::io::Write;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::server::session::Session;

use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::server;

/// Maximum size of a dump of accounts in bytes: a million accounts have less.
const BYTES_MAX: u64 = 1 << 30;

/// The beginning of the last line of a dump that is complete.
const LAST: &[u8] = b"\n-- Dump completed";

/// The time for a statement.
const TIME: Duration = Duration::from_secs(10);

/// Error numbers of a server where `PUBLIC` has no grants, or is a name like any other.
const NO_GRANTS: [u16; 3] = [1064, 1133, 1141];

/// Runs the tool of a source, and writes its dump with the grants to `PUBLIC`.
pub(crate) fn dump(source: &Table, command: &[String], out: &mut dyn Write) -> Outcome<()> {
    let grants = public_grants(&mut server::of_source(source)?)?;
    let (program, arguments) = command.split_first().expect("a producer has a program");
    let failed = |why: String| {
        let message = format!("cannot dump the accounts with {program}");
        Error::new(ErrorKind::Source, message).because(why)
    };
    let mut prepared = Command::new(program);
    prepared.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = prepared.spawn().map_err(|error| failed(error.to_string()))?;
    let stdout = child.stdout.take().expect("its standard output is piped");
    let mut dump = Vec::new();
    let read = stdout.take(BYTES_MAX + 1).read_to_end(&mut dump);
    let status = child.wait();
    let is_longer = dump.len().try_into().is_ok_and(|bytes: u64| bytes > BYTES_MAX);
    read.map_err(|error| failed(error.to_string()))?;
    let status = status.map_err(|error| failed(error.to_string()))?;
    if is_longer || !status.success() {
        // What there is shows how far it came, and is no complete dump.
        write(out, &dump)?;
        let why = if is_longer { "it is longer than 1 GiB".to_owned() } else { status.to_string() };
        return Err(Failure::new(
            failed(why),
            "its own messages say why; haulout doctor looks too",
        ));
    }
    Ok(write(out, &with_public(dump, &grants))?)
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error: io::Error| {
        Error::new(ErrorKind::Target, "cannot write the dump to standard output").because(error)
    })
}

/// Asks a server for the grants to `PUBLIC`.
fn public_grants(session: &mut Session) -> Result<Vec<String>> {
    match session.try_rows("SHOW GRANTS FOR PUBLIC", TIME)? {
        Ok(rows) => Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect()),
        Err(refusal) if NO_GRANTS.contains(&refusal.code) => Ok(Vec::new()),
        Err(refusal) => Err(session.refused(&refusal)),
    }
}

/// Returns a dump with grants before its last line, or at its end if it does not say that it is
/// complete.
fn with_public(dump: Vec<u8>, grants: &[String]) -> Vec<u8> {
    if grants.is_empty() {
        return dump;
    }
    let lines: String = grants.iter().flat_map(|grant| [grant.as_str(), ";\n"]).collect();
    let text = format!("--\n-- Grants to PUBLIC\n--\n\n{lines}\n");
    let last = dump.windows(LAST.len()).rposition(|window| window == LAST);
    let (before, after) = dump.split_at(last.map_or(dump.len(), |at| at + 1));
    [before, text.as_bytes(), after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_to_public_stand_before_the_last_line() {
        let grants = ["GRANT SELECT ON `a`.* TO PUBLIC".to_owned()];
        let whole = b"GRANT x;\n-- Dump completed on 2026-11-30\n".to_vec();
        let with = with_public(whole.clone(), &grants);
        let expected = "GRANT x;\n--\n-- Grants to PUBLIC\n--\n\n\
                        GRANT SELECT ON `a`.* TO PUBLIC;\n\n\
                        -- Dump completed on 2026-11-30\n";
        assert_eq!(String::from_utf8(with).unwrap(), expected);
        assert_eq!(with_public(whole.clone(), &[]), whole);
        let cut = with_public(b"GRANT x;\n".to_vec(), &grants);
        assert!(cut.ends_with(b"TO PUBLIC;\n\n"));
    }
}
