//! Replay: writes the original stream again from its script and its members.
//!
//! The script says which header comes next and how many bytes of which member follow it. Headers
//! are made here; the member's bytes are fetched, verified and written by the caller, who sees
//! whole ranges and can read ahead. A frame's CRC stands in the script, so that a header is written
//! before its payload was looked at, and a stream that came with a wrong CRC leaves with it.
//!
//! Invariants:
//! - what is emitted, in order, is the stream, or an error comes before its end;
//! - the ranges of a member tile it from 0 on, in ascending order.
//!
//! It does not check the payload against the CRC: blocks have hashes for that, and the CRC may have
//! been wrong from the start.

use std::ops::Range;

use crate::parse::item::Incarnation;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Payload;
use crate::parse::item::Target;
use crate::parse::path::OwnedPath;
use crate::parse::script::Op;
use crate::parse::script::ScriptError;
use crate::parse::script::ScriptReader;

/// The piece to write next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emit<'a> {
    /// Bytes to be written as they are: headers and literals.
    Bytes(&'a [u8]),
    /// These bytes of a member; never empty.
    Member {
        /// The member whose bytes follow.
        target: Target<'a>,
        /// Positions in the member.
        range: Range<u64>,
    },
}

/// Turns one script back into its stream.
#[derive(Debug, Default)]
pub struct Replay {
    reader: ScriptReader,
    bytes: Vec<u8>,
    next: Option<Slice>,
    current: Option<Slice>,
}

/// A range of a member, and what [`Target`] is made of.
#[derive(Debug)]
struct Slice {
    member: MemberNo,
    incarnation: Incarnation,
    path: OwnedPath,
    opens: bool,
    range: Range<u64>,
}

impl Replay {
    /// Creates a replay that waits for the script's first bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the script; to be called when [`Replay::next_emit`] has no more.
    pub fn feed(&mut self, piece: &[u8]) {
        self.reader.feed(piece);
    }

    /// Returns what to write next, or `None` if more of the script is needed.
    pub fn next_emit(&mut self) -> Result<Option<Emit<'_>>, ScriptError> {
        self.current = self.next.take();
        if let Some(slice) = &self.current {
            let Slice { member, incarnation, ref path, opens, ref range } = *slice;
            let target = Target { member, path: path.as_path(), incarnation, opens };
            return Ok(Some(Emit::Member { target, range: range.clone() }));
        }
        let Some(op) = self.reader.next_op()? else { return Ok(None) };
        self.bytes.clear();
        match op {
            Op::Item(item) => {
                item.frame().encode(&mut self.bytes);
                if let Item::Payload(payload) = item {
                    self.next = slice(&payload, payload.extent.len);
                }
            }
            Op::CutPayload { payload, arrived } => {
                Item::Payload(payload).frame().encode(&mut self.bytes);
                self.next = slice(&payload, arrived);
            }
            Op::Literal(bytes) => self.bytes.extend_from_slice(bytes),
        }
        Ok(Some(Emit::Bytes(&self.bytes)))
    }

    /// Ends the replay: all of the script was fed, and [`Replay::next_emit`] has no more.
    pub fn finish(self) -> Result<(), ScriptError> {
        self.reader.finish()
    }
}

/// Returns the first `len` bytes of a payload, if there are any.
fn slice(payload: &Payload<'_>, len: u64) -> Option<Slice> {
    let Target { member, path, incarnation, opens } = payload.target;
    let end = payload.at.checked_add(len).expect("the reader checks positions in members");
    let range = payload.at..end;
    (len > 0).then(|| Slice { member, incarnation, path: path.into(), opens, range })
}
