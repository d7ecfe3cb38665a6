//! Removals: which snapshots were removed, by whom and why (FORMAT.md 10.4).
//!
//! They stay for ever, so their names alone answer most questions: which number of a source was
//! used last, and whether a snapshot that is missing was removed. One is read only if its snapshot
//! is still listed, or if somebody asks for that.

use std::collections::BTreeSet;

use crate::base::ids::SnapshotId;
use crate::format::layout::ContentHash;
use crate::format::layout::Object;
use crate::repo::snapshot_name::SnapshotName;
use crate::store::name::ObjectName;

/// The name of a removal: which snapshot it is about, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemovalName {
    /// The snapshot that was removed.
    pub of: SnapshotName,
    /// The hash of the removal.
    pub hash: ContentHash,
}

impl RemovalName {
    /// Reads the name of an object, if it is a removal.
    pub(super) fn parse(object: &Object) -> Option<Self> {
        let Object::Removed { source, sequence, snapshot: id, hash } = *object else { return None };
        Some(Self { of: SnapshotName { source, sequence, id }, hash })
    }

    /// Returns the name of its object.
    pub fn object(&self) -> ObjectName {
        let SnapshotName { source, sequence, id } = self.of;
        Object::Removed { source, sequence, snapshot: id, hash: self.hash }.name()
    }
}

/// The removals of one source or of all, by their names.
#[derive(Debug, Default)]
pub struct Removals {
    /// Sorted, so that those of a source stand together.
    pub(super) names: Vec<RemovalName>,
}

impl Removals {
    /// Returns the names of all removals, by source and sequence number.
    pub fn names(&self) -> &[RemovalName] {
        &self.names
    }

    /// Returns the removals of a snapshot; several if two prunes removed it.
    pub fn of(&self, id: SnapshotId) -> impl Iterator<Item = &RemovalName> {
        self.names.iter().filter(move |name| name.of.id == id)
    }

    /// Returns the snapshots that they are about.
    pub fn snapshots(&self) -> BTreeSet<SnapshotId> {
        self.names.iter().map(|name| name.of.id).collect()
    }
}
