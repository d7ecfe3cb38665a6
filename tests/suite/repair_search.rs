//! Lost blocks are found in other packs of the same repository, by one pass over the directories.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::repair;
use haulout::ops::repair::RepairReport;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_KNOWN;
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
use haulout::store::testing::Recording;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up_with;
use crate::support::init_as_earlier;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

/// A repository in which two sources have stored the same, and one of them two nights more.
struct Twice {
    store: Arc<MemoryStore>,
    /// The data pack of the first source's first night.
    first: ObjectName,
    /// The data pack of its last night, of which most is stored as differences.
    last: ObjectName,
    streams: Vec<(String, Vec<u8>)>,
}

fn data_packs(store: &MemoryStore) -> BTreeSet<ObjectName> {
    let objects = store.objects();
    let is_data = |name: &&ObjectName| {
        let twin = name.as_str().replacen("packs/", "twins/", 1);
        name.as_str().starts_with("packs/") && !objects.keys().any(|other| other.as_str() == twin)
    };
    objects.keys().filter(is_data).cloned().collect()
}

impl Twice {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init_as_earlier(shared(&store), Protected::Encrypted, FEATURES_KNOWN, 1);
        let mut server = Server::new(7, 2, 60);
        let mut streams = Vec::new();
        let mut night = |source: &str, server: &Server| {
            let before = data_packs(&store);
            let stream = server.stream();
            let options = BackupOptions { source: source.to_owned(), ..options() };
            let exit = ProducerExit::Exited(0);
            let done = back_up_with(&repository, &stream, exit, &options).unwrap();
            streams.push((done.id.to_string(), stream));
            data_packs(&store).difference(&before).next().unwrap().clone()
        };
        let first = night("shop", &server);
        night("other", &server);
        server.night(9);
        night("shop", &server);
        server.night(9);
        let last = night("shop", &server);
        Self { store, first, last, streams }
    }

    fn copy(&self) -> Arc<MemoryStore> {
        let store = MemoryStore::new();
        store.set_objects(self.store.objects());
        Arc::new(store)
    }

    fn restores(&self, store: &Arc<MemoryStore>) {
        let repository = open(shared(store), 9).unwrap();
        for (id, stream) in &self.streams {
            assert!(stream_of(&repository, id).unwrap() == *stream, "{id}");
        }
    }
}

fn searched(repository: &Repository, workers: u32) -> RepairReport {
    let world = World::of_this_machine();
    let plan = repair::plan(repository, workers, &world).unwrap().search(&world).unwrap();
    plan.run(&world).unwrap()
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    Bytes::from(bytes)
}

#[test]
fn blocks_of_a_lost_pack_are_found_where_another_source_has_them() {
    let twice = Twice::new();
    for workers in [1, 2, 4] {
        let store = twice.copy();
        store.delete(&twice.first).unwrap();
        let repository = open(shared(&store), 3).unwrap();
        assert!(!verified(&repository, Depth::Objects).findings.is_empty());
        let report = searched(&repository, workers);
        assert!(report.blocks_found > 100, "{report:?}");
        // In two copies, as every relocation record.
        assert_eq!(report.recorded.len(), 2);
        assert!(report.left.findings.is_empty() && report.failed.is_empty(), "{report:?}");
        assert!(verified(&open(shared(&store), 4).unwrap(), Depth::Pages).findings.is_empty());
        twice.restores(&store);
        assert!(store.objects().keys().all(|name| !name.as_str().starts_with("intents/")));
        // It is done: nothing is looked for.
        let world = World::of_this_machine();
        let repository = open(shared(&store), 5).unwrap();
        let plan = repair::plan(&repository, 2, &world).unwrap().search(&world).unwrap();
        assert!(plan.search.is_none());
    }
}

#[test]
fn of_a_changed_pack_the_blocks_that_can_not_be_read_are_found() {
    let twice = Twice::new();
    let store = twice.copy();
    let bytes = store.get(&twice.first, 1 << 30).unwrap();
    store.delete(&twice.first).unwrap();
    store.put(&twice.first, &[flipped(&bytes, bytes.len() / 3)]).unwrap();
    let repository = open(shared(&store), 3).unwrap();
    verified(&repository, Depth::Blocks);
    let report = searched(&repository, 2);
    assert!((1..60).contains(&report.blocks_found), "{report:?}");
    twice.restores(&store);
    let left = verified(&open(shared(&store), 4).unwrap(), Depth::Pages).findings;
    assert!(left.iter().all(|found| found.what.contains(twice.first.as_str())), "{left:?}");
}

#[test]
fn what_is_stored_once_is_not_found_and_stays_a_finding() {
    let twice = Twice::new();
    let store = twice.copy();
    store.delete(&twice.last).unwrap();
    let repository = open(shared(&store), 3).unwrap();
    let found = verified(&repository, Depth::Objects).findings;
    let before = store.objects();
    let world = World::of_this_machine();
    let plan = repair::plan(&repository, 2, &world).unwrap().search(&world).unwrap();
    let search = plan.search.as_ref().unwrap();
    assert!(search.blocks > 0 && search.packs > 2 && search.bytes > 0 && !search.is_more);
    assert_eq!(store.objects().len(), before.len(), "a plan changes nothing");
    let report = plan.run(&world).unwrap();
    assert_eq!((report.blocks_found, report.recorded.len()), (0, 0));
    assert_eq!(report.left.findings, found);
}

#[test]
fn a_pass_costs_what_the_plan_says() {
    let twice = Twice::new();
    let store = twice.copy();
    store.delete(&twice.first).unwrap();
    let recording = Arc::new(Recording::new(Arc::clone(&store)));
    let repository = open(shared(&recording), 3).unwrap();
    let world = World::of_this_machine();
    let plan = repair::plan(&repository, 2, &world).unwrap().search(&world).unwrap();
    let search = plan.search.as_ref().unwrap();
    let (requests, bytes, blocks) = (search.requests, search.bytes, search.blocks);
    recording.reset();
    plan.run(&world).unwrap();
    let log = recording.log();
    // Until the intent is put only directories are read.
    let pass = log.iter().take_while(|call| !call.object.starts_with("intents/"));
    let pass: Vec<_> = pass.filter(|call| call.verb == Verb::GetRange).collect();
    assert_eq!(pass.len(), usize::try_from(requests).unwrap());
    assert_eq!(pass.iter().map(|call| call.bytes).sum::<u64>(), bytes);
    assert!(blocks > 100);
}

#[test]
fn wherever_a_search_is_stopped_it_ends_and_the_next_one_finds_the_blocks() {
    let twice = Twice::new();
    let damaged = twice.copy();
    damaged.delete(&twice.first).unwrap();
    let mut stopped = 0;
    // Maps and blocks are many reads of one kind: some of them stand for all.
    for (verb, step) in [(Verb::Put, 1), (Verb::Delete, 1), (Verb::List, 1), (Verb::GetRange, 37)] {
        for nth in (1..).step_by(step) {
            let store = Arc::new(MemoryStore::new());
            store.set_objects(damaged.objects());
            let fault = Fault::first(verb, Effect::RefuseBefore(Category::Other));
            let fault = fault.at(nth).ever_after();
            let failing = Arc::new(Failing::new(shared(&store), vec![fault]));
            let opened = open(shared(&store), 3).unwrap();
            let repository = opened.elsewhere(shared(&failing));
            let world = World::of_this_machine();
            let done = repair::plan(&repository, 2, &world)
                .and_then(|plan| plan.search(&world))
                .and_then(|plan| plan.run(&world));
            let struck = failing.struck() > 0;
            assert!(struck || done.is_ok(), "{verb:?} {nth}: {done:?}");
            let report = searched(&open(shared(&store), 5).unwrap(), 2);
            assert!(report.left.findings.is_empty(), "{verb:?} {nth}: {report:?}");
            if !struck {
                break;
            }
            stopped += 1;
            if stopped % 10 == 0 {
                twice.restores(&store);
            }
        }
    }
    assert!(stopped > 20, "{stopped}");
}
