//! Damage to what is stored never prevents tonight's backup: whatever object of the repository is
//! lost, cut or changed, both copies of a pack included, the next backup succeeds and restores.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::format::snapshot::Severity;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
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

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

type Objects = BTreeMap<ObjectName, Bytes>;

/// Some nights of a server, and the stream of the next one.
struct Nights {
    objects: Objects,
    tonight: Vec<u8>,
}

impl Nights {
    fn new(protected: Protected) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), protected, 1);
        let mut server = Server::new(7, 2, 90);
        for _ in 0..3 {
            back_up(&repository, &server.stream());
            server.night(5);
        }
        add_records(&store, &repository, &server.stream());
        // One that is read when the newest does not know a member.
        let mut other = Server::new(8, 3, 40);
        back_up(&repository, &other.stream());
        other.night(3);
        Self { objects: store.objects(), tonight: other.stream() }
    }

    /// Returns the names of the packs that the latest snapshot needs.
    fn needed_by_the_latest(&self) -> BTreeSet<String> {
        let store = Arc::new(MemoryStore::new());
        store.set_objects(self.objects.clone());
        let repository = open(shared(&store), 3).unwrap();
        let latest = repository.find_snapshot("latest").unwrap();
        let world = World::of_this_machine();
        let needs = repository.needs_of(&latest, &world.monitor).unwrap();
        let mut names = BTreeSet::new();
        needs.visit(&mut |record, _| _ = names.insert(record.name.to_string()));
        names
    }

    /// Returns what is damaged together: each object, and both copies of each meta pack.
    fn groups(&self) -> Vec<Vec<ObjectName>> {
        let twin = |name: &ObjectName| {
            let name = name.as_str();
            let twin = match name.strip_prefix("moves/") {
                Some(rest) => format!("twins/moves/{rest}"),
                None => name.replacen("packs/", "twins/", 1),
            };
            let twin = ObjectName::new(&twin).unwrap();
            (twin.as_str() != name && self.objects.contains_key(&twin)).then_some(twin)
        };
        let is_key = |name: &ObjectName| name.as_str().starts_with("keys/");
        let names = self.objects.keys().filter(|name| name.as_str() != "config" && !is_key(name));
        for folder in ["moves/", "twins/moves/", "damage/", "damage/snapshot-", "notes/"] {
            let has = names.clone().any(|name| name.as_str().starts_with(folder));
            assert!(has, "something in {folder} is damaged too");
        }
        let single = names.clone().map(|name| vec![name.clone()]);
        let pairs = names.filter_map(|name| Some(vec![name.clone(), twin(name)?]));
        single.chain(pairs).collect()
    }
}

/// Has blocks healed, damage recorded and a tag attached.
fn add_records(store: &Arc<MemoryStore>, repository: &Repository, stream: &[u8]) {
    let mut objects = store.objects();
    let twin = |name: &ObjectName| ObjectName::new(&name.as_str().replacen("packs/", "twins/", 1));
    let is_data = |name: &&ObjectName| {
        name.as_str().starts_with("packs/") && !objects.contains_key(&twin(name).unwrap())
    };
    let packs = objects.keys().filter(is_data);
    let largest = packs.max_by_key(|name| objects[*name].len()).unwrap().clone();
    let bytes = objects.remove(&largest).unwrap();
    store.set_objects(objects);
    back_up(repository, stream);
    let mut spoiled = bytes.to_vec();
    spoiled[5000] ^= 1;
    let mut objects = store.objects();
    objects.insert(largest, Bytes::from(spoiled));
    // Of what is healed nothing is lost: here nobody knows of the healing.
    let (healing, rest): (Objects, Objects) =
        objects.into_iter().partition(|(name, _)| name.as_str().contains("moves/"));
    store.set_objects(rest);
    let options = VerifyOptions::new(Depth::Blocks);
    let other = open(shared(store), 3).unwrap();
    verify(&other, &options, &World::of_this_machine()).unwrap();
    let mut objects = store.objects();
    objects.extend(healing);
    store.set_objects(objects);
    let stored = repository.find_snapshot("latest").unwrap();
    let change = TagChange { add: vec!["kept".to_owned()], remove: Vec::new() };
    tag(repository, &stored, &change, &support::world_at(1_800_000_000)).unwrap();
}

/// Ways to damage an object.
fn damaged(bytes: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    let flipped = |at: usize| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        Some(Bytes::from(flipped))
    };
    vec![
        ("lost", None),
        ("empty", Some(Bytes::new())),
        ("cut", Some(bytes.slice(..bytes.len() / 2))),
        ("flipped near its start", flipped(bytes.len().min(60) / 2)),
        ("flipped in the middle", flipped(bytes.len() / 2)),
        ("flipped near its end", flipped(bytes.len() - bytes.len().min(130))),
    ]
}

fn with_threads(workers: u32) -> BackupOptions {
    BackupOptions { at_once: AtOnce::with_workers(workers), ..options() }
}

/// Backs up tonight's stream into a damaged repository, and restores it.
fn back_up_and_restore(objects: Objects, tonight: &[u8], workers: u32, about: &str) -> usize {
    let store = Arc::new(MemoryStore::new());
    store.set_objects(objects);
    let repository = open(shared(&store), 5).unwrap();
    let came = back_up_with(&repository, tonight, ProducerExit::Exited(0), &with_threads(workers));
    let report = came.unwrap_or_else(|error| panic!("{about}: {error:?}"));
    let repository = open(shared(&store), 6).unwrap();
    let restored = stream_of(&repository, &report.id.to_string());
    assert!(restored.unwrap() == tonight, "{about}: other bytes");
    report.findings.iter().filter(|finding| finding.severity == Severity::Warning).count()
}

fn try_all(protected: Protected, workers: u32) {
    let nights = Nights::new(protected);
    let (mut tried, mut told) = (0, 0);
    for group in nights.groups() {
        let ways = damaged(&nights.objects[&group[0]]);
        for (way, bytes) in ways {
            let mut objects = nights.objects.clone();
            for name in &group {
                match &bytes {
                    Some(bytes) => objects.insert(name.clone(), bytes.clone()),
                    None => objects.remove(name),
                };
            }
            // What has its length and is not read shows when it is verified.
            if way.starts_with("flipped") {
                let store = Arc::new(MemoryStore::new());
                store.set_objects(objects);
                let options = VerifyOptions::new(Depth::Blocks);
                let repository = open(shared(&store), 4).unwrap();
                verify(&repository, &options, &World::of_this_machine()).unwrap();
                objects = store.objects();
            }
            let about = format!("{group:?} {way}, {workers} threads");
            told += back_up_and_restore(objects, &nights.tonight, workers, &about);
            tried += 1;
        }
    }
    assert!(tried > 100 && told > 5, "{tried} tried, {told} told");
}

#[test]
fn no_damage_prevents_the_next_backup_with_one_thread() {
    try_all(Protected::Encrypted, 1);
}

#[test]
fn no_damage_prevents_the_next_backup_with_two_threads() {
    try_all(Protected::Clear, 2);
}

#[test]
fn no_damage_prevents_the_next_backup_with_four_threads() {
    try_all(Protected::Encrypted, 4);
}

#[test]
fn a_snapshot_that_is_passed_over_is_named_in_a_warning() {
    let nights = Nights::new(Protected::Encrypted);
    let newest = |name: &&ObjectName| name.as_str().contains("/0000000005-");
    let newest = nights.objects.keys().find(newest).unwrap().clone();
    let mut objects = nights.objects.clone();
    objects.insert(newest, Bytes::from_static(b"no snapshot"));
    assert_eq!(back_up_and_restore(objects, &nights.tonight, 2, "a warning"), 1);
    assert_eq!(back_up_and_restore(nights.objects, &nights.tonight, 2, "no damage"), 0);
}

#[test]
fn folders_that_cannot_be_listed_do_not_prevent_the_next_backup() {
    let nights = Nights::new(Protected::Encrypted);
    for folder in ["packs/", "twins/", "damage/", "moves/", "snapshots/"] {
        let store = Arc::new(MemoryStore::new());
        store.set_objects(nights.objects.clone());
        let repository = open(shared(&store), 5).unwrap();
        let broken = Fault::first(Verb::List, Effect::RefuseBefore(Category::Other));
        let broken = Failing::new(shared(&store), vec![broken.under(folder).ever_after()]);
        let failing: Arc<dyn Store> = Arc::new(broken);
        let night = repository.elsewhere(failing);
        let report =
            back_up_with(&night, &nights.tonight, ProducerExit::Exited(0), &options()).unwrap();
        let restored = stream_of(&repository, &report.id.to_string()).unwrap();
        assert!(restored == nights.tonight, "{folder}");
        assert_eq!(report.about.warnings() > 0, folder != "moves/", "{folder}");
        let latest = repository.find_snapshot("latest").unwrap();
        assert_eq!(latest.id(), report.id, "{folder}: it is the newest");
        // The following night finds its place after it.
        let next = back_up(&repository, &nights.tonight);
        assert!(next.about.sequence > report.about.sequence, "{folder}");
    }
}

fn is_twin_of_pack(name: &ObjectName) -> bool {
    name.as_str().starts_with("twins/") && !name.as_str().starts_with("twins/moves/")
}

#[test]
fn a_copy_of_a_meta_pack_that_is_missing_or_cut_is_made_again_by_the_next_backup() {
    let nights = Nights::new(Protected::Encrypted);
    let twins: Vec<_> = nights.objects.keys().filter(|name| is_twin_of_pack(name)).collect();
    let needed = nights.needed_by_the_latest();
    let (needed, others): (Vec<_>, Vec<_>) =
        twins.into_iter().partition(|twin| needed.contains(&twin.as_str()[9..]));
    // What only an abandoned lineage names is in the table as well, and is not needed.
    assert!(!needed.is_empty() && !others.is_empty(), "{needed:?} {others:?}");
    for twin in needed {
        let first = ObjectName::new(&twin.as_str().replacen("twins/", "packs/", 1)).unwrap();
        for lost in [twin, &first] {
            for bytes in [None, Some(Bytes::from_static(b"cut"))] {
                let mut objects = nights.objects.clone();
                objects.remove(lost);
                objects.extend(bytes.map(|bytes| (lost.clone(), bytes)));
                let store = Arc::new(MemoryStore::new());
                store.set_objects(objects);
                let repository = open(shared(&store), 5).unwrap();
                let report = back_up(&repository, &nights.tonight);
                let objects = store.objects();
                let is_known = report.about.findings.iter().any(|f| f.object == lost.as_str());
                assert!(is_known, "{lost} is named");
                assert_eq!(objects.get(lost), nights.objects.get(lost), "{lost} is there again");
            }
        }
    }
}
