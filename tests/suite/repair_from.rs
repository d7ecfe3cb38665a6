//! What is lost or damaged here comes back from a copy of the repository, by its name and only if
//! it is what that says: in both directions, wherever the work is stopped, and with damage on both
//! sides.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::repair::Losses;
use haulout::ops::repair::RepairPlan;
use haulout::ops::repair::RepairReport;
use haulout::ops::repair::plan_from;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Remember;
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

use crate::support;
use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::init_as_earlier;
use crate::support::near::Near;
use crate::support::near::data_packs;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;
use crate::support::stream_with;

type Objects = BTreeMap<ObjectName, Bytes>;

fn holding(objects: &Objects) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    Arc::new(store)
}

/// The objects that only one side has, or has with other bytes.
fn different(some: &Objects, others: &Objects) -> Vec<String> {
    let is_other = |name: &&ObjectName| some.get(*name) != others.get(*name);
    let names: BTreeSet<&ObjectName> = some.keys().chain(others.keys()).collect();
    names.iter().filter(|name| is_other(name)).map(ToString::to_string).collect()
}

#[track_caller]
fn same(some: &Objects, others: &Objects, about: &str) {
    let different = different(some, others);
    assert!(different.is_empty(), "{about}: {different:?}");
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn set(store: &MemoryStore, name: &ObjectName, bytes: Option<Bytes>) {
    store.delete(name).unwrap();
    if let Some(bytes) = bytes {
        store.put(name, &[bytes]).unwrap();
    }
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    Bytes::from(bytes)
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options =
        VerifyOptions { workers: 2, remember: Remember::Nowhere, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
}

fn repaired(near: Arc<dyn Store>, far: Arc<dyn Store>, workers: u32) -> Result<RepairReport> {
    let world = World::of_this_machine();
    let repository = open(near, 5)?;
    plan_from(&repository, &far, workers, &world)?.run(&world)
}

/// A repository of some nights, one of which has a tag, and its objects.
fn nights(count: usize) -> (Near, Objects) {
    let near = Near::with_nights(count);
    let stored = near.repository.find_snapshot("latest").unwrap();
    let change = TagChange { add: vec!["kept".to_owned()], remove: Vec::new() };
    tag(&near.repository, &stored, &change, &support::world_at(1_800_000_000)).unwrap();
    let objects = near.store.objects();
    (near, objects)
}

#[test]
fn every_object_that_is_lost_or_changed_comes_back_as_it_was() {
    let (near, objects) = nights(3);
    let far = holding(&objects);
    for lost in objects.keys().filter(|name| name.as_str() != "config") {
        let bytes = &objects[lost];
        let cut = bytes.slice(..bytes.len() / 2);
        for changed in [None, Some(cut), Some(flipped(bytes))] {
            // Another key opens nothing, and one that is gone may have been removed.
            if lost.as_str().starts_with("keys/") {
                continue;
            }
            let is_snapshot_gone = lost.as_str().starts_with("snapshots/") && changed.is_none();
            let is_note_gone = lost.as_str().starts_with("notes/") && changed.is_none();
            if is_snapshot_gone || is_note_gone {
                continue;
            }
            let store = holding(&objects);
            set(&store, lost, changed.clone());
            verified(&open(shared(&store), 3).unwrap(), Depth::Blocks);
            let report = repaired(shared(&store), shared(&far), 2).unwrap();
            assert!(report.failed.is_empty() && report.lost.is_empty(), "{lost}: {report:?}");
            assert!(report.left.findings.is_empty(), "{lost}: {:?}", report.left.findings);
            same(&store.objects(), &objects, lost.as_str());
        }
    }
    assert!(near.visible_nights_of(&shared(&far)) == 3);
}

#[test]
fn both_copies_of_every_meta_pack_come_back() {
    let (_, objects) = nights(3);
    let far = holding(&objects);
    for twin in objects.keys().filter(|name| name.as_str().starts_with("twins/")) {
        let first = name(&twin.as_str().replacen("twins/", "packs/", 1));
        for ways in [[None, None], [Some(flipped(&objects[twin])), None]] {
            let store = holding(&objects);
            let [way_first, way_twin] = ways;
            set(&store, &first, way_first);
            set(&store, twin, way_twin);
            let repository = open(shared(&store), 4).unwrap();
            let far = shared(&far);
            let world = World::of_this_machine();
            let plan = plan_from(&repository, &far, 2, &world).unwrap();
            assert_eq!(plan.fetch.len(), 1, "{twin}: {:?}", plan.fetch);
            assert_eq!(plan.fetch[0].objects, [twin.clone(), first.clone()]);
            assert!(plan.left(&world).unwrap().findings.is_empty(), "{twin}");
            assert_eq!(plan.cost().bytes, u64::try_from(objects[twin].len()).unwrap());
            plan.run(&world).unwrap();
            same(&store.objects(), &objects, twin.as_str());
        }
    }
}

#[test]
fn with_damage_on_both_sides_each_gets_what_the_other_one_has() {
    let (near, objects) = nights(3);
    let packs = data_packs(&near, &BTreeSet::new());
    let [first, second] = [name(&packs[0]), name(&packs[1])];
    let (here, there) = (holding(&objects), holding(&objects));
    set(&here, &first, None);
    set(&there, &second, Some(flipped(&objects[&second])));
    verified(&open(shared(&there), 3).unwrap(), Depth::Stored);
    let report = repaired(shared(&here), shared(&there), 2).unwrap();
    assert_eq!((report.fetched, report.left.findings.len()), (vec![first], 0));
    let report = repaired(shared(&there), shared(&here), 2).unwrap();
    assert_eq!((report.fetched, report.left.findings.len()), (vec![second], 0));
    same(&here.objects(), &objects, "here");
    same(&there.objects(), &objects, "there");
}

#[test]
fn what_is_damaged_there_too_is_never_put_and_its_losses_are_told_before() {
    let (near, objects) = nights(2);
    let packs = data_packs(&near, &BTreeSet::new());
    let [first, second] = [name(&packs[0]), name(&packs[1])];
    for spoiled in [Some(flipped(&objects[&first])), Some(objects[&first].slice(..99)), None] {
        let (here, there) = (holding(&objects), holding(&objects));
        set(&here, &first, None);
        set(&here, &second, None);
        set(&there, &first, spoiled.clone());
        let world = World::of_this_machine();
        let repository = open(shared(&here), 4).unwrap();
        let far = shared(&there);
        let plan = plan_from(&repository, &far, 2, &world).unwrap();
        let before = here.objects();
        let foreseen = plan.left(&world).unwrap();
        same(&here.objects(), &before, "a plan changes nothing");
        let report = plan.run(&world).unwrap();
        assert_eq!(report.fetched, std::slice::from_ref(&second), "{report:?}");
        assert!(!here.objects().contains_key(&first));
        let losses = Losses::of(&report.left.findings);
        assert!(!losses.are_none() && losses.pages > 0 && losses.files > 0, "{losses:?}");
        let is_foreseen = spoiled.as_ref().is_none_or(|bytes| bytes.len() == 99);
        if is_foreseen {
            assert_eq!(Losses::of(&foreseen.findings), losses);
        } else {
            assert!(report.failed[0].contains("is not what its name says"), "{report:?}");
        }
        // What verify finds then is what was told.
        let found = verified(&open(shared(&here), 6).unwrap(), Depth::Objects);
        assert_eq!(Losses::of(&found.findings), losses);
    }
}

#[test]
fn a_snapshot_that_an_increment_requires_comes_back_with_its_packs() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let mut server = Server::new(7, 3, 60);
    let full = back_up(&repository, &server.stream());
    let packs: BTreeSet<ObjectName> = store.objects().into_keys().collect();
    let from = server.to_lsn();
    server.night(20);
    let increment = server.increment(from);
    let increment = (back_up(&repository, &increment), increment);
    assert_eq!(increment.0.about.requires, [full.id.to_string()]);
    let objects = store.objects();
    let far = holding(&objects);
    let of_full = |name: &&ObjectName| packs.contains(*name);
    let gone: Vec<ObjectName> = objects.keys().filter(of_full).cloned().collect();
    for name in gone {
        let kept = ["config", "keys/", "runs/"].iter().any(|kept| name.as_str().starts_with(kept));
        if !kept {
            set(&store, &name, None);
        }
    }
    let report = repaired(shared(&store), shared(&far), 2).unwrap();
    assert!(report.left.findings.is_empty() && report.lost.is_empty(), "{report:?}");
    same(&store.objects(), &objects, "all is there");
}

#[test]
fn what_no_snapshot_needs_is_not_fetched() {
    let store = Arc::new(MemoryStore::new());
    let repository = init_as_earlier(shared(&store), Protected::Clear, FEATURES_KNOWN, 1);
    back_up(&repository, &Server::new(1, 2, 40).stream());
    let first = store.objects();
    back_up(&repository, &Server::new(99, 2, 40).stream());
    for name in first.keys().filter(|name| name.as_str().starts_with("snapshots/")) {
        store.delete(name).unwrap();
    }
    let far = holding(&store.objects());
    let needed = near_needs(&repository);
    let mut unneeded = 0;
    for name in first.keys().filter(|name| name.as_str().starts_with("packs/")) {
        unneeded += usize::from(!needed.contains(name.as_str()));
        store.delete(name).unwrap();
        store
            .delete(&ObjectName::new(&name.as_str().replacen("packs/", "twins/", 1)).unwrap())
            .unwrap();
    }
    assert!(unneeded > 0);
    let report = repaired(shared(&store), shared(&far), 2).unwrap();
    assert!(report.fetched.iter().all(|name| needed.contains(&packed(name))), "{report:?}");
    assert!(report.left.findings.is_empty() && report.lost.is_empty(), "{report:?}");
    assert!(store.objects().keys().all(|name| !name.as_str().starts_with("intents/")));
}

fn packed(name: &ObjectName) -> String {
    name.as_str().replacen("twins/", "packs/", 1)
}

/// The packs that the snapshots of a repository need.
fn near_needs(repository: &Repository) -> BTreeSet<String> {
    let world = World::of_this_machine();
    let mut reader = haulout::repo::needs::NeedsReader::new(repository, &world.monitor);
    let mut needed = BTreeSet::new();
    for stored in repository.snapshots().unwrap().snapshots {
        let needs = reader.of(&stored).unwrap();
        needs.visit(&mut |record, _| {
            let object = haulout::format::layout::Object::Pack(record.name);
            needed.insert(object.name().to_string());
        });
    }
    needed
}

#[test]
fn what_the_other_side_has_healed_heals_here() {
    let mut near = Near::with_nights(1);
    let lost = name(&data_packs(&near, &BTreeSet::new())[0]);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    // The next night stores the lost blocks again; the copy gets that pack, and needs no record.
    near.store.delete(&lost).unwrap();
    let stream = near.nights[0].1.clone();
    near.nights.push((back_up(&near.repository, &stream), stream));
    near.replicated(shared(&far)).unwrap();
    let recorded = |store: &MemoryStore| {
        store.objects().keys().filter(|name| name.as_str().contains("moves/")).count()
    };
    assert!(recorded(&near.store) >= 2 && recorded(&far) == 0);
    far.delete(&lost).unwrap();
    let report = repaired(shared(&far), shared(&near.store), 2).unwrap();
    assert!(report.left.findings.is_empty(), "{report:?}");
    assert_eq!(recorded(&far), recorded(&near.store));
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
    assert!(verified(&open(shared(&far), 3).unwrap(), Depth::Pages).findings.is_empty());
}

#[test]
fn another_repository_is_no_copy() {
    let (near, _) = nights(1);
    let other = Near::with_nights(1);
    let store = Arc::new(MemoryStore::new());
    init(shared(&store), Protected::Encrypted, 77);
    drop(other);
    let far = shared(&store);
    let refused = plan_from(&near.repository, &far, 1, &World::of_this_machine()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OtherRepository, "{refused}");
}

#[test]
fn it_costs_no_more_than_the_plan_says() {
    let (near, objects) = nights(3);
    let packs = data_packs(&near, &BTreeSet::new());
    let store = holding(&objects);
    set(&store, &name(&packs[0]), None);
    set(&store, &name(&packs[1]), Some(flipped(&objects[&name(&packs[1])])));
    verified(&open(shared(&store), 3).unwrap(), Depth::Stored);
    let (here, there) =
        (Arc::new(Recording::new(store)), Arc::new(Recording::new(holding(&objects))));
    let repository = open(shared(&here), 4).unwrap();
    let far = shared(&there);
    let world = World::of_this_machine();
    let plan = plan_from(&repository, &far, 2, &world).unwrap();
    let cost = plan.cost();
    there.reset();
    here.reset();
    let report = plan.run(&world).unwrap();
    assert!(report.failed.is_empty() && report.left.findings.is_empty());
    assert_eq!(there.log().len(), usize::try_from(cost.requests_there).unwrap());
    assert_eq!(there.bytes(Verb::Get), cost.bytes);
    assert_eq!(report.fetched_bytes, cost.bytes);
    let puts = here.calls(Verb::Put) - here.calls_under(Verb::Put, "intents/");
    let changed = puts + here.calls_under(Verb::Delete, "packs/");
    assert!(changed <= cost.requests_here, "{changed} of {cost:?}");
    assert_eq!(changed, 3, "one is put, the other one is deleted and put");
}

/// Runs a repair on two stores of which one fails; what is there restores, and the next repair ends
/// it. Returns whether the fault struck.
fn struck(objects: &Objects, damaged: &Objects, at: Site, fault: Fault, workers: u32) -> bool {
    let (here, there) = (holding(damaged), holding(objects));
    let failing =
        |store: &Arc<MemoryStore>| Arc::new(Failing::new(shared(store), vec![fault.clone()]));
    let opened = open(shared(&here), 4).unwrap();
    let struck = failing(match at {
        Site::Here => &here,
        Site::There => &there,
    });
    let (near, far) = match at {
        Site::Here => (shared(&struck), shared(&there)),
        Site::There => (shared(&here), shared(&struck)),
    };
    let about = format!("{at:?} {fault:?} with {workers}");
    let (sender, receiver) = mpsc::channel();
    let repository = opened.elsewhere(near);
    thread::spawn(move || {
        let world = World::of_this_machine();
        let planned = plan_from(&repository, &far, workers, &world);
        sender.send(planned.and_then(|plan: RepairPlan<'_>| plan.run(&world))).unwrap();
    });
    let done = receiver.recv_timeout(Duration::from_mins(2)).expect("it ends");
    let is_struck = struck.struck() > 0;
    assert!(is_struck || done.is_ok(), "{about}: {done:?}");
    for (object, bytes) in here.objects() {
        let is_known = damaged.get(&object).is_some_and(|own| *own == bytes)
            || objects.get(&object).is_some_and(|own| *own == bytes)
            || object.as_str().starts_with("damage/")
            || object.as_str().starts_with("intents/");
        assert!(is_known, "{about}: {object}");
    }
    for good in damaged.iter().filter(|(name, bytes)| objects.get(*name) == Some(*bytes)) {
        let is_same = here.objects().get(good.0) == Some(good.1);
        assert!(is_same, "{about}: {} is not touched", good.0);
    }
    let report = repaired(shared(&here), shared(&there), workers).unwrap();
    assert!(report.failed.is_empty() && report.left.findings.is_empty(), "{about}: {report:?}");
    let mut left = here.objects();
    left.retain(|name, _| !name.as_str().starts_with("intents/"));
    same(&left, objects, &about);
    is_struck
}

/// The store that fails.
#[derive(Debug, Clone, Copy)]
enum Site {
    Here,
    There,
}

/// Objects of which a data pack is lost, another one changed, a meta pack lost with its second
/// copy, and a snapshot changed.
fn damaged(objects: &Objects) -> Objects {
    let store = holding(objects);
    let twins: Vec<ObjectName> =
        objects.keys().filter(|name| name.as_str().starts_with("twins/")).cloned().collect();
    let data: Vec<&ObjectName> = objects
        .keys()
        .filter(|name| name.as_str().starts_with("packs/"))
        .filter(|first| !twins.contains(&name(&first.as_str().replacen("packs/", "twins/", 1))))
        .collect();
    set(&store, data[0], None);
    set(&store, data[1], Some(flipped(&objects[data[1]])));
    verified(&open(shared(&store), 3).unwrap(), Depth::Stored);
    set(&store, &twins[0], None);
    let first = name(&twins[0].as_str().replacen("twins/", "packs/", 1));
    set(&store, &first, Some(flipped(&objects[&first])));
    let snapshot = objects.keys().find(|name| name.as_str().starts_with("snapshots/")).unwrap();
    set(&store, snapshot, Some(flipped(&objects[snapshot])));
    store.objects()
}

#[test]
fn wherever_a_repair_is_stopped_it_ends_and_nothing_is_lost() {
    let (_, objects) = nights(2);
    let damaged = damaged(&objects);
    let mut stopped = 0;
    for at in [Site::Here, Site::There] {
        for (workers, effect) in [
            (2, Effect::RefuseBefore(Category::Other)),
            (4, Effect::RefuseAfter(Category::Other)),
            (1, Effect::RefuseBefore(Category::Stopped)),
        ] {
            for nth in 1.. {
                let fault = Fault { verb: None, ..Fault::first(Verb::Get, effect) };
                if !struck(&objects, &damaged, at, fault.at(nth).ever_after(), workers) {
                    break;
                }
                stopped += 1;
            }
        }
    }
    assert!(stopped > 150, "{stopped}");
}

#[test]
fn answers_that_are_wrong_put_nothing_wrong() {
    let (_, objects) = nights(2);
    let damaged = damaged(&objects);
    let mut wrong = 0;
    for effect in [Effect::FlipBit(1001), Effect::Truncate(9)] {
        for nth in 1.. {
            let fault = Fault { verb: None, ..Fault::first(Verb::Get, effect) };
            if !struck(&objects, &damaged, Site::There, fault.at(nth), 2) {
                break;
            }
            wrong += 1;
        }
    }
    assert!(wrong > 10, "{wrong}");
}

/// More packs than a node of the pack table holds, and than all queues together.
fn many_packs() -> (Arc<MemoryStore>, Vec<u8>) {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Clear, 1);
    let mut random = Random(11);
    let stream: Vec<u8> = (0..(60 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let at_once = AtOnce { pack_bytes: (2 << 20) + 4096, ..AtOnce::with_workers(2) };
    let options = BackupOptions { at_once, ..options() };
    back_up_with(&repository, &stream, ProducerExit::Exited(0), &options).unwrap();
    (store, stream)
}

#[test]
fn many_packs_come_back_whatever_the_number_of_threads_and_the_state_of_the_pack_table() {
    let (store, stream) = many_packs();
    let objects = store.objects();
    let packs = objects.keys().filter(|name| name.as_str().starts_with("packs/")).count();
    assert!(packs > 260, "{packs}");
    let far = holding(&objects);
    for workers in [1, 2, 4] {
        let here = holding(&objects);
        // Every meta pack in both copies, those of the pack table's nodes among them.
        let lost: Vec<&ObjectName> = objects
            .keys()
            .filter(|name| {
                let twin = name.as_str().replacen("packs/", "twins/", 1);
                let is_meta = objects.keys().any(|other| other.as_str() == twin);
                let is_some = name.as_str().bytes().last().unwrap() % 4 == 0;
                name.as_str().starts_with("packs/") && (is_meta || is_some)
                    || name.as_str().starts_with("twins/")
            })
            .collect();
        assert!(lost.len() > 40, "{}", lost.len());
        lost.iter().for_each(|name| here.delete(name).unwrap());
        let report = repaired(shared(&here), shared(&far), workers).unwrap();
        assert!(report.failed.is_empty() && report.left.findings.is_empty(), "{report:?}");
        assert_eq!(report.fetched.len(), lost.len());
        same(&here.objects(), &objects, "all is there");
    }
    assert!(stream_with(&open(shared(&store), 3).unwrap(), "latest", 2).unwrap() == stream);
}

#[test]
fn a_backup_beside_a_repair_does_not_wait_and_both_are_good() {
    let store = Arc::new(MemoryStore::new());
    let repository = init_as_earlier(shared(&store), Protected::Clear, FEATURES_KNOWN, 1);
    let mut server = Server::new(1, 2, 40);
    back_up(&repository, &server.stream());
    let objects = store.objects();
    let far = shared(&holding(&objects));
    let twins: BTreeSet<String> =
        objects.keys().filter(|name| name.as_str().starts_with("twins/")).map(packed).collect();
    let is_data =
        |name: &&ObjectName| name.as_str().starts_with("packs/") && !twins.contains(name.as_str());
    let data = objects.keys().find(is_data).unwrap();
    set(&store, data, None);
    let world = World::of_this_machine();
    let plan = plan_from(&repository, &far, 1, &world).unwrap();
    server.night(5);
    let tonight = server.stream();
    // Between plan and run, and so at any moment: it asks nothing of the other one.
    let report = back_up(&repository, &tonight);
    assert!(report.counts.blocks_healed > 0);
    let done = plan.run(&world).unwrap();
    assert_eq!((done.fetched, done.left.findings.len()), (vec![data.clone()], 0));
    assert!(stream_of(&repository, "latest").unwrap() == tonight);
    assert!(store.objects().keys().all(|name| !name.as_str().starts_with("intents/")));
    assert!(verified(&repository, Depth::Pages).findings.is_empty());
}
