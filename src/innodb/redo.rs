//! Reads the head of `ib_logfile0`: where the redo log of a backup begins, and where it must end.
//!
//! The redo log is what makes pages copied at different times consistent. If it is cut short, every
//! page of a backup can be intact and the backup still be worthless. Its file says where it begins
//! and the checkpoints file where it ends, so its length is known beforehand.
//!
//! Since MariaDB 10.8:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | format |
//! | 8 | 8 | LSN of the first log byte |
//! | 16 | 32 | creator, such as `Backup 10.11.19` |
//! | 48 | 4 | encryption key, 0 if not encrypted |
//! | 508 | 4 | CRC-32C of the above |
//! | 4096 | 64 | first checkpoint: LSN, end LSN, zeroes, CRC-32C |
//! | 8192 | 64 | second checkpoint |
//! | 12288 | | log |
//!
//! - A header counts only if its checksum is right.
//! - The length can be told exactly since 10.8; older formats are recognised, not computed with.
//! - The log may begin before `to_lsn` of the checkpoints file, so `to_lsn` proves nothing here.
//!
//! The log itself is not parsed. It has neither pages nor blocks, and each of its records has a
//! checksum that only a parser of records could find.
//!
//! Source: `log0log.h` and `recv_sys_t::find_checkpoint` of the server.

use std::error::Error;
use std::fmt;

use super::big_endian::u32_at;
use super::big_endian::u64_at;
use super::checksum::crc32c;
use super::units::Lsn;

const FORMAT_AT: usize = 0;
const FIRST_LSN_AT: usize = 8;
const CREATOR_AT: usize = FIRST_LSN_AT + 8;
const CREATOR_BYTES: usize = 32;
const KEY_AT: usize = CREATOR_AT + CREATOR_BYTES;
const HEADER_CHECKSUM_AT: usize = REDO_HEADER_BYTES - size_of::<u32>();

const CHECKPOINTS_AT: [usize; 2] = [4096, 8192];
const CHECKPOINT_LSN_AT: usize = 0;
const END_LSN_AT: usize = CHECKPOINT_LSN_AT + 8;
const CHECKPOINT_CHECKSUM_AT: usize = 60;
const CHECKPOINT_BYTES: usize = CHECKPOINT_CHECKSUM_AT + size_of::<u32>();
const LOG_AT: usize = 12_288;

/// The bytes of the file that hold the header without the checkpoints.
pub const REDO_HEADER_BYTES: usize = 512;

/// The bytes of the file that hold the header and both checkpoints.
pub const REDO_HEAD_BYTES: usize = LOG_AT;

/// The generations of the redo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedoFormat {
    /// From MariaDB 10.2 to 10.4, logical records in blocks of 512 bytes.
    Logical,
    /// From MariaDB 10.5 to 10.7, physical records in blocks of 512 bytes.
    Blocks,
    /// Since MariaDB 10.8, physical records without blocks.
    Stream,
}

/// Whether the records of a redo log are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedoEncryption {
    /// They are readable.
    Off,
    /// Recovery takes the key (`innodb_encrypt_log`).
    On,
}

/// The verified header of a redo log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedoHeader {
    format: RedoFormat,
    encryption: RedoEncryption,
    first_lsn: Lsn,
    creator: String,
    checkpoint: Option<RedoCheckpoint>,
}

/// The newest valid checkpoint of a redo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedoCheckpoint {
    /// All changes before it are in the pages.
    pub lsn: Lsn,
    /// Where the log stood when the checkpoint was written.
    pub end_lsn: Lsn,
}

/// Why the head of a redo log was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedoError {
    /// Fewer than [`REDO_HEADER_BYTES`] bytes were shown.
    TooShort,
    /// No known server writes this format.
    Format(u32),
    /// The header does not match its checksum.
    Checksum {
        /// What the header carries.
        stored: u32,
        /// What its contents amount to.
        computed: u32,
    },
}

impl fmt::Display for RedoError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => out.write_str("redo log is too short to have a header"),
            Self::Format(format) => write!(out, "unknown redo log format {format:#010x}"),
            Self::Checksum { stored, computed } => write!(
                out,
                "checksum of the redo log header is {stored:08x}, should be {computed:08x}"
            ),
        }
    }
}

impl Error for RedoError {}

impl RedoHeader {
    /// Reads the first bytes of `ib_logfile0`; with [`REDO_HEAD_BYTES`] of them the checkpoint too.
    pub fn parse(first: &[u8]) -> Result<Self, RedoError> {
        if first.len() < REDO_HEADER_BYTES {
            return Err(RedoError::TooShort);
        }
        let (format, encrypted_by_format) = parse_format(u32_at(first, FORMAT_AT))?;
        let stored = u32_at(first, HEADER_CHECKSUM_AT);
        let computed = crc32c(&first[..HEADER_CHECKSUM_AT]);
        if stored != computed {
            return Err(RedoError::Checksum { stored, computed });
        }
        let has_key = format == RedoFormat::Stream && u32_at(first, KEY_AT) != 0;
        let encryption = if has_key { RedoEncryption::On } else { encrypted_by_format };
        let first_lsn = Lsn::new(u64_at(first, FIRST_LSN_AT));
        let creator = &first[CREATOR_AT..][..CREATOR_BYTES];
        let creator = creator.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Self {
            format,
            encryption,
            first_lsn,
            creator: String::from_utf8_lossy(creator).into_owned(),
            checkpoint: newest_checkpoint(first, format, first_lsn),
        })
    }

    /// Returns the generation of the log.
    pub const fn format(&self) -> RedoFormat {
        self.format
    }

    /// Tells whether recovery will take a key.
    pub const fn encryption(&self) -> RedoEncryption {
        self.encryption
    }

    /// Returns the LSN of the first log byte in the file.
    pub const fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// Returns the program that wrote the log, such as `Backup 10.11.19`.
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// Returns the newest checkpoint, if it was shown and is valid.
    pub const fn checkpoint(&self) -> Option<RedoCheckpoint> {
        self.checkpoint
    }

    /// Computes how many bytes the file has if its log ends at `last_lsn` of the checkpoints file.
    ///
    /// There is no answer for the older formats, nor for a log that ends before it begins.
    pub fn file_bytes(&self, last_lsn: Lsn) -> Option<u64> {
        if self.format != RedoFormat::Stream {
            return None;
        }
        let log_bytes = last_lsn.get().checked_sub(self.first_lsn.get())?;
        log_bytes.checked_add(u64::try_from(LOG_AT).ok()?)
    }
}

/// Looks up the format, which also tells of encryption in most versions.
///
/// Source: `log_t::FORMAT_*`.
fn parse_format(format: u32) -> Result<(RedoFormat, RedoEncryption), RedoError> {
    const ENCRYPTED: u32 = 1 << 31;
    // The sign "old key" in UTF-8: what 10.11.19 writes if it encrypts.
    if format == 0xF09F_979D {
        return Ok((RedoFormat::Stream, RedoEncryption::On));
    }
    let generation = match format & !ENCRYPTED {
        1 | 103 | 104 => RedoFormat::Logical,
        // "PHYS" and "Phys".
        0x5048_5953 => RedoFormat::Blocks,
        0x5068_7973 => RedoFormat::Stream,
        _ => return Err(RedoError::Format(format)),
    };
    let encryption = if format & ENCRYPTED == 0 { RedoEncryption::Off } else { RedoEncryption::On };
    Ok((generation, encryption))
}

fn newest_checkpoint(head: &[u8], format: RedoFormat, first_lsn: Lsn) -> Option<RedoCheckpoint> {
    if format != RedoFormat::Stream {
        return None;
    }
    let blocks = CHECKPOINTS_AT.iter().filter_map(|at| head.get(*at..at + CHECKPOINT_BYTES));
    let checkpoints = blocks.filter_map(parse_checkpoint);
    checkpoints.filter(|checkpoint| checkpoint.lsn >= first_lsn).max()
}

fn parse_checkpoint(block: &[u8]) -> Option<RedoCheckpoint> {
    let computed = crc32c(&block[..CHECKPOINT_CHECKSUM_AT]);
    let lsn = Lsn::new(u64_at(block, CHECKPOINT_LSN_AT));
    let end_lsn = Lsn::new(u64_at(block, END_LSN_AT));
    let is_valid = computed == u32_at(block, CHECKPOINT_CHECKSUM_AT) && lsn <= end_lsn;
    is_valid.then_some(RedoCheckpoint { lsn, end_lsn })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::innodb::big_endian::put_u32;
    use crate::innodb::big_endian::put_u64;
    use crate::innodb::server_pages::unpack;

    const STREAM: u32 = 0x5068_7973;

    fn head(format: u32) -> Vec<u8> {
        let mut head = vec![0; REDO_HEAD_BYTES];
        put_u32(&mut head, FORMAT_AT, format);
        put_u64(&mut head, FIRST_LSN_AT, 50_000);
        head[CREATOR_AT..][..15].copy_from_slice(b"Backup 10.11.19");
        put_checkpoint(&mut head, 0, 60_000);
        put_header_checksum(&mut head);
        head
    }

    fn put_header_checksum(head: &mut [u8]) {
        let checksum = crc32c(&head[..HEADER_CHECKSUM_AT]);
        put_u32(head, HEADER_CHECKSUM_AT, checksum);
    }

    fn put_checkpoint(head: &mut [u8], place: usize, lsn: u64) {
        let block = &mut head[CHECKPOINTS_AT[place]..][..CHECKPOINT_BYTES];
        put_u64(block, CHECKPOINT_LSN_AT, lsn);
        put_u64(block, END_LSN_AT, lsn + 5);
        let checksum = crc32c(&block[..CHECKPOINT_CHECKSUM_AT]);
        put_u32(block, CHECKPOINT_CHECKSUM_AT, checksum);
    }

    #[test]
    fn fields_lie_where_the_table_says() {
        let table = include_str!("redo.rs");
        let fields = [
            (FORMAT_AT, 4),
            (FIRST_LSN_AT, 8),
            (CREATOR_AT, CREATOR_BYTES),
            (KEY_AT, 4),
            (HEADER_CHECKSUM_AT, 4),
            (CHECKPOINTS_AT[0], CHECKPOINT_BYTES),
            (CHECKPOINTS_AT[1], CHECKPOINT_BYTES),
        ];
        for (at, bytes) in fields {
            assert!(table.contains(&format!("//! | {at} | {bytes} | ")), "{at}");
        }
        assert!(table.contains(&format!("//! | {LOG_AT} | | log |")));
    }

    #[test]
    fn the_head_of_a_backup_tells_where_its_log_ends() {
        let header = RedoHeader::parse(&head(STREAM)).unwrap();
        assert_eq!(header.format(), RedoFormat::Stream);
        assert_eq!(header.encryption(), RedoEncryption::Off);
        assert_eq!(header.creator(), "Backup 10.11.19");
        assert_eq!(header.first_lsn(), Lsn::new(50_000));
        let checkpoint = RedoCheckpoint { lsn: Lsn::new(60_000), end_lsn: Lsn::new(60_005) };
        assert_eq!(header.checkpoint(), Some(checkpoint));
        assert_eq!(header.file_bytes(Lsn::new(50_007)), Some(12_295));
        assert_eq!(header.file_bytes(Lsn::new(49_999)), None);
        assert_eq!(header.file_bytes(Lsn::new(u64::MAX)), Some(u64::MAX - 50_000 + 12_288));
    }

    /// The heads of two backups of 12,344 and 14,389,338 bytes, of which one is encrypted.
    #[test]
    fn the_heads_of_real_backups_are_understood() {
        let plain = unpack(
            REDO_HEAD_BYTES,
            &[
                (0, "50687973"),
                (13, "94a9404261636b75702031302e31312e3139"),
                (508, "21850c10"),
                (4101, "94a940"),
                (4109, "94a940"),
                (4156, "16303379"),
            ],
        );
        let header = RedoHeader::parse(&plain).unwrap();
        assert_eq!(header.encryption(), RedoEncryption::Off);
        assert_eq!(header.checkpoint().map(|it| it.lsn), Some(Lsn::new(9_742_656)));
        assert_eq!(header.file_bytes(Lsn::new(9_742_712)), Some(12_344));

        let encrypted = unpack(
            REDO_HEAD_BYTES,
            &[
                (0, "f09f979d"),
                (12, "03f91b474261636b75702031302e31312e3139"),
                (51, "0100000001608c403580259e97e42dd68eca128c795bda5951"),
                (508, "5ca55b24"),
                (4100, "03f91b47"),
                (4108, "045b3d18"),
                (4156, "ff0b5f1e"),
            ],
        );
        let header = RedoHeader::parse(&encrypted).unwrap();
        assert_eq!(header.encryption(), RedoEncryption::On);
        assert_eq!(header.checkpoint().map(|it| it.end_lsn), Some(Lsn::new(73_088_280)));
        assert_eq!(header.file_bytes(Lsn::new(81_034_145)), Some(14_389_338));
    }

    #[test]
    fn the_newer_of_two_valid_checkpoints_counts() {
        let mut head = head(STREAM);
        put_checkpoint(&mut head, 1, 70_000);
        let newest = |head: &[u8]| RedoHeader::parse(head).unwrap().checkpoint().map(|it| it.lsn);
        assert_eq!(newest(&head), Some(Lsn::new(70_000)));
        head[CHECKPOINTS_AT[1]] ^= 1;
        assert_eq!(newest(&head), Some(Lsn::new(60_000)));
        assert_eq!(newest(&head[..REDO_HEADER_BYTES]), None);
        put_checkpoint(&mut head, 0, 49_999);
        assert_eq!(newest(&head), None, "it lies before the log");
    }

    #[test]
    fn all_formats_are_recognised_and_the_newest_computed_with() {
        let formats = [
            (1, RedoFormat::Logical, RedoEncryption::Off),
            (103, RedoFormat::Logical, RedoEncryption::Off),
            (104, RedoFormat::Logical, RedoEncryption::Off),
            (0x5048_5953, RedoFormat::Blocks, RedoEncryption::Off),
            (0xD048_5953, RedoFormat::Blocks, RedoEncryption::On),
            (0xD068_7973, RedoFormat::Stream, RedoEncryption::On),
            (0xF09F_979D, RedoFormat::Stream, RedoEncryption::On),
        ];
        for (code, format, encryption) in formats {
            let header = RedoHeader::parse(&head(code)).unwrap();
            assert_eq!((header.format(), header.encryption()), (format, encryption), "{code:#x}");
            let is_known = header.file_bytes(Lsn::new(60_000)).is_some();
            assert_eq!(is_known, format == RedoFormat::Stream);
        }
        assert_eq!(RedoHeader::parse(&head(0)), Err(RedoError::Format(0)));
    }

    #[test]
    fn a_key_in_the_header_tells_of_encryption() {
        let mut head = head(STREAM);
        put_u32(&mut head, KEY_AT, 1);
        put_header_checksum(&mut head);
        let header = RedoHeader::parse(&head).unwrap();
        assert_eq!(header.encryption(), RedoEncryption::On);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_in_the_header_is_noticed(bit in 0..REDO_HEADER_BYTES * 8) {
            let mut head = head(STREAM);
            head[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(RedoHeader::parse(&head).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            drop(RedoHeader::parse(&bytes));
        }
    }
}
