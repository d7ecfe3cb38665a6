//! Stores that watch, fail or delay: for tests, here and in the integration tests.
//!
//! Each wraps another store and keeps the contract except where the test asks it not to.
//! [`Recording`] lets a test assert what something cost by counting. [`Failing`] makes the N-th
//! call of a kind, or every N-th, go wrong in a chosen way. [`Slow`] makes calls take time.
//! [`Stale`] lists what was there a while ago. [`Meeting`] lets others act at a chosen call.
//!
//! No product code uses this module. How a power cut treats the local store is tested beneath the
//! local store, where unsynced bytes can be lost.

mod meeting;
mod slow;
mod stale;

pub use meeting::Meeting;
pub use slow::Slow;
pub use stale::Stale;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::crew::lock;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::Fault as Detail;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::lock::LockOutcome;
use crate::store::lock::LockRule;
use crate::store::lock::LockTerm;
use crate::store::lock::Versions;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// A call of a store, as [`Recording`] keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The call that was made.
    pub verb: Verb,
    /// The name of the object, or the prefix of a listing.
    pub object: String,
    /// Bytes put or got; for a listing and a deletion of several, the number of objects. Zero if it
    /// failed.
    pub bytes: u64,
    /// True if the call returned `Ok`.
    pub ok: bool,
}

/// Keeps a list of the calls that it passes on.
#[derive(Debug)]
pub struct Recording<S> {
    inner: S,
    calls: Mutex<Vec<Call>>,
    under_way: AtomicU64,
    most_at_once: AtomicU64,
}

impl<S> Recording<S> {
    /// Wraps a store, with no calls recorded.
    pub fn new(inner: S) -> Self {
        let (under_way, most_at_once) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inner, calls: Mutex::default(), under_way, most_at_once }
    }

    /// Returns the store that this one wraps.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns all calls so far, in the order in which they returned.
    pub fn log(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// Forgets all calls so far.
    pub fn reset(&self) {
        lock(&self.calls).clear();
        self.most_at_once.store(0, Ordering::Relaxed);
    }

    /// Returns the most calls that were in progress at the same time.
    pub fn most_at_once(&self) -> u64 {
        self.most_at_once.load(Ordering::Relaxed)
    }

    /// Returns the number of calls of one kind.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.calls_under(verb, "")
    }

    /// Returns the number of calls of one kind about names that begin with `prefix`.
    pub fn calls_under(&self, verb: Verb, prefix: &str) -> u64 {
        self.sum(verb, prefix, |_| 1)
    }

    /// Returns the bytes put or got by calls of one kind.
    pub fn bytes(&self, verb: Verb) -> u64 {
        self.bytes_under(verb, "")
    }

    /// Returns the bytes put or got by calls of one kind about names that begin with `prefix`.
    pub fn bytes_under(&self, verb: Verb, prefix: &str) -> u64 {
        self.sum(verb, prefix, |call| call.bytes)
    }

    fn sum(&self, verb: Verb, prefix: &str, value: impl Fn(&Call) -> u64) -> u64 {
        let calls = lock(&self.calls);
        let matching = calls.iter().filter(|call| call.verb == verb);
        matching.filter(|call| call.object.starts_with(prefix)).map(value).sum()
    }

    fn keep<T>(
        &self,
        verb: Verb,
        object: &str,
        call: impl FnOnce() -> Result<T, StoreError>,
        bytes: impl Fn(&T) -> u64,
    ) -> Result<T, StoreError> {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        let outcome = call();
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let (ok, bytes) = (outcome.is_ok(), outcome.as_ref().map_or(0, bytes));
        lock(&self.calls).push(Call { verb, object: object.to_owned(), bytes, ok });
        outcome
    }
}

impl<S: Store> Store for Recording<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let put = || self.inner.put(name, payload);
        self.keep(Verb::Put, name.as_str(), put, |()| bytes_of(payload))
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let replace = || self.inner.replace(name, payload);
        self.keep(Verb::Replace, name.as_str(), replace, |()| bytes_of(payload))
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let get = || self.inner.get(name, bytes_max);
        self.keep(Verb::Get, name.as_str(), get, |bytes| u64_of(bytes.len()))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let get = || self.inner.get_range(name, range);
        self.keep(Verb::GetRange, name.as_str(), get, |bytes| u64_of(bytes.len()))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.keep(Verb::Size, name.as_str(), || self.inner.size(name), |_| 0)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        let list = || {
            let mut objects = 0;
            let listed = self.inner.list(prefix, &mut |meta| {
                objects += 1;
                each(meta);
            });
            listed.map(|()| objects)
        };
        self.keep(Verb::List, prefix, list, |objects| *objects).map(|_| ())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.keep(Verb::Delete, name.as_str(), || self.inner.delete(name), |()| 0)
    }

    /// Records one call for all that the store removes with one request, under the first name.
    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        let mut results = Vec::with_capacity(names.len());
        for batch in names.chunks(self.deletes_at_once()) {
            let delete = || {
                results.extend(self.inner.delete_many(batch));
                Ok(u64_of(batch.len()))
            };
            let _count = self.keep(Verb::Delete, batch[0].as_str(), delete, |count| *count);
        }
        results
    }

    fn deletes_at_once(&self) -> usize {
        self.inner.deletes_at_once()
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        self.keep(Verb::Lock, name.as_str(), || self.inner.extend_lock(name, term), |_| 0)
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.keep(Verb::Settings, "", || self.inner.lock_rule(), |_| 0)
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.keep(Verb::Settings, "", || self.inner.versions(), |_| 0)
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

/// The way in which a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is done, and an error is returned.
    RefuseBefore(Category),
    /// It is done, and an error is returned all the same: a lost answer.
    RefuseAfter(Category),
    /// Bytes that are got end after this many; a listing gives no more than this many objects.
    Truncate(u64),
    /// Success is returned, and a put keeps no more than this many bytes.
    Shorten(u64),
    /// This bit of the bytes that are got, counted from 0 and wrapped at their end, is flipped.
    FlipBit(u64),
    /// Success is returned and nothing is done: a put or delete that was not durable, an object
    /// that is gone, an empty listing.
    Forget,
}

/// The number of times that a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// At the N-th matching call only.
    Once,
    /// At every N-th matching call.
    Each,
    /// At the N-th matching call and ever after.
    EverAfter,
}

/// A fault that [`Failing`] puts into its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of call; any if `None`.
    pub verb: Option<Verb>,
    /// The beginning of the object's name.
    pub prefix: String,
    /// At which matching call it strikes, counted from 1.
    pub nth: u64,
    /// The way in which the call goes wrong.
    pub effect: Effect,
    /// The number of times that it strikes.
    pub times: Times,
}

impl Fault {
    /// Creates a fault of the first call of one kind.
    pub fn first(verb: Verb, effect: Effect) -> Self {
        Self { verb: Some(verb), prefix: String::new(), nth: 1, effect, times: Times::Once }
    }

    /// Strikes at the N-th matching call instead.
    #[must_use]
    pub fn at(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Strikes calls about names that begin with `prefix` only.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Strikes every N-th matching call.
    #[must_use]
    pub fn each(mut self, nth: u64) -> Self {
        self.nth = nth;
        self.times = Times::Each;
        self
    }

    /// Strikes every matching call from then on.
    #[must_use]
    pub fn ever_after(mut self) -> Self {
        self.times = Times::EverAfter;
        self
    }
}

/// Passes calls on, except for those that its faults strike.
///
/// If several faults strike one call, the first in the list does.
#[derive(Debug)]
pub struct Failing<S> {
    inner: S,
    faults: Mutex<Vec<Counted>>,
}

#[derive(Debug)]
struct Counted {
    fault: Fault,
    matched: u64,
    struck: u64,
}

impl<S> Failing<S> {
    /// Wraps a store and puts these faults into it.
    pub fn new(inner: S, faults: Vec<Fault>) -> Self {
        let counted = |fault| Counted { fault, matched: 0, struck: 0 };
        Self { inner, faults: Mutex::new(faults.into_iter().map(counted).collect()) }
    }

    /// Returns the store that this one wraps.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns how many calls went wrong so far. A test that expects faults checks that there were
    /// some.
    pub fn struck(&self) -> u64 {
        lock(&self.faults).iter().map(|counted| counted.struck).sum()
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        lock(&self.faults).clear();
    }

    /// Counts the call, and returns what goes wrong with it.
    fn effect(&self, verb: Verb, object: &str) -> Option<Effect> {
        let mut effect = None;
        for Counted { fault, matched, struck } in lock(&self.faults).iter_mut() {
            let wanted = fault.verb.is_none_or(|wanted| wanted == verb);
            if !wanted || !object.starts_with(&fault.prefix) {
                continue;
            }
            *matched += 1;
            let strikes = match fault.times {
                Times::Once => *matched == fault.nth,
                Times::Each => matched.is_multiple_of(fault.nth),
                Times::EverAfter => *matched >= fault.nth,
            };
            if strikes && effect.is_none() {
                *struck += 1;
                effect = Some(fault.effect);
            }
        }
        effect
    }

    /// Does `call`, or what a fault makes of it; `forgotten` is returned if it is not done.
    fn strike<T>(
        &self,
        verb: Verb,
        object: &str,
        forgotten: Result<T, Category>,
        call: impl FnOnce(Option<Effect>) -> Result<T, StoreError>,
    ) -> (Result<T, StoreError>, Option<Effect>) {
        let effect = self.effect(verb, object);
        let injected = |category| StoreError::new(verb, object, category).because(Detail::Injected);
        let outcome = match effect {
            None | Some(Effect::Truncate(_) | Effect::Shorten(_) | Effect::FlipBit(_)) => {
                call(effect)
            }
            Some(Effect::Forget) => forgotten.map_err(injected),
            Some(Effect::RefuseBefore(category)) => Err(injected(category)),
            Some(Effect::RefuseAfter(category)) => call(effect).and(Err(injected(category))),
        };
        (outcome, effect)
    }

    fn strike_bytes(
        &self,
        verb: Verb,
        name: &ObjectName,
        call: impl FnOnce(Option<Effect>) -> Result<Bytes, StoreError>,
    ) -> Result<Bytes, StoreError> {
        let (outcome, effect) = self.strike(verb, name.as_str(), Err(Category::NotFound), call);
        Ok(spoil(outcome?, effect))
    }
}

fn spoil(bytes: Bytes, effect: Option<Effect>) -> Bytes {
    let bits = u64_of(bytes.len()) * 8;
    match effect {
        Some(Effect::Truncate(kept)) => bytes.slice(..usize_of(kept).min(bytes.len())),
        Some(Effect::FlipBit(bit)) if bits > 0 => {
            let mut spoiled = bytes.to_vec();
            let bit = bit % bits;
            spoiled[usize_of(bit / 8)] ^= 1 << (bit % 8);
            spoiled.into()
        }
        _ => bytes,
    }
}

impl<S: Store> Store for Failing<S> {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let put = |effect| match effect {
            Some(Effect::Shorten(kept)) => {
                let whole = Bytes::from(payload.concat());
                self.inner.put(name, &[whole.slice(..usize_of(kept).min(whole.len()))])
            }
            _ => self.inner.put(name, payload),
        };
        self.strike(Verb::Put, name.as_str(), Ok(()), put).0
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        let replace = |_| self.inner.replace(name, payload);
        self.strike(Verb::Replace, name.as_str(), Ok(()), replace).0
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.strike_bytes(Verb::Get, name, |_| self.inner.get(name, bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.strike_bytes(Verb::GetRange, name, |_| self.inner.get_range(name, range))
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.strike(Verb::Size, name.as_str(), Ok(None), |_| self.inner.size(name)).0
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        let mut found = Vec::new();
        let list = |_| self.inner.list(prefix, &mut |meta| found.push(meta));
        let (outcome, effect) = self.strike(Verb::List, prefix, Ok(()), list);
        if let Some(Effect::Truncate(kept)) = effect {
            found.truncate(usize_of(kept));
        }
        found.into_iter().for_each(each);
        outcome
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.strike(Verb::Delete, name.as_str(), Ok(()), |_| self.inner.delete(name)).0
    }

    /// Strikes each deletion for itself: a request may fail in the middle of its work.
    fn delete_many(&self, names: &[ObjectName]) -> Vec<Result<(), StoreError>> {
        names.iter().map(|name| self.delete(name)).collect()
    }

    fn deletes_at_once(&self) -> usize {
        self.inner.deletes_at_once()
    }

    fn extend_lock(&self, name: &ObjectName, term: &LockTerm) -> Result<LockOutcome, StoreError> {
        let extend = |_| self.inner.extend_lock(name, term);
        self.strike(Verb::Lock, name.as_str(), Ok(LockOutcome::Extended), extend).0
    }

    fn lock_rule(&self) -> Result<Option<LockRule>, StoreError> {
        self.strike(Verb::Settings, "", Ok(None), |_| self.inner.lock_rule()).0
    }

    fn versions(&self) -> Result<Versions, StoreError> {
        self.strike(Verb::Settings, "", Ok(Versions::Unknown), |_| self.inner.versions()).0
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

fn bytes_of(payload: &[Bytes]) -> u64 {
    payload.iter().map(|part| u64_of(part.len())).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::store::Store;
    use crate::store::conformance;
    use crate::store::error::Category;
    use crate::store::error::Verb;
    use crate::store::memory::MemoryStore;
    use crate::store::name::ObjectName;

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    fn with_objects() -> MemoryStore {
        let store = MemoryStore::new();
        for object in ["packs/ab", "packs/cd", "runs/1"] {
            store.put(&name(object), &[Bytes::from_static(b"\0\0\0\0")]).unwrap();
        }
        store
    }

    #[test]
    fn wrappers_conform_if_nothing_strikes() {
        conformance::check_everything(&Recording::new(MemoryStore::new()));
        conformance::check_everything(&Failing::new(MemoryStore::new(), Vec::new()));
        let slow = Slow::new(MemoryStore::new(), Duration::ZERO, Duration::from_micros(1));
        conformance::check_everything(&slow);
    }

    #[test]
    fn calls_are_counted_by_verb_and_prefix() {
        let store = Recording::new(with_objects());
        store.get(&name("packs/ab"), 10).unwrap();
        store.get_range(&name("packs/ab"), 1..3).unwrap();
        store.get_range(&name("runs/1"), 0..1).unwrap();
        store.get(&name("none"), 10).unwrap_err();
        store.list("packs/", &mut |_| ()).unwrap();
        assert_eq!(store.calls(Verb::GetRange), 2);
        assert_eq!(store.calls_under(Verb::GetRange, "packs/"), 1);
        assert_eq!(store.bytes(Verb::GetRange), 3);
        assert_eq!(store.bytes_under(Verb::GetRange, "runs/"), 1);
        assert_eq!((store.calls(Verb::Get), store.bytes(Verb::Get)), (2, 4));
        assert_eq!(store.calls(Verb::Put), 0);
        let last = Call { verb: Verb::List, object: "packs/".into(), bytes: 2, ok: true };
        assert_eq!(store.log().pop(), Some(last));
        store.reset();
        assert_eq!(store.log(), []);
    }

    #[test]
    fn the_nth_call_is_struck_and_no_other() {
        let refuse = Effect::RefuseBefore(Category::Transient);
        let fault = Fault::first(Verb::Get, refuse).at(2).under("packs/");
        let store = Failing::new(with_objects(), vec![fault]);
        store.get(&name("packs/ab"), 10).unwrap();
        store.get(&name("runs/1"), 10).unwrap();
        let struck = store.get(&name("packs/cd"), 10).unwrap_err();
        assert_eq!((struck.category(), struck.object()), (Category::Transient, "packs/cd"));
        store.get(&name("packs/ab"), 10).unwrap();
        assert_eq!(store.struck(), 1);
    }

    #[test]
    fn every_nth_call_is_struck() {
        let refuse = Effect::RefuseBefore(Category::Transient);
        let store =
            Failing::new(MemoryStore::new(), vec![Fault::first(Verb::Size, refuse).each(3)]);
        let struck: Vec<bool> = (0..7).map(|_| store.size(&name("a")).is_err()).collect();
        assert_eq!(struck, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn a_lasting_fault_strikes_until_it_is_healed() {
        let full = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Full)).ever_after();
        let store = Failing::new(MemoryStore::new(), vec![full]);
        for _ in 0..3 {
            let struck = store.put(&name("a"), &[]).unwrap_err();
            assert_eq!(struck.category(), Category::Full);
        }
        store.heal();
        store.put(&name("a"), &[]).unwrap();
    }

    #[test]
    fn an_answer_can_be_lost_after_the_effect() {
        let lost = Fault::first(Verb::Put, Effect::RefuseAfter(Category::Transient));
        let store = Failing::new(MemoryStore::new(), vec![lost]);
        store.put(&name("a"), &[]).unwrap_err();
        assert_eq!(store.size(&name("a")).unwrap(), Some(0));
        store.put(&name("a"), &[]).unwrap();
    }

    #[test]
    fn an_effect_can_be_missing_from_a_success() {
        let forget = |verb| Fault::first(verb, Effect::Forget);
        let verbs = [Verb::Put, Verb::Get, Verb::GetRange, Verb::Size, Verb::List, Verb::Delete];
        let store = Failing::new(with_objects(), verbs.map(forget).into());
        store.put(&name("a"), &[]).unwrap();
        let gone = store.get(&name("packs/ab"), 10).unwrap_err();
        assert_eq!(gone.category(), Category::NotFound);
        store.get_range(&name("packs/ab"), 0..1).unwrap_err();
        assert_eq!(store.size(&name("packs/ab")).unwrap(), None);
        store.list("", &mut |_| panic!("nothing is listed")).unwrap();
        store.delete(&name("packs/ab")).unwrap();
        assert_eq!(store.inner().objects().len(), 3, "nothing was done");
        assert_eq!(store.struck(), 6);
    }

    #[test]
    fn bytes_can_be_cut_and_spoiled() {
        let cut = Fault::first(Verb::Get, Effect::Truncate(3));
        let flip = Fault::first(Verb::GetRange, Effect::FlipBit(9 + 16));
        let few = Fault::first(Verb::List, Effect::Truncate(1));
        let store = Failing::new(with_objects(), vec![cut, flip, few]);
        assert_eq!(*store.get(&name("packs/ab"), 10).unwrap(), [0; 3]);
        assert_eq!(*store.get_range(&name("packs/ab"), 0..2).unwrap(), [0, 2]);
        assert_eq!(*store.get(&name("packs/ab"), 10).unwrap(), [0; 4]);
        let mut listed = 0;
        store.list("", &mut |_| listed += 1).unwrap();
        assert_eq!(listed, 1);
    }

    #[test]
    fn a_flipped_bit_differs_whatever_it_was_and_wraps_at_the_end() {
        let of = |bytes: &'static [u8], bit| {
            spoil(Bytes::from_static(bytes), Some(Effect::FlipBit(bit))).to_vec()
        };
        assert_eq!(of(b"\xff\xff\xff", 0), *b"\xfe\xff\xff");
        assert_eq!(of(b"\xff\xff\xff", 23), *b"\xff\xff\x7f");
        assert_eq!(of(b"\xff\xff\xff", 24 + 9), *b"\xff\xfd\xff");
        assert_eq!(of(b"", 5), *b"");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the passing of time is what is tested")]
    fn a_slow_store_takes_its_time() {
        let (call, mebibyte) = (Duration::from_millis(10), Duration::from_millis(40));
        let store = Slow::new(MemoryStore::new(), call, mebibyte);
        let begun = std::time::Instant::now();
        store.put(&name("object"), &[vec![0; 1 << 19].into()]).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn wrappers_tell_where_the_store_beneath_is() {
        let slow = Slow::new(MemoryStore::new(), Duration::ZERO, Duration::ZERO);
        let store = Recording::new(Failing::new(slow, Vec::new()));
        assert_eq!(store.location(), "memory");
        assert_eq!(store.inner().inner().inner().location(), "memory");
    }
}
