//! The words of InnoDB as types: page numbers, tablespace ids, log sequence numbers, page sizes.
//!
//! All four are small integers, and mixing them up compiles unless they are types of their own.
//!
//! - A [`PageSize`] is a power of two from 1 KiB to 64 KiB, so sizes never need a check again.
//! - [`PageNumber::NONE`] is InnoDB's null and never the number of a page.
//!
//! They do no arithmetic beyond what a walk over the pages of a file needs.

use std::fmt;

/// The number of a page within its tablespace, counted from 0 across all files of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNumber(u32);

impl PageNumber {
    /// The page that carries the tablespace flags.
    pub const FIRST: Self = Self(0);
    /// The number that InnoDB writes where there is no page (`FIL_NULL`).
    pub const NONE: Self = Self(u32::MAX);

    /// Wraps a number read from a page or counted in a file.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the bare number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number of the page that stands `pages` after this one, unless no page can have
    /// it.
    pub fn checked_add(self, pages: u32) -> Option<Self> {
        let number = Self(self.0.checked_add(pages)?);
        (number != Self::NONE).then_some(number)
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The id of a tablespace, unique within a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(u32);

impl SpaceId {
    /// The system tablespace, `ibdata1` and its continuations.
    pub const SYSTEM: Self = Self(0);

    /// Wraps an id read from a page or from a `.meta` file.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// Returns the bare id.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A log sequence number: a byte position in the redo log since the server was initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Wraps a number read from a page, the redo log or a checkpoints file.
    pub const fn new(lsn: u64) -> Self {
        Self(lsn)
    }

    /// Returns the bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The bytes that a page occupies in its file: a power of two from 1 KiB to 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize {
    shift: u8,
}

/// The bytes of the largest page.
pub(super) const PAGE_BYTES_MAX: usize = 1 << PageSize::SHIFT_MAX;

impl PageSize {
    const SHIFT_MIN: u8 = 10;
    const SHIFT_MAX: u8 = 16;

    /// The default of `innodb_page_size`.
    pub const KIB_16: Self = Self { shift: 14 };

    /// Takes the binary logarithm of the size, 10 to 16.
    pub const fn from_shift(shift: u8) -> Option<Self> {
        if shift < Self::SHIFT_MIN || shift > Self::SHIFT_MAX {
            return None;
        }
        Some(Self { shift })
    }

    /// Takes a size in bytes.
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        let shift = u8::try_from(bytes.checked_ilog2()?).ok()?;
        Self::from_shift(shift).filter(|_| bytes.is_power_of_two())
    }

    /// Returns the binary logarithm of the size.
    pub const fn shift(self) -> u8 {
        self.shift
    }

    /// Returns the size in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.shift
    }

    /// Counts the pages of an extent, the unit in which a tablespace grows.
    ///
    /// Source: `FSP_EXTENT_SIZE`, 1 MiB up to pages of 16 KiB and 64 pages above.
    pub(super) const fn pages_per_extent(self) -> u32 {
        if self.shift <= Self::KIB_16.shift { 1 << (20 - self.shift) } else { 64 }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} KiB", self.bytes() / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_within_the_range_are_page_sizes() {
        for shift in 10..=16 {
            let size = PageSize::from_bytes(1 << shift).expect("within the range");
            assert_eq!(size.bytes(), 1 << shift);
            assert_eq!(PageSize::from_shift(size.shift()), Some(size));
        }
        for bytes in [0, 1, 512, 1023, 1025, 16_383, 24_576, 131_072, u32::MAX] {
            assert_eq!(PageSize::from_bytes(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn an_extent_has_the_documented_number_of_pages() {
        let extents = [(4096, 256), (8192, 128), (16_384, 64), (32_768, 64), (65_536, 64)];
        for (bytes, pages) in extents {
            let size = PageSize::from_bytes(bytes).expect("a page size");
            assert_eq!(size.pages_per_extent(), pages, "{size}");
        }
    }

    #[test]
    fn no_sum_of_page_numbers_is_the_null_number() {
        let last = PageNumber::new(u32::MAX - 1);
        assert_eq!(last.checked_add(0), Some(last));
        assert_eq!(last.checked_add(1), None);
        assert_eq!(last.checked_add(2), None);
    }
}
