//! The need list of a snapshot names every pack that a walk over all that can be reached from the
//! snapshot finds: of data packs the same, of others perhaps more.

use crate::support;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use haulout::base::ids::Class;
use haulout::base::ids::PackName;
use haulout::base::ids::Storage;
use haulout::base::world::World;
use haulout::format::needs::NEEDS;
use haulout::format::record::MapRoot;
use haulout::format::snapshot::SnapshotKind;
use haulout::ops::backup::BackupOptions;
use haulout::ops::copy_reencrypted;
use haulout::ops::memory::AtOnce;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::needs::KnownFrom;
use haulout::repo::needs::Needs;
use haulout::repo::needs::NeedsReader;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::source::ProducerExit;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::leaves::Leaves;

/// A repository whose snapshots have need lists.
fn in_memory(seed: u64) -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::NEEDS);
    let made = support::init_as_earlier(support::shared(&store), Protected::Clear, features, seed);
    (store, made)
}

fn with_workers(workers: u32) -> BackupOptions {
    BackupOptions { at_once: AtOnce::with_workers(workers), ..support::options() }
}

/// The packs of a class that are needed, with their counts of places and of bases.
fn counts(needs: &Needs, class: Class) -> BTreeMap<PackName, (u32, u32)> {
    let mut counts = BTreeMap::new();
    needs.visit(&mut |record, need| {
        if record.class == class {
            counts.insert(record.name, (need.places, need.bases));
        }
    });
    counts
}

fn names(needs: &Needs, class: Class) -> BTreeSet<PackName> {
    counts(needs, class).into_keys().collect()
}

/// Checks the list of every snapshot against a walk; returns the bytes of the newest list.
fn assert_lists(repository: &Repository) -> u64 {
    let world = World::of_this_machine();
    let mut snapshots = repository.snapshots().unwrap().snapshots;
    snapshots.reverse();
    let mut reader = NeedsReader::new(repository, &world.monitor);
    for stored in &snapshots {
        let (list, walk) = (reader.of(stored).unwrap(), reader.walked(stored).unwrap());
        assert_eq!((list.known_from(), walk.known_from()), (KnownFrom::List, KnownFrom::Walk));
        let id = stored.id().short();
        assert_eq!(counts(&list, Class::Data), counts(&walk, Class::Data), "{id}");
        let (listed, walked) = (names(&list, Class::Meta), names(&walk, Class::Meta));
        assert!(listed.is_superset(&walked), "{id} lacks {:?}", walked.difference(&listed));
        assert!(counts(&list, Class::Meta).values().all(|counts| *counts == (0, 0)));
    }
    let newest = snapshots.first().unwrap();
    let last = newest.snapshot.internal.last().unwrap();
    assert_eq!(last.key.path, NEEDS.as_bytes(), "it is the last of the internal members");
    last.length
}

#[test]
fn the_list_names_what_a_walk_finds_after_each_of_thirty_nights() {
    for workers in [1, 2, 4] {
        let (_, repository) = in_memory(1);
        let mut server = Server::new(7, 2, 150);
        for night in 0..30 {
            let stream = server.stream();
            let options = with_workers(workers);
            if night % 10 == 5 {
                let cut = &stream[..stream.len() / 2];
                let exit = ProducerExit::Exited(1);
                support::back_up_with(&repository, cut, exit, &options).unwrap();
            }
            let exit = ProducerExit::Exited(0);
            support::back_up_with(&repository, &stream, exit, &options).unwrap();
            server.night(12);
        }
        let bytes = assert_lists(&repository);
        let packs = u64::try_from(repository_packs(&repository)).unwrap();
        assert!(bytes <= 3 + 4 * packs, "{bytes} bytes for {packs} packs");
    }
}

fn repository_packs(repository: &Repository) -> usize {
    let newest = repository.find_snapshot("latest").unwrap();
    newest.snapshot.packs.total.try_into().unwrap()
}

#[test]
fn a_repository_without_the_feature_has_no_lists_and_its_snapshots_are_walked() {
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.without(Features::NEEDS);
    let repository =
        support::init_as_earlier(support::shared(&store), Protected::Clear, features, 1);
    support::back_up(&repository, &Server::new(7, 1, 20).stream());
    let stored = repository.find_snapshot("latest").unwrap();
    assert_eq!(stored.snapshot.internal(NEEDS), None);
    let world = World::of_this_machine();
    let needs = repository.needs_of(&stored, &world.monitor).unwrap();
    assert_eq!(needs.known_from(), KnownFrom::Walk);
    let all = store.objects().into_keys().filter(|name| name.as_str().starts_with("packs/"));
    let found = counts(&needs, Class::Data).len() + counts(&needs, Class::Meta).len();
    assert_eq!(found, all.count(), "a first backup needs all of its packs");
}

#[test]
fn a_checkpoint_has_its_own_list_and_so_has_what_goes_on_from_it() {
    for workers in [1, 2, 4] {
        let (_, repository) = in_memory(2);
        let mut server = Server::new(3, 2, 150);
        let options = BackupOptions { checkpoint_bytes: 1 << 20, ..with_workers(workers) };
        for _ in 0..3 {
            let stream = server.stream();
            let cut = &stream[..stream.len() * 2 / 3];
            let exit = ProducerExit::Killed(9);
            support::back_up_with(&repository, cut, exit, &options).unwrap();
            let exit = ProducerExit::Exited(0);
            support::back_up_with(&repository, &stream, exit, &options).unwrap();
            server.night(30);
        }
        let snapshots = repository.snapshots().unwrap().snapshots;
        let is_checkpoint =
            |stored: &&StoredSnapshot| stored.snapshot.about.kind == SnapshotKind::Checkpoint;
        let checkpoints = snapshots.iter().filter(is_checkpoint).count();
        assert!(checkpoints >= 6, "{checkpoints} checkpoints");
        assert_lists(&repository);
    }
}

/// Tells whether an entry of a snapshot rests on two bases, each in a pack of its own.
fn has_bases_in_two_other_packs(repository: &Repository, stored: &StoredSnapshot) -> bool {
    let world = World::of_this_machine();
    let contents = repository.contents(stored, &world.monitor).unwrap();
    let mut found = false;
    let mut members = contents.table().cursor();
    while let Some(record) = members.next().unwrap() {
        let mut entries = contents.entries(record);
        while let Some(block) = entries.next().unwrap() {
            if let Storage::Delta { at, base, second: Some(second), .. } = block.entry.storage {
                let packs = BTreeSet::from([at.pack, base.pack, second.pack]);
                found |= packs.len() == 3;
            }
        }
    }
    found
}

#[test]
fn bases_in_two_other_packs_are_named() {
    let (_, repository) = in_memory(4);
    let mut server = Server::new(8, 1, 4);
    let mut leaves = Leaves::new(9, server.tables[2].1, 24);
    for _ in 0..6 {
        // A new leaf is stored whole; the night after, half of its records stand on a new page,
        // with half of those of the leaf before it, which is older.
        server.tables[2].2.clone_from(&leaves.pages);
        support::back_up(&repository, &server.stream());
        leaves.night(1);
        leaves.append();
        server.tables[2].2.clone_from(&leaves.pages);
        support::back_up(&repository, &server.stream());
        leaves.spread(leaves.len() - 2);
    }
    let snapshots = repository.snapshots().unwrap().snapshots;
    let two = snapshots.iter().filter(|stored| has_bases_in_two_other_packs(&repository, stored));
    assert!(two.count() > 0, "no page came from two packs");
    assert_lists(&repository);
}

#[test]
fn a_script_block_taken_over_unread_is_named() {
    let (_, repository) = in_memory(5);
    let server = Server::new(6, 40, 10);
    let first = support::back_up(&repository, &server.stream());
    let second = support::back_up(&repository, &server.stream());
    let read = |id: &str| repository.find_snapshot(id).unwrap();
    let (first, second) = (read(&first.id.to_string()), read(&second.id.to_string()));
    let script = |stored: &StoredSnapshot| {
        let record = stored.snapshot.internal("script").unwrap();
        let MapRoot::Inline(entries) = &record.map else { panic!("a short script") };
        entries.clone()
    };
    assert_eq!(script(&first), script(&second), "no block of it was stored again");
    assert!(!script(&second).is_empty());
    assert_lists(&repository);
}

#[test]
fn a_copy_under_other_keys_has_lists_of_its_own() {
    let near = Arc::new(MemoryStore::new());
    let near = support::init(support::shared(&near), Protected::Clear, 6);
    let mut server = Server::new(7, 2, 40);
    for _ in 0..4 {
        support::back_up(&near, &server.stream());
        server.night(12);
    }
    let (_, far) = in_memory(7);
    let snapshots = near.snapshots().unwrap().snapshots;
    let planned = copy_reencrypted::plan(&near, Some(&far), snapshots).unwrap();
    let report = planned.send(&far, 2, &support::stepping_world()).unwrap();
    assert_eq!(report.sent.len(), 4);
    assert_lists(&far);
}
