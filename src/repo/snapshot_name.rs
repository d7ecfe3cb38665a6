//! The name of a snapshot, by which it is listed, sorted and bound to its place.

use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::format::layout::Object;
use crate::store::name::ObjectName;

/// The name of a snapshot, split into its parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotName {
    /// The id of the source that the snapshot belongs to.
    pub source: SourceId,
    /// The place of the snapshot in the lineage.
    pub sequence: u64,
    /// The hash of the object.
    pub id: SnapshotId,
}

impl SnapshotName {
    /// Reads the name of an object; nothing if it is not that of a snapshot.
    pub(super) fn parse(name: &ObjectName) -> Option<Self> {
        let Object::Snapshot { source, sequence, id } = Object::parse(name)? else { return None };
        Some(Self { source, sequence, id })
    }

    /// Returns the name of the snapshot's object.
    pub fn object(&self) -> ObjectName {
        let Self { source, sequence, id } = *self;
        Object::Snapshot { source, sequence, id }.name()
    }

    /// Returns the context that its object is sealed for.
    pub(super) fn context(&self) -> [u8; 24] {
        context(self.source, self.sequence)
    }
}

/// Returns the context that a snapshot is sealed for.
pub(super) fn context(source: SourceId, sequence: u64) -> [u8; 24] {
    let mut context = [0; 24];
    context[..16].copy_from_slice(&source.0);
    context[16..].copy_from_slice(&sequence.to_le_bytes());
    context
}
