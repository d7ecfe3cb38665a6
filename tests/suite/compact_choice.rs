//! The packs that a compaction takes apart: the emptiest, many small ones, and none that is
//! damaged or that someone beside it relies on; what that costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::ops::backup::BackupOptions;
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
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
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

/// Options with which only small packs are worth it: those of less than a MiB.
fn merging() -> CompactOptions {
    CompactOptions { max_unused: 100, pack_bytes: 4 << 20, ..all() }
}

/// A repository, with what each of its nights is.
struct Place {
    store: Arc<MemoryStore>,
    server: Server,
    nights: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Place {
    fn new(server: Server) -> Self {
        let store = Arc::new(MemoryStore::new());
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        support::init_as_earlier(shared(&store), Protected::Clear, features, 1);
        Self { store, server, nights: BTreeMap::new() }
    }

    /// Two nights; before the second one some pages of the last table are dropped, and the first
    /// one is removed, so that they are all that is dead.
    fn with_dropped_pages(count: usize) -> Self {
        let mut place = Self::new(Server::new(7, 2, 60));
        let first = place.night();
        let pages = &mut place.server.tables.last_mut().unwrap().2;
        pages.truncate(pages.len() - count);
        place.night();
        place.remove(first);
        place
    }

    fn night(&mut self) -> SnapshotId {
        let stream = self.server.stream();
        let id = support::back_up(&self.repository(), &stream).id;
        self.nights.insert(id, stream);
        id
    }

    fn remove(&mut self, id: SnapshotId) {
        let repository = self.repository();
        let removing = support::removing(&repository.find_snapshot(&id.to_string()).unwrap());
        let options = PruneOptions { removes: vec![removing], ..PruneOptions::default() };
        prune::prune(&repository, &options, &stepping_world()).unwrap();
        self.nights.remove(&id);
    }

    /// The same in another store.
    fn copy(&self) -> Self {
        let store = Arc::new(MemoryStore::new());
        for (name, bytes) in self.store.objects() {
            store.put(&name, &[bytes]).unwrap();
        }
        Self { store, server: self.server.clone(), nights: self.nights.clone() }
    }

    /// The repository as another program opens it, whose runs have other ids.
    fn repository(&self) -> Repository {
        static SEED: AtomicU64 = AtomicU64::new(5);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        support::open(shared(&self.store), seed).unwrap()
    }

    fn compact(&self, options: &CompactOptions) -> CompactReport {
        compact(&self.repository(), options, &stepping_world()).unwrap()
    }

    fn planned(&self, options: &CompactOptions) -> u64 {
        plan(&self.repository(), options, &stepping_world()).unwrap().packs
    }

    /// The packs of which there is no second copy: those of data.
    fn data_packs(&self) -> Vec<ObjectName> {
        let objects = self.store.objects();
        let is_data = |name: &&ObjectName| {
            let twin = name.as_str().replace("packs/", "twins/");
            name.as_str().starts_with("packs/")
                && !objects.contains_key(&ObjectName::new(&twin).unwrap())
        };
        objects.keys().filter(is_data).cloned().collect()
    }

    /// Checks that every `each`th night is what it was, and that a verification finds
    /// nothing.
    fn assert_whole(&self, each: usize) {
        let repository = self.repository();
        for (id, stream) in self.nights.iter().step_by(each) {
            assert!(stream_of(&repository, &id.to_string()).unwrap() == *stream, "{id:?}");
        }
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
        let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}

#[test]
fn sixty_four_small_packs_are_merged_and_fewer_are_not() {
    let mut place = Place::new(Server::new(7, 1, 10));
    for round in 0..2 {
        // The pack that the first round made is small itself.
        while place.data_packs().len() < 63 {
            place.night();
            place.server.night(1);
        }
        assert_eq!(place.planned(&merging()), 0, "round {round}");
        assert_eq!(place.compact(&merging()).compacted.len(), 0);
        place.night();
        assert_eq!(place.data_packs().len(), 64, "a pack a night");
        assert_eq!(place.planned(&merging()), 64);
        let report = place.compact(&merging());
        assert_eq!((report.compacted.len(), report.made), (64, 1), "{report:?}");
        assert!(report.written_bytes <= report.deleted_bytes);
        assert!(report.left.is_empty() && report.refused.is_empty());
        assert_eq!(place.data_packs().len(), 1);
        place.assert_whole(if round == 0 { 9 } else { 21 });
        place.server.night(1);
    }
    // What was moved twice is found: by the next night, and by a prune.
    let night = place.night();
    let report = support::back_up(&place.repository(), &place.nights[&night]);
    assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
    prune::prune(&place.repository(), &PruneOptions::default(), &stepping_world()).unwrap();
    place.assert_whole(50);
}

#[test]
fn a_pack_that_is_over_ninety_percent_live_is_left() {
    // Of some 220 pages that are not empty: 5 %, then 15 %.
    for (dropped, packs) in [(12, 0), (36, 1)] {
        let place = Place::with_dropped_pages(dropped);
        assert_eq!(place.planned(&all()), packs, "{dropped} pages");
        let report = place.compact(&all());
        assert_eq!(u64::try_from(report.compacted.len()).unwrap(), packs, "{report:?}");
        place.assert_whole(1);
    }
}

#[test]
fn a_pack_with_a_damage_record_is_left_until_the_record_is_gone() {
    let place = Place::with_dropped_pages(50);
    assert_eq!(place.planned(&all()), 1);
    let pack = place.data_packs().remove(0);
    let whole = place.store.objects()[&pack].clone();
    let mut changed = whole.to_vec();
    changed[3000] ^= 1;
    place.store.replace(&pack, &[Bytes::from(changed)]).unwrap();
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let found = verify(&place.repository(), &options, &World::of_this_machine()).unwrap();
    assert!(!found.findings.is_empty());
    // Its bytes are as they were, and no repair has looked yet.
    place.store.replace(&pack, &[whole]).unwrap();
    assert_eq!(place.planned(&all()), 0);
    assert_eq!(place.compact(&all()).compacted, []);
    let (repository, world) = (place.repository(), World::of_this_machine());
    repair::plan(&repository, 2, &world).unwrap().run(&world).unwrap();
    assert_eq!(place.compact(&all()).compacted.len(), 1);
    place.assert_whole(1);
}

#[test]
fn a_compaction_asks_by_the_number_of_packs_and_of_passes() {
    let mut asked = Vec::new();
    for nights in [64, 128] {
        let mut place = Place::new(Server::new(7, 1, 10));
        for _ in 0..nights {
            place.night();
            place.server.night(1);
        }
        let counted = Arc::new(Recording::new(Arc::clone(&place.store)));
        let repository = support::open(shared(&counted), 5).unwrap();
        counted.reset();
        let report = compact(&repository, &merging(), &support::world_at(1 << 30)).unwrap();
        assert_eq!(report.compacted.len(), nights);
        let under = |verb, prefix| counted.calls_under(verb, prefix);
        let packs = u64::try_from(nights).unwrap();
        // A pass and its one look, two records of two copies each for a pack, one new pack.
        assert_eq!((under(Verb::Put, "intents/"), under(Verb::Size, "intents/")), (1, 1));
        assert_eq!((under(Verb::Put, "moves/"), under(Verb::Put, "twins/moves/")), (packs, packs));
        assert_eq!((under(Verb::Put, "packs/"), under(Verb::Delete, "packs/")), (1, packs));
        assert_eq!(under(Verb::List, "packs/"), 1);
        asked.push((counted.log().len(), counted.calls(Verb::List)));
    }
    // Listings stay as many; of a pack its trailer, directory, frames and records are read, two
    // copies of a record put and asked for, and it is deleted.
    assert_eq!(asked[0].1, asked[1].1);
    assert!(asked[1].0 - asked[0].0 <= 64 * 13, "{asked:?}");
}

/// A repository of which a copy was made, then two nights were removed here, and then a snapshot
/// was put in the copy that needs entries which are dead here.
fn with_a_copy_that_needs_what_is_dead() -> (Place, Place, SnapshotId) {
    let mut place = Place::new(Server::new(7, 2, 60));
    let first = place.night();
    let old = place.server.clone();
    place.server.tables.last_mut().unwrap().2.truncate(10);
    place.night();
    let mut copy = place.copy();
    place.remove(first);
    copy.server = old;
    copy.server.night(1);
    let new = copy.night();
    copy.remove(first);
    (place, copy, new)
}

/// Sends all that a repository has and another one lacks.
fn replicated(from: &Repository, to: Arc<dyn Store>) -> Result<ReplicateReport> {
    let world = World::of_this_machine();
    let options = ReplicateOptions::new(from.snapshots()?.snapshots);
    replicate::plan(from, to, options, &world)?.send(&world)
}

#[test]
fn a_replicate_that_comes_between_the_steps_of_a_compaction_finds_what_it_relies_on_or_fails() {
    let (place, copy, new) = with_a_copy_that_needs_what_is_dead();
    let stream = copy.nights[&new].clone();
    // The compaction puts its intent between the two lists of intents.
    let points = [
        (Verb::List, "removed/", 1, true),
        (Verb::List, "intents/", 1, true),
        (Verb::List, "snapshots/", 1, true),
        (Verb::Put, "runs/", 1, true),
        (Verb::Put, "intents/", 1, true),
        (Verb::List, "intents/", 2, false),
        (Verb::List, "snapshots/", 3, false),
        (Verb::Put, "packs/", 1, false),
        (Verb::Put, "moves/", 1, false),
        (Verb::Delete, "packs/", 1, false),
        (Verb::Delete, "intents/", 1, false),
    ];
    for (verb, prefix, nth, before) in points {
        let mut here = place.copy();
        let (from, there) = (copy.repository(), shared(&here.store));
        let (tell, told) = channel();
        let act = move || tell.send(replicated(&from, there)).unwrap();
        let meeting = Meeting::new(Arc::clone(&here.store)).before(verb, prefix, nth, act);
        let repository = here.repository().elsewhere(Arc::new(meeting));
        let report = compact(&repository, &all(), &stepping_world()).unwrap();
        let sent = told.recv().unwrap();
        assert_eq!(sent.is_ok(), before, "{verb:?} {prefix}: {sent:?}");
        match sent {
            Ok(sent) => assert_eq!(sent.sent, [new]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                assert_eq!(report.compacted.len(), 1, "{report:?}");
                // Behind the compaction the other side has what is lacking.
                assert_eq!(
                    replicated(&copy.repository(), shared(&here.store)).unwrap().sent,
                    [new]
                );
            }
        }
        here.nights.insert(new, stream.clone());
        here.assert_whole(1);
        prune::prune(&here.repository(), &PruneOptions::default(), &stepping_world()).unwrap();
        here.assert_whole(1);
    }
}

#[test]
fn what_a_replicate_holds_that_stands_is_left() {
    let (place, copy, new) = with_a_copy_that_needs_what_is_dead();
    let stream = copy.nights[&new].clone();
    // It lists packs when it plans, and again behind its intent.
    let points = [
        (Verb::List, "intents/", 1),
        (Verb::List, "packs/", 2),
        (Verb::Put, "snapshots/", 1),
        (Verb::Delete, "intents/", 1),
    ];
    for (verb, prefix, nth) in points {
        let mut here = place.copy();
        assert_eq!(here.planned(&all()), 1);
        let other = here.repository();
        let (tell, told) = channel();
        let act = move || tell.send(compact(&other, &all(), &stepping_world()).unwrap()).unwrap();
        let meeting = Meeting::new(Arc::clone(&here.store)).before(verb, prefix, nth, act);
        replicated(&copy.repository(), Arc::new(meeting)).unwrap();
        assert_eq!(told.recv().unwrap().compacted, [], "{verb:?} {prefix}");
        here.nights.insert(new, stream.clone());
        here.assert_whole(1);
    }
}

#[test]
fn a_pack_of_a_run_that_goes_on_is_left() {
    let mut place = Place::new(Server::new(7, 1, 10));
    while place.data_packs().len() < 63 {
        place.night();
        place.server.night(1);
    }
    place.server.night(40);
    let before = place.data_packs();
    let there = place.copy();
    let other = there.repository();
    let (tell, told) = channel();
    // The first checkpoint is there, and names the 64th small pack.
    let act = move || tell.send(compact(&other, &merging(), &stepping_world()).unwrap()).unwrap();
    let meeting = Meeting::new(Arc::clone(&there.store)).after(Verb::Put, "snapshots/", 1, act);
    let repository = there.repository().elsewhere(Arc::new(meeting));
    let stream = place.server.stream();
    let options = BackupOptions { checkpoint_bytes: 256 << 10, ..support::options() };
    let exit = ProducerExit::Exited(0);
    let report = support::back_up_with(&repository, &stream, exit, &options).unwrap();
    let done = told.recv().unwrap();
    assert_eq!((done.compacted.len(), done.left.len()), (63, 1), "{done:?}");
    let (pack, why) = &done.left[0];
    assert!(why.ends_with("has put it and goes on"), "{why}");
    let left = Object::Pack(*pack).name();
    assert!(!before.contains(&left) && there.data_packs().contains(&left), "{left}");
    place.nights.insert(report.id, stream);
    let there = Place { nights: place.nights, ..there };
    there.assert_whole(30);
}
