//! Reads a script back, in pieces of any size.
//!
//! A script is data from a store: authenticated perhaps, but never trusted. Every number is checked
//! before it is used, and damage is an error, not a panic.
//!
//! Memory: one op, the piece that was fed last, and the path of each open member.
//!
//! Invariants:
//! - the items are those that the parser made, to the last field;
//! - nothing is decoded after the op `finish`, and [`ScriptReader::finish`] fails without it.

use crate::base::num::u64_of;
use crate::parse::frame::Extent;
use crate::parse::frame::FrameFlags;
use crate::parse::frame::SPARSE_ENTRIES_MAX;
use crate::parse::frame::SparseMap;
use crate::parse::item::Incarnation;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Payload;
use crate::parse::item::Target;
use crate::parse::mbstream::OPEN_MEMBERS_MAX;
use crate::parse::path::OwnedPath;
use crate::parse::path::PATH_BYTES_END;
use crate::parse::path::StreamPath;
use crate::parse::script::cursor::Cursor;
use crate::parse::script::cursor::Stop;
use crate::parse::script::error::ScriptError;
use crate::parse::script::grammar::LITERAL_BYTES_MAX;
use crate::parse::script::grammar::SCRIPT_VERSION;
use crate::parse::script::op;
use crate::parse::script::slots::Course;
use crate::parse::script::slots::Slots;

/// One step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// A frame, with its payload if it has one.
    Item(Item<'a>),
    /// A frame of whose payload only the first bytes arrived; the stream ends with them.
    CutPayload {
        /// The frame whose payload was cut.
        payload: Payload<'a>,
        /// Bytes of the payload that arrived.
        arrived: u64,
    },
    /// Bytes of the stream that are no frame.
    Literal(&'a [u8]),
}

/// Reads the script of one mbstream back, in pieces of any size.
#[derive(Debug)]
pub struct ScriptReader {
    buffer: Vec<u8>,
    used: usize,
    stage: Stage,
    slots: Slots<OpenMember>,
    /// Slot of the previous op with a target.
    last_slot: Option<usize>,
    /// The slot to vacate with an end, before the next op.
    closing: Option<usize>,
    /// The slot whose end was handed out last: vacated at the next call.
    leaving: Option<usize>,
    cut: Option<u64>,
    members: u64,
    last_path: Vec<u8>,
    other_path: Vec<u8>,
    last_len: u64,
    sparse: Vec<u8>,
    stream_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Version,
    Ops,
    /// Only `finish` may follow.
    LastOp,
    Finished,
    Failed(ScriptError),
}

#[derive(Debug)]
struct OpenMember {
    member: MemberNo,
    incarnation: Incarnation,
    path: OwnedPath,
    course: Course,
}

/// An op whose fields are decoded and not yet looked at.
#[derive(Debug)]
enum Decoded<'b> {
    Payload(PayloadFields<'b>),
    End { aim: Aim<'b>, flags: u8 },
    Seek { aim: Aim<'b>, flags: u8, offset: u64 },
    Rename { flags: u8, from: PathField<'b>, to: PathField<'b> },
    Remove { flags: u8, path: PathField<'b> },
    Literal { count: usize },
    Cut { arrived: u64 },
    Finish { stream_bytes: u64 },
}

/// The fields of a payload or sparse op.
#[derive(Debug)]
struct PayloadFields<'b> {
    aim: Aim<'b>,
    flags: Option<u8>,
    offset: Option<u64>,
    amount: Amount,
    crc: u32,
    closes: bool,
}

/// The amount of payload of a frame.
#[derive(Debug)]
enum Amount {
    /// As much as in the previous payload op.
    Same,
    Bytes(u64),
    /// The content of the map, here in the form that it has in the stream.
    Sparse(Vec<u8>),
}

/// The member that an op is about.
#[derive(Debug)]
enum Aim<'b> {
    Same,
    Slot(usize),
    Opens(Incarnation, PathField<'b>),
}

/// A path as it stands in the script.
#[derive(Debug)]
struct PathField<'b> {
    shared: usize,
    rest: &'b [u8],
}

/// An op that was checked and whose effect on the state is done.
#[derive(Debug, Clone, Copy)]
enum Applied {
    Payload {
        slot: OpSlot,
        flags: FrameFlags,
        extent: Extent,
        at: u64,
        kind: PayloadKind,
    },
    End {
        slot: OpSlot,
        flags: FrameFlags,
    },
    Seek {
        slot: OpSlot,
        flags: FrameFlags,
        offset: u64,
    },
    Rename {
        flags: FrameFlags,
    },
    Remove {
        flags: FrameFlags,
    },
    Literal {
        from: usize,
        to: usize,
    },
    /// It is about the ops around it.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct OpSlot {
    slot: usize,
    opens: bool,
}

#[derive(Debug, Clone, Copy)]
struct PayloadKind {
    sparse: bool,
    cut: Option<u64>,
}

impl Op<'_> {
    /// Returns how many bytes of the stream the op stands for, payload included.
    pub fn stream_bytes(&self) -> u64 {
        let (item, payload_bytes) = match *self {
            Op::Item(item @ Item::Payload(payload)) => (item, payload.extent.len),
            Op::Item(item) => (item, 0),
            Op::CutPayload { payload, arrived } => (Item::Payload(payload), arrived),
            Op::Literal(bytes) => return u64_of(bytes.len()),
        };
        u64_of(item.frame().header_len()).saturating_add(payload_bytes)
    }
}

impl Default for ScriptReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptReader {
    /// Creates a reader that waits for the version byte.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            used: 0,
            stage: Stage::Version,
            slots: Slots::new(),
            last_slot: None,
            closing: None,
            leaving: None,
            cut: None,
            members: 0,
            last_path: Vec::new(),
            other_path: Vec::new(),
            last_len: 0,
            sparse: Vec::new(),
            stream_bytes: 0,
        }
    }

    /// Adds the next bytes of the script; to be called when [`ScriptReader::next_op`] has no more.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next op, or `None` if the bytes fed so far hold no further whole one.
    pub fn next_op(&mut self) -> Result<Option<Op<'_>>, ScriptError> {
        if let Stage::Failed(error) = self.stage {
            return Err(error);
        }
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(applied)) => Ok(Some(self.present(applied))),
            Err(error) => {
                self.stage = Stage::Failed(error);
                Err(error)
            }
        }
    }

    /// Ends the script: all of it was fed, and [`ScriptReader::next_op`] has no more.
    pub fn finish(self) -> Result<(), ScriptError> {
        match self.stage {
            Stage::Finished if self.used == self.buffer.len() => Ok(()),
            Stage::Finished => Err(ScriptError::AfterEnd),
            Stage::Failed(error) => Err(error),
            Stage::Version | Stage::Ops | Stage::LastOp => Err(ScriptError::Truncated),
        }
    }

    fn advance(&mut self) -> Result<Option<Applied>, ScriptError> {
        loop {
            if let Some(slot) = self.leaving.take() {
                self.slots.close(slot);
            }
            let applied = if let Some(slot) = self.closing.take() {
                self.leaving = Some(slot);
                let slot = OpSlot { slot, opens: false };
                Applied::End { slot, flags: FrameFlags::default() }
            } else {
                match self.decode_and_apply() {
                    Ok(applied) => applied,
                    Err(Stop::Short) => return Ok(None),
                    Err(Stop::Bad(error)) => return Err(error),
                }
            };
            if !matches!(applied, Applied::Nothing) {
                let bytes = self.present(applied).stream_bytes();
                self.stream_bytes = self.stream_bytes.saturating_add(bytes);
                return Ok(Some(applied));
            }
        }
    }

    fn decode_and_apply(&mut self) -> Result<Applied, Stop> {
        // The buffer steps aside, so that an op may borrow from it while the state changes.
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.decode_and_apply_from(&buffer);
        self.buffer = buffer;
        result
    }

    fn decode_and_apply_from(&mut self, buffer: &[u8]) -> Result<Applied, Stop> {
        let input = buffer.get(self.used..).expect("used bytes are in the buffer");
        if self.stage == Stage::Finished {
            return Err(if input.is_empty() { Stop::Short } else { ScriptError::AfterEnd.into() });
        }
        let mut cursor = Cursor::new(input);
        if self.stage == Stage::Version {
            let version = cursor.byte()?;
            if version != SCRIPT_VERSION {
                return Err(ScriptError::UnknownVersion(version).into());
            }
            self.stage = Stage::Ops;
            self.used += 1;
            return Ok(Applied::Nothing);
        }
        let decoded = decode(&mut cursor)?;
        self.used = buffer.len() - cursor.rest_len();
        Ok(self.apply(decoded)?)
    }

    fn apply(&mut self, decoded: Decoded<'_>) -> Result<Applied, ScriptError> {
        if let Decoded::Finish { stream_bytes } = decoded {
            return self.apply_finish(stream_bytes);
        }
        if self.stage == Stage::LastOp {
            return Err(ScriptError::AfterEnd);
        }
        if self.cut.is_some() && !matches!(decoded, Decoded::Payload(_)) {
            return Err(ScriptError::BadCut);
        }
        match decoded {
            Decoded::Payload(fields) => self.apply_payload(fields),
            Decoded::End { aim, flags } => {
                let slot = self.aim(aim)?;
                self.leaving = Some(slot.slot);
                Ok(Applied::End { slot, flags: FrameFlags::from_byte(flags) })
            }
            Decoded::Seek { aim, flags, offset } => self.apply_seek(aim, flags, offset),
            Decoded::Rename { flags, from, to } => {
                self.set_path(&from)?;
                self.other_path.clone_from(&self.last_path);
                self.set_path(&to)?;
                Ok(Applied::Rename { flags: FrameFlags::from_byte(flags) })
            }
            Decoded::Remove { flags, path } => {
                self.set_path(&path)?;
                Ok(Applied::Remove { flags: FrameFlags::from_byte(flags) })
            }
            Decoded::Literal { count } => {
                Ok(Applied::Literal { from: self.used - count, to: self.used })
            }
            Decoded::Cut { arrived } => {
                self.cut = Some(arrived);
                Ok(Applied::Nothing)
            }
            Decoded::Finish { .. } => Ok(Applied::Nothing),
        }
    }

    fn apply_finish(&mut self, stated: u64) -> Result<Applied, ScriptError> {
        if self.cut.is_some() {
            return Err(ScriptError::BadCut);
        }
        if stated != self.stream_bytes {
            return Err(ScriptError::WrongTotal { stated, found: self.stream_bytes });
        }
        self.stage = Stage::Finished;
        Ok(Applied::Nothing)
    }

    fn apply_seek(&mut self, aim: Aim<'_>, flags: u8, to: u64) -> Result<Applied, ScriptError> {
        let anywhere = Extent { len: 0, offset: to, crc: 0 };
        anywhere.check(0).map_err(ScriptError::BadPayload)?;
        let slot = self.aim(aim)?;
        self.member_mut(slot).course.next_offset = to;
        Ok(Applied::Seek { slot, flags: FrameFlags::from_byte(flags), offset: to })
    }

    fn apply_payload(&mut self, fields: PayloadFields<'_>) -> Result<Applied, ScriptError> {
        let slot = self.aim(fields.aim)?;
        let course = self.member_mut(slot).course;
        let flags = fields.flags.map_or(course.flags, FrameFlags::from_byte);
        let offset = fields.offset.unwrap_or(course.next_offset);
        let (len, advance, sparse) = match fields.amount {
            Amount::Same => (self.last_len, self.last_len, false),
            Amount::Bytes(len) => (len, len, false),
            Amount::Sparse(map) => {
                self.sparse = map;
                let map = SparseMap::new(&self.sparse).expect("the decoder made whole entries");
                (map.payload_bytes(), map.file_bytes(), true)
            }
        };
        if !sparse {
            self.last_len = len;
        }
        let extent = Extent { len, offset, crc: fields.crc };
        extent.check(advance).map_err(ScriptError::BadPayload)?;
        let arrived = course.arrived.checked_add(len).ok_or(ScriptError::BadNumber)?;
        let next_offset = offset + advance;
        self.member_mut(slot).course = Course { flags, next_offset, arrived };
        let cut = self.cut.take();
        if let Some(cut) = cut {
            if cut >= len || fields.closes {
                return Err(ScriptError::BadCut);
            }
            self.stage = Stage::LastOp;
        }
        self.closing = fields.closes.then_some(slot.slot);
        let kind = PayloadKind { sparse, cut };
        Ok(Applied::Payload { slot, flags, extent, at: course.arrived, kind })
    }

    /// Finds the member of an op, or opens it.
    fn aim(&mut self, aim: Aim<'_>) -> Result<OpSlot, ScriptError> {
        let slot = match aim {
            Aim::Same => self.last_slot.ok_or(ScriptError::NoSuchMember)?,
            Aim::Slot(slot) => slot,
            Aim::Opens(incarnation, path) => return self.open(incarnation, &path),
        };
        if self.slots.get(slot).is_none() {
            return Err(ScriptError::NoSuchMember);
        }
        self.last_slot = Some(slot);
        Ok(OpSlot { slot, opens: false })
    }

    fn open(
        &mut self,
        incarnation: Incarnation,
        field: &PathField<'_>,
    ) -> Result<OpSlot, ScriptError> {
        if self.slots.open_count() >= OPEN_MEMBERS_MAX {
            return Err(ScriptError::TooManyOpen);
        }
        self.set_path(field)?;
        let path = checked(&self.last_path).into();
        let member = MemberNo::new(self.members);
        self.members += 1;
        let course = Course::default();
        let slot = self.slots.open(OpenMember { member, incarnation, path, course });
        self.last_slot = Some(slot);
        Ok(OpSlot { slot, opens: true })
    }

    /// Makes `field` the last path, and checks it.
    fn set_path(&mut self, field: &PathField<'_>) -> Result<(), ScriptError> {
        if field.shared > self.last_path.len() {
            return Err(ScriptError::BadPathPrefix);
        }
        self.last_path.truncate(field.shared);
        self.last_path.extend_from_slice(field.rest);
        StreamPath::new(&self.last_path).map(|_| ()).map_err(ScriptError::BadPath)
    }

    fn member_mut(&mut self, slot: OpSlot) -> &mut OpenMember {
        self.slots.get_mut(slot.slot).expect("an op's slot was found to be open")
    }

    fn present(&self, applied: Applied) -> Op<'_> {
        match applied {
            Applied::Payload { slot, flags, extent, at, kind } => {
                let map = SparseMap::new(&self.sparse).expect("the decoder made whole entries");
                let sparse = kind.sparse.then_some(map);
                let payload = Payload { target: self.target(slot), flags, extent, at, sparse };
                match kind.cut {
                    Some(arrived) => Op::CutPayload { payload, arrived },
                    None => Op::Item(Item::Payload(payload)),
                }
            }
            Applied::End { slot, flags } => {
                Op::Item(Item::End { target: self.target(slot), flags })
            }
            Applied::Seek { slot, flags, offset } => {
                Op::Item(Item::Seek { target: self.target(slot), flags, offset })
            }
            Applied::Rename { flags } => {
                let (from, to) = (checked(&self.other_path), checked(&self.last_path));
                Op::Item(Item::Rename { flags, from, to })
            }
            Applied::Remove { flags } => {
                Op::Item(Item::Remove { flags, path: checked(&self.last_path) })
            }
            Applied::Literal { from, to } => {
                Op::Literal(self.buffer.get(from..to).expect("the literal was just decoded"))
            }
            Applied::Nothing => Op::Literal(&[]),
        }
    }

    fn target(&self, slot: OpSlot) -> Target<'_> {
        let member = self.slots.get(slot.slot).expect("an op's slot was found to be open");
        let OpenMember { member, incarnation, path, .. } = member;
        let (member, incarnation) = (*member, *incarnation);
        Target { member, path: path.as_path(), incarnation, opens: slot.opens }
    }
}

/// Lends a path that was checked when it was decoded.
fn checked(path: &[u8]) -> StreamPath<'_> {
    StreamPath::new(path).expect("paths are checked as they are decoded")
}

fn decode<'b>(cursor: &mut Cursor<'b>) -> Result<Decoded<'b>, Stop> {
    let opcode = cursor.byte()?;
    if opcode & !allowed_bits(opcode & op::KIND_MASK) != 0 {
        return Err(ScriptError::UnknownOp(opcode).into());
    }
    Ok(match opcode & op::KIND_MASK {
        op::PAYLOAD | op::SPARSE => Decoded::Payload(decode_payload(opcode, cursor)?),
        op::END => {
            let aim = decode_aim(opcode, cursor)?;
            Decoded::End { aim, flags: decode_flags(opcode, cursor)?.unwrap_or(0) }
        }
        op::SEEK => {
            let aim = decode_aim(opcode, cursor)?;
            let flags = decode_flags(opcode, cursor)?.unwrap_or(0);
            Decoded::Seek { aim, flags, offset: cursor.varint()? }
        }
        op::RENAME => {
            let flags = decode_flags(opcode, cursor)?.unwrap_or(0);
            Decoded::Rename { flags, from: decode_path(cursor)?, to: decode_path(cursor)? }
        }
        op::REMOVE => {
            let flags = decode_flags(opcode, cursor)?.unwrap_or(0);
            Decoded::Remove { flags, path: decode_path(cursor)? }
        }
        op::LITERAL => {
            let count = cursor.count(LITERAL_BYTES_MAX)?;
            if count == 0 {
                return Err(ScriptError::BadNumber.into());
            }
            cursor.bytes(count)?;
            Decoded::Literal { count }
        }
        _ => match opcode {
            op::FINISH => Decoded::Finish { stream_bytes: cursor.varint()? },
            op::CUT => Decoded::Cut { arrived: cursor.varint()? },
            unknown => return Err(ScriptError::UnknownOp(unknown).into()),
        },
    })
}

/// Returns the bits that ops of `kind` may have.
fn allowed_bits(kind: u8) -> u8 {
    match kind {
        op::PAYLOAD | op::SPARSE | op::CONTROL => 0xff,
        op::END | op::SEEK => op::KIND_MASK | op::TARGET_MASK | op::HAS_FLAGS,
        op::RENAME | op::REMOVE => op::KIND_MASK | op::HAS_FLAGS,
        _ => op::KIND_MASK,
    }
}

fn decode_payload<'b>(opcode: u8, cursor: &mut Cursor<'b>) -> Result<PayloadFields<'b>, Stop> {
    let aim = decode_aim(opcode, cursor)?;
    let flags = decode_flags(opcode, cursor)?;
    let offset = if opcode & op::HAS_OFFSET != 0 { Some(cursor.varint()?) } else { None };
    let amount = if opcode & op::KIND_MASK == op::SPARSE {
        Amount::Sparse(decode_map(cursor)?)
    } else {
        match cursor.varint()? {
            0 => Amount::Same,
            code => Amount::Bytes(code - 1),
        }
    };
    let (crc, closes) = (cursor.u32()?, opcode & op::CLOSES != 0);
    Ok(PayloadFields { aim, flags, offset, amount, crc, closes })
}

fn decode_map(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Stop> {
    let numbers = 2 * cursor.count(SPARSE_ENTRIES_MAX)?;
    let mut map = Vec::new();
    for _ in 0..numbers {
        let number = u32::try_from(cursor.varint()?).map_err(|_| ScriptError::BadNumber)?;
        map.extend_from_slice(&number.to_le_bytes());
    }
    Ok(map)
}

fn decode_aim<'b>(opcode: u8, cursor: &mut Cursor<'b>) -> Result<Aim<'b>, Stop> {
    Ok(match opcode & op::TARGET_MASK {
        op::TARGET_SAME => Aim::Same,
        op::TARGET_SLOT => Aim::Slot(cursor.count(OPEN_MEMBERS_MAX)?),
        op::TARGET_FIRST => Aim::Opens(Incarnation::default(), decode_path(cursor)?),
        _ => {
            let again = u32::try_from(cursor.varint()?).map_err(|_| ScriptError::BadNumber)?;
            Aim::Opens(Incarnation::new(again), decode_path(cursor)?)
        }
    })
}

fn decode_flags(opcode: u8, cursor: &mut Cursor<'_>) -> Result<Option<u8>, Stop> {
    if opcode & op::HAS_FLAGS == 0 { Ok(None) } else { cursor.byte().map(Some) }
}

fn decode_path<'b>(cursor: &mut Cursor<'b>) -> Result<PathField<'b>, Stop> {
    let shared = cursor.count(PATH_BYTES_END - 1)?;
    let count = cursor.count(PATH_BYTES_END - 1)?;
    Ok(PathField { shared, rest: cursor.bytes(count)? })
}
