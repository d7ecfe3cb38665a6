//! A prune remembers which snapshots it kept: one that finds fewer deletes nothing, unless it is
//! told that they are lost.

use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::ops::prune;
use haulout::ops::prune::Fewer;
use haulout::ops::prune::Orphans;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::stepping_world;
use crate::support::stream_of;

/// A repository with this number of nights, and their streams.
fn nights(count: usize) -> (Arc<MemoryStore>, Repository, Vec<Vec<u8>>) {
    let store = Arc::new(MemoryStore::new());
    let repository = support::init(support::shared(&store), Protected::Encrypted, 1);
    let mut server = Server::new(5, 1, 40);
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(server.stream());
        support::back_up(&repository, &server.stream());
        server.night(5);
    }
    (store, repository, streams)
}

fn pruned(repository: &Repository, options: &PruneOptions) -> Result<PruneReport> {
    prune::prune(repository, options, &stepping_world())
}

/// The lists of kept snapshots that are there.
fn lists(store: &MemoryStore) -> Vec<ObjectName> {
    let names = store.objects().into_keys();
    names.filter(|name| name.as_str().starts_with("notes/kept-")).collect()
}

#[test]
fn a_prune_that_finds_fewer_snapshots_than_the_last_one_kept_deletes_nothing() {
    let (store, repository, streams) = nights(4);
    pruned(&repository, &PruneOptions::default()).unwrap();
    // The newest: no other one follows it, so nothing else tells that it is missing.
    let newest = repository.find_snapshot("latest").unwrap();
    store.delete(&newest.name.object()).unwrap();
    let before = store.objects();
    let orphans = Orphans::Deleted;
    let options = PruneOptions { orphans, ..PruneOptions::default() };
    let refused = pruned(&repository, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Gap, "{refused}");
    assert!(refused.to_string().contains(&newest.id().short()), "{refused}");
    let planned = prune::plan(&repository, &options, &stepping_world()).unwrap_err();
    assert_eq!(planned.to_string(), refused.to_string());
    assert!(store.objects() == before);
    // It is known to be lost.
    let options = PruneOptions { fewer: Fewer::Accepted, ..options };
    assert!(!pruned(&repository, &options).unwrap().deleted.is_empty());
    pruned(&repository, &PruneOptions::default()).unwrap();
    let kept = repository.snapshots().unwrap().snapshots;
    assert_eq!(kept.len(), 3);
    for (stored, stream) in kept.iter().zip(&streams) {
        assert!(stream_of(&repository, &stored.id().to_string()).unwrap() == *stream);
    }
}

#[test]
fn what_was_removed_is_not_missed_and_there_is_one_list_which_changes_with_the_snapshots() {
    let (store, repository, _) = nights(4);
    assert!(lists(&store).is_empty());
    pruned(&repository, &PruneOptions::default()).unwrap();
    let first = lists(&store);
    pruned(&repository, &PruneOptions::default()).unwrap();
    assert_eq!(lists(&store), first, "nothing has changed");
    let oldest = repository.snapshots().unwrap().snapshots.remove(0);
    let removes = vec![support::removing(&oldest)];
    pruned(&repository, &PruneOptions { removes, ..PruneOptions::default() }).unwrap();
    let second = lists(&store);
    assert!(second.len() == 1 && second != first);
    pruned(&repository, &PruneOptions::default()).unwrap();
    assert_eq!(lists(&store), second);
}

#[test]
fn a_list_that_can_not_be_read_is_reported_and_replaced() {
    let (store, repository, _) = nights(2);
    pruned(&repository, &PruneOptions::default()).unwrap();
    let damaged = lists(&store).remove(0);
    store.replace(&damaged, &[Bytes::from_static(b"no list")]).unwrap();
    let report = pruned(&repository, &PruneOptions::default()).unwrap();
    assert_eq!(report.doubted.len(), 1, "{:?}", report.doubted);
    let now = lists(&store);
    assert!(now.len() == 1 && now[0] != damaged);
    assert!(pruned(&repository, &PruneOptions::default()).unwrap().doubted.is_empty());
}
