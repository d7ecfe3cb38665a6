//! Prune deletes what no snapshot needs, and nothing else: whoever stands beside it, wherever it is
//! stopped, whatever the store answers.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::ids::PackName;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::format::layout::Object;
use haulout::format::lists::Relocation;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::Orphans;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::Removing;
use haulout::ops::repair;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::needs::NeedsReader;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::ids::RunId;
use haulout::seal::object::ObjectKind;
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
use crate::support::stepping_world;
use crate::support::stream_of;

fn features() -> Features {
    FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS)
}

fn in_memory(seed: u64) -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let shared = support::shared(&store);
    (store, support::init_as_earlier(shared, Protected::Clear, features(), seed))
}

/// Options whose small packs make many of them.
fn options(source: &str, workers: u32) -> BackupOptions {
    BackupOptions {
        source: source.to_owned(),
        at_once: AtOnce::with_workers(workers),
        ..support::options()
    }
}

fn back_up(repository: &Repository, source: &str, stream: &[u8]) -> SnapshotId {
    let exit = ProducerExit::Exited(0);
    support::back_up_with(repository, stream, exit, &options(source, 2)).unwrap().id
}

fn stored(repository: &Repository, id: SnapshotId) -> StoredSnapshot {
    repository.find_snapshot(&id.to_string()).unwrap()
}

/// The record with which a snapshot is removed.
fn removing(repository: &Repository, id: SnapshotId) -> Removing {
    let stored = stored(repository, id);
    support::removing(&stored)
}

fn removal_of(repository: &Repository, ids: &[SnapshotId]) -> PruneOptions {
    let removes = ids.iter().map(|id| removing(repository, *id)).collect();
    PruneOptions { removes, ..PruneOptions::default() }
}

fn prune_now(repository: &Repository, ids: &[SnapshotId]) -> Result<PruneReport> {
    prune::prune(repository, &removal_of(repository, ids), &stepping_world())
}

/// The packs that are there, in both copies. What heals a needed pack is a record, and stays.
fn packs(store: &MemoryStore) -> BTreeSet<String> {
    let is_pack =
        |name: &ObjectName| matches!(Object::parse(name), Some(Object::Pack(_) | Object::Twin(_)));
    store.objects().into_keys().filter(is_pack).map(|name| name.to_string()).collect()
}

/// The packs that the snapshots which are shown need, and those that relocation records name for
/// these, in both copies.
fn needed(repository: &Repository, store: &MemoryStore) -> BTreeSet<String> {
    let world = World::of_this_machine();
    let mut needed = BTreeSet::new();
    let mut reader = NeedsReader::new(repository, &world.monitor);
    for stored in repository.snapshots().unwrap().snapshots.iter().rev() {
        reader.of(stored).unwrap().visit(&mut |record, _| {
            needed.insert(record.name);
        });
    }
    let records: Vec<(PackName, Relocation)> = store
        .objects()
        .into_iter()
        .filter_map(|(name, bytes)| match Object::parse(&name) {
            Some(Object::Relocation { pack, .. }) => Some((pack, bytes)),
            _ => None,
        })
        .map(|(pack, bytes)| {
            let keyring = repository.keyring();
            let text = keyring.open_object(ObjectKind::Relocation, &pack.0, &bytes).unwrap();
            (pack, Relocation::decode(&text).unwrap())
        })
        .collect();
    // A record may name a pack that has one in its turn.
    for _ in 0..=records.len() {
        for (pack, record) in &records {
            if needed.contains(pack) {
                needed.extend(record.packs.iter().copied());
            }
        }
    }
    let copies = |pack| [Object::Pack(pack).name(), Object::Twin(pack).name()];
    let named = needed.into_iter().flat_map(copies).map(|name| name.to_string());
    let there = packs(store);
    named.filter(|name| there.contains(name)).collect()
}

fn count_under(store: &MemoryStore, prefix: &str) -> usize {
    store.objects().into_keys().filter(|name| name.as_str().starts_with(prefix)).count()
}

/// Backups that were reported good and were not removed, with their streams.
type Good = BTreeMap<SnapshotId, Vec<u8>>;

/// Checks that everything good is there as it was.
fn assert_restores(repository: &Repository, good: &Good) {
    for (id, stream) in good {
        let restored = stream_of(repository, &id.to_string());
        assert!(restored.unwrap() == *stream, "snapshot {} is another", id.short());
    }
}

/// Checks that everything good is there as it was, and that a verification finds nothing.
fn assert_good(repository: &Repository, good: &Good) {
    assert_restores(repository, good);
    let verified = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(repository, &verified, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Checks that nothing is there that nothing needs.
fn assert_clean(repository: &Repository, store: &MemoryStore) {
    let (there, needed) = (packs(store), needed(repository, store));
    let left: Vec<_> = there.difference(&needed).collect();
    assert!(left.is_empty(), "{left:?} are left of {} packs", there.len());
    assert_eq!(count_under(store, "intents/"), 0);
}

/// Some nights of a server.
fn nights(repository: &Repository, source: &str, count: usize) -> (Vec<SnapshotId>, Good) {
    let mut server = Server::new(7, 2, 60);
    let mut good = Good::new();
    let mut ids = Vec::new();
    for _ in 0..count {
        let stream = server.stream();
        let id = back_up(repository, source, &stream);
        good.insert(id, stream);
        ids.push(id);
        // Nearly every page changes, so that what a night stored is soon needed by nobody.
        server.night(300);
    }
    (ids, good)
}

#[test]
fn nights_that_are_removed_take_their_packs_with_them() {
    let (store, repository) = in_memory(1);
    let (ids, mut good) = nights(&repository, "a", 8);
    let before = packs(&store);
    let gone = [&ids[1..3], &ids[4..7]].concat();
    let planned =
        prune::plan(&repository, &removal_of(&repository, &gone), &stepping_world()).unwrap();
    assert_eq!(packs(&store), before, "a plan changes nothing");
    let report = prune_now(&repository, &gone).unwrap();
    assert_eq!((report.removed.len(), report.spared.len(), report.refused.len()), (5, 0, 0));
    assert!(!report.deleted.is_empty());
    assert_eq!(report.deleted, planned.doomed);
    assert_eq!(report.cleaned_up.snapshots, 5);
    gone.iter().for_each(|id| drop(good.remove(id)));
    assert_good(&repository, &good);
    assert_clean(&repository, &store);
    assert!(packs(&store).len() < before.len());
    assert_eq!(count_under(&store, "removed/"), 5);
    assert_eq!(count_under(&store, "snapshots/"), 3);
    let error = repository.find_snapshot(&gone[0].to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed);
    assert!(error.to_string().contains("db1: its night is over"), "{error}");
    let again = prune_now(&repository, &[]).unwrap();
    assert!(again.deleted.is_empty() && again.removed.is_empty());
    // The next night goes on from what is left.
    let number = stored(&repository, ids[7]).name.sequence;
    let next = back_up(&repository, "a", good.get(&ids[7]).unwrap());
    assert_eq!(stored(&repository, next).name.sequence, number + 1);
    assert_good(&repository, &good);
}

#[test]
fn after_the_newest_is_removed_no_number_is_used_twice() {
    let (store, repository) = in_memory(2);
    let (ids, mut good) = nights(&repository, "a", 3);
    let number = stored(&repository, ids[2]).name.sequence;
    prune_now(&repository, &ids[1..]).unwrap();
    ids[1..].iter().for_each(|id| drop(good.remove(id)));
    let stream = Server::new(7, 2, 200).stream();
    let next = back_up(&repository, "a", &stream);
    good.insert(next, stream);
    assert_eq!(stored(&repository, next).name.sequence, number + 1);
    assert_good(&repository, &good);
    prune_now(&repository, &[]).unwrap();
    assert_clean(&repository, &store);
}

#[test]
fn a_year_of_random_removals_loses_nothing_and_leaves_nothing() {
    for seed in 0..6 {
        let (store, repository) = in_memory(seed);
        let mut random = Random(seed + 100);
        let mut servers = [Server::new(seed + 1, 2, 100), Server::new(seed + 2, 1, 150)];
        let sources = ["a", "b"];
        let mut good = Good::new();
        for _ in 0..30 {
            let which = random.below(2);
            let stream = servers[which].stream();
            if random.below(5) == 0 {
                // Killed in the middle; what it stored is continued, or is garbage.
                let cut = &stream[..stream.len() * 2 / 3];
                let options = BackupOptions {
                    checkpoint_bytes: 512 << 10,
                    ..options(sources[which], 1 + u32::try_from(random.below(4)).unwrap())
                };
                let exit = ProducerExit::Killed(9);
                support::back_up_with(&repository, cut, exit, &options).unwrap();
            }
            let id = back_up(&repository, sources[which], &stream);
            good.insert(id, stream);
            servers[which].night(random.below(60));
            if random.below(4) == 0 {
                let shown = repository.snapshots().unwrap().snapshots;
                let gone: Vec<SnapshotId> =
                    shown.iter().map(StoredSnapshot::id).filter(|_| random.below(2) == 0).collect();
                prune_now(&repository, &gone).unwrap();
                gone.iter().for_each(|id| drop(good.remove(id)));
                assert_clean(&repository, &store);
            }
        }
        assert_good(&repository, &good);
    }
}

/// Puts the intent of a run that does nothing.
fn stand(repository: &Repository, verb: IntentVerb, roots: &[SnapshotId]) -> RunId {
    let run = RunId::new([7; 16]);
    let mut intent = Intent {
        verb,
        part: 0,
        parts: 1,
        epoch: 0,
        time: 5,
        roots: BTreeMap::new(),
        removes: BTreeSet::new(),
        holds: BTreeSet::new(),
        puts: BTreeSet::new(),
    };
    for id in roots {
        let name = stored(repository, *id).name;
        intent.roots.entry(name.source).or_default().insert((name.sequence, name.id));
    }
    repository.put_intent(run, &intent).unwrap();
    run
}

#[test]
fn the_roots_of_a_run_that_stands_stay_until_it_is_broken() {
    let (store, repository) = in_memory(3);
    let (ids, mut good) = nights(&repository, "a", 5);
    let run = stand(&repository, IntentVerb::Backup, &ids[1..3]);
    let before = packs(&store);
    let report = prune_now(&repository, &ids[..4]).unwrap();
    ids[..4].iter().for_each(|id| drop(good.remove(id)));
    assert_eq!(report.cleaned_up.snapshots, 2, "the roots' objects stay");
    let root = repository.read_any_snapshot(&removed_name(&repository, ids[1])).unwrap();
    let world = World::of_this_machine();
    repository.needs_of(&root, &world.monitor).unwrap().visit(&mut |record, _| {
        assert!(packs(&store).contains(Object::Pack(record.name).name().as_str()));
    });
    assert!(packs(&store).len() < before.len());
    assert_eq!(count_under(&store, "intents/"), 1);
    let breaks = BTreeSet::from([run]);
    let options = PruneOptions { breaks, ..PruneOptions::default() };
    let report = prune::prune(&repository, &options, &stepping_world()).unwrap();
    assert!(!report.deleted.is_empty());
    assert_eq!((report.cleaned_up.snapshots, report.cleaned_up.intents), (2, 1));
    assert_clean(&repository, &store);
    assert_good(&repository, &good);
}

fn removed_name(repository: &Repository, id: SnapshotId) -> haulout::repo::snapshots::SnapshotName {
    let removals = repository.removals(None).unwrap();
    removals.names().iter().find(|name| name.of.id == id).unwrap().of
}

#[test]
fn a_killed_first_backup_with_checkpoints_is_broken_and_continued() {
    let (store, repository) = in_memory(4);
    let stream = Server::new(9, 2, 300).stream();
    let options = BackupOptions { checkpoint_bytes: 512 << 10, ..options("a", 2) };
    // One checkpoint is stored, and nothing more of its kind: the run fails and leaves its intent.
    let fault = fault().under("snapshots/").at(2).ever_after();
    let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
    let there = repository.elsewhere(support::shared(&failing));
    let exit = ProducerExit::Exited(0);
    support::back_up_with(&there, &stream, exit, &options).unwrap_err();
    assert!(count_under(&store, "snapshots/") > 0, "there is a checkpoint");
    assert_eq!(count_under(&store, "intents/"), 1);
    let kept = prune_now(&repository, &[]).unwrap();
    assert_eq!((kept.deleted.len(), kept.kept_by.len()), (0, 1));
    let run = kept.kept_by[0].run;
    assert!(kept.kept_by[0].packs > 0);
    let options_of_prune =
        PruneOptions { breaks: BTreeSet::from([run]), ..PruneOptions::default() };
    let broken = prune::prune(&repository, &options_of_prune, &stepping_world()).unwrap();
    assert_eq!(broken.cleaned_up.intents, 1);
    assert_clean(&repository, &store);
    let report = support::back_up_with(&repository, &stream, exit, &options).unwrap();
    assert!(report.counts.blocks_same > 0, "it continues from the checkpoint");
    assert_good(&repository, &Good::from([(report.id, stream)]));
}

fn fault() -> Fault {
    Fault::first(Verb::Put, Effect::RefuseBefore(Category::Other))
}

#[test]
fn a_prune_that_is_killed_at_any_request_leaves_only_garbage() {
    let (made, repository) = in_memory(5);
    let (ids, good) = nights(&repository, "a", 5);
    let gone = &ids[1..4];
    let kept: Good = good.into_iter().filter(|(id, _)| !gone.contains(id)).collect();
    let recorded = Arc::new(Recording::new(Arc::new(copy(&made))));
    let there = repository.elsewhere(support::shared(&recorded));
    let options = removal_of(&repository, gone);
    recorded.reset();
    prune::prune(&there, &options, &stepping_world()).unwrap();
    let requests = u64::try_from(recorded.log().len()).unwrap();
    assert!(requests > 30, "{requests}");
    for effect in [Effect::RefuseBefore(Category::Other), Effect::RefuseAfter(Category::Other)] {
        for nth in 1..=requests {
            let store = Arc::new(copy(&made));
            let fault = Fault { verb: None, prefix: String::new(), nth, ..fault() };
            let fault = Fault { effect, ..fault }.ever_after();
            let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
            let there = repository.elsewhere(support::shared(&failing));
            prune::prune(&there, &options, &stepping_world()).unwrap_err();
            let here = repository.elsewhere(support::shared(&store));
            for (id, stream) in &kept {
                assert!(stream_of(&here, &id.to_string()).unwrap() == *stream, "request {nth}");
            }
            let dead = here.standing().unwrap().runs.iter().map(|run| run.run).collect();
            let shown: BTreeSet<SnapshotId> =
                here.snapshots().unwrap().snapshots.iter().map(StoredSnapshot::id).collect();
            let left: Vec<SnapshotId> =
                gone.iter().copied().filter(|id| shown.contains(id)).collect();
            let next = PruneOptions { abandons: dead, ..removal_of(&here, &left) };
            prune::prune(&here, &next, &stepping_world()).unwrap();
            assert_clean(&here, &store);
            assert_eq!(count_under(&store, "snapshots/"), 2, "request {nth}");
        }
    }
}

/// A store with the same objects.
fn copy(of: &MemoryStore) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, bytes) in of.objects() {
        store.put(&name, &[bytes]).unwrap();
    }
    store
}

#[test]
fn a_prune_that_was_declared_dead_stops_at_its_next_look() {
    let (store, repository) = in_memory(6);
    let (ids, good) = nights(&repository, "a", 4);
    // Its intent is gone from the moment on at which it has listed everything.
    let fault = Fault::first(Verb::Size, Effect::Forget).under("intents/");
    let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
    let there = repository.elsewhere(support::shared(&failing));
    let before = packs(&store);
    let options = removal_of(&repository, &ids[1..3]);
    let error = prune::prune(&there, &options, &stepping_world()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(packs(&store), before);
    let kept = [ids[0], ids[3]].map(|id| (id, good.get(&id).unwrap().clone()));
    assert_good(&repository, &Good::from(kept));
}

#[test]
fn packs_of_a_lost_snapshot_are_not_taken_for_garbage() {
    let (store, repository) = in_memory(7);
    let (ids, _) = nights(&repository, "a", 3);
    store.delete(&stored(&repository, ids[2]).name.object()).unwrap();
    let before = packs(&store);
    let error = prune_now(&repository, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
    assert_eq!(packs(&store), before);
    assert_eq!(count_under(&store, "intents/"), 0, "it has ended");
    let options = PruneOptions { orphans: Orphans::Deleted, ..PruneOptions::default() };
    let report = prune::prune(&repository, &options, &stepping_world()).unwrap();
    assert!(!report.deleted.is_empty());
    assert_clean(&repository, &store);
}

#[test]
fn a_list_that_lacks_a_snapshot_deletes_nothing() {
    let (store, repository) = in_memory(8);
    let (ids, good) = nights(&repository, "a", 4);
    let count = u64::try_from(ids.len() - 1).unwrap();
    for times in [1, 2] {
        let faults = (1..=times).map(|nth| {
            Fault::first(Verb::List, Effect::Truncate(count)).under("snapshots/").at(nth)
        });
        let failing = Arc::new(Failing::new(Arc::clone(&store), faults.collect()));
        let there = repository.elsewhere(support::shared(&failing));
        // Once is made good by the second list; twice is found out, or what it lacks is needed by
        // nobody else.
        let pruned = prune::prune(&there, &PruneOptions::default(), &stepping_world());
        assert!(failing.struck() == times && (times == 2 || pruned.is_ok()), "{pruned:?}");
        assert_good(&repository, &good);
    }
}

#[test]
fn a_snapshot_that_can_not_be_read_ends_prune() {
    let (store, repository) = in_memory(9);
    let (ids, _) = nights(&repository, "a", 4);
    let object = stored(&repository, ids[1]).name.object();
    let mut bytes = store.get(&object, 1 << 20).unwrap().to_vec();
    bytes[100] ^= 1;
    store.delete(&object).unwrap();
    store.put(&object, &[bytes.into()]).unwrap();
    let before = packs(&store);
    let error = prune_now(&repository, &ids[2..3]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(packs(&store), before);
}

#[test]
fn an_increment_keeps_the_full_backup_that_was_removed_while_it_ran() {
    let (store, repository) = in_memory(10);
    let mut server = Server::new(7, 2, 200);
    let full = back_up(&repository, "a", &server.stream());
    let from = server.to_lsn();
    server.night(40);
    let increment = back_up(&repository, "a", &server.increment(from));
    server.night(40);
    let last = back_up(&repository, "a", &server.stream());
    prune_now(&repository, &[full]).unwrap();
    assert_eq!(count_under(&store, "snapshots/"), 3, "what is required stays");
    let report = prune_now(&repository, &[increment]).unwrap();
    assert_eq!(report.cleaned_up.snapshots, 2);
    assert_clean(&repository, &store);
    assert_good(&repository, &Good::from([(last, server.stream())]));
}

#[test]
fn a_store_that_refuses_deletions_is_reported_and_loses_nothing() {
    let (store, repository) = in_memory(11);
    let (ids, good) = nights(&repository, "a", 4);
    let denied = Effect::RefuseBefore(Category::Denied);
    let fault = Fault::first(Verb::Delete, denied).under("packs/").ever_after();
    let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
    let there = repository.elsewhere(support::shared(&failing));
    let options = removal_of(&repository, &ids[1..3]);
    let report = prune::prune(&there, &options, &stepping_world()).unwrap();
    assert!(report.deleted.is_empty() && !report.refused.is_empty());
    let kept = [ids[0], ids[3]].map(|id| (id, good.get(&id).unwrap().clone()));
    assert_good(&repository, &Good::from(kept));
    let report = prune_now(&repository, &[]).unwrap();
    assert!(!report.deleted.is_empty());
    assert_clean(&repository, &store);
}

#[test]
fn without_intents_nothing_is_deleted() {
    let store = Arc::new(MemoryStore::new());
    let shared = support::shared(&store);
    let repository = support::init_as_earlier(shared, Protected::Clear, Features::NORMAL_FORM, 1);
    let (ids, _) = nights(&repository, "a", 2);
    let error = prune_now(&repository, &ids[..1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(count_under(&store, "removed/"), 0);
}

#[test]
fn a_store_that_fails_once_at_any_request_loses_nothing() {
    let (made, repository) = in_memory(12);
    let (ids, good) = nights(&repository, "a", 4);
    let gone = &ids[1..3];
    let kept: Good = good.into_iter().filter(|(id, _)| !gone.contains(id)).collect();
    let options = removal_of(&repository, gone);
    for category in [Category::Transient, Category::Denied] {
        for nth in 1.. {
            let store = Arc::new(copy(&made));
            let effect = Effect::RefuseBefore(category);
            let fault = Fault { verb: None, nth, effect, ..fault() };
            let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
            let there = repository.elsewhere(support::shared(&failing));
            let pruned = prune::prune(&there, &options, &stepping_world());
            if failing.struck() == 0 {
                assert!(pruned.is_ok() && nth > 20, "{nth} requests");
                break;
            }
            let here = repository.elsewhere(support::shared(&store));
            for (id, stream) in &kept {
                assert!(stream_of(&here, &id.to_string()).unwrap() == *stream, "request {nth}");
            }
            let dead = here.standing().unwrap().runs.iter().map(|run| run.run).collect();
            let shown: BTreeSet<SnapshotId> =
                here.snapshots().unwrap().snapshots.iter().map(StoredSnapshot::id).collect();
            let left: Vec<SnapshotId> =
                gone.iter().copied().filter(|id| shown.contains(id)).collect();
            let next = PruneOptions { abandons: dead, ..removal_of(&here, &left) };
            prune::prune(&here, &next, &stepping_world()).unwrap();
            assert_clean(&here, &store);
        }
    }
}

#[test]
fn a_deletion_that_fails_for_now_is_tried_three_times_each_after_a_look() {
    let (store, repository) = in_memory(13);
    let (ids, _) = nights(&repository, "a", 4);
    let recorded = Arc::new(Recording::new(Arc::clone(&store)));
    let away = Fault::first(Verb::Delete, Effect::RefuseBefore(Category::Transient));
    let failing = Failing::new(Arc::clone(&recorded), vec![away.under("packs/").ever_after()]);
    let there = repository.elsewhere(support::shared(&Arc::new(failing)));
    let before = packs(&store);
    let options = removal_of(&repository, &ids[1..3]);
    let error = prune::prune(&there, &options, &stepping_world()).unwrap_err();
    assert!(error.to_string().contains("cannot delete packs/"), "{error}");
    let lost: Vec<&String> = before.iter().filter(|name| name.starts_with("packs/")).collect();
    assert!(lost.iter().all(|name| packs(&store).contains(*name)));
    // One for the second copies, and one before each of the further times.
    assert_eq!(recorded.calls_under(Verb::Size, "intents/"), 1 + 2);
    prune_now(&repository, &[]).unwrap();
    assert_clean(&repository, &store);
}

/// Backups of several sources and prunes, in threads of their own, while every so many requests
/// fail for now; returns what was reported good.
fn side_by_side(repository: &Repository, seed: u64, threads: u64) -> Good {
    let good = std::thread::scope(|scope| {
        let writers = (0..threads).map(|number| {
            scope.spawn(move || {
                let mut server = Server::new(seed + number, 2, 40);
                let mut good = Good::new();
                for _ in 0..4 {
                    let (stream, exit) = (server.stream(), ProducerExit::Exited(0));
                    let options = options(&format!("source{number}"), 2);
                    if let Ok(done) = support::back_up_with(repository, &stream, exit, &options) {
                        good.insert(done.id, stream);
                    }
                    server.night(60);
                }
                good
            })
        });
        let writers: Vec<_> = writers.collect();
        let pruner = scope.spawn(move || {
            for _ in 0..6 {
                // It may fail; what it did until then must lose nothing.
                let _pruned = prune::prune(repository, &PruneOptions::default(), &stepping_world());
            }
        });
        pruner.join().unwrap();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Good>()
    });
    assert!(!good.is_empty(), "some backups come through");
    good
}

#[test]
fn prunes_beside_backups_on_a_store_that_fails_now_and_then_end_and_lose_nothing() {
    for threads in [1, 2, 4] {
        let (store, repository) = in_memory(20 + threads);
        let fault = Fault { verb: None, ..fault() }.each(97);
        let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
        let there = repository.elsewhere(support::shared(&failing));
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(side_by_side(&there, threads * 10, threads)));
        let good = receiver.recv_timeout(std::time::Duration::from_mins(3));
        let good = good.unwrap_or_else(|_| panic!("{threads} threads: it hangs or fails"));
        assert!(failing.struck() > 0);
        let here = repository.elsewhere(support::shared(&store));
        assert_restores(&here, &good);
        let standing = here.standing().unwrap().runs;
        let (dead, broken): (Vec<_>, Vec<_>) =
            standing.iter().partition(|run| run.verb == IntentVerb::Prune);
        let ids = |runs: Vec<&haulout::repo::standing::StandingRun>| {
            runs.into_iter().map(|run| run.run).collect()
        };
        // Runs that failed may have left more than a prune takes for garbage unasked.
        let all = PruneOptions { orphans: Orphans::Deleted, ..PruneOptions::default() };
        let options = PruneOptions { abandons: ids(dead), breaks: ids(broken), ..all };
        prune::prune(&here, &options, &stepping_world()).unwrap();
        // A run that failed may have put one copy of a relocation record.
        let world = World::of_this_machine();
        repair::plan(&here, 2, &world).unwrap().run(&world).unwrap();
        assert_good(&here, &good);
        assert_clean(&here, &store);
    }
}
