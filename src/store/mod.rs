//! The contract that every kind of store fulfils.
//!
//! A repository is a set of immutable objects with names. All that the rest of the program asks of
//! a place to keep them is in [`Store`]; a directory ([`local`]), a bucket of an object store
//! ([`remote`]), memory ([`memory`]) and wrappers that record, fail or delay (`testing`) give it.
//! One suite of checks (`conformance`) holds for all of them.
//!
//! The trait blocks and is shared between threads, on purpose: the pipeline's stages are threads, a
//! blocking call is what gives them back-pressure, and a local directory has nothing to gain from a
//! runtime. The store over the network hides `object_store` and a tokio runtime of its own beneath
//! the same calls, with its retries, limits and time-outs inside.
//!
//! Invariants, which `conformance` checks where they can be seen:
//! - **Durable**: when `put` or `delete` returns `Ok`, a power cut does not undo it.
//! - **Whole or not at all**: nobody ever sees a part of an object under its name.
//! - **Immutable**: `put` never replaces an object. Names carry hashes (or are random), so the same
//!   name means the same content, and putting it again is harmless. Only `config` has another name,
//!   and `replace` is there for it, and for an object whose bytes have changed: at every moment the
//!   old or the new object is there, whole.
//! - **Loud**: what was not done is an error that names verb and object. A read gives exactly what
//!   was asked for, or an error; nothing is shortened.
//! - **Bounded**: a store can't make a reader allocate more than the reader allowed.
//!
//! It does not verify content: the reader compares hashes and tags. It knows nothing of packs,
//! keys or snapshots, and promises nothing about the order of a listing.

pub mod cached;
#[cfg(any(test, feature = "internals"))]
pub mod conformance;
pub mod error;
pub mod limited;
pub mod limiter;
pub mod local;
pub mod location;
pub mod lock;
pub mod memory;
pub mod name;
pub mod remote;
#[cfg(any(test, feature = "internals"))]
pub mod testing;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::limits::READ_BYTES_MAX;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// The longest time for which a deletion of several objects is repeated.
pub const DELETE_MANY_TIME_MAX: Duration = Duration::from_mins(1);

/// A place to keep immutable objects.
pub trait Store: Debug + Send + Sync {
    /// Stores `payload`, one part after the other, durably.
    ///
    /// An object of that name with the same bytes is made durable, and `Ok`. One with other bytes
    /// is a `Conflict` and is left as it is, where the store can tell: some servers replace objects
    /// without a word, so nothing may depend on it. On an error the object may be
    /// there or not, but is never there in part: repeating the call is always right.
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError>;

    /// Stores `payload` durably under a name, in the place of the object that has it, if one has.
    ///
    /// A reader gets the old bytes or the new ones at any moment, also after an error or a power
    /// cut: repeating the call is always right. A store that lets its user put new
    /// objects only answers `Denied`.
    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError>;

    /// Gives a whole object of at most `bytes_max` bytes; a longer one is `Damaged`, and unread.
    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError>;

    /// Gives exactly the bytes in `range`; `Damaged` if the object ends before. An empty range is
    /// no bytes and is not asked for.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Gives the size of an object, `None` if there is none.
    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError>;

    /// Gives `each` every object whose name begins with `prefix`, in any order.
    ///
    /// The prefix is empty, for all, or ends with a slash: `packs/`, `packs/ab/`. There need not be
    /// such objects. What does not have a valid name is not an object and is left out.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError>;

    /// Removes an object durably; `Ok` if there is none.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Removes objects durably, and gives the result of each, in their order; `Ok` for one that is
    /// not there.
    ///
    /// It is for who deletes by what a listing showed a moment ago: a store that fails for now is
    /// asked again for [`DELETE_MANY_TIME_MAX`] at most, because whoever asks for longer must look
    /// again before. After an error each of the objects may be there or not: repeating the call is
    /// always right.
    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.iter().map(|name| self.delete(name)).collect()
    }

    /// Returns how many objects [`delete_many`](Self::delete_many) removes with one request.
    fn deletes_at_once(&self) -> usize {
        1
    }

    /// Makes sure that an object is locked for a time: its lock is extended if it ends too soon,
    /// and is never shortened.
    ///
    /// A store without locks answers `Unsupported`, and so does a bucket without Object Lock.
    fn extend_lock(&self, name: &ObjectName, _term: &LockTerm) -> Result<LockOutcome, StoreError> {
        Err(StoreError::new(Verb::Lock, name, Category::Unsupported))
    }

    /// Returns the lock that objects get when they are put, if they get one.
    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        Err(StoreError::new(Verb::Settings, self.location(), Category::Unsupported))
    }

    /// Returns what the store keeps of objects that are deleted.
    fn versions(&self) -> Result<Versions, StoreError> {
        Ok(Versions::Deleted)
    }

    /// Tells that much of a pack is about to be read, part by part: a store that has a cache for it
    /// ([`cached`]) brings it as a whole. It asks for nothing, and nothing depends on it.
    fn will_read(&self, _name: &ObjectName) {}

    /// Tells whether parts of an object can be read without a request to a server for each. Code
    /// that reads what is useful but not needed calls it first. It makes no request itself.
    fn is_at_hand(&self, _name: &ObjectName) -> bool {
        true
    }

    /// Returns how many bytes of an object are best read at once where more of them are wanted: as
    /// many as may be, unless a request costs next to nothing.
    fn read_bytes_best(&self) -> usize {
        READ_BYTES_MAX
    }

    /// Counts the objects that are being written at this moment, by whatever process, as far as the
    /// store can tell: a directory can, an object store can't and says 0.
    fn being_written(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Tells people where this store is.
    fn location(&self) -> String;
}

/// Tells whether some bytes are these parts, one after the other.
fn is_joined(mut bytes: &[u8], parts: &[Bytes]) -> bool {
    for part in parts {
        let Some(rest) = bytes.strip_prefix(&part[..]) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: Store + ?Sized> Store for $pointer {
            fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
                (**self).put(name, payload)
            }

            fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
                (**self).replace(name, payload)
            }

            fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
                (**self).get(name, bytes_max)
            }

            fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
                (**self).get_range(name, range)
            }

            fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
                (**self).size(name)
            }

            fn list(
                &self,
                prefix: &str,
                each: &mut dyn FnMut(ObjectMeta),
            ) -> Result<(), StoreError> {
                (**self).list(prefix, each)
            }

            fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
                (**self).delete(name)
            }

            fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
                (**self).delete_many(names)
            }

            fn deletes_at_once(&self) -> usize {
                (**self).deletes_at_once()
            }

            fn extend_lock(
                &self,
                name: &ObjectName,
                term: &LockTerm,
            ) -> Result<LockOutcome, StoreError> {
                (**self).extend_lock(name, term)
            }

            fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
                (**self).lock_rule()
            }

            fn versions(&self) -> Result<Versions, StoreError> {
                (**self).versions()
            }

            fn will_read(&self, name: &ObjectName) {
                (**self).will_read(name);
            }

            fn is_at_hand(&self, name: &ObjectName) -> bool {
                (**self).is_at_hand(name)
            }

            fn read_bytes_best(&self) -> usize {
                (**self).read_bytes_best()
            }

            fn being_written(&self) -> Result<u64, StoreError> {
                (**self).being_written()
            }

            fn location(&self) -> String {
                (**self).location()
            }
        }
    )*};
}
forward!(Arc<S>, Box<S>, &S);
