//! Renews what a copy has recorded for itself, when the keys of a rotation come there (FORMAT.md
//! 11.6).
//!
//! The list that closes a generation names what the repository had that was rotated. Removals,
//! fences, confirmations, notes and records of what was verified that only a copy has are on no
//! list: without more, its removed snapshots would be missed there, and its holds would end. So
//! a replicate that brings the new keys to a copy first seals its records again with them.
//!
//! Snapshots can't be sealed again: their names are hashes of their bytes. They need not be, since
//! the list also names those that the rotated repository has removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::config::Features;
use crate::format::layout::ContentHash;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::layout::content_hash;
use crate::repo::Repository;
use crate::repo::believed::Believed;
use crate::repo::believed::retired_object;
use crate::repo::inventory::Inventory;
use crate::repo::key_slots::read_key_slot;
use crate::repo::notes::NoteName;
use crate::repo::prune_records::Place;
use crate::repo::prune_records::place_of_cleared;
use crate::repo::prune_records::place_of_fence;
use crate::repo::prune_records::place_of_removal;
use crate::repo::snapshot_lists::place_of_list;
use crate::repo::snapshot_name::SnapshotName;
use crate::repo::verified;
use crate::seal::keys::Closing;
use crate::store::Store;
use crate::store::name::ObjectName;

/// The folders of what a copy records for itself.
const OWN_FOLDERS: [Folder; 5] =
    [Folder::Notes, Folder::Fences, Folder::Removed, Folder::Cleared, Folder::Verified];

/// Requests that list these folders.
pub const RENEWAL_LISTINGS: u64 = 5;
/// What is wrong with a record that does not count.
const NOT_COUNTED: [ErrorKind; 4] =
    [ErrorKind::Damaged, ErrorKind::Distrusted, ErrorKind::Missing, ErrorKind::RetiredKey];

/// The records of a copy, sealed again.
#[derive(Debug)]
pub struct Renewal {
    /// The copy, as its keys show it.
    before: Repository,
    /// The records that the copy listed when they were read.
    seen: BTreeSet<Object>,
    /// The records that only the copy has, as objects that are not put.
    pub objects: Vec<(ObjectName, Bytes)>,
}

impl Renewal {
    /// Fails if the copy has other records than those that were renewed: what came since would not
    /// be believed any more.
    pub fn require_unchanged(&self) -> Result<()> {
        if self.before.own_records()? == self.seen {
            return Ok(());
        }
        let place = self.before.store().location();
        let what = format!("another run has changed {place}; replicate again");
        Err(Error::new(ErrorKind::Busy, what))
    }
}

impl Repository {
    /// Returns the generation by which a copy with these objects goes, if the keys of a rotation
    /// have not come there yet: it has neither the list that closes the generation nor a key slot
    /// of a later one.
    pub fn generation_before(&self, far: &dyn Store, listing: &Inventory) -> Result<Option<u8>> {
        let keyring = self.keyring();
        let has_list = |(generation, closing): &(u8, &Closing)| {
            listing.has(&retired_object(*generation, closing))
        };
        let lists = (0..).zip(keyring.closings()).take_while(has_list).count();
        let Some(generation) = u8::try_from(lists).ok().filter(|one| *one < keyring.generation())
        else {
            return Ok(None);
        };
        for (object, _) in listing.others() {
            if !matches!(object, Object::Key(_)) {
                continue;
            }
            match read_key_slot(far, &object.name()) {
                // A list that was lost there does not make a copy an earlier one.
                Ok(slot) if slot.generation() > generation => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Store => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Some(generation))
    }

    /// Returns the copy of this repository in another store, as keys of an earlier generation show
    /// it.
    pub fn copy_before(
        &self,
        store: Arc<dyn Store>,
        features: Features,
        generation: u8,
    ) -> Result<Self> {
        let believed = Arc::new(Believed::load_until(&*store, self.keyring(), generation)?);
        Ok(Self { store, believed, features, hidden: Arc::default(), ..self.clone() })
    }

    /// Seals again what only a copy has recorded, and what counts there; `before` is that copy as
    /// its keys show it.
    pub fn renewal(&self, before: Self) -> Result<Renewal> {
        let seen = before.own_records()?;
        let newest = self.keyring().generation();
        let (mut due, mut done) = (Vec::new(), BTreeSet::new());
        for object in &seen {
            let hash = content_hash(&object.name());
            let is_listed = hash.is_some_and(|hash| self.believed.lists(&hash));
            let Some(record) = Record::of(*object).filter(|_| !is_listed) else { continue };
            let Some((text, generation)) = record.read(&before)? else { continue };
            let says = (record.about(), *blake3::hash(&text).as_bytes());
            if generation == newest {
                // A replicate that was stopped has sealed it again.
                done.insert(says);
            } else {
                due.push((record, says));
            }
        }
        let mut objects = Vec::new();
        for (record, says) in due {
            if done.insert(says)
                && let Some((text, _)) = record.read(&before)?
            {
                objects.push(record.sealed(self, &text)?);
            }
        }
        Ok(Renewal { before, seen, objects })
    }

    fn own_records(&self) -> Result<BTreeSet<Object>> {
        let mut records = BTreeSet::new();
        for folder in OWN_FOLDERS {
            records.extend(self.listed(folder.prefix())?);
        }
        Ok(records)
    }
}

/// A record of a copy.
enum Record {
    /// A note about a snapshot.
    Note(NoteName),
    /// A record that ends in a tag.
    Tagged { name: ObjectName, place: Place, by_hash: ByHash },
}

impl Record {
    /// Returns the record that an object is, if it is one that is sealed again.
    fn of(object: Object) -> Option<Self> {
        if let Object::Note { about: Subject::Snapshot(about), hash } = object {
            return Some(Self::Note(NoteName { about, hash }));
        }
        let (place, by_hash) = place_of(object)?;
        Some(Self::Tagged { name: object.name(), place, by_hash })
    }

    /// Returns its object without the hash of its bytes: what it is about.
    fn about(&self) -> Object {
        let hash = ContentHash::default();
        match self {
            Self::Note(name) => Object::Note { about: Subject::Snapshot(name.about), hash },
            Self::Tagged { by_hash, .. } => by_hash(hash),
        }
    }

    /// Returns the text and the generation that sealed it; nothing if it does not count.
    fn read(&self, before: &Repository) -> Result<Option<(Zeroizing<Vec<u8>>, u8)>> {
        let read = match self {
            Self::Note(name) => before.read_dated_note(name).map(Some),
            Self::Tagged { name, place, .. } => before.read_dated(name, place),
        };
        match read {
            // It does not count now, and will not.
            Err(error) if NOT_COUNTED.contains(&error.kind()) => Ok(None),
            read => read,
        }
    }

    /// Seals its text with the newest keys.
    fn sealed(&self, near: &Repository, text: &[u8]) -> Result<(ObjectName, Bytes)> {
        match self {
            Self::Note(name) => near.sealed_text(name.about, text),
            Self::Tagged { place, by_hash, .. } => near.sealed_tagged(place, text, by_hash),
        }
    }
}

/// Gives a record's object by the hash of its bytes.
type ByHash = Box<dyn Fn(ContentHash) -> Object>;

/// Returns the place of a record that ends in a tag, and the object of one in the same place;
/// nothing for any other object.
fn place_of(object: Object) -> Option<(Place, ByHash)> {
    if let Object::Fence { epoch, .. } = object {
        return Some((place_of_fence(epoch), Box::new(move |hash| Object::Fence { epoch, hash })));
    }
    if let Object::Cleared { snapshot, .. } = object {
        let by_hash = Box::new(move |hash| Object::Cleared { snapshot, hash });
        return Some((place_of_cleared(snapshot), by_hash));
    }
    if let Object::Removed { source, sequence, snapshot: id, .. } = object {
        let place = place_of_removal(&SnapshotName { source, sequence, id });
        let by_hash = move |hash| Object::Removed { source, sequence, snapshot: id, hash };
        return Some((place, Box::new(by_hash)));
    }
    if let Object::Verified(_) = object {
        return Some((verified::place(), Box::new(Object::Verified)));
    }
    if let Object::Note { about, .. } = object {
        let place = place_of_list(about)?;
        return Some((place, Box::new(move |hash| Object::Note { about, hash })));
    }
    None
}
