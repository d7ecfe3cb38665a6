//! The directory of a section: which entries it holds, in which frames, resting on which bases.
//!
//! See FORMAT.md 5.3. A directory alone is enough to count, open and decode its pack. It is kept
//! in columns, because a delta of 150 bytes can't afford a wide entry: sorted differences compress
//! to two or three bytes. Nor can it afford a hash here: its frame's tag proves that it is what was
//! sealed, and the map what it must become.

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
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
    /// Its difference to a base. Its hash stands in the map.
    Delta(Base),
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
    /// The content: a whole block or a delta.
    pub content: Content,
}

impl Slot {
    /// Returns the base of a delta; `None` if the entry is whole.
    pub fn base(&self) -> Option<Base> {
        match self.content {
            Content::Whole(_) => None,
            Content::Delta(base) => Some(base),
        }
    }

    fn hash(&self) -> Option<BlockHash> {
        match self.content {
            Content::Whole(hash) => Some(hash),
            Content::Delta(_) => None,
        }
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
        out.extend(self.frames.iter().map(|frame| frame.codec.code()));
        self.frames.iter().for_each(|frame| put_varint(&mut out, frame.stored.into()));
        self.frames.iter().for_each(|frame| put_varint(&mut out, frame.raw.into()));
        let mut before = 0;
        for slot in &self.slots {
            put_zigzag(&mut out, i64::from(slot.frame) - before);
            before = i64::from(slot.frame);
        }
        self.slots.iter().for_each(|slot| put_varint(&mut out, slot.length.into()));
        let deltas = || self.slots.iter().filter_map(|slot| Some((slot, slot.base()?)));
        deltas().for_each(|(slot, _)| put_varint(&mut out, slot.record.into()));
        let mut before = 0;
        for (_, base) in deltas() {
            put_varint(&mut out, base.pack.into());
            put_zigzag(&mut out, i64::from(base.entry.0) - before - 1);
            before = i64::from(base.entry.0);
        }
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
            let codec = Codec::from_code(codec)?;
            let of_records = matches!(codec, Codec::ZstdPrefix | Codec::PackedRecords);
            if of_records != (kind == FrameKind::Records) {
                return Err(columns.malformed("a frame's codec does not suit what it holds"));
            }
            self.frames.push(Frame { kind, codec, at: 0, stored: 0, raw: 0 });
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
            self.slots.push(Slot { frame, at: 0, record: 0, length: 0, content });
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
        let mut before = 0;
        for slot in self.slots.iter_mut().filter(|slot| is_record(slot)) {
            let pack = columns.varint_u32()?;
            let entry = columns.near(before + 1)?;
            before = i64::from(entry);
            if usize_of_u32(pack) >= self.base_packs.len() {
                return Err(columns.malformed("a base names a pack that is not listed"));
            }
            slot.content = Content::Delta(Base { pack, entry: EntryNumber(entry) });
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

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    let malformed = Malformed { what: WHAT, why: "its columns can't be decompressed" };
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().ok_or(malformed)?;
    if size > u64_of(PACKED_BYTES_MAX) {
        return Err(malformed);
    }
    zstd::bulk::decompress(packed, usize_of(size)).map_err(|_| malformed)
}

/// Fills a directory while a pack is written.
#[derive(Debug, Default)]
pub struct DirectoryBuilder {
    directory: Directory,
    /// Entries whose frame of records is still open, in order.
    pending: Vec<u32>,
    pending_bytes: u32,
    stored: u32,
}

impl DirectoryBuilder {
    /// Returns the number of entries so far.
    pub fn entries(&self) -> usize {
        self.directory.slots.len()
    }

    /// Returns the number of stored bytes of the frames so far.
    pub fn stored(&self) -> usize {
        usize_of_u32(self.stored)
    }

    /// Returns the ordinal of the next frame.
    pub fn next_frame(&self) -> u32 {
        u32_of(self.directory.frames.len())
    }

    /// Adds a frame of whole blocks of these hashes and raw lengths; returns the number of the
    /// first.
    pub fn add_whole(
        &mut self,
        codec: Codec,
        stored: usize,
        blocks: &[(BlockHash, usize)],
    ) -> EntryNumber {
        let first = EntryNumber(u32_of(self.entries()));
        let frame = self.next_frame();
        let mut at = 0;
        for &(hash, length) in blocks {
            let length = u32_of(length);
            let slot = Slot { frame, at, record: length, length, content: Content::Whole(hash) };
            self.directory.slots.push(slot);
            at += length;
        }
        self.push_frame(FrameKind::Whole, codec, stored, at);
        first
    }

    /// Adds a record to the frame of records that is being filled; returns its number.
    pub fn add_record(
        &mut self,
        length: usize,
        record: usize,
        base: (PackName, EntryNumber),
    ) -> EntryNumber {
        let number = u32_of(self.entries());
        let packs = &mut self.directory.base_packs;
        // A pack's deltas rest on few packs, the last one used most of the time.
        let pack = packs.iter().rposition(|name| *name == base.0).unwrap_or_else(|| {
            packs.push(base.0);
            packs.len() - 1
        });
        self.directory.slots.push(Slot {
            frame: u32::MAX,
            at: self.pending_bytes,
            record: u32_of(record),
            length: u32_of(length),
            content: Content::Delta(Base { pack: u32_of(pack), entry: base.1 }),
        });
        self.pending.push(number);
        self.pending_bytes += u32_of(record);
        EntryNumber(number)
    }

    /// Closes the frame of records, which was stored in `stored` bytes.
    pub fn close_records(&mut self, codec: Codec, stored: usize) {
        let frame = self.next_frame();
        for number in self.pending.drain(..) {
            self.directory.slots[usize_of_u32(number)].frame = frame;
        }
        let raw = std::mem::take(&mut self.pending_bytes);
        self.push_frame(FrameKind::Records, codec, stored, raw);
    }

    fn push_frame(&mut self, kind: FrameKind, codec: Codec, stored: usize, raw: u32) {
        let stored = u32_of(stored);
        self.directory.frames.push(Frame { kind, codec, at: self.stored, stored, raw });
        self.stored += stored;
    }

    /// Returns the finished directory; no frame of records may be open.
    pub fn finish(self) -> Directory {
        assert!(self.pending.is_empty(), "the frame of records is closed first");
        self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(seed: &[(bool, u16)]) -> Directory {
        let mut builder = DirectoryBuilder::default();
        let mut records = 0;
        for (n, &(whole, size)) in seed.iter().enumerate() {
            let hash = BlockHash([u32_of(n).to_le_bytes()[0]; 16]);
            let size = usize::from(size) + 1;
            if whole {
                builder.add_whole(Codec::Zstd, size / 2 + 17, &[(hash, size), (hash, 16384)]);
            } else {
                let pack = PackName([u32_of(n).to_le_bytes()[0] % 3; 32]);
                builder.add_record(16384, size % 300, (pack, EntryNumber(u32_of(size))));
                records += 1;
            }
        }
        if records > 0 {
            builder.close_records(Codec::ZstdPrefix, 100);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn a_directory_comes_back(seed in prop::collection::vec(any::<(bool, u16)>(), 0..200)) {
            let directory = sample(&seed);
            prop_assert_eq!(Directory::decode(&directory.encode()), Ok(directory));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _unused = Directory::decode(&bytes);
        }
    }

    #[test]
    fn a_delta_costs_at_most_8_bytes_of_directory() {
        let mut builder = DirectoryBuilder::default();
        for n in 0..10_000u32 {
            let record = 200 + usize_of_u32(n * 7919 % 150);
            let base = (PackName([7; 32]), EntryNumber(n * 14 + n * 31 % 9));
            builder.add_record(16384, record, base);
            if n % 250 == 249 {
                builder.close_records(Codec::ZstdPrefix, 64 << 10);
            }
        }
        let bytes = builder.finish().encode().len();
        assert!(bytes <= 8 * 10_000, "{bytes} bytes for 10,000 deltas");
    }
}
