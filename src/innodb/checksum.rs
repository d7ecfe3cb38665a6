//! The checksum formulas of InnoDB, one function each.
//!
//! Twenty years of servers left several formulas behind, and one tablespace may mix the older ones,
//! because a page keeps its formula until it is written again.
//!
//! - A function takes one whole page and reads each byte that it covers once.
//! - None of them looks at the stored checksum: comparing is the business of `page`.
//!
//! CRC-32C is computed by `crc-fast`, which on processors with AVX-512 runs several times faster
//! than the `crc32` instruction alone.
//!
//! Sources: `buf0checksum.cc`, `page0zip.cc` and `buf_page_is_corrupted` of the server.

use crate::innodb::header::BODY_AT;
use crate::innodb::header::KEY_VERSION_AT;
use crate::innodb::header::LSN_AT;
use crate::innodb::header::NUMBER_AT;
use crate::innodb::header::SPACE_AT;
use crate::innodb::header::TRAILER_BYTES;
use crate::innodb::header::TYPE_AT;

/// The value of checksum fields when checksums are switched off (`BUF_NO_CHECKSUM_MAGIC`).
pub(super) const NO_CHECKSUM: u32 = 0xDEAD_BEEF;

/// The formula that a verified page passed.
///
/// A page that passes another one than its neighbours is no fault: the server was upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumVariant {
    /// CRC-32C over the whole page, the default since MariaDB 10.5.
    FullCrc32,
    /// CRC-32C over header and body apart.
    Crc32,
    /// The fold of `innodb_checksum_algorithm=innodb`, written until 10.5.
    Innodb,
    /// CRC-32C of a `ROW_FORMAT=COMPRESSED` page.
    ZipCrc32,
    /// Adler-32 of a `ROW_FORMAT=COMPRESSED` page.
    ZipAdler32,
    /// The checksum that an older format computes after it has encrypted a page.
    Encrypted,
    /// Adler-32 of the zlib stream in a `PAGE_COMPRESSED` page of an older format, and the checksum
    /// of the page inside it.
    Inflated,
}

/// Computes CRC-32C (Castagnoli) over all of `bytes`.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Computes the `crc32` checksum of an uncompressed page.
///
/// The bytes of the flush LSN, later of the key version, and of the tablespace id are left out.
/// Source: `buf_calc_page_crc32`.
pub(super) fn legacy_crc32(page: &[u8]) -> u32 {
    let [header, body] = legacy_ranges(page);
    crc32c(header) ^ crc32c(body)
}

/// Computes the `innodb` checksum that stands at the start of an uncompressed page.
///
/// Source: `buf_calc_page_new_checksum`; it sums in machine words, of which 32 bits are stored.
pub(super) fn legacy_innodb(page: &[u8]) -> u32 {
    let [header, body] = legacy_ranges(page);
    fold(header).wrapping_add(fold(body))
}

/// Computes the `innodb` checksum that stands in the trailer of an uncompressed page.
///
/// It covers the header alone, the first checksum included. Source: `buf_calc_page_old_checksum`.
pub(super) fn legacy_innodb_trailer(page: &[u8]) -> u32 {
    fold(&page[..KEY_VERSION_AT])
}

/// Computes the `crc32` checksum of a `ROW_FORMAT=COMPRESSED` page.
///
/// The LSN is left out. Source: `page_zip_calc_checksum`.
pub(super) fn zip_crc32(page: &[u8]) -> u32 {
    let [links, page_type, rest] = zip_ranges(page);
    crc32c(links) ^ crc32c(page_type) ^ crc32c(rest)
}

/// Computes the `innodb` checksum of a `ROW_FORMAT=COMPRESSED` page, an Adler-32 that starts with
/// 0 where zlib starts with 1.
///
/// Source: `page_zip_calc_checksum`.
pub(super) fn zip_adler32(page: &[u8]) -> u32 {
    let (mut low, mut high) = (0, 0);
    for range in zip_ranges(page) {
        // In 5552 bytes neither sum can overflow before it is reduced.
        for run in range.chunks(5552) {
            for byte in run {
                low += u32::from(*byte);
                high += low;
            }
            low %= ADLER_MODULUS;
            high %= ADLER_MODULUS;
        }
    }
    high << 16 | low
}

const ADLER_MODULUS: u32 = 65_521;

fn legacy_ranges(page: &[u8]) -> [&[u8]; 2] {
    [&page[NUMBER_AT..KEY_VERSION_AT], &page[BODY_AT..page.len() - TRAILER_BYTES]]
}

fn zip_ranges(page: &[u8]) -> [&[u8]; 3] {
    [&page[NUMBER_AT..LSN_AT], &page[TYPE_AT..KEY_VERSION_AT], &page[SPACE_AT..]]
}

/// Folds bytes into 32 bits. Source: `ut_fold_binary` and `ut_fold_ulint_pair`.
fn fold(bytes: &[u8]) -> u32 {
    const MASK: u32 = 0x573E_D587;
    const MASK_OF_PAIR: u32 = 0x6294_6A4F;
    bytes.iter().map(|byte| u32::from(*byte)).fold(0, |sum: u32, byte| {
        let mixed = (sum ^ byte ^ MASK_OF_PAIR) << 8;
        (mixed.wrapping_add(sum) ^ MASK).wrapping_add(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_the_check_value_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn fold_is_the_formula_written_out() {
        assert_eq!(fold(b""), 0);
        // (((f ^ b ^ 1653893711) << 8) + f ^ 1463735687) + b, begun with f = 0, in wider integers
        // of which the lower half counts.
        let steps = [7_u64, 0, 255, 128];
        let wide = steps.iter().fold(0_u64, |sum, byte| {
            let mixed = (sum ^ byte ^ 0x6294_6A4F) << 8;
            (mixed.wrapping_add(sum) ^ 0x573E_D587).wrapping_add(*byte)
        });
        assert_eq!(u64::from(fold(&[7, 0, 255, 128])), wide & 0xFFFF_FFFF);
    }

    #[test]
    fn adler32_of_a_page_is_that_of_zlib_but_for_its_start() {
        let page: Vec<u8> = (0..16_384_u32).map(|at| ((at * at) >> 3).to_le_bytes()[0]).collect();
        let covered = zip_ranges(&page).concat();
        let (mut low, mut high) = (0_u64, 0_u64);
        for byte in &covered {
            low = (low + u64::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        assert_eq!(u64::from(zip_adler32(&page)), high << 16 | low);
    }

    #[test]
    fn adler32_does_not_overflow_on_a_page_of_ones() {
        let page = vec![0xFF; 65_536];
        let bytes: u64 = 12 + 2 + (65_536 - 34);
        let low = bytes * 255 % 65_521;
        assert_eq!(u64::from(zip_adler32(&page) & 0xFFFF), low);
    }
}
