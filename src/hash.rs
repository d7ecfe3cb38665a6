//! From bytes to a name: the keyed hash of a block, and the test for a block of zeros.
//!
//! Whole packs are hashed by one core each, without the `rayon` feature of blake3, which would put
//! all cores on one pack. `verify --depth stored` of 1.19 GiB in packs of 32 MiB on 2 processors,
//! medians of 7 runs from the page cache and of 3 from the disk:
//!
//! | cores for a pack | workers | packs in memory | cached, s | disk, s | peak, MiB |
//! |---|---|---|---|---|---|
//! | one | 2 | 1 | 0.55 | 1.52 | 44 |
//! | both | 2 | 1 | 0.44 | 1.38 | 44 |
//! | one | 8 | 2 | 0.30 | 1.31 | 74 |
//! | both | 8 | 1 | 0.45 | 1.37 | 44 |
//!
//! Hashing takes 0.24 s of processor time, reading 0.30 s from the page cache and 1.2 s from the
//! disk. A second pack in memory lets one be read while the other is hashed, which more cores for
//! one pack do not: 30 MiB less memory, and half as much time again from the cache. Where only one
//! fits, they save a tenth of a second for each GiB. A backup of 1.36 GB hashes its packs in 0.22 s
//! of 5.7 s of processor time, and as long with `rayon`: a pack is hashed in small pieces as it
//! grows.

use crate::base::ids::BlockHash;

/// Names blocks under the block hash key of one repository.
#[derive(Clone)]
pub struct BlockHasher {
    key: [u8; 32],
}

impl std::fmt::Debug for BlockHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockHasher(key hidden)")
    }
}

impl BlockHasher {
    /// Creates a hasher with the repository's block hash key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Returns the first bytes of the block's keyed BLAKE3, which are its name.
    pub fn hash(&self, block: &[u8]) -> BlockHash {
        let full = blake3::keyed_hash(&self.key, block);
        BlockHash(*full.as_bytes().first_chunk().expect("BLAKE3 gives 32 bytes"))
    }
}

/// Tells whether every byte is zero.
pub fn is_zero(block: &[u8]) -> bool {
    const STRIDE: usize = 128;
    // Nearly every block that is not zero shows it in its first bytes; the rest of the loop is for
    // the compiler to turn into wide ORs.
    let (strides, rest) = block.as_chunks::<STRIDE>();
    strides.iter().all(|stride| stride.iter().fold(0, |sum, byte| sum | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_set_bit_is_seen_wherever_it_is() {
        for length in [0, 1, 127, 128, 1000, 16384] {
            let mut block = vec![0; length];
            assert!(is_zero(&block));
            for at in (0..length).step_by(97) {
                block[at] = 4;
                assert!(!is_zero(&block), "byte {at} of {length}");
                block[at] = 0;
            }
        }
    }

    #[test]
    fn the_hash_depends_on_the_key() {
        let hash = BlockHasher::new([1; 32]).hash(b"page");
        assert_ne!(hash, BlockHasher::new([2; 32]).hash(b"page"));
        assert_eq!(hash, BlockHasher::new([1; 32]).hash(b"page"));
    }
}
