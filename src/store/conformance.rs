//! The contract of [`Store`] as checks that every store must pass.
//!
//! [`check_everything`] takes an empty store and panics with what is wrong. It is public so that
//! tests outside of this module, and stores yet to come, run the same suite.
//!
//! It can't see durability: for the local directory the crash model does that.

use std::error::Error;
use std::thread;

use bytes::Bytes;

use crate::base::num::u64_of;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// Checks the whole contract on a store that is empty.
///
/// It leaves the store empty.
pub fn check_everything(store: &dyn Store) {
    check_all_but_conflicts(store);
    a_name_that_is_taken_is_refused(store);
    an_empty_store_has_nothing(store);
}

/// Checks the contract on an empty store that replaces objects without a word, as some servers do.
///
/// A name is the hash of what it stands for, so what such a store can't tell never happens.
pub fn check_all_but_conflicts(store: &dyn Store) {
    an_empty_store_has_nothing(store);
    what_was_put_comes_back(store);
    putting_again_is_harmless(store);
    what_is_replaced_is_the_new_object_at_once(store);
    who_reads_while_it_is_replaced_gets_one_or_the_other(store);
    reads_are_bounded_and_exact(store);
    a_listing_is_by_whole_parts(store);
    what_was_deleted_is_gone(store);
    several_are_deleted_at_once(store);
    threads_may_share_it(store);
    an_empty_store_has_nothing(store);
    assert!(!store.location().is_empty(), "people are told where the store is");
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("the suite uses valid names")
}

fn bytes_of(length: usize) -> Bytes {
    (0..=250).cycle().take(length).collect()
}

fn put(store: &dyn Store, object: &str, bytes: &Bytes) {
    let outcome = store.put(&name(object), std::slice::from_ref(bytes));
    outcome.expect("a put succeeds");
}

#[track_caller]
fn refused<T>(outcome: Result<T, StoreError>, verb: Verb, object: &str, category: Category) {
    let Err(error) = outcome else { panic!("{verb} {object} must be refused") };
    assert_eq!(error.category(), category, "{error:?}");
    assert_eq!(error.verb(), verb, "{error:?}");
    assert_eq!(error.object(), object, "{error:?}");
    assert!(error.to_string().contains(object), "the message names the object: {error}");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let message = error.to_string();
    assert!(cause.is_empty() || !message.contains(&cause), "one layer speaks once: {error}");
}

fn listed(store: &dyn Store, prefix: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut each = |meta: ObjectMeta| found.push((meta.name.as_str().to_owned(), meta.size));
    store.list(prefix, &mut each).expect("a listing succeeds");
    found.sort();
    found
}

fn an_empty_store_has_nothing(store: &dyn Store) {
    for prefix in ["", "packs/", "packs/ab/"] {
        assert_eq!(listed(store, prefix), []);
    }
    for object in ["config", "packs/ab/cd"] {
        assert_eq!(store.size(&name(object)).expect("a size"), None);
        refused(store.get(&name(object), 1 << 20), Verb::Get, object, Category::NotFound);
        let range = store.get_range(&name(object), 0..1);
        refused(range, Verb::GetRange, object, Category::NotFound);
        store.delete(&name(object)).expect("deleting nothing is fine");
    }
}

fn what_was_put_comes_back(store: &dyn Store) {
    let lengths = [0, 1, 4095, 4096, 65_537, (1 << 20) + 3];
    for (at, length) in lengths.into_iter().enumerate() {
        let object = format!("sizes/{at}");
        put(store, &object, &bytes_of(length));
        let got = store.get(&name(&object), u64_of(length)).expect("a get");
        assert!(got == bytes_of(length), "{length} bytes come back");
        assert_eq!(store.size(&name(&object)).expect("a size"), Some(u64_of(length)));
    }
    let whole = bytes_of(3000);
    let parts = [whole.slice(..1), Bytes::new(), whole.slice(1..2999), whole.slice(2999..)];
    store.put(&name("sizes/parts"), &parts).expect("a put of parts");
    let got = store.get(&name("sizes/parts"), 3000).expect("a get");
    assert!(got == whole, "parts are put one behind the other");
    store.put(&name("sizes/none"), &[]).expect("a put of no parts");
    assert_eq!(store.size(&name("sizes/none")).expect("a size"), Some(0));
    let many: Vec<Bytes> = (0..5000).map(|_| bytes_of(7)).collect();
    store.put(&name("sizes/many"), &many).expect("a put of more parts than one call takes");
    let got = store.get(&name("sizes/many"), 35_000).expect("a get");
    assert!(got == many.concat(), "all parts are put");
    clear(store);
}

fn putting_again_is_harmless(store: &dyn Store) {
    let first = bytes_of(100);
    for _ in 0..3 {
        put(store, "again/object", &first);
    }
    assert!(store.get(&name("again/object"), 100).expect("a get") == first, "it is as it was");
    assert_eq!(listed(store, ""), [("again/object".to_owned(), 100)], "nothing else is left");
    clear(store);
}

fn replace(store: &dyn Store, object: &str, bytes: &Bytes) {
    let outcome = store.replace(&name(object), std::slice::from_ref(bytes));
    outcome.expect("a replacement succeeds");
}

fn what_is_replaced_is_the_new_object_at_once(store: &dyn Store) {
    let object = "replaced/object";
    put(store, "replaced/other", &bytes_of(7));
    put(store, object, &bytes_of(100));
    store.get_range(&name(object), 0..100).expect("a range");
    for length in [137, 10, 137, 137, 0, 5000] {
        replace(store, object, &bytes_of(length));
        let got = store.get(&name(object), u64_of(length)).expect("a get");
        assert!(got == bytes_of(length), "what was put last is read");
        assert_eq!(store.size(&name(object)).expect("a size"), Some(u64_of(length)));
        let all = [(object.to_owned(), u64_of(length)), ("replaced/other".to_owned(), 7)];
        assert_eq!(listed(store, "replaced/"), all, "nothing else is left, and nothing lost");
    }
    let got = store.get_range(&name(object), 4990..5000).expect("a range");
    assert!(got == bytes_of(5000).slice(4990..), "no part of an earlier one is read");
    let whole = bytes_of(300);
    let parts = [whole.slice(..1), Bytes::new(), whole.slice(1..)];
    store.replace(&name(object), &parts).expect("a replacement of parts");
    assert!(store.get(&name(object), 300).expect("a get") == whole);
    replace(store, "replaced/none/before", &bytes_of(3));
    assert_eq!(store.size(&name("replaced/none/before")).expect("a size"), Some(3));
    clear(store);
}

fn who_reads_while_it_is_replaced_gets_one_or_the_other(store: &dyn Store) {
    let object = "replaced/shared";
    let kinds = [bytes_of(137), Bytes::from_static(&[9; 4000])];
    put(store, object, &kinds[0]);
    thread::scope(|scope| {
        for kind in &kinds {
            scope.spawn(move || (0..20).for_each(|_| replace(store, object, kind)));
        }
        scope.spawn(|| {
            for _ in 0..40 {
                let got = store.get(&name(object), 4000).expect("it is always there");
                assert!(kinds.contains(&got), "one of them, whole");
            }
        });
    });
    assert_eq!(listed(store, "replaced/").len(), 1, "nothing else is left");
    clear(store);
}

fn a_name_that_is_taken_is_refused(store: &dyn Store) {
    let (first, other) = (bytes_of(100), bytes_of(101));
    put(store, "again/object", &first);
    let longer = store.put(&name("again/object"), &[other]);
    refused(longer, Verb::Put, "again/object", Category::Conflict);
    let shorter = store.put(&name("again/object"), &[]);
    refused(shorter, Verb::Put, "again/object", Category::Conflict);
    let mut changed = first.to_vec();
    changed[99] ^= 1;
    let changed = store.put(&name("again/object"), &[changed.into()]);
    refused(changed, Verb::Put, "again/object", Category::Conflict);
    assert!(store.get(&name("again/object"), 100).expect("a get") == first, "it is as it was");
    assert_eq!(listed(store, ""), [("again/object".to_owned(), 100)], "nothing else is left");
    clear(store);
}

fn reads_are_bounded_and_exact(store: &dyn Store) {
    let (object, whole) = ("range/object", bytes_of(1000));
    put(store, object, &whole);
    for bytes_max in [0, 1, 999] {
        refused(store.get(&name(object), bytes_max), Verb::Get, object, Category::Damaged);
    }
    for bytes_max in [1000, u64::MAX] {
        assert!(store.get(&name(object), bytes_max).expect("a get") == whole);
    }
    for (start, end) in [(0, 1), (0, 1000), (999, 1000), (1, 999), (500, 501)] {
        let got = store.get_range(&name(object), u64_of(start)..u64_of(end)).expect("a range");
        assert!(got == whole.slice(start..end), "{start}..{end} is exact");
    }
    for range in [0..1001, 999..1001, 1000..1001, 5000..5001, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        let outcome = store.get_range(&name(object), range);
        refused(outcome, Verb::GetRange, object, Category::Damaged);
    }
    for at in [0, 1000, u64::MAX] {
        let got = store.get_range(&name(object), at..at).expect("an empty range");
        assert!(got.is_empty());
    }
    clear(store);
}

fn a_listing_is_by_whole_parts(store: &dyn Store) {
    let objects = ["config", "packs/ab/1", "packs/ab/22", "packs/cd/1", "packs-of/1", "packsx"];
    for (length, object) in objects.into_iter().enumerate() {
        put(store, object, &bytes_of(length));
    }
    let expect = |prefix: &str| -> Vec<(String, u64)> {
        let sizes = objects.into_iter().zip(0_u64..);
        let below = sizes.filter(|(object, _)| object.starts_with(prefix));
        let mut expected: Vec<_> = below.map(|(object, size)| (object.into(), size)).collect();
        expected.sort();
        expected
    };
    for prefix in ["", "packs/", "packs/ab/", "packs-of/", "none/", "config/", "packs/ab/1/"] {
        assert_eq!(listed(store, prefix), expect(prefix), "listing {prefix:?}");
    }
    for prefix in ["packs", "pac", "/", "../", "packs//", ".tmp-/", "PACKS/"] {
        refused(store.list(prefix, &mut |_| ()), Verb::List, prefix, Category::Other);
    }
    let mut sizes = 0;
    let mut each = |meta: ObjectMeta| sizes += store.size(&meta.name).expect("a size").unwrap_or(0);
    store.list("", &mut each).expect("a store may be used while it is listed");
    assert_eq!(sizes, 1 + 2 + 3 + 4 + 5);
    clear(store);
}

fn what_was_deleted_is_gone(store: &dyn Store) {
    let (object, other) = ("delete/object", "delete/other");
    put(store, object, &bytes_of(10));
    put(store, other, &bytes_of(10));
    store.get_range(&name(object), 0..10).expect("a range");
    store.delete(&name(object)).expect("a delete");
    refused(store.get(&name(object), 10), Verb::Get, object, Category::NotFound);
    refused(store.get_range(&name(object), 0..10), Verb::GetRange, object, Category::NotFound);
    assert_eq!(store.size(&name(object)).expect("a size"), None);
    assert_eq!(listed(store, ""), [(other.to_owned(), 10)]);
    put(store, object, &bytes_of(20));
    let got = store.get_range(&name(object), 10..20).expect("a range");
    assert!(got == bytes_of(20).slice(10..), "what was put again is read, not what was before");
    clear(store);
}

fn several_are_deleted_at_once(store: &dyn Store) {
    let objects: Vec<String> = (0..7).map(|number| format!("delete/many/{number}")).collect();
    objects.iter().skip(1).for_each(|object| put(store, object, &bytes_of(10)));
    put(store, "delete/other", &bytes_of(10));
    let names: Vec<ObjectName> = objects.iter().map(|object| name(object)).collect();
    // One that is not there is as good as deleted, and so is one that is named twice.
    let wanted = [&names[..], &names[3..4]].concat();
    let results = store.delete_many(&wanted);
    assert_eq!(results.len(), wanted.len(), "each name has a result");
    results.into_iter().for_each(|result| result.expect("a delete"));
    assert_eq!(listed(store, ""), [("delete/other".to_owned(), 10)]);
    assert!(store.delete_many(&[]).is_empty());
    assert!(store.deletes_at_once() > 0);
    clear(store);
}

fn threads_may_share_it(store: &dyn Store) {
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                (0..20).for_each(|number| put_own_and_shared(store, thread, number));
            });
        }
    });
    assert_eq!(listed(store, "threads/shared/").len(), 20);
    assert_eq!(listed(store, "threads/").len(), 100);
    clear(store);
}

fn put_own_and_shared(store: &dyn Store, thread: usize, number: usize) {
    put(store, &format!("threads/{thread}/{number}"), &bytes_of(number));
    let shared = format!("threads/shared/{number}");
    put(store, &shared, &bytes_of(5000));
    let got = store.get(&name(&shared), 5000).expect("what was put is there");
    assert!(got == bytes_of(5000), "an object is whole or not there");
}

fn clear(store: &dyn Store) {
    for (object, _) in listed(store, "") {
        store.delete(&name(&object)).expect("a delete");
    }
}
