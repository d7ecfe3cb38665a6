//! Who can open a repository: holders added, changed, removed, and the key put on paper.
//!
//! Every holder is an object of its own, so nothing here touches a pack, and a change that is
//! interrupted leaves one holder too many, never one too few: what is new is durable before what is
//! old goes. Removing a holder protects the future of the object `keys/<id>`; whoever kept a copy
//! of it, or of the repository key, keeps what that opens.
//!
//! [`Keys`] has the repository key itself, which a [`Repository`](crate::repo::Repository) has not:
//! it lives as long as a change of keys takes.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::repo::Opened;
use crate::repo::sealing_failed;
use crate::repo::store_error;
use crate::seal::error::SealError;
use crate::seal::holder::Cost;
use crate::seal::holder::Credential;
use crate::seal::holder::Holder;
use crate::seal::holder::HolderNote;
use crate::seal::holder::Limits;
use crate::seal::holder::Passphrase;
use crate::seal::holder::Protection;
use crate::seal::holder::ProtectionKind;
use crate::seal::holder::Role;
use crate::seal::holder::Unlocked;
use crate::seal::ids::HolderId;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::kit::RecoveryKit;
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

impl Keys {
    /// Opens the keys with one of them.
    pub fn open(
        store: Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Keys> {
        let opened = Opened::by(&*store, &mut || unlock(&*store, &credential()?, limits))?;
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
                Ok(HolderEntry { id, protection, role, note, in_use })
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
        let holder = match role {
            Role::Full => Holder::seal(keyring, key, protection, note, entropy),
            Role::WriteOnly => Holder::seal_write_only(keyring, key, protection, note, entropy),
        };
        let holder = holder.map_err(sealing_failed)?;
        put_holder(&*self.store, &holder)?;
        Ok(holder.id())
    }

    /// Removes a holder, but never the last that opens everything.
    pub fn remove(&self, id: HolderId) -> Result<()> {
        self.key()?;
        let remains = |entry: &HolderEntry| entry.id != id && entry.role == Role::Full;
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

fn holder_object(id: HolderId) -> ObjectName {
    ObjectName::new(&format!("keys/{id}")).expect("hexadecimal is valid")
}

pub(super) fn put_holder(store: &dyn Store, holder: &Holder) -> Result<()> {
    let bytes = Bytes::from(holder.encode());
    store
        .put(&holder_object(holder.id()), &[bytes])
        .map_err(|e| store_error("cannot write the key", e))
}

fn read_holder(store: &dyn Store, name: &ObjectName) -> Result<Holder> {
    let bytes = store
        .get(name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| store_error(format!("cannot read {name}"), e))?;
    Holder::decode(&bytes).map_err(|e| Error::damaged(name, e))
}

fn holder_names(store: &dyn Store) -> Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    store
        .list("keys/", &mut |meta| names.push(meta.name))
        .map_err(|e| store_error("cannot list the keys", e))?;
    names.sort();
    Ok(names)
}

/// Tries a credential on every holder.
pub(super) fn unlock(
    store: &dyn Store,
    credential: &Credential,
    limits: &Limits,
) -> Result<Unlocked> {
    let names = holder_names(store)?;
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
            Ok(unlocked) => return Ok(unlocked),
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
        Error::new(ErrorKind::WrongKey, "the recovery kit does not open with this password")
            .because(e)
    })
}
