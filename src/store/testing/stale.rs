//! A store whose listings are out of date, as those of some replicated stores do.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Lists what was there when it was made, or caught up last; everything else is as it is now.
#[derive(Debug)]
pub struct Stale<S> {
    inner: S,
    lag: Mutex<Lag>,
}

/// The difference between what is there and what is listed.
#[derive(Debug, Default)]
struct Lag {
    /// Objects that are not listed yet.
    new: BTreeSet<ObjectName>,
    /// Still listed, with their sizes.
    gone: BTreeMap<ObjectName, u64>,
}

impl<S> Stale<S> {
    /// Wraps a store, with complete listings at first.
    pub fn new(inner: S) -> Self {
        Self { inner, lag: Mutex::default() }
    }

    /// Returns the store that this one wraps.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Lists what is there, until that changes again.
    pub fn catch_up(&self) {
        *lock(&self.lag) = Lag::default();
    }
}

impl<S: Store> Store for Stale<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let was_there = self.inner.size(name)?.is_some();
        self.inner.put(name, payload)?;
        let mut lag = lock(&self.lag);
        if lag.gone.remove(name).is_none() && !was_there {
            lag.new.insert(name.clone());
        }
        Ok(())
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.inner.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        let lag = lock(&self.lag);
        self.inner.list(prefix, &mut |meta| {
            if !lag.new.contains(&meta.name) {
                each(meta);
            }
        })?;
        let gone = lag.gone.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        gone.for_each(|(name, size)| each(ObjectMeta { name: name.clone(), size: *size }));
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let size = self.inner.size(name)?;
        self.inner.delete(name)?;
        let mut lag = lock(&self.lag);
        if let Some(size) = size
            && !lag.new.remove(name)
        {
            lag.gone.insert(name.clone(), size);
        }
        Ok(())
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.inner.extend_lock(name, term)
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.inner.lock_rule()
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.inner.versions()
    }

    fn will_read(&self, name: &ObjectName) {
        self.inner.will_read(name);
    }

    fn is_at_hand(&self, name: &ObjectName) -> bool {
        self.inner.is_at_hand(name)
    }

    fn being_written(&self) -> Result<u64, StoreError> {
        self.inner.being_written()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn listed(store: &dyn Store) -> Vec<String> {
        let mut names = Vec::new();
        store.list("a/", &mut |meta| names.push(meta.name.to_string())).unwrap();
        names.sort();
        names
    }

    #[test]
    fn listings_lag_behind_until_they_catch_up_and_nothing_else_does() {
        let store = Stale::new(MemoryStore::new());
        let name = |text: &str| ObjectName::new(text).unwrap();
        let put = |text: &str| store.put(&name(text), &[Bytes::from_static(b"1")]).unwrap();
        put("a/old");
        store.catch_up();
        put("a/new");
        put("a/old");
        store.delete(&name("a/old")).unwrap();
        assert_eq!(listed(&store), ["a/old"]);
        assert_eq!(store.size(&name("a/new")).unwrap(), Some(1));
        assert_eq!(store.size(&name("a/old")).unwrap(), None);
        put("a/old");
        assert_eq!(listed(&store), ["a/old"]);
        store.catch_up();
        assert_eq!(listed(&store), ["a/new", "a/old"]);
    }
}
