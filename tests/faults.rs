//! Every call of the store fails once, before or after its effect, during every verb: what was
//! reported as done restores, nothing half-done shows, and the next run needs no repair.
//!
//! Replication has the same test beside its others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use haulout::base::error::Result;
use haulout::base::monitor::Monitor;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::source::Fate;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

const EFFECTS: [Effect; 4] = [
    Effect::RefuseBefore(Category::Transient),
    Effect::RefuseAfter(Category::Transient),
    Effect::RefuseBefore(Category::Full),
    Effect::RefuseBefore(Category::NotFound),
];

/// A repository with two nights, and the stream of a third.
struct Nights {
    store: Arc<MemoryStore>,
    streams: Vec<Vec<u8>>,
}

impl Nights {
    fn new() -> Nights {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), Protected::Clear, 1);
        let mut server = Server::new(1, 1, 20);
        let mut streams = vec![server.stream()];
        for _ in 0..2 {
            back_up(&repository, streams.last().unwrap());
            server.night(6);
            streams.push(server.stream());
        }
        Nights { store, streams }
    }

    /// A copy of the store, to be spoiled.
    fn copy(&self) -> Arc<MemoryStore> {
        let copy = Arc::new(MemoryStore::new());
        let mut names = Vec::new();
        self.store.list("", &mut |meta| names.push(meta.name)).unwrap();
        for name in names {
            copy.put(&name, &[self.store.get(&name, 1 << 30).unwrap()]).unwrap();
        }
        copy
    }

    /// Every visible snapshot is one of the nights, whole.
    fn visible(&self, store: &Arc<MemoryStore>, about: &str) -> usize {
        let repository = open(shared(store), 77).unwrap();
        let listing = repository.snapshots().unwrap();
        assert!(listing.damaged.is_empty(), "{about}");
        for stored in &listing.snapshots {
            let stream = stream_of(&repository, &stored.id().to_string()).unwrap();
            assert!(self.streams.contains(&stream), "{about}: half a snapshot shows");
        }
        listing.snapshots.len()
    }
}

/// Runs `verb` on a copy for every N, with the N-th call going wrong, and has the outcome judged.
fn everywhere(
    nights: &Nights,
    verb: impl Fn(&Repository) -> Result<()>,
    judge: impl Fn(&Arc<MemoryStore>, bool, &str),
) {
    for effect in EFFECTS {
        for nth in 1.. {
            let store = nights.copy();
            let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) }.at(nth);
            let failing = Arc::new(Failing::new(shared(&store), vec![fault]));
            let repository = open(shared(&store), 5).unwrap().elsewhere(shared(&failing));
            let done = verb(&repository).is_ok();
            let about = format!("call {nth}, {effect:?}, done: {done}");
            judge(&store, done, &about);
            if failing.struck() == 0 {
                assert!(done, "{about}: nothing went wrong");
                assert!(nth > 5, "several calls were tried");
                break;
            }
        }
    }
}

#[test]
fn a_backup_is_there_or_not_whatever_call_fails() {
    let nights = Nights::new();
    let back_up_third = |repository: &Repository| {
        back_up_with(repository, &nights.streams[2], Fate::Exited(0), &options()).map(|_| ())
    };
    everywhere(&nights, back_up_third, |store, done, about| {
        let visible = nights.visible(store, about);
        assert!(visible == 3 || !done && visible == 2, "{about}: {visible}");
        let repository = open(shared(store), 6).unwrap();
        let next = back_up(&repository, &nights.streams[2]);
        assert_eq!(
            stream_of(&repository, &next.id.to_string()).unwrap(),
            nights.streams[2],
            "{about}: the next run needs no repair"
        );
    });
}

#[test]
fn a_restore_gives_every_byte_or_fails() {
    let nights = Nights::new();
    let restore = |repository: &Repository| {
        assert_eq!(stream_of(repository, "latest")?, nights.streams[1]);
        Ok(())
    };
    everywhere(&nights, restore, |_, _, _| {});
}

#[test]
fn a_verification_that_was_disturbed_condemns_nothing_for_ever() {
    let nights = Nights::new();
    let verified = |repository: &Repository| {
        let options = VerifyOptions { depth: Depth::Blocks, snapshots: Vec::new(), workers: 1 };
        verify(repository, &options, &Arc::new(Monitor::default()))
    };
    everywhere(
        &nights,
        |repository| verified(repository).map(|_| ()),
        |store, _, about| {
            assert_eq!(nights.visible(store, about), 2);
            let repository = open(shared(store), 6).unwrap();
            let next = back_up(&repository, &nights.streams[2]);
            let restored = stream_of(&repository, &next.id.to_string()).unwrap();
            assert_eq!(restored, nights.streams[2], "{about}");
            let report = verified(&repository).unwrap();
            assert_eq!(report.findings, [], "{about}");
        },
    );
}
