//! The source of randomness, as an argument.
//!
//! Keys, salts and ids need bytes that nobody can guess; tests need bytes that are the same every
//! time. Both are an [`Entropy`], so that no function reaches for chance on its own and every
//! format has golden bytes.
//!
//! Invariants:
//! - [`OsEntropy`] keeps no state in the process: a fork or a cloned virtual machine can't repeat
//!   what it gave before.
//! - `SeededEntropy`, which only tests have, gives the same bytes for the same seed and the same
//!   series of calls, for ever: golden files depend on it.
//!
//! It does not offer ranges, shuffles or distributions: a caller that needs them builds them.

#[cfg(any(test, feature = "internals"))]
mod seeded;

#[cfg(any(test, feature = "internals"))]
pub use crate::base::entropy::seeded::SeededEntropy;

use std::fmt::Debug;

/// A source of bytes for keys, salts and ids.
pub trait Entropy: Debug + Send + Sync {
    /// Overwrites all of `out`.
    fn fill(&self, out: &mut [u8]);
}

/// Gives an array of bytes from `entropy`.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The kernel's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        // There is no going on without it: a key that is not random is worse than a crash.
        getrandom::fill(out).expect("the operating system gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_series() {
        let (one, two) = (SeededEntropy::new(7), SeededEntropy::new(7));
        let first: [u8; 16] = random(&one);
        assert_eq!(first, random(&two));
        assert_ne!(first, random(&two), "a series moves on");
        assert_ne!(first, random(&SeededEntropy::new(8)));
    }

    #[test]
    fn the_operating_system_does_not_repeat_itself() {
        let first: [u8; 32] = random(&OsEntropy);
        assert_ne!(first, random(&OsEntropy));
        OsEntropy.fill(&mut []);
    }
}
