//! The trailer of a page of a `full_crc32` tablespace, computed from the bytes before it.
//!
//! It repeats the lower half of the page's LSN and has a checksum of all bytes before. Both are
//! new whenever the page changes, and no compressor can guess them: they are a twentieth of what a
//! night's changed page costs. So deltas leave them out where they are what is computed here, and
//! a reader adds them again.
//!
//! - Whatever the page is, it is left out only if it comes back.

use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::u32_at;
use crate::innodb::checksum::crc32c;
use crate::innodb::header::LSN_LOW_AT;
use crate::innodb::header::TRAILER_BYTES;
use crate::innodb::header::TYPE_AT;

/// Bytes of a trailer.
pub const BYTES: usize = TRAILER_BYTES;
/// The shortest page that has one that can be computed.
pub const PAGE_BYTES_MIN: usize = TYPE_AT + BYTES;

/// Tells whether the last bytes of a page are what [`restore`] makes of the bytes before them.
pub fn is_computable(page: &[u8]) -> bool {
    if page.len() < PAGE_BYTES_MIN {
        return false;
    }
    let (lsn_at, crc_at) = places(page);
    page[LSN_LOW_AT..TYPE_AT] == page[lsn_at..crc_at]
        && u32_at(page, crc_at) == crc32c(&page[..crc_at])
}

/// Writes the last bytes of a page, computed from those before them.
///
/// # Panics
///
/// If the page is shorter than [`PAGE_BYTES_MIN`].
pub fn restore(page: &mut [u8]) {
    let (lsn_at, crc_at) = places(page);
    page.copy_within(LSN_LOW_AT..TYPE_AT, lsn_at);
    let crc = crc32c(&page[..crc_at]);
    put_u32(page, crc_at, crc);
}

/// Returns the places of the LSN's lower half and of the checksum.
fn places(page: &[u8]) -> (usize, usize) {
    (page.len() - BYTES, page.len() - size_of::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(bytes: usize) -> Vec<u8> {
        let mut page: Vec<u8> = (0..bytes).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        restore(&mut page);
        page
    }

    #[test]
    fn a_trailer_that_was_computed_comes_back() {
        for bytes in [PAGE_BYTES_MIN, 4096, 16384] {
            let page = page(bytes);
            assert!(is_computable(&page));
            let mut back = page.clone();
            back[bytes - BYTES..].fill(0);
            restore(&mut back);
            assert_eq!(back, page);
        }
    }

    #[test]
    fn any_other_trailer_is_kept() {
        let page = page(4096);
        for at in [0, 20, 100, 4087, 4088, 4092, 4095] {
            let mut other = page.clone();
            other[at] ^= 1;
            assert!(!is_computable(&other), "{at}");
        }
        assert!(!is_computable(&page[..PAGE_BYTES_MIN - 1]));
        assert!(!is_computable(&[]));
    }

    #[test]
    fn the_trailer_never_changes() {
        // It is what repositories leave out. The checksum is the check value of the catalogue.
        let mut page = vec![0; 44];
        page[20..24].copy_from_slice(b"1234");
        restore(&mut page);
        assert_eq!(page[36..40], *b"1234");
        assert_eq!(u32_at(&page, 40), crc32c(&page[..40]));
    }
}
