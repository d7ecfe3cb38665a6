//! Reads and puts the records that a holder of a full key tags: fences, removals, confirmations
//! (FORMAT.md 10.3, 10.4).
//!
//! A record counts if its bytes are what its name says, if it opens in its place, if its
//! generation of keys is believed, and if its tag is right as far as the key in use can tell. Any
//! other counts as not there, and is reported.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::format::fence::Fence;
use crate::format::layout::ContentHash;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::removed::Removal;
use crate::repo::Repository;
use crate::repo::fences::Fences;
use crate::repo::hidden::Hidden;
use crate::repo::removals::RemovalName;
use crate::repo::removals::Removals;
use crate::repo::require_there;
use crate::repo::snapshot_name::SnapshotName;
use crate::seal::ids::RunId;
use crate::seal::object::ObjectKind;
use crate::seal::prune_tag::TagCheck;
use crate::store::name::ObjectName;

/// The place of a record: its kind, and what it is about.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The kind of the object.
    pub(super) kind: ObjectKind,
    /// What its reader knows from elsewhere.
    pub(super) context: Vec<u8>,
}

impl Repository {
    /// Reads a record that ends in a tag; nothing if it is gone. One that does not count is
    /// damaged or distrusted; other errors are those of the store.
    pub(super) fn read_tagged<T>(
        &self,
        name: &ObjectName,
        place: &Place,
        decode: impl FnOnce(&[u8]) -> std::result::Result<T, Malformed>,
    ) -> Result<Option<T>> {
        let Some((text, _)) = self.read_dated(name, place)? else { return Ok(None) };
        decode(&text).map(Some).map_err(|e| Error::damaged(name, e))
    }

    /// Returns the text of a record that ends in a tag, and the generation of keys that sealed it.
    pub(super) fn read_dated(
        &self,
        name: &ObjectName,
        place: &Place,
    ) -> Result<Option<(Zeroizing<Vec<u8>>, u8)>> {
        let bytes = match self.store().get(name, SMALL_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = error.named(format!("cannot read {name}"));
                return if error.kind() == ErrorKind::Missing { Ok(None) } else { Err(error) };
            }
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        if content_hash(name) != Some(hash) {
            return Err(Error::damaged(name, "its bytes do not match its name"));
        }
        let Place { kind, context } = place;
        let opened = self
            .keyring()
            .open_tagged(*kind, context, &bytes)
            .map_err(|e| Error::damaged(name, e))?;
        self.believed.check(opened.generation, &hash, name.as_str())?;
        if opened.check == TagCheck::Wrong {
            let what = format!("{name} was not put with a full key");
            return Err(Error::new(ErrorKind::Distrusted, what));
        }
        Ok(Some((opened.text, opened.generation)))
    }

    /// Returns a record with its tag as an object, which is not put; `object` gives its name.
    pub(super) fn sealed_tagged(
        &self,
        place: &Place,
        text: &[u8],
        object: impl FnOnce(ContentHash) -> Object,
    ) -> Result<(ObjectName, Bytes)> {
        let Place { kind, context } = place;
        let sealed = self
            .keyring()
            .seal_tagged(*kind, context, text, &**self.entropy())
            .map_err(|e| Error::new(ErrorKind::WriteOnly, "this key removes nothing").because(e))?;
        let name = object(*blake3::hash(&sealed).as_bytes()).name();
        Ok((name, Bytes::from(sealed)))
    }

    /// Puts a record with its tag, and makes sure that the store has it; `object` gives its name.
    pub(super) fn put_tagged(
        &self,
        place: &Place,
        text: &[u8],
        object: impl FnOnce(ContentHash) -> Object,
    ) -> Result<ObjectName> {
        let (name, sealed) = self.sealed_tagged(place, text, object)?;
        let bytes = u64_of(sealed.len());
        self.store().put(&name, &[sealed]).map_err(|e| e.named(format!("cannot store {name}")))?;
        require_there(&**self.store(), &name, bytes)?;
        Ok(name)
    }
}

/// Keeps a record that does not count for a report; passes on what a store fails with.
pub(super) fn doubt(error: Error, doubted: &mut Vec<Error>) -> Result<()> {
    if [ErrorKind::Damaged, ErrorKind::Distrusted, ErrorKind::RetiredKey].contains(&error.kind()) {
        doubted.push(error);
        return Ok(());
    }
    Err(error)
}

/// Returns the place of a fence.
pub(super) fn place_of_fence(epoch: u64) -> Place {
    Place { kind: ObjectKind::Fence, context: epoch.to_le_bytes().to_vec() }
}

/// Returns the place of a confirmation.
pub(super) fn place_of_cleared(snapshot: SnapshotId) -> Place {
    Place { kind: ObjectKind::Cleared, context: snapshot.0.to_vec() }
}

fn confirmed_by(text: &[u8]) -> std::result::Result<RunId, Malformed> {
    let why = "is not the id of a run";
    let run = text.try_into().map_err(|_| Malformed { what: "confirmation", why })?;
    Ok(RunId::new(run))
}

impl Repository {
    /// Lists the fences and reads them. Confirmations are listed if a snapshot is doubtful.
    pub fn fences(&self) -> Result<Fences> {
        let mut fences = Fences::default();
        let mut counted = BTreeSet::new();
        let mut doubted: BTreeMap<u64, Vec<Error>> = BTreeMap::new();
        for object in self.listed(Folder::Fences.prefix())? {
            let Object::Fence { epoch, .. } = object else { continue };
            // One that does not count has taken its epoch all the same.
            fences.epoch = fences.epoch.max(epoch);
            match self.read_tagged(&object.name(), &place_of_fence(epoch), Fence::decode) {
                Ok(Some(fence)) => {
                    counted.insert(epoch);
                    fences.add(epoch, fence);
                }
                Ok(None) => {}
                Err(error) => doubt(error, doubted.entry(epoch).or_default())?,
            }
        }
        for (epoch, mut errors) in doubted {
            // One of a retired key is no news where it was sealed again.
            let was_renewed = counted.contains(&epoch);
            errors.retain(|error| !was_renewed || error.kind() != ErrorKind::RetiredKey);
            fences.doubted.append(&mut errors);
        }
        if !fences.has_doubtful() {
            return Ok(fences);
        }
        for object in self.listed(Folder::Cleared.prefix())? {
            let Object::Cleared { snapshot, .. } = object else { continue };
            if !fences.doubts(snapshot) {
                continue;
            }
            match self.read_tagged(&object.name(), &place_of_cleared(snapshot), confirmed_by) {
                Ok(Some(_)) => drop(fences.cleared.insert(snapshot)),
                Ok(None) => {}
                Err(error) => doubt(error, &mut fences.doubted)?,
            }
        }
        Ok(fences)
    }

    /// Puts a fence of this epoch.
    pub fn put_fence(&self, epoch: u64, fence: &Fence) -> Result<ObjectName> {
        self.put_tagged(&place_of_fence(epoch), &fence.encode(), |hash| Object::Fence {
            epoch,
            hash,
        })
    }

    /// Puts that a run has confirmed a doubtful snapshot.
    pub fn put_cleared(&self, snapshot: SnapshotId, run: RunId) -> Result<ObjectName> {
        let object = |hash| Object::Cleared { snapshot, hash };
        self.put_tagged(&place_of_cleared(snapshot), run.bytes(), object)
    }

    /// Returns the objects under a prefix, in the order of their names.
    pub(super) fn listed(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        self.store()
            .list(prefix, &mut |meta| objects.extend(Object::parse(&meta.name)))
            .map_err(|e| e.named(format!("cannot list {prefix}")))?;
        objects.sort_unstable();
        objects.dedup();
        Ok(objects)
    }
}

/// Returns the place of a removal.
pub(super) fn place_of_removal(of: &SnapshotName) -> Place {
    let context = [&of.source.0[..], &of.sequence.to_le_bytes(), &of.id.0].concat();
    Place { kind: ObjectKind::Removed, context }
}

impl Repository {
    /// Lists the removals of one source or of all.
    pub fn removals(&self, source: Option<SourceId>) -> Result<Removals> {
        let prefix = match source {
            Some(source) => Folder::removed_of(source),
            None => Folder::Removed.prefix().to_owned(),
        };
        let names = self.listed(&prefix)?.iter().filter_map(RemovalName::parse).collect();
        Ok(Removals { names })
    }

    /// Reads a removal; nothing if it is gone, and an error if it does not count.
    pub fn read_removal(&self, name: &RemovalName) -> Result<Option<Removal>> {
        self.read_tagged(&name.object(), &place_of_removal(&name.of), Removal::decode)
    }

    /// Returns what the first removal of a snapshot says that counts; what does not count goes to
    /// `doubted`.
    pub fn removal_of(
        &self,
        removals: &Removals,
        id: SnapshotId,
        doubted: &mut Vec<Error>,
    ) -> Result<Option<Removal>> {
        // What does not count is no news where another record says the same.
        let mut others = Vec::new();
        for name in removals.of(id) {
            match self.read_removal(name) {
                Ok(Some(removal)) => return Ok(Some(removal)),
                Ok(None) => {}
                Err(error) => doubt(error, &mut others)?,
            }
        }
        doubted.append(&mut others);
        Ok(None)
    }

    /// Puts that a snapshot was removed.
    pub fn put_removal(&self, of: &SnapshotName, removal: &Removal) -> Result<ObjectName> {
        let SnapshotName { source, sequence, id } = *of;
        let object = |hash| Object::Removed { source, sequence, snapshot: id, hash };
        self.put_tagged(&place_of_removal(of), &removal.encode(), object)
    }

    /// Returns the largest sequence number that a source has used, by the names of its snapshots
    /// and its removals; 0 if it has none. A removal is read only if its number is larger than
    /// those of all snapshots.
    pub fn largest_sequence(&self, listed: &[SnapshotName], removals: &Removals) -> Result<u64> {
        let mut largest = listed.iter().map(|name| name.sequence).max().unwrap_or(0);
        let mut names: Vec<&RemovalName> = removals.names.iter().collect();
        names.sort_by_key(|name| Reverse(name.of.sequence));
        for name in names.into_iter().take_while(|name| name.of.sequence > largest) {
            match self.read_removal(name) {
                Ok(Some(_)) => {
                    largest = name.of.sequence;
                    break;
                }
                Ok(None) => {}
                // Who can't tell the truth from a lie takes no number from it.
                Err(error) => doubt(error, &mut Vec::new())?,
            }
        }
        Ok(largest)
    }
}

impl Repository {
    /// Returns why snapshots of a source, or of all, are hidden, as it is now.
    ///
    /// `listed` are the snapshots that were listed right before.
    pub fn look_at_hidden(
        &self,
        source: Option<SourceId>,
        listed: &[SnapshotName],
    ) -> Result<Arc<Hidden>> {
        let mut hidden = Hidden { scope: source, ..Hidden::default() };
        if self.has_intents() {
            hidden.fences = self.fences()?;
            hidden.removals = self.removals(source)?;
            let removed = hidden.removals.snapshots();
            let there: BTreeSet<SnapshotId> = listed.iter().map(|name| name.id).collect();
            for id in removed.intersection(&there) {
                let found = self.removal_of(&hidden.removals, *id, &mut hidden.doubted)?;
                hidden.removed.extend(found.map(|removal| (*id, removal)));
            }
        }
        let hidden = Arc::new(hidden);
        *lock(&self.hidden) = Some(Arc::clone(&hidden));
        Ok(hidden)
    }

    /// Returns why snapshots of a source, or of all, are hidden, as it was looked at last.
    pub fn hidden(&self, source: Option<SourceId>) -> Result<Arc<Hidden>> {
        let known = lock(&self.hidden).clone();
        match known.filter(|hidden| hidden.covers(source)) {
            Some(hidden) => Ok(hidden),
            None if self.has_intents() => {
                self.look_at_hidden(source, &self.listed_snapshots(source)?)
            }
            None => Ok(Arc::default()),
        }
    }
}
