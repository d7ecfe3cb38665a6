//! Content-defined cuts: a keyed gear hash with normalised chunking. No I/O.
//!
//! Page files are cut at multiples of their block size, which needs no code. Everything else is cut
//! where its content says so, so that an insertion moves two cuts instead of all that follow.
//!
//! The method is FastCDC (Xia et al., USENIX ATC 2016): a rolling sum of per-byte random numbers, a
//! harder condition before the average size and an easier one after it. The random numbers derive
//! from the repository's cut key, so that sizes of blocks reveal nothing without it. The
//! `fastcdc` crate is not used because its numbers are public constants.

use crate::base::num::usize_of_u32;
use crate::format::config::CutSizes;

/// Bits by which the condition is harder before the average size and easier after it.
const NORMALISATION_BITS: u32 = 2;

/// Finds the cuts of one repository.
#[derive(Clone)]
pub struct Cutter {
    gear: Box<[u64; 256]>,
    min: usize,
    average: usize,
    max: usize,
    mask_hard: u64,
    mask_easy: u64,
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter")
            .field("min", &self.min)
            .field("average", &self.average)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl Cutter {
    /// Creates a cutter with the repository's cut key and sizes.
    pub fn new(key: &[u8; 32], sizes: CutSizes) -> Self {
        let mut gear = Box::new([0; 256]);
        let mut random = blake3::Hasher::new_keyed(key).finalize_xof();
        for number in gear.iter_mut() {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            *number = u64::from_le_bytes(bytes);
        }
        let bits = sizes.average.trailing_zeros();
        Self {
            gear,
            min: usize_of_u32(sizes.min),
            average: usize_of_u32(sizes.average),
            max: usize_of_u32(sizes.max),
            mask_hard: high_bits(bits + NORMALISATION_BITS),
            mask_easy: high_bits(bits - NORMALISATION_BITS),
        }
    }

    /// Returns the size of the block that begins with `window`; `None` if more bytes are needed to
    /// decide.
    pub fn next_cut(&self, window: &[u8]) -> Option<usize> {
        let end = window.len().min(self.max);
        let mut sum = 0u64;
        let hard_until = end.min(self.average);
        let mut at = self.min.min(end);
        for (mask, until) in [(self.mask_hard, hard_until), (self.mask_easy, end)] {
            while at < until {
                sum = (sum << 1).wrapping_add(self.gear[usize::from(window[at])]);
                at += 1;
                if sum & mask == 0 {
                    return Some(at);
                }
            }
        }
        (end == self.max).then_some(end)
    }
}

/// Returns a mask of the highest bits: they depend on the last 64 bytes, the low ones on the last
/// few only.
fn high_bits(count: u32) -> u64 {
    !(u64::MAX >> count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::config::CUT_SIZES;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut out);
        out
    }

    fn cuts(cutter: &Cutter, data: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut cuts = Vec::new();
        while at < data.len() {
            at += cutter.next_cut(&data[at..]).unwrap_or(data.len() - at);
            cuts.push(at);
        }
        cuts
    }

    #[test]
    fn sizes_keep_their_bounds_and_their_average() {
        let cutter = Cutter::new(&[1; 32], CUT_SIZES);
        let data = noise(32 << 20);
        let cuts = cuts(&cutter, &data);
        let sizes: Vec<usize> =
            std::iter::once(0).chain(cuts.iter().copied()).zip(&cuts).map(|(a, b)| b - a).collect();
        let (_, inner) = sizes.split_last().unwrap();
        let (min, max) = (usize_of_u32(CUT_SIZES.min), usize_of_u32(CUT_SIZES.max));
        assert!(inner.iter().all(|size| (min..=max).contains(size)));
        let average = data.len() / sizes.len();
        assert!((28 << 10..48 << 10).contains(&average), "average {average}");
    }

    #[test]
    fn an_insertion_moves_few_cuts() {
        let cutter = Cutter::new(&[1; 32], CUT_SIZES);
        let data = noise(8 << 20);
        let mut changed = data.clone();
        changed.splice(1_000_000..1_000_000, *b"inserted");
        let before = cuts(&cutter, &data);
        let moved: Vec<usize> = cuts(&cutter, &changed)
            .iter()
            .map(|cut| if *cut > 1_000_000 { cut - 8 } else { *cut })
            .collect();
        let kept = before.iter().filter(|cut| moved.contains(cut)).count();
        assert!(kept + 4 > before.len(), "{kept} of {} cuts kept", before.len());
    }

    #[test]
    fn cuts_for_a_key_never_change() {
        let cutter = Cutter::new(&[7; 32], CUT_SIZES);
        assert_eq!(cuts(&cutter, &noise(1 << 18)), GOLDEN);
        assert_ne!(cuts(&Cutter::new(&[8; 32], CUT_SIZES), &noise(1 << 18)), GOLDEN);
    }

    /// Cuts of 256 KiB of BLAKE3 output of "noise" under the key of 32 sevens.
    const GOLDEN: [usize; 7] = [33052, 70379, 114_534, 153_010, 196_692, 247_141, 262_144];
}
