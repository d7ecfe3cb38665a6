//! The transactions of a binary log: where each begins, and the statements in it that were logged
//! as text.
//!
//! Rows are passed over; a change of a table's definition is always a statement. Checksums are not
//! looked at here: [`Walk`](super::walk::Walk) compares them.
//!
//! Source: `sql/log_event.h` of MariaDB 10.11 (`Query_log_event`, `Gtid_log_event`).

use std::io;
use std::io::Read;

use crate::base::error::Malformed;
use crate::base::gtid::Gtid;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;
use crate::parse::binlog::event::CRC_BYTES;
use crate::parse::binlog::event::Description;
use crate::parse::binlog::event::HEADER_BYTES;
use crate::parse::binlog::event::Header;
use crate::parse::binlog::event::KEPT_BYTES_MAX;
use crate::parse::binlog::event::Kind;
use crate::parse::binlog::event::gtid;

/// Bytes of the magic before the first event.
const MAGIC_BYTES: u64 = 4;

/// Bytes of a query event before its status variables.
const QUERY_HEAD_BYTES: usize = 13;

/// A statement that was logged as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The schema in which names without one are looked up.
    pub schema: String,
    /// The text of the statement.
    pub text: String,
}

/// The beginning of a transaction, or a statement in the one that began last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A transaction begins here.
    Begins {
        /// The place of its first event in the file.
        at: u64,
        /// The id of the transaction.
        gtid: Gtid,
        /// When it was written, seconds since 1970.
        time: u64,
    },
    /// A statement of the transaction.
    Statement(Statement),
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// It goes on with the next event.
    On,
    /// What was looked for was found.
    Stop,
}

/// The reason for which a file could not be walked through.
#[derive(Debug)]
pub enum Unwalked {
    /// It could not be read.
    Io(io::Error),
    /// An event at this place is not what it should be.
    Malformed(u64, Malformed),
}

/// Hands the transactions of a file to `each`, until it has enough.
pub fn transactions(
    file: &mut impl Read,
    each: &mut dyn FnMut(Found) -> Go,
) -> Result<(), Unwalked> {
    let mut at = MAGIC_BYTES;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(Unwalked::Io)?;
    let mut tail = CRC_BYTES;
    loop {
        let mut head = [0; HEADER_BYTES];
        match fill(file, &mut head).map_err(Unwalked::Io)? {
            0 => return Ok(()),
            HEADER_BYTES => {}
            _ => return Err(malformed(at, "is cut: the file ends in it")),
        }
        let header = Header::read(&head).map_err(|why| Unwalked::Malformed(at, why))?;
        let length = usize_of_u32(header.length);
        let Some(body_bytes) = length.checked_sub(HEADER_BYTES) else {
            return Err(malformed(at, "is shorter than its header"));
        };
        let is_read = header.kind.is_read() || header.kind == Kind::Query;
        if is_read && body_bytes <= KEPT_BYTES_MAX {
            let mut body = vec![0; body_bytes];
            file.read_exact(&mut body).map_err(Unwalked::Io)?;
            let found = one(&header, &body, at, &mut tail);
            if let Some(found) = found.map_err(|why| Unwalked::Malformed(at, why))?
                && each(found) == Go::Stop
            {
                return Ok(());
            }
        } else {
            let wanted = u64_of(body_bytes);
            let passed = io::copy(&mut file.by_ref().take(wanted), &mut io::sink());
            if passed.map_err(Unwalked::Io)? < wanted {
                return Err(malformed(at, "is cut: the file ends in it"));
            }
        }
        at += u64_of(length);
    }
}

fn malformed(at: u64, why: &'static str) -> Unwalked {
    Unwalked::Malformed(at, Malformed { what: "binary log", why })
}

/// Reads until the buffer is full or the file ends; returns how many bytes came.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads one event; `tail` is the length of the checksum behind a body.
fn one(
    header: &Header,
    body: &[u8],
    at: u64,
    tail: &mut usize,
) -> Result<Option<Found>, Malformed> {
    if header.kind == Kind::FormatDescription {
        let description = Description::read(body)?;
        *tail = if description.has_checksums { CRC_BYTES } else { 0 };
        return Ok(None);
    }
    let body = &body[..body.len().saturating_sub(*tail)];
    match header.kind {
        Kind::Gtid => {
            let gtid = gtid(body, header.server)?;
            Ok(Some(Found::Begins { at, gtid, time: u64::from(header.time) }))
        }
        Kind::Query => Ok(Some(Found::Statement(query(body)?))),
        Kind::Stop
        | Kind::Rotate
        | Kind::FormatDescription
        | Kind::GtidList
        | Kind::StartEncryption
        | Kind::Other => Ok(None),
    }
}

/// Reads the body of a statement.
fn query(body: &[u8]) -> Result<Statement, Malformed> {
    let mut reader = Reader::new("query event", body);
    let (_thread, _seconds) = (reader.u32()?, reader.u32()?);
    let schema_bytes = usize::from(reader.u8()?);
    let _error = reader.u16()?;
    let status_bytes = usize::from(reader.u16()?);
    debug_assert_eq!(body.len() - reader.left(), QUERY_HEAD_BYTES);
    reader.take(status_bytes)?;
    let schema = String::from_utf8_lossy(reader.take(schema_bytes)?).into_owned();
    // A zero ends the name.
    reader.u8()?;
    let text = String::from_utf8_lossy(reader.take(reader.left())?).into_owned();
    Ok(Statement { schema, text })
}
