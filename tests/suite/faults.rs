//! Every call of the store fails once, before or after its effect, during every verb: what was
//! reported as done restores, nothing half-done shows, and the next run needs no repair.
//!
//! Replication has the same test beside its others.

use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Stale;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

/// Every kind of error before the effect, and lost answers; those first that most differ.
const ERRORS: [Effect; 10] = [
    Effect::RefuseBefore(Category::Transient),
    Effect::RefuseBefore(Category::Full),
    Effect::RefuseBefore(Category::NotFound),
    Effect::RefuseAfter(Category::Transient),
    Effect::RefuseBefore(Category::Denied),
    Effect::RefuseBefore(Category::Conflict),
    Effect::RefuseBefore(Category::Damaged),
    Effect::RefuseBefore(Category::Stopped),
    Effect::RefuseBefore(Category::Other),
    Effect::RefuseAfter(Category::Other),
];
/// Answers that are wrong.
const LIES: [Effect; 3] = [Effect::Truncate(9), Effect::FlipBit(1001), Effect::FlipBit(77)];

/// A repository with two nights, and the stream of a third.
struct Nights {
    store: Arc<MemoryStore>,
    streams: Vec<Vec<u8>>,
}

impl Nights {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), Protected::Clear, 1);
        let mut server = Server::new(1, 1, 8);
        let mut streams = vec![server.stream()];
        for _ in 0..2 {
            back_up(&repository, streams.last().unwrap());
            server.night(6);
            streams.push(server.stream());
        }
        Self { store, streams }
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

/// What goes wrong, and with which calls.
type Faults<'f> = (&'f [Effect], fn(Fault, u64) -> Fault);

/// Which calls go wrong: the N-th.
fn once(fault: Fault, nth: u64) -> Fault {
    fault.at(nth)
}

/// The N-th and all that follow.
fn from_then_on(fault: Fault, nth: u64) -> Fault {
    fault.at(nth).ever_after()
}

/// Every N-th.
fn each(fault: Fault, nth: u64) -> Fault {
    fault.each(nth)
}

/// Runs `verb` on a copy for every N, with the N-th call (or so) going wrong, and has the outcome
/// judged.
fn everywhere(
    nights: &Nights,
    (effects, which): Faults<'_>,
    verb: impl Fn(&Repository) -> Result<()>,
    judge: impl Fn(&Arc<MemoryStore>, bool, &str),
) {
    for effect in effects {
        for nth in 1.. {
            let store = nights.copy();
            let fault = Fault { verb: None, ..Fault::first(Verb::Put, *effect) };
            let fault = which(fault, nth);
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

/// Backs up the third night, and wants it to be there or not; the night after needs no repair.
fn third_night(nights: &Nights, faults: Faults<'_>) {
    let back_up_third = |repository: &Repository| {
        back_up_with(repository, &nights.streams[2], ProducerExit::Exited(0), &options())
            .map(|_| ())
    };
    everywhere(nights, faults, back_up_third, |store, done, about| {
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
fn a_backup_is_there_or_not_whatever_call_fails() {
    third_night(&Nights::new(), (&ERRORS, once));
}

#[test]
fn a_backup_is_there_or_not_if_calls_fail_again_and_again() {
    let nights = Nights::new();
    third_night(&nights, (&ERRORS[..1], from_then_on));
    third_night(&nights, (&ERRORS[..1], each));
}

#[test]
fn a_backup_that_is_shown_lies_about_earlier_nights_is_right_all_the_same() {
    third_night(&Nights::new(), (&LIES[..2], once));
}

#[test]
fn a_restore_gives_every_byte_or_fails() {
    let nights = Nights::new();
    let restore = |repository: &Repository| {
        assert_eq!(stream_of(repository, "latest")?, nights.streams[1]);
        Ok(())
    };
    for effects in [&ERRORS[..], &LIES[..]] {
        everywhere(&nights, (effects, once), restore, |_, _, _| {});
    }
    everywhere(&nights, (&ERRORS[..1], from_then_on), restore, |_, _, _| {});
    everywhere(&nights, (&LIES, each), restore, |_, _, _| {});
}

fn verified(repository: &Repository) -> Result<VerifyReport> {
    let options = VerifyOptions::new(Depth::Blocks);
    verify(repository, &options, &World::of_this_machine())
}

#[test]
fn a_verification_that_was_disturbed_condemns_nothing_for_ever() {
    let nights = Nights::new();
    let all: [Faults<'_>; 3] = [(&ERRORS[..4], once), (&LIES[..2], once), (&ERRORS[..1], each)];
    for faults in all {
        everywhere(
            &nights,
            faults,
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
}

#[test]
fn listings_that_lag_behind_cost_time_and_no_data() {
    let nights = Nights::new();
    let stale = Arc::new(Stale::new(nights.copy()));
    let night = |seed: u64| {
        let repository = open(shared(&stale), seed).unwrap();
        back_up(&repository, &nights.streams[2]).id.to_string()
    };
    // Neither run sees the other's snapshot, nor its packs.
    let ids = [night(10), night(11)];
    let repository = open(shared(&stale), 12).unwrap();
    assert_eq!(stream_of(&repository, "latest").unwrap(), nights.streams[1], "what is listed");
    assert_eq!(verified(&repository).unwrap().findings, []);
    // Of the new ones the packs are not listed yet, and there.
    let snapshots = open(shared(stale.inner()), 13).unwrap().snapshots().unwrap().snapshots;
    assert_eq!(snapshots.len(), 4);
    let options = VerifyOptions { snapshots, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings, []);
    stale.catch_up();
    assert_eq!(nights.visible(stale.inner(), "listed"), 4);
    for id in &ids {
        assert_eq!(stream_of(&repository, id).unwrap(), nights.streams[2]);
    }
    // A listing that still shows what is gone: the pack is known to be lost when it is read.
    let mut packs = Vec::new();
    stale.list("packs/", &mut |meta| packs.push((meta.size, meta.name))).unwrap();
    let largest = packs.iter().max().unwrap().1.clone();
    stale.delete(&largest).unwrap();
    let found = verified(&repository).unwrap().findings;
    assert!(found.iter().any(|finding| finding.what.contains(largest.as_str())), "{found:?}");
    stale.catch_up();
    let next = back_up(&repository, &nights.streams[2]).id.to_string();
    stale.catch_up();
    assert_eq!(stream_of(&repository, &next).unwrap(), nights.streams[2], "healed");
}

/// The first object of each kind that a backup writes, and what the store then has of it.
#[test]
fn a_store_that_says_yes_and_keeps_nothing_or_less_makes_a_backup_fail() {
    for (kept, complaint) in [(Effect::Forget, "does not have it"), (Effect::Shorten(5), "has 5")] {
        for prefix in ["", "runs/", "packs/", "twins/", "snapshots/"] {
            let inner = Arc::new(MemoryStore::new());
            init(shared(&inner), Protected::Encrypted, 1);
            let fault = Fault::first(Verb::Put, kept).under(prefix);
            let failing = Arc::new(Failing::new(Arc::clone(&inner), vec![fault]));
            let repository = open(shared(&failing), 2).unwrap();
            let stream = Server::new(1, 1, 10).stream();
            let error = back_up_with(&repository, &stream, ProducerExit::Exited(0), &options());
            let error = error.unwrap_err();
            let said = error.to_string();
            assert!(said.contains(complaint) && said.contains(prefix), "{prefix}: {said}");
            assert_eq!(error.kind(), ErrorKind::Store, "{prefix}");
            assert_eq!(failing.struck(), 1, "{prefix}: and the run ended there");
            let left = repository.snapshots().unwrap();
            assert_eq!(left.snapshots.len(), 0, "{prefix}");
        }
    }
}

/// Healing points from what is lost to a new copy, and a backup relies on that as on its packs.
#[test]
fn a_backup_that_heals_fails_if_the_store_keeps_no_record_of_it() {
    let inner = Arc::new(MemoryStore::new());
    let repository = init(shared(&inner), Protected::Encrypted, 1);
    let stream = Server::new(1, 1, 10).stream();
    back_up(&repository, &stream);
    let mut packs = Vec::new();
    inner.list("packs/", &mut |meta| packs.push((meta.size, meta.name))).unwrap();
    inner.delete(&packs.iter().max().unwrap().1).unwrap();
    let fault = Fault::first(Verb::Put, Effect::Forget).under("moves/");
    let failing = Arc::new(Failing::new(Arc::clone(&inner), vec![fault]));
    let repository = open(shared(&failing), 2).unwrap();
    let error =
        back_up_with(&repository, &stream, ProducerExit::Exited(0), &options()).unwrap_err();
    assert!(error.to_string().contains("the store took moves/"), "{error}");
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 1);
}
