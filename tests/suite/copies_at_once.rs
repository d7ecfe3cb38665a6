//! Two repositories that are replicated into one new place at the same moment: at most one is
//! there afterwards, whole.

use std::sync::Arc;
use std::sync::Barrier;

use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::replicate::plan;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::s3::Conditions;
use crate::support::s3::S3;
use crate::support::stream_of;

/// A repository with one night, and its stream.
fn near(seed: u64) -> (Repository, Vec<u8>) {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, seed);
    let stream = Server::new(seed, 1, 20).stream();
    back_up(&repository, &stream);
    (repository, stream)
}

fn replicated(near: &Repository, far: Arc<dyn Store>, workers: u32) -> Result<ReplicateReport> {
    let snapshots = near.snapshots()?.snapshots;
    let confirmation = Confirmation::Listed;
    let options = ReplicateOptions { snapshots, connections: workers, confirmation };
    let world = World::of_this_machine();
    plan(near, far, options, &world)?.send(&world)
}

/// Sends two repositories to one place; returns how many succeeded.
fn race(far: &[Arc<dyn Store>; 2], workers: u32, about: &str) -> usize {
    let nears = [near(11), near(12)];
    let barrier = Barrier::new(2);
    let attempt = |near: &Repository, far: &Arc<dyn Store>| {
        barrier.wait();
        replicated(near, Arc::clone(far), workers)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = nears
            .iter()
            .zip(far)
            .map(|((near, _), far)| scope.spawn(move || attempt(near, far)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((near, stream), outcome) in nears.iter().zip(&outcomes) {
        match outcome {
            Ok(report) => {
                assert_eq!(report.sent.len(), 1, "{about}");
                let copy = near.elsewhere(Arc::clone(&far[0]));
                let found = stream_of(&copy, &report.sent[0].to_string()).unwrap();
                assert!(found == *stream, "{about}: what was sent restores");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Occupied, "{about}: {error}"),
        }
    }
    let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(succeeded <= 1, "{about}: both succeeded");
    succeeded
}

#[test]
fn of_two_repositories_replicated_into_one_directory_one_is_there() {
    for round in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let open = || -> Arc<dyn Store> { Arc::new(LocalStore::open(directory.path()).unwrap()) };
        let workers = 1 << (round % 3);
        assert_eq!(race(&[open(), open()], workers, &format!("round {round}")), 1);
    }
}

#[test]
fn of_two_repositories_replicated_into_one_bucket_at_most_one_is_there() {
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        for round in 0..6 {
            let open = || -> Arc<dyn Store> { Arc::new(server.store(&format!("r{round}"))) };
            let workers = 1 << (round % 3);
            let about = format!("{conditions:?}, round {round}");
            let succeeded = race(&[open(), open()], workers, &about);
            assert!(succeeded == 1 || conditions != Conditions::Kept, "{about}");
        }
    }
}

#[test]
fn one_after_the_other_the_second_is_refused() {
    let (first, second) = (near(11), near(12));
    let far: Arc<dyn Store> = Arc::new(MemoryStore::new());
    replicated(&first.0, Arc::clone(&far), 2).unwrap();
    let before = far.get(&haulout::format::layout::Object::Config.name(), 1 << 20).unwrap();
    let refused = replicated(&second.0, Arc::clone(&far), 2).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Occupied, "{refused}");
    let after = far.get(&haulout::format::layout::Object::Config.name(), 1 << 20).unwrap();
    assert!(before == after);
}
