//! Runs and prunes that meet: each test is one order of their calls in which an earlier protocol
//! would have lost something (`tests/model` searches all of them).
//!
//! A process runs on a thread of its own and stops at a chosen call until the test lets it go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::thread::JoinHandle;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::format::layout::Object;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::hold;
use haulout::ops::hold::Hold;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::Removing;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::snapshots::SnapshotName;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::ids::RunId;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Meeting;
use haulout::store::testing::Stale;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::stepping_world;
use crate::support::stream_of;

/// The side of a call at which a process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Before,
    After,
}

/// A process that stops at one call.
struct Stopped<T> {
    go: Sender<()>,
    ends: JoinHandle<T>,
}

impl<T> Stopped<T> {
    /// Lets it go on to its end.
    fn finish(self) -> T {
        self.go.send(()).unwrap();
        self.ends.join().unwrap()
    }
}

/// A repository in memory, with what happened to it.
struct Place {
    store: Arc<MemoryStore>,
    repository: Repository,
    server: Server,
}

impl Place {
    /// A repository with these numbers of nights of a source.
    fn with_nights(nights: usize) -> (Self, Vec<SnapshotId>) {
        let store = Arc::new(MemoryStore::new());
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        let shared = support::shared(&store);
        let repository = support::init_as_earlier(shared, Protected::Clear, features, 1);
        let mut place = Self { store, repository, server: Server::new(7, 2, 60) };
        let ids = (0..nights).map(|_| place.night()).collect();
        (place, ids)
    }

    /// Backs up the server, and changes nearly every page of it.
    fn night(&mut self) -> SnapshotId {
        let id = back_up(&self.repository, &self.server.stream()).unwrap().id;
        self.server.night(300);
        id
    }

    /// Starts a process that stops at the N-th call of a kind, and waits until it is there.
    fn stopped<T: Send + 'static>(
        &self,
        (at, verb, prefix, nth): (At, Verb, &str, u64),
        process: impl FnOnce(&Repository) -> T + Send + 'static,
    ) -> Stopped<T> {
        let (reach, reached) = channel();
        let (go, gone) = channel::<()>();
        let act = move || {
            reach.send(()).unwrap();
            gone.recv().unwrap();
        };
        let meeting = Meeting::new(Arc::clone(&self.store));
        let meeting = match at {
            At::Before => meeting.before(verb, prefix, nth, act),
            At::After => meeting.after(verb, prefix, nth, act),
        };
        let there = self.repository.elsewhere(Arc::new(meeting));
        let ends = thread::spawn(move || process(&there));
        reached.recv().expect("the process comes to this call");
        Stopped { go, ends }
    }

    /// A backup that stops there.
    fn backup(&self, stop: (At, Verb, &str, u64)) -> Stopped<Result<BackupReport>> {
        let stream = self.server.stream();
        self.stopped(stop, move |repository| back_up(repository, &stream))
    }

    /// A prune that stops there.
    fn prune(
        &self,
        stop: (At, Verb, &str, u64),
        options: PruneOptions,
    ) -> Stopped<Result<PruneReport>> {
        self.stopped(stop, move |repository| prune::prune(repository, &options, &stepping_world()))
    }

    fn prune_now(&self, options: &PruneOptions) -> Result<PruneReport> {
        prune::prune(&self.repository, options, &stepping_world())
    }

    fn removal(&self, ids: &[SnapshotId]) -> PruneOptions {
        let removes = ids.iter().map(|id| removing(&self.repository, *id)).collect();
        PruneOptions { removes, ..PruneOptions::default() }
    }

    fn breaking(&self) -> PruneOptions {
        let standing = self.repository.standing().unwrap().runs;
        let breaks: BTreeSet<RunId> = standing.iter().map(|run| run.run).collect();
        assert_eq!(breaks.len(), 1);
        PruneOptions { breaks, ..PruneOptions::default() }
    }

    /// Checks that a snapshot is shown, and restores what the server was.
    fn assert_is(&self, id: SnapshotId, stream: &[u8]) {
        assert!(stream_of(&self.repository, &id.to_string()).unwrap() == stream);
        self.assert_sound();
    }

    /// Checks that whatever is shown is whole.
    fn assert_sound(&self) {
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
        let world = World::of_this_machine();
        let report = verify(&self.repository, &options, &world).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    /// Has the next prune take what is left, and checks that nothing but what is needed is.
    fn assert_nothing_is_left(&self) {
        self.prune_now(&PruneOptions::default()).unwrap();
        let world = World::of_this_machine();
        let mut needed = BTreeSet::new();
        for stored in self.repository.snapshots().unwrap().snapshots {
            self.repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
                needed.insert(Object::Pack(record.name).name());
            });
        }
        for name in self.store.objects().into_keys() {
            let is_pack = name.as_str().starts_with(Folder::Packs.prefix());
            assert!(!is_pack || needed.contains(&name), "{name} is left");
            assert!(!name.as_str().starts_with(Folder::Intents.prefix()), "{name} is left");
        }
        self.assert_sound();
    }
}

fn options() -> BackupOptions {
    BackupOptions { checkpoint_bytes: 512 << 10, ..support::options() }
}

fn back_up(repository: &Repository, stream: &[u8]) -> Result<BackupReport> {
    let exit = ProducerExit::Exited(0);
    support::back_up_with(repository, stream, exit, &support::options())
}

fn removing(repository: &Repository, id: SnapshotId) -> Removing {
    let stored = repository.find_snapshot(&id.to_string()).unwrap();
    support::removing(&stored)
}

fn name_of(repository: &Repository, id: SnapshotId) -> SnapshotName {
    repository.find_snapshot(&id.to_string()).unwrap().name
}

#[test]
fn a_run_that_reported_success_before_it_was_announced_stays_valid() {
    let (place, _) = Place::with_nights(2);
    let stream = place.server.stream();
    let run = place.backup((At::Before, Verb::Put, "snapshots/", 1));
    // It has listed the run that is to be broken, and is about to announce it.
    let pruned = place.prune((At::Before, Verb::Put, "fences/", 1), place.breaking());
    let id = run.finish().unwrap().id;
    pruned.finish().unwrap();
    place.assert_is(id, &stream);
    place.assert_nothing_is_left();
}

#[test]
fn a_run_that_puts_its_snapshot_after_the_verdict_has_failed_and_is_not_shown() {
    let (place, ids) = Place::with_nights(2);
    let run = place.backup((At::Before, Verb::Put, "snapshots/", 1));
    place.prune_now(&place.breaking()).unwrap();
    let error = run.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let shown: Vec<SnapshotId> =
        place.repository.snapshots().unwrap().snapshots.iter().map(StoredSnapshot::id).collect();
    assert_eq!(shown, ids);
    place.assert_nothing_is_left();
}

#[test]
fn what_a_run_relies_on_stays_if_it_began_after_the_intents_were_listed() {
    // Another prune removes its root when it has looked already.
    let (place, ids) = Place::with_nights(2);
    let stream = place.server.stream();
    // The first list of intents is that in which it looks for its own.
    let pruned = place.prune((At::After, Verb::List, "intents/", 2), PruneOptions::default());
    let run = place.backup((At::After, Verb::List, "packs/", 1));
    let options = place.removal(&ids[1..]);
    prune::remove(&place.repository, &options, &stepping_world()).unwrap();
    let id = run.finish().unwrap().id;
    pruned.finish().unwrap();
    place.assert_is(id, &stream);
    place.assert_nothing_is_left();
}

#[test]
fn a_root_that_was_removed_before_the_run_looked_is_none() {
    let (place, ids) = Place::with_nights(2);
    let stream = place.server.stream();
    let run = place.backup((At::Before, Verb::Put, "intents/", 1));
    let report = place.prune_now(&place.removal(&ids[1..])).unwrap();
    assert!(!report.deleted.is_empty());
    let id = run.finish().unwrap().id;
    place.assert_is(id, &stream);
    place.assert_nothing_is_left();
}

#[test]
fn a_snapshot_of_a_run_that_is_judged_later_is_no_lasting_root() {
    // W was announced and sleeps; W2 relies on its snapshot, and finishes before the verdict.
    for looks_late in [false, true] {
        let (place, _) = Place::with_nights(2);
        let stream = place.server.stream();
        let run = place.backup((At::Before, Verb::Put, "snapshots/", 1));
        // It has listed the snapshots that its verdict spares.
        let pruned = place.prune((At::After, Verb::List, "snapshots/", 1), place.breaking());
        assert_eq!(run.finish().unwrap_err().kind(), ErrorKind::Fenced);
        let second = if looks_late {
            let second = place.backup((At::Before, Verb::Put, "intents/", 1));
            pruned.finish().unwrap();
            second.finish().unwrap().id
        } else {
            let second = back_up(&place.repository, &stream).unwrap().id;
            pruned.finish().unwrap();
            second
        };
        place.assert_is(second, &stream);
        assert_eq!(place.repository.snapshots().unwrap().snapshots.len(), 3);
        place.assert_nothing_is_left();
    }
}

#[test]
fn the_copy_of_a_lost_pack_stays_when_the_run_that_made_it_is_forgotten() {
    for lists_first in [false, true] {
        let (mut place, ids) = Place::with_nights(1);
        // What the second night says again is stored again, if it is lost.
        place.server = Server::new(7, 2, 60);
        let stream = place.server.stream();
        let world = World::of_this_machine();
        let stored = place.repository.find_snapshot(&ids[0].to_string()).unwrap();
        let mut data = Vec::new();
        place.repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, need| {
            if need.places > 0 {
                data.push(Object::Pack(record.name).name());
            }
        });
        data.iter().for_each(|name| place.store.delete(name).unwrap());
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
        assert!(!verify(&place.repository, &options, &world).unwrap().findings.is_empty());
        let healed = if lists_first {
            // Prune has listed everything but the relocation records when they are put.
            let run = place.backup((At::Before, Verb::Put, "twins/moves/", 1));
            let nothing = PruneOptions::default();
            let pruned = place.prune((At::Before, Verb::List, "moves/", 1), nothing);
            let id = run.finish().unwrap().id;
            pruned.finish().unwrap();
            id
        } else {
            back_up(&place.repository, &stream).unwrap().id
        };
        place.prune_now(&place.removal(&[healed])).unwrap();
        assert!(stream_of(&place.repository, &ids[0].to_string()).unwrap() == stream);
        place.prune_now(&PruneOptions::default()).unwrap();
        assert!(stream_of(&place.repository, &ids[0].to_string()).unwrap() == stream);
    }
}

#[test]
fn a_prune_whose_snapshot_another_prune_deletes_looks_again() {
    let (place, ids) = Place::with_nights(3);
    let first = place.prune((At::After, Verb::List, "snapshots/", 2), PruneOptions::default());
    place.prune_now(&place.removal(&ids[1..2])).unwrap();
    let before = place.store.objects().len();
    let report = first.finish().unwrap();
    let there = place.store.objects();
    let packs = there.keys().filter(|name| name.as_str().starts_with(Folder::Packs.prefix()));
    assert_eq!(report.needed, u64::try_from(packs.count()).unwrap());
    assert_eq!(place.store.objects().len(), before - 1, "but for its intent");
    place.assert_nothing_is_left();
}

#[test]
fn a_checkpoint_that_another_run_used_may_be_forgotten_while_its_run_goes_on() {
    let (place, _) = Place::with_nights(1);
    let stream = place.server.stream();
    let copy = stream.clone();
    let run = place.stopped((At::Before, Verb::Put, "snapshots/", 2), move |repository| {
        support::back_up_with(repository, &copy, ProducerExit::Exited(0), &options())
    });
    let shown = place.repository.snapshots().unwrap().snapshots;
    assert_eq!(shown.len(), 2, "a checkpoint is there");
    let second = back_up(&place.repository, &stream).unwrap().id;
    let gone = place.removal(&[shown[1].id(), second]);
    place.prune_now(&gone).unwrap();
    place.prune_now(&PruneOptions::default()).unwrap();
    let id = run.finish().unwrap().id;
    place.assert_is(id, &stream);
    place.assert_nothing_is_left();
}

#[test]
fn an_increment_whose_full_backup_is_forgotten_while_it_runs_can_be_restored() {
    let (mut place, _) = Place::with_nights(1);
    let full = back_up(&place.repository, &place.server.stream()).unwrap().id;
    let from = place.server.to_lsn();
    place.server.night(40);
    let increment = place.server.increment(from);
    let copy = increment.clone();
    let run = place.stopped((At::Before, Verb::Put, "snapshots/", 1), move |repository| {
        back_up(repository, &copy)
    });
    place.prune_now(&place.removal(&[full])).unwrap();
    let report = run.finish().unwrap();
    place.prune_now(&PruneOptions::default()).unwrap();
    assert!(stream_of(&place.repository, &report.id.to_string()).unwrap() == increment);
    for id in &report.about.requires {
        let names = place.repository.listed_snapshots(None).unwrap();
        let name = names.iter().find(|name| name.id.to_string() == *id).unwrap();
        let stored = place.repository.read_any_snapshot(name).unwrap();
        let world = World::of_this_machine();
        place.repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
            let object = Object::Pack(record.name).name();
            assert!(place.store.objects().contains_key(&object), "{object} is needed");
        });
    }
    let increment = place.removal(&[report.id]);
    place.prune_now(&increment).unwrap();
    place.assert_nothing_is_left();
}

#[test]
fn of_a_hold_and_a_removal_one_sees_the_other() {
    let (place, ids) = Place::with_nights(2);
    let id = ids[0];
    let hold_it = move |repository: &Repository| {
        let stored = repository.read_any_snapshot(&name_of(repository, id))?;
        hold::hold(repository, &stored, &Hold::default(), &stepping_world())
    };
    // The hold is put when the prune has listed the holds; before, it looks for the note of `init`.
    let pruned = place.prune((At::After, Verb::List, "notes/", 2), place.removal(&[id]));
    let error = hold_it(&place.repository).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    assert_eq!(pruned.finish().unwrap().removed.len(), 1);
    // And before it lists them.
    let (place, ids) = Place::with_nights(2);
    let id = ids[0];
    let pruned = place.prune((At::Before, Verb::List, "notes/", 2), place.removal(&[id]));
    let stored = place.repository.find_snapshot(&id.to_string()).unwrap();
    let held = hold::hold(&place.repository, &stored, &Hold::default(), &stepping_world());
    assert_eq!(held.unwrap_err().kind(), ErrorKind::Removed, "it can't know what that prune saw");
    assert_eq!(pruned.finish().unwrap().spared.len(), 1);
    // Without a prune it holds.
    let report = hold_it(&place.repository);
    drop(report);
    let stored = place.repository.find_snapshot(&id.to_string()).unwrap();
    let again = hold::hold(&place.repository, &stored, &Hold::default(), &stepping_world());
    assert!(!again.unwrap().holds.is_empty());
    assert_eq!(place.prune_now(&place.removal(&[id])).unwrap().spared.len(), 1);
    place.assert_sound();
}

/// Checks that nothing is removed, deleted or compacted, and nothing is left of the attempt.
fn assert_refused(place: &Place, there: &Repository, id: SnapshotId, words: &str) {
    let (before, world) = (place.store.objects(), stepping_world());
    let options = place.removal(&[id]);
    let compacts = CompactOptions {
        max_unused: 0,
        max_rewrite: 100,
        first_time: FirstTime::SetsFeature,
        ..CompactOptions::default()
    };
    let refused = [
        prune::prune(there, &options, &world).map(drop),
        prune::remove(there, &options, &world).map(drop),
        compact(there, &compacts, &world).map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let is_other = |(name, _): &(ObjectName, Bytes)| {
        !name.as_str().starts_with("runs/") && name.as_str() != "config"
    };
    let left = place.store.objects().into_iter().filter(is_other);
    assert!(left.eq(before.into_iter().filter(is_other)), "nothing has changed");
}

#[test]
fn on_a_store_that_lists_late_nothing_is_removed_deleted_or_compacted() {
    let (mut place, ids) = Place::with_nights(4);
    place.prune_now(&place.removal(&ids[1..2])).unwrap();
    let stale = Arc::new(Stale::new(Arc::clone(&place.store)));
    let late = place.repository.elsewhere(support::shared(&stale));
    assert_refused(&place, &late, ids[0], "does not list intents/");
    // A backup goes on, and so does the rest where listings are as they should be.
    let stream = place.server.stream();
    let id = back_up(&late, &stream).unwrap().id;
    place.assert_is(id, &stream);
    place.prune_now(&place.removal(&ids[..1])).unwrap();
    place.assert_nothing_is_left();
    place.night();
}

#[test]
fn where_init_saw_late_listings_nothing_is_deleted_until_its_note_is_removed() {
    let (place, ids) = Place::with_nights(4);
    place.prune_now(&place.removal(&ids[1..2])).unwrap();
    let facts = place.repository.probe_store("s3", &stepping_world()).unwrap();
    assert!(facts.listed_after_write);
    assert!(prune::plan(&place.repository, &PruneOptions::default(), &stepping_world()).is_ok());
    let stale = Stale::new(Arc::clone(&place.store));
    let late = place.repository.elsewhere(Arc::new(stale));
    let before = place.store.objects();
    assert!(!late.probe_store("s3", &stepping_world()).unwrap().listed_after_write);
    let objects = place.store.objects();
    let note = objects.keys().find(|name| !before.contains_key(name)).unwrap();
    assert_refused(&place, &place.repository, ids[0], &format!("remove {note}"));
    let planned = prune::plan(&place.repository, &PruneOptions::default(), &stepping_world());
    assert_eq!(planned.unwrap_err().kind(), ErrorKind::Unsupported);
    place.store.delete(note).unwrap();
    place.prune_now(&place.removal(&ids[..1])).unwrap();
    place.assert_nothing_is_left();
}
