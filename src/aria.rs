//! Knows Aria's bytes: how a table's files are cut into blocks, and whether a block is intact.
//!
//! Aria holds the grants, routines and help of every server, and any tables that its users gave it.
//! Corrupt Aria blocks have passed into backups unnoticed (MDEV-37520).
//!
//! A table has an index file, `.MAI`, whose head describes both, and a data file, `.MAD`. The last
//! four bytes of a block are the CRC-32 of its contents, seeded with the number of the block, so
//! that a block in the wrong place is noticed as well.
//!
//! - A block is judged by its own bytes and the head of the index file; nothing is remembered.
//! - Blocks are encrypted after their checksum was computed, so it takes the key to check them.
//!   They are [`BlockVerdict::Unverifiable`], and so is what has no checksum.
//! - Only `ROW_FORMAT=PAGE`, the default, has a data file of blocks.
//!
//! Rows and keys are not looked at.
//!
//! Sources: `ma_pagecrc.c`, `ma_backup.c`, `ma_open.c` and `maria_def.h` of the server. All blocks
//! of some forty tables of a server 10.11, of 8, 16 and 32 KiB, were as described.

#![expect(clippy::big_endian_bytes, reason = "the head of an Aria index file is big-endian")]

use std::fmt;

const MAGIC: [u8; 4] = [0xFE, 0xFE, 0x09, 0x03];

const OPTIONS_AT: usize = MAGIC.len();
const HEADER_LENGTH_AT: usize = OPTIONS_AT + 2;
const STATE_LENGTH_AT: usize = HEADER_LENGTH_AT + 2;
const BASE_LENGTH_AT: usize = STATE_LENGTH_AT + 2;
const BASE_POSITION_AT: usize = BASE_LENGTH_AT + 2;
const DATA_FILE_TYPE_AT: usize = BASE_POSITION_AT + 10;
const HEADER_BYTES: usize = DATA_FILE_TYPE_AT + 2;

/// Positions relative to the base information, whose own position the header gives.
const EXTRA_OPTIONS_AT: usize = 16 + 5 * 8 + 6 * 4 + 5 * 2;
const BLOCK_SIZE_AT: usize = EXTRA_OPTIONS_AT + 5 * 2;
const BASE_BYTES_READ: usize = BLOCK_SIZE_AT + 2;

/// The value of the data file type that stands for `ROW_FORMAT=PAGE` (`BLOCK_RECORD`).
const PAGED: u8 = 3;
/// The bit of the extra options that states encryption (`MA_EXTRA_OPTIONS_ENCRYPTED`).
const ENCRYPTED: u16 = 1;

const CHECKSUM_BYTES: usize = size_of::<u32>();
/// The value that stands for a missing checksum in data and index blocks, and in bitmaps.
const NO_CHECKSUM: u32 = 0xFFFF_FFFF;
const NO_CHECKSUM_BITMAP: u32 = 0xFFFF_FFFE;
/// The checksum that is stored in place of one that happens to be such a value.
const CHECKSUM_MAX: u32 = 0xFFFF_FFFD;

/// The bytes of an index file that hold its head for any table of up to about a hundred keys.
pub const ARIA_HEAD_BYTES: usize = 4096;

/// The bytes of a block: a power of two from 1 KiB to 32 KiB, `aria_block_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize(u16);

impl BlockSize {
    /// The default of the server.
    pub const KIB_8: Self = Self(8192);

    /// Takes a size in bytes.
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes >= 1024 && bytes.is_power_of_two() { Some(Self(bytes)) } else { None }
    }

    /// Returns the size in bytes.
    pub fn bytes(self) -> usize {
        self.0.into()
    }
}

/// The encryption of a table's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// No block of the table is encrypted.
    Off,
    /// All blocks but the bitmaps are encrypted.
    On,
    /// The index file, which states the encryption, was not seen.
    Unknown,
}

/// The properties of a table that its blocks are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AriaTable {
    block_size: BlockSize,
    encryption: Encryption,
    rows: Rows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    Paged,
    Other,
}

/// A reason why the head of an index file is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AriaError {
    /// It does not begin like an index file.
    #[error("not an Aria index file")]
    Magic,
    /// Fewer bytes were shown than the head has, which needs this many.
    #[error("head of the Aria index file needs {0} bytes")]
    TooShort(usize),
    /// No table has blocks of this many bytes.
    #[error("no Aria table has blocks of {0} bytes")]
    BlockSize(u16),
}

/// The judgement on one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// All bytes are zero: the block was never used.
    Zero,
    /// The checksum is right.
    Good,
    /// Nothing is wrong, but nothing vouches for the contents either.
    Unverifiable(Unverifiable),
    /// The server would not accept the block.
    Corrupt(Corruption),
}

/// A reason why no checksum vouches for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverifiable {
    /// It was written without one: a fresh bitmap, or a table with `PAGE_CHECKSUM=0`.
    NoChecksum,
    /// The block is encrypted, or may be.
    Encrypted,
}

/// A defect of a corrupt block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// The contents do not match the checksum, or are those of another block.
    Checksum {
        /// Checksum that the block carries.
        stored: u32,
        /// Checksum computed over the contents.
        computed: u32,
    },
    /// The mark for a missing checksum is one that this kind of block does not have.
    Mark(u32),
}

impl fmt::Display for Corruption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { stored, computed } => {
                write!(out, "checksum is {stored:08x}, should be {computed:08x}")
            }
            Self::Mark(mark) => write!(out, "checksum is {mark:08x}, the mark of another block"),
        }
    }
}

impl AriaTable {
    /// Reads the head of an index file, for which [`ARIA_HEAD_BYTES`] are enough.
    pub fn parse(first: &[u8]) -> Result<Self, AriaError> {
        if !first.starts_with(&MAGIC) {
            return Err(AriaError::Magic);
        }
        if first.len() < HEADER_BYTES {
            return Err(AriaError::TooShort(HEADER_BYTES));
        }
        let base_at = usize::from(u16_at(first, BASE_POSITION_AT));
        let Some(base) = first.get(base_at..base_at + BASE_BYTES_READ) else {
            return Err(AriaError::TooShort(base_at + BASE_BYTES_READ));
        };
        let block_bytes = u16_at(base, BLOCK_SIZE_AT);
        let block_size = BlockSize::new(block_bytes).ok_or(AriaError::BlockSize(block_bytes))?;
        let is_encrypted = u16_at(base, EXTRA_OPTIONS_AT) & ENCRYPTED != 0;
        Ok(Self {
            block_size,
            encryption: if is_encrypted { Encryption::On } else { Encryption::Off },
            rows: if first[DATA_FILE_TYPE_AT] == PAGED { Rows::Paged } else { Rows::Other },
        })
    }

    /// Stands in for a table whose index file was not seen.
    ///
    /// Blocks can then be found good, but not corrupt.
    pub const fn presumed(block_size: BlockSize) -> Self {
        Self { block_size, encryption: Encryption::Unknown, rows: Rows::Paged }
    }

    /// Returns the size of the blocks of the data file, unless it has none.
    pub const fn data_block_size(self) -> Option<BlockSize> {
        match self.rows {
            Rows::Paged => Some(self.block_size),
            Rows::Other => None,
        }
    }

    /// Judges the block that stands at position `number` of the data file.
    ///
    /// # Panics
    ///
    /// If `block` is not one whole block.
    pub fn check_data(self, block: &[u8], number: u64) -> BlockVerdict {
        assert_eq!(block.len(), self.block_size.bytes(), "the caller passes whole blocks");
        let is_bitmap = number.is_multiple_of(self.blocks_per_bitmap());
        let mark = if is_bitmap { NO_CHECKSUM_BITMAP } else { NO_CHECKSUM };
        let encryption = if is_bitmap { Encryption::Off } else { self.encryption };
        check(block, number, mark, encryption)
    }

    /// Counts a bitmap and the blocks that it describes, three bits each in groups of six bytes.
    ///
    /// Source: `bitmap_pages_covered`.
    fn blocks_per_bitmap(self) -> u64 {
        let groups = (u64::from(self.block_size.0) - 4) / 6;
        groups * 16 + 1
    }
}

fn check(block: &[u8], number: u64, mark: u32, encryption: Encryption) -> BlockVerdict {
    if block.iter().all(|byte| *byte == 0) {
        return BlockVerdict::Zero;
    }
    let stored_at = block.len() - CHECKSUM_BYTES;
    let stored = u32::from_le_bytes(array_at(block, stored_at));
    if stored == mark {
        return BlockVerdict::Unverifiable(Unverifiable::NoChecksum);
    }
    let computed = checksum(&block[..stored_at], number);
    if stored == computed {
        return BlockVerdict::Good;
    }
    match encryption {
        Encryption::Off if stored > CHECKSUM_MAX => BlockVerdict::Corrupt(Corruption::Mark(stored)),
        Encryption::Off => BlockVerdict::Corrupt(Corruption::Checksum { stored, computed }),
        Encryption::On | Encryption::Unknown => BlockVerdict::Unverifiable(Unverifiable::Encrypted),
    }
}

/// Computes the CRC-32 of zlib, begun with the lower half of the block number.
fn checksum(contents: &[u8], number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    let mut crc = crc32fast::Hasher::new_with_initial(u32::from_le_bytes([a, b, c, d]));
    crc.update(contents);
    crc.finalize().min(CHECKSUM_MAX)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers read within bytes whose length they have checked")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE_AT: u16 = 239;

    struct Head {
        block_size: u16,
        data_file_type: u8,
        extra_options: u16,
    }

    const PLAIN: Head = Head { block_size: 1024, data_file_type: PAGED, extra_options: 0 };

    impl Head {
        fn bytes(&self) -> Vec<u8> {
            let mut head = vec![0; ARIA_HEAD_BYTES];
            let base = usize::from(BASE_AT);
            let mut put = |at: usize, bytes: &[u8]| {
                head[at..at + bytes.len()].copy_from_slice(bytes);
            };
            put(0, &MAGIC);
            put(BASE_POSITION_AT, &BASE_AT.to_be_bytes());
            put(DATA_FILE_TYPE_AT, &[self.data_file_type]);
            put(base + EXTRA_OPTIONS_AT, &self.extra_options.to_be_bytes());
            put(base + BLOCK_SIZE_AT, &self.block_size.to_be_bytes());
            head
        }

        fn table(&self) -> AriaTable {
            AriaTable::parse(&self.bytes()).unwrap()
        }
    }

    /// Makes a block with the checksum that it has in this place.
    fn block(number: u64) -> Vec<u8> {
        let mut block: Vec<u8> = (1..=1024_u32).map(|at| at.to_le_bytes()[0] | 1).collect();
        let checksum = checksum_as_zlib(&block[..block.len() - CHECKSUM_BYTES], number);
        put_checksum(&mut block, checksum);
        block
    }

    fn put_checksum(block: &mut [u8], checksum: u32) {
        let at = block.len() - CHECKSUM_BYTES;
        block[at..].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Computes zlib's `crc32(seed, bytes)` by its definition, bit by bit.
    fn checksum_as_zlib(bytes: &[u8], number: u64) -> u32 {
        let mut crc = !u32::try_from(number).unwrap();
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ ((crc & 1) * 0xEDB8_8320);
            }
        }
        !crc
    }

    #[test]
    fn the_head_of_an_index_file_tells_how_to_read_the_data_file() {
        let table = Head { block_size: 8192, ..PLAIN }.table();
        assert_eq!(table.data_block_size(), Some(BlockSize::KIB_8));
        assert_eq!(table.encryption, Encryption::Off);
        assert_eq!(table.blocks_per_bitmap(), 21_825);

        let fixed = Head { data_file_type: 0, ..PLAIN }.table();
        assert_eq!(fixed.data_block_size(), None);

        let encrypted = Head { extra_options: 3, ..PLAIN }.table();
        assert_eq!(encrypted.encryption, Encryption::On);
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        assert_eq!(AriaTable::parse(b"\xFE\xFE\x07\x01"), Err(AriaError::Magic));
        assert_eq!(AriaTable::parse(&MAGIC), Err(AriaError::TooShort(HEADER_BYTES)));
        let head = PLAIN.bytes();
        let needed = usize::from(BASE_AT) + BASE_BYTES_READ;
        assert_eq!(AriaTable::parse(&head[..needed - 1]), Err(AriaError::TooShort(needed)));
        assert!(AriaTable::parse(&head[..needed]).is_ok());
        for block_size in [0, 512, 1025, u16::MAX] {
            let head = Head { block_size, ..PLAIN }.bytes();
            assert_eq!(AriaTable::parse(&head), Err(AriaError::BlockSize(block_size)));
        }
    }

    #[test]
    fn a_block_with_its_checksum_is_good_only_in_its_place() {
        let table = PLAIN.table();
        let block = block(7);
        assert_eq!(table.check_data(&block, 7), BlockVerdict::Good);
        assert_eq!(table.check_data(&block, 7 + (1 << 32)), BlockVerdict::Good, "lower half");
        let moved = table.check_data(&block, 8);
        assert!(matches!(moved, BlockVerdict::Corrupt(Corruption::Checksum { .. })));
        assert_eq!(table.check_data(&[0; 1024], 7), BlockVerdict::Zero);
    }

    #[test]
    fn a_missing_checksum_is_no_proof_and_has_the_mark_of_its_kind() {
        let table = PLAIN.table();
        let every = table.blocks_per_bitmap();
        let no_checksum = BlockVerdict::Unverifiable(Unverifiable::NoChecksum);
        for (number, right, wrong) in [
            (0, NO_CHECKSUM_BITMAP, NO_CHECKSUM),
            (1, NO_CHECKSUM, NO_CHECKSUM_BITMAP),
            (every, NO_CHECKSUM_BITMAP, NO_CHECKSUM),
        ] {
            let mut block = block(number);
            put_checksum(&mut block, right);
            assert_eq!(table.check_data(&block, number), no_checksum);
            put_checksum(&mut block, wrong);
            let corrupt = BlockVerdict::Corrupt(Corruption::Mark(wrong));
            assert_eq!(table.check_data(&block, number), corrupt);
        }
    }

    #[test]
    fn encrypted_blocks_are_unverifiable_but_bitmaps_are_not() {
        let encrypted = BlockVerdict::Unverifiable(Unverifiable::Encrypted);
        let tables =
            [Head { extra_options: 1, ..PLAIN }.table(), AriaTable::presumed(BlockSize(1024))];
        for table in tables {
            let mut block = block(3);
            assert_eq!(table.check_data(&block, 3), BlockVerdict::Good);
            block[500] ^= 1;
            assert_eq!(table.check_data(&block, 3), encrypted);
            assert!(matches!(table.check_data(&block, 0), BlockVerdict::Corrupt(_)));
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_noticed(number: u32, bit in 0..1024_usize * 8) {
            let number = u64::from(number);
            let table = PLAIN.table();
            let mut block = block(number);
            block[bit / 8] ^= 1 << (bit % 8);
            let verdict = table.check_data(&block, number);
            prop_assert!(matches!(verdict, BlockVerdict::Corrupt(_)), "{verdict:?}");
        }

        #[test]
        fn no_bytes_make_it_panic(
            mut head in proptest::collection::vec(any::<u8>(), 0..600),
            block in proptest::collection::vec(any::<u8>(), 1024),
            number: u64,
        ) {
            for (byte, magic) in head.iter_mut().zip(MAGIC) {
                *byte = magic;
            }
            let _ = AriaTable::parse(&head);
            let _ = PLAIN.table().check_data(&block, number);
        }
    }
}
