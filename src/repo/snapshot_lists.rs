//! Lists of snapshots: those that a repository had when its runs began to put intents (FORMAT.md
//! 10.1), and those that the last prune kept (10.6).
//!
//! A snapshot of a run without an intent that is on no list of the first kind was put by an older
//! program which was under way at that moment: prune could not know what it relied on, so it may
//! lack packs, and it is not relied upon.
//!
//! A snapshot on a list of the second kind is there, or was removed: if a store shows neither, its
//! listing is short, or the object was deleted without a removal.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::snapshot_list::SnapshotList;
use crate::repo::Repository;
use crate::repo::hidden::Earlier;
use crate::repo::hidden::Hidden;
use crate::repo::prune_records::Place;
use crate::repo::prune_records::doubt;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

/// The kind of a list of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListOf {
    /// Those that were there when runs began to put intents.
    Earlier,
    /// Those that the last prune kept.
    Kept,
}

impl ListOf {
    fn subject(self) -> Subject {
        match self {
            Self::Earlier => Subject::Began,
            Self::Kept => Subject::Kept,
        }
    }

    /// Tells whether an object is such a list.
    fn is_in(self, object: &Object) -> bool {
        matches!(object, Object::Note { about, .. } if *about == self.subject())
    }

    fn place(self) -> Place {
        let context = match self {
            Self::Earlier => "began",
            Self::Kept => "kept",
        };
        Place { kind: ObjectKind::Note, context: context.as_bytes().to_vec() }
    }
}

/// Returns the place of a list, by what its note is about; nothing for other notes.
pub(super) fn place_of_list(about: Subject) -> Option<Place> {
    [ListOf::Earlier, ListOf::Kept].into_iter().find(|of| of.subject() == about).map(ListOf::place)
}

/// The snapshots that prunes have kept.
#[derive(Debug, Default)]
pub struct KeptBefore {
    /// The objects of the lists.
    pub objects: Vec<ObjectName>,
    /// The snapshots that are on one of them.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Lists that do not count, and why.
    pub doubted: Vec<Error>,
}

impl Repository {
    /// Reads the lists of the snapshots that were there when runs began to put intents.
    pub fn earlier(&self) -> Result<Earlier> {
        let mut earlier = Earlier::default();
        for object in self.lists(ListOf::Earlier)? {
            match self.read_list(&object, ListOf::Earlier) {
                Ok(Some(list)) => earlier.add(list.snapshots),
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

    /// Returns a list of earlier snapshots as an object, which is not put.
    pub fn sealed_earlier(
        &self,
        snapshots: BTreeSet<SnapshotId>,
        time: u64,
    ) -> Result<(ObjectName, Bytes)> {
        self.sealed_list(snapshots, time, ListOf::Earlier)
    }

    /// Puts a list of earlier snapshots.
    pub fn put_earlier(&self, snapshots: BTreeSet<SnapshotId>, time: u64) -> Result<()> {
        self.put_list(snapshots, time, ListOf::Earlier)
    }

    /// Reads the lists of the snapshots that prunes have kept.
    pub fn kept_before(&self) -> Result<KeptBefore> {
        let mut kept = KeptBefore::default();
        for object in self.lists(ListOf::Kept)? {
            match self.read_list(&object, ListOf::Kept) {
                Ok(Some(list)) => {
                    kept.snapshots.extend(list.snapshots);
                    kept.objects.push(object);
                }
                // Another prune has put a later one.
                Ok(None) => {}
                // In a copy it was sealed again.
                Err(error) if error.kind() == ErrorKind::RetiredKey => kept.objects.push(object),
                Err(error) => {
                    doubt(error, &mut kept.doubted)?;
                    kept.objects.push(object);
                }
            }
        }
        Ok(kept)
    }

    /// Puts a list of the snapshots that a prune has kept.
    pub fn put_kept(&self, snapshots: BTreeSet<SnapshotId>, time: u64) -> Result<()> {
        self.put_list(snapshots, time, ListOf::Kept)
    }

    fn lists(&self, of: ListOf) -> Result<Vec<ObjectName>> {
        // A store lists folders, not beginnings of names.
        let notes = self.listed(Folder::Notes.prefix())?.into_iter();
        Ok(notes.filter(|object| of.is_in(object)).map(|object| object.name()).collect())
    }

    fn read_list(&self, object: &ObjectName, of: ListOf) -> Result<Option<SnapshotList>> {
        self.read_tagged(object, &of.place(), SnapshotList::decode)
    }

    fn sealed_list(
        &self,
        snapshots: BTreeSet<SnapshotId>,
        time: u64,
        of: ListOf,
    ) -> Result<(ObjectName, Bytes)> {
        let text = SnapshotList { time, snapshots }.encode();
        let object = |hash| Object::Note { about: of.subject(), hash };
        self.sealed_tagged(&of.place(), &text, object)
    }

    fn put_list(&self, snapshots: BTreeSet<SnapshotId>, time: u64, of: ListOf) -> Result<()> {
        let (name, bytes) = self.sealed_list(snapshots, time, of)?;
        self.store().put(&name, &[bytes]).map_err(|e| e.named(format!("cannot store {name}")))
    }
}
