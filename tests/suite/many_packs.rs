//! Packs are sealed and named by the threads that store them: however many packs, threads and
//! checkpoints there are, a run ends, with all of them in its pack table or with the first failure.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::memory::AtOnce;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support::Protected;
use crate::support::Random;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_with;

/// Bytes of the stream: more than all segments that are in progress with four workers.
const BYTES: usize = 20 << 20;
/// Packs so small that each is full with its first frame.
const PACK_BYTES: usize = (2 << 20) + 4096;
/// Data packs that the stream fills at least.
const PACKS: u64 = 100;
/// Workers, and threads that store packs.
const THREADS: [(u32, u32); 4] = [(1, 1), (2, 2), (4, 4), (4, 1)];

/// Bytes that can't be compressed.
fn stream() -> Vec<u8> {
    let mut random = Random(11);
    (0..BYTES / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

/// Backs up to `store`, with a checkpoint every few MiB; fails the test if that does not end.
fn run(store: Arc<dyn Store>, threads: (u32, u32), stream: &[u8]) -> Result<BackupReport> {
    let (workers, uploads) = threads;
    let at_once = AtOnce { uploads, pack_bytes: PACK_BYTES, ..AtOnce::with_workers(workers) };
    let options = BackupOptions { at_once, checkpoint_bytes: 3 << 20, ..options() };
    let stream = stream.to_vec();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let repository = open(store, 2).unwrap();
        let ended = back_up_with(&repository, &stream, ProducerExit::Exited(0), &options);
        sender.send(Box::new(ended))
    });
    let ended = receiver.recv_timeout(Duration::from_mins(2));
    *ended.unwrap_or_else(|_| panic!("{threads:?} hangs"))
}

#[test]
fn every_pack_is_named_before_a_snapshot_refers_to_it() {
    let stream = stream();
    for threads in THREADS {
        let store = Arc::new(MemoryStore::new());
        init(shared(&store), Protected::Encrypted, 1);
        let report = run(shared(&store), threads, &stream).unwrap();
        assert!(report.counts.stored_objects > PACKS, "{threads:?}: {:?}", report.counts);
        let repository = open(shared(&store), 3).unwrap();
        let snapshots = repository.snapshots().unwrap().snapshots;
        assert!(snapshots.len() > 1, "{threads:?}: checkpoints are kept");
        let back = stream_with(&repository, &report.id.to_string(), 2).unwrap();
        assert!(back == stream, "{threads:?}: every byte comes back");
    }
}

#[test]
fn a_pack_that_can_not_be_stored_ends_the_run() {
    let stream = stream();
    for threads in THREADS {
        for nth in [1, 2, 30, PACKS] {
            let store = Arc::new(MemoryStore::new());
            init(shared(&store), Protected::Encrypted, 1);
            let fault = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Full));
            let fault = fault.under("packs/").at(nth);
            let failing = Arc::new(Failing::new(Arc::clone(&store), vec![fault]));
            let error: Error = run(shared(&failing), threads, &stream).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full, "{threads:?}, pack {nth}: {error}");
            assert!(error.to_string().contains("packs/"), "{threads:?}, pack {nth}: {error}");
            assert_eq!(failing.struck(), 1, "{threads:?}, pack {nth}");
            // The next run goes on from a checkpoint, or starts again.
            let report = run(shared(&store), threads, &stream).unwrap();
            let repository = open(shared(&store), 3).unwrap();
            let back = stream_with(&repository, &report.id.to_string(), 2).unwrap();
            assert!(back == stream, "{threads:?}, pack {nth}: every byte comes back");
        }
    }
}
