//! Which of several former maps a member is compared with.
//!
//! Normally the newest. But the nodes of a Galera cluster hold the same rows in physically different files, so
//! a backup that changes donors finds its like in an older snapshot. The first segment of a member is the
//! sample: if half of it is unknown to the newest map, the older ones are asked, and one that knows twice as much wins.

use std::sync::atomic::Ordering;

use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::pipeline::segment::Member;

/// Blocks below which a sample says nothing.
const SAMPLE_MIN: usize = 16;

/// The entries of an older map that fits a member's first blocks much better than the newest, which is
/// thereby chosen for the rest of the member.
pub fn better_former(member: &Member, hashes: &[Option<BlockHash>]) -> Option<Vec<Entry>> {
    if member.former.len() < 2 || member.matcher.is_some() || hashes.len() < SAMPLE_MIN {
        return None;
    }
    let matches = |entries: &[Entry]| {
        let same = |(hash, entry): &(&Option<BlockHash>, &Entry)| **hash == Some(entry.hash);
        hashes.iter().zip(entries).filter(same).count()
    };
    let known = hashes.iter().flatten().count();
    let mut best: Option<(usize, Vec<Entry>)> = None;
    let mut newest = 0;
    for (number, view) in member.former.iter().enumerate() {
        // A map that can't be read is no candidate.
        let Ok(Some(page)) = view.page(0, 0) else { continue };
        let found = matches(&page.entries);
        if number == 0 {
            newest = found;
            if found * 2 >= known {
                return None;
            }
        } else if found > 2 * newest && best.as_ref().is_none_or(|(most, _)| found > *most) {
            member.chosen.store(number, Ordering::Relaxed);
            let first = page.entries.iter().take(hashes.len()).copied().collect();
            best = Some((found, first));
        }
    }
    best.map(|(_, entries)| entries)
}
