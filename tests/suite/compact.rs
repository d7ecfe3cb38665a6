//! Compaction moves what is live and loses nothing of it: whatever runs beside it, wherever it is
//! stopped.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::CompactReport;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::ops::prune::compact::plan;
use haulout::ops::repair;
use haulout::ops::replicate;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::ages;
use haulout::ops::verify::verify;
use haulout::ops::verify::verify_oldest;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Meeting;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::shared;
use crate::support::stepping_world;
use crate::support::stream_of;

/// Options with which packs are compacted whenever a byte can be freed.
fn all() -> CompactOptions {
    CompactOptions {
        max_unused: 0,
        max_rewrite: 100,
        first_time: FirstTime::SetsFeature,
        ..CompactOptions::default()
    }
}

fn back_up(repository: &Repository, stream: &[u8], workers: u32) -> BackupReport {
    let at_once = AtOnce::with_workers(workers);
    let options = BackupOptions { at_once, ..support::options() };
    support::back_up_with(repository, stream, ProducerExit::Exited(0), &options).unwrap()
}

/// A repository of some nights, with what each of them is.
struct Place {
    store: Arc<MemoryStore>,
    repository: Repository,
    server: Server,
    nights: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Place {
    /// Nights of which most change much, the first two and others of which are removed again, so
    /// that packs are left of which little is needed.
    fn with_waste(protected: Protected) -> Self {
        let store = Arc::new(MemoryStore::new());
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        let repository = support::init_as_earlier(shared(&store), protected, features, 1);
        let nights = BTreeMap::new();
        let mut place = Self { store, repository, server: Server::new(7, 2, 60), nights };
        let ids: Vec<SnapshotId> = (0..6).map(|_| place.night()).collect();
        place.remove(&[ids[0], ids[1], ids[3]]);
        place
    }

    fn night(&mut self) -> SnapshotId {
        let stream = self.server.stream();
        let id = back_up(&self.repository, &stream, 2).id;
        self.nights.insert(id, stream);
        self.server.night(150);
        id
    }

    fn remove(&mut self, ids: &[SnapshotId]) {
        let removing = |id: &SnapshotId| {
            support::removing(&self.repository.find_snapshot(&id.to_string()).unwrap())
        };
        let removes = ids.iter().map(removing).collect();
        prune_with(&self.repository, PruneOptions { removes, ..PruneOptions::default() });
        ids.iter().for_each(|id| drop(self.nights.remove(id)));
    }

    /// The same in another store.
    fn copy(&self) -> Self {
        let store = Arc::new(MemoryStore::new());
        for (name, bytes) in self.store.objects() {
            store.put(&name, &[bytes]).unwrap();
        }
        let repository = support::open(shared(&store), 3).unwrap();
        Self { store, repository, server: self.server.clone(), nights: self.nights.clone() }
    }

    fn reopened(&self) -> Repository {
        support::open(shared(&self.store), 5).unwrap()
    }

    fn compact(&self) -> CompactReport {
        compact(&self.reopened(), &all(), &stepping_world()).unwrap()
    }

    fn pack_bytes(&self) -> usize {
        let objects = self.store.objects();
        let packs = objects.iter().filter(|(name, _)| name.as_str().starts_with("packs/"));
        packs.map(|(_, bytes)| bytes.len()).sum()
    }

    /// Checks that every kept night is what it was, and that a verification finds nothing.
    fn assert_whole(&self) {
        let repository = self.reopened();
        for (id, stream) in &self.nights {
            assert!(stream_of(&repository, &id.to_string()).unwrap() == *stream, "{id:?}");
        }
        for depth in [Depth::Objects, Depth::Stored, Depth::Blocks] {
            let report = verified(&repository, depth);
            assert!(report.findings.is_empty(), "{:?}", report.findings);
        }
    }
}

fn prune_with(repository: &Repository, options: PruneOptions) {
    prune::prune(repository, &options, &stepping_world()).unwrap();
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
}

#[test]
fn every_night_restores_as_before_and_less_is_stored() {
    for protected in [Protected::Clear, Protected::Encrypted] {
        let mut place = Place::with_waste(protected);
        place.assert_whole();
        let before = place.pack_bytes();
        let planned = plan(&place.reopened(), &all(), &stepping_world()).unwrap();
        assert!(planned.packs >= 1 && planned.freed_bytes > 0, "{planned:?}");
        let report = place.compact();
        assert!(report.left.is_empty() && report.refused.is_empty(), "{report:?}");
        assert!(!report.compacted.is_empty() && report.written_bytes < report.deleted_bytes);
        assert!(place.pack_bytes() < before, "{} of {before}", place.pack_bytes());
        place.assert_whole();
        // A second one finds little to do, and the nights go on, with compactions and prunes.
        for _ in 0..3 {
            let oldest = *place.nights.keys().next().unwrap();
            place.repository = place.reopened();
            place.night();
            place.remove(&[oldest]);
            place.compact();
            place.assert_whole();
        }
        prune_with(&place.reopened(), PruneOptions::default());
        place.assert_whole();
    }
}

#[test]
fn the_night_after_stores_what_it_would_have_stored() {
    for workers in [1, 2, 4] {
        let place = Place::with_waste(Protected::Clear);
        let other = place.copy();
        place.compact();
        let stream = place.server.stream();
        let stored = [&place, &other].map(|place| {
            let report = back_up(&place.reopened(), &stream, workers);
            assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
            assert_eq!(report.findings, []);
            assert!(stream_of(&place.reopened(), &report.id.to_string()).unwrap() == stream);
            let counts = report.counts;
            (counts.stored_objects, counts.stored_bytes / 64)
        });
        assert_eq!(stored[0].0, stored[1].0);
        assert!(stored[0].1.abs_diff(stored[1].1) <= 2, "{stored:?}");
    }
}

#[test]
fn wherever_it_is_stopped_nothing_is_lost_and_the_next_one_ends_it() {
    let place = Place::with_waste(Protected::Clear);
    let wanted = place.copy();
    let bytes = {
        wanted.compact();
        wanted.pack_bytes()
    };
    let mut stopped = 0;
    for verb in [Verb::Put, Verb::Delete, Verb::Get, Verb::GetRange, Verb::List, Verb::Size] {
        for nth in 1.. {
            let copy = place.copy();
            let fault = Fault::first(verb, Effect::RefuseBefore(Category::Other)).at(nth);
            let failing = Arc::new(Failing::new(shared(&copy.store), vec![fault.ever_after()]));
            let there = copy.repository.elsewhere(shared(&failing));
            let done = compact(&there, &all(), &stepping_world());
            let struck = failing.struck() > 0;
            assert_eq!(done.is_ok(), !struck, "{verb:?} {nth}: {done:?}");
            for (id, stream) in &copy.nights {
                let restored = stream_of(&copy.reopened(), &id.to_string()).unwrap();
                assert!(restored == *stream, "{verb:?} {nth}");
            }
            copy.compact();
            let standing = copy.repository.standing().unwrap();
            let abandons: BTreeSet<_> = standing.runs.iter().map(|run| run.run).collect();
            prune_with(&copy.reopened(), PruneOptions { abandons, ..PruneOptions::default() });
            // Of a record that was being put there may be one copy.
            let left = verified(&copy.reopened(), Depth::Blocks).findings;
            assert!(left.iter().all(|finding| finding.what.contains("moves/")), "{left:?}");
            if !left.is_empty() {
                let world = World::of_this_machine();
                let repository = copy.reopened();
                repair::plan(&repository, 2, &world).unwrap().run(&world).unwrap();
                assert!(verified(&repository, Depth::Blocks).findings.is_empty());
            }
            assert!(copy.pack_bytes() <= bytes + bytes / 50, "{verb:?} {nth}");
            if !struck {
                break;
            }
            stopped += 1;
        }
    }
    assert!(stopped > 40, "{stopped}");
}

#[test]
fn what_runs_beside_it_relies_on_nothing_that_goes() {
    let place = Place::with_waste(Protected::Clear);
    let points = [
        (Verb::List, "removed/"),
        (Verb::List, "intents/"),
        (Verb::List, "snapshots/"),
        (Verb::Put, "intents/"),
        (Verb::Put, "packs/"),
        (Verb::Put, "twins/moves/"),
        (Verb::Put, "moves/"),
        (Verb::Delete, "packs/"),
        (Verb::Delete, "intents/"),
    ];
    for (verb, prefix) in points {
        let mut copy = place.copy();
        let stream = copy.server.stream();
        let beside = copy.reopened();
        let (night, oldest) = (stream.clone(), *copy.nights.keys().next().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        let act = move || {
            // A backup, and a prune of what it does not need, in one step of the compaction.
            let id = back_up(&beside, &night, 2).id;
            prune_with(&beside, PruneOptions::default());
            tell.send(id).unwrap();
        };
        let meeting = Meeting::new(Arc::clone(&copy.store)).before(verb, prefix, 1, act);
        let there = copy.reopened().elsewhere(Arc::new(meeting));
        compact(&there, &all(), &stepping_world()).unwrap();
        copy.nights.insert(told.recv().unwrap(), stream);
        copy.assert_whole();
        copy.remove(&[oldest]);
        copy.assert_whole();
        copy.repository = copy.reopened();
        copy.night();
        copy.assert_whole();
    }
}

#[test]
fn a_run_that_stands_keeps_its_packs_and_its_roots() {
    let place = Place::with_waste(Protected::Clear);
    // A run that sleeps behind a checkpoint: compaction happens then.
    for (verb, prefix, nth) in
        [(Verb::Put, "packs/", 1), (Verb::Put, "snapshots/", 1), (Verb::List, "packs/", 1)]
    {
        let mut copy = place.copy();
        let other = copy.reopened();
        let act = move || drop(compact(&other, &all(), &stepping_world()).unwrap());
        let meeting = Meeting::new(Arc::clone(&copy.store)).after(verb, prefix, nth, act);
        let there = copy.reopened().elsewhere(Arc::new(meeting));
        let stream = copy.server.stream();
        let options = BackupOptions { checkpoint_bytes: 256 << 10, ..support::options() };
        let exit = ProducerExit::Exited(0);
        let report = support::back_up_with(&there, &stream, exit, &options).unwrap();
        copy.nights.insert(report.id, stream);
        copy.assert_whole();
    }
}

#[test]
fn damage_in_a_new_pack_is_reported_and_healed() {
    let place = Place::with_waste(Protected::Clear);
    let before: BTreeSet<_> = place.store.objects().into_keys().collect();
    place.compact();
    let is_new = |name: &ObjectName| name.as_str().starts_with("packs/") && !before.contains(name);
    let new = place.store.objects().into_keys().find(is_new).unwrap();
    place.store.delete(&new).unwrap();
    for depth in [Depth::Objects, Depth::Blocks] {
        let report = verified(&place.reopened(), depth);
        assert!(report.findings.iter().any(|finding| finding.snapshot.is_some()), "{report:?}");
        assert!(report.findings.iter().any(|finding| finding.what.contains(new.as_str())));
    }
    let stream = place.nights.values().last().unwrap().clone();
    let report = back_up(&place.reopened(), &stream, 2);
    assert!(report.packs_absent + usize::from(report.counts.blocks_healed > 0) > 0);
    assert!(stream_of(&place.reopened(), &report.id.to_string()).unwrap() == stream);
}

#[test]
fn reading_takes_no_more_than_some_requests_for_each_pack() {
    let place = Place::with_waste(Protected::Clear);
    let (id, stream) = place.nights.last_key_value().unwrap();
    let requests = |place: &Place, workers| {
        let counted = Arc::new(Recording::new(Arc::clone(&place.store)));
        let repository = support::open(shared(&counted), 2).unwrap();
        counted.reset();
        let restored = support::stream_with(&repository, &id.to_string(), workers).unwrap();
        assert!(restored == *stream);
        [Verb::Get, Verb::GetRange, Verb::List, Verb::Size].map(|verb| counted.calls(verb))
    };
    for workers in [1, 2, 4] {
        let copy = place.copy();
        let before: u64 = requests(&copy, workers).iter().sum();
        let report = copy.compact();
        let after = requests(&copy, workers);
        let moved = u64::try_from(report.compacted.len()).unwrap();
        let made = report.made;
        // The listings, the first pack that is not there in both copies, a record for each pack.
        let most = before + 4 + moved * 2 + made * 8;
        assert!(after.iter().sum::<u64>() <= most, "{after:?}, {before} before, {workers} workers");
    }
}

#[test]
fn a_repository_that_was_never_compacted_is_not_without_being_asked() {
    let place = Place::with_waste(Protected::Clear);
    let before = place.store.objects();
    let options = CompactOptions { first_time: FirstTime::Refused, ..all() };
    let refused = compact(&place.repository, &options, &stepping_world()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(before == place.store.objects());
    place.compact();
    assert!(place.reopened().features().include(Features::COMPACTED));
}

#[test]
fn a_copy_gets_what_was_moved_and_one_that_has_the_old_packs_needs_nothing() {
    let place = Place::with_waste(Protected::Encrypted);
    let send = |from: &Repository, to: &Arc<MemoryStore>| {
        let snapshots = from.snapshots().unwrap().snapshots;
        let world = World::of_this_machine();
        let options = ReplicateOptions::new(snapshots);
        let planned = replicate::plan(from, shared(to), options, &world).unwrap();
        let expected = planned.cost();
        let report = planned.send(&world).unwrap();
        assert!(report.left_out.is_empty() && report.damaged.is_empty(), "{report:?}");
        assert_eq!((report.cost.bytes, report.cost.objects), (expected.bytes, expected.objects));
        report.cost.objects
    };
    let whole = |store: &Arc<MemoryStore>| {
        let copy = support::open(shared(store), 9).unwrap();
        for (id, stream) in &place.nights {
            assert!(stream_of(&copy, &id.to_string()).unwrap() == *stream);
        }
        let report = verified(&copy, Depth::Blocks);
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    };
    let before = Arc::new(MemoryStore::new());
    send(&place.reopened(), &before);
    place.compact();
    let after = Arc::new(MemoryStore::new());
    let first = send(&place.reopened(), &after);
    whole(&after);
    // A config, for the feature, and secrets of the compaction are all that goes.
    let again = send(&place.reopened(), &before);
    assert!(again <= 3 && again < first, "{again} objects");
    whole(&before);
    assert_eq!(send(&place.reopened(), &after), 0);
}

#[test]
fn a_lost_pack_that_entries_were_moved_to_comes_back_from_a_copy() {
    let place = Place::with_waste(Protected::Encrypted);
    let before = place.store.objects();
    place.compact();
    let copy = place.copy();
    let is_new =
        |name: &ObjectName| name.as_str().starts_with("packs/") && !before.contains_key(name);
    let objects = place.store.objects();
    // Packs of metadata have a second copy.
    let twin = |name: &ObjectName| {
        let name = name.as_str().replacen("packs/", "twins/", 1);
        objects.contains_key(&ObjectName::new(&name).unwrap())
    };
    let moved_to: Vec<&ObjectName> =
        objects.keys().filter(|name| is_new(name) && !twin(name)).collect();
    assert!(!moved_to.is_empty());
    for name in &moved_to {
        place.store.delete(name).unwrap();
    }
    let world = World::of_this_machine();
    let repository = place.reopened();
    // Without the copy it is no secret that something is lost.
    let alone = repair::plan(&repository, 2, &world).unwrap().run(&world).unwrap();
    assert!(!alone.left.findings.is_empty(), "{alone:?}");
    let plan = repair::plan_from(&repository, &shared(&copy.store), 2, &world).unwrap();
    assert_eq!(plan.fetch.len(), moved_to.len(), "{:?}", plan.fetch);
    let report = plan.run(&world).unwrap();
    assert_eq!(report.fetched.len(), moved_to.len(), "{report:?}");
    place.assert_whole();
}

#[test]
fn what_was_verified_of_a_compacted_pack_is_remembered() {
    let place = Place::with_waste(Protected::Clear);
    place.compact();
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let world = World::of_this_machine();
    let repository = place.reopened();
    let slice = verify_oldest(&repository, &options, Budget::Percent(100), &world).unwrap();
    assert!(slice.left.is_empty() && slice.report.findings.is_empty(), "{slice:?}");
    let ages = ages(&repository, &options, &world).unwrap().ages;
    assert_eq!(ages.never.count, 0, "{ages:?}");
}

#[test]
fn a_root_that_a_run_has_dropped_before_it_ended_is_looked_for_again() {
    for compacts in [true, false] {
        let mut place = Place::with_waste(Protected::Clear);
        let oldest = *place.nights.keys().next().unwrap();
        let root = place.repository.find_snapshot(&oldest.to_string()).unwrap();
        let (reach, reached) = std::sync::mpsc::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        // A run lists its roots, one of which is removed and deleted before the run's intent is
        // put; it stops before it puts its snapshot.
        let other = place.reopened();
        let removes = vec![support::removing(&root)];
        let remove = move || prune_with(&other, PruneOptions { removes, ..Default::default() });
        let stop = move || {
            reach.send(()).unwrap();
            gone.recv().unwrap();
        };
        let meeting = Meeting::new(Arc::clone(&place.store));
        let meeting = meeting.before(Verb::Put, "intents/", 1, remove);
        let meeting = meeting.before(Verb::Put, "snapshots/", 1, stop);
        let there = place.reopened().elsewhere(Arc::new(meeting));
        let stream = place.server.stream();
        let night = stream.clone();
        let run = std::thread::spawn(move || back_up(&there, &night, 2).id);
        reached.recv().unwrap();
        place.nights.remove(&oldest);
        // It ends when its root is about to be read.
        let (tell, told) = std::sync::mpsc::channel();
        let end = move || {
            go.send(()).unwrap();
            tell.send(run.join().unwrap()).unwrap();
        };
        let meeting = Meeting::new(Arc::clone(&place.store));
        let meeting = meeting.before(Verb::Get, root.name.object().as_str(), 1, end);
        let there = place.reopened().elsewhere(Arc::new(meeting));
        if compacts {
            compact(&there, &all(), &stepping_world()).unwrap();
        } else {
            prune_with(&there, PruneOptions::default());
        }
        place.nights.insert(told.recv().unwrap(), stream);
        place.assert_whole();
    }
}
