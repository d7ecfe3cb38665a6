//! Index pages whose records stood on other pages the night before: splits, moves, and what keeps
//! their bases from being found.

use std::sync::Arc;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::world::World;
use haulout::ops::backup::BackupReport;
use haulout::ops::backup::backup;
use haulout::ops::memory::AtOnce;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Recording;
use haulout::store::testing::Slow;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::leaves::Leaves;

/// A server with one large table, of whose leaves this is a copy.
struct Night {
    server: Server,
    leaves: Leaves,
}

impl Night {
    fn new(seed: u64, leaves: u32) -> Self {
        let mut server = Server::new(seed, 1, 12);
        let leaves = Leaves::new(seed, server.tables[2].1, leaves);
        server.tables[2].2.clone_from(&leaves.pages);
        Self { server, leaves }
    }

    fn stream(&mut self) -> Vec<u8> {
        self.server.tables[2].2.clone_from(&self.leaves.pages);
        self.server.stream()
    }
}

fn in_memory() -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    (store, repository)
}

fn back_up(repository: &Repository, stream: &[u8], workers: u32) -> BackupReport {
    let options = support::options();
    let options =
        haulout::ops::backup::BackupOptions { at_once: AtOnce::with_workers(workers), ..options };
    support::back_up_with(repository, stream, ProducerExit::Exited(0), &options).unwrap()
}

fn assert_restores(repository: &Repository, report: &BackupReport, stream: &[u8]) {
    let restored = support::stream_of(repository, &report.id.to_string()).unwrap();
    assert!(restored == stream, "snapshot {} differs", report.id);
}

fn assert_whole(repository: &Repository) {
    let snapshots = repository.snapshots().unwrap().snapshots;
    let options = VerifyOptions { snapshots, workers: 2, ..VerifyOptions::new(Depth::Pages) };
    let report = verify(repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn split_pages_cost_little_and_come_back() {
    let mut night = Night::new(3, 200);
    let (_, repository) = in_memory();
    let first = back_up(&repository, &night.stream(), 2);
    assert_eq!((first.counts.blocks_moved, first.counts.candidates_read), (0, 0));
    // A page of the first segment goes to the end, and one at its border.
    for place in [20, 62, 64, 130] {
        night.leaves.split(place);
    }
    let stream = night.stream();
    let second = back_up(&repository, &stream, 2);
    let counts = second.counts;
    // Four new pages and those that were split, whose second half is gone.
    assert!((4..=8).contains(&counts.blocks_moved), "{counts:?}");
    assert_eq!(counts.blocks_whole, 0, "{counts:?}");
    assert!(counts.moved_bytes < counts.blocks_moved * 400, "{counts:?}");
    assert!(counts.candidates_read >= 4, "{counts:?}");
    assert_restores(&repository, &second, &stream);
    assert_whole(&repository);
}

#[test]
fn any_nights_come_back_with_any_number_of_threads() {
    for (seed, workers) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
        // More segments than the queues of four workers hold.
        let leaves = if seed == 4 { 20 * 64 } else { 300 };
        let mut night = Night::new(seed, leaves);
        let (_, repository) = in_memory();
        let mut nights = Vec::new();
        let (mut moved, mut whole) = (0, 0);
        for _ in 0..4 {
            let stream = night.stream();
            let report = back_up(&repository, &stream, workers);
            moved += report.counts.blocks_moved;
            whole += if nights.is_empty() { 0 } else { report.counts.blocks_whole };
            nights.push((report, stream));
            night.leaves.night(20);
        }
        assert!(moved > 15 && whole < 5, "{moved} and {whole} with {workers} workers");
        for (report, stream) in &nights {
            assert_restores(&repository, report, stream);
        }
        assert_whole(&repository);
    }
}

#[test]
fn pages_that_move_night_after_night_rest_on_whole_blocks() {
    let mut night = Night::new(7, 100);
    let (_, repository) = in_memory();
    back_up(&repository, &night.stream(), 2);
    night.leaves.spread(50);
    let second = back_up(&repository, &night.stream(), 2);
    assert_eq!((second.counts.blocks_moved, second.counts.blocks_whole), (1, 0));
    // The page that rests on two others changes again.
    night.leaves.change(51);
    let stream = night.stream();
    let third = back_up(&repository, &stream, 2);
    assert_eq!((third.counts.blocks_moved, third.counts.blocks_whole), (1, 0));
    assert_restores(&repository, &third, &stream);
    assert_whole(&repository);
}

#[test]
fn without_the_packs_of_the_night_before_pages_are_stored_whole() {
    let mut night = Night::new(9, 100);
    let (store, repository) = in_memory();
    back_up(&repository, &night.stream(), 2);
    let mut packs = Vec::new();
    store.list("packs/", &mut |meta| packs.push(meta.name)).unwrap();
    packs.iter().for_each(|name| store.delete(name).unwrap());
    night.leaves.split(40);
    let repository = support::open(support::shared(&store), 2).unwrap();
    let stream = night.stream();
    let report = back_up(&repository, &stream, 2);
    assert_eq!(report.counts.blocks_moved, 0, "{:?}", report.counts);
    assert_restores(&repository, &report, &stream);
}

/// A clock by which every read of a part of an object has taken ten seconds, and nothing else any
/// time.
#[derive(Debug)]
struct Late(Arc<Recording<Arc<MemoryStore>>>);

impl Clock for Late {
    fn unix_seconds(&self) -> u64 {
        1_700_000_000 + self.elapsed().as_secs()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(10 * self.0.calls(Verb::GetRange))
    }
}

#[test]
fn when_reading_bases_takes_too_long_pages_are_stored_whole() {
    let mut night = Night::new(11, 400);
    let (store, repository) = in_memory();
    back_up(&repository, &night.stream(), 1);
    let store = Arc::new(Recording::new(store));
    let repository = support::open(support::shared(&store), 2).unwrap();
    for place in (0..380).step_by(20) {
        night.leaves.split(place);
    }
    let stream = night.stream();
    let world = World { clock: Arc::new(Late(store)), ..World::of_this_machine() };
    let source = BytesSource::new(stream.clone(), 1 << 20, ProducerExit::Exited(0));
    let mut options = support::options();
    options.at_once = AtOnce::with_workers(1);
    let report = backup(&repository, Box::new(source), &options, &world).unwrap();
    let counts = report.counts;
    assert!(counts.blocks_missed > 0 && counts.blocks_whole > 0, "{counts:?}");
    assert!(counts.blocks_moved < 19, "{counts:?}");
    assert_restores(&repository, &report, &stream);
}

/// Parts of packs that a night asks a far store for, without a cache, and what it counts.
fn asked_far(night: &mut Night, change: impl Fn(&mut Leaves)) -> (u64, BackupReport) {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    back_up(&repository, &night.stream(), 2);
    change(&mut night.leaves);
    let slow = Slow::new(Arc::clone(&store), Duration::ZERO, Duration::ZERO);
    let far = Arc::new(Recording::new(slow));
    let repository = support::open(support::shared(&far), 2).unwrap();
    far.reset();
    let stream = night.stream();
    let report = back_up(&repository, &stream, 1);
    let asked = far.calls(Verb::GetRange);
    assert_restores(&repository, &report, &stream);
    (asked, report)
}

#[test]
fn a_far_store_without_a_cache_is_asked_for_nothing_more() {
    let split = |leaves: &mut Leaves| (10..90).step_by(8).for_each(|place| leaves.split(place));
    let (asked, report) = asked_far(&mut Night::new(13, 100), split);
    assert_eq!(report.counts.candidates_read, 0, "{:?}", report.counts);
    // The bases of pages that were split are read anyhow, and serve what was split off.
    assert!(report.counts.blocks_moved > 0, "{:?}", report.counts);
    // The same night of pages that no search is begun for.
    let split_and_hide = |leaves: &mut Leaves| {
        split(leaves);
        leaves.hide_changed();
    };
    let (others, report) = asked_far(&mut Night::new(13, 100), split_and_hide);
    assert_eq!(report.counts.blocks_moved, 0, "{:?}", report.counts);
    assert_eq!(asked, others);
}
