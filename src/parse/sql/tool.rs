//! The programs that write SQL dumps: how each begins a dump, and how it ends one.
//!
//! | program | begins with | ends with |
//! |---|---|---|
//! | `mariadb-dump`, `mysqldump` | `-- MariaDB dump`, `-- MySQL dump` | `-- Dump completed` |
//! | `mysqlpump` | `-- Dump created by MySQL pump utility` | `-- Dump end time:` |
//! | phpMyAdmin | `-- phpMyAdmin SQL Dump` | `COMMIT`, and what puts the session back |
//! | `HeidiSQL` | `-- HeidiSQL Version:` | what puts the session back |
//! | Adminer | `-- Adminer` | `-- 2026-11-21 09:05:01` |
//! | MySQL Shell | `-- MySQLShell dump` | nothing |
//! | `sqlite3 .dump` | `PRAGMA foreign_keys=OFF;` | `COMMIT;` |
//! | `pg_dump`, `pg_dumpall` | `-- PostgreSQL database dump` | the same and `complete` |
//! | `mydumper --stream` | `-- metadata.header` | `# Finished dump at:` |
//! | `mariadb-dump --xml` | `<mysqldump` | `</mysqldump>` |
//!
//! Messages that these programs write to standard error are known too, since `2>&1` puts them into
//! the stream.

use crate::parse::sql::kind::DumpKind;

/// A program that writes dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The programs `mariadb-dump` and `mysqldump`.
    Mariadb,
    /// The program `mysqlpump` of MySQL.
    Pump,
    /// The SQL export of phpMyAdmin.
    PhpMyAdmin,
    /// The SQL export of `HeidiSQL`.
    HeidiSql,
    /// The SQL export of Adminer.
    Adminer,
    /// A dump of MySQL Shell.
    Shell,
    /// A dump of the program `sqlite3`.
    Sqlite,
    /// The programs `pg_dump` and `pg_dumpall`.
    Postgres,
    /// `mydumper` with the option `--stream`.
    Mydumper,
}

/// The form of a whole dump's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// A line of its own.
    Line,
    /// A statement that undoes what the first statements did.
    Statement,
    /// Nothing that could be known.
    Nothing,
}

/// A line that means something wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The sandbox line, before the header of a dump.
    Sandbox,
    /// The header of a dump.
    Begins(Tool),
    /// The last line of a dump.
    Ends(Tool),
    /// An error message of the program.
    Error,
    /// Another message of the program.
    Notice,
}

/// The beginning of a dump's first line, by the program that writes it.
const HEADERS: [(&[u8], Tool); 10] = [
    (b"-- MariaDB dump ", Tool::Mariadb),
    (b"-- MySQL dump ", Tool::Mariadb),
    (b"-- Dump created by MySQL pump utility", Tool::Pump),
    (b"-- phpMyAdmin SQL Dump", Tool::PhpMyAdmin),
    (b"-- HeidiSQL Version:", Tool::HeidiSql),
    (b"-- Adminer ", Tool::Adminer),
    (b"-- MySQLShell dump ", Tool::Shell),
    (b"PRAGMA foreign_keys=OFF;", Tool::Sqlite),
    (b"-- PostgreSQL database dump", Tool::Postgres),
    (b"-- metadata.header ", Tool::Mydumper),
];

/// Programs whose messages begin with their names.
const PROGRAMS: [&[u8]; 5] =
    [b"mysqldump: ", b"mariadb-dump: ", b"mysqlpump: ", b"pg_dump: ", b"pg_dumpall: "];

/// The words that follow the program's name in a message about an error.
const ERRORS: [&[u8]; 13] = [
    b"Error",
    b"error",
    b"[ERROR]",
    b"Got err",
    b"Couldn't ",
    b"Can't ",
    b"Cannot ",
    b"You must ",
    b"You can't ",
    b"unknown ",
    b"Unknown ",
    b"Incorrect ",
    b"fatal",
];

/// The message of `mysqldump` 8.0 when its account lacks a right that only tablespaces of NDB need:
/// everything else is in the dump.
const HARMLESS: &[u8] = b"when trying to dump tablespaces";

impl Tool {
    pub(super) fn closing(self) -> Closing {
        match self {
            Self::Mariadb | Self::Pump | Self::Adminer | Self::Postgres | Self::Mydumper => {
                Closing::Line
            }
            Self::PhpMyAdmin | Self::HeidiSql | Self::Sqlite => Closing::Statement,
            Self::Shell => Closing::Nothing,
        }
    }
}

/// Tells what a line means in a dump of this kind; `line` has no line end.
pub(super) fn mark(line: &[u8], kind: DumpKind) -> Option<Mark> {
    if !matches!(line.first(), Some(b'-' | b'/' | b'#' | b'<' | b'm' | b'p' | b'P' | 7)) {
        return None;
    }
    let found = match kind {
        DumpKind::Statements => statement_mark(line),
        DumpKind::Xml => xml_mark(line),
        DumpKind::Postgres => postgres_mark(line),
        DumpKind::Mydumper => mydumper_mark(line),
    };
    found.or_else(|| message(line))
}

fn statement_mark(line: &[u8]) -> Option<Mark> {
    if line.starts_with(b"/*") {
        let sandbox = [&b"/*M!999999\\- "[..], b"/*!999999\\- "];
        return sandbox.iter().any(|start| line.starts_with(start)).then_some(Mark::Sandbox);
    }
    if !line.starts_with(b"-") && !line.starts_with(b"P") {
        return None;
    }
    if let Some((_, tool)) = HEADERS.iter().find(|(start, _)| line.starts_with(start)) {
        let is_own = !matches!(tool, Tool::Postgres | Tool::Mydumper);
        return is_own.then_some(Mark::Begins(*tool));
    }
    let rest = line.strip_prefix(b"-- ")?;
    if rest == b"Dump completed" || rest.strip_prefix(b"Dump completed on ").is_some_and(is_moment)
    {
        return Some(Mark::Ends(Tool::Mariadb));
    }
    if rest.starts_with(b"Dump end time: ") {
        return Some(Mark::Ends(Tool::Pump));
    }
    is_moment(rest.strip_suffix(b" UTC").unwrap_or(rest)).then_some(Mark::Ends(Tool::Adminer))
}

fn xml_mark(line: &[u8]) -> Option<Mark> {
    match line {
        b"</mysqldump>" => Some(Mark::Ends(Tool::Mariadb)),
        _ if line.starts_with(b"<mysqldump") => Some(Mark::Begins(Tool::Mariadb)),
        _ => None,
    }
}

fn postgres_mark(line: &[u8]) -> Option<Mark> {
    match line {
        b"-- PostgreSQL database dump" => Some(Mark::Begins(Tool::Postgres)),
        b"-- PostgreSQL database dump complete"
        | b"-- PostgreSQL database cluster dump complete" => Some(Mark::Ends(Tool::Postgres)),
        _ => None,
    }
}

fn mydumper_mark(line: &[u8]) -> Option<Mark> {
    if line.starts_with(b"-- metadata.header ") {
        return Some(Mark::Begins(Tool::Mydumper));
    }
    line.starts_with(b"# Finished dump at: ").then_some(Mark::Ends(Tool::Mydumper))
}

/// Tells whether a line is a message that such a program writes to standard error.
fn message(line: &[u8]) -> Option<Mark> {
    // Some ring the bell first.
    let line = line.strip_prefix(b"\x07").unwrap_or(line);
    let program = PROGRAMS.iter().find(|program| line.starts_with(program))?;
    Some(if is_error(&line[program.len()..]) { Mark::Error } else { Mark::Notice })
}

/// Tells whether a line of a program's standard error is an error of a dump program, which makes
/// the dump doubtful whatever its exit status.
pub fn is_dump_error(line: &[u8]) -> bool {
    message(line) == Some(Mark::Error)
}

fn is_error(text: &[u8]) -> bool {
    ERRORS.iter().any(|start| text.starts_with(start))
        && memchr::memmem::find(text, HARMLESS).is_none()
}

/// Tells whether a text is a time of the form `2026-11-21  9:05:01`.
fn is_moment(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"dddd-dd-dd ?d:dd:dd";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'?' => byte.is_ascii_digit() || *byte == b' ',
        _ => byte == shape,
    };
    text.len() == SHAPE.len() && text.iter().zip(SHAPE).all(fits)
}
