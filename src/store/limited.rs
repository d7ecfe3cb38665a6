//! A directory behind a rate limit: a mounted share that must not fill the line.
//!
//! A file is written or read as a whole by the system, so what holds is the mean over objects, not
//! every second. Stores over the network have the limit inside, where bytes go in small pieces.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;

use crate::base::limiter::Limiter;
use crate::base::num::wide;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// See the module's documentation.
#[derive(Debug)]
pub struct Limited<S> {
    inner: S,
    up: Arc<Limiter>,
    down: Arc<Limiter>,
}

impl<S> Limited<S> {
    /// Wraps a store: bytes go to it through `up` and come through `down`.
    pub fn new(inner: S, up: Arc<Limiter>, down: Arc<Limiter>) -> Self {
        Self { inner, up, down }
    }

    fn came(&self, bytes: Bytes) -> Bytes {
        thread::sleep(self.down.reserve(wide(bytes.len())));
        bytes
    }
}

impl<S: Store> Store for Limited<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let bytes = payload.iter().map(|part| wide(part.len())).sum();
        thread::sleep(self.up.reserve(bytes));
        self.inner.put(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.inner.get(name, bytes_max).map(|bytes| self.came(bytes))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, range).map(|bytes| self.came(bytes))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name)
    }

    fn will_read(&self, name: &ObjectName) {
        self.inner.will_read(name);
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use super::Limited;
    use crate::base::clock::SystemClock;
    use crate::base::limiter::Limiter;
    use crate::base::limiter::Timetable;
    use crate::store::conformance;
    use crate::store::memory::MemoryStore;

    #[test]
    fn it_conforms() {
        let rate = Timetable::always(NonZeroU64::new(1 << 40).unwrap());
        let limiter = Arc::new(Limiter::new(rate, Arc::new(SystemClock::new())));
        let (up, down) = (Arc::clone(&limiter), limiter);
        conformance::check_everything(&Limited::new(MemoryStore::new(), up, down));
    }
}
