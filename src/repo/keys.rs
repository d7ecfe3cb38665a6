//! Who can open a repository: holders added, changed, removed, and the key put on paper.
//!
//! Every holder is an object of its own, so nothing here touches a pack, and a change that is
//! interrupted leaves one holder too many, never one too few: what is new is durable before what is
//! old goes. Removing a holder protects the future of the object `keys/<id>`; whoever kept a copy
//! of it, or of the repository key, keeps what that opens.
//!
//! A rotation draws a new key for what is stored from then on. What comes last is the new holder:
//! before it is durable nothing has changed, and a rotation that was interrupted is begun again.
//!
//! [`Keys`] has the repository key itself, which a [`Repository`](crate::repo::Repository) has not:
//! it lives as long as a change of keys takes.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::wide;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::content_hash;
use crate::format::retired::Retired;
use crate::repo::Opened;
use crate::repo::founding::put_and_compare;
use crate::repo::generations::announced;
use crate::repo::generations::is_of_rotation;
use crate::repo::generations::key_names;
use crate::repo::generations::require_newest;
use crate::repo::generations::retired_object;
use crate::repo::generations::rotation_object;
use crate::repo::not_stretched;
use crate::repo::sealing_failed;
use crate::repo::store_error;
use crate::seal::error::SealError;
use crate::seal::held::Held;
use crate::seal::held::Role;
use crate::seal::holder::Cost;
use crate::seal::holder::Credential;
use crate::seal::holder::Holder;
use crate::seal::holder::HolderNote;
use crate::seal::holder::Limits;
use crate::seal::holder::Passphrase;
use crate::seal::holder::Protection;
use crate::seal::holder::ProtectionKind;
use crate::seal::holder::Unlocked;
use crate::seal::ids::HolderId;
use crate::seal::keys::Closing;
use crate::seal::keys::GENERATION_MAX;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::kit::RecoveryKit;
use crate::seal::object::ObjectKind;
use crate::store::Store;
use crate::store::name::ObjectName;

/// The keys of an encrypted repository, opened to be changed.
#[derive(Debug)]
pub struct Keys {
    store: Arc<dyn Store>,
    keyring: Keyring,
    unlocked: Unlocked,
    entropy: Arc<dyn Entropy>,
}

/// A holder as those see it who can open the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderEntry {
    /// Its name under `keys/`.
    pub id: HolderId,
    /// What opens it.
    pub protection: ProtectionKind,
    /// What it may do.
    pub role: Role,
    /// The newest generation of keys that it has.
    pub generation: u8,
    /// Whether a rotation left it behind: it opens what was stored before.
    pub left_behind: bool,
    /// Its label and age.
    pub note: HolderNote,
    /// Whether it is the one that was used just now.
    pub in_use: bool,
}

/// All holders, and objects that should be holders and are not.
#[derive(Debug, Default)]
pub struct Holders {
    /// Oldest first.
    pub holders: Vec<HolderEntry>,
    /// What is under `keys/` besides, and why it is no holder.
    pub damaged: Vec<(ObjectName, Error)>,
}

/// What came of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The generation that began.
    pub generation: u8,
    /// The new holder, in the place of the one that was used.
    pub added: HolderId,
    /// That one; a recovery kit is none.
    pub removed: Option<HolderId>,
    /// Holders that open what was stored before, and nothing else.
    pub left_behind: Vec<HolderEntry>,
    /// Snapshots and notes that the former keys had sealed, and that are believed.
    pub listed: usize,
}

impl Keys {
    /// Opens the keys with one of them.
    pub fn open(
        store: Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Keys> {
        let opened = Opened::by_credential(&*store, credential, limits)?;
        Keys::assemble(store, opened, entropy)
    }

    /// Opens them with a recovery kit.
    pub fn open_by_kit(
        store: Arc<dyn Store>,
        kit: &RecoveryKit,
        passphrase: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Keys> {
        let opened = Opened::by(&*store, &mut || unlock_kit(kit, passphrase, limits))?;
        Keys::assemble(store, opened, entropy)
    }

    fn assemble(store: Arc<dyn Store>, opened: Opened, entropy: Arc<dyn Entropy>) -> Result<Keys> {
        let Opened { keyring, unlocked, .. } = opened;
        let unlocked = unlocked.ok_or_else(|| {
            let place = store.location();
            Error::new(ErrorKind::Usage, format!("{place} is not encrypted: it has no keys"))
        })?;
        Ok(Keys { store, keyring, unlocked, entropy })
    }

    /// What was opened.
    pub fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The repository key, which a write-only holder has not.
    fn key(&self) -> Result<&RepositoryKey> {
        self.unlocked.key().ok_or_else(|| {
            Error::new(ErrorKind::WriteOnly, "this key may add backups, and change no keys")
        })
    }

    /// Lists the holders.
    pub fn list(&self) -> Result<Holders> {
        let mut all = Holders::default();
        for name in holder_names(&*self.store)? {
            let entry = read_holder(&*self.store, &name).and_then(|holder| {
                let note = holder.note(&self.keyring).map_err(|e| Error::damaged(&name, e))?;
                let (id, protection, role) = (holder.id(), holder.protection(), holder.role());
                let in_use = self.unlocked.holder == Some(id);
                let generation = holder.generation();
                let left_behind = generation < self.keyring.generation();
                Ok(HolderEntry { id, protection, role, generation, left_behind, note, in_use })
            });
            match entry {
                // An object under another holder's name would be removed in its place.
                Ok(entry) if holder_object(entry.id) != name => {
                    let why = SealError::NotAuthentic { what: "key holder" };
                    all.damaged.push((name.clone(), Error::damaged(&name, why)));
                }
                Ok(entry) => all.holders.push(entry),
                Err(error) => all.damaged.push((name, error)),
            }
        }
        all.holders.sort_by_key(|entry| (entry.note.created_unix_seconds, entry.id));
        Ok(all)
    }

    /// Adds a holder.
    pub fn add(
        &self,
        role: Role,
        protection: Protection<'_>,
        note: &HolderNote,
    ) -> Result<HolderId> {
        let (keyring, key, entropy) = (&self.keyring, self.key()?, &*self.entropy);
        self.require_newest()?;
        let holder = match role {
            Role::Full => Holder::seal(keyring, key, protection, note, entropy),
            Role::WriteOnly => Holder::seal_write_only(keyring, key, protection, note, entropy),
        };
        let holder = holder.map_err(sealing_failed)?;
        put_holder(&*self.store, &holder)?;
        Ok(holder.id())
    }

    /// Refuses to change anything with a key that a rotation left behind.
    fn require_newest(&self) -> Result<()> {
        require_newest(&*self.store, &self.keyring, &key_names(&*self.store)?)
    }

    /// Removes a holder, but never the last that opens everything.
    pub fn remove(&self, id: HolderId) -> Result<()> {
        self.key()?;
        self.require_newest()?;
        let remains =
            |entry: &HolderEntry| entry.id != id && entry.role == Role::Full && !entry.left_behind;
        if !self.list()?.holders.iter().any(remains) {
            let what = format!("key {id} is the only one: without it nobody opens the repository");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let name = holder_object(id);
        self.store.delete(&name).map_err(|e| store_error(format!("cannot remove {name}"), e))
    }

    /// Puts a new holder in the place of one, under the same label.
    pub fn replace(&self, id: HolderId, protection: Protection<'_>) -> Result<HolderId> {
        let old = self.find(&id.to_string())?;
        let new = self.add(old.role, protection, &old.note)?;
        self.remove(id)?;
        Ok(new)
    }

    /// Whether a passphrase opens the holder that is in use.
    pub fn is_opened_by(&self, passphrase: &Passphrase, limits: &Limits) -> Result<bool> {
        let Some(id) = self.unlocked.holder else { return Ok(false) };
        let holder = read_holder(&*self.store, &holder_object(id))?;
        Ok(holder.open(&Credential::Passphrase(passphrase.duplicate()), limits).is_ok())
    }

    /// Draws a new key for all that is stored from now on; `protection` is for a new holder in the
    /// place of the one in use, and must not open that one.
    ///
    /// What was sealed before stays as it is and is believed as far as it stands there now.
    pub fn rotate(&self, protection: Protection<'_>, note: &HolderNote) -> Result<Rotated> {
        let (store, key) = (&*self.store, self.key()?);
        let next = key.generation() + 1;
        if next > GENERATION_MAX {
            let what = format!("the keys were rotated {GENERATION_MAX} times, and can't be again");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let names = key_names(store)?;
        // A holder of a later generation says that a rotation took place; an announcement alone is
        // of one that was interrupted, and can't take place any more once it is gone.
        let later = |name: &ObjectName| {
            !is_of_rotation(name)
                && read_holder(store, name).is_ok_and(|holder| holder.generation() >= next)
        };
        if names.iter().any(later) {
            let what = "the keys were rotated already, and the one in use was left behind";
            return Err(Error::new(ErrorKind::LeftBehind, what));
        }
        for stale in names.iter().filter(|name| announced(name) == Some(next)) {
            delete(store, stale)?;
        }
        let announcement = self.announce(next, note)?;
        let retired = Retired {
            repository: *self.keyring.repository().bytes(),
            generation: key.generation(),
            hashes: sealed_hashes(store)?,
        };
        let listed = retired.hashes.len();
        let closing = put_retired(store, &retired)?;
        let key = key.rotated(closing, &*self.entropy);
        let (repository, suite) = (self.keyring.repository(), self.keyring.suite());
        let keyring = Keyring::new(repository, suite, &key);
        let holder = Holder::seal(&keyring, &key, protection, note, &*self.entropy)
            .map_err(sealing_failed)?;
        let stands = store
            .size(&announcement)
            .map_err(|e| store_error(format!("cannot look for {announcement}"), e))?;
        if stands.is_none() {
            let what = "another rotation of the keys began meanwhile; this one was given up";
            return Err(Error::new(ErrorKind::LeftBehind, what));
        }
        // From here on the new key is in force.
        put_holder(store, &holder)?;
        let removed = self.unlocked.holder;
        if let Some(old) = removed {
            delete(store, &holder_object(old))?;
        }
        let unlocked =
            Unlocked { held: Held::Key(key), repository, suite, holder: Some(holder.id()) };
        let store = Arc::clone(&self.store);
        let entropy = Arc::clone(&self.entropy);
        let mut left_behind = Keys { store, keyring, unlocked, entropy }.list()?.holders;
        left_behind.retain(|entry| entry.left_behind);
        Ok(Rotated { generation: next, added: holder.id(), removed, left_behind, listed })
    }

    /// Tells runs that are on their way, and those that begin, that the keys are being rotated.
    fn announce(&self, next: u8, note: &HolderNote) -> Result<ObjectName> {
        let text = note.created_unix_seconds.to_le_bytes();
        let sealed = self
            .keyring
            .seal_object(ObjectKind::Rotation, &[next], &text, &*self.entropy)
            .map_err(sealing_failed)?;
        let name = rotation_object(next, &sealed);
        self.store
            .put(&name, &[Bytes::from(sealed)])
            .map_err(|e| store_error(format!("cannot write {name}"), e))?;
        Ok(name)
    }

    /// The holder that a user means: an id, or the beginning of one.
    pub fn find(&self, wanted: &str) -> Result<HolderEntry> {
        let holders = self.list()?.holders;
        let found: Vec<_> =
            holders.into_iter().filter(|entry| entry.id.to_string().starts_with(wanted)).collect();
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
        passphrase: Option<(&Passphrase, Cost)>,
        note: &HolderNote,
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

pub(super) fn holder_object(id: HolderId) -> ObjectName {
    Object::Key(*id.bytes()).name()
}

pub(super) fn put_holder(store: &dyn Store, holder: &Holder) -> Result<()> {
    let bytes = Bytes::from(holder.encode());
    put_and_compare(store, &holder_object(holder.id()), &bytes)
}

pub(super) fn read_holder(store: &dyn Store, name: &ObjectName) -> Result<Holder> {
    let bytes = store
        .get(name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| store_error(format!("cannot read {name}"), e))?;
    Holder::decode(&bytes).map_err(|e| Error::damaged(name, e))
}

fn delete(store: &dyn Store, name: &ObjectName) -> Result<()> {
    store.delete(name).map_err(|e| store_error(format!("cannot remove {name}"), e))
}

/// The hashes in the names of all that is believed by its seal alone.
fn sealed_hashes(store: &dyn Store) -> Result<BTreeSet<[u8; 32]>> {
    let mut hashes = BTreeSet::new();
    for folder in [Folder::Snapshots, Folder::Notes] {
        let folder = folder.prefix();
        store
            .list(folder, &mut |meta| hashes.extend(content_hash(&meta.name)))
            .map_err(|e| store_error(format!("cannot list {folder}"), e))?;
    }
    Ok(hashes)
}

/// Makes the list durable that closes a generation, and reads it again: without it nothing of that
/// generation is believed any more.
fn put_retired(store: &dyn Store, retired: &Retired) -> Result<Closing> {
    let bytes = Bytes::from(retired.encode());
    if wide(bytes.len()) > SMALL_OBJECT_BYTES_MAX {
        let what = format!("{} snapshots and notes are too many", retired.hashes.len());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    let closing = *blake3::hash(&bytes).as_bytes();
    let name = retired_object(retired.generation, &closing);
    store
        .put(&name, std::slice::from_ref(&bytes))
        .map_err(|e| store_error(format!("cannot write {name}"), e))?;
    let read = store
        .get(&name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| store_error(format!("cannot read {name}"), e))?;
    if read != bytes {
        let why = Malformed { what: "list of a retired generation", why: "is not what was put" };
        return Err(Error::damaged(&name, why));
    }
    Ok(closing)
}

fn holder_names(store: &dyn Store) -> Result<Vec<ObjectName>> {
    let mut names = key_names(store)?;
    names.retain(|name| !is_of_rotation(name));
    Ok(names)
}

/// Puts the holders of newer generations first: one password may open several.
fn newest_first(store: &dyn Store, names: &mut [ObjectName]) {
    let generation =
        |name: &ObjectName| read_holder(store, name).map_or(0, |holder| holder.generation());
    names.sort_by_cached_key(|name| std::cmp::Reverse(generation(name)));
}

/// Tries a credential on every holder; gives the names under `keys/` as well.
pub(super) fn unlock(
    store: &dyn Store,
    credential: &Credential,
    limits: &Limits,
) -> Result<(Unlocked, Vec<ObjectName>)> {
    let all = key_names(store)?;
    let mut names: Vec<ObjectName> =
        all.iter().filter(|name| !is_of_rotation(name)).cloned().collect();
    if names.len() < all.len() {
        newest_first(store, &mut names);
    }
    if names.is_empty() {
        return Err(Error::new(ErrorKind::Damaged, "the repository has no key left"));
    }
    let mut reason: Option<Box<dyn StdError + Send + Sync>> = None;
    for name in names {
        let holder = match read_holder(store, &name) {
            Ok(holder) => holder,
            Err(error) => {
                reason.get_or_insert(error.into());
                continue;
            }
        };
        match holder.open(credential, limits) {
            Ok(unlocked) => return Ok((unlocked, all)),
            Err(error @ SealError::NotEnoughMemory(_)) => return Err(not_stretched(error)),
            // That a holder needs something else tells less than that what it needs is wrong.
            Err(error @ SealError::OtherCredential { .. }) => {
                reason.get_or_insert(error.into());
            }
            Err(error) => reason = Some(error.into()),
        }
    }
    let reason = reason.expect("there was a name, and it did not open");
    let what = match credential {
        Credential::Passphrase(_) => "no key of this repository opens with this password",
        Credential::KeyFile(_) => "no key of this repository opens with this key file",
    };
    Err(Error::new(ErrorKind::WrongKey, what).because(reason))
}

pub(super) fn unlock_kit(
    kit: &RecoveryKit,
    passphrase: &mut dyn FnMut() -> Result<Credential>,
    limits: &Limits,
) -> Result<Unlocked> {
    let passphrase = if kit.needs_passphrase() { Some(passphrase()?) } else { None };
    kit.open(passphrase.as_ref(), limits).map_err(|e| {
        if matches!(e, SealError::NotEnoughMemory(_)) {
            return not_stretched(e);
        }
        Error::new(ErrorKind::WrongKey, "the recovery kit does not open with this password")
            .because(e)
    })
}
