//! Known damage: what verifications recorded about packs and snapshots (FORMAT.md 9).
//!
//! A record that can't be read still names its pack, which can be checked. Of a
//! snapshot only what can be read is believed: else anybody who can write to the store could have
//! good snapshots called damaged.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::lists::Damage;
use crate::format::snapshot_damage::SnapshotDamage;
use crate::repo::Repository;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::name::ObjectName;

/// A record, and what it says if it can be read.
type Record<T> = (ObjectName, Option<T>);

/// The content found under the name of a record.
enum Found<T> {
    /// The record was removed since it was listed.
    Nothing,
    /// A record, and what it says if it can be read.
    Record(Option<T>),
}

/// The damage that is known in one copy of a repository.
#[derive(Debug, Default)]
pub struct KnownDamage {
    packs: BTreeMap<PackName, Vec<Record<Damage>>>,
    snapshots: BTreeMap<SnapshotId, Vec<Record<SnapshotDamage>>>,
}

impl KnownDamage {
    /// Returns the packs that records are about.
    pub fn packs(&self) -> impl Iterator<Item = PackName> {
        self.packs.keys().copied()
    }

    /// Tells whether a record is about this pack.
    pub fn names(&self, pack: &PackName) -> bool {
        self.packs.contains_key(pack)
    }

    /// Tells whether what is found in a pack is on record already.
    pub fn covers(&self, pack: &PackName, found: &Damage) -> bool {
        let Some(records) = self.packs.get(pack) else { return false };
        let known = || records.iter().filter_map(|(_, damage)| damage.as_ref());
        if known().any(|damage| *damage == Damage::Pack) {
            return true;
        }
        let Damage::Entries(entries) = found else { return false };
        let known: Vec<&Vec<EntryNumber>> = known()
            .filter_map(|damage| match damage {
                Damage::Entries(entries) => Some(entries),
                Damage::Pack => None,
            })
            .collect();
        let is_known = |entry| known.iter().any(|list| list.binary_search(entry).is_ok());
        !known.is_empty() && entries.iter().all(is_known)
    }

    /// Returns what a snapshot is known to lack: what the worst of its records says.
    pub fn of(&self, snapshot: &SnapshotId) -> Option<&SnapshotDamage> {
        let records = self.snapshots.get(snapshot)?;
        records.iter().filter_map(|(_, damage)| damage.as_ref()).max_by_key(|damage| damage.files)
    }

    /// Tells whether one of the records about a snapshot says exactly this.
    pub fn says(&self, snapshot: &SnapshotId, found: &SnapshotDamage) -> bool {
        let records = self.snapshots.get(snapshot).into_iter().flatten();
        records.filter_map(|(_, damage)| damage.as_ref()).any(|damage| damage == found)
    }

    /// Returns the records about a snapshot.
    pub fn records_of(&self, snapshot: &SnapshotId) -> impl Iterator<Item = &ObjectName> {
        self.snapshots.get(snapshot).into_iter().flatten().map(|(name, _)| name)
    }

    /// Returns the records that can't be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &ObjectName> {
        let packs = self.packs.values().flatten().filter(|(_, damage)| damage.is_none());
        let snapshots = self.snapshots.values().flatten().filter(|(_, damage)| damage.is_none());
        packs.map(|(name, _)| name).chain(snapshots.map(|(name, _)| name))
    }

    /// Returns the records that mean nothing any more once these packs are whole.
    pub fn resolved_by(&self, whole: &BTreeSet<PackName>) -> Vec<ObjectName> {
        let packs = self.packs.iter().filter(|(name, _)| whole.contains(name));
        let mut resolved: Vec<ObjectName> =
            packs.flat_map(|(_, records)| records.iter().map(|(name, _)| name.clone())).collect();
        for (name, damage) in self.snapshots.values().flatten() {
            let mut blamed = damage.iter().flat_map(SnapshotDamage::packs).peekable();
            if blamed.peek().is_some() && blamed.all(|pack| whole.contains(&pack)) {
                resolved.push(name.clone());
            }
        }
        resolved
    }
}

impl Repository {
    /// Reads what is known to be damaged.
    pub fn known_damage(&self) -> Result<KnownDamage> {
        self.known_damage_in(&**self.store())
    }

    /// Reads what is known to be damaged in another copy of this repository.
    pub fn known_damage_in(&self, store: &dyn Store) -> Result<KnownDamage> {
        let mut names = Vec::new();
        store
            .list(Folder::Damage.prefix(), &mut |meta| names.push(meta.name))
            .map_err(|e| e.named("cannot list the damage records"))?;
        let mut known = KnownDamage::default();
        for name in names {
            match Object::parse(&name) {
                Some(Object::Damage { pack, .. }) => {
                    let read =
                        self.read_damage(store, &name, &pack.0, |text| Damage::decode(text).ok())?;
                    if let Found::Record(read) = read {
                        known.packs.entry(pack).or_default().push((name, read));
                    }
                }
                Some(Object::SnapshotDamage { snapshot, .. }) => {
                    let read = self.read_damage(store, &name, &snapshot.0, |text| {
                        SnapshotDamage::decode(text).ok()
                    })?;
                    if let Found::Record(read) = read {
                        known.snapshots.entry(snapshot).or_default().push((name, read));
                    }
                }
                Some(_) | None => {}
            }
        }
        Ok(known)
    }

    /// Reads a record: nothing if it is gone, and nothing in it if it can't be read.
    fn read_damage<T>(
        &self,
        store: &dyn Store,
        name: &ObjectName,
        context: &[u8],
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Found<T>> {
        let bytes = match store.get(name, SMALL_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = error.named(format!("cannot read {name}"));
                if error.kind() == ErrorKind::Missing {
                    return Ok(Found::Nothing);
                }
                if error.kind() == ErrorKind::Damaged {
                    return Ok(Found::Record(None));
                }
                return Err(error);
            }
        };
        if content_hash(name) != Some(*blake3::hash(&bytes).as_bytes()) {
            return Ok(Found::Record(None));
        }
        let text = self.keyring().open_object(ObjectKind::Damage, context, &bytes).ok();
        Ok(Found::Record(text.and_then(|text| decode(&text))))
    }
}
