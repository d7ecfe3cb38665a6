//! How long ago everything was verified that snapshots need.
//!
//! A pack that was never verified is as old as it is stored, if that is known: a run reads back
//! what it is about to put, so what it stores is right when it leaves, and nothing has looked at it
//! since. So a new pack is due when an old one that was verified at that time is.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::ops::verify::depth::Depth;
use crate::ops::verify::ledger::Ledger;
use crate::ops::verify::needed::Needed;
use crate::ops::verify::needed::PackBits;
use crate::ops::verify::tables::Tables;
use crate::repo::inventory::Objects;
use crate::repo::snapshots::StoredSnapshot;

/// How long ago the packs were verified that snapshots need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ages {
    /// The packs, by the time since which nothing has verified them, in seconds since 1970: that of
    /// their last verification or, without one, since when they are stored; 0 if that is unknown.
    pub since: BTreeMap<u64, Objects>,
    /// Packs that were never verified to the depth.
    pub never: Objects,
    /// The pack that nothing has verified for the longest time.
    pub oldest: Option<Oldest>,
    /// Snapshots of which it is not known what they need.
    pub unknown: Vec<SnapshotId>,
}

/// The pack that nothing has verified for the longest time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oldest {
    /// The name of the pack.
    pub pack: PackName,
    /// The newest snapshot that needs it.
    pub snapshot: SnapshotId,
    /// When it was verified to the depth, seconds since 1970; `None` if it never was.
    pub verified: Option<u64>,
    /// Since when it is stored; `None` if that is not known.
    pub stored: Option<u64>,
}

impl Ages {
    pub(super) fn of(
        ledger: &Ledger<'_>,
        tables: &Tables,
        needed: &Needed,
        snapshots: &[StoredSnapshot],
        depth: Depth,
    ) -> Self {
        let mut ages = Self::default();
        let mut oldest: Option<(u64, usize)> = None;
        for pack in needed.all.iter() {
            let bytes = tables.bytes(pack);
            let verified = ledger.time(pack, depth);
            if verified.is_none() {
                ages.never.add(bytes);
            }
            let since = verified.unwrap_or_default().max(tables.stored(pack));
            ages.since.entry(since).or_default().add(bytes);
            if oldest.is_none_or(|(time, _)| since < time) {
                oldest = Some((since, pack));
            }
        }
        for (stored, packs) in snapshots.iter().zip(&needed.each) {
            if packs.is_none() {
                ages.unknown.push(stored.id());
            }
        }
        let needs =
            |pack, packs: &Option<PackBits>| packs.as_ref().is_some_and(|packs| packs.has(pack));
        ages.oldest = oldest.and_then(|(_, pack)| {
            let newest = needed.each.iter().position(|packs| needs(pack, packs))?;
            Some(Oldest {
                pack: tables.name(pack),
                snapshot: snapshots[newest].id(),
                verified: ledger.time(pack, depth),
                stored: Some(tables.stored(pack)).filter(|time| *time > 0),
            })
        });
        ages
    }

    /// Returns all packs that snapshots need.
    pub fn all(&self) -> Objects {
        sum(self.since.values())
    }

    /// Returns the packs that nothing has verified for longer than this.
    pub fn older_than(&self, age: Duration, now: u64) -> Objects {
        match now.checked_sub(age.as_secs()) {
            Some(first) => sum(self.since.range(..first).map(|(_, packs)| packs)),
            // Nothing is older than time.
            None => Objects::default(),
        }
    }
}

fn sum<'p>(packs: impl Iterator<Item = &'p Objects>) -> Objects {
    packs.fold(Objects::default(), |sum, packs| Objects {
        count: sum.count + packs.count,
        bytes: sum.bytes + packs.bytes,
    })
}
