//! A store that takes its time.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::base::num::u64_of;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Makes every call take time, a fixed time each and more for its bytes: a server far away, which
/// has nothing at hand.
#[derive(Debug)]
pub struct Slow<S> {
    inner: S,
    per_call: Duration,
    per_mebibyte: Duration,
}

impl<S> Slow<S> {
    /// Wraps a store whose calls take this time.
    pub fn new(inner: S, per_call: Duration, per_mebibyte: Duration) -> Self {
        Self { inner, per_call, per_mebibyte }
    }

    /// Returns the store that this one wraps.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn pause_for(&self, payload: &[Bytes]) {
        self.pause(payload.iter().map(|part| u64_of(part.len())).sum());
    }

    fn pause(&self, bytes: u64) {
        let nanoseconds = (self.per_mebibyte.as_nanos() * u128::from(bytes)) >> 20;
        let for_bytes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        thread::sleep(self.per_call.saturating_add(for_bytes));
    }
}

impl<S: Store> Store for Slow<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.pause_for(payload);
        self.inner.put(name, payload)
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.pause_for(payload);
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let outcome = self.inner.get(name, bytes_max);
        self.pause(outcome.as_ref().map_or(0, |bytes| u64_of(bytes.len())));
        outcome
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let outcome = self.inner.get_range(name, range);
        self.pause(outcome.as_ref().map_or(0, |bytes| u64_of(bytes.len())));
        outcome
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.pause(0);
        self.inner.size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.pause(0);
        self.inner.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.pause(0);
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        self.pause(0);
        self.inner.delete_many(names)
    }

    fn deletes_at_once(&self) -> usize {
        self.inner.deletes_at_once()
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.pause(0);
        self.inner.extend_lock(name, term)
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.pause(0);
        self.inner.lock_rule()
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.pause(0);
        self.inner.versions()
    }

    fn will_read(&self, name: &ObjectName) {
        self.inner.will_read(name);
    }

    fn is_at_hand(&self, _name: &ObjectName) -> bool {
        false
    }

    fn being_written(&self) -> Result<u64, StoreError> {
        self.inner.being_written()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
