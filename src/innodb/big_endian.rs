//! Reads the big-endian integers of InnoDB at fixed positions.
//!
//! Everything that haulout writes is little-endian, so big-endian conversions are denied elsewhere
//! by lint. InnoDB is big-endian throughout: this file is where that is allowed.
//!
//! Positions are constants derived from page layouts, so a position beyond the bytes is a mistake
//! of the caller and panics; callers check lengths before they read.

#![expect(clippy::big_endian_bytes, reason = "InnoDB stores its integers big-endian")]

/// Reads two bytes as a big-endian number; panics if `bytes` ends before.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array_at(bytes, at))
}

/// Reads four bytes as a big-endian number; panics if `bytes` ends before.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

/// Reads eight bytes as a big-endian number; panics if `bytes` ends before.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers read within bytes whose length they have checked")
}

/// Writes two bytes as a big-endian number; panics if `bytes` ends before.
pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + size_of_val(&value)].copy_from_slice(&value.to_be_bytes());
}

/// Writes four bytes as a big-endian number; panics if `bytes` ends before.
pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + size_of_val(&value)].copy_from_slice(&value.to_be_bytes());
}

/// Writes eight bytes, to make pages for tests.
#[cfg(test)]
pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + size_of_val(&value)].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_significant_byte_comes_first() {
        let bytes = [0xAA, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u16_at(&bytes, 1), 0x0102);
        assert_eq!(u32_at(&bytes, 1), 0x0102_0304);
        assert_eq!(u64_at(&bytes, 1), 0x0102_0304_0506_0708);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = [0; 14];
        put_u16(&mut bytes, 0, 0x0102);
        put_u32(&mut bytes, 2, 0x0304_0506);
        put_u64(&mut bytes, 6, 0x0708_090A_0B0C_0D0E);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    }
}
