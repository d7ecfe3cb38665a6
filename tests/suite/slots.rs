//! Hosts that stand ready for a slot of a job, in real repositories: who runs it, what the others
//! learn, and which records a prune leaves.

use crate::support;
use std::sync::Arc;
use std::time::Duration;

use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::slot;
use haulout::ops::slot::Claim;
use haulout::ops::slot::Counts;
use haulout::ops::slot::Entrant;
use haulout::ops::slot::SlotEvent;
use haulout::ops::slot::Taken;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;

const NIGHT: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn in_memory() -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let shared = support::shared(&store);
    let world = World::of_this_machine();
    (store, Repository::init(shared, &NewProtection::Clear, &world).unwrap())
}

/// A host that waits for no other, and takes a claim without progress for dead at once.
fn hasty(number: u32, slot: u64) -> Entrant {
    Entrant {
        job: "nightly".to_owned(),
        slot,
        host: format!("host{number}"),
        node: format!("db{number}"),
        rank: 0,
        takeover: Duration::ZERO,
        settle: Duration::ZERO,
        withdrawals_max: 0,
    }
}

fn won(repository: &Repository, entrant: &Entrant, world: &World) -> Claim {
    match slot::take(repository, entrant, world).unwrap() {
        Taken::Won(claim) => claim,
        Taken::Elsewhere(end) => panic!("{end:?}"),
    }
}

fn ended(repository: &Repository, entrant: &Entrant, world: &World) {
    let claim = won(repository, entrant, world);
    let event = (SlotEvent::End, "done".to_owned());
    assert_eq!(slot::tell(repository, entrant, &claim, event, world).unwrap(), Counts::Yes);
}

fn slots(store: &MemoryStore) -> usize {
    let mut count = 0;
    store.list(Folder::Slots.prefix(), &mut |_| count += 1).unwrap();
    count
}

#[test]
fn one_host_runs_a_slot_and_the_others_learn_of_it() {
    let (_, repository) = in_memory();
    let world = World::of_this_machine();
    let (one, two) = (hasty(1, NIGHT), hasty(2, NIGHT));
    ended(&repository, &one, &world);
    let Taken::Elsewhere(end) = slot::take(&repository, &two, &world).unwrap() else {
        panic!("it was run already");
    };
    assert_eq!((end.node.as_str(), end.result.as_str()), ("db1", "done"));
    // Another night, and another job, are none of this one.
    let last = |slot| slot::last(&repository, "nightly", slot).unwrap().map(|end| end.node);
    assert_eq!((last(NIGHT), last(NIGHT + DAY)), (None, Some("db1".to_owned())));
    assert_eq!(slot::last(&repository, "weekly", NIGHT + DAY).unwrap(), None);
    ended(&repository, &hasty(2, NIGHT + DAY), &world);
    assert_eq!(last(NIGHT + 2 * DAY), Some("db2".to_owned()));
}

#[test]
fn a_host_without_progress_is_taken_over_and_hears_of_it() {
    let (_, repository) = in_memory();
    let world = World::of_this_machine();
    let (one, two) = (hasty(1, NIGHT), hasty(2, NIGHT));
    let first = won(&repository, &one, &world);
    let second = won(&repository, &two, &world);
    assert_eq!((first.generation, second.generation), (0, 1));
    let event = (SlotEvent::Progress, String::new());
    let counts =
        |entrant, claim| slot::tell(&repository, entrant, claim, event.clone(), &world).unwrap();
    assert_eq!((counts(&one, &first), counts(&two, &second)), (Counts::No, Counts::Yes));
}

#[test]
fn a_host_that_waits_for_another_ends_when_it_is_asked_to() {
    let (_, repository) = in_memory();
    let world = World::of_this_machine();
    won(&repository, &hasty(1, NIGHT), &world);
    let patient = Entrant { takeover: Duration::from_hours(10), ..hasty(2, NIGHT) };
    world.monitor.stop();
    let error = slot::take(&repository, &patient, &world).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_record_that_can_not_be_read_is_as_none() {
    let (store, repository) = in_memory();
    let world = World::of_this_machine();
    ended(&repository, &hasty(1, NIGHT), &world);
    let mut names = Vec::new();
    store.list(Folder::Slots.prefix(), &mut |meta| names.push(meta.name)).unwrap();
    for name in &names {
        store.delete(name).unwrap();
        store.put(name, &[bytes::Bytes::from_static(b"no record")]).unwrap();
    }
    ended(&repository, &hasty(2, NIGHT), &world);
}

#[test]
fn a_prune_leaves_the_records_of_thirty_days() {
    let (store, repository) = in_memory();
    let world = World::of_this_machine();
    let job = repository.slot_job("nightly").unwrap();
    for night in 0..40 {
        ended(&repository, &hasty(1, NIGHT + night * DAY), &world);
    }
    for night in 0..2 {
        let stream = format!("-- night {night}").into_bytes();
        let stream = BytesSource::new(stream, 1 << 20, ProducerExit::Exited(0));
        backup(&repository, Box::new(stream), &BackupOptions::new("db"), &world).unwrap();
    }
    assert_eq!(slots(&store), 80);
    let oldest = repository.snapshots().unwrap().snapshots.remove(0);
    let options =
        PruneOptions { removes: vec![support::removing(&oldest)], ..PruneOptions::default() };
    let report = prune::prune(&repository, &options, &world).unwrap();
    assert!(report.refused.is_empty(), "{report:?}");
    let left = repository.slots_of(job).unwrap();
    assert_eq!(left.first().copied(), Some(NIGHT + 9 * DAY));
    assert_eq!(left.len(), 31);
}
