//! The key slots of a repository as objects: found, read, put, and opened with a credential.
//!
//! It changes none; see [`keys`](crate::repo::keys).

use std::error::Error as StdError;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::repo::founding::put_and_compare;
use crate::repo::sealing::not_stretched;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::ids::KeySlotId;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::Unlocked;
use crate::seal::recovery_kit::RecoveryKit;
use crate::store::Store;
use crate::store::name::ObjectName;

/// Returns the name of the object of a key slot.
pub(super) fn key_slot_object(id: KeySlotId) -> ObjectName {
    Object::Key(*id.bytes()).name()
}

/// Puts a key slot, and reads it again.
pub(super) fn put_key_slot(store: &dyn Store, slot: &KeySlot) -> Result<()> {
    let bytes = Bytes::from(slot.encode());
    put_and_compare(store, &key_slot_object(slot.id()), &bytes)
}

/// Reads a key slot by its name.
pub(super) fn read_key_slot(store: &dyn Store, name: &ObjectName) -> Result<KeySlot> {
    let bytes = store
        .get(name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| e.named(format!("cannot read {name}")))?;
    KeySlot::decode(&bytes).map_err(|e| Error::damaged(name, e))
}

/// Returns the names under `keys/`, sorted.
pub(super) fn key_names(store: &dyn Store) -> Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    store
        .list(Folder::Keys.prefix(), &mut |meta| names.push(meta.name))
        .map_err(|e| e.named("cannot list the keys"))?;
    names.sort();
    Ok(names)
}

/// Tells whether an object of `keys/` announces a rotation or closes a generation: all
/// others are key slots.
pub(super) fn is_of_rotation(name: &ObjectName) -> bool {
    matches!(Object::parse(name), Some(Object::Rotation { .. } | Object::Retired { .. }))
}

/// Returns the names of all key slots, sorted.
pub(super) fn key_slot_names(store: &dyn Store) -> Result<Vec<ObjectName>> {
    let mut names = key_names(store)?;
    names.retain(|name| !is_of_rotation(name));
    Ok(names)
}

/// Puts the key slots of newer generations first: one password may open several.
fn newest_first(store: &dyn Store, names: &mut [ObjectName]) {
    let generation =
        |name: &ObjectName| read_key_slot(store, name).map_or(0, |slot| slot.generation());
    names.sort_by_cached_key(|name| std::cmp::Reverse(generation(name)));
}

/// Tries a credential on every key slot; also returns the names under `keys/`.
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
        let slot = match read_key_slot(store, &name) {
            Ok(slot) => slot,
            Err(error) => {
                reason.get_or_insert(error.into());
                continue;
            }
        };
        match slot.open(credential, limits) {
            Ok(unlocked) => return Ok((unlocked, all)),
            Err(error @ SealError::NotEnoughMemory(_)) => return Err(not_stretched(error)),
            // That a key slot needs something else tells less than that what it needs is wrong.
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

/// Opens a recovery kit; `passphrase` is asked only if the kit has one.
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
