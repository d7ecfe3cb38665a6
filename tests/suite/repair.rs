//! What one good copy is left of is made again, in every store and wherever the work is stopped;
//! what is lost is told, and listings tell which snapshots lack something.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::ops::repair;
use haulout::ops::repair::RepairReport;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::Remember;
use haulout::ops::verify::Unit;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::open;
use crate::support::shared;
use crate::support::stream_of;

type Objects = BTreeMap<ObjectName, Bytes>;

/// A repository with records of every kind: one of its data packs was lost and healed.
struct Healed {
    objects: Objects,
    streams: Vec<(String, Vec<u8>)>,
}

impl Healed {
    fn new(protected: Protected) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), protected, 1);
        let mut server = Server::new(7, 2, 60);
        let mut streams = Vec::new();
        let mut night = |server: &Server| {
            let stream = server.stream();
            let id = back_up(&repository, &stream).id.to_string();
            streams.push((id, stream));
        };
        night(&server);
        let lost = data_packs(&store.objects()).pop().unwrap();
        store.delete(&lost).unwrap();
        night(&server);
        server.night(5);
        night(&server);
        let stored = repository.find_snapshot("latest").unwrap();
        let change = TagChange { add: vec!["kept".to_owned()], remove: Vec::new() };
        tag(&repository, &stored, &change, &support::world_at(1_800_000_000)).unwrap();
        Self { objects: store.objects(), streams }
    }

    fn under(&self, prefix: &str) -> Vec<&ObjectName> {
        self.objects.keys().filter(|name| name.as_str().starts_with(prefix)).collect()
    }

    /// Objects of which there is a second copy, and its name.
    fn pairs(&self) -> Vec<(ObjectName, ObjectName)> {
        let twins = self.under("twins/").into_iter();
        let first = |twin: &ObjectName| {
            let name = twin.as_str();
            let first = name.strip_prefix("twins/moves/").map(|rest| format!("moves/{rest}"));
            let first = first.unwrap_or_else(|| name.replacen("twins/", "packs/", 1));
            ObjectName::new(&first).unwrap()
        };
        twins.flat_map(|twin| [(twin.clone(), first(twin)), (first(twin), twin.clone())]).collect()
    }

    fn restores(&self, store: &Arc<dyn Store>) {
        let repository = open(Arc::clone(store), 9).unwrap();
        for (id, stream) in &self.streams {
            assert!(stream_of(&repository, id).unwrap() == *stream, "{id}");
        }
    }
}

/// The data packs, the smallest first.
fn data_packs(objects: &Objects) -> Vec<ObjectName> {
    let is_data = |name: &&ObjectName| {
        let twin = name.as_str().replacen("packs/", "twins/", 1);
        name.as_str().starts_with("packs/") && !objects.keys().any(|other| other.as_str() == twin)
    };
    let mut packs: Vec<ObjectName> = objects.keys().filter(is_data).cloned().collect();
    packs.sort_by_key(|name| objects[name].len());
    packs
}

fn memory(objects: &Objects) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    Arc::new(store)
}

fn directory(objects: &Objects, at: &Path) -> Arc<dyn Store> {
    let store = LocalStore::create(at).unwrap();
    for (name, bytes) in objects {
        store.put(name, std::slice::from_ref(bytes)).unwrap();
    }
    Arc::new(store)
}

fn spoil(store: &dyn Store, name: &ObjectName, bytes: Option<Bytes>) {
    store.delete(name).unwrap();
    if let Some(bytes) = bytes {
        store.put(name, &[bytes]).unwrap();
    }
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    Bytes::from(bytes)
}

/// Ways to damage an object.
fn ways(bytes: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    vec![
        ("lost", None),
        ("empty", Some(Bytes::new())),
        ("cut", Some(bytes.slice(..bytes.len() / 2))),
        ("changed", Some(flipped(bytes, bytes.len() / 2))),
    ]
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options =
        VerifyOptions { workers: 2, remember: Remember::Nowhere, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
}

fn repaired(repository: &Repository, workers: u32) -> RepairReport {
    let world = World::of_this_machine();
    repair::plan(repository, workers, &world).unwrap().run(&world).unwrap()
}

/// Damages each copy of each pair in each way, finds it, and repairs it.
fn repair_each(healed: &Healed, store: &Arc<dyn Store>, workers: u32) -> usize {
    let mut tried = 0;
    for (damaged, _) in healed.pairs() {
        let bytes = &healed.objects[&damaged];
        for (way, changed) in ways(bytes) {
            spoil(&**store, &damaged, changed);
            let repository = open(Arc::clone(store), 3).unwrap();
            let found = verified(&repository, Depth::Stored).findings;
            let names_it = |finding: &Finding| finding.what.contains(damaged.as_str());
            assert!(found.iter().any(names_it), "{damaged} {way}: {found:?}");
            let report = repaired(&repository, workers);
            assert_eq!(report.made, std::slice::from_ref(&damaged), "{way}: {report:?}");
            assert!(report.failed.is_empty(), "{damaged} {way}: {report:?}");
            assert_eq!(store.get(&damaged, 1 << 30).unwrap(), *bytes, "{damaged} {way}");
            let left = verified(&open(Arc::clone(store), 4).unwrap(), Depth::Pages).findings;
            assert!(left.is_empty(), "{damaged} {way}: {left:?}");
            tried += 1;
        }
    }
    healed.restores(store);
    tried
}

#[test]
fn every_copy_is_made_again_from_the_other_one() {
    for (protected, workers) in
        [(Protected::Encrypted, 1), (Protected::Clear, 2), (Protected::Encrypted, 4)]
    {
        let healed = Healed::new(protected);
        assert!(!healed.under("moves/").is_empty(), "blocks were healed");
        assert_eq!(healed.under("moves/").len(), healed.under("twins/moves/").len());
        let tried = repair_each(&healed, &shared(&memory(&healed.objects)), workers);
        assert!(tried > 30, "{tried}");
    }
}

#[test]
fn in_a_directory_every_copy_is_made_again_too() {
    let healed = Healed::new(Protected::Encrypted);
    let place = tempfile::tempdir().unwrap();
    let store = directory(&healed.objects, &place.path().join("repo"));
    assert!(repair_each(&healed, &store, 2) > 30);
}

#[test]
fn healed_blocks_are_read_whichever_copy_of_their_record_is_lost() {
    let healed = Healed::new(Protected::Encrypted);
    for name in healed.under("moves/").into_iter().chain(healed.under("twins/moves/")) {
        for (_, changed) in ways(&healed.objects[name]) {
            let store = memory(&healed.objects);
            spoil(&*store, name, changed);
            healed.restores(&shared(&store));
        }
    }
}

#[test]
fn records_of_earlier_versions_get_their_second_copies() {
    let healed = Healed::new(Protected::Encrypted);
    let mut objects = healed.objects.clone();
    objects.retain(|name, _| !name.as_str().starts_with("twins/moves/"));
    let store = memory(&objects);
    let repository = open(shared(&store), 3).unwrap();
    assert!(!verified(&repository, Depth::Objects).findings.is_empty());
    let report = repaired(&repository, 2);
    assert_eq!(report.made.len(), healed.under("twins/moves/").len());
    assert!(report.left.findings.is_empty() && report.failed.is_empty());
    assert_eq!(store.objects(), healed.objects);
}

#[test]
fn a_whole_repository_is_left_as_it_is() {
    let healed = Healed::new(Protected::Encrypted);
    let store = memory(&healed.objects);
    let repository = open(shared(&store), 3).unwrap();
    let report = repaired(&repository, 2);
    assert!(report.made.is_empty() && report.removed.is_empty() && report.failed.is_empty());
    assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    assert_eq!(store.objects(), healed.objects);
}

#[test]
fn what_has_no_good_copy_is_reported_and_the_rest_is_repaired() {
    let healed = Healed::new(Protected::Encrypted);
    let firsts = healed.pairs().into_iter().filter(|(name, _)| name.as_str().starts_with("packs/"));
    for (first, twin) in firsts {
        let store = memory(&healed.objects);
        let other = healed.under("twins/moves/")[0].clone();
        spoil(&*store, &first, None);
        spoil(&*store, &twin, Some(flipped(&healed.objects[&twin], 30)));
        spoil(&*store, &other, None);
        let repository = open(shared(&store), 3).unwrap();
        let world = World::of_this_machine();
        let plan = repair::plan(&repository, 2, &world).unwrap();
        let names = |name: &ObjectName| plan.lost.iter().any(|lost| lost.contains(name.as_str()));
        assert!(names(&first) && names(&twin), "{:?}", plan.lost);
        let report = plan.run(&world).unwrap();
        assert_eq!(report.made, [other]);
        let left = |name: &ObjectName| {
            let found = report.left.findings.iter().map(|finding| &finding.what);
            found.chain(&report.lost).any(|lost| lost.contains(name.as_str()))
        };
        assert!(left(&first) && left(&twin), "{report:?}");
    }
}

#[test]
fn records_about_packs_stay_while_a_snapshot_can_not_be_read() {
    let healed = Healed::new(Protected::Clear);
    let store = memory(&healed.objects);
    let pack = data_packs(&healed.objects).pop().unwrap();
    spoil(&*store, &pack, Some(flipped(&healed.objects[&pack], 100)));
    verified(&open(shared(&store), 3).unwrap(), Depth::Stored);
    let records = || -> Vec<ObjectName> {
        let is_of_pack = |name: &ObjectName| {
            let rest = name.as_str().strip_prefix("damage/");
            rest.is_some_and(|rest| !rest.starts_with("snapshot-"))
        };
        store.objects().into_keys().filter(is_of_pack).collect()
    };
    let before = records();
    assert!(!before.is_empty(), "verify records what it finds");
    for snapshot in healed.under("snapshots/") {
        spoil(&*store, snapshot, Some(flipped(&healed.objects[snapshot], 60)));
    }
    let report = repaired(&open(shared(&store), 3).unwrap(), 1);
    assert!(!report.lost.is_empty() || !report.left.findings.is_empty());
    assert_eq!(records(), before);
}

fn without_intents(store: &MemoryStore) -> Objects {
    let mut objects = store.objects();
    objects.retain(|name, _| !name.as_str().starts_with("intents/"));
    objects
}

#[test]
fn wherever_a_repair_is_stopped_nothing_is_lost_and_the_next_one_ends_it() {
    let healed = Healed::new(Protected::Encrypted);
    let mut damaged = healed.objects.clone();
    for (twin, first) in healed.pairs() {
        if twin.as_str().starts_with("twins/") {
            damaged.insert(twin.clone(), flipped(&healed.objects[&twin], 20));
            if first.as_str() < "packs/8" {
                damaged.insert(twin.clone(), healed.objects[&twin].clone());
                damaged.insert(first.clone(), flipped(&healed.objects[&first], 20));
            }
        }
    }
    let mut stopped = 0;
    for verb in [Verb::Put, Verb::Delete, Verb::Get, Verb::List] {
        for nth in 1.. {
            let store = memory(&damaged);
            let opened = open(shared(&store), 3).unwrap();
            let fault = Fault::first(verb, Effect::RefuseBefore(Category::Other)).at(nth);
            let failing = Arc::new(Failing::new(shared(&store), vec![fault.ever_after()]));
            let world = World::of_this_machine();
            let failing_repository = opened.elsewhere(shared(&failing));
            let done =
                repair::plan(&failing_repository, 2, &world).and_then(|plan| plan.run(&world));
            let struck = failing.struck() > 0;
            if struck {
                stopped += 1;
                let failed = done.map_or(true, |report| {
                    !report.failed.is_empty() || !report.left.findings.is_empty()
                });
                // One whose intent alone stays succeeds.
                let is_healed = without_intents(&store) == healed.objects;
                assert!(failed || is_healed, "{verb:?} {nth} is not passed over in silence");
            }
            healed.restores(&shared(&store));
            let report = repaired(&open(shared(&store), 5).unwrap(), 2);
            assert!(report.failed.is_empty() && report.left.findings.is_empty(), "{report:?}");
            // The one that was stopped may leave its intent.
            assert_eq!(without_intents(&store), healed.objects, "{verb:?} {nth}");
            if !struck {
                break;
            }
        }
    }
    assert!(stopped > 20, "{stopped}");
}

#[test]
fn of_a_changed_pack_only_the_blocks_that_can_not_be_read_are_lost_at_every_depth() {
    let healed = Healed::new(Protected::Encrypted);
    let pack = data_packs(&healed.objects).pop().unwrap();
    for depth in [Depth::Stored, Depth::Blocks, Depth::Pages] {
        let store = memory(&healed.objects);
        // In the middle of its frames.
        let middle = healed.objects[&pack].len() / 3;
        spoil(&*store, &pack, Some(flipped(&healed.objects[&pack], middle)));
        let repository = open(shared(&store), 3).unwrap();
        let report = verified(&repository, depth);
        let pages = |finding: &Finding| finding.ranges.iter().map(|(_, count)| count).sum::<u64>();
        let files: Vec<&Finding> =
            report.findings.iter().filter(|finding| finding.member.is_some()).collect();
        assert!(!files.is_empty(), "{:?}", report.findings);
        for finding in &files {
            assert_eq!(finding.unit, Unit::Pages, "{finding:?}");
            // A frame holds 8 whole pages; the pack has more than a hundred.
            assert!((1..=40).contains(&pages(finding)), "{finding:?}");
            assert!(finding.in_words().contains(", page"), "{}", finding.in_words());
        }
        assert!(report.read_bytes > 0);
        // What can be read is not stored again.
        let again = back_up(&repository, &healed.streams[2].1);
        let healed_blocks = again.counts.blocks_healed;
        assert!((1..=40).contains(&healed_blocks), "{healed_blocks}");
        for (id, stream) in &healed.streams {
            assert!(stream_of(&repository, id).unwrap() == *stream, "{id}");
        }
    }
}

#[test]
fn a_changed_byte_that_no_block_needs_loses_nothing_and_stays_a_finding() {
    let healed = Healed::new(Protected::Encrypted);
    let pack = data_packs(&healed.objects).pop().unwrap();
    let store = memory(&healed.objects);
    // The preamble is for people.
    spoil(&*store, &pack, Some(flipped(&healed.objects[&pack], 3)));
    let repository = open(shared(&store), 3).unwrap();
    let report = verified(&repository, Depth::Blocks);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(report.findings[0].what.contains(pack.as_str()));
    assert_eq!(report.recorded, 1);
    let known = repository.known_damage().unwrap();
    assert_eq!(known.packs().count(), 1);
    assert_eq!(verified(&repository, Depth::Blocks).recorded, 0, "it is on record");
    let again = back_up(&repository, &healed.streams[2].1);
    assert_eq!(again.counts.blocks_healed, 0);
}

#[test]
fn snapshots_that_lack_blocks_are_known_until_their_packs_are_whole_again() {
    let healed = Healed::new(Protected::Encrypted);
    let pack = data_packs(&healed.objects).pop().unwrap();
    for changed in [None, Some(flipped(&healed.objects[&pack], 5000))] {
        let store = memory(&healed.objects);
        spoil(&*store, &pack, changed);
        let repository = open(shared(&store), 3).unwrap();
        let report = verified(&repository, Depth::Blocks);
        let known = repository.known_damage().unwrap();
        for stored in repository.snapshots().unwrap().snapshots {
            let lacks = report.findings.iter().any(|found| found.snapshot == Some(stored.id()));
            let found = known.of(&stored.id());
            assert_eq!(found.is_some(), lacks);
            if let Some(found) = found {
                assert!(found.files > 0 && found.named[0].contains(": "), "{found:?}");
            }
            let other = repository.newest_without(&stored, &known).unwrap();
            assert!(other.is_none_or(|other| known.of(&other.id()).is_none()));
        }
        assert!(known.packs().count() < 2);
        // A second look writes nothing anew.
        let objects = store.objects();
        verified(&repository, Depth::Blocks);
        assert_eq!(store.objects(), objects);

        spoil(&*store, &pack, Some(healed.objects[&pack].clone()));
        let repaired = repaired(&repository, 2);
        assert!(repaired.left.findings.is_empty(), "{:?}", repaired.left.findings);
        assert_eq!(store.objects(), healed.objects, "no record is left");
    }
}
