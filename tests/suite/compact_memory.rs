//! What a compaction takes of memory: some bytes for each pack that is there and for each entry of
//! the packs that it takes apart, and two packs.

#![expect(clippy::print_stderr, reason = "what a process tells the one that started it")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::ids::Class;
use haulout::base::ids::PackName;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::format::pack_table::PackRecord;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::shared;

/// Where the process that is measured finds the repository.
const PLACE: &str = "HAULOUT_TEST_PLACE";
/// Packs that are merged, one of each night.
const NIGHTS: u64 = 64;
/// Other packs that each night leaves.
const OTHERS: u64 = 160;
/// Bytes of a new pack at most.
const PACK_BYTES: usize = 4 << 20;
/// Bytes that a pack may take which is there: its name and size, its marks.
const BYTES_A_PACK: u64 = 100;
/// Bytes that a pack may take which is taken apart: its directory, what is live, where that goes.
const BYTES_A_MERGED: u64 = 8 << 10;
/// What other things take; code that runs for the first time counts as memory.
const BYTES_BESIDES: u64 = 7 << 20;

/// A line of what the system says of this process, bytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Puts a snapshot whose table names packs of which nothing is needed.
fn add_others(repository: &Repository, store: &MemoryStore, first: u64) {
    let mut snapshot = repository.find_snapshot("latest").unwrap().snapshot;
    for number in first..first + OTHERS {
        let name = PackName(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let record = PackRecord { name, bytes: 9, tail_bytes: 1, entries: 1, class: Class::Data };
        snapshot.packs.records.push(record);
        snapshot.packs.total += 1;
        store.put(&Object::Pack(name).name(), &[Bytes::from_static(b"an old pack")]).unwrap();
    }
    snapshot.about.sequence += 1;
    snapshot.about.time += 1;
    repository.put_snapshot(repository.source_id("shop").unwrap(), &snapshot).unwrap();
}

#[test]
fn a_compaction_takes_two_packs_and_some_bytes_for_each_pack_among_ten_thousand() {
    if let Some(place) = env::var_os(PLACE) {
        return compact_there(Path::new(&place));
    }
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let repository = support::init_as_earlier(shared(&store), Protected::Encrypted, features, 1);
    let mut server = Server::new(7, 1, 20);
    for night in 0..NIGHTS {
        back_up(&repository, &server.stream());
        add_others(&repository, &store, night * OTHERS);
        server.night(1);
    }
    let place = tempfile::tempdir().unwrap();
    for (name, bytes) in store.objects() {
        let path = place.path().join(name.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    // A process that has done nothing else, so that memory it has had is not counted.
    let this = concat!(
        "compact_memory::",
        "a_compaction_takes_two_packs_and_some_bytes_for_each_pack_among_ten_thousand"
    );
    let mut child = Command::new(env::current_exe().unwrap());
    let child = child.args([this, "--exact", "--nocapture"]).env(PLACE, place.path());
    let out = child.output().unwrap();
    let told = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{told}");
    let taken = told.lines().find_map(|line| line.strip_prefix("taken ")).unwrap();
    let taken: u64 = taken.parse().unwrap();
    let packs = u64::try_from(2 * PACK_BYTES).unwrap();
    let most = BYTES_A_PACK * OTHERS * NIGHTS + BYTES_A_MERGED * NIGHTS + packs + BYTES_BESIDES;
    assert!((1..=most).contains(&taken), "{taken} bytes, more than {most}");
}

/// Compacts a repository in a directory, and tells what that took.
fn compact_there(place: &Path) {
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(place).unwrap());
    let repository = support::open(store, 2).unwrap();
    let options = CompactOptions {
        max_unused: 100,
        max_rewrite: 100,
        pack_bytes: PACK_BYTES,
        first_time: FirstTime::SetsFeature,
        ..CompactOptions::default()
    };
    let before = memory("VmRSS");
    let report = compact(&repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(u64::try_from(report.compacted.len()).unwrap(), NIGHTS);
    eprintln!("taken {}", memory("VmHWM").saturating_sub(before));
}
