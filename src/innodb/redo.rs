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
//! | 48 | 4 | encryption key, 0 if not encrypted |
//! | 508 | 4 | CRC-32C of the above |
//! | 12288 | | log |
//!
//! - A header counts only if its checksum is right.
//! - The length is known exactly since 10.8; older formats are recognised, not computed with.
//! - The log may begin before `to_lsn` of the checkpoints file, so `to_lsn` proves nothing here.
//!
//! Of the log itself only the first mini-transaction is looked at. Since 10.8 that is a list of
//! records and an end:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | type and flags of a record; low four bits: the bytes that follow, 0 if they are many |
//! | 1 to 5 | if they are many, their number less 15, this field included |
//! | | the record |
//! | 1 | end mark, 0 or 1 |
//! | 8 | nonce, if the log is encrypted |
//! | 4 | CRC-32C of what is before the end mark, and of the nonce |
//!
//! Source: `log0log.h`, `recv_sys_t::find_checkpoint` and `recv_sys_t::parse` of the server.

use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::checksum::crc32c;
use crate::innodb::units::Lsn;

const FORMAT_AT: usize = 0;
const FIRST_LSN_AT: usize = 8;
const KEY_AT: usize = 48;
const HEADER_CHECKSUM_AT: usize = REDO_HEADER_BYTES - size_of::<u32>();

const LOG_AT: usize = 12_288;

/// The bytes of the file that hold the header.
pub const REDO_HEADER_BYTES: usize = 512;

/// The bytes of the file in which the first mini-transaction is looked for.
pub const REDO_START_BYTES: usize = LOG_AT + (64 << 10);

/// The offset of the blocks in the formats before 10.8, and the length of each.
const BLOCKS_AT: usize = 2048;
const LOG_BLOCK_BYTES: usize = 512;

/// The generations of the redo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RedoFormat {
    /// From MariaDB 10.2 to 10.4, logical records in blocks of 512 bytes.
    Logical,
    /// From MariaDB 10.5 to 10.7, physical records in blocks of 512 bytes.
    Blocks,
    /// Since MariaDB 10.8, physical records without blocks.
    Stream,
}

/// The encryption of a redo log's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RedoEncryption {
    /// The records are readable without a key.
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
}

/// A reason why the head of a redo log is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedoError {
    /// Fewer than [`REDO_HEADER_BYTES`] bytes were shown.
    #[error("redo log is too short to have a header")]
    TooShort,
    /// No known server writes this format.
    #[error("unknown redo log format {0:#010x}")]
    Format(u32),
    /// The header does not match its checksum.
    #[error("checksum of the redo log header is {stored:08x}, should be {computed:08x}")]
    Checksum {
        /// Checksum that the header carries.
        stored: u32,
        /// Checksum computed over the contents.
        computed: u32,
    },
}

impl RedoHeader {
    /// Reads the first [`REDO_HEADER_BYTES`] of `ib_logfile0`.
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
        Ok(Self { format, encryption, first_lsn })
    }

    /// Returns the LSN of the first log byte in the file.
    pub const fn first_lsn(&self) -> Lsn {
        self.first_lsn
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

/// A reason why the log that follows a header can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Zeros stand where the first record should be.
    #[error("the first record is nothing but zeros")]
    Zero,
    /// The records do not end as records do.
    #[error("the first record is malformed")]
    Malformed,
    /// The records do not match their checksum.
    #[error("checksum of the first record is {stored:08x}, should be {computed:08x}")]
    Checksum {
        /// Checksum that the records carry.
        stored: u32,
        /// Checksum computed over the records.
        computed: u32,
    },
}

impl RedoHeader {
    /// Checks the beginning of the log. It takes the first [`REDO_START_BYTES`] of the file, or all
    /// if there are fewer.
    pub fn check_log(&self, first: &[u8]) -> Result<(), LogError> {
        let is_zero = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0);
        match self.format {
            RedoFormat::Stream => {
                let log = first.get(LOG_AT..).unwrap_or_default();
                // A whole record and its end have more.
                let begins_zero = log.get(..8).is_some_and(is_zero);
                if begins_zero {
                    return Err(LogError::Zero);
                }
                let is_whole_file = first.len() < REDO_START_BYTES && !log.is_empty();
                match self.check_records(log)? {
                    Records::Unended if is_whole_file => Err(LogError::Malformed),
                    Records::Unended | Records::Right => Ok(()),
                }
            }
            RedoFormat::Blocks | RedoFormat::Logical => {
                let block = first.get(BLOCKS_AT..BLOCKS_AT + LOG_BLOCK_BYTES);
                if block.is_some_and(is_zero) { Err(LogError::Zero) } else { Ok(()) }
            }
        }
    }

    /// Walks through the records of a mini-transaction.
    fn check_records(&self, log: &[u8]) -> Result<Records, LogError> {
        let mut at = 0;
        loop {
            match log.get(at) {
                None => return Ok(Records::Unended),
                Some(0 | 1) if at == 0 => return Err(LogError::Malformed),
                Some(0 | 1) => break,
                Some(_) => {}
            }
            let Some(length) = record_bytes(&log[at..])? else { return Ok(Records::Unended) };
            at += length;
        }
        let (records, end) = log.split_at(at);
        let nonce_bytes = if self.encryption == RedoEncryption::On { NONCE_BYTES } else { 0 };
        let nonce = end.get(1..1 + nonce_bytes);
        let sum = end.get(1 + nonce_bytes..).and_then(|rest| rest.get(..size_of::<u32>()));
        let (Some(nonce), Some(sum)) = (nonce, sum) else { return Ok(Records::Unended) };
        let (stored, computed) = (u32_at(sum, 0), crc32c(&[records, nonce].concat()));
        let is_right = stored == computed;
        if is_right { Ok(Records::Right) } else { Err(LogError::Checksum { stored, computed }) }
    }
}

/// The result of reading the first records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// They match their checksum.
    Right,
    /// They do not end in the bytes that were shown.
    Unended,
}

/// Most bytes of a mini-transaction.
const RECORDS_BYTES_MAX: usize = 1 << 20;

const NONCE_BYTES: usize = 8;

/// Returns the bytes of the record that begins here; `None` if its length was not read yet.
fn record_bytes(record: &[u8]) -> Result<Option<usize>, LogError> {
    const LOW_BITS: [u8; 5] = [0x7F, 0x3F, 0x1F, 0x0F, 0x07];
    let short = usize::from(record[0] & 0xF);
    if short > 0 {
        return Ok(Some(1 + short));
    }
    let Some(first) = record.get(1) else { return Ok(None) };
    let more = usize::try_from(first.leading_ones()).unwrap_or(usize::MAX);
    let Some(low_bits) = LOW_BITS.get(more) else { return Err(LogError::Malformed) };
    let Some(rest) = record.get(2..2 + more) else { return Ok(None) };
    // Each length of this field begins to count where the one before ends.
    let smallest = (1..=more).fold(0, |sum, bytes| sum + (1_usize << (7 * bytes)));
    let high = usize::from(first & low_bits);
    let number = rest.iter().fold(high, |sum, byte| (sum << 8) | usize::from(*byte)) + smallest;
    if number >= RECORDS_BYTES_MAX { Err(LogError::Malformed) } else { Ok(Some(1 + 15 + number)) }
}

/// Looks up the format, which also shows encryption in most versions.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::innodb::big_endian::put_u32;
    use crate::innodb::big_endian::put_u64;
    use crate::innodb::server_pages::unpack;

    const STREAM: u32 = 0x5068_7973;

    fn head(format: u32) -> Vec<u8> {
        let mut head = vec![0; LOG_AT];
        put_u32(&mut head, FORMAT_AT, format);
        put_u64(&mut head, FIRST_LSN_AT, 50_000);
        put_header_checksum(&mut head);
        head
    }

    fn put_header_checksum(head: &mut [u8]) {
        let checksum = crc32c(&head[..HEADER_CHECKSUM_AT]);
        put_u32(head, HEADER_CHECKSUM_AT, checksum);
    }

    #[test]
    fn fields_lie_where_the_table_says() {
        let table = include_str!("redo.rs");
        let fields = [(FORMAT_AT, 4), (FIRST_LSN_AT, 8), (KEY_AT, 4), (HEADER_CHECKSUM_AT, 4)];
        for (at, bytes) in fields {
            assert!(table.contains(&format!("//! | {at} | {bytes} | ")), "{at}");
        }
        assert!(table.contains(&format!("//! | {LOG_AT} | | log |")));
    }

    #[test]
    fn the_head_of_a_backup_tells_where_its_log_ends() {
        let header = RedoHeader::parse(&head(STREAM)).unwrap();
        assert_eq!(header.format, RedoFormat::Stream);
        assert_eq!(header.encryption, RedoEncryption::Off);
        assert_eq!(header.first_lsn(), Lsn::new(50_000));
        assert_eq!(header.file_bytes(Lsn::new(50_007)), Some(12_295));
        assert_eq!(header.file_bytes(Lsn::new(49_999)), None);
        assert_eq!(header.file_bytes(Lsn::new(u64::MAX)), Some(u64::MAX - 50_000 + 12_288));
    }

    /// Checks the heads of two backups of 12,344 and 14,389,338 bytes, of which one is encrypted.
    #[test]
    fn the_heads_of_real_backups_are_understood() {
        let plain = unpack(
            LOG_AT,
            &[(0, "50687973"), (13, "94a9404261636b75702031302e31312e3139"), (508, "21850c10")],
        );
        let header = RedoHeader::parse(&plain).unwrap();
        assert_eq!(header.encryption, RedoEncryption::Off);
        assert_eq!(header.file_bytes(Lsn::new(9_742_712)), Some(12_344));

        let encrypted = unpack(
            LOG_AT,
            &[
                (0, "f09f979d"),
                (12, "03f91b474261636b75702031302e31312e3139"),
                (51, "0100000001608c403580259e97e42dd68eca128c795bda5951"),
                (508, "5ca55b24"),
            ],
        );
        let header = RedoHeader::parse(&encrypted).unwrap();
        assert_eq!(header.encryption, RedoEncryption::On);
        assert_eq!(header.file_bytes(Lsn::new(81_034_145)), Some(14_389_338));
    }

    /// Returns a head of this format with `log` after it, so that a mini-transaction can be
    /// checked.
    fn with_log(format: u32, log: &[u8]) -> Vec<u8> {
        [&head(format), log].concat()
    }

    #[test]
    fn the_first_record_is_held_against_its_checksum() {
        // Of a real backup, whose whole log this is.
        let log = [0xfa, 0, 0, 0, 0, 0, 0, 0, 1, 0x35, 0x95, 1, 0x40, 0xdc, 0x99, 0x5e];
        let check = |log: &[u8]| {
            let file = with_log(STREAM, log);
            RedoHeader::parse(&file).unwrap().check_log(&file)
        };
        assert_eq!(check(&log), Ok(()));
        for at in 0..log.len() {
            let mut damaged = log;
            damaged[at] ^= 0x40;
            assert!(check(&damaged).is_err(), "{at}");
            assert_eq!(check(&log[..at]).is_err(), at > 0, "cut at {at}");
        }
        assert_eq!(check(&[0; 700]), Err(LogError::Zero));
        assert_eq!(check(&[1; 700]), Err(LogError::Malformed));
        assert_eq!(check(&[0xB0, 0xFF, 0xFF, 0xFF, 0xFF]), Err(LogError::Malformed));
    }

    #[test]
    fn a_long_record_states_its_length() {
        for (body, field) in [(20, vec![6]), (300, vec![0x80, 0x9E])] {
            let length_bytes = field.len();
            let mut log = [vec![0xB0], field, vec![7; body - length_bytes + 1]].concat();
            assert_eq!(record_bytes(&log), Ok(Some(body + 2)), "{body}");
            log.resize(body + 2, 7);
            let sum = crc32c(&log);
            log.extend([1, 0, 0, 0, 0]);
            put_u32(&mut log, body + 3, sum);
            let file = with_log(STREAM, &log);
            assert_eq!(RedoHeader::parse(&file).unwrap().check_log(&file), Ok(()));
        }
    }

    #[test]
    fn blocks_of_older_formats_are_not_all_zero() {
        let mut file = with_log(0x5048_5953, &[]);
        let header = RedoHeader::parse(&file).unwrap();
        assert_eq!(header.check_log(&file), Err(LogError::Zero));
        file[BLOCKS_AT + 3] = 1;
        assert_eq!(header.check_log(&file), Ok(()));
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
            assert_eq!((header.format, header.encryption), (format, encryption), "{code:#x}");
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
        assert_eq!(header.encryption, RedoEncryption::On);
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
