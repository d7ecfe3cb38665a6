//! Writes the script while a stream is parsed.
//!
//! The last payload op is held back until the next item is known: an end right after it is a
//! bit of it, and a cut stands before it.
//!
//! Memory: a few dozen bytes per open member, and what the caller has not drained.

use std::collections::BTreeMap;

use crate::base::num::u64_of;
use crate::base::wire::put_varint;
use crate::parse::frame::FrameFlags;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Payload;
use crate::parse::item::Target;
use crate::parse::path::StreamPath;
use crate::parse::script::grammar::LITERAL_BYTES_MAX;
use crate::parse::script::grammar::SCRIPT_VERSION;
use crate::parse::script::grammar::put_path;
use crate::parse::script::op;
use crate::parse::script::slots::Course;
use crate::parse::script::slots::Slots;

/// The way in which the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptEnd {
    /// After the last item or literal, its payload included.
    Whole,
    /// Inside the payload of the last item.
    InsidePayload {
        /// Bytes of it that arrived: less than its length.
        arrived: u64,
    },
}

/// Writes the script of one mbstream.
#[derive(Debug)]
pub struct ScriptWriter {
    out: Vec<u8>,
    held: Option<Held>,
    slots: Slots<Course>,
    slot_of: BTreeMap<MemberNo, usize>,
    last_slot: Option<usize>,
    last_path: Vec<u8>,
    last_len: u64,
    stream_bytes: u64,
}

/// The payload op that is not in the script yet.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    member: MemberNo,
    len: u64,
}

impl Default for ScriptWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptWriter {
    /// Creates a writer whose script has its version byte only.
    pub fn new() -> Self {
        Self {
            out: vec![SCRIPT_VERSION],
            held: None,
            slots: Slots::new(),
            slot_of: BTreeMap::new(),
            last_slot: None,
            last_path: Vec::new(),
            last_len: 0,
            stream_bytes: 0,
        }
    }

    /// Takes down the next item of the stream, in the order in which the parser made them.
    pub fn push(&mut self, item: &Item<'_>) {
        self.stream_bytes += u64_of(item.frame().header_len());
        if self.closes_held(item) {
            return;
        }
        self.release();
        match *item {
            Item::Payload(payload) => self.push_payload(&payload),
            Item::End { target, flags } => {
                self.push_plain(op::END, target, flags);
                self.vacate(target.member);
            }
            Item::Seek { target, flags, offset } => {
                self.push_plain(op::SEEK, target, flags);
                put_varint(&mut self.out, offset);
                self.course(target.member).next_offset = offset;
            }
            Item::Rename { flags, from, to } => {
                self.push_nameless(op::RENAME, flags);
                self.push_path(from);
                self.push_path(to);
            }
            Item::Remove { flags, path } => {
                self.push_nameless(op::REMOVE, flags);
                self.push_path(path);
            }
        }
    }

    /// Takes down bytes of the stream that are no item.
    pub fn push_literal(&mut self, bytes: &[u8]) {
        self.release();
        self.stream_bytes += u64_of(bytes.len());
        for piece in bytes.chunks(LITERAL_BYTES_MAX) {
            self.out.push(op::LITERAL);
            put_varint(&mut self.out, u64_of(piece.len()));
            self.out.extend_from_slice(piece);
        }
    }

    /// Counts the bytes of the script that are final.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Takes the bytes of the script that are final.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends the script; returns its last bytes.
    pub fn finish(mut self, end: ScriptEnd) -> Vec<u8> {
        if let ScriptEnd::InsidePayload { arrived } = end {
            let held = self.held.as_ref().expect("a stream is cut in the payload of its last item");
            assert!(arrived < held.len, "a cut payload is shorter than announced");
            self.stream_bytes -= held.len - arrived;
            self.out.push(op::CUT);
            put_varint(&mut self.out, arrived);
        }
        self.release();
        self.out.push(op::FINISH);
        put_varint(&mut self.out, self.stream_bytes);
        self.out
    }

    /// Makes an end right after its payload a bit of the payload's op.
    fn closes_held(&mut self, item: &Item<'_>) -> bool {
        let Item::End { target, flags } = *item else { return false };
        let Some(held) = &mut self.held else { return false };
        if held.member != target.member || flags != FrameFlags::default() {
            return false;
        }
        *held.bytes.first_mut().expect("an op has a first byte") |= op::CLOSES;
        self.vacate(target.member);
        self.release();
        true
    }

    fn release(&mut self) {
        if let Some(held) = self.held.take() {
            self.out.extend_from_slice(&held.bytes);
        }
    }

    fn push_payload(&mut self, payload: &Payload<'_>) {
        let Payload { target, flags, extent, sparse, .. } = *payload;
        let emitted = std::mem::take(&mut self.out);
        let mut opcode = if sparse.is_some() { op::SPARSE } else { op::PAYLOAD };
        let course = if target.opens { Course::default() } else { *self.course(target.member) };
        if course.flags != flags {
            opcode |= op::HAS_FLAGS;
        }
        if course.next_offset != extent.offset {
            opcode |= op::HAS_OFFSET;
        }
        self.push_target(opcode, target);
        if opcode & op::HAS_FLAGS != 0 {
            self.out.push(flags.byte());
        }
        if opcode & op::HAS_OFFSET != 0 {
            put_varint(&mut self.out, extent.offset);
        }
        if let Some(map) = sparse {
            put_varint(&mut self.out, u64_of(map.entries().count()));
            for (skip, len) in map.entries() {
                put_varint(&mut self.out, skip.into());
                put_varint(&mut self.out, len.into());
            }
        } else {
            let same = extent.len == self.last_len;
            put_varint(&mut self.out, if same { 0 } else { extent.len + 1 });
            self.last_len = extent.len;
        }
        self.out.extend_from_slice(&extent.crc.to_le_bytes());
        *self.course(target.member) =
            Course { flags, next_offset: payload.next_offset(), arrived: payload.end() };
        self.stream_bytes += extent.len;
        let bytes = std::mem::replace(&mut self.out, emitted);
        self.held = Some(Held { bytes, member: target.member, len: extent.len });
    }

    fn push_plain(&mut self, kind: u8, target: Target<'_>, flags: FrameFlags) {
        let unusual = flags != FrameFlags::default();
        self.push_target(if unusual { kind | op::HAS_FLAGS } else { kind }, target);
        if unusual {
            self.out.push(flags.byte());
        }
    }

    fn push_nameless(&mut self, kind: u8, flags: FrameFlags) {
        if flags == FrameFlags::default() {
            self.out.push(kind);
        } else {
            self.out.extend_from_slice(&[kind | op::HAS_FLAGS, flags.byte()]);
        }
    }

    /// Appends the op byte and the target; opens the member if the frame does.
    fn push_target(&mut self, opcode: u8, target: Target<'_>) {
        if target.opens {
            self.open(opcode, target);
            return;
        }
        let slot = *self.slot_of.get(&target.member).expect("the parser names open members only");
        if self.last_slot == Some(slot) {
            self.out.push(opcode | op::TARGET_SAME);
        } else {
            self.out.push(opcode | op::TARGET_SLOT);
            put_varint(&mut self.out, u64_of(slot));
        }
        self.last_slot = Some(slot);
    }

    fn open(&mut self, opcode: u8, target: Target<'_>) {
        match target.incarnation.get() {
            0 => self.out.push(opcode | op::TARGET_FIRST),
            again => {
                self.out.push(opcode | op::TARGET_AGAIN);
                put_varint(&mut self.out, again.into());
            }
        }
        self.push_path(target.path);
        let slot = self.slots.open(Course::default());
        self.slot_of.insert(target.member, slot);
        self.last_slot = Some(slot);
    }

    fn push_path(&mut self, path: StreamPath<'_>) {
        put_path(&mut self.out, &mut self.last_path, path.as_bytes());
    }

    fn course(&mut self, member: MemberNo) -> &mut Course {
        let slot = *self.slot_of.get(&member).expect("the parser names open members only");
        self.slots.get_mut(slot).expect("an open member has a slot")
    }

    fn vacate(&mut self, member: MemberNo) {
        let slot = self.slot_of.remove(&member).expect("the parser ends open members only");
        self.slots.close(slot);
    }
}
