//! Repositories that are made at one place at the same moment: one attempt at most succeeds.

use std::sync::Arc;
use std::sync::Barrier;

use bytes::Bytes;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;

use crate::support::s3::Conditions;
use crate::support::s3::S3;

const ATTEMPTS: u64 = 6;

fn credential(seed: u64) -> Credential {
    Credential::KeyFile(KeyFile::generate(&SeededEntropy::new(seed)))
}

/// The clock of this machine, and randomness that repeats.
fn world(seed: u64) -> World {
    World { entropy: Arc::new(SeededEntropy::new(seed)), ..World::of_this_machine() }
}

fn made(store: Arc<dyn Store>, seed: u64) -> Result<Repository> {
    let credential = credential(seed);
    let note = KeySlotNote { label: "test".to_owned(), created_unix_seconds: 0 };
    let cost = KdfCost::FOR_TESTS;
    let protection = NewProtection::Encrypted { credential: &credential, cost, note };
    Repository::init(store, &protection, &world(1000 + seed))
}

fn opens(store: &Arc<dyn Store>, seed: u64) -> bool {
    let world = world(seed);
    let mut asked = || Ok(credential(seed));
    Repository::open(Arc::clone(store), &mut asked, &Limits::FOR_TESTS, &world).is_ok()
}

fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    store.list(prefix, &mut |meta| names.push(meta.name.to_string())).unwrap();
    names
}

/// Makes repositories in all stores at once, which are one place; returns how many succeeded.
fn race(stores: &[Arc<dyn Store>]) -> usize {
    let barrier = Barrier::new(stores.len());
    let attempt = |(seed, store): (u64, &Arc<dyn Store>)| {
        barrier.wait();
        (seed, made(Arc::clone(store), seed))
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..).zip(stores).map(|pair| scope.spawn(move || attempt(pair))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (seed, outcome) in &outcomes {
        assert_eq!(opens(&stores[0], *seed), outcome.is_ok(), "{outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Occupied, "{error}");
        }
    }
    let succeeded = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    assert_eq!(names(&*stores[0], "keys/").len(), succeeded, "losers remove their keys");
    assert!(names(&*stores[0], "claims/").is_empty(), "no claim is left");
    succeeded
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}

#[test]
fn of_many_inits_of_one_directory_exactly_one_succeeds() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let open = |_| shared(LocalStore::open(directory.path()).unwrap());
        let stores: Vec<_> = (0..ATTEMPTS).map(open).collect();
        assert_eq!(race(&stores), 1);
    }
}

#[test]
fn of_many_inits_of_one_bucket_that_honours_conditions_exactly_one_succeeds() {
    let server = S3::start();
    for round in 0..4 {
        let open = |_| shared(server.store(&format!("r{round}")));
        let stores: Vec<_> = (0..ATTEMPTS).map(open).collect();
        assert_eq!(race(&stores), 1);
    }
}

#[test]
fn of_many_inits_of_one_bucket_without_conditions_at_most_one_succeeds() {
    for conditions in [Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        for round in 0..4 {
            let open = |_| shared(server.store(&format!("r{round}")));
            let stores: Vec<_> = (0..ATTEMPTS).map(open).collect();
            assert!(race(&stores) <= 1);
        }
        let alone = [shared(server.store("alone"))];
        assert_eq!(race(&alone), 1);
    }
}

#[test]
fn a_claim_of_a_dead_init_is_named_with_the_command_that_removes_it() {
    let server = S3::start_with(Conditions::Ignored);
    let store: Arc<dyn Store> = Arc::new(server.store("db"));
    let claim = Object::Claim([0xab; 16]).name();
    store.put(&claim, &[Bytes::from_static(b"HAULOCLM\x01\x00")]).unwrap();
    let refused = made(Arc::clone(&store), 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Occupied);
    assert!(refused.to_string().contains("aws s3 rm s3://"), "{refused}");
    assert!(refused.to_string().contains(claim.as_str()), "{refused}");
    assert_eq!(names(&*store, ""), [claim.to_string()], "nothing of its own is left");
    store.delete(&claim).unwrap();
    made(Arc::clone(&store), 1).unwrap();
    assert!(opens(&store, 1));
    // Where the store decides, such a claim is in nobody's way.
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    store.put(&claim, &[Bytes::from_static(b"HAULOCLM\x01\x00")]).unwrap();
    made(Arc::clone(&store), 1).unwrap();
}
