//! Lists of the snapshots that a repository had when its runs began to put intents (FORMAT.md
//! 10.1).
//!
//! A snapshot of a run without an intent that is on no list was put by an older program which was
//! under way at that moment: prune could not know what it relied on, so it may lack packs, and it
//! is not relied upon.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::format::began::Began;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::repo::Repository;
use crate::repo::hidden::Earlier;
use crate::repo::hidden::Hidden;
use crate::repo::prune_records::Place;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

/// The context with which lists are sealed.
const CONTEXT: &[u8] = b"began";

/// Returns the place of a list.
pub(super) fn place() -> Place {
    Place { kind: ObjectKind::Note, context: CONTEXT.to_vec() }
}

impl Repository {
    /// Reads the lists of the snapshots that were there when runs began to put intents.
    pub fn earlier(&self) -> Result<Earlier> {
        let mut earlier = Earlier::default();
        for object in self.listed(Folder::Notes.prefix())? {
            if !matches!(object, Object::Note { about: Subject::Began, .. }) {
                continue;
            }
            match self.read_tagged(&object.name(), &place(), Began::decode) {
                Ok(Some(began)) => earlier.add(began.snapshots),
                // A holder of a write-only key may have put it, to hide what is there.
                Err(error) if error.kind() == ErrorKind::Distrusted => {}
                // It may name any snapshot.
                Ok(None) => return Ok(Earlier::default()),
                Err(error)
                    if [ErrorKind::Damaged, ErrorKind::RetiredKey].contains(&error.kind()) =>
                {
                    return Ok(Earlier::default());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(earlier)
    }

    /// Returns the same, which is read once for each look at what is hidden.
    pub(super) fn earlier_of(&self, hidden: &Hidden) -> Result<Arc<Earlier>> {
        let mut known = lock(&hidden.earlier);
        match &*known {
            Some(earlier) => Ok(Arc::clone(earlier)),
            None => Ok(Arc::clone(known.insert(Arc::new(self.earlier()?)))),
        }
    }

    /// Returns a list of snapshots as an object, which is not put.
    pub fn sealed_earlier(
        &self,
        snapshots: BTreeSet<SnapshotId>,
        time: u64,
    ) -> Result<(ObjectName, Bytes)> {
        let text = Began { time, snapshots }.encode();
        self.sealed_tagged(&place(), &text, |hash| Object::Note { about: Subject::Began, hash })
    }

    /// Puts a list of snapshots.
    pub fn put_earlier(&self, snapshots: BTreeSet<SnapshotId>, time: u64) -> Result<()> {
        let (name, bytes) = self.sealed_earlier(snapshots, time)?;
        self.store().put(&name, &[bytes]).map_err(|e| e.named(format!("cannot store {name}")))
    }
}
