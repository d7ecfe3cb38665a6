//! The script of a container whose members come one after the other (FORMAT.md 13).
//!
//! It is the calls of a [`Sink`](crate::parse::container::Sink), run-length coded: literal bytes,
//! members opened and ended, and how many bytes of the open member stand between them. Together
//! with the members it gives any stream back byte for byte.
//!
//! Invariants:
//! - equal calls give equal scripts, for any sizes of the pieces of literals and payload;
//! - the reader is bounded: one op and one path, nothing that a count announces;
//! - a script that was cut anywhere is refused: `finish` counts the stream's bytes.
//!
//! It does not say what the members are: their paths and the literals show that.

use std::ops::Range;

use crate::base::num::u64_of;
use crate::base::wire::put_varint;
use crate::parse::container::MEMBER_PATH_BYTES_MAX;
use crate::parse::item::Incarnation;
use crate::parse::item::MemberNo;
use crate::parse::script::cursor::Cursor;
use crate::parse::script::cursor::Stop;
use crate::parse::script::error::ScriptError;
use crate::parse::script::grammar::LITERAL_BYTES_MAX;
use crate::parse::script::grammar::put_path;

/// The first byte of such a script.
pub const CONTAINER_SCRIPT_VERSION: u8 = 2;

const LITERAL: u8 = 0;
const OPEN: u8 = 1;
const RUN: u8 = 2;
const END: u8 = 3;
const FINISH: u8 = 4;

/// Writes the script of one container.
#[derive(Debug)]
pub struct ContainerWriter {
    out: Vec<u8>,
    /// The literal that may still grow.
    literal: Vec<u8>,
    /// The run that may still grow.
    run: u64,
    is_open: bool,
    last_path: Vec<u8>,
    stream_bytes: u64,
}

impl Default for ContainerWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ContainerWriter {
    /// Creates a writer whose script has its version byte only.
    pub fn new() -> Self {
        Self {
            out: vec![CONTAINER_SCRIPT_VERSION],
            literal: Vec::new(),
            run: 0,
            is_open: false,
            last_path: Vec::new(),
            stream_bytes: 0,
        }
    }

    /// Takes down bytes of the stream that belong to no member.
    pub fn literal(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.release_run();
        self.stream_bytes += u64_of(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LITERAL_BYTES_MAX - self.literal.len();
            let (fits, more) = rest.split_at(room.min(rest.len()));
            self.literal.extend_from_slice(fits);
            if self.literal.len() == LITERAL_BYTES_MAX {
                self.release_literal();
            }
            rest = more;
        }
    }

    /// Takes down that a member begins.
    pub fn open(&mut self, path: &[u8], incarnation: Incarnation) {
        assert!(!self.is_open, "members follow each other");
        assert!((1..=MEMBER_PATH_BYTES_MAX).contains(&path.len()), "a path is within its limits");
        self.release();
        self.is_open = true;
        self.out.push(OPEN);
        put_varint(&mut self.out, incarnation.get().into());
        put_path(&mut self.out, &mut self.last_path, path);
    }

    /// Takes down that the next `count` bytes of the stream are the open member's.
    pub fn run(&mut self, count: u64) {
        assert!(self.is_open, "payload belongs to a member");
        self.release_literal();
        self.run += count;
        self.stream_bytes += count;
    }

    /// Takes down that the open member is whole.
    pub fn end(&mut self) {
        assert!(self.is_open, "an end is that of a member");
        self.release();
        self.is_open = false;
        self.out.push(END);
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
    pub fn finish(mut self) -> Vec<u8> {
        self.release();
        self.out.push(FINISH);
        put_varint(&mut self.out, self.stream_bytes);
        self.out
    }

    fn release(&mut self) {
        self.release_literal();
        self.release_run();
    }

    fn release_literal(&mut self) {
        if !self.literal.is_empty() {
            self.out.push(LITERAL);
            put_varint(&mut self.out, u64_of(self.literal.len()));
            self.out.append(&mut self.literal);
        }
    }

    fn release_run(&mut self) {
        if self.run > 0 {
            self.out.push(RUN);
            put_varint(&mut self.out, self.run);
            self.run = 0;
        }
    }
}

/// The member that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerMember<'a> {
    /// Its number, in order of opening.
    pub number: MemberNo,
    /// Its path: a key, not checked for being harmless.
    pub path: &'a [u8],
    /// Its place among the members of the same path.
    pub incarnation: Incarnation,
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerOp<'a> {
    /// Bytes of the stream.
    Literal(&'a [u8]),
    /// A member begins; its payload follows.
    Open(ContainerMember<'a>),
    /// Bytes of the stream, by their positions in the open member; never empty.
    Run(ContainerMember<'a>, Range<u64>),
    /// The member is whole.
    End(ContainerMember<'a>),
}

/// Reads the script of one container back, in pieces of any size.
#[derive(Debug)]
pub struct ContainerReader {
    buffer: Vec<u8>,
    used: usize,
    stage: Stage,
    open: Open,
    members: u64,
    incarnation: Incarnation,
    last_path: Vec<u8>,
    arrived: u64,
    stream_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Version,
    Ops,
    Finished,
    Failed(ScriptError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

/// An op that was checked and whose effect on the state is done.
#[derive(Debug, Clone, Copy)]
enum Applied {
    Literal { from: usize, to: usize },
    Open,
    Run { from: u64, to: u64 },
    End,
    Nothing,
}

impl Default for ContainerReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ContainerReader {
    /// Creates a reader that waits for the version byte.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            used: 0,
            stage: Stage::Version,
            open: Open::No,
            members: 0,
            incarnation: Incarnation::default(),
            last_path: Vec::new(),
            arrived: 0,
            stream_bytes: 0,
        }
    }

    /// Adds the next bytes of the script; to be called when [`ContainerReader::next_op`] has no
    /// more.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// Returns the next op, or `None` if the bytes fed so far hold no further whole one.
    pub fn next_op(&mut self) -> Result<Option<ContainerOp<'_>>, ScriptError> {
        loop {
            if let Stage::Failed(error) = self.stage {
                return Err(error);
            }
            // The buffer steps aside, so that an op may borrow from it while the state changes.
            let buffer = std::mem::take(&mut self.buffer);
            let applied = self.decode_and_apply(&buffer);
            self.buffer = buffer;
            match applied {
                Ok(Applied::Nothing) => {}
                Ok(applied) => return Ok(Some(self.present(applied))),
                Err(Stop::Short) => return Ok(None),
                Err(Stop::Bad(error)) => self.stage = Stage::Failed(error),
            }
        }
    }

    /// Ends the script: all of it was fed, and [`ContainerReader::next_op`] has no more.
    pub fn finish(self) -> Result<(), ScriptError> {
        match self.stage {
            Stage::Finished if self.used == self.buffer.len() => Ok(()),
            Stage::Finished => Err(ScriptError::AfterEnd),
            Stage::Failed(error) => Err(error),
            Stage::Version | Stage::Ops => Err(ScriptError::Truncated),
        }
    }

    fn decode_and_apply(&mut self, buffer: &[u8]) -> Result<Applied, Stop> {
        let input = buffer.get(self.used..).expect("used bytes are in the buffer");
        let mut cursor = Cursor::new(input);
        let applied = match self.stage {
            Stage::Finished if input.is_empty() => return Err(Stop::Short),
            Stage::Finished => return Err(ScriptError::AfterEnd.into()),
            Stage::Failed(error) => return Err(error.into()),
            Stage::Version => {
                let version = cursor.byte()?;
                if version != CONTAINER_SCRIPT_VERSION {
                    return Err(ScriptError::UnknownVersion(version).into());
                }
                self.stage = Stage::Ops;
                Applied::Nothing
            }
            Stage::Ops => self.decode_op(&mut cursor)?,
        };
        let end = buffer.len() - cursor.rest_len();
        self.used = end;
        Ok(match applied {
            Applied::Literal { from, to } => Applied::Literal { from: end - (to - from), to: end },
            Applied::Open | Applied::Run { .. } | Applied::End | Applied::Nothing => applied,
        })
    }

    fn decode_op(&mut self, cursor: &mut Cursor<'_>) -> Result<Applied, Stop> {
        match cursor.byte()? {
            LITERAL => {
                let count = cursor.count(LITERAL_BYTES_MAX)?;
                if count == 0 {
                    return Err(ScriptError::BadNumber.into());
                }
                cursor.bytes(count)?;
                self.count(u64_of(count))?;
                // Its place in the buffer is known to the caller.
                Ok(Applied::Literal { from: 0, to: count })
            }
            OPEN => self.decode_open(cursor),
            RUN => {
                let count = cursor.varint()?;
                if count == 0 {
                    return Err(ScriptError::BadNumber.into());
                }
                self.must_be(Open::Yes)?;
                self.count(count)?;
                let from = self.arrived;
                self.arrived = from.checked_add(count).ok_or(ScriptError::BadNumber)?;
                Ok(Applied::Run { from, to: self.arrived })
            }
            END => {
                self.must_be(Open::Yes)?;
                self.open = Open::No;
                Ok(Applied::End)
            }
            FINISH => {
                let stated = cursor.varint()?;
                if stated != self.stream_bytes {
                    let found = self.stream_bytes;
                    return Err(ScriptError::WrongTotal { stated, found }.into());
                }
                self.stage = Stage::Finished;
                Ok(Applied::Nothing)
            }
            unknown => Err(ScriptError::UnknownOp(unknown).into()),
        }
    }

    fn decode_open(&mut self, cursor: &mut Cursor<'_>) -> Result<Applied, Stop> {
        let again = u32::try_from(cursor.varint()?).map_err(|_| ScriptError::BadNumber)?;
        let shared = cursor.count(MEMBER_PATH_BYTES_MAX)?;
        let count = cursor.count(MEMBER_PATH_BYTES_MAX)?;
        let rest = cursor.bytes(count)?;
        self.must_be(Open::No)?;
        if shared > self.last_path.len() {
            return Err(ScriptError::BadPathPrefix.into());
        }
        if !(1..=MEMBER_PATH_BYTES_MAX).contains(&(shared + count)) {
            return Err(ScriptError::BadNumber.into());
        }
        self.last_path.truncate(shared);
        self.last_path.extend_from_slice(rest);
        self.incarnation = Incarnation::new(again);
        (self.open, self.arrived) = (Open::Yes, 0);
        self.members += 1;
        Ok(Applied::Open)
    }

    fn must_be(&self, open: Open) -> Result<(), ScriptError> {
        if self.open == open { Ok(()) } else { Err(ScriptError::NoSuchMember) }
    }

    fn count(&mut self, bytes: u64) -> Result<(), ScriptError> {
        self.stream_bytes = self.stream_bytes.checked_add(bytes).ok_or(ScriptError::BadNumber)?;
        Ok(())
    }

    fn present(&self, applied: Applied) -> ContainerOp<'_> {
        let member = ContainerMember {
            number: MemberNo::new(self.members.saturating_sub(1)),
            path: &self.last_path,
            incarnation: self.incarnation,
        };
        match applied {
            Applied::Literal { from, to } => {
                let bytes = self.buffer.get(from..to).expect("the literal was just decoded");
                ContainerOp::Literal(bytes)
            }
            Applied::Run { from, to } => ContainerOp::Run(member, from..to),
            Applied::Open => ContainerOp::Open(member),
            Applied::End => ContainerOp::End(member),
            Applied::Nothing => ContainerOp::Literal(&[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex;
    use crate::parse::testing::config;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Call {
        Literal(Vec<u8>),
        Open(Vec<u8>),
        Run(u64),
        End,
    }

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..40);
        let call = prop_oneof![
            3 => bytes().prop_map(Call::Literal),
            2 => bytes().prop_map(Call::Open),
            4 => (1..1_u64 << 40).prop_map(Call::Run),
            2 => Just(Call::End),
        ];
        prop::collection::vec(call, 0..40)
    }

    /// Returns the script of those calls that may follow each other, and what its ops are.
    fn written(calls: &[Call]) -> (Vec<u8>, Vec<String>) {
        let (mut writer, mut told) = (ContainerWriter::new(), Vec::new());
        let (mut script, mut is_open) = (Vec::new(), false);
        for call in calls {
            match call {
                Call::Literal(bytes) => writer.literal(bytes),
                Call::Open(path) if !is_open => writer.open(path, Incarnation::new(3)),
                Call::Run(count) if is_open => writer.run(*count),
                Call::End if is_open => writer.end(),
                Call::Open(_) | Call::Run(_) | Call::End => continue,
            }
            match call {
                Call::Open(_) => is_open = true,
                Call::End => is_open = false,
                Call::Literal(_) | Call::Run(_) => {}
            }
            told.push(format!("{call:?}"));
            script.extend(writer.take());
        }
        script.extend(writer.finish());
        (script, told)
    }

    fn read(script: &[u8], piece: usize) -> Result<Vec<String>, ScriptError> {
        let mut reader = ContainerReader::new();
        let mut ops = Vec::new();
        for part in script.chunks(piece) {
            reader.feed(part);
            while let Some(op) = reader.next_op()? {
                ops.push(format!("{op:?}"));
            }
        }
        reader.finish().map(|()| ops)
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_script_is_read_in_any_pieces(calls in calls(), piece in 1..50_usize) {
            let (script, _) = written(&calls);
            let whole = read(&script, script.len());
            prop_assert!(whole.is_ok());
            prop_assert_eq!(read(&script, piece), whole);
        }

        #[test]
        fn a_cut_script_is_refused(calls in calls(), at in any::<prop::sample::Index>()) {
            let (script, _) = written(&calls);
            let at = at.index(script.len());
            prop_assert_eq!(read(&script[..at], 50), Err(ScriptError::Truncated));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize,
        ) {
            let script = [&[CONTAINER_SCRIPT_VERSION], &bytes[..]].concat();
            prop_assert_eq!(read(&script, piece), read(&script, script.len()));
        }
    }

    #[test]
    fn pieces_of_literals_and_runs_leave_no_trace() {
        let mut writers = [ContainerWriter::new(), ContainerWriter::new()];
        let [one, many] = &mut writers;
        one.literal(b"head");
        b"head".iter().for_each(|byte| many.literal(&[*byte]));
        for writer in &mut writers {
            writer.open(b"nova/instances.sql", Incarnation::new(0));
        }
        let [one, many] = &mut writers;
        one.run(70_000);
        (0..70).for_each(|_| many.run(1000));
        many.literal(b"");
        for writer in &mut writers {
            writer.end();
        }
        let [one, many] = writers;
        assert_eq!(one.finish(), many.finish());
    }

    #[test]
    fn the_bytes_of_a_script_do_not_change_unnoticed() {
        let mut writer = ContainerWriter::new();
        writer.literal(b"a");
        writer.open(b"db/t1", Incarnation::new(0));
        writer.run(300);
        writer.end();
        writer.open(b"db/t2", Incarnation::new(1));
        writer.run(5);
        writer.literal(b"b");
        writer.run(6);
        let golden = "020001610100000564622f743102ac020301010401320205000162020604b902";
        assert_eq!(hex::encode(&writer.finish()), golden);
    }

    #[test]
    fn members_do_not_nest_and_nothing_follows_the_end() {
        for (script, error) in [
            (&[2, 2, 1][..], ScriptError::NoSuchMember),
            (&[2, 3], ScriptError::NoSuchMember),
            (&[2, 1, 0, 0, 1, b'a', 1, 0, 0, 1, b'b'], ScriptError::NoSuchMember),
            (&[2, 1, 0, 1, 1, b'a'], ScriptError::BadPathPrefix),
            (&[2, 1, 0, 0, 0], ScriptError::BadNumber),
            (&[2, 0, 0], ScriptError::BadNumber),
            (&[2, 5], ScriptError::UnknownOp(5)),
            (&[1], ScriptError::UnknownVersion(1)),
            (&[2, 4, 1], ScriptError::WrongTotal { stated: 1, found: 0 }),
            (&[2, 4, 0, 0], ScriptError::AfterEnd),
        ] {
            assert_eq!(read(script, 100), Err(error), "{script:?}");
        }
    }
}
