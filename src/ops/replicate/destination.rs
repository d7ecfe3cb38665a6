//! What a destination with intents says about snapshots: which were removed there, and which are
//! doubtful (FORMAT.md 10.4).
//!
//! What was removed there is not sent again: who removed it has decided that. A removal counts if a
//! holder of a full key made it, so one is read for each wanted snapshot that is named.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;

use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::format::layout::Object;
use crate::repo::Repository;
use crate::repo::fences::Fences;
use crate::repo::inventory::Inventory;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// What a destination says about snapshots; nothing if it has no intents.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// The snapshots that are listed there.
    listed: BTreeMap<SnapshotId, SnapshotName>,
    /// The snapshots that removals there name.
    named: BTreeSet<SnapshotId>,
    /// The wanted snapshots that were removed there.
    pub(super) removed: HashSet<SnapshotId>,
    /// The wanted snapshots that are doubtful there.
    pub(super) doubtful: HashSet<SnapshotId>,
}

impl Destination {
    /// Returns what is listed there, and nothing else.
    pub(super) fn listed_in(there: &Inventory) -> Self {
        let mut listed = BTreeMap::new();
        for (object, _) in there.others() {
            if let Object::Snapshot { source, sequence, id } = object {
                listed.insert(id, SnapshotName { source, sequence, id });
            }
        }
        Self { listed, ..Self::default() }
    }

    /// Looks at fences and removals in `far`; tells whether wanted snapshots were removed there
    /// that it did not know of.
    pub(super) fn look<'s>(
        &mut self,
        far: &Repository,
        fences: &Fences,
        wanted: impl Iterator<Item = &'s StoredSnapshot>,
    ) -> Result<bool> {
        let removals = far.removals(None)?;
        self.named = removals.snapshots();
        self.doubtful.clear();
        let known = self.removed.len();
        for stored in wanted {
            let id = stored.id();
            if fences.doubts(id) {
                self.doubtful.insert(id);
            }
            let is_named = self.named.contains(&id) && !self.removed.contains(&id);
            // One that does not count is reported where that repository is used.
            if is_named && far.removal_of(&removals, id, &mut Vec::new())?.is_some() {
                self.removed.insert(id);
            }
        }
        Ok(self.removed.len() > known)
    }

    /// Returns the snapshots that are listed there.
    pub(super) fn ids(&self) -> impl Iterator<Item = SnapshotId> {
        self.listed.keys().copied()
    }

    /// Tells whether a snapshot is listed there.
    pub(super) fn lists(&self, name: &SnapshotName) -> bool {
        self.listed.get(&name.id) == Some(name)
    }

    /// Tells whether a snapshot is there, or is missing there since it was removed.
    pub(super) fn knows(&self, id: SnapshotId) -> bool {
        self.listed.contains_key(&id) || self.named.contains(&id)
    }
}
