//! The directory of a section: which entries it holds, in which frames, resting on which bases.
//!
//! See FORMAT.md 5.3. A directory alone is enough to count, open and decode its pack. It is kept
//! in columns, because a delta of 150 bytes can't afford a wide entry: sorted differences compress
//! to two or three bytes. Nor can it afford a hash here: its frame's tag proves that it is what was
//! sealed, and the map what it must become.

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::limits::BASE_STEPS_MAX;
use crate::base::limits::DELTA_FRAME_BYTES_TARGET;
use crate::base::limits::DIRECTORY_BYTES_MAX;
use crate::base::limits::FRAME_RAW_BYTES_MAX;
use crate::base::limits::PACK_ENTRIES_MAX;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;
use crate::base::wire::put_varint;
use crate::base::wire::put_zigzag;
use crate::format::form::BlockForm;

mod builder;

pub use builder::DirectoryBuilder;
pub use builder::FramedBlock;
pub use builder::NewRecord;

const VERSION: u8 = 1;
const NUMBERING_DENSE: u8 = 0;
const WHAT: &str = "directory";
const ZSTD_LEVEL: i32 = 3;
const PACKED_BYTES_MAX: usize = DIRECTORY_BYTES_MAX;

const _: () = assert!(BASE_STEPS_MAX < 256);
const _: () = assert!(DELTA_FRAME_BYTES_TARGET < FRAME_RAW_BYTES_MAX);

/// The coding of the bytes of a frame or record (FORMAT.md 5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// The bytes are stored as they are.
    Raw,
    /// One zstd frame over all blocks.
    Zstd,
    /// Records, each one zstd frame without its magic number, with its base as prefix.
    ZstdPrefix,
    /// One zstd frame over records of that codec.
    PackedRecords,
}

impl Codec {
    /// Tells whether a frame of that codec may have blocks in a form, or deltas of two bases.
    fn may_have_forms(self) -> bool {
        self != Self::Raw
    }

    fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
            Self::ZstdPrefix => 2,
            Self::PackedRecords => 4,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::ZstdPrefix),
            3 => Err(Malformed {
                what: WHAT,
                why: "codec 3 (xor + zstd) is unknown to this program",
            }),
            4 => Ok(Self::PackedRecords),
            _ => Err(Malformed { what: WHAT, why: "a codec is unknown to this program" }),
        }
    }
}

/// The bit of a codec's number that says that the directory has a form for each of the frame's
/// entries.
const WITH_FORMS: u8 = 1 << 3;
/// The bit of an entry's form that says that the delta rests on two bases.
const TWO_BASES: u8 = 1 << 5;

/// The contents of a frame: whole blocks or delta records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// Whole blocks, compressed together as one.
    Whole,
    /// Delta records, each compressed alone.
    Records,
}

/// One frame of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The contents of the frame: whole blocks or delta records.
    pub kind: FrameKind,
    /// The coding of its blocks, or of each of its records.
    pub codec: Codec,
    /// The offset of its stored bytes, relative to the first frame.
    pub at: u32,
    /// Stored bytes, tag included.
    pub stored: u32,
    /// Bytes after decompression: of the blocks, or of the records one after the other.
    pub raw: u32,
    /// The number of its first entry.
    pub first: EntryNumber,
    /// The forms of its entries: all plain, or some not.
    pub forms: Forms,
}

/// The forms of a frame's entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forms {
    /// Every block stands in it as it is.
    Plain,
    /// At least one block is in normal form, or a delta rests on two bases.
    Various,
}

/// The base of a delta: a pack of the directory's own list and an entry in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base {
    /// Index of its pack in [`Directory::base_packs`].
    pub pack: u32,
    /// Number of the entry in that pack.
    pub entry: EntryNumber,
}

/// The content of an entry: a whole block or a delta.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// The block itself, with this hash.
    Whole(BlockHash),
    /// Its difference to a base, or to two of them joined. Its hash stands in the map.
    Delta {
        /// The base, the only one or the first.
        base: Base,
        /// The second base, if it rests on two.
        second: Option<Base>,
    },
}

/// One entry of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// The number of the frame that holds it.
    pub frame: u32,
    /// The offset at which it begins in the decompressed (whole) or opened (records) frame.
    pub at: u32,
    /// Bytes of its record; equals `length` in a frame of whole blocks.
    pub record: u32,
    /// Raw bytes of the block.
    pub length: u32,
    /// The form in which it stands in the frame, or in which both sides of the delta are.
    pub form: BlockForm,
    /// The content: a whole block or a delta.
    pub content: Content,
}

impl Slot {
    /// Tells whether the entry is a whole block.
    pub fn is_whole(&self) -> bool {
        matches!(self.content, Content::Whole(_))
    }

    /// Returns the bases of a delta, the first one first; none if the entry is whole.
    pub fn bases(&self) -> impl Iterator<Item = Base> + use<> {
        let bases = match self.content {
            Content::Whole(_) => [None, None],
            Content::Delta { base, second } => [Some(base), second],
        };
        bases.into_iter().flatten()
    }

    fn hash(&self) -> Option<BlockHash> {
        match self.content {
            Content::Whole(hash) => Some(hash),
            Content::Delta { .. } => None,
        }
    }

    fn has_second_base(&self) -> bool {
        matches!(self.content, Content::Delta { second: Some(_), .. })
    }

    fn needs_form(&self) -> bool {
        self.form != BlockForm::PLAIN || self.has_second_base()
    }
}

/// The decoded directory of a section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directory {
    /// Packs that the bases are in.
    pub base_packs: Vec<PackName>,
    /// Frames in the order in which they are stored.
    pub frames: Vec<Frame>,
    /// Entries of the section; an entry's number is its index.
    pub slots: Vec<Slot>,
}

impl Directory {
    /// Returns the entry with this number, and its frame.
    pub fn slot(&self, entry: EntryNumber) -> Option<(&Slot, &Frame)> {
        let slot = self.slots.get(usize_of_u32(entry.0))?;
        Some((slot, self.frames.get(usize_of_u32(slot.frame))?))
    }

    /// Returns the address of a base of one of its entries.
    pub fn address(&self, base: Base) -> EntryAddress {
        EntryAddress { pack: self.base_packs[usize_of_u32(base.pack)], entry: base.entry }
    }

    /// Returns the entries of a frame, in the order in which they stand in it.
    pub fn slots_of(&self, frame: u32) -> impl Iterator<Item = &Slot> {
        let first = self.frames.get(usize_of_u32(frame)).map_or(0, |frame| frame.first.0);
        let raw = self.frames.get(usize_of_u32(frame)).map_or(0, |frame| frame.raw);
        let slots = self.slots.iter().skip(usize_of_u32(first));
        let mut left = raw;
        slots.filter(move |slot| slot.frame == frame).take_while(move |slot| {
            let is_of_it = left > 0;
            left = left.saturating_sub(slot.record);
            is_of_it
        })
    }

    /// Returns the number of stored bytes of all frames.
    pub fn frames_bytes(&self) -> u64 {
        self.frames.last().map_or(0, |last| u64::from(last.at) + u64::from(last.stored))
    }

    /// Returns roughly how many bytes this directory occupies in memory.
    pub fn memory(&self) -> usize {
        self.base_packs.len() * 32 + self.frames.len() * 16 + self.slots.len() * 48 + 256
    }

    /// Returns the text that is stored (before sealing).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.slots.len() <= PACK_ENTRIES_MAX);
        let columns = self.columns();
        let packed = zstd::bulk::compress(&columns, ZSTD_LEVEL).expect("memory can be compressed");
        let mut out = vec![VERSION, NUMBERING_DENSE];
        put_varint(&mut out, u64_of(self.frames.len()));
        put_varint(&mut out, u64_of(self.slots.len()));
        put_varint(&mut out, u64_of(self.base_packs.len()));
        put_varint(&mut out, u64_of(packed.len()));
        for name in &self.base_packs {
            out.extend_from_slice(&name.0);
        }
        out.extend_from_slice(&packed);
        for hash in self.slots.iter().filter_map(Slot::hash) {
            out.extend_from_slice(&hash.0);
        }
        out
    }

    fn columns(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.slots.len() * 8);
        out.extend(self.frames.iter().map(|frame| match frame.kind {
            FrameKind::Whole => 0,
            FrameKind::Records => 1,
        }));
        out.extend(self.frames.iter().map(|frame| match frame.forms {
            Forms::Plain => frame.codec.code(),
            Forms::Various => frame.codec.code() | WITH_FORMS,
        }));
        self.frames.iter().for_each(|frame| put_varint(&mut out, frame.stored.into()));
        self.frames.iter().for_each(|frame| put_varint(&mut out, frame.raw.into()));
        let mut before = 0;
        for slot in &self.slots {
            put_zigzag(&mut out, i64::from(slot.frame) - before);
            before = i64::from(slot.frame);
        }
        self.slots.iter().for_each(|slot| put_varint(&mut out, slot.length.into()));
        let deltas = || self.slots.iter().filter(|slot| !slot.is_whole());
        deltas().for_each(|slot| put_varint(&mut out, slot.record.into()));
        put_bases(&mut out, deltas().filter_map(|slot| slot.bases().next()));
        let with_form =
            |slot: &&Slot| self.frames[usize_of_u32(slot.frame)].forms == Forms::Various;
        out.extend(
            self.slots
                .iter()
                .filter(with_form)
                .map(|slot| slot.form.code() | if slot.has_second_base() { TWO_BASES } else { 0 }),
        );
        put_bases(&mut out, deltas().filter_map(|slot| slot.bases().nth(1)));
        out
    }

    /// Reads the text of a directory.
    pub fn decode(text: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(WHAT, text);
        if reader.u8()? != VERSION {
            return Err(reader.malformed("its version is unknown to this program"));
        }
        if reader.u8()? != NUMBERING_DENSE {
            return Err(reader.malformed("its numbering is unknown to this program"));
        }
        let frames = usize_of(reader.varint()?);
        let slots = usize_of(reader.varint()?);
        if slots > PACK_ENTRIES_MAX || frames > slots {
            return Err(reader.malformed("too many entries or frames"));
        }
        let bases = reader.count(32)?;
        let packed = reader.count(1)?;
        let base_packs =
            (0..bases).map(|_| reader.array().map(PackName)).collect::<Result<_, _>>()?;
        let columns = unpack(reader.take(packed)?)?;
        let mut directory = Self { base_packs, frames: Vec::new(), slots: Vec::new() };
        let mut columns = Reader::new(WHAT, &columns);
        directory.read_frames(&mut columns, frames)?;
        directory.read_slots(&mut columns, slots)?;
        directory.read_bases(&mut columns)?;
        directory.read_forms(&mut columns)?;
        directory.read_hashes(&mut reader)?;
        reader.finish()?;
        columns.finish()?;
        directory.place()?;
        Ok(directory)
    }

    fn read_frames(&mut self, columns: &mut Reader<'_>, count: usize) -> Result<(), Malformed> {
        let kinds = columns.take(count)?;
        let codecs = columns.take(count)?;
        let mut at = 0u32;
        for (&kind, &codec) in kinds.iter().zip(codecs) {
            let kind = match kind {
                0 => FrameKind::Whole,
                1 => FrameKind::Records,
                _ => return Err(columns.malformed("a kind of frame is unknown to this program")),
            };
            let forms = if codec & WITH_FORMS == 0 { Forms::Plain } else { Forms::Various };
            let codec = Codec::from_code(codec & !WITH_FORMS)?;
            if forms == Forms::Various && !codec.may_have_forms() {
                return Err(columns.malformed("a codec is unknown to this program"));
            }
            let of_records = matches!(codec, Codec::ZstdPrefix | Codec::PackedRecords);
            if of_records != (kind == FrameKind::Records) {
                return Err(columns.malformed("a frame's codec does not suit what it holds"));
            }
            let first = EntryNumber(0);
            self.frames.push(Frame { kind, codec, at: 0, stored: 0, raw: 0, first, forms });
        }
        for frame in &mut self.frames {
            frame.stored = columns.varint_u32()?;
            frame.at = at;
            at = at
                .checked_add(frame.stored)
                .ok_or_else(|| columns.malformed("its frames exceed 4 GiB"))?;
        }
        for frame in &mut self.frames {
            frame.raw = columns.varint_u32()?;
            if usize_of_u32(frame.raw) > FRAME_RAW_BYTES_MAX
                || usize_of_u32(frame.stored) > FRAME_RAW_BYTES_MAX
            {
                return Err(columns.malformed("a frame is too large"));
            }
        }
        Ok(())
    }

    fn read_slots(&mut self, columns: &mut Reader<'_>, count: usize) -> Result<(), Malformed> {
        let mut before = 0;
        for _ in 0..count {
            let frame = columns.near(before)?;
            if usize_of_u32(frame) >= self.frames.len() {
                return Err(columns.malformed("an entry names a frame that is not there"));
            }
            before = i64::from(frame);
            let content = Content::Whole(BlockHash::default());
            let form = BlockForm::PLAIN;
            self.slots.push(Slot { frame, at: 0, record: 0, length: 0, form, content });
        }
        for slot in &mut self.slots {
            slot.length = columns.varint_u32()?;
        }
        Ok(())
    }

    fn read_bases(&mut self, columns: &mut Reader<'_>) -> Result<(), Malformed> {
        let frames = &self.frames;
        let is_record = |slot: &Slot| frames[usize_of_u32(slot.frame)].kind == FrameKind::Records;
        for slot in &mut self.slots {
            slot.record = if is_record(slot) { columns.varint_u32()? } else { slot.length };
        }
        let mut column = BaseColumn { packs: self.base_packs.len(), before: 0 };
        for slot in self.slots.iter_mut().filter(|slot| is_record(slot)) {
            slot.content = Content::Delta { base: column.read(columns)?, second: None };
        }
        Ok(())
    }

    fn read_forms(&mut self, columns: &mut Reader<'_>) -> Result<(), Malformed> {
        let frames = &self.frames;
        let mut of_two = Vec::new();
        for slot in &mut self.slots {
            if frames[usize_of_u32(slot.frame)].forms == Forms::Plain {
                continue;
            }
            let code = columns.u8()?;
            slot.form = BlockForm::from_code(code & !TWO_BASES, WHAT)?;
            if slot.form.is_in_columns() && !slot.is_whole() {
                return Err(columns.malformed("a delta is in columns"));
            }
            if slot.form.is_without_trailer() && slot.is_whole() {
                return Err(columns.malformed("a whole block is without its trailer"));
            }
            if code & TWO_BASES == 0 {
                continue;
            }
            let Content::Delta { second, .. } = &mut slot.content else {
                return Err(columns.malformed("a whole block has two bases"));
            };
            of_two.push(second);
        }
        let mut column = BaseColumn { packs: self.base_packs.len(), before: 0 };
        for second in of_two {
            *second = Some(column.read(columns)?);
        }
        Ok(())
    }

    fn read_hashes(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        for slot in &mut self.slots {
            if let Content::Whole(hash) = &mut slot.content {
                *hash = BlockHash(reader.array()?);
            }
        }
        Ok(())
    }

    /// Gives every slot its place in its frame, and checks that the frames are filled exactly.
    fn place(&mut self) -> Result<(), Malformed> {
        let mut filled = vec![0u32; self.frames.len()];
        // From the last on, so that the first one of each frame stays.
        for (number, slot) in self.slots.iter().enumerate().rev() {
            self.frames[usize_of_u32(slot.frame)].first = EntryNumber(u32_of(number));
        }
        for slot in &mut self.slots {
            let filled = &mut filled[usize_of_u32(slot.frame)];
            slot.at = *filled;
            *filled = filled
                .checked_add(slot.record)
                .ok_or(Malformed { what: WHAT, why: "a frame is too large" })?;
        }
        let exact = self.frames.iter().zip(&filled).all(|(frame, filled)| frame.raw == *filled);
        if exact {
            Ok(())
        } else {
            Err(Malformed { what: WHAT, why: "a frame is not filled exactly" })
        }
    }
}

/// Writes a column of bases.
fn put_bases(out: &mut Vec<u8>, bases: impl Iterator<Item = Base>) {
    let mut before = 0;
    for base in bases {
        put_varint(out, base.pack.into());
        put_zigzag(out, i64::from(base.entry.0) - before - 1);
        before = i64::from(base.entry.0);
    }
}

/// A column of bases while it is read.
struct BaseColumn {
    /// Number of packs that a base can be in.
    packs: usize,
    /// The entry of the base before.
    before: i64,
}

impl BaseColumn {
    fn read(&mut self, columns: &mut Reader<'_>) -> Result<Base, Malformed> {
        let pack = columns.varint_u32()?;
        let entry = columns.near(self.before + 1)?;
        self.before = i64::from(entry);
        if usize_of_u32(pack) >= self.packs {
            return Err(columns.malformed("a base names a pack that is not listed"));
        }
        Ok(Base { pack, entry: EntryNumber(entry) })
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    let malformed = Malformed { what: WHAT, why: "its columns can't be decompressed" };
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().ok_or(malformed)?;
    if size > u64_of(PACKED_BYTES_MAX) {
        return Err(malformed);
    }
    zstd::bulk::decompress(packed, usize_of(size)).map_err(|_| malformed)
}

#[cfg(test)]
mod tests;
