//! The choice of the previous map with which a member is compared.
//!
//! Normally the newest. But the nodes of a Galera cluster hold the same rows in physically
//! different files, so a backup that changes donors finds its like in an older snapshot. The first
//! blocks of a member are the sample: if half of them are unknown to the newest map, the older ones
//! are asked, and one that knows twice as many wins.

use std::sync::Arc;

use crate::base::num::u64_of;
use crate::hash::BlockHasher;
use crate::hash::is_zero;
use crate::map::view::MapView;

/// A member that is cut by content is long when its first segment is.
const LONG_BYTES: usize = 256 << 10;
/// Blocks of the sample.
const SAMPLE_MAX: usize = 64;
/// Blocks below which a sample says nothing.
const SAMPLE_MIN: usize = 16;

/// Returns the number of the previous map that fits a member's first blocks best; those of older
/// snapshots are asked for, and appended, if none of the newest fits.
pub fn choose(
    previous: &mut Vec<Arc<MapView>>,
    older: impl FnOnce() -> Vec<Arc<MapView>>,
    head: &[u8],
    block: usize,
    hasher: &BlockHasher,
) -> usize {
    if previous.is_empty() || head.len() < SAMPLE_MIN * block {
        return 0;
    }
    let sample = head.chunks_exact(block).take(SAMPLE_MAX);
    let named: Vec<_> = sample.map(|block| (!is_zero(block)).then(|| hasher.hash(block))).collect();
    let known = named.iter().flatten().count();
    let matches = |view: &MapView| {
        // A map that can't be read is no candidate.
        let Ok(Some(page)) = view.page(0, 0) else { return 0 };
        let pairs = named.iter().zip(&page.entries);
        pairs.filter(|(hash, entry)| **hash == Some(entry.hash)).count()
    };
    let newest = matches(&previous[0]);
    if newest * 2 >= known {
        return 0;
    }
    if !previous[1..].iter().any(|view| matches(view) * 2 >= known) {
        previous.extend(older());
    }
    let others = previous.iter().enumerate().skip(1).map(|(number, view)| (matches(view), number));
    let best = others.max_by_key(|(found, number)| (*found, std::cmp::Reverse(*number)));
    best.filter(|(found, _)| *found > 2 * newest).map_or(0, |(_, number)| number)
}

/// Appends the maps of older snapshots if a member that is cut by content was much shorter in the
/// newest, as the table of a dump is that was empty for a night.
pub fn look_behind_short(
    previous: &mut Vec<Arc<MapView>>,
    older: impl FnOnce() -> Vec<Arc<MapView>>,
    head: &[u8],
) {
    let longest = previous.iter().map(|view| view.record().length).max();
    if head.len() >= LONG_BYTES && longest.is_some_and(|longest| longest < u64_of(head.len()) / 2) {
        previous.extend(older());
    }
}
