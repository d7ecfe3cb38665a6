//! The cost of guessing a passphrase, and the costs that are accepted.
//!
//! It holds numbers and does not stretch: see `key_slot`.

use std::fmt;
use std::ops::RangeInclusive;

/// The Argon2id parameters, which set the work of one guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory for one guess, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that could run side by side.
    pub lanes: u32,
}

impl KdfCost {
    /// The cost for passphrases: RFC 9106, the choice for hosts with little memory.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The cost for a recovery kit, which may be stolen and guessed at leisure.
    pub const RECOVERY_KIT: Self = Self { memory_kib: 256 << 10, passes: 3, lanes: 4 };
    /// The cost for tests that open many key slots; [`Limits::STANDARD`] refuses it.
    #[cfg(any(test, feature = "internals"))]
    pub const FOR_TESTS: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };

    pub(super) const NONE: Self = Self { memory_kib: 0, passes: 0, lanes: 0 };
}

impl fmt::Display for KdfCost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, passes, lanes } = self;
        write!(out, "m={memory_kib} KiB, t={passes}, p={lanes}")
    }
}

/// The costs that are accepted when a key slot is opened.
///
/// They come from bytes that anyone with access to the store may have written: too little is a
/// trap for the next passphrase, too much is an attack on this host.
#[derive(Debug, Clone)]
pub struct Limits {
    memory_kib: RangeInclusive<u32>,
    passes: RangeInclusive<u32>,
    lanes: RangeInclusive<u32>,
}

impl Limits {
    /// Accepts 64 MiB to 4 GiB, at most 16 passes, at most 16 lanes.
    pub const STANDARD: Self =
        Self { memory_kib: 64 << 10..=4 << 20, passes: 1..=16, lanes: 1..=16 };
    /// Accepts [`KdfCost::FOR_TESTS`] and nothing expensive.
    #[cfg(any(test, feature = "internals"))]
    pub const FOR_TESTS: Self = Self { memory_kib: 8..=64 << 10, passes: 1..=3, lanes: 1..=4 };

    /// Tells whether a cost is accepted.
    pub(super) fn accepts(&self, cost: KdfCost) -> bool {
        self.memory_kib.contains(&cost.memory_kib)
            && self.passes.contains(&cost.passes)
            && self.lanes.contains(&cost.lanes)
    }
}
