//! Generations of keys: whether the key in use is still the newest (FORMAT.md 11.6).
//!
//! The order of writes keeps a run from sealing unnoticed after its generation was closed: a
//! rotation announces itself before it lists what is there, a run puts its snapshot before it looks
//! for announcements. One of the two sees the other.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Object;
use crate::repo::Repository;
use crate::repo::key_slots::is_of_rotation;
use crate::repo::key_slots::key_names;
use crate::repo::key_slots::read_key_slot;
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::seal::suite::Suite;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// Returns the name of the object that announces a rotation to a generation.
pub(super) fn rotation_object(generation: u8, sealed: &[u8]) -> ObjectName {
    Object::Rotation { generation, hash: *blake3::hash(sealed).as_bytes() }.name()
}

/// Returns the generation that an object announces, if the object is an announcement.
pub(super) fn announced(name: &ObjectName) -> Option<u8> {
    let Object::Rotation { generation, .. } = Object::parse(name)? else { return None };
    Some(generation)
}

/// Tells whether an object announces a rotation to the generation `next` and was sealed with the
/// keys of the generation before it.
pub(super) fn is_announcement(
    store: &dyn Store,
    keyring: &Keyring,
    next: u8,
    name: &ObjectName,
) -> Result<bool> {
    if announced(name) != Some(next) {
        return Ok(false);
    }
    match store.get(name, SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => Ok(keyring.open_object(ObjectKind::Rotation, &[next], &bytes).is_ok()),
        // That rotation has been given up.
        Err(error) if error.category() == Category::NotFound => Ok(false),
        Err(error) => Err(error.named(format!("cannot read {name}"))),
    }
}

/// Refuses a key that a rotation retired, by the names under `keys/`.
pub(super) fn require_newest(
    store: &dyn Store,
    keyring: &Keyring,
    names: &[ObjectName],
) -> Result<()> {
    let next = keyring.generation() + 1;
    for name in names {
        if !is_announcement(store, keyring, next, name)? {
            continue;
        }
        let newer = |name: &ObjectName| {
            !is_of_rotation(name)
                && read_key_slot(store, name).is_ok_and(|slot| slot.generation() >= next)
        };
        let what = if names.iter().any(newer) {
            "the keys were rotated, and the one in use was retired: it opens what was stored \
             before, and writes nothing"
        } else {
            "the keys are being rotated, or a rotation was interrupted: nothing is written \
             until it is done"
        };
        return Err(Error::new(ErrorKind::RetiredSlot, what));
    }
    Ok(())
}

impl Repository {
    /// Tells whether an error says that something was sealed with a previous key after that key was
    /// retired. It does not if a list can't be read, because good objects would then seem
    /// overtaken.
    pub fn was_overtaken(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RetiredKey && self.believed.is_complete()
    }

    /// Refuses to write with a key that was already retired when this repository was opened.
    pub fn require_newest_key(&self) -> Result<()> {
        match &self.key_names {
            Some(names) => require_newest(&**self.store(), self.keyring(), names),
            None => self.require_newest_key_still(),
        }
    }

    /// Lists the keys again and refuses a retired one: what was put before this call is on the list
    /// that closes the generation, or this call fails.
    pub fn require_newest_key_still(&self) -> Result<()> {
        if self.keyring().suite() == Suite::KeyedTag {
            return Ok(());
        }
        let store = &**self.store();
        require_newest(store, self.keyring(), &key_names(store)?)
    }
}
