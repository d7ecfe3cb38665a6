//! What an object store is asked: requests are counted, since each costs money and a round trip.
//!
//! A listing counts as one request for each 1,000 objects. The store holds 10,000 packs that twenty
//! nights have left: the table of the lineage names them all, and its nodes were filled two a
//! night.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::ids::Class;
use haulout::base::ids::PackName;
use haulout::base::world::World;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::format::layout::Object;
use haulout::format::pack_table::PackRecord;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::Target;
use haulout::ops::restore::restore;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Depth;
use haulout::ops::verify::History;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::ages;
use haulout::ops::verify::verify;
use haulout::ops::verify::verify_oldest;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::seal::ids::RunId;
use haulout::store::Store;
use haulout::store::cached::CacheDir;
use haulout::store::cached::Cached;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Recording;
use haulout::store::testing::Slow;

use crate::support;
use crate::support::Protected;
use crate::support::Server;

type Counted = Recording<Arc<MemoryStore>>;

/// Packs of the nights before, and how many of them each has left: enough to fill two nodes.
const PACKS: u64 = 10_240;
const PACKS_A_NIGHT: u64 = 512;
const OLD_PACK: &[u8] = b"of which nothing is needed any more";

/// As another host would see the store: with a cache in `directory`.
fn on(store: &Arc<MemoryStore>, directory: &Path) -> Arc<Cached<Counted>> {
    let cache = CacheDir::open(directory, 1 << 30).unwrap();
    Arc::new(Cached::new(Recording::new(Arc::clone(store)), cache))
}

fn requests(store: &Cached<Counted>) -> u64 {
    let calls = store.inner().log();
    let cost = |verb, bytes: u64| if verb == Verb::List { bytes.div_ceil(1000).max(1) } else { 1 };
    calls.iter().map(|call| cost(call.verb, call.bytes)).sum()
}

fn packs_written(store: &Cached<Counted>) -> u64 {
    let puts = |folder| store.inner().calls_under(Verb::Put, folder);
    puts("packs/") + puts("twins/")
}

/// A later snapshot of the lineage, whose table names more packs, all of them there.
fn add_packs(repository: &Repository, store: &MemoryStore, numbers: Range<u64>) {
    let mut snapshot = repository.find_snapshot("latest").unwrap().snapshot;
    for number in numbers {
        let name = PackName(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let bytes = u64::try_from(OLD_PACK.len()).unwrap();
        let record = PackRecord { name, bytes, tail_bytes: 1, entries: 1, class: Class::Data };
        snapshot.packs.records.push(record);
        snapshot.packs.total += 1;
        store.put(&Object::Pack(name).name(), &[Bytes::from_static(OLD_PACK)]).unwrap();
    }
    snapshot.about.sequence += 1;
    snapshot.about.time += 1;
    repository.put_snapshot(repository.source_id("shop").unwrap(), &snapshot).unwrap();
}

/// A repository after twenty nights, and the cache of the host that made them.
fn nights(database: &mut Server) -> (Arc<MemoryStore>, tempfile::TempDir) {
    nights_with(FEATURES_MADE, database)
}

/// The same with these features.
fn nights_with(features: Features, database: &mut Server) -> (Arc<MemoryStore>, tempfile::TempDir) {
    nights_of(PACKS, features, database)
}

/// The same with this many packs of earlier nights.
fn nights_of(
    packs: u64,
    features: Features,
    database: &mut Server,
) -> (Arc<MemoryStore>, tempfile::TempDir) {
    let (store, cache) = (Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap());
    let host = on(&store, cache.path());
    let (shared, protected) = (support::shared(&host), Protected::Encrypted);
    let repository = support::init_as_earlier(shared, protected, features, 1);
    support::back_up(&repository, &database.stream());
    for first in (0..packs).step_by(usize::try_from(PACKS_A_NIGHT).unwrap()) {
        add_packs(&repository, &store, first..first + PACKS_A_NIGHT);
        database.night(4);
        support::back_up(&repository, &database.stream());
    }
    (store, cache)
}

/// The requests of a night besides listings of packs and its own packs: five are about its intent,
/// fences and removals.
const FIXED: u64 = 17;

#[test]
fn an_unchanged_night_costs_few_requests_with_the_maps_at_hand_and_few_more_without() {
    let mut database = Server::new(5, 2, 80);
    let (store, cache) = nights(&mut database);
    let listing = PACKS.div_ceil(1000);

    let warm = on(&store, cache.path());
    let repository = support::open(support::shared(&warm), 200).unwrap();
    support::back_up(&repository, &database.stream());
    let (asked, written) = (requests(&warm), packs_written(&warm));
    assert!(asked <= FIXED + listing + 2 * written, "{asked} requests: {:?}", warm.inner().log());
    assert_eq!(warm.inner().calls(Verb::GetRange), 0, "nothing is read back");

    let empty = tempfile::tempdir().unwrap();
    let cold = on(&store, empty.path());
    let repository = support::open(support::shared(&cold), 300).unwrap();
    support::back_up(&repository, &database.stream());
    let (asked, written) = (requests(&cold), packs_written(&cold));
    // A pack of maps has at most 8 MiB; here every night's is a small one of its own.
    let maps = cold.inner().calls_under(Verb::Get, "packs/");
    assert!(asked <= FIXED + listing + 2 * written + maps, "{asked}: {:?}", cold.inner().log());
    assert!(maps <= 7, "{maps} packs of maps: {:?}", cold.inner().log());
    let snapshots = cold.inner().calls_under(Verb::Get, "snapshots/");
    assert_eq!(snapshots, 1, "the newest is whole, and nothing is new in the stream");
    assert_eq!(cold.inner().calls(Verb::GetRange), 0, "no page of a map is asked for alone");
}

#[test]
fn an_unchanged_night_with_an_intent_costs_four_requests_more_and_twenty_at_most() {
    let mut asked = Vec::new();
    for features in
        [FEATURES_MADE.without(Features::INTENTS), FEATURES_MADE.with(Features::INTENTS)]
    {
        let mut database = Server::new(5, 2, 80);
        let (store, cache) = nights_with(features, &mut database);
        let host = on(&store, cache.path());
        let repository = support::open(support::shared(&host), 200).unwrap();
        support::back_up(&repository, &database.stream());
        asked.push(requests(&host));
        let (most, log) = (20 + PACKS.div_ceil(1000), host.inner().log());
        assert!(requests(&host) <= most, "{}: {log:?}", requests(&host));
    }
    // Five more, and the config is not read behind the snapshot.
    assert_eq!(asked[1] - asked[0], 4, "{asked:?}");
}

#[test]
fn each_pack_of_a_night_is_put_and_asked_for_once() {
    let mut database = Server::new(5, 2, 80);
    let (store, cache) = nights(&mut database);
    database.night(4);
    let host = on(&store, cache.path());
    let repository = support::open(support::shared(&host), 200).unwrap();
    support::back_up(&repository, &database.stream());
    let written = packs_written(&host);
    let of_packs = |folder| host.inner().calls_under(Verb::Size, folder);
    assert!(written > 0 && of_packs("packs/") + of_packs("twins/") == written);
    let (asked, listing) = (requests(&host), PACKS.div_ceil(1000));
    assert!(asked <= FIXED + listing + 2 * written, "{asked}: {:?}", host.inner().log());
}

#[test]
fn a_thousand_snapshots_are_read_once_and_listed_for_six_requests_thereafter() {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    support::back_up(&repository, &Server::new(5, 1, 4).stream());
    let model = repository.snapshots().unwrap().snapshots.remove(0).snapshot;
    let source = repository.source_id("shop").unwrap();
    for sequence in 10..1009 {
        let mut snapshot = model.clone();
        snapshot.about.sequence = sequence;
        repository.put_snapshot(source, &snapshot).unwrap();
    }
    let empty = tempfile::tempdir().unwrap();
    for (number, most) in [1 + 5 + 1000, 1 + 5].into_iter().enumerate() {
        let other = on(&store, empty.path());
        let repository = support::open(support::shared(&other), 4).unwrap();
        let listing = repository.snapshots().unwrap();
        assert_eq!((listing.snapshots.len(), listing.damaged.len()), (1000, 0));
        let asked = requests(&other);
        assert!(asked <= most, "time {number}: {asked} requests");
    }
}

#[test]
fn one_table_of_five_hundred_is_restored_for_fifteen_requests() {
    let (store, _cache) = nights(&mut Server::new(5, 1, 4));
    let database = Server::new(6, 500, 4);
    let repository = support::open(support::shared(&store), 100).unwrap();
    support::back_up(&repository, &database.stream());

    let empty = tempfile::tempdir().unwrap();
    let host = on(&store, empty.path());
    let repository = support::open(support::shared(&host), 2).unwrap();
    let stored = repository.find_snapshot("latest").unwrap();
    let target = tempfile::tempdir().unwrap();
    let include = vec!["shop/table250.ibd".to_owned()];
    let options = RestoreOptions { include, workers: 2, ..RestoreOptions::default() };
    let world = World::of_this_machine();
    let to = target.path().join("files");
    let to_files = Target::Directory(&to);
    let report = restore(&repository, &stored, to_files, &options, &world).unwrap();
    assert_eq!(report.files, 1);
    assert!(
        std::fs::read(to.join("shop/table250.ibd")).unwrap() == database.tables[252].2.concat()
    );
    let asked = requests(&host);
    assert!(asked <= 15, "{asked} requests: {:?}", host.inner().log());
}

/// Workers of a reading verb.
const WORKERS: u32 = 4;

fn restore_files(repository: &Repository) {
    let stored = repository.find_snapshot("latest").unwrap();
    let target = tempfile::tempdir().unwrap();
    let options =
        RestoreOptions { include: Vec::new(), workers: WORKERS, ..RestoreOptions::default() };
    let to = target.path().join("files");
    let (to, world) = (Target::Directory(&to), World::of_this_machine());
    restore(repository, &stored, to, &options, &world).unwrap();
}

fn verify_pages(repository: &Repository) {
    let snapshots = vec![repository.find_snapshot("latest").unwrap()];
    let options = VerifyOptions { snapshots, workers: WORKERS, ..VerifyOptions::new(Depth::Pages) };
    let report = verify(repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn restore_and_verify_fetch_neighbours_together_and_from_several_packs_at_once() {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    let mut database = Server::new(7, 6, 256);
    for _ in 0..3 {
        support::back_up(&repository, &database.stream());
        database.night(40);
    }
    for verb in [restore_files, verify_pages] {
        let slow = Slow::new(Arc::clone(&store), Duration::from_millis(2), Duration::ZERO);
        let slow = Arc::new(Recording::new(slow));
        let repository = support::open(support::shared(&slow), 2).unwrap();
        slow.reset();
        verb(&repository);
        let (parts, most) = (slow.calls_under(Verb::GetRange, "packs/"), slow.most_at_once());
        // 256 frames of the first night are 8 members, so as many windows; changes of two later
        // nights come to them, a dozen small files, and first directories and pages of maps.
        assert!(parts <= 56, "{parts} parts: {:?}", slow.log());
        // Each worker, and whoever plans.
        assert!((3..=u64::from(WORKERS) + 1).contains(&most), "{most} at once");
    }
}

/// Reads of nodes of pack tables by a verification of names and sizes, after so many nights.
fn nodes_read(nights: u64) -> u64 {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    support::back_up(&repository, &Server::new(9, 2, 10).stream());
    for night in 0..nights {
        let first = night * PACKS_A_NIGHT;
        add_packs(&repository, &store, first..first + PACKS_A_NIGHT);
        support::back_up(&repository, &Server::new(9, 2, 10).stream());
    }
    let counted = Arc::new(Recording::new(Arc::clone(&store)));
    let repository = support::open(support::shared(&counted), 2).unwrap();
    let options = VerifyOptions { workers: WORKERS, ..VerifyOptions::new(Depth::Objects) };
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings, []);
    counted.calls_under(Verb::GetRange, "packs/") + counted.calls_under(Verb::Get, "packs/")
}

#[test]
fn a_verification_reads_each_node_of_the_pack_tables_once_however_many_snapshots_share_it() {
    let (few, many) = (nodes_read(4), nodes_read(16));
    assert!(many <= few * 4 + 8, "{few} reads after 4 nights, {many} after 16");
}

#[test]
fn relocation_records_are_listed_once_however_many_packs_are_lost() {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    let mut database = Server::new(9, 2, 80);
    let mut stream = database.stream();
    let mut newest = support::back_up(&repository, &stream).id;
    for _ in 0..6 {
        database.night(40);
        stream = database.stream();
        newest = support::back_up(&repository, &stream).id;
    }
    let objects = store.objects();
    let is_data = |name: &&ObjectName| {
        let twin = name.as_str().replace("packs/", "twins/");
        name.as_str().starts_with("packs/")
            && !objects.contains_key(&ObjectName::new(&twin).unwrap())
    };
    let lost: Vec<&ObjectName> = objects.keys().filter(is_data).collect();
    assert_eq!(lost.len(), 7, "a pack of each night");
    lost.iter().for_each(|name| store.delete(name).unwrap());
    let healed = support::back_up(&repository, &stream);
    assert!(healed.counts.blocks_healed > 0);
    for workers in [1, 2, 4] {
        let counted = Arc::new(Recording::new(Arc::clone(&store)));
        let repository = support::open(support::shared(&counted), 2).unwrap();
        counted.reset();
        let restored = support::stream_with(&repository, &newest.to_string(), workers).unwrap();
        assert!(restored == stream, "every block was healed");
        let asked = ["moves/", "twins/moves/"].map(|at| counted.calls_under(Verb::List, at));
        assert_eq!(asked, [1, 1], "{workers} workers");
    }
}

/// The requests that a prune may make, without those for packs that it deletes.
fn most_of_a_prune(store: &MemoryStore, unread_snapshots: u64) -> u64 {
    let count = |folder: &str| {
        let objects = store.objects();
        let of = objects.keys().filter(|name| name.as_str().starts_with(folder)).count();
        u64::try_from(of).unwrap().div_ceil(1000)
    };
    24 + count("packs/") + count("twins/") + 2 * unread_snapshots
}

#[test]
fn a_prune_asks_by_the_number_of_packs_of_snapshots_that_it_reads_and_of_batches() {
    for packs in [1024, PACKS] {
        let mut database = Server::new(5, 2, 80);
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        let (store, cache) = nights_of(packs, features, &mut database);
        let snapshots = support::open(support::shared(&store), 1).unwrap();
        let snapshots = u64::try_from(snapshots.listed_snapshots(None).unwrap().len()).unwrap();
        let (options, world) = (PruneOptions::default(), World::of_this_machine());
        // A cache that knows them, and one that does not.
        let empty = tempfile::tempdir().unwrap();
        for (cache, unread) in [(empty.path(), snapshots), (empty.path(), 0), (cache.path(), 0)] {
            let host = on(&store, cache);
            let repository = support::open(support::shared(&host), 200).unwrap();
            host.inner().reset();
            let plan = prune::plan(&repository, &options, &world).unwrap();
            assert_eq!(u64::try_from(plan.doomed.len()).unwrap(), packs, "all but the nights' own");
            let (asked, most) = (requests(&host), most_of_a_prune(&store, unread));
            assert!(asked <= most, "{asked} of {most}: {:?}", host.inner().log());
        }
        let host = on(&store, cache.path());
        let repository = support::open(support::shared(&host), 200).unwrap();
        let plan = prune::plan(&repository, &options, &world).unwrap();
        let most = most_of_a_prune(&store, 0) + plan.requests;
        host.inner().reset();
        let report = prune::prune(&repository, &options, &world).unwrap();
        assert_eq!(report.deleted, plan.doomed);
        let (asked, batches) = (requests(&host), packs.div_ceil(1000));
        assert!(asked <= most, "{asked} of {most}: {:?}", host.inner().log());
        assert_eq!(plan.requests, batches + 3 * batches, "each batch, and the look before it");
        assert_eq!(host.inner().calls_under(Verb::Delete, "packs/"), batches);
        assert_eq!(host.inner().calls_under(Verb::Size, "intents/"), batches);
    }
}

#[test]
fn a_prune_asks_for_the_owner_of_each_candidate_only_while_a_run_stands() {
    let mut database = Server::new(5, 2, 80);
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let (store, cache) = nights_of(1024, features, &mut database);
    let host = on(&store, cache.path());
    let repository = support::open(support::shared(&host), 200).unwrap();
    let (options, world) = (PruneOptions::default(), World::of_this_machine());
    let trailers = || {
        host.inner().reset();
        prune::plan(&repository, &options, &world).unwrap();
        host.inner().calls_under(Verb::GetRange, "packs/")
    };
    assert_eq!(trailers(), 0);
    let run = RunId::new([7; 16]);
    repository.put_intent(run, &Intent::new(IntentVerb::Backup, 1)).unwrap();
    assert_eq!(trailers(), 1024);
}

/// Nights before a verification that is remembered.
const VERIFIED_NIGHTS: u64 = 3;

/// Requests about records of what was verified: listings, reads, puts, questions, deletions.
fn about_records(store: &Recording<Arc<MemoryStore>>) -> [u64; 5] {
    let verbs = [Verb::List, Verb::Get, Verb::Put, Verb::Size, Verb::Delete];
    verbs.map(|verb| store.calls_under(verb, "verified/"))
}

#[test]
fn to_remember_what_was_verified_costs_a_verification_five_requests_and_a_slice_two_more() {
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::NEEDS);
    let repository =
        support::init_as_earlier(support::shared(&store), Protected::Encrypted, features, 1);
    let mut server = Server::new(3, 1, 20);
    for _ in 0..VERIFIED_NIGHTS {
        support::back_up(&repository, &server.stream());
        server.night(3);
    }
    let counted = Arc::new(Recording::new(Arc::clone(&store)));
    let repository = support::open(support::shared(&counted), 5).unwrap();
    let options = VerifyOptions { workers: WORKERS, ..VerifyOptions::new(Depth::Stored) };
    let world = World::of_this_machine();
    counted.reset();
    verify(&repository, &options, &world).unwrap();
    assert_eq!(about_records(&counted), [1, 0, 1, 1, 0], "there is nothing to join");
    counted.reset();
    verify(&repository, &options, &world).unwrap();
    let whole = u64::try_from(counted.log().len()).unwrap();
    assert_eq!(about_records(&counted), [1, 1, 1, 1, 1]);
    counted.reset();
    verify_oldest(&repository, &options, Budget::Percent(100), &world).unwrap();
    let slice = u64::try_from(counted.log().len()).unwrap();
    assert_eq!(about_records(&counted), [2, 2, 1, 1, 1], "it knows what is oldest beforehand");
    assert!(
        slice <= whole + 2 + 4 * VERIFIED_NIGHTS,
        "{slice}, {whole}: few requests for a need list"
    );
    counted.reset();
    ages(&repository, &options, &world).unwrap();
    assert_eq!(about_records(&counted), [1, 1, 0, 0, 0]);
    assert_eq!(counted.calls_under(Verb::Get, "packs/"), 0, "no pack is read whole");
    counted.reset();
    History::read(&repository).unwrap();
    assert_eq!((about_records(&counted), counted.log().len()), ([1, 1, 0, 0, 0], 2));
}
