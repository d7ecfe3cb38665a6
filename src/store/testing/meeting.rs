//! A store at whose calls others meet: something is done right before or after a chosen call.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Does something right before or after the N-th call of a kind: another process runs there, and
/// this one goes on when that has ended.
///
/// What two processes do at the same instant becomes one order of calls that repeats.
#[derive(Debug)]
pub struct Meeting<S> {
    inner: S,
    planned: Mutex<Vec<Planned>>,
}

/// A call, and what is done at it.
struct Planned {
    verb: Verb,
    /// The beginning of the object's name, or of what is listed.
    prefix: String,
    /// Matching calls until it is met.
    left: u64,
    side: Side,
    act: Option<Box<dyn FnOnce() + Send>>,
}

/// The side of the call at which something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, prefix, left, side, .. } = self;
        write!(f, "{side:?} {verb:?} {prefix}: {left} left")
    }
}

impl<S> Meeting<S> {
    /// Wraps a store at whose calls nothing else is done yet.
    pub fn new(inner: S) -> Self {
        Self { inner, planned: Mutex::default() }
    }

    /// Does something right before the N-th call of a kind about names that begin like this.
    #[must_use]
    pub fn before(
        self,
        verb: Verb,
        prefix: &str,
        nth: u64,
        act: impl FnOnce() + Send + 'static,
    ) -> Self {
        self.plan(Planned {
            verb,
            prefix: prefix.to_owned(),
            left: nth,
            side: Side::Before,
            act: Some(Box::new(act)),
        })
    }

    /// Does something right after the N-th call of a kind about names that begin like this.
    #[must_use]
    pub fn after(
        self,
        verb: Verb,
        prefix: &str,
        nth: u64,
        act: impl FnOnce() + Send + 'static,
    ) -> Self {
        self.plan(Planned {
            verb,
            prefix: prefix.to_owned(),
            left: nth,
            side: Side::After,
            act: Some(Box::new(act)),
        })
    }

    fn plan(self, planned: Planned) -> Self {
        lock(&self.planned).push(planned);
        self
    }

    fn met<T>(
        &self,
        verb: Verb,
        object: &str,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.act(verb, object, Side::Before);
        let outcome = call();
        self.act(verb, object, Side::After);
        outcome
    }

    fn act(&self, verb: Verb, object: &str, side: Side) {
        let mut due: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for planned in lock(&self.planned).iter_mut() {
            let is_meant = planned.verb == verb && planned.side == side;
            if is_meant && planned.act.is_some() && object.starts_with(&planned.prefix) {
                planned.left -= 1;
                if planned.left == 0 {
                    due.extend(planned.act.take());
                }
            }
        }
        // Not under the lock: what is done may come here.
        due.into_iter().for_each(|act| act());
    }
}

impl<S: Store> Store for Meeting<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.met(Verb::Put, name.as_str(), || self.inner.put(name, payload))
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.met(Verb::Replace, name.as_str(), || self.inner.replace(name, payload))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.met(Verb::Get, name.as_str(), || self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.met(Verb::GetRange, name.as_str(), || self.inner.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.met(Verb::Size, name.as_str(), || self.inner.size(name))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.met(Verb::List, prefix, || self.inner.list(prefix, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.met(Verb::Delete, name.as_str(), || self.inner.delete(name))
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.met(Verb::Lock, name.as_str(), || self.inner.extend_lock(name, term))
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.met(Verb::Settings, "", || self.inner.lock_rule())
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.met(Verb::Settings, "", || self.inner.versions())
    }

    fn will_read(&self, name: &ObjectName) {
        self.inner.will_read(name);
    }

    fn is_at_hand(&self, name: &ObjectName) -> bool {
        self.inner.is_at_hand(name)
    }

    fn read_bytes_best(&self) -> usize {
        self.inner.read_bytes_best()
    }

    fn being_written(&self) -> Result<u64, StoreError> {
        self.inner.being_written()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
