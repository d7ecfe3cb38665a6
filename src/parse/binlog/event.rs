//! The events that are looked into: their headers, and the bodies of those about the file and its
//! history.

use crate::base::error::Malformed;
use crate::base::gtid::Gtid;
use crate::base::wire::Reader;

/// Bytes of the header of an event.
pub(super) const HEADER_BYTES: usize = 19;
/// Bytes of a checksum.
pub(super) const CRC_BYTES: usize = 4;
/// Most bytes of an event that are held: those with a body of interest are far smaller.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 10;
/// The flag by which the server marks a file that it has open, in the first event.
pub(super) const IN_USE: u8 = 1;
/// The place of that flag in the header.
pub(super) const FLAGS_AT: usize = 17;
/// The version of the format that servers write since MySQL 5.0.
const BINLOG_VERSION: u16 = 4;
const SERVER_VERSION_BYTES: usize = 50;
const WHAT: &str = "event";

/// The header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// When it was written, seconds since 1970; 0 in some events of the server's own.
    pub(super) time: u32,
    /// What the event is.
    pub(super) kind: Kind,
    /// The server that wrote it.
    pub(super) server: u32,
    /// Bytes of the event, header and checksum included.
    pub(super) length: u32,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A statement as text.
    Query,
    /// The end of a file at a shutdown.
    Stop,
    /// The end of a file that another one follows.
    Rotate,
    /// The first event of a file.
    FormatDescription,
    /// The beginning of a transaction.
    Gtid,
    /// The state before the file.
    GtidList,
    /// The rest of the file is encrypted on disk.
    StartEncryption,
    /// Any event of another kind.
    Other,
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            2 => Self::Query,
            3 => Self::Stop,
            4 => Self::Rotate,
            15 => Self::FormatDescription,
            162 => Self::Gtid,
            163 => Self::GtidList,
            164 => Self::StartEncryption,
            _ => Self::Other,
        }
    }

    /// Tells whether the body is looked into.
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::FormatDescription | Self::Gtid | Self::GtidList)
    }
}

impl Header {
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, bytes);
        let time = reader.u32()?;
        let kind = Kind::of(reader.u8()?);
        Ok(Self { time, kind, server: reader.u32()?, length: reader.u32()? })
    }
}

/// What the first event says of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    /// The version of the server.
    pub(super) server_version: String,
    /// Whether each event has a checksum.
    pub(super) has_checksums: bool,
}

impl Description {
    /// Reads the body of a first event, which ends with the kind of checksum and its own checksum.
    pub(super) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("format description", body);
        if reader.u16()? != BINLOG_VERSION {
            return Err(reader.malformed("is of another version of the format than 4"));
        }
        let version = reader.take(SERVER_VERSION_BYTES)?;
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let _created = reader.u32()?;
        if usize::from(reader.u8()?) != HEADER_BYTES {
            return Err(reader.malformed("has headers of another length than 19"));
        }
        let lengths = reader.left().checked_sub(1 + CRC_BYTES);
        reader.take(lengths.ok_or_else(|| reader.malformed("ends early"))?)?;
        let has_checksums = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.malformed("has a kind of checksum that is not known")),
        };
        let server_version = String::from_utf8_lossy(version).into_owned();
        Ok(Self { server_version, has_checksums })
    }
}

/// Reads the body of an event that begins a transaction of a server.
pub(super) fn gtid(body: &[u8], server: u32) -> Result<Gtid, Malformed> {
    let mut reader = Reader::new("GTID event", body);
    let sequence = reader.u64()?;
    Ok(Gtid { domain: reader.u32()?, server, sequence })
}

/// Reads the body of a list of GTIDs.
pub(super) fn gtid_list(body: &[u8], each: &mut dyn FnMut(Gtid)) -> Result<(), Malformed> {
    let mut reader = Reader::new("list of GTIDs", body);
    // The highest bits are flags.
    let count = reader.u32()? & 0x0fff_ffff;
    for _ in 0..count {
        let (domain, server) = (reader.u32()?, reader.u32()?);
        each(Gtid { domain, server, sequence: reader.u64()? });
    }
    Ok(())
}
