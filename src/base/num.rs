//! Conversions between the widths that this program uses, in one place and by name.
//!
//! The program runs on 64-bit machines only, so `usize` and `u64` have the same range. Narrowing is
//! never done here: use `try_from` and say what it means when it fails.

const _: () = assert!(usize::BITS == 64, "offsets and lengths of streams are held in usize");

/// Returns a length in memory as the `u64` that the format uses.
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn u64_of(length: usize) -> u64 {
    length as u64
}

/// A 64-bit number as an index into memory.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits, asserted above"
)]
pub const fn usize_of(number: u64) -> usize {
    number as usize
}

/// Returns a 32-bit number as an index into memory.
#[expect(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
pub const fn usize_of_u32(number: u32) -> usize {
    number as usize
}

/// Returns as a `u32` a length that a limit of the format keeps below 2^32.
pub fn u32_of(length: usize) -> u32 {
    u32::try_from(length).expect("the format's limits keep this below 2^32")
}
