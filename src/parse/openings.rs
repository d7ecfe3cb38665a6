//! Counts how often each path of a stream was opened, in a few bytes a path.
//!
//! The paths themselves are not kept but one 64-bit hash of each, keyed by a secret of the caller
//! so that collisions can't be forced. Two paths that collide by chance (3 in a million for 10
//! million paths) make a first incarnation look like a second: the member is still unique under its
//! key.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use crate::parse::item::Incarnation;
use crate::parse::path::HashedAlready;
use crate::parse::path::PathSeed;

/// Every path that was ever opened, as hashes, and how often.
#[derive(Debug)]
pub(crate) struct Openings {
    seed: PathSeed,
    /// Paths opened at least once: nearly all of them, so without a counter.
    once: HashSet<u64, BuildHasherDefault<HashedAlready>>,
    /// The last incarnation of the few others.
    often: HashMap<u64, u32, BuildHasherDefault<HashedAlready>>,
}

impl Openings {
    /// Begins to count. `seed` must be random, and secret while the stream is read.
    pub(crate) fn new(seed: PathSeed) -> Self {
        Self { seed, once: HashSet::default(), often: HashMap::default() }
    }

    /// Counts an opening of `path`; `None` if it was opened 2^32 times before.
    pub(crate) fn next(&mut self, path: &[u8]) -> Option<Incarnation> {
        let hash = self.seed.hash(path);
        if self.once.insert(hash) {
            return Some(Incarnation::new(0));
        }
        let last = self.often.entry(hash).or_insert(0);
        *last = last.checked_add(1)?;
        Some(Incarnation::new(*last))
    }

    /// Tells whether `path` can't be opened again.
    pub(crate) fn is_exhausted(&self, path: &[u8]) -> bool {
        self.often.get(&self.seed.hash(path)) == Some(&u32::MAX)
    }
}
