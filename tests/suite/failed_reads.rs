//! A read that fails ends the whole operation, in a repository that is larger than all queues.
//!
//! The k-th read of a data pack fails, gives damaged bytes or panics, for 20 values of k from the
//! first to the last, with 1, 2 and 4 threads. Each operation ends with an error and none with
//! success; an operation that waits for ever is told by its name instead of by a test that does not
//! end.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::crew::lock;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::copy_reencrypted;
use haulout::ops::restore;
use haulout::ops::restore::RestoreOptions;
use haulout::ops::restore::Target;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectMeta;
use haulout::store::name::ObjectName;

use crate::support::Protected;
use crate::support::Random;
use crate::support::back_up;
use crate::support::file;
use crate::support::init;
use crate::support::open;
use crate::support::shared;
use crate::support::stepping_world;

/// Half as much again as 4 threads and all their queues hold at once.
const STREAM_BYTES: usize = 72 << 20;
const PLACES: u64 = 20;
const THREADS: [u32; 3] = [1, 2, 4];
/// A run takes less than a second; one that takes so long will not end.
const NEVER: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Fail,
    Spoil,
    Panic,
}

/// A store whose reads of packs are counted, and one of them goes wrong, as does every later read
/// of the same bytes: a reader tries them again one by one.
#[derive(Debug)]
struct Trap {
    inner: Arc<MemoryStore>,
    reads: AtomicU64,
    at: u64,
    strike: Strike,
    bad: Mutex<Option<(ObjectName, Range<u64>)>>,
}

impl Trap {
    fn new(inner: &Arc<MemoryStore>, at: u64, strike: Strike) -> Arc<Self> {
        let (inner, reads, bad) = (Arc::clone(inner), AtomicU64::new(0), Mutex::new(None));
        Arc::new(Self { inner, reads, at, strike, bad })
    }

    fn pass(
        &self,
        name: &ObjectName,
        from: u64,
        bytes: Bytes,
    ) -> std::result::Result<Bytes, StoreError> {
        let range = from..from + u64::try_from(bytes.len()).unwrap();
        let mut bad = lock(&self.bad);
        // What is shorter is metadata, of which there is a second copy.
        let is_data = name.as_str().starts_with("packs/") && bytes.len() > 1 << 20;
        if is_data && self.reads.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            assert!(self.strike != Strike::Panic, "a trap in the store");
            *bad = Some((name.clone(), range.clone()));
        }
        let is_bad = bad.as_ref().is_some_and(|(object, bytes)| {
            object == name && bytes.start < range.end && range.start < bytes.end
        });
        match self.strike {
            Strike::Fail if is_bad => Err(StoreError::new(Verb::Get, name, Category::Denied)),
            Strike::Spoil if is_bad => Ok(bytes.iter().map(|byte| byte ^ 1).collect()),
            Strike::Fail | Strike::Spoil | Strike::Panic => Ok(bytes),
        }
    }
}

impl Store for Trap {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> std::result::Result<(), StoreError> {
        self.inner.put(name, payload)
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> std::result::Result<(), StoreError> {
        self.inner.replace(name, payload)
    }

    fn get(&self, name: &ObjectName, max: u64) -> std::result::Result<Bytes, StoreError> {
        self.pass(name, 0, self.inner.get(name, max)?)
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> std::result::Result<Bytes, StoreError> {
        self.pass(name, range.start, self.inner.get_range(name, range.clone())?)
    }

    fn size(&self, name: &ObjectName) -> std::result::Result<Option<u64>, StoreError> {
        self.inner.size(name)
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(ObjectMeta),
    ) -> std::result::Result<(), StoreError> {
        self.inner.list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> std::result::Result<(), StoreError> {
        self.inner.delete(name)
    }

    fn location(&self) -> String {
        "a trap".to_owned()
    }
}

/// What an operation that ended without an error reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    Nothing,
    Damage,
}

impl Reported {
    fn by_count(damages: usize) -> Self {
        if damages > 0 { Self::Damage } else { Self::Nothing }
    }
}

type Operation = fn(&Repository, u32) -> Result<Reported>;

fn to_stream(repository: &Repository, workers: u32) -> Result<Reported> {
    let stored = repository.snapshots()?.snapshots.remove(0);
    let options = RestoreOptions::new(workers);
    let mut out = io::sink();
    restore::restore(
        repository,
        &stored,
        Target::Stream(&mut out),
        &options,
        &World::of_this_machine(),
    )?;
    Ok(Reported::Nothing)
}

fn to_directory(repository: &Repository, workers: u32) -> Result<Reported> {
    let stored = repository.snapshots()?.snapshots.remove(0);
    let options = RestoreOptions::new(workers);
    let target = tempfile::tempdir().unwrap();
    let target = target.path().join("restored");
    restore::restore(
        repository,
        &stored,
        Target::Directory(&target),
        &options,
        &World::of_this_machine(),
    )?;
    Ok(Reported::Nothing)
}

fn to_other_keys(repository: &Repository, workers: u32) -> Result<Reported> {
    let far = init(shared(&Arc::<MemoryStore>::default()), Protected::Encrypted, 9);
    let plan = copy_reencrypted::plan(repository, Some(&far), repository.snapshots()?.snapshots)?;
    let report = plan.send(&far, workers, &stepping_world())?;
    let shown = far.snapshots()?.snapshots.len();
    assert_eq!(shown, report.sent.len(), "a snapshot that was not reported shows");
    Ok(Reported::by_count(report.left_out.len()))
}

fn verification(repository: &Repository, workers: u32) -> Result<Reported> {
    let options = VerifyOptions { workers, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(repository, &options, &World::of_this_machine())?;
    Ok(Reported::by_count(report.findings.len()))
}

/// Runs an operation on a thread of its own, and fails by its name if it does not end.
fn ends(what: &str, trap: &Arc<Trap>, workers: u32, operation: Operation) -> Result<Reported> {
    let (sender, receiver) = mpsc::channel();
    let store: Arc<dyn Store> = shared(trap);
    let thread = thread::spawn(move || {
        let repository = open(store, 3).unwrap();
        sender.send(operation(&repository, workers)).unwrap();
    });
    match receiver.recv_timeout(NEVER) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            thread.join().unwrap();
            unreachable!("a thread that tells nothing has panicked")
        }
    }
}

fn repository() -> Arc<MemoryStore> {
    let store = Arc::<MemoryStore>::default();
    let repository = init(shared(&store), Protected::Clear, 1);
    let mut random = Random(11);
    let mut stream = Vec::with_capacity(STREAM_BYTES + (1 << 20));
    // No files of tables: what can't be compressed or told apart keeps its size in the store.
    for number in 0..9 {
        let bytes: Vec<u8> =
            (0..STREAM_BYTES / 72).flat_map(|_| random.next().to_le_bytes()).collect();
        file(&mut stream, &format!("blob{number}"), &bytes, 1 << 20);
    }
    back_up(&repository, &stream);
    store
}

/// Whether an operation may end without an error if it reports the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Fails,
    FailsOrReports,
}

/// Lets the reads of an operation go wrong in turn.
fn each_read(name: &str, operation: Operation, ending: Ending) {
    let store = repository();
    for (turn, workers) in (0..).zip(THREADS) {
        let clean = Trap::new(&store, 0, Strike::Fail);
        assert_eq!(ends(name, &clean, workers, operation).unwrap(), Reported::Nothing);
        let reads = clean.reads.load(Ordering::SeqCst);
        assert!(reads > 4, "{reads} reads are no test");
        for place in 0..PLACES {
            let at = 1 + place * (reads - 1) / (PLACES - 1);
            // Over the numbers of threads, each place sees each strike.
            let strikes = [Strike::Fail, Strike::Spoil, Strike::Panic];
            let strike = strikes[usize::try_from(place + turn).unwrap() % 3];
            let what = format!("{name}, {workers} threads, read {at} of {reads}: {strike:?}");
            let trap = Trap::new(&store, at, strike);
            let outcome = ends(&what, &trap, workers, operation);
            let hit = trap.reads.load(Ordering::SeqCst) >= at;
            assert!(hit, "{what}: was not read");
            let right = match &outcome {
                Ok(reported) => {
                    ending == Ending::FailsOrReports
                        && strike != Strike::Panic
                        && *reported == Reported::Damage
                }
                Err(error) => strike != Strike::Panic || error.kind() == ErrorKind::Bug,
            };
            assert!(right, "{what}: {outcome:?}");
        }
    }
}

#[test]
fn a_restore_to_a_stream_ends_at_whatever_read_fails() {
    each_read("restore to a stream", to_stream, Ending::Fails);
}

#[test]
fn a_restore_to_a_directory_ends_at_whatever_read_fails() {
    each_read("restore to a directory", to_directory, Ending::Fails);
}

#[test]
fn a_replication_to_other_keys_ends_at_whatever_read_fails() {
    each_read("replication to other keys", to_other_keys, Ending::FailsOrReports);
}

#[test]
fn a_verification_ends_at_whatever_read_fails() {
    each_read("verify", verification, Ending::FailsOrReports);
}
