//! Memory for the bases that a coder of deltas refers to.
//!
//! A context of zstd that refers to a base can't outlive it, and making a context takes longer than
//! a delta: where the `cpuid` instruction is emulated, as in most virtual machines, by far. So
//! bases are kept for as long as their coder, and given up together with it after some MiB.

use std::cell::Cell;
use std::cell::OnceCell;
use std::sync::Arc;

/// Bases that are kept until all of them are dropped.
#[derive(Debug)]
pub struct KeptBases {
    places: Vec<OnceCell<Arc<Vec<u8>>>>,
    taken: Cell<usize>,
    bytes: Cell<usize>,
}

impl KeptBases {
    /// Creates memory for at most this many bases.
    pub fn new(count_max: usize) -> Self {
        let places = (0..count_max).map(|_| OnceCell::new()).collect();
        Self { places, taken: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Keeps a base.
    ///
    /// # Panics
    ///
    /// If there is no place for it.
    pub fn keep(&self, base: Arc<Vec<u8>>) -> &[u8] {
        let place = self.places.get(self.taken.get()).expect("there is a place for each base");
        self.taken.set(self.taken.get() + 1);
        self.bytes.set(self.bytes.get() + base.len());
        place.get_or_init(|| base)
    }

    /// Returns the number of bases that can still be kept.
    pub fn room(&self) -> usize {
        self.places.len() - self.taken.get()
    }

    /// Returns the bytes of all bases that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_stay_while_others_are_added() {
        let kept = KeptBases::new(100);
        let slices: Vec<&[u8]> = (0..100).map(|n| kept.keep(Arc::new(vec![n; 10]))).collect();
        assert!((0..).zip(slices).all(|(n, slice)| slice == [n; 10]));
        assert_eq!((kept.room(), kept.bytes()), (0, 1000));
    }
}
