//! Randomness that tests can repeat; golden files depend on what it gives.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::base::entropy::Entropy;

/// Repeatable bytes for tests. Never for keys that protect anything.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    calls: AtomicU64,
}

impl SeededEntropy {
    /// Starts the series named by `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, calls: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new_derive_key("haulout 1 2026 entropy for tests");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&call.to_le_bytes());
        hasher.finalize_xof().fill(out);
    }
}
