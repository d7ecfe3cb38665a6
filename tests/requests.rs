//! What an object store is asked: requests are counted, since each costs money and a round trip.
//!
//! A listing counts as one request for each 1,000 objects. The store holds 10,000 packs, nearly all
//! of them of other sources: they are listed, and their names are all that a run reads of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::monitor::Monitor;
use haulout::ops::restore::Devices;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::accounts::Owners;
use haulout::ops::restore::to_directory;
use haulout::store::Store;
use haulout::store::cached::Cached;
use haulout::store::cached::Shelf;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Recording;

use crate::support::Protected;
use crate::support::Server;

type Counted = Recording<Arc<MemoryStore>>;

const PACKS: u64 = 10_000;

/// As another host would see the store: with a shelf in `directory`.
fn on(store: &Arc<MemoryStore>, directory: &Path) -> Arc<Cached<Counted>> {
    let shelf = Shelf::open(directory, 1 << 30).unwrap();
    Arc::new(Cached::new(Recording::new(Arc::clone(store)), shelf))
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

fn add_foreign_packs(store: &MemoryStore) {
    for number in 0..PACKS {
        let hash = blake3::hash(&number.to_le_bytes()).to_hex();
        let name = ObjectName::new(&format!("packs/{}/{hash}", &hash[..2])).unwrap();
        store.put(&name, &[Bytes::from_static(b"of another source")]).unwrap();
    }
}

/// A repository after some nights, and the shelf of the host that made them.
fn nights(count: u64) -> (Arc<MemoryStore>, tempfile::TempDir, Server) {
    let (store, shelf) = (Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap());
    add_foreign_packs(&store);
    let mut database = Server::new(5, 6, 80);
    let host = on(&store, shelf.path());
    support::init(support::shared(&host), Protected::Encrypted, 1);
    for night in 0..count {
        let repository = support::open(support::shared(&host), 2 + night).unwrap();
        support::back_up(&repository, &database.stream());
        database.night(10);
    }
    // The last stream once more, so that the next night brings nothing.
    let repository = support::open(support::shared(&host), 100).unwrap();
    support::back_up(&repository, &database.stream());
    (store, shelf, database)
}

#[test]
fn an_unchanged_night_costs_few_requests_with_the_maps_at_hand_and_few_more_without() {
    let (store, shelf, database) = nights(6);
    let listing = PACKS.div_ceil(1000) + 1;

    let warm = on(&store, shelf.path());
    let repository = support::open(support::shared(&warm), 200).unwrap();
    support::back_up(&repository, &database.stream());
    let (asked, written) = (requests(&warm), packs_written(&warm));
    assert!(asked <= 12 + listing + written, "{asked} requests: {:?}", warm.inner().log());
    assert_eq!(warm.inner().calls(Verb::GetRange), 0, "nothing is read back");

    let empty = tempfile::tempdir().unwrap();
    let cold = on(&store, empty.path());
    let repository = support::open(support::shared(&cold), 300).unwrap();
    support::back_up(&repository, &database.stream());
    let (asked, written) = (requests(&cold), packs_written(&cold));
    // A pack of maps has at most 8 MiB; here every night's is a small one of its own.
    let maps = cold.inner().calls_under(Verb::Get, "packs/");
    let snapshots = cold.inner().calls_under(Verb::Get, "snapshots/");
    assert!(asked <= 12 + listing + written + maps + snapshots, "{:?}", cold.inner().log());
    assert!(maps <= 8 && snapshots <= 5, "{:?}", cold.inner().log());
    assert_eq!(cold.inner().calls(Verb::GetRange), 0, "no page of a map is asked for alone");
}

#[test]
fn a_thousand_snapshots_are_read_once_and_listed_for_four_requests_thereafter() {
    let (store, shelf, _) = nights(1);
    let host = on(&store, shelf.path());
    let repository = support::open(support::shared(&host), 3).unwrap();
    let model = repository.snapshots().unwrap().snapshots.remove(0).snapshot;
    let source = repository.source_id("shop").unwrap();
    for sequence in 10..1008 {
        let mut snapshot = model.clone();
        snapshot.about.sequence = sequence;
        repository.put_snapshot(source, &snapshot).unwrap();
    }
    let empty = tempfile::tempdir().unwrap();
    for (number, most) in [1 + 3 + 1000, 1 + 3].into_iter().enumerate() {
        let other = on(&store, empty.path());
        let repository = support::open(support::shared(&other), 4).unwrap();
        let listing = repository.snapshots().unwrap();
        assert_eq!((listing.snapshots.len(), listing.damaged.len()), (1000, 0));
        let asked = requests(&other);
        assert!(asked <= most, "time {number}: {asked} requests");
    }
}

#[test]
fn one_table_of_five_hundred_is_restored_for_a_dozen_requests() {
    let store = Arc::new(MemoryStore::new());
    let database = Server::new(6, 500, 4);
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    support::back_up(&repository, &database.stream());

    let empty = tempfile::tempdir().unwrap();
    let host = on(&store, empty.path());
    let repository = support::open(support::shared(&host), 2).unwrap();
    let stored = repository.find_snapshot("latest").unwrap();
    let target = tempfile::tempdir().unwrap();
    let include = vec!["shop/table250.ibd".to_owned()];
    let options =
        RestoreOptions { include, workers: 2, devices: Devices::Skip, owners: Owners::ByNumber };
    let monitor = Arc::new(Monitor::default());
    let to = target.path().join("files");
    let report = to_directory(&repository, &stored, &to, &options, &monitor).unwrap();
    assert_eq!(report.files, 1);
    assert!(
        std::fs::read(to.join("shop/table250.ibd")).unwrap() == database.tables[252].2.concat()
    );
    let asked = requests(&host);
    assert!(asked <= 12, "{asked} requests: {:?}", host.inner().log());
}
