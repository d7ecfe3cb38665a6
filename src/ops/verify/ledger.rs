//! When packs were verified, as far as records say it (FORMAT.md 9.2).

use std::collections::BTreeSet;
use std::collections::HashSet;

use crate::base::ids::SnapshotId;
use crate::format::verified::By;
use crate::format::verified::Depths;
use crate::format::verified::GroupKey;
use crate::format::verified::SnapshotKey;
use crate::format::verified::Verified;
use crate::format::verified::earlier;
use crate::format::verified::later;
use crate::ops::verify::depth::Depth;
use crate::ops::verify::needed::Needed;
use crate::ops::verify::needed::PackBits;
use crate::ops::verify::options::Scope;
use crate::ops::verify::tables::Tables;
use crate::repo::snapshots::StoredSnapshot;

/// Seconds by which the clock that a record is from may be ahead.
const AHEAD_MAX: u64 = 24 * 60 * 60;

/// When packs were verified, as far as records say it.
#[derive(Debug)]
pub(super) struct Ledger<'t> {
    tables: &'t Tables,
    /// What records say of other things than the packs of the tables.
    rest: Verified,
    /// What they say of these.
    packs: Vec<Depths>,
}

impl<'t> Ledger<'t> {
    /// Joins records about the packs of tables, at a time.
    pub(super) fn new(mut records: Vec<Verified>, tables: &'t Tables, now: u64) -> Self {
        for record in &mut records {
            record.tidy(&|verification| verification.time > now.saturating_add(AHEAD_MAX));
        }
        let mut rest = Verified::merge(records);
        rest.tidy(&|_| false);
        let mut packs = vec![Depths::default(); tables.len()];
        let mut own = BTreeSet::new();
        for group in tables.groups() {
            let Some(whole) = tables.key(group, usize::MAX) else { continue };
            let first = GroupKey { packs: 0, digest: [0; 8], ..whole };
            let last = GroupKey { digest: [u8::MAX; 8], ..whole };
            for (key, depths) in rest.groups.range(first..=last) {
                if tables.key(group, usize::from(key.packs)) == Some(*key) {
                    let known = tables.members(group).zip(depths);
                    known.for_each(|(pack, depths)| later(&mut packs[pack], *depths));
                    own.insert(*key);
                }
            }
        }
        rest.groups.retain(|key, _| !own.contains(key));
        Self { tables, rest, packs }
    }

    /// Returns when a pack was verified to a depth; `None` if it never was.
    pub(super) fn time(&self, pack: usize, depth: Depth) -> Option<u64> {
        let by = self.packs[pack][depth.index()];
        self.rest.verification(by).map(|verification| verification.time)
    }

    /// Notes of each snapshot the oldest verification of what it needs.
    pub(super) fn note_snapshots(&mut self, snapshots: &[StoredSnapshot], needed: &Needed) {
        for (stored, packs) in snapshots.iter().zip(&needed.each) {
            let all = packs.iter().flat_map(PackBits::iter).map(|pack| self.packs[pack]);
            let oldest = all.reduce(|mut oldest, depths| {
                earlier(&mut oldest, depths);
                oldest
            });
            if let Some(oldest) = oldest {
                later(self.rest.snapshots.entry(stored.id().into()).or_default(), oldest);
            }
        }
    }

    /// Leaves out what is about packs and snapshots that are not there any more: anything else but
    /// what another run has verified since this one began, which may have seen more.
    pub(super) fn leave_out_gone(&mut self, snapshots: &[StoredSnapshot], began: u64) {
        let first = self.rest.verifications.partition_point(|one| one.time < began);
        let is_new = |by: &By| usize::from(by.0) > first;
        let there: BTreeSet<SnapshotKey> =
            snapshots.iter().map(|stored| stored.id().into()).collect();
        self.rest.groups.retain(|_, packs| packs.iter().flatten().any(is_new));
        let snapshots = &mut self.rest.snapshots;
        snapshots.retain(|key, depths| there.contains(key) || depths.iter().any(is_new));
    }

    /// Returns the record of all that is known; `counted` are the packs that snapshots need, if
    /// that is known of all snapshots.
    pub(super) fn into_record(self, counted: Option<&PackBits>) -> Verified {
        let Self { tables, mut rest, packs } = self;
        for group in tables.longest_groups() {
            let Some(key) = tables.key(group, usize::MAX) else { continue };
            let mut depths: Vec<Depths> = Vec::new();
            let mut before: Option<Depths> = None;
            for pack in tables.members(group) {
                if counted.is_none_or(|counted| counted.has(pack)) {
                    let own = packs[pack];
                    // What no snapshot needs is in no run, which makes fewer runs.
                    if before.is_none() {
                        depths.fill(own);
                    }
                    before = Some(own);
                }
                depths.push(before.unwrap_or_default());
            }
            rest.groups.insert(key, depths);
        }
        rest.tidy(&|_| false);
        rest
    }
}

/// What a run has looked at.
#[derive(Debug)]
pub(super) struct LookedAt<'v> {
    pub(super) snapshots: &'v [StoredSnapshot],
    pub(super) tables: &'v Tables,
    /// The packs whose sizes were compared.
    pub(super) named: &'v PackBits,
    /// The packs that snapshots need, of a slice.
    pub(super) needed: Option<&'v Needed>,
    /// Snapshots of which not all maps were read.
    pub(super) unopened: &'v HashSet<SnapshotId>,
    /// Whether these are all snapshots that there are.
    pub(super) scope: Scope,
    /// When it began, seconds since 1970.
    pub(super) began: u64,
}
