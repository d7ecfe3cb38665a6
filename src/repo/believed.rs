//! The belief in objects that earlier generations of keys sealed (FORMAT.md 11.6).
//!
//! Anyone who had a key when it was retired can go on sealing with it. So each list that closes a
//! generation is the last word on it, and its hash is in every key slot of the next. A store can
//! withhold the list, and then nothing of that generation is believed; it can't change it.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Object;
use crate::format::retired::Retired;
use crate::seal::keys::Closing;
use crate::seal::keys::Keyring;
use crate::store::Store;
use crate::store::name::ObjectName;

/// The lists of what earlier generations sealed before they were retired.
#[derive(Debug, Default)]
pub(super) struct Believed(Vec<Result<BTreeSet<[u8; 32]>>>);

impl Believed {
    /// Reads the lists that the keys name.
    pub(super) fn load(store: &dyn Store, keyring: &Keyring) -> Result<Self> {
        Self::load_until(store, keyring, keyring.generation())
    }

    /// Reads those of the generations before one: what that one and later ones sealed has no end.
    pub(super) fn load_until(store: &dyn Store, keyring: &Keyring, newest: u8) -> Result<Self> {
        let mut lists = Vec::new();
        for (generation, closing) in (0..newest).zip(keyring.closings()) {
            match read_retired(store, keyring, generation, closing) {
                Err(error) if error.kind() == ErrorKind::Store => return Err(error),
                read => lists.push(read.map(|retired| retired.hashes)),
            }
        }
        Ok(Self(lists))
    }

    /// Refuses what was sealed by a generation and is not on its list.
    pub(super) fn check(&self, generation: u8, hash: &[u8; 32], what: &str) -> Result<()> {
        match self.0.get(usize::from(generation)) {
            // The newest one has no end yet.
            None => Ok(()),
            Some(Ok(list)) if list.contains(hash) => Ok(()),
            Some(Ok(_)) => {
                let what = format!("{what} was sealed with a previous key, after that was retired");
                Err(Error::new(ErrorKind::RetiredKey, what))
            }
            Some(Err(error)) => {
                let what = format!(
                    "{what} was sealed with a previous key, and the list of what that had sealed \
                     can't be read"
                );
                Err(Error::new(ErrorKind::RetiredKey, what).because(error.to_string()))
            }
        }
    }

    /// Tells whether any list names a hash.
    pub(super) fn lists(&self, hash: &[u8; 32]) -> bool {
        self.0.iter().flatten().any(|list| list.contains(hash))
    }

    /// Tells whether every list could be read.
    pub(super) fn is_complete(&self) -> bool {
        self.0.iter().all(Result::is_ok)
    }
}

/// Returns the name of the list that closes a generation.
pub(super) fn retired_object(generation: u8, closing: &Closing) -> ObjectName {
    Object::Retired { generation, hash: *closing }.name()
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
