//! The random names that sealed things are bound to.
//!
//! Each id is its own type, so that a run can't be looked up as a key slot. They are random, say
//! nothing about hosts or times, and have one spelling: lower-case hexadecimal.
//!
//! They are no secrets and give no protection by themselves: they are what associated data name.

use std::fmt;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::hex;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Width of the id in bytes.
            pub const BYTES: usize = $bytes;

            /// Creates an id from bytes that were read.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Generates a random id.
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(random(entropy))
            }

            /// Returns the bytes as they are stored.
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&hex::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

random_id! {
    /// Names a repository; drawn once, when it is made.
    RepositoryId, 16
}
random_id! {
    /// Names a run: one execution of a verb that writes.
    RunId, 16
}
impl RunId {
    /// Generates the id of a run that stores blocks and puts no snapshot, a compaction or a repair:
    /// 8 random bytes, then the first 8 of their BLAKE3. Nothing else tells later that no snapshot
    /// is missing for the packs with this id.
    pub fn without_snapshot(entropy: &dyn Entropy) -> Self {
        let mut id = [0; Self::BYTES];
        let (own, sum) = id.split_at_mut(Self::BYTES / 2);
        own.copy_from_slice(&random::<{ Self::BYTES / 2 }>(entropy));
        sum.copy_from_slice(&blake3::hash(own).as_bytes()[..Self::BYTES / 2]);
        Self(id)
    }

    /// Tells whether it is the id of a run that puts no snapshot.
    pub fn puts_no_snapshot(&self) -> bool {
        let (own, sum) = self.0.split_at(Self::BYTES / 2);
        blake3::hash(own).as_bytes().starts_with(sum)
    }
}
random_id! {
    /// Names a key slot of the repository.
    KeySlotId, 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    #[test]
    fn the_id_of_a_run_without_a_snapshot_is_told_from_others() {
        let entropy = SeededEntropy::new(1);
        let id = RunId::without_snapshot(&entropy);
        assert!(id.puts_no_snapshot() && id != RunId::without_snapshot(&entropy));
        assert!((0..100).all(|_| !RunId::random(&entropy).puts_no_snapshot()));
    }

    #[test]
    fn an_id_is_spelled_in_lower_case() {
        let all_ab = "KeySlotId(abababababababababababababababab)";
        assert_eq!(format!("{:?}", KeySlotId::new([0xab; 16])), all_ab);
    }
}
