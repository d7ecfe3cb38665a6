//! A walk through the events of a file, in whatever pieces its bytes come.

use std::fmt;

use crate::base::error::Malformed;
use crate::base::gtid::Gtid;
use crate::base::gtid::GtidState;
use crate::base::hex;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::format::binlog::BinlogEnd;
use crate::format::binlog::BinlogIndex;
use crate::parse::binlog::event::CRC_BYTES;
use crate::parse::binlog::event::Description;
use crate::parse::binlog::event::FLAGS_AT;
use crate::parse::binlog::event::HEADER_BYTES;
use crate::parse::binlog::event::Header;
use crate::parse::binlog::event::IN_USE;
use crate::parse::binlog::event::KEPT_BYTES_MAX;
use crate::parse::binlog::event::Kind;
use crate::parse::binlog::event::gtid;
use crate::parse::binlog::event::gtid_list;

const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// The most pairs of domain and server in a file: its index has a snapshot's room.
const GTIDS_MAX: usize = 400;

/// The reason for which a file is no whole binary log, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinlogFault {
    /// The place at which the event begins.
    pub at: u64,
    /// The reason, in words.
    pub why: &'static str,
}

impl fmt::Display for BinlogFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the event at byte {} {}", self.at, self.why)
    }
}

impl std::error::Error for BinlogFault {}

/// What whole events say of their file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFacts {
    /// The `server_id` of the server that writes the file.
    pub server_id: u32,
    /// The version of that server.
    pub server_version: String,
    /// The BLAKE3 of the first event, without the mark of an open file.
    pub first_event: String,
    /// Whether each event has a checksum.
    pub has_checksums: bool,
    /// The state before the file, once its list was read.
    pub before: Option<GtidState>,
    /// The state behind the last whole event.
    pub after: GtidState,
    /// The time of the first event that has one.
    pub first_time: Option<u64>,
    /// The time of the last event that has one.
    pub last_time: Option<u64>,
    /// Whether the file is encrypted on the server's disk.
    pub encrypted: bool,
    /// The way in which the file ends so far.
    pub ends: BinlogEnd,
}

/// Where a walk is.
#[derive(Debug, Clone)]
enum Step {
    /// It is in the magic.
    Magic,
    /// In the header of an event.
    Header,
    /// In the rest of an event, of which so many bytes are to come.
    Body { header: Header, left: usize },
    /// It is behind a fault.
    Failed(BinlogFault),
}

/// A walk through a file.
#[derive(Debug, Clone)]
pub struct Walk {
    step: Step,
    /// What is held of the event: its header, and its body if that is read.
    held: Vec<u8>,
    /// The checksum of an event whose body is not held, so far.
    crc: crc32fast::Hasher,
    /// The checksum at its end, as far as it came.
    stated: Vec<u8>,
    /// Bytes of the file so far.
    at: u64,
    /// The place behind the last whole event.
    whole: u64,
    digest: blake3::Hasher,
    facts: Option<BinlogFacts>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            step: Step::Magic,
            held: Vec::new(),
            crc: crc32fast::Hasher::new(),
            stated: Vec::new(),
            at: 0,
            whole: 0,
            digest: blake3::Hasher::new(),
            facts: None,
        }
    }
}

impl Walk {
    /// Creates a walk at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on through the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BinlogFault> {
        self.hash(bytes);
        let mut rest = bytes;
        loop {
            if let Step::Failed(fault) = &self.step {
                return Err(*fault);
            }
            if rest.is_empty() {
                return Ok(());
            }
            let taken = self.take(rest);
            self.at += u64_of(taken);
            rest = &rest[taken..];
            self.pass().map_err(|why| self.fail(why))?;
        }
    }

    /// Returns what the whole events say; nothing before the first of them.
    pub fn facts(&self) -> Option<&BinlogFacts> {
        self.facts.as_ref()
    }

    /// Returns the place behind the last whole event.
    pub fn whole_bytes(&self) -> u64 {
        self.whole
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Describes a file that is at its end; fails if an event is cut, or what must be there is not.
    pub fn finish(&self, file: &str) -> Result<BinlogIndex, BinlogFault> {
        let fault = |why| BinlogFault { at: self.whole, why };
        if let Step::Failed(fault) = &self.step {
            return Err(*fault);
        }
        let Some(facts) = &self.facts else { return Err(fault("is missing: the file is empty")) };
        if self.whole != self.at {
            return Err(fault("is cut: the file ends in it"));
        }
        let Some(before) = &facts.before else {
            return Err(fault("is missing: the file has no list of GTIDs"));
        };
        if facts.after.len() > GTIDS_MAX {
            return Err(fault("ends a file with GTIDs of more than 400 domains and servers"));
        }
        Ok(BinlogIndex {
            file: file.to_owned(),
            server_id: facts.server_id,
            server_version: facts.server_version.clone(),
            first_event: facts.first_event.clone(),
            digest: hex::encode(self.digest.finalize().as_bytes()),
            bytes: self.at,
            before: before.clone(),
            after: facts.after.clone(),
            first_time: facts.first_time,
            last_time: facts.last_time,
            encrypted: facts.encrypted,
            ends: facts.ends,
        })
    }

    /// Hashes bytes of the file, without the mark of an open one.
    fn hash(&mut self, bytes: &[u8]) {
        let flag_at = usize_of(u64_of(MAGIC.len() + FLAGS_AT).wrapping_sub(self.at));
        match bytes.get(flag_at) {
            Some(flags) if self.at <= u64_of(MAGIC.len() + FLAGS_AT) => {
                self.digest.update(&bytes[..flag_at]);
                self.digest.update(&[flags & !IN_USE]);
                self.digest.update(&bytes[flag_at + 1..]);
            }
            _ => _ = self.digest.update(bytes),
        }
    }

    fn fail(&mut self, why: Malformed) -> BinlogFault {
        let fault = BinlogFault { at: self.whole, why: why.why };
        self.step = Step::Failed(fault);
        fault
    }

    /// Takes bytes of what the walk is in, as many as belong to it; returns how many.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let wanted = match &self.step {
            Step::Magic => MAGIC.len() - self.held.len(),
            Step::Header => HEADER_BYTES - self.held.len(),
            Step::Body { left, .. } => *left,
            Step::Failed(_) => 0,
        };
        let taken = wanted.min(bytes.len());
        let bytes = &bytes[..taken];
        match &mut self.step {
            Step::Magic | Step::Header => self.held.extend_from_slice(bytes),
            Step::Body { header, left } => {
                if header.kind.is_read() {
                    self.held.extend_from_slice(bytes);
                } else {
                    // The last four bytes of the event are its checksum.
                    let (text, stated) = bytes.split_at(taken.min(left.saturating_sub(CRC_BYTES)));
                    self.crc.update(text);
                    self.stated.extend_from_slice(stated);
                }
                *left -= taken;
            }
            Step::Failed(_) => {}
        }
        taken
    }

    /// Goes on to the next step if the one that the walk is in is complete.
    fn pass(&mut self) -> Result<(), Malformed> {
        let malformed = |why| Malformed { what: "binary log", why };
        match self.step.clone() {
            Step::Magic if self.held.len() == MAGIC.len() => {
                if self.held != MAGIC {
                    return Err(malformed("is none: the file does not begin as a binary log"));
                }
                self.held.clear();
                self.whole = self.at;
                self.step = Step::Header;
                Ok(())
            }
            Step::Header if self.held.len() == HEADER_BYTES => {
                let bytes = self.held.first_chunk().expect("they have the length of a header");
                let header = Header::read(bytes)?;
                let left = self.body_of(&header)?;
                if !header.kind.is_read() {
                    self.crc = crc32fast::Hasher::new();
                    self.crc.update(&self.held);
                    self.stated.clear();
                }
                self.step = Step::Body { header, left };
                if left == 0 { self.close(&header) } else { Ok(()) }
            }
            Step::Body { header, left: 0 } => self.close(&header),
            Step::Magic | Step::Header | Step::Body { .. } | Step::Failed(_) => Ok(()),
        }
    }

    /// Returns how many bytes follow a header; refuses one that can't stand here.
    fn body_of(&self, header: &Header) -> Result<usize, Malformed> {
        let malformed = |why| Malformed { what: "binary log", why };
        let is_first = self.facts.is_none();
        if is_first != (header.kind == Kind::FormatDescription) {
            return Err(malformed("is not in its place: the first one describes the format"));
        }
        let has_checksum = self.facts.as_ref().is_none_or(|facts| facts.has_checksums);
        let least = HEADER_BYTES + if has_checksum { CRC_BYTES } else { 0 };
        let length = usize_of_u32(header.length);
        if length < least {
            return Err(malformed("is shorter than its header"));
        }
        if header.kind.is_read() && length > KEPT_BYTES_MAX {
            return Err(malformed("is longer than any of its kind"));
        }
        Ok(length - HEADER_BYTES)
    }

    /// Ends an event: compares its checksum, and reads what it says.
    fn close(&mut self, header: &Header) -> Result<(), Malformed> {
        let wrong = Malformed { what: "binary log", why: "does not have its checksum" };
        let held = std::mem::take(&mut self.held);
        if header.kind == Kind::FormatDescription {
            let description = Description::read(&held[HEADER_BYTES..])?;
            let mut closed = held.clone();
            closed[FLAGS_AT] &= !IN_USE;
            if !is_checked(&closed) {
                return Err(wrong);
            }
            let Description { server_version, has_checksums } = description;
            self.facts = Some(BinlogFacts {
                server_id: header.server,
                server_version,
                first_event: hex::encode(blake3::hash(&closed).as_bytes()),
                has_checksums,
                before: None,
                after: GtidState::default(),
                first_time: None,
                last_time: None,
                encrypted: false,
                ends: BinlogEnd::Open,
            });
        }
        let facts = self.facts.as_mut().expect("the first event describes the format");
        let tail = if facts.has_checksums { CRC_BYTES } else { 0 };
        if facts.has_checksums && header.kind != Kind::FormatDescription {
            let is_right = if header.kind.is_read() {
                is_checked(&held)
            } else {
                self.stated == self.crc.clone().finalize().to_le_bytes()
            };
            if !is_right {
                return Err(wrong);
            }
        }
        let body = held.get(HEADER_BYTES..held.len() - tail.min(held.len())).unwrap_or_default();
        facts.note(header, body)?;
        self.stated.clear();
        self.whole = self.at;
        self.step = Step::Header;
        Ok(())
    }
}

/// Tells whether the last four bytes of an event are the checksum of those before.
fn is_checked(event: &[u8]) -> bool {
    let Some((text, stated)) = event.split_last_chunk() else { return false };
    crc32fast::hash(text) == u32::from_le_bytes(*stated)
}

impl BinlogFacts {
    /// Takes up what a whole event says; one that can't be read changes nothing.
    fn note(&mut self, header: &Header, body: &[u8]) -> Result<(), Malformed> {
        match header.kind {
            Kind::Gtid => self.after.enter(gtid(body, header.server)?),
            Kind::GtidList => {
                let mut listed = GtidState::default();
                gtid_list(body, &mut |gtid: Gtid| listed.enter(gtid))?;
                self.after.clone_from(&listed);
                self.before = Some(listed);
            }
            Kind::StartEncryption => self.encrypted = true,
            Kind::FormatDescription | Kind::Stop | Kind::Rotate | Kind::Query | Kind::Other => {}
        }
        if header.time > 0 {
            self.first_time.get_or_insert(u64::from(header.time));
            self.last_time = Some(u64::from(header.time));
        }
        self.ends = match header.kind {
            Kind::Rotate => BinlogEnd::Rotate,
            Kind::Stop => BinlogEnd::Stop,
            Kind::FormatDescription
            | Kind::Gtid
            | Kind::GtidList
            | Kind::StartEncryption
            | Kind::Query
            | Kind::Other => BinlogEnd::Open,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
