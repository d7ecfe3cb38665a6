//! Rotations of keys at the same moment, and backups beside them: at most one rotation succeeds,
//! and what was reported as done is there afterwards.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::Keys;
use haulout::seal::cost::KdfCost;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::StoreError;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectMeta;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::keys_by;
use crate::support::opened_by;
use crate::support::options;
use crate::support::passphrase;
use crate::support::s3::Conditions;
use crate::support::s3::S3;
use crate::support::shared;
use crate::support::stream_of;

/// The password that every test repository begins with.
const FIRST: &str = "correct horse";

fn rotate(keys: &Keys, to: &str) -> Result<(), Error> {
    let note = KeySlotNote { label: to.to_owned(), created_unix_seconds: 7 };
    let protection = passphrase(to);
    let protection = Protection::Passphrase(&protection, KdfCost::FOR_TESTS);
    keys.rotate(protection, &note, Gaps::Refused).map(|_| ())
}

/// A repository with two nights; their streams.
fn two_nights(store: &Arc<dyn Store>) -> Vec<Vec<u8>> {
    let repository = init(Arc::clone(store), Protected::Encrypted, 1);
    let mut database = Server::new(1, 1, 10);
    let mut night = || {
        let stream = database.stream();
        back_up(&repository, &stream);
        database.night(3);
        stream
    };
    vec![night(), night()]
}

/// Everything that was reported as stored is there, and the repository goes on.
#[track_caller]
fn is_whole(store: &Arc<dyn Store>, password: &str, streams: &[Vec<u8>], about: &str) {
    let repository = opened_by(store, password).unwrap();
    let listing = repository.snapshots().unwrap();
    let found: Vec<Vec<u8>> = listing
        .snapshots
        .iter()
        .map(|stored| stream_of(&repository, &stored.id().to_string()).unwrap())
        .collect();
    for stream in streams {
        assert!(found.contains(stream), "{about}: a snapshot is not believed");
    }
    let report = back_up(&repository, &streams[0]);
    assert!(stream_of(&repository, &report.id.to_string()).unwrap() == streams[0], "{about}");
}

/// Rotates the keys of one place through all of these stores at once.
fn race(stores: &[Arc<dyn Store>], about: &str) -> usize {
    let streams = two_nights(&stores[0]);
    let barrier = Barrier::new(stores.len());
    let attempt = |number: usize, store: &Arc<dyn Store>| {
        let keys = keys_by(store, FIRST).unwrap();
        barrier.wait();
        rotate(&keys, &format!("new {number}"))
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(number, store)| scope.spawn(move || attempt(number, store)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut current = FIRST.to_owned();
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(()) => current = format!("new {number}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::RetiredSlot, "{about}: {error}"),
        }
    }
    let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(succeeded <= 1, "{about}: {succeeded} rotations succeeded");
    for number in 0..stores.len() {
        let password = format!("new {number}");
        assert_eq!(opened_by(&stores[0], &password).is_ok(), password == current, "{about}");
    }
    assert_eq!(opened_by(&stores[0], FIRST).is_ok(), succeeded == 0, "{about}");
    is_whole(&stores[0], &current, &streams, about);
    succeeded
}

#[test]
fn of_several_rotations_of_a_directory_at_most_one_succeeds() {
    for round in 0..24 {
        let directory = tempfile::tempdir().unwrap();
        let open = |_| -> Arc<dyn Store> { Arc::new(LocalStore::open(directory.path()).unwrap()) };
        let stores: Vec<_> = (0..=round % 4).map(open).collect();
        let succeeded = race(&stores, &format!("round {round}"));
        assert!(succeeded == 1 || stores.len() > 1, "one alone succeeds");
    }
}

#[test]
fn of_several_rotations_in_a_bucket_at_most_one_succeeds() {
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        for round in 0..4 {
            let open = |_| -> Arc<dyn Store> { Arc::new(server.store(&format!("r{round}"))) };
            let stores: Vec<_> = (0..=round % 4).map(open).collect();
            let succeeded = race(&stores, &format!("{conditions:?} {round}"));
            assert!(succeeded == 1 || stores.len() > 1, "one alone succeeds");
        }
    }
}

type Deed = Box<dyn FnOnce() + Send>;

/// A store in which something happens right before one of its calls.
struct Interposed {
    inner: Arc<dyn Store>,
    calls: AtomicU64,
    at: u64,
    deed: Mutex<Option<Deed>>,
}

impl fmt::Debug for Interposed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Interposed({})", self.at)
    }
}

impl Interposed {
    fn turn(&self) -> &dyn Store {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at
            && let Some(deed) = self.deed.lock().unwrap().take()
        {
            deed();
        }
        &*self.inner
    }
}

impl Store for Interposed {
    fn put(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.turn().put(name, payload)
    }

    fn replace(&self, name: &ObjectName, payload: &[Bytes]) -> Result<(), StoreError> {
        self.turn().replace(name, payload)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.turn().get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.turn().get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.turn().size(name)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.turn().list(prefix, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.turn().delete(name)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

/// Rotates the keys, and does something right before call `at`; whether it came to that.
fn with_deed(store: &Arc<dyn Store>, at: u64, deed: Deed) -> (Result<(), Error>, bool) {
    let deed = Mutex::new(Some(deed));
    let inner = Arc::clone(store);
    let interposed = Arc::new(Interposed { inner, calls: AtomicU64::new(0), at, deed });
    let outcome = keys_by(&shared(&interposed), FIRST).and_then(|keys| rotate(&keys, "outer"));
    let done = interposed.deed.lock().unwrap().is_none();
    (outcome, done)
}

#[test]
fn a_whole_rotation_between_any_two_steps_of_another_leaves_one_winner() {
    for at in 0.. {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let streams = two_nights(&store);
        let inner: Arc<Mutex<Option<Result<(), Error>>>> = Arc::default();
        let (kept, place) = (Arc::clone(&inner), Arc::clone(&store));
        let deed = Box::new(move || {
            *kept.lock().unwrap() =
                Some(keys_by(&place, FIRST).and_then(|keys| rotate(&keys, "in")));
        });
        let (outer, done) = with_deed(&store, at, deed);
        let inner = inner.lock().unwrap().take();
        let about = format!("before call {at}: {outer:?} and {inner:?}");
        let is_ok = [outer.is_ok(), matches!(inner, Some(Ok(())))];
        assert_ne!(is_ok, [true, true], "{about}");
        let current = match is_ok {
            [true, _] => "outer",
            [_, true] => "in",
            _ => FIRST,
        };
        is_whole(&store, current, &streams, &about);
        if !done {
            assert!(at > 20, "it was tried at many calls");
            break;
        }
    }
}

#[test]
fn a_backup_between_any_two_steps_of_a_rotation_is_believed_or_fails() {
    let mut failed = 0;
    for at in 0.. {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut streams = two_nights(&store);
        let third = Server::new(9, 1, 10).stream();
        let stored: Arc<Mutex<Option<bool>>> = Arc::default();
        let (kept, place, stream) = (Arc::clone(&stored), Arc::clone(&store), third.clone());
        let deed = Box::new(move || {
            let run = opened_by(&place, FIRST)
                .and_then(|old| back_up_with(&old, &stream, ProducerExit::Exited(0), &options()));
            *kept.lock().unwrap() = Some(run.is_ok());
        });
        let (outer, done) = with_deed(&store, at, deed);
        let about = format!("before call {at}: {outer:?}");
        match stored.lock().unwrap().take() {
            Some(true) => streams.push(third),
            Some(false) => failed += 1,
            None => {}
        }
        let current = if outer.is_ok() { "outer" } else { FIRST };
        is_whole(&store, current, &streams, &about);
        if !done {
            break;
        }
    }
    assert!(failed > 3, "{failed} backups met a rotation");
}

#[test]
fn a_rotation_that_was_left_standing_is_in_nobodys_way() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let streams = two_nights(&store);
    // It ends when it has been announced, and can't take that back: as if it had been killed.
    let refuse = Effect::RefuseBefore(Category::Transient);
    let faults = vec![
        Fault::first(Verb::Put, refuse).under("keys/retired-"),
        Fault::first(Verb::Delete, refuse).ever_after(),
    ];
    let killed = Arc::new(Failing::new(Arc::clone(&store), faults));
    let error = rotate(&keys_by(&shared(&killed), FIRST).unwrap(), "killed").unwrap_err();
    assert!(error.to_string().contains("stays there"), "{error}");
    let old = opened_by(&store, FIRST).unwrap();
    let refused = back_up_with(&old, &streams[0], ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RetiredSlot, "nothing is written meanwhile");
    rotate(&keys_by(&store, FIRST).unwrap(), "new").unwrap();
    is_whole(&store, "new", &streams, "after the second rotation");
    let mut announcements = 0;
    store
        .list("keys/", &mut |meta| {
            announcements += usize::from(meta.name.as_str().contains("rotation-"));
        })
        .unwrap();
    assert_eq!(announcements, 1, "that of the rotation that took place");
}
