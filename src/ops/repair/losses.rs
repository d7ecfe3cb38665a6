//! What can't be had back, counted: in how many snapshots, tables and files, pages and bytes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::ids::SnapshotId;
use crate::ops::verify::Finding;
use crate::ops::verify::RANGES_MAX;
use crate::ops::verify::Unit;

/// What is lost in some snapshots. A page that several share counts in each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Snapshots that lack something, each with the number of files of it that lack blocks.
    pub snapshots: BTreeMap<SnapshotId, u64>,
    /// Number of different files: tables, mostly.
    pub files: u64,
    /// Number of lost pages.
    pub pages: u64,
    /// Number of lost bytes of files that have no pages.
    pub bytes: u64,
    /// There are more pages or bytes than were counted.
    pub is_more: bool,
}

impl Losses {
    /// Counts what a verification found.
    pub fn of(findings: &[Finding]) -> Self {
        let mut losses = Self::default();
        let mut files: BTreeSet<&str> = BTreeSet::new();
        for finding in findings {
            let Some(snapshot) = finding.snapshot else { continue };
            let lost = losses.snapshots.entry(snapshot).or_default();
            let Some(member) = &finding.member else {
                // Its maps can't be read, so the number of bytes is not known.
                losses.is_more = true;
                continue;
            };
            *lost += 1;
            files.insert(member);
            let count: u64 = finding.ranges.iter().map(|(_, count)| count).sum();
            match finding.unit {
                Unit::Pages => losses.pages += count,
                Unit::Bytes => losses.bytes += count,
            }
            losses.is_more |= finding.ranges.len() >= RANGES_MAX || finding.ranges.is_empty();
        }
        losses.files = files.len().try_into().unwrap_or(u64::MAX);
        losses
    }

    /// Tells whether no snapshot lacks anything.
    pub fn are_none(&self) -> bool {
        self.snapshots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_by_snapshot_file_page_and_byte() {
        let [first, second] = [1, 2].map(|n| Some(SnapshotId([n; 32])));
        let of = |snapshot, member: &str, unit, ranges: &[(u64, u64)]| Finding {
            snapshot,
            member: Some(member.to_owned()),
            unit,
            ranges: ranges.to_vec(),
            what: "lost".to_owned(),
        };
        let mut findings = vec![
            Finding { what: "packs/ab is not there".to_owned(), ..Finding::default() },
            of(first, "shop/a.ibd", Unit::Pages, &[(3, 1), (7, 3)]),
            of(first, "aria_log", Unit::Bytes, &[(0, 4096)]),
            of(second, "shop/a.ibd", Unit::Pages, &[(3, 1)]),
        ];
        let losses = Losses::of(&findings);
        assert_eq!((losses.files, losses.pages, losses.bytes), (2, 5, 4096));
        assert_eq!(losses.snapshots.values().collect::<Vec<_>>(), [&2, &1]);
        assert!(!losses.is_more && !losses.are_none());
        findings.push(Finding { snapshot: second, ..Finding::default() });
        assert!(Losses::of(&findings).is_more);
        assert!(Losses::of(&findings[..1]).are_none());
    }
}
