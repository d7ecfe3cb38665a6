//! Follows the frames of zstd and lz4: both state the length of each block.
//!
//! | format | a frame |
//! |---|---|
//! | zstd | magic, a header of 2 to 14 bytes, blocks (3 bytes of length and kind), a checksum |
//! | lz4 | magic, a header of 3 to 15 bytes, blocks (4 bytes of length), a mark, a checksum |
//! | both | magic of frames to skip, 4 bytes of length |
//!
//! The frames that lz4 wrote until 2014 have no end; [`CompressedEnd::Unknown`] is said of them.

use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::parse::compressed::end::CompressedEnd;

const ZSTD_MAGIC: u32 = 0xFD2F_B528;
const LZ4_MAGIC: u32 = 0x184D_2204;
const LZ4_LEGACY_MAGIC: u32 = 0x184C_2102;
/// Of frames to skip, without their last four bits.
const SKIPPED_MAGIC: u32 = 0x184D_2A50;

/// Bytes of the longest field that is looked at.
const FIELD_BYTES_MAX: usize = 8;

/// The format that the frames are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The frames are those of zstd.
    Zstd,
    /// The frames are those of lz4.
    Lz4,
}

/// The part of a frame that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Magic,
    /// The first byte of a header.
    Descriptor,
    SkippedLength,
    BlockHeader,
    /// Bytes that are not looked at, then the next stage.
    Pass(u64, Next),
    /// Nothing is looked at any more.
    Over(CompressedEnd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Magic,
    BlockHeader,
}

/// Follows the frames of one stream of zstd or lz4.
#[derive(Debug)]
pub struct Frames {
    layout: Layout,
    stage: Stage,
    field: [u8; FIELD_BYTES_MAX],
    filled: usize,
    /// Bytes of the checksum after the frame, and after each block.
    frame_checksum: u64,
    block_checksum: u64,
    begun: u64,
}

impl Frames {
    /// Creates a follower that stands before the first frame.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            stage: Stage::Magic,
            field: [0; FIELD_BYTES_MAX],
            filled: 0,
            frame_checksum: 0,
            block_checksum: 0,
            begun: 0,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.stage {
                Stage::Over(_) => return,
                Stage::Pass(left, next) => {
                    let passed = left.min(u64_of(bytes.len()));
                    self.pass(left - passed, next);
                    &bytes[usize_of(passed)..]
                }
                Stage::Descriptor => self.fill(bytes, 1),
                Stage::BlockHeader if self.layout == Layout::Zstd => self.fill(bytes, 3),
                Stage::Magic | Stage::SkippedLength | Stage::BlockHeader => self.fill(bytes, 4),
            };
        }
    }

    /// Tells how the stream ended, if it ends here.
    pub fn finish(&self) -> CompressedEnd {
        match self.stage {
            Stage::Over(end) => end,
            Stage::Magic if self.begun == 0 => CompressedEnd::Cut,
            Stage::Magic if self.filled == 0 => CompressedEnd::Whole,
            // Less than a magic may be the beginning of another frame, or anything.
            Stage::Magic => CompressedEnd::Followed,
            Stage::Descriptor | Stage::SkippedLength | Stage::BlockHeader | Stage::Pass(..) => {
                CompressedEnd::Cut
            }
        }
    }

    /// Takes bytes of a field that is looked at, and looks at it once it is whole.
    fn fill<'b>(&mut self, bytes: &'b [u8], length: usize) -> &'b [u8] {
        let taken = (length - self.filled).min(bytes.len());
        let (these, rest) = bytes.split_at(taken);
        self.field[self.filled..self.filled + taken].copy_from_slice(these);
        self.filled += taken;
        if self.filled == length {
            self.filled = 0;
            let number = self.field[..length].iter().rev();
            self.take(number.fold(0, |number, byte| (number << 8) | u32::from(*byte)));
        }
        rest
    }

    fn pass(&mut self, left: u64, next: Next) {
        self.stage = match next {
            _ if left > 0 => Stage::Pass(left, next),
            Next::Magic => Stage::Magic,
            Next::BlockHeader => Stage::BlockHeader,
        };
    }

    fn take(&mut self, number: u32) {
        match self.stage {
            Stage::Magic => self.take_magic(number),
            Stage::SkippedLength => self.pass(u64::from(number), Next::Magic),
            Stage::Descriptor if self.layout == Layout::Zstd => self.take_zstd_descriptor(number),
            Stage::Descriptor => self.take_lz4_descriptor(number),
            Stage::BlockHeader if self.layout == Layout::Zstd => self.take_zstd_block(number),
            Stage::BlockHeader => self.take_lz4_block(number),
            Stage::Pass(..) | Stage::Over(_) => {}
        }
    }

    fn take_magic(&mut self, magic: u32) {
        self.begun += 1;
        self.stage = match (self.layout, magic) {
            (Layout::Zstd, ZSTD_MAGIC) | (Layout::Lz4, LZ4_MAGIC) => Stage::Descriptor,
            (Layout::Lz4, LZ4_LEGACY_MAGIC) => Stage::Over(CompressedEnd::Unknown),
            (_, magic) if magic & !0xF == SKIPPED_MAGIC => Stage::SkippedLength,
            _ if self.begun > 1 => Stage::Over(CompressedEnd::Followed),
            _ => Stage::Over(CompressedEnd::Malformed),
        };
    }

    fn take_zstd_descriptor(&mut self, descriptor: u32) {
        let is_single = descriptor >> 5 & 1;
        let size_bytes = match descriptor >> 6 {
            0 => is_single,
            code => 1 << code,
        };
        let dictionary_bytes = [0, 1, 2, 4][crate::base::num::usize_of_u32(descriptor & 3)];
        self.frame_checksum = u64::from((descriptor >> 2 & 1) * 4);
        let rest = u64::from(size_bytes + 1 - is_single) + dictionary_bytes;
        self.pass(rest, Next::BlockHeader);
    }

    fn take_zstd_block(&mut self, header: u32) {
        const ONE_BYTE_AGAIN_AND_AGAIN: u32 = 1;
        let is_last = header & 1 != 0;
        let bytes = match header >> 1 & 3 {
            ONE_BYTE_AGAIN_AND_AGAIN => 1,
            0 | 2 => u64::from(header >> 3),
            _ => {
                self.stage = Stage::Over(CompressedEnd::Malformed);
                return;
            }
        };
        if is_last {
            self.pass(bytes + self.frame_checksum, Next::Magic);
        } else {
            self.pass(bytes, Next::BlockHeader);
        }
    }

    fn take_lz4_descriptor(&mut self, flags: u32) {
        if flags >> 6 != 1 {
            self.stage = Stage::Over(CompressedEnd::Malformed);
            return;
        }
        self.block_checksum = u64::from((flags >> 4 & 1) * 4);
        self.frame_checksum = u64::from((flags >> 2 & 1) * 4);
        // The size of blocks, the length of all, the dictionary, a checksum.
        let rest = 1 + (flags >> 3 & 1) * 8 + (flags & 1) * 4 + 1;
        self.pass(u64::from(rest), Next::BlockHeader);
    }

    fn take_lz4_block(&mut self, header: u32) {
        const STORED: u32 = 1 << 31;
        if header == 0 {
            self.pass(self.frame_checksum, Next::Magic);
        } else {
            self.pass(u64::from(header & !STORED) + self.block_checksum, Next::BlockHeader);
        }
    }
}
