//! A store whose reads are counted.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::num::u64_of;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Counts the requests that read from a store, and their bytes; what would change it fails.
#[derive(Debug)]
pub(super) struct Counted {
    store: Arc<dyn Store>,
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Counted {
    /// Creates a view of a store of which nothing was read.
    pub(super) fn new(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::clone(store), bytes: AtomicU64::new(0), requests: AtomicU64::new(0) }
    }

    /// Returns the number of bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that were made.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn count(&self, read: Result<Bytes, StoreError>) -> Result<Bytes, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let bytes = read.as_ref().map_or(0, |bytes| u64_of(bytes.len()));
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        read
    }
}

fn refused(verb: Verb, name: &ObjectName) -> StoreError {
    StoreError::new(verb, name, crate::store::error::Category::Denied)
}

impl Store for Counted {
    fn put(&self, name: &ObjectName, _: &[Bytes]) -> Result<(), StoreError> {
        Err(refused(Verb::Put, name))
    }

    fn replace(&self, name: &ObjectName, _: &[Bytes]) -> Result<(), StoreError> {
        Err(refused(Verb::Put, name))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.count(self.store.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.count(self.store.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.store.size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.store.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        Err(refused(Verb::Delete, name))
    }

    fn will_read(&self, name: &ObjectName) {
        self.store.will_read(name);
    }

    fn is_at_hand(&self, name: &ObjectName) -> bool {
        self.store.is_at_hand(name)
    }

    fn read_bytes_best(&self) -> usize {
        self.store.read_bytes_best()
    }

    fn location(&self) -> String {
        self.store.location()
    }
}
