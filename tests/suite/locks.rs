//! Locks of objects in a bucket: extended, never shortened, and told from what is no lock.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::store::Store;
use haulout::store::cached::CacheDir;
use haulout::store::cached::Cached;
use haulout::store::error::Category;
use haulout::store::error::Diagnosis;
use haulout::store::error::StoreError;
use haulout::store::limited::Limited;
use haulout::store::limiter::Limiter;
use haulout::store::limiter::Timetable;
use haulout::store::lock::LockMode;
use haulout::store::lock::LockOutcome;
use haulout::store::lock::LockRule;
use haulout::store::lock::LockTerm;
use haulout::store::lock::Versions;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::remote::RemoteStore;
use haulout::store::testing::Failing;
use haulout::store::testing::Meeting;
use haulout::store::testing::Recording;
use haulout::store::testing::Slow;
use haulout::store::testing::Stale;

use crate::support::s3::Answer;
use crate::support::s3::Fault;
use crate::support::s3::S3;
use crate::support::s3::locks::Bucket;
use crate::support::s3::locks::DAY;

const BYTES: &[u8] = b"an object";

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn now() -> u64 {
    World::of_this_machine().clock.unix_seconds()
}

/// A bucket with an object `packs/a`.
fn bucket(kind: Bucket) -> (S3, RemoteStore) {
    let server = S3::start();
    server.locks().become_bucket(kind);
    let store = server.store("db");
    store.put(&name("packs/a"), &[Bytes::from_static(BYTES)]).unwrap();
    (server, store)
}

/// A lock for 35 days, if it does not last for half of them.
fn term() -> LockTerm {
    let now = now();
    LockTerm { enough: now + 17 * DAY, until: now + 35 * DAY, mode: LockMode::Governance }
}

fn extend(store: &dyn Store, term: &LockTerm) -> Result<LockOutcome, StoreError> {
    store.extend_lock(&name("packs/a"), term)
}

#[track_caller]
fn is_whole(store: &dyn Store) {
    assert_eq!(store.get(&name("packs/a"), 1000).unwrap(), BYTES);
}

#[test]
fn a_lock_is_extended_only_where_it_ends_too_soon_and_keeps_its_mode() {
    let (server, store) = bucket(Bucket::Hides(None));
    let locks = server.locks();
    let term = term();
    assert_eq!(extend(&store, &term).unwrap(), LockOutcome::New);
    assert_eq!(locks.of("db/packs/a").unwrap(), ("GOVERNANCE".to_owned(), term.until));
    assert_eq!(locks.requests(), (1, 1));
    assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Stays);
    assert_eq!(locks.requests(), (2, 1));
    for mode in ["COMPLIANCE", "GOVERNANCE"] {
        locks.set("db/packs/a", mode, term.enough);
        assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Stays);
        locks.set("db/packs/a", mode, term.enough - 1);
        assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Extended);
        assert_eq!(locks.of("db/packs/a").unwrap(), (mode.to_owned(), term.until));
        // One that has ended is extended as well.
        locks.set("db/packs/a", mode, now() - DAY);
        assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Extended);
    }
    is_whole(&store);
}

#[test]
fn a_lock_is_never_shortened() {
    let (server, store) = bucket(Bucket::Hides(Some(400)));
    let locks = server.locks();
    let term = term();
    let far = locks.of("db/packs/a").unwrap();
    assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Stays);
    // A wish that contradicts itself shortens nothing either.
    let odd = LockTerm { enough: term.until + DAY, ..term };
    locks.set("db/packs/a", "GOVERNANCE", term.until + 1);
    assert_eq!(extend(&store, &odd).unwrap(), LockOutcome::Stays);
    assert_eq!(locks.of("db/packs/a").unwrap().1, term.until + 1);
    assert!(far.1 > term.until + 300 * DAY);
    assert_eq!(locks.requests(), (2, 0));
}

#[test]
fn stores_and_buckets_without_locks_say_so() {
    let (_server, store) = bucket(Bucket::Without);
    let error = extend(&store, &term()).unwrap_err();
    assert_eq!(error.category(), Category::Unsupported);
    assert_eq!(error.diagnosis(), Some(Diagnosis::NoLocks));
    let words = "cannot extend the lock of packs/a: the bucket has no Object Lock";
    assert_eq!(error.to_string(), words);
    assert_eq!(store.lock_rule().unwrap(), None);
    assert_eq!(store.versions().unwrap(), Versions::Deleted);
    // s3s knows no such request, as garage does not.
    let server = S3::start();
    let store = server.store("db");
    store.put(&name("packs/a"), &[Bytes::from_static(BYTES)]).unwrap();
    let error = extend(&store, &term()).unwrap_err();
    assert_eq!(error.category(), Category::Unsupported);
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("501"), "{cause}");
    assert_eq!(store.versions().unwrap(), Versions::Unknown);
    // A directory and memory have none.
    let error = extend(&MemoryStore::new(), &term()).unwrap_err();
    assert_eq!(error.category(), Category::Unsupported);
    assert_eq!(MemoryStore::new().versions().unwrap(), Versions::Deleted);
}

#[test]
fn a_store_that_takes_the_question_for_one_about_the_object_keeps_the_object() {
    for length in [9, 200 << 10] {
        let (server, store) = bucket(Bucket::Ignores);
        let bytes = Bytes::from(vec![b'<'; length]);
        store.replace(&name("packs/a"), std::slice::from_ref(&bytes)).unwrap();
        let before = server.requests();
        let error = extend(&store, &term()).unwrap_err();
        assert_eq!(error.category(), Category::Unsupported, "{error:?}");
        assert_eq!(server.requests() - before, 1, "no lock is put");
        assert_eq!(store.get(&name("packs/a"), 1 << 20).unwrap(), bytes);
    }
}

#[test]
fn who_may_not_ask_or_put_hears_it_and_what_fails_for_now_is_asked_again() {
    let (server, store) = bucket(Bucket::Hides(None));
    let denied = || Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    for method in ["GET", "PUT"] {
        let fault = Fault { path: "retention", ..Fault::next(method, 1, denied()) };
        server.break_with(fault);
        let error = extend(&store, &term()).unwrap_err();
        assert_eq!(error.category(), Category::Denied, "{method}");
        assert_eq!(error.diagnosis(), Some(Diagnosis::Forbidden), "{method}");
        server.heal();
    }
    assert_eq!(server.locks().of("db/packs/a"), None);
    for (method, fault) in [
        ("GET", Answer::Status(503, "<Error><Code>SlowDown</Code></Error>")),
        ("GET", Answer::Cut),
        ("PUT", Answer::DoneAndStatus(500)),
    ] {
        server.locks().set("db/packs/a", "GOVERNANCE", now() + DAY);
        server.break_with(Fault { path: "retention", ..Fault::next(method, 2, fault) });
        assert_eq!(extend(&store, &term()).unwrap(), LockOutcome::Extended);
        server.heal();
    }
    let missing = store.extend_lock(&name("packs/b"), &term());
    // This server locks names; real ones say that there is no such key.
    assert_eq!(missing.unwrap(), LockOutcome::New);
    let gone = Answer::Status(404, "<Error><Code>NoSuchKey</Code></Error>");
    server.break_with(Fault { path: "retention", ..Fault::next("GET", 1, gone) });
    assert_eq!(extend(&store, &term()).unwrap_err().category(), Category::NotFound);
}

#[test]
fn the_rule_and_the_versions_of_a_bucket_are_told() {
    let rule = |days| Some(LockRule { mode: LockMode::Compliance, days });
    for (kind, locks, versions) in [
        (Bucket::Hides(None), None, Versions::Kept),
        (Bucket::Hides(Some(35)), rule(35), Versions::Kept),
        (Bucket::Refuses(7), rule(7), Versions::Deleted),
    ] {
        let (_server, store) = bucket(kind);
        assert_eq!(store.lock_rule().unwrap(), locks, "{kind:?}");
        assert_eq!(store.versions().unwrap(), versions, "{kind:?}");
    }
    let (server, store) = bucket(Bucket::Hides(None));
    server.break_with(Fault::always(Answer::Status(403, "<Code>AccessDenied</Code>")));
    assert_eq!(store.lock_rule().unwrap_err().category(), Category::Denied);
    assert_eq!(store.versions().unwrap(), Versions::Unknown);
}

#[test]
fn a_locked_object_is_named_when_it_is_not_deleted() {
    let (server, store) = bucket(Bucket::Refuses(7));
    let names = ["packs/a", "packs/b", "packs/c"].map(name);
    store.put(&names[1], &[Bytes::from_static(BYTES)]).unwrap();
    server.locks().set("db/packs/b", "COMPLIANCE", now() - 1);
    let error = store.delete(&names[0]).unwrap_err();
    assert_eq!(error.diagnosis(), Some(Diagnosis::Locked), "{error:?}");
    assert_eq!(error.to_string(), "cannot delete packs/a: the object is locked");
    let results = store.delete_many(&names);
    let locked = results[0].as_ref().unwrap_err();
    assert_eq!((locked.category(), locked.object()), (Category::Denied, "packs/a"));
    assert_eq!(locked.diagnosis(), Some(Diagnosis::Locked), "{locked:?}");
    assert!(results[1..].iter().all(Result::is_ok), "{results:?}");
    is_whole(&store);
    assert_eq!(store.size(&names[1]).unwrap(), None);
}

#[test]
fn a_store_within_another_extends_the_lock() {
    let (server, store) = bucket(Bucket::Hides(Some(1)));
    let store = Arc::new(store);
    let inner = || Arc::clone(&store);
    let limiter =
        || Arc::new(Limiter::new(Timetable::new(Vec::new()), World::of_this_machine().clock));
    let monitor = World::of_this_machine().monitor;
    let wrappers: [Box<dyn Store>; 7] = [
        Box::new(Cached::new(inner(), CacheDir::of_this_run(1000))),
        Box::new(Limited::new(inner(), limiter(), limiter(), monitor)),
        Box::new(Recording::new(inner())),
        Box::new(Failing::new(inner(), Vec::new())),
        Box::new(Slow::new(inner(), Duration::ZERO, Duration::ZERO)),
        Box::new(Stale::new(inner())),
        Box::new(Meeting::new(inner())),
    ];
    let term = term();
    for (at, store) in (1..).zip(wrappers) {
        server.locks().set("db/packs/a", "COMPLIANCE", now() + DAY);
        assert_eq!(extend(&store, &term).unwrap(), LockOutcome::Extended, "{store:?}");
        assert_eq!(server.locks().requests(), (at, at));
        assert_eq!(store.lock_rule().unwrap().unwrap().days, 1);
        assert_eq!(store.versions().unwrap(), Versions::Kept);
    }
}

#[test]
fn a_deletion_that_only_hides_is_a_success() {
    let (server, store) = bucket(Bucket::Hides(Some(7)));
    store.delete(&name("packs/a")).unwrap();
    assert_eq!(server.locks().hidden(), ["db/packs/a"]);
    assert_eq!(store.size(&name("packs/a")).unwrap(), None);
}
