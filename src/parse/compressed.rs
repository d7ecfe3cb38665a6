//! The check that a compressed stream has the end that its format gives it.
//!
//! A compressor that is killed, or a full disk on the way, leaves a stream that begins well and has
//! no end, often with exit status 0. Every format but a few marks its end, and the marks can be
//! found without unpacking:
//!
//! | format | what is followed | what tells the end |
//! |---|---|---|
//! | gzip | the codes of its blocks (`gzip`) | the trailer, and the length in it |
//! | zstd, lz4 | the lengths of its blocks (`frames`) | the last block, or the mark of the end |
//! | xz | nothing | the footer with its checksum in the last bytes |
//! | bzip2 | nothing | the mark of the end in the last bytes, wherever its bits begin |
//!
//! Invariants:
//! - bytes come in pieces of any size, and the answer does not depend on the pieces;
//! - memory: 130 KiB for gzip, some bytes for the others, whatever the stream announces;
//! - several streams one after the other are as good as one, as they are to the programs;
//! - nothing is unpacked and no checksum of contents is computed: what was changed in transit and
//!   has kept its structure is not noticed.
//!
//! Sources: RFC 1951, 1952 and 8878, `lz4_Frame_format.md`, `xz-file-format.txt`.

mod end;
mod frames;
mod gzip;

use crate::parse::compressed::frames::Frames;
use crate::parse::compressed::frames::Layout;
use crate::parse::compressed::gzip::Gzip;

pub use crate::parse::compressed::end::CompressedEnd;

/// Bytes at the end of a stream that are kept.
const TAIL_BYTES: usize = 16;

const XZ_FOOTER_BYTES: usize = 12;
/// The marks of a bzip2 stream's end, 48 bits, with the checksum after it.
const BZIP2_END: u64 = 0x1772_4538_5090;
const BZIP2_END_BYTES: usize = 10;

/// Follows one compressed stream.
#[derive(Debug)]
pub enum Compressed {
    /// A stream of gzip.
    Gzip(Box<Gzip>),
    /// A stream of zstd or lz4.
    Frames(Frames),
    /// A stream of xz or bzip2.
    Tail(Tail),
    /// A stream of a program that does not mark the end.
    Unmarked,
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    kind: TailKind,
    bytes: Vec<u8>,
    /// Zeros after them, which xz allows in fours.
    zeros: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum TailKind {
    #[default]
    Xz,
    Bzip2,
}

impl Compressed {
    /// Begins a stream that was compressed by this program.
    pub fn new(program: &str) -> Self {
        match program {
            "gzip" => Self::Gzip(Box::default()),
            "zstd" => Self::Frames(Frames::new(Layout::Zstd)),
            "lz4" => Self::Frames(Frames::new(Layout::Lz4)),
            "xz" => Self::Tail(Tail::default()),
            "bzip2" => Self::Tail(Tail { kind: TailKind::Bzip2, ..Tail::default() }),
            _ => Self::Unmarked,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Gzip(gzip) => gzip.push(bytes),
            Self::Frames(frames) => frames.push(bytes),
            Self::Tail(tail) => tail.push(bytes),
            Self::Unmarked => {}
        }
    }

    /// Tells how the stream ended, if it ends here.
    pub fn finish(&self) -> CompressedEnd {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Frames(frames) => frames.finish(),
            Self::Tail(tail) => tail.finish(),
            Self::Unmarked => CompressedEnd::Unknown,
        }
    }
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let (kept, zeros) = match self.kind {
            TailKind::Xz => bytes.split_at(last),
            TailKind::Bzip2 => (bytes, &[][..]),
        };
        if !kept.is_empty() {
            let before =
                crate::base::num::usize_of(self.zeros.min(crate::base::num::u64_of(TAIL_BYTES)));
            self.bytes.resize(self.bytes.len() + before, 0);
            self.zeros = 0;
            self.bytes.extend_from_slice(&kept[kept.len().saturating_sub(TAIL_BYTES)..]);
            let surplus = self.bytes.len().saturating_sub(TAIL_BYTES);
            self.bytes.drain(..surplus);
        }
        self.zeros += crate::base::num::u64_of(zeros.len());
    }

    fn finish(&self) -> CompressedEnd {
        let is_whole = match self.kind {
            TailKind::Xz => self.zeros.is_multiple_of(4) && ends_xz(&self.bytes),
            TailKind::Bzip2 => ends_bzip2(&self.bytes),
        };
        if is_whole { CompressedEnd::Whole } else { CompressedEnd::Cut }
    }
}

/// Tells whether bytes end in the footer of xz: a checksum, the size of the index, flags, `YZ`.
fn ends_xz(tail: &[u8]) -> bool {
    let Some(footer) = tail.last_chunk::<XZ_FOOTER_BYTES>() else { return false };
    let (checksum, rest) = footer.split_at(4);
    let (covered, magic) = rest.split_at(6);
    magic == b"YZ" && checksum == crc32fast::hash(covered).to_le_bytes()
}

/// Tells whether bytes end in the mark of bzip2's end, a checksum, and less than a byte of zeros.
fn ends_bzip2(tail: &[u8]) -> bool {
    let Some(bytes) = tail.get(tail.len().saturating_sub(BZIP2_END_BYTES + 1)..) else {
        return false;
    };
    let bits = bytes.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    (0..8).any(|padding| {
        let mark = (bits >> (padding + 32)) & ((1 << 48) - 1);
        mark == u128::from(BZIP2_END) && bits & ((1 << padding) - 1) == 0
    })
}

#[cfg(test)]
mod tests;
