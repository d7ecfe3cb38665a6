//! The objects that a generation of keys had sealed when it was retired, as hashes (FORMAT.md
//! 11.6).
//!
//! The list is no secret and is not sealed: its hash stands in every key slot of the next
//! generation, so it is what was written or it is nothing.

use std::collections::BTreeSet;

use crate::base::error::Malformed;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;

const WHAT: &str = "list of a retired generation";
const MAGIC: &[u8; 8] = b"HAULORET";
const VERSION: u16 = 1;

/// The objects in the repository when a generation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Id of the repository.
    pub repository: [u8; 16],
    /// The generation that ended.
    pub generation: u8,
    /// The hashes in the names of snapshots, notes, fences, removals and confirmations.
    pub hashes: BTreeSet<[u8; 32]>,
}

impl Retired {
    /// Returns the bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.repository);
        out.push(self.generation);
        out.extend_from_slice(&u32_of(self.hashes.len()).to_le_bytes());
        self.hashes.iter().for_each(|hash| out.extend_from_slice(hash));
        out
    }

    /// Reads the object, which must be exactly as it is written.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(WHAT, bytes);
        if input.array()? != *MAGIC {
            return Err(input.malformed("does not begin with HAULORET"));
        }
        if input.u16()? != VERSION {
            return Err(input.malformed("its version is unknown to this program"));
        }
        let (repository, generation) = (input.array()?, input.u8()?);
        let count = usize_of_u32(input.u32()?);
        let (listed, _) = input.take(input.left())?.as_chunks::<32>();
        let hashes: BTreeSet<[u8; 32]> = listed.iter().copied().collect();
        let read = Self { repository, generation, hashes };
        // One list has one spelling: sorted, each hash once, and nothing after them.
        if read.hashes.len() != count || read.encode() != bytes {
            return Err(input.malformed("is not as it is written"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Retired {
        Retired { repository: [1; 16], generation: 2, hashes: [[7; 32], [3; 32]].into() }
    }

    #[test]
    fn a_list_comes_back_and_has_one_spelling() {
        let bytes = list().encode();
        assert_eq!(Retired::decode(&bytes), Ok(list()));
        assert_eq!(bytes.len(), 31 + 2 * 32);
        for length in 0..bytes.len() {
            assert!(Retired::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Retired::decode(&[&bytes[..], &[0]].concat()).is_err());
        let swapped = [&bytes[..31], &bytes[63..], &bytes[31..63]].concat();
        assert!(Retired::decode(&swapped).is_err());
    }
}
