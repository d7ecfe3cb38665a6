//! Generations of keys: what is believed of what earlier ones sealed, and whether the key in use is
//! still the newest (FORMAT.md 11.6).
//!
//! Anyone who had a key when it was retired can go on sealing with it. So each list that closes a
//! generation is the last word on it, and its hash is in every holder of the next. A store can
//! withhold the list, and then nothing of that generation is believed; it can't change it.
//!
//! The order of writes keeps a run from sealing after the list unnoticed: a rotation announces
//! itself before it lists what is there, a run puts its snapshot before it looks for announcements.
//! One of the two sees the other.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::retired::Retired;
use crate::repo::Repository;
use crate::repo::keys::read_holder;
use crate::seal::keys::Closing;
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::seal::suite::Suite;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The lists of what earlier generations sealed before they were retired.
#[derive(Debug, Default)]
pub(super) struct Believed(Vec<Result<BTreeSet<[u8; 32]>>>);

impl Believed {
    /// Reads the lists that the keys name.
    pub(super) fn load(store: &dyn Store, keyring: &Keyring) -> Result<Believed> {
        let mut lists = Vec::new();
        for (generation, closing) in (0..).zip(keyring.closings()) {
            match read_retired(store, keyring, generation, closing) {
                Err(error) if error.kind() == ErrorKind::Store => return Err(error),
                read => lists.push(read.map(|retired| retired.hashes)),
            }
        }
        Ok(Believed(lists))
    }

    /// Refuses what was sealed by a generation and is not on its list.
    pub(super) fn check(&self, generation: u8, hash: &[u8; 32], what: &str) -> Result<()> {
        match self.0.get(usize::from(generation)) {
            // The newest one has no end yet.
            None => Ok(()),
            Some(Ok(list)) if list.contains(hash) => Ok(()),
            Some(Ok(_)) => {
                let what = format!("{what} was sealed with a former key, after that was retired");
                Err(Error::new(ErrorKind::RetiredKey, what))
            }
            Some(Err(error)) => {
                let what = format!(
                    "{what} was sealed with a former key, and the list of what that had sealed \
                     can't be read"
                );
                Err(Error::new(ErrorKind::RetiredKey, what).because(error.to_string()))
            }
        }
    }
}

/// Returns the name of the list that closes a generation.
pub(super) fn retired_object(generation: u8, closing: &Closing) -> ObjectName {
    Object::Retired { generation, hash: *closing }.name()
}

/// Returns the name of the object that announces a rotation to a generation.
pub(super) fn rotation_object(generation: u8, sealed: &[u8]) -> ObjectName {
    Object::Rotation { generation, hash: *blake3::hash(sealed).as_bytes() }.name()
}

/// Tells whether an object of `keys/` is one of this module, and not a holder.
pub(super) fn is_of_rotation(name: &ObjectName) -> bool {
    matches!(Object::parse(name), Some(Object::Rotation { .. } | Object::Retired { .. }))
}

/// Returns the generation that an object announces, if the object is an announcement.
pub(super) fn announced(name: &ObjectName) -> Option<u8> {
    let Object::Rotation { generation, .. } = Object::parse(name)? else { return None };
    Some(generation)
}

fn read_retired(
    store: &dyn Store,
    keyring: &Keyring,
    generation: u8,
    closing: &Closing,
) -> Result<Retired> {
    let name = retired_object(generation, closing);
    let bytes = store
        .get(&name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| e.named(format!("cannot read {name}")))?;
    if blake3::hash(&bytes).as_bytes() != closing {
        let why =
            Malformed { what: "list of a retired generation", why: "does not match its name" };
        return Err(Error::damaged(&name, why));
    }
    let retired = Retired::decode(&bytes).map_err(|e| Error::damaged(&name, e))?;
    if retired.repository != *keyring.repository().bytes() || retired.generation != generation {
        let why = Malformed { what: "list of a retired generation", why: "belongs elsewhere" };
        return Err(Error::damaged(&name, why));
    }
    Ok(retired)
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
                && read_holder(store, name).is_ok_and(|holder| holder.generation() >= next)
        };
        let what = if names.iter().any(newer) {
            "the keys were rotated, and the one in use was left behind: it opens what was stored \
             before, and writes nothing"
        } else {
            "the keys are being rotated, or a rotation was interrupted: nothing is written \
             meanwhile"
        };
        return Err(Error::new(ErrorKind::LeftBehind, what));
    }
    Ok(())
}

impl Repository {
    /// Tells whether an error says that something was sealed with a former key after that key was
    /// retired. It does not if a list can't be read, because good objects would then seem
    /// overtaken.
    pub(super) fn was_overtaken(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::RetiredKey && self.believed.0.iter().all(Result::is_ok)
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
