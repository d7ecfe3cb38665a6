//! The header that every InnoDB page begins with, and where its fields lie.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | first checksum; in `full_crc32` files the encryption key version |
//! | 4 | 4 | page number |
//! | 8 | 8 | previous and next page |
//! | 16 | 8 | LSN of the last change |
//! | 24 | 2 | page type |
//! | 26 | 4 | in older formats the encryption key version |
//! | 30 | 4 | in older formats the checksum of the encrypted page |
//! | 34 | 4 | tablespace id |
//! | 38 | | body |
//!
//! All but `ROW_FORMAT=COMPRESSED` pages end with a trailer of eight bytes, a checksum and the low
//! half of the LSN; `full_crc32` has them in the other order.
//!
//! - Every field keeps its place in every format, what differs is which of them are meaningful.
//! - Encryption leaves the header alone except that in `full_crc32` files it begins at byte 26.
//!
//! This file reads fields; it does not judge them.
//!
//! Source: `FIL_PAGE_*` in the server's `fil0fil.h`.

use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::units::Lsn;
use crate::innodb::units::PageNumber;
use crate::innodb::units::SpaceId;

pub(super) const CHECKSUM_AT: usize = 0;
pub(super) const NUMBER_AT: usize = CHECKSUM_AT + 4;
pub(super) const PREVIOUS_AT: usize = NUMBER_AT + 4;
pub(super) const NEXT_AT: usize = PREVIOUS_AT + 4;
pub(super) const LSN_AT: usize = NEXT_AT + 4;
pub(super) const LSN_LOW_AT: usize = LSN_AT + 4;
pub(super) const TYPE_AT: usize = LSN_AT + 8;
pub(super) const KEY_VERSION_AT: usize = TYPE_AT + 2;
pub(super) const ENCRYPTED_CHECKSUM_AT: usize = KEY_VERSION_AT + 4;
pub(super) const SPACE_AT: usize = ENCRYPTED_CHECKSUM_AT + 4;
pub(super) const BODY_AT: usize = SPACE_AT + 4;

/// The checksum and the LSN half at the end of a page.
pub(super) const TRAILER_BYTES: usize = 8;

/// Reads the number that a page gives itself.
pub(super) fn number(page: &[u8]) -> PageNumber {
    PageNumber::new(u32_at(page, NUMBER_AT))
}

/// Reads the tablespace that a page says it belongs to.
pub(super) fn space(page: &[u8]) -> SpaceId {
    SpaceId::new(u32_at(page, SPACE_AT))
}

/// Reads the LSN of the last change to a page.
pub(super) fn lsn(page: &[u8]) -> Lsn {
    Lsn::new(u64_at(page, LSN_AT))
}

/// Reads the type of a page.
pub(super) fn page_type(page: &[u8]) -> u16 {
    u16_at(page, TYPE_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_table_says() {
        let table = include_str!("header.rs");
        let fields = [
            (CHECKSUM_AT, 4),
            (NUMBER_AT, 4),
            (PREVIOUS_AT, 8),
            (LSN_AT, 8),
            (TYPE_AT, 2),
            (KEY_VERSION_AT, 4),
            (ENCRYPTED_CHECKSUM_AT, 4),
            (SPACE_AT, 4),
        ];
        for (at, bytes) in fields {
            assert!(table.contains(&format!("//! | {at} | {bytes} | ")), "{at}");
        }
        assert!(table.contains(&format!("//! | {BODY_AT} | | body |")));
    }
}
