//! A directory with a rate limit: a mounted share that must not fill the line.
//!
//! A file is written or read as a whole by the system, so what holds is the mean over objects, not
//! every second. Stores over the network have the limit inside, where bytes go in small pieces.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::limiter::Limiter;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// A store whose puts and gets keep to rate limits.
#[derive(Debug)]
pub struct Limited<S> {
    inner: S,
    up: Arc<Limiter>,
    down: Arc<Limiter>,
    monitor: Arc<Monitor>,
}

impl<S> Limited<S> {
    /// Wraps a store: bytes go to it through `up` and come through `down`. Waiting for either ends
    /// when `monitor` stops.
    pub fn new(inner: S, up: Arc<Limiter>, down: Arc<Limiter>, monitor: Arc<Monitor>) -> Self {
        Self { inner, up, down, monitor }
    }

    fn wait(&self, time: Duration, verb: Verb, name: &ObjectName) -> Result<(), StoreError> {
        let stopped = |_| StoreError::new(verb, name.as_str(), Category::Stopped);
        self.monitor.pause(time).map_err(stopped)
    }
}

impl<S: Store> Store for Limited<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let bytes = payload.iter().map(|part| u64_of(part.len())).sum();
        self.wait(self.up.reserve(bytes), Verb::Put, name)?;
        self.inner.put(name, payload)
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let bytes = payload.iter().map(|part| u64_of(part.len())).sum();
        self.wait(self.up.reserve(bytes), Verb::Replace, name)?;
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let bytes = self.inner.get(name, bytes_max)?;
        self.wait(self.down.reserve(u64_of(bytes.len())), Verb::Get, name)?;
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.inner.get_range(name, range)?;
        self.wait(self.down.reserve(u64_of(bytes.len())), Verb::GetRange, name)?;
        Ok(bytes)
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

    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        self.inner.delete_many(names)
    }

    fn deletes_at_once(&self) -> usize {
        self.inner.deletes_at_once()
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
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::monitor::Monitor;
    use crate::store::Store;
    use crate::store::conformance;
    use crate::store::error::Category;
    use crate::store::limiter::Limiter;
    use crate::store::limiter::Timetable;
    use crate::store::memory::MemoryStore;
    use crate::store::name::ObjectName;

    #[test]
    fn it_conforms() {
        let rate = Timetable::always(NonZeroU64::new(1 << 40).unwrap());
        let limiter = Arc::new(Limiter::new(rate, Arc::new(SystemClock::new())));
        let (up, down) = (Arc::clone(&limiter), limiter);
        let monitor = Arc::new(Monitor::default());
        conformance::check_everything(&Limited::new(MemoryStore::new(), up, down, monitor));
    }

    #[test]
    fn who_waits_for_the_line_hears_the_wish_to_stop() {
        let monitor = Arc::new(Monitor::default());
        let limiter = || {
            let slow = Timetable::always(NonZeroU64::new(1).unwrap());
            Arc::new(Limiter::new(slow, Arc::new(SystemClock::new())))
        };
        let inner = MemoryStore::new();
        let name = ObjectName::new("packs/a").unwrap();
        let content = Bytes::from(vec![0; 1 << 20]);
        inner.put(&name, std::slice::from_ref(&content)).unwrap();
        let store = Limited::new(inner, limiter(), limiter(), Arc::clone(&monitor));
        std::thread::scope(|scope| {
            // The first of each goes at once; the next would wait for twelve days.
            let twice = |what: &dyn Fn() -> Category| (what(), what()).1;
            let put = || {
                store
                    .put(&name, std::slice::from_ref(&content))
                    .map_or_else(|e| e.category(), |()| Category::Other)
            };
            let get =
                || store.get(&name, 1 << 20).map_or_else(|e| e.category(), |_| Category::Other);
            let waiting = [scope.spawn(move || twice(&put)), scope.spawn(move || twice(&get))];
            monitor.stop();
            for category in waiting.map(|thread| thread.join().unwrap()) {
                assert_eq!(category, Category::Stopped);
            }
        });
    }
}
