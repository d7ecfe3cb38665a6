//! A store in memory, for tests and trials.
//!
//! It fulfils the contract as far as memory can: nothing is durable beyond the process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

use bytes::Bytes;

use crate::base::crew::read;
use crate::base::crew::write;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::Fault;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;
use crate::store::name::is_prefix;

type Objects = BTreeMap<ObjectName, Bytes>;

/// A store that keeps its objects in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: RwLock<Objects>,
    place: Option<String>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty store that stands for a place which is not made yet, and is called like it.
    pub fn in_place_of(place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..Self::default() }
    }

    /// Gives a copy of all objects; their bytes are shared.
    pub fn objects(&self) -> BTreeMap<ObjectName, Bytes> {
        self.read().clone()
    }

    /// Replaces all objects, which no store allows: for tests that damage or roll back.
    #[cfg(any(test, feature = "internals"))]
    pub fn set_objects(&self, objects: BTreeMap<ObjectName, Bytes>) {
        *self.write() = objects;
    }

    // A map is whole even if a thread panicked beside it.
    fn read(&self) -> RwLockReadGuard<'_, Objects> {
        read(&self.objects)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects> {
        write(&self.objects)
    }

    fn object(&self, verb: Verb, name: &ObjectName) -> Result<Bytes, StoreError> {
        match self.read().get(name) {
            Some(bytes) => Ok(bytes.clone()),
            None => Err(StoreError::new(verb, name, Category::NotFound)),
        }
    }
}

impl Store for MemoryStore {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let bytes = payload.concat();
        match self.write().entry(name.clone()) {
            Entry::Vacant(place) => {
                place.insert(bytes.into());
                Ok(())
            }
            Entry::Occupied(place) if *place.get() == bytes => Ok(()),
            Entry::Occupied(place) if place.get().len() == bytes.len() => {
                Err(Fault::OtherBytes.on(Verb::Put, name))
            }
            Entry::Occupied(place) => {
                let (found, own) = (u64_of(place.get().len()), u64_of(bytes.len()));
                Err(Fault::OtherSize { found, own }.on(Verb::Put, name))
            }
        }
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.write().insert(name.clone(), payload.concat().into());
        Ok(())
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let object = self.object(Verb::Get, name)?;
        let bytes = u64_of(object.len());
        if bytes > bytes_max {
            return Err(Fault::TooLong { bytes, bytes_max }.on(Verb::Get, name));
        }
        Ok(object)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let object = self.object(Verb::GetRange, name)?;
        let bytes = u64_of(object.len());
        if range.end > bytes {
            return Err(Fault::TooShort { bytes, end: range.end }.on(Verb::GetRange, name));
        }
        Ok(object.slice(usize_of(range.start)..usize_of(range.end)))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        Ok(self.read().get(name).map(|bytes| u64_of(bytes.len())))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        if !is_prefix(prefix) {
            return Err(Fault::NotAPrefix.on(Verb::List, prefix));
        }
        // A copy, so that `each` may use the store.
        let objects = self.objects();
        let below = objects.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        below.for_each(|(name, bytes)| {
            each(ObjectMeta { name: name.clone(), size: u64_of(bytes.len()) });
        });
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.write().remove(name);
        Ok(())
    }

    /// Removes as many as object stores do, so that a test counts the same requests.
    fn deletes_at_once(&self) -> usize {
        1000
    }

    fn location(&self) -> String {
        self.place.clone().unwrap_or_else(|| "memory".into())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::Store;
    use crate::store::conformance;
    use crate::store::name::ObjectName;

    #[test]
    fn it_conforms() {
        conformance::check_everything(&MemoryStore::new());
    }

    #[test]
    fn it_can_be_rolled_back() {
        let store = MemoryStore::new();
        let name = ObjectName::new("object").unwrap();
        store.put(&name, &[Bytes::from_static(b"old")]).unwrap();
        let before = store.objects();
        store.delete(&name).unwrap();
        assert!(store.objects().is_empty());
        store.set_objects(before);
        assert_eq!(*store.get(&name, 3).unwrap(), *b"old");
        assert_eq!(store.location(), "memory");
    }
}
