//! The keys that open a repository: key slots added, changed, removed, and the key put on paper.
//!
//! Every key slot is an object of its own, so nothing here touches a pack, and a change that is
//! interrupted leaves one key slot too many, never one too few: what is new is durable before what
//! is old goes. Removing a key slot protects the future of the object `keys/<id>`; anyone who kept
//! a copy of it, or of the repository key, keeps what that opens.
//!
//! A rotation draws a new key for what is stored from then on. What counts is the new key slot:
//! before it is durable nothing has changed, and a rotation that was interrupted is begun again. Of
//! several at the same moment at most one succeeds: each looks for others when its announcement is
//! durable, and when its key slot is; who finds one removes what it put.
//!
//! [`Keys`] has the repository key itself, which a [`Repository`] has not:
//! it lives as long as a change of keys takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::config::Config;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::layout::content_hash;
use crate::format::retired::Retired;
use crate::repo::Opened;
use crate::repo::Repository;
use crate::repo::believed::retired_object;
use crate::repo::generations::announced;
use crate::repo::generations::is_announcement;
use crate::repo::generations::require_newest;
use crate::repo::generations::rotation_object;
use crate::repo::key_slots::is_of_rotation;
use crate::repo::key_slots::key_names;
use crate::repo::key_slots::key_slot_names;
use crate::repo::key_slots::key_slot_object;
use crate::repo::key_slots::put_key_slot;
use crate::repo::key_slots::read_key_slot;
use crate::repo::key_slots::unlock_kit;
use crate::repo::sealing::sealing_failed;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::ProtectionKind;
use crate::seal::key_slot::Unlocked;
use crate::seal::keys::Closing;
use crate::seal::keys::GENERATION_MAX;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::object::ObjectKind;
use crate::seal::slot_contents::SlotContents;
use crate::store::Store;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

pub use crate::seal::cost::KdfCost;
pub use crate::seal::cost::Limits;
pub use crate::seal::error::SealError;
pub use crate::seal::ids::KeySlotId;
pub use crate::seal::key_slot::Credential;
pub use crate::seal::key_slot::KeyFile;
pub use crate::seal::key_slot::KeySlotNote;
pub use crate::seal::key_slot::Passphrase;
pub use crate::seal::key_slot::Protection;
pub use crate::seal::recovery_kit::KIT_TEXT_BYTES_MAX;
pub use crate::seal::recovery_kit::RecoveryKit;
pub use crate::seal::slot_contents::Role;
pub use crate::seal::suite::Suite;

/// The keys of an encrypted repository, opened to be changed.
#[derive(Debug)]
pub struct Keys {
    store: Arc<dyn Store>,
    config: Config,
    keyring: Keyring,
    unlocked: Unlocked,
    entropy: Arc<dyn Entropy>,
}

/// The treatment of snapshots that others name and the store does not list, when keys are rotated.
/// A snapshot that is not listed then is not believed afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// The rotation is refused.
    Refused,
    /// The rotation continues without the missing snapshots.
    Accepted,
}

/// A key slot as it appears to those who can open the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlotEntry {
    /// The id of the key slot, which is its name under `keys/`.
    pub id: KeySlotId,
    /// The kind of credential that opens the key slot.
    pub protection: ProtectionKind,
    /// The rights that the key gives.
    pub role: Role,
    /// The newest generation of keys that the key slot has.
    pub generation: u8,
    /// True if a rotation retired it: it opens only what was stored before.
    pub retired: bool,
    /// The label of the key slot and the time it was added.
    pub note: KeySlotNote,
    /// True if this key slot opened the keys.
    pub in_use: bool,
}

/// All key slots, and objects that should be key slots and are not.
#[derive(Debug, Default)]
pub struct KeySlots {
    /// Key slots that can be read, oldest first.
    pub slots: Vec<KeySlotEntry>,
    /// Other objects under `keys/`, and why each is not a key slot.
    pub damaged: Vec<(ObjectName, Error)>,
}

/// The result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The generation that began.
    pub generation: u8,
    /// The new key slot, in the place of the one that was used.
    pub added: KeySlotId,
    /// The key slot that was replaced; `None` if a recovery kit opened the keys.
    pub removed: Option<KeySlotId>,
    /// Key slots that open what was stored before, and nothing else.
    pub retired: Vec<KeySlotEntry>,
    /// Objects that the previous keys had sealed, and that are believed.
    pub listed: usize,
}

impl Keys {
    /// Opens the keys with one of them.
    pub fn open(
        store: Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        let opened = Opened::by_credential(&*store, credential, limits)?;
        Self::assemble(store, opened, world)
    }

    /// Opens the keys with a recovery kit.
    pub fn open_by_kit(
        store: Arc<dyn Store>,
        kit: &RecoveryKit,
        passphrase: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        let opened = Opened::by(&*store, &mut || unlock_kit(kit, passphrase, limits))?;
        Self::assemble(store, opened, world)
    }

    fn assemble(store: Arc<dyn Store>, opened: Opened, world: &World) -> Result<Self> {
        let entropy = Arc::clone(&world.entropy);
        let Opened { config, keyring, unlocked, .. } = opened;
        let unlocked = unlocked.ok_or_else(|| {
            let place = store.location();
            Error::new(ErrorKind::Usage, format!("{place} is not encrypted: it has no keys"))
        })?;
        Ok(Self { store, config, keyring, unlocked, entropy })
    }

    /// Returns what the credential opened.
    pub fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// Returns the repository key; fails for a write-only key, which does not have it.
    fn key(&self) -> Result<&RepositoryKey> {
        self.unlocked.key().ok_or_else(|| {
            Error::new(ErrorKind::WriteOnly, "this key may add backups, and change no keys")
        })
    }

    /// Lists the key slots, and the objects under `keys/` that are not key slots.
    pub fn list(&self) -> Result<KeySlots> {
        let mut all = KeySlots::default();
        for name in key_slot_names(&*self.store)? {
            let entry = read_key_slot(&*self.store, &name).and_then(|slot| {
                let note = slot.note(&self.keyring).map_err(|e| Error::damaged(&name, e))?;
                let (id, protection, role) = (slot.id(), slot.protection(), slot.role());
                let in_use = self.unlocked.slot == Some(id);
                let generation = slot.generation();
                let retired = generation < self.keyring.generation();
                Ok(KeySlotEntry { id, protection, role, generation, retired, note, in_use })
            });
            match entry {
                // An object under another key slot's name would be removed in its place.
                Ok(entry) if key_slot_object(entry.id) != name => {
                    let why = SealError::NotAuthentic { what: "key slot" };
                    all.damaged.push((name.clone(), Error::damaged(&name, why)));
                }
                Ok(entry) => all.slots.push(entry),
                Err(error) => all.damaged.push((name, error)),
            }
        }
        all.slots.sort_by_key(|entry| (entry.note.created_unix_seconds, entry.id));
        Ok(all)
    }

    /// Adds a key slot and returns its id.
    pub fn add(
        &self,
        role: Role,
        protection: Protection<'_>,
        note: &KeySlotNote,
    ) -> Result<KeySlotId> {
        let (keyring, key, entropy) = (&self.keyring, self.key()?, &*self.entropy);
        self.require_newest()?;
        let slot = match role {
            Role::Full => KeySlot::seal(keyring, key, protection, note, entropy),
            Role::WriteOnly => KeySlot::seal_write_only(keyring, key, protection, note, entropy),
        };
        let slot = slot.map_err(sealing_failed)?;
        put_key_slot(&*self.store, &slot)?;
        Ok(slot.id())
    }

    /// Refuses a key that may not add others: one that is write-only, or was retired.
    pub fn require_may_add(&self) -> Result<()> {
        self.key()?;
        self.require_newest()
    }

    /// Refuses to change anything with a key that a rotation retired.
    fn require_newest(&self) -> Result<()> {
        require_newest(&*self.store, &self.keyring, &key_names(&*self.store)?)
    }

    /// Removes a key slot, but never the last that opens everything.
    pub fn remove(&self, id: KeySlotId) -> Result<()> {
        self.key()?;
        self.require_newest()?;
        let remains =
            |entry: &KeySlotEntry| entry.id != id && entry.role == Role::Full && !entry.retired;
        if !self.list()?.slots.iter().any(remains) {
            let what = format!("key {id} is the only one: without it nothing opens the repository");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let name = key_slot_object(id);
        self.store.delete(&name).map_err(|e| e.named(format!("cannot remove {name}")))
    }

    /// Puts a new key slot in the place of one, under the same label.
    pub fn replace(&self, id: KeySlotId, protection: Protection<'_>) -> Result<KeySlotId> {
        let old = self.find(&id.to_string())?;
        let new = self.add(old.role, protection, &old.note)?;
        self.remove(id)?;
        Ok(new)
    }

    /// Tells whether a passphrase opens the key slot that is in use.
    pub fn is_opened_by(&self, passphrase: &Passphrase, limits: &Limits) -> Result<bool> {
        let Some(id) = self.unlocked.slot else { return Ok(false) };
        let slot = read_key_slot(&*self.store, &key_slot_object(id))?;
        Ok(slot.open(&Credential::Passphrase(passphrase.duplicate()), limits).is_ok())
    }

    /// Draws a new key for all that is stored from now on; `protection` is for a new key slot in
    /// the place of the one in use, and must not open that one.
    ///
    /// Objects that were sealed before stay as they are, and are believed as far as they are there
    /// now.
    pub fn rotate(
        &self,
        protection: Protection<'_>,
        note: &KeySlotNote,
        gaps: Gaps,
    ) -> Result<Rotated> {
        self.rotate_after(protection, note, gaps, &mut || Ok(()))
    }

    /// Rotates the keys like `rotate`, but calls `ready` once nothing stands in the way, right
    /// before the new key comes into force. If `ready` fails, the rotation is given up.
    pub fn rotate_after(
        &self,
        protection: Protection<'_>,
        note: &KeySlotNote,
        gaps: Gaps,
        ready: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Rotated> {
        let (store, key) = (&*self.store, self.key()?);
        let next = key.generation() + 1;
        if next > GENERATION_MAX {
            let what = format!("the keys were rotated {GENERATION_MAX} times, and can't be again");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        // Announcements that stand already are of rotations that were interrupted, or hang: they
        // stay until a new key slot does, so that no run goes on until then.
        let before = key_names(store)?;
        if key_slot_since(store, &before, next)?.is_some() {
            let what = "the keys were rotated already, and the one in use was retired";
            return Err(Error::new(ErrorKind::RetiredSlot, what));
        }
        let repository = self.repository()?;
        let seen = trusted_listing(&repository, gaps)?;
        let announcement = self.announce(next, note)?;
        let begun = self.close(next, &before, &announcement, &seen);
        let (closing, listed) = begun.map_err(|e| self.withdraw(&[&announcement], e))?;
        let key = key.rotated(closing, &*self.entropy);
        let (repository, suite) = (self.keyring.repository(), self.keyring.suite());
        let keyring = Keyring::new(repository, suite, &key);
        let slot = KeySlot::seal(&keyring, &key, protection, note, &*self.entropy)
            .map_err(|e| self.withdraw(&[&announcement], sealing_failed(e)))?;
        self.require_standing(&announcement)?;
        ready().map_err(|e| self.withdraw(&[&announcement], e))?;
        // From here on the new key is in force. An error may come after the key slot was stored:
        // then the announcement stays, and nothing is written that the new key would not believe.
        put_key_slot(store, &slot)?;
        let added = key_slot_object(slot.id());
        self.require_alone(next, &added).map_err(|e| self.withdraw(&[&added, &announcement], e))?;
        let stale = |name: &&ObjectName| announced(name) == Some(next);
        for name in before.iter().filter(stale) {
            delete(store, name)?;
        }
        let removed = self.unlocked.slot;
        if let Some(old) = removed {
            delete(store, &key_slot_object(old))?;
        }
        let unlocked =
            Unlocked { contents: SlotContents::Key(key), repository, suite, slot: Some(slot.id()) };
        let store = Arc::clone(&self.store);
        let (entropy, config) = (Arc::clone(&self.entropy), self.config.clone());
        let mut retired = Self { store, config, keyring, unlocked, entropy }.list()?.slots;
        retired.retain(|entry| entry.retired);
        Ok(Rotated { generation: next, added: slot.id(), removed, retired, listed })
    }

    /// Returns the repository, as the key in use opens it.
    fn repository(&self) -> Result<Repository> {
        let (config, keyring) = (self.config.clone(), self.unlocked.keyring());
        let opened = Opened { config, keyring, unlocked: None, key_names: None };
        Repository::assemble(Arc::clone(&self.store), opened, Arc::clone(&self.entropy))
    }

    /// Makes the list durable that closes the generation before `next`, if no other rotation was
    /// announced at the same moment; returns its hash, and how much is on it.
    fn close(
        &self,
        next: u8,
        before: &[ObjectName],
        own: &ObjectName,
        seen: &BTreeSet<[u8; 32]>,
    ) -> Result<(Closing, usize)> {
        let store = &*self.store;
        let names = key_names(store)?;
        let place = store.location();
        if !names.contains(own) {
            let what = format!("{place} does not list {own}, which was just put there");
            return Err(Error::new(ErrorKind::Store, what));
        }
        let is_new = |name: &&ObjectName| *name != own && !before.contains(name);
        for other in names.iter().filter(is_new) {
            if is_announcement(store, &self.keyring, next, other)? {
                let what = format!(
                    "another rotation of the keys began at the same moment ({other}); this one was \
                     given up"
                );
                return Err(Error::new(ErrorKind::RetiredSlot, what));
            }
        }
        let hashes = sealed_hashes(store)?;
        let lost = seen.difference(&hashes).count();
        if lost > 0 {
            let what = format!(
                "{place} did not list {lost} objects that it had listed a moment \
                 before; nothing was changed"
            );
            return Err(Error::new(ErrorKind::Gap, what));
        }
        let listed = hashes.len();
        let repository = *self.keyring.repository().bytes();
        let retired = Retired { repository, generation: next - 1, hashes };
        Ok((put_retired(store, &retired)?, listed))
    }

    fn require_standing(&self, announcement: &ObjectName) -> Result<()> {
        let stands = self
            .store
            .size(announcement)
            .map_err(|e| e.named(format!("cannot look for {announcement}")))?;
        if stands.is_none() {
            let what =
                format!("{announcement} was removed during the rotation, which was given up");
            return Err(Error::new(ErrorKind::RetiredSlot, what));
        }
        Ok(())
    }

    /// Makes sure that the new key slot is there and no other one of its generation.
    fn require_alone(&self, next: u8, own: &ObjectName) -> Result<()> {
        let mut names = key_names(&*self.store)?;
        let Some(at) = names.iter().position(|name| name == own) else {
            let place = self.store.location();
            let what = format!("{place} does not list {own}, which was just put there");
            return Err(Error::new(ErrorKind::Store, what));
        };
        names.remove(at);
        match key_slot_since(&*self.store, &names, next)? {
            None => Ok(()),
            Some(other) => {
                let what = format!(
                    "another rotation of the keys took place at the same moment ({other}); this \
                     one was undone"
                );
                Err(Error::new(ErrorKind::RetiredSlot, what))
            }
        }
    }

    /// Removes what this rotation put; returns why it failed, and what stays if that can't be
    /// removed.
    fn withdraw(&self, objects: &[&ObjectName], why: Error) -> Error {
        for name in objects {
            if let Err(error) = delete(&*self.store, name) {
                let what = format!("{}; {name} stays there", why.with_causes());
                return Error::new(why.kind(), what).because(error);
            }
        }
        why
    }

    /// Announces to current and future runs that the keys are being rotated.
    fn announce(&self, next: u8, note: &KeySlotNote) -> Result<ObjectName> {
        let text = note.created_unix_seconds.to_le_bytes();
        let sealed = self
            .keyring
            .seal_object(ObjectKind::Rotation, &[next], &text, &*self.entropy)
            .map_err(sealing_failed)?;
        let name = rotation_object(next, &sealed);
        self.store
            .put(&name, &[Bytes::from(sealed)])
            .map_err(|e| e.named(format!("cannot write {name}")))?;
        Ok(name)
    }

    /// Finds the key slot that a user means: an id, or the beginning of one.
    pub fn find(&self, wanted: &str) -> Result<KeySlotEntry> {
        let slots = self.list()?.slots;
        let found: Vec<_> =
            slots.into_iter().filter(|entry| entry.id.to_string().starts_with(wanted)).collect();
        match found.as_slice() {
            [entry] => Ok(entry.clone()),
            [] => Err(Error::new(ErrorKind::Usage, format!("there is no key {wanted}"))),
            several => {
                let what = format!("{wanted} is the beginning of {} keys", several.len());
                Err(Error::new(ErrorKind::Usage, what))
            }
        }
    }

    /// Puts the key on paper: sealed by a passphrase, or as it is.
    pub fn kit(
        &self,
        passphrase: Option<(&Passphrase, KdfCost)>,
        note: &KeySlotNote,
    ) -> Result<RecoveryKit> {
        self.key()?;
        match passphrase {
            None => RecoveryKit::in_clear(&self.unlocked).map_err(sealing_failed),
            Some((passphrase, cost)) => {
                RecoveryKit::sealed(&self.unlocked, passphrase, cost, note, &*self.entropy)
                    .map_err(sealing_failed)
            }
        }
    }
}

fn delete(store: &dyn Store, name: &ObjectName) -> Result<()> {
    store.delete(name).map_err(|e| e.named(format!("cannot remove {name}")))
}

/// Returns the name of a key slot of `generation` or a later one, if `names` has one.
fn key_slot_since(
    store: &dyn Store,
    names: &[ObjectName],
    generation: u8,
) -> Result<Option<ObjectName>> {
    for name in names.iter().filter(|name| !is_of_rotation(name)) {
        match read_key_slot(store, name) {
            Ok(slot) if slot.generation() >= generation => return Ok(Some(name.clone())),
            Ok(_) => {}
            // It was removed since it was listed, or is none.
            Err(error) if [ErrorKind::Missing, ErrorKind::Damaged].contains(&error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Returns the hashes of all that is listed and believed by its seal; fails if some of it is
/// missing from the list. Objects that are not listed when the keys are rotated are not believed
/// any more.
fn trusted_listing(repository: &Repository, gaps: Gaps) -> Result<BTreeSet<[u8; 32]>> {
    let store = &**repository.store();
    require_no_deleter(repository)?;
    let hashes = sealed_hashes(store)?;
    if gaps == Gaps::Accepted {
        return Ok(hashes);
    }
    let place = store.location();
    let refused = |what: String| {
        let advice = "nothing was changed; if it is as it should be, give --with-gaps";
        Error::new(ErrorKind::Gap, format!("{place} {what}: {advice}"))
    };
    let listing = repository.snapshots()?;
    let there = repository.listed_snapshots(None)?;
    let ids: BTreeSet<SnapshotId> = there.iter().map(|name| name.id).collect();
    let hidden = repository.hidden(None)?;
    let is_known = |id: SnapshotId| -> Result<bool> {
        let was_removed = || repository.removal_of(hidden.removals(), id, &mut Vec::new());
        Ok(ids.contains(&id) || was_removed()?.is_some())
    };
    if ids.is_empty() {
        let mut packs = 0_u64;
        let prefix = Folder::Packs.prefix();
        store
            .list(prefix, &mut |_| packs += 1)
            .map_err(|e| e.named(format!("cannot list {prefix}")))?;
        if packs > 0 {
            return Err(refused(format!("lists {packs} packs and no snapshot")));
        }
    }
    for stored in &listing.snapshots {
        let Some(parent) = &stored.snapshot.about.parent else { continue };
        let known = SnapshotId::from_hex(parent).map(is_known).transpose()?;
        let id = stored.id();
        if known != Some(true) && !repository.notes(Some(id))?.lost_elsewhere(id, parent) {
            let (id, parent) = (stored.id().short(), parent.get(..8).unwrap_or_default());
            return Err(refused(format!(
                "lists snapshot {id}, and not {parent}, which it follows"
            )));
        }
    }
    let mut listed = Vec::new();
    let prefix = Folder::Notes.prefix();
    store
        .list(prefix, &mut |meta| listed.extend(Object::parse(&meta.name)))
        .map_err(|e| e.named(format!("cannot list {prefix}")))?;
    for object in listed {
        if let Object::Note { about: Subject::Snapshot(id), .. } = object
            && !is_known(id)?
        {
            let id = id.short();
            return Err(refused(format!("lists a note about snapshot {id}, and not that")));
        }
    }
    Ok(hashes)
}

/// Refuses a rotation beside a run that deletes: what that puts after the list was made would not
/// be believed, and what it had removed would come back without packs.
fn require_no_deleter(repository: &Repository) -> Result<()> {
    if !repository.has_intents() {
        return Ok(());
    }
    let standing = repository.standing()?;
    let Some(run) = standing.deleter() else { return Ok(()) };
    let (verb, id) = (run.verb.name(), run.run);
    let objects: Vec<&str> = run.objects.iter().map(ObjectName::as_str).collect();
    let what = format!(
        "a {verb} stands (run {id}); if it is known to be dead, remove its intent first: {}",
        objects.join(", ")
    );
    Err(Error::new(ErrorKind::Busy, what))
}

/// Returns the hashes in the names of all that is believed by its seal, and of the snapshots that
/// were removed.
fn sealed_hashes(store: &dyn Store) -> Result<BTreeSet<[u8; 32]>> {
    let mut hashes = BTreeSet::new();
    let folders = [
        Folder::Snapshots,
        Folder::Notes,
        Folder::Fences,
        Folder::Removed,
        Folder::Cleared,
        Folder::Verified,
    ];
    for folder in folders {
        let folder = folder.prefix();
        let mut add = |meta: ObjectMeta| {
            hashes.extend(content_hash(&meta.name));
            // A copy may keep it for longer.
            if let Some(Object::Removed { snapshot, .. }) = Object::parse(&meta.name) {
                hashes.insert(snapshot.0);
            }
        };
        store.list(folder, &mut add).map_err(|e| e.named(format!("cannot list {folder}")))?;
    }
    Ok(hashes)
}

/// Makes the list durable that closes a generation, and reads it again: without it nothing of that
/// generation is believed any more.
fn put_retired(store: &dyn Store, retired: &Retired) -> Result<Closing> {
    let bytes = Bytes::from(retired.encode());
    if u64_of(bytes.len()) > SMALL_OBJECT_BYTES_MAX {
        let what = format!("{} objects to believe are too many", retired.hashes.len());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let closing = *blake3::hash(&bytes).as_bytes();
    let name = retired_object(retired.generation, &closing);
    store
        .put(&name, std::slice::from_ref(&bytes))
        .map_err(|e| e.named(format!("cannot write {name}")))?;
    let read = store
        .get(&name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| e.named(format!("cannot read {name}")))?;
    if read != bytes {
        let why = Malformed { what: "list of a retired generation", why: "is not what was put" };
        return Err(Error::damaged(&name, why));
    }
    Ok(closing)
}

/// Returns the key slots of a repository that can't be read, and why.
pub fn damaged_key_slots(repository: &Repository) -> Result<Vec<(ObjectName, Error)>> {
    let store = &**repository.store();
    let mut damaged = Vec::new();
    for name in key_slot_names(store)? {
        match read_key_slot(store, &name) {
            Ok(slot) if key_slot_object(slot.id()) == name => {}
            Ok(_) => {
                let why = Malformed { what: "key slot", why: "has another name" };
                damaged.push((name.clone(), Error::damaged(&name, why)));
            }
            Err(error) if error.kind() == ErrorKind::Damaged => damaged.push((name, error)),
            // It was removed since it was listed.
            Err(error) if error.kind() == ErrorKind::Missing => {}
            Err(error) => return Err(error),
        }
    }
    Ok(damaged)
}
