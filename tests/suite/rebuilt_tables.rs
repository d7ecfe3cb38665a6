//! Tables that were rebuilt: their records stand on other pages of another tablespace.

use std::sync::Arc;
use std::time::Duration;

use haulout::base::clock::Clock;
use haulout::base::world::World;
use haulout::ops::backup::BackupOptions;
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
use crate::support::trees::Layout;
use crate::support::trees::Rows;

/// A server with one large table.
struct Night {
    server: Server,
    rows: Rows,
}

impl Night {
    fn new(seed: u64, rows: u32) -> Self {
        Self { server: Server::new(seed, 1, 12), rows: Rows::new(seed, rows) }
    }

    /// Backs up the table as it is laid out.
    fn stream(&mut self, layout: Layout) -> Vec<u8> {
        self.server.tables[2].1 = layout.space;
        self.server.tables[2].2 = self.rows.table(layout);
        self.server.stream()
    }
}

/// A table whose pages were split in any order, and are not full.
fn in_use(space: u32) -> Layout {
    Layout { filled: 65, shuffled: true, ..Layout::new(space) }
}

fn in_memory() -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    (store, repository)
}

fn options(workers: u32) -> BackupOptions {
    BackupOptions { at_once: AtOnce::with_workers(workers), ..support::options() }
}

fn back_up(repository: &Repository, stream: &[u8], workers: u32) -> BackupReport {
    let options = options(workers);
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
fn a_table_that_was_rebuilt_costs_little_and_comes_back() {
    for (workers, page, column) in [
        (1, 16_384, &b""[..]),
        (2, 16_384, b"\0\0\0\x07"),
        (4, 16_384, b""),
        (4, 4096, b""),
        (2, 8192, b"\0\0\0\x07"),
        (2, 65_536, b""),
    ] {
        // Smaller pages share a block, which has but two bases.
        let shuffled = page >= 16_384;
        let mut night = Night::new(u64::from(workers), 60_000);
        let (_, repository) = in_memory();
        let first = night.stream(Layout { page, shuffled, ..in_use(2) });
        back_up(&repository, &first, workers);
        night.rows.change(30);
        let stream = night.stream(Layout { page, column, ..Layout::new(7) });
        let report = back_up(&repository, &stream, workers);
        let counts = report.counts;
        // Pages above the leaves are stored whole, and so are the first ones.
        let blocks = u64::try_from(night.server.tables[2].2.len() * page / page.max(16_384));
        let blocks = blocks.unwrap();
        let case = format!("{workers} workers, pages of {page}: {counts:?} of {blocks}");
        assert!(counts.blocks_moved * 10 > blocks * 8, "{case}");
        assert!(counts.blocks_whole < 14, "{case}");
        let block = u64::try_from(page.max(16_384)).unwrap();
        assert!(counts.moved_bytes * 5 < counts.blocks_moved * block, "{case}");
        assert_restores(&repository, &report, &stream);
        assert_whole(&repository);
    }
}

#[test]
fn a_table_that_is_rebuilt_every_night_comes_back_every_time() {
    let mut night = Night::new(5, 40_000);
    let (_, repository) = in_memory();
    let mut nights = Vec::new();
    for (space, filled) in (2..).zip([90, 70, 94, 80]) {
        let stream = night.stream(Layout { filled, ..Layout::new(space) });
        let report = back_up(&repository, &stream, 2);
        if !nights.is_empty() {
            assert!(report.counts.blocks_whole < 10, "{:?}", report.counts);
        }
        nights.push((report, stream));
        night.rows.change(50);
    }
    for (report, stream) in &nights {
        assert_restores(&repository, report, stream);
    }
    assert_whole(&repository);
}

#[test]
fn records_that_stayed_on_their_page_are_compared_in_place() {
    let mut night = Night::new(7, 20_000);
    let (_, repository) = in_memory();
    back_up(&repository, &night.stream(Layout::new(2)), 2);
    let stream = night.stream(Layout::new(9));
    let report = back_up(&repository, &stream, 2);
    let counts = report.counts;
    assert_eq!((counts.blocks_moved, counts.blocks_whole), (0, 0), "{counts:?}");
    assert_restores(&repository, &report, &stream);
}

#[test]
fn other_tables_of_the_same_name_have_no_bases() {
    for rows in [0, 1, 20_000] {
        let (_, repository) = in_memory();
        back_up(&repository, &Night::new(1, rows).stream(in_use(2)), 2);
        let mut night = Night::new(2, 20_000);
        let stream = night.stream(Layout::new(3));
        let report = back_up(&repository, &stream, 2);
        assert!(report.counts.blocks_moved < 40, "{:?}", report.counts);
        assert_restores(&repository, &report, &stream);
        let emptied = Night::new(2, 1).stream(Layout::new(4));
        let report = back_up(&repository, &emptied, 2);
        assert_restores(&repository, &report, &emptied);
    }
}

#[test]
fn damaged_pages_above_the_leaves_do_no_harm() {
    for damaged in [vec![2], vec![3], vec![3, 4], (2..400).collect()] {
        let mut night = Night::new(3, 20_000);
        let (_, repository) = in_memory();
        night.stream(in_use(2));
        for number in damaged {
            let Some(page) = night.server.tables[2].2.get_mut(number) else { break };
            page[40..200].fill(0xA5);
        }
        back_up(&repository, &night.server.stream(), 2);
        let stream = night.stream(Layout::new(3));
        let report = back_up(&repository, &stream, 2);
        assert_restores(&repository, &report, &stream);
        assert_whole(&repository);
    }
}

#[test]
fn without_memory_or_packs_pages_are_stored_whole() {
    for lost in [false, true] {
        let mut night = Night::new(4, 20_000);
        let (store, repository) = in_memory();
        back_up(&repository, &night.stream(in_use(2)), 2);
        let mut options = options(2);
        if lost {
            let mut packs = Vec::new();
            store.list("packs/", &mut |meta| packs.push(meta.name)).unwrap();
            packs.iter().for_each(|name| store.delete(name).unwrap());
        } else {
            options.at_once.leaf_bytes = 0;
        }
        let repository = support::open(support::shared(&store), 2).unwrap();
        let stream = night.stream(Layout::new(3));
        let exit = ProducerExit::Exited(0);
        let report = support::back_up_with(&repository, &stream, exit, &options).unwrap();
        assert_eq!(report.counts.blocks_moved, 0, "{lost}: {:?}", report.counts);
        assert_restores(&repository, &report, &stream);
    }
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
fn when_reading_takes_too_long_pages_are_stored_whole() {
    let mut night = Night::new(6, 60_000);
    let (store, repository) = in_memory();
    back_up(&repository, &night.stream(in_use(2)), 1);
    let store = Arc::new(Recording::new(store));
    let repository = support::open(support::shared(&store), 2).unwrap();
    let stream = night.stream(Layout::new(3));
    let world = World { clock: Arc::new(Late(store)), ..World::of_this_machine() };
    let source = BytesSource::new(stream.clone(), 1 << 20, ProducerExit::Exited(0));
    let report = backup(&repository, Box::new(source), &options(1), &world).unwrap();
    assert!(report.counts.blocks_whole > 40, "{:?}", report.counts);
    assert_restores(&repository, &report, &stream);
}

#[test]
fn a_far_store_without_a_cache_is_asked_for_no_pages_of_the_former_table() {
    let mut night = Night::new(8, 20_000);
    let (store, repository) = in_memory();
    back_up(&repository, &night.stream(in_use(2)), 2);
    let slow = Slow::new(Arc::clone(&store), Duration::ZERO, Duration::ZERO);
    let far = support::open(support::shared(&Arc::new(slow)), 2).unwrap();
    let stream = night.stream(Layout::new(3));
    let report = back_up(&far, &stream, 2);
    let counts = report.counts;
    assert_eq!((counts.blocks_moved, counts.candidates_read), (0, 0), "{counts:?}");
    assert_restores(&repository, &report, &stream);
}
