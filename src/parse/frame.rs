//! The frames of an mbstream on the wire: one header, decoded and encoded.
//!
//! `mbstream` (MariaDB) and `xbstream` (Percona) share a container without stream header, index or
//! trailer: frames follow each other, each names its file by path. This file knows the bytes of one
//! frame's header and nothing of other frames; what a sequence of frames means is the parser's
//! matter. Both directions stand together, and the property test beneath holds them to each other.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `XBSTCK01` |
//! | 8 | 1 | flags |
//! | 9 | 1 | type: `P`, `E`, `S`, `R` or `D` |
//! | 10 | 4 | path length n |
//! | 14 | n | path |
//! | 14+n | | by type: see [`Body`] |
//!
//! Invariants:
//! - `encode(decode(bytes))` is `bytes`, to the bit: every field that may vary is in [`Frame`];
//! - decoding allocates nothing and looks at no byte after the header, but for an `S` frame:
//!   the magic of the frame after it distinguishes MariaDB's seek from Percona's sparse payload.
//!
//! It does not judge: a frame with a wrong CRC or unknown flags is a frame.

use crate::base::num::u32_of;
use crate::parse::path::HostilePath;
use crate::parse::path::PATH_BYTES_END;
use crate::parse::path::StreamPath;

/// The first bytes of every frame.
pub const MAGIC: [u8; 8] = *b"XBSTCK01";

const FLAGS_AT: usize = MAGIC.len();
const TYPE_AT: usize = FLAGS_AT + 1;
const PATH_LEN_AT: usize = TYPE_AT + 1;
const PATH_AT: usize = PATH_LEN_AT + size_of::<u32>();

const TYPE_PAYLOAD: u8 = b'P';
const TYPE_END: u8 = b'E';
const TYPE_SEEK_OR_SPARSE: u8 = b'S';
const TYPE_RENAME: u8 = b'R';
const TYPE_REMOVE: u8 = b'D';

const PAYLOAD_TAIL_BYTES: usize = 2 * size_of::<u64>() + size_of::<u32>();
const SEEK_TAIL_BYTES: usize = size_of::<u64>();
const SPARSE_TAIL_BYTES: usize = size_of::<u32>() + PAYLOAD_TAIL_BYTES;
const SPARSE_ENTRY_BYTES: usize = 2 * size_of::<u32>();

/// The most entries of a Percona sparse map. A 10 MiB buffer of 1 KiB pages has 10,240.
pub const SPARSE_ENTRIES_MAX: usize = 65_536;

/// The longest header there is; a buffer of this size always suffices for one step.
pub const HEADER_BYTES_MAX: usize =
    PATH_AT + PATH_BYTES_END - 1 + SPARSE_TAIL_BYTES + SPARSE_ENTRIES_MAX * SPARSE_ENTRY_BYTES;

const _: () = assert!(
    HEADER_BYTES_MAX > PATH_AT + 2 * PATH_BYTES_END + size_of::<u32>() + MAGIC.len(),
    "a rename and the look-ahead of a seek fit too"
);

/// The end of the file offsets that an operating system accepts.
const FILE_BYTES_MAX: u64 = i64::MAX.cast_unsigned();

/// The flags byte of a frame, unknown bits included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameFlags(u8);

impl FrameFlags {
    /// A reader that does not know the type may skip the frame.
    pub const IGNORABLE: Self = Self(0x01);
    /// The file replaces one of the same path that was sent before (MariaDB).
    pub const REWRITE: Self = Self(0x02);

    /// Takes a flags byte as it is.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the flags byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Tells whether every bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the bits that no known writer sets.
    pub const fn unknown_bits(self) -> u8 {
        self.0 & !(Self::IGNORABLE.0 | Self::REWRITE.0)
    }
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The flags byte of the header.
    pub flags: FrameFlags,
    /// The file that the frame speaks of.
    pub path: StreamPath<'a>,
    /// The content of the frame, by its type.
    pub body: Body<'a>,
}

/// The content of a frame, by type. Integers on the wire are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// `P`: u64 length, u64 file offset, u32 CRC-32, then the payload.
    Payload(Extent),
    /// `S` of Percona: u32 entries, u64 length, u64 offset, u32 CRC-32, map, then the payload.
    Sparse(Extent, SparseMap<'a>),
    /// `E`: the file has ended; nothing more.
    End,
    /// `S` of MariaDB: u64 file offset at which the next payload goes.
    Seek(u64),
    /// `R`: u32 length and bytes of the new path.
    Rename(StreamPath<'a>),
    /// `D`: nothing more; the path may be a directory or a partition glob.
    Remove,
}

/// The numbers of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of payload bytes after the header.
    pub len: u64,
    /// File offset that the writer states.
    pub offset: u64,
    /// CRC-32 that the writer states, over the payload (after the map, if there is one).
    pub crc: u32,
}

/// Percona's map of a sparse payload: entries of (u32 skip, u32 length), as raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparseMap<'a>(&'a [u8]);

impl<'a> SparseMap<'a> {
    /// Takes the raw bytes of a map.
    ///
    /// Returns `None` unless they are whole entries, at most [`SPARSE_ENTRIES_MAX`].
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let whole = bytes.len().is_multiple_of(SPARSE_ENTRY_BYTES);
        (whole && bytes.len() / SPARSE_ENTRY_BYTES <= SPARSE_ENTRIES_MAX).then_some(Self(bytes))
    }

    /// Returns the raw bytes, which the CRC covers before the payload.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Iterates over (bytes of hole, bytes of payload).
    pub fn entries(self) -> impl Iterator<Item = (u32, u32)> {
        self.0.chunks_exact(SPARSE_ENTRY_BYTES).map(|entry| (u32_at(entry, 0), u32_at(entry, 4)))
    }

    /// Returns how many bytes of payload the entries account for.
    pub fn payload_bytes(self) -> u64 {
        self.entries().map(|(_, len)| u64::from(len)).sum()
    }

    /// Returns how far the file advances, holes included.
    pub fn file_bytes(self) -> u64 {
        self.entries().map(|(skip, len)| u64::from(skip) + u64::from(len)).sum()
    }
}

/// A reason why the bytes at a frame boundary are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The magic is missing.
    #[error("no frame begins here (found {})", .0.escape_ascii())]
    Magic([u8; 8]),
    /// The type is not one of `P E S R D`.
    #[error("unknown frame type 0x{0:02x}")]
    Type(u8),
    /// The path, or the new path of a rename, is refused.
    #[error(transparent)]
    Path(#[from] HostilePath),
    /// Offset and length lead beyond any file.
    #[error("offset and length exceed the largest file")]
    Overflow,
    /// The sparse map is too long or contradicts the length.
    #[error("the map of a sparse frame is inconsistent")]
    SparseMap,
}

/// A reason why a header was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// This many bytes from the start of the header are needed.
    Short(usize),
    /// The bytes are no frame.
    Bad(BadFrame),
}

impl From<BadFrame> for NoFrame {
    fn from(bad: BadFrame) -> Self {
        Self::Bad(bad)
    }
}

impl From<HostilePath> for NoFrame {
    fn from(hostile: HostilePath) -> Self {
        Self::Bad(BadFrame::Path(hostile))
    }
}

impl Extent {
    /// Checks that a payload which advances the file by `advance` stays within a file.
    pub(crate) fn check(&self, advance: u64) -> Result<(), BadFrame> {
        let end = self.offset.checked_add(advance).ok_or(BadFrame::Overflow)?;
        if end > FILE_BYTES_MAX || self.len > FILE_BYTES_MAX {
            return Err(BadFrame::Overflow);
        }
        Ok(())
    }
}

impl<'a> Frame<'a> {
    /// Decodes the header at the start of `input`; returns it with its length in bytes.
    pub(crate) fn decode(input: &'a [u8]) -> Result<(Self, usize), NoFrame> {
        let head = prefix(input, PATH_AT)?;
        if !head.starts_with(&MAGIC) {
            let found = *head.first_chunk().expect("a head is longer than the magic");
            return Err(BadFrame::Magic(found).into());
        }
        let flags = FrameFlags(byte_at(head, FLAGS_AT));
        let kind = byte_at(head, TYPE_AT);
        if ![TYPE_PAYLOAD, TYPE_END, TYPE_SEEK_OR_SPARSE, TYPE_RENAME, TYPE_REMOVE].contains(&kind)
        {
            return Err(BadFrame::Type(kind).into());
        }
        let tail_at = PATH_AT + path_len(u32_at(head, PATH_LEN_AT))?;
        let path = StreamPath::new(&prefix(input, tail_at)?[PATH_AT..])?;
        let (body, header_len) = match kind {
            TYPE_PAYLOAD => decode_payload(input, tail_at)?,
            TYPE_SEEK_OR_SPARSE => decode_seek_or_sparse(input, tail_at)?,
            TYPE_RENAME => decode_rename(input, tail_at)?,
            TYPE_REMOVE => (Body::Remove, tail_at),
            _ => (Body::End, tail_at),
        };
        Ok((Self { flags, path, body }, header_len))
    }

    /// Returns the bytes that [`Frame::encode`] appends.
    pub fn header_len(&self) -> usize {
        let tail = match self.body {
            Body::Payload(_) => PAYLOAD_TAIL_BYTES,
            Body::Sparse(_, map) => SPARSE_TAIL_BYTES + map.as_bytes().len(),
            Body::Seek(_) => SEEK_TAIL_BYTES,
            Body::Rename(to) => size_of::<u32>() + to.as_bytes().len(),
            Body::End | Body::Remove => 0,
        };
        PATH_AT + self.path.as_bytes().len() + tail
    }

    /// Appends the header to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.body {
            Body::Payload(_) => TYPE_PAYLOAD,
            Body::Sparse(..) | Body::Seek(_) => TYPE_SEEK_OR_SPARSE,
            Body::End => TYPE_END,
            Body::Rename(_) => TYPE_RENAME,
            Body::Remove => TYPE_REMOVE,
        };
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.flags.byte(), kind]);
        encode_counted(self.path.as_bytes(), out);
        match self.body {
            Body::Payload(extent) => extent.encode(out),
            Body::Sparse(extent, map) => {
                let entries = map.as_bytes().len() / SPARSE_ENTRY_BYTES;
                out.extend_from_slice(&u32_of(entries).to_le_bytes());
                extent.encode(out);
                out.extend_from_slice(map.as_bytes());
            }
            Body::Seek(offset) => out.extend_from_slice(&offset.to_le_bytes()),
            Body::Rename(to) => encode_counted(to.as_bytes(), out),
            Body::End | Body::Remove => {}
        }
    }
}

impl Extent {
    fn decode(tail: &[u8]) -> Self {
        Self { len: u64_at(tail, 0), offset: u64_at(tail, 8), crc: u32_at(tail, 16) }
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }
}

fn decode_payload(input: &[u8], tail_at: usize) -> Result<(Body<'_>, usize), NoFrame> {
    let header_len = tail_at + PAYLOAD_TAIL_BYTES;
    let extent = Extent::decode(&prefix(input, header_len)?[tail_at..]);
    extent.check(extent.len)?;
    Ok((Body::Payload(extent), header_len))
}

/// Decodes an `S` frame. MariaDB's is eight bytes and another frame follows it, at least the end of
/// its file.
fn decode_seek_or_sparse(input: &[u8], tail_at: usize) -> Result<(Body<'_>, usize), NoFrame> {
    let seek_end = tail_at + SEEK_TAIL_BYTES;
    let ahead = prefix(input, seek_end + MAGIC.len())?;
    if !ahead.ends_with(&MAGIC) {
        return decode_sparse(input, tail_at);
    }
    let offset = u64_at(ahead, tail_at);
    if offset > FILE_BYTES_MAX {
        return Err(BadFrame::Overflow.into());
    }
    Ok((Body::Seek(offset), seek_end))
}

fn decode_sparse(input: &[u8], tail_at: usize) -> Result<(Body<'_>, usize), NoFrame> {
    let map_at = tail_at + SPARSE_TAIL_BYTES;
    let tail = &prefix(input, map_at)?[tail_at..];
    let entries = usize::try_from(u32_at(tail, 0)).map_err(|_| BadFrame::SparseMap)?;
    let extent = Extent::decode(&tail[size_of::<u32>()..]);
    if entries > SPARSE_ENTRIES_MAX {
        return Err(BadFrame::SparseMap.into());
    }
    let header_len = map_at + entries * SPARSE_ENTRY_BYTES;
    let map = SparseMap::new(&prefix(input, header_len)?[map_at..]).ok_or(BadFrame::SparseMap)?;
    if map.payload_bytes() != extent.len {
        return Err(BadFrame::SparseMap.into());
    }
    extent.check(map.file_bytes())?;
    Ok((Body::Sparse(extent, map), header_len))
}

fn decode_rename(input: &[u8], tail_at: usize) -> Result<(Body<'_>, usize), NoFrame> {
    let to_at = tail_at + size_of::<u32>();
    let header_len = to_at + path_len(u32_at(prefix(input, to_at)?, tail_at))?;
    let to = StreamPath::new(&prefix(input, header_len)?[to_at..])?;
    Ok((Body::Rename(to), header_len))
}

/// Checks a path's length before its bytes are waited for.
fn path_len(len: u32) -> Result<usize, HostilePath> {
    match usize::try_from(len) {
        Ok(0) => Err(HostilePath::Empty),
        Ok(fits) if fits < PATH_BYTES_END => Ok(fits),
        _ => Err(HostilePath::TooLong(u64::from(len))),
    }
}

fn encode_counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32_of(bytes.len()).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Returns the first `len` bytes, or asks for them.
fn prefix(input: &[u8], len: usize) -> Result<&[u8], NoFrame> {
    input.get(..len).ok_or(NoFrame::Short(len))
}

fn byte_at(bytes: &[u8], at: usize) -> u8 {
    *bytes.get(at).expect("the caller asked for enough bytes")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    u32::from_le_bytes(*field.expect("the caller asked for enough bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(*field.expect("the caller asked for enough bytes"))
}
