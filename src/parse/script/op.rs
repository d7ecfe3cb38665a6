//! The bits of an op byte in the script of an mbstream.

/// Bits of the kind.
pub(super) const KIND_MASK: u8 = 0b0000_0111;
pub(super) const PAYLOAD: u8 = 0;
pub(super) const SPARSE: u8 = 1;
pub(super) const END: u8 = 2;
pub(super) const SEEK: u8 = 3;
pub(super) const RENAME: u8 = 4;
pub(super) const REMOVE: u8 = 5;
pub(super) const LITERAL: u8 = 6;
pub(super) const CONTROL: u8 = 7;

/// Bits of the target.
pub(super) const TARGET_MASK: u8 = 0b0001_1000;
pub(super) const TARGET_SAME: u8 = 0 << 3;
pub(super) const TARGET_SLOT: u8 = 1 << 3;
pub(super) const TARGET_FIRST: u8 = 2 << 3;
pub(super) const TARGET_AGAIN: u8 = 3 << 3;

pub(super) const HAS_OFFSET: u8 = 1 << 5;
pub(super) const HAS_FLAGS: u8 = 1 << 6;
pub(super) const CLOSES: u8 = 1 << 7;

pub(super) const FINISH: u8 = CONTROL;
pub(super) const CUT: u8 = CONTROL | (1 << 3);
