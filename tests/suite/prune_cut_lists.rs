//! A store that cuts its listings, always at the same place, and calls them whole: a prune beside
//! it loses nothing that was reported good.

use std::collections::BTreeMap;
use std::sync::Arc;

use haulout::base::ids::SnapshotId;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::compact::CompactOptions;
use haulout::ops::prune::compact::FirstTime;
use haulout::ops::prune::compact::compact;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Times;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::shared;
use crate::support::stepping_world;
use crate::support::stream_of;

/// Each folder that a prune lists.
const FOLDERS: [&str; 7] =
    ["snapshots/", "removed/", "notes/", "moves/", "twins/moves/", "packs/", "twins/"];
/// Places at which a list is cut, about.
const CUTS: usize = 24;

/// A repository of two sources, and what is good in it.
struct Ground {
    store: Arc<MemoryStore>,
    good: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Ground {
    /// Nights of which the first ones are gone, packs that were compacted, later nights that no
    /// prune has seen, and a snapshot of these that is removed and whose packs are there.
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = support::init(shared(&store), Protected::Clear, 1);
        let mut ground = Self { store, good: BTreeMap::new() };
        let mut servers = [7, 8].map(|seed| Server::new(seed, 2, 40));
        let early: Vec<SnapshotId> =
            (0..4).flat_map(|_| ground.nights(&repository, &mut servers)).collect();
        ground.remove(&repository, &early[..2]);
        ground.remove(&repository, &early[4..6]);
        prune::prune(&repository, &PruneOptions::default(), &stepping_world()).unwrap();
        let options = CompactOptions {
            max_unused: 0,
            max_rewrite: 100,
            first_time: FirstTime::SetsFeature,
            ..CompactOptions::default()
        };
        let compacted = compact(&repository, &options, &stepping_world()).unwrap();
        assert!(!compacted.compacted.is_empty());
        let repository = support::open(shared(&ground.store), 2).unwrap();
        let late: Vec<SnapshotId> =
            (0..2).flat_map(|_| ground.nights(&repository, &mut servers)).collect();
        ground.remove(&repository, &late[..1]);
        ground
    }

    /// A night of both sources.
    fn nights(&mut self, repository: &Repository, servers: &mut [Server; 2]) -> [SnapshotId; 2] {
        let mut sources = ["a", "b"].into_iter();
        servers.each_mut().map(|server| {
            let source = sources.next().unwrap().to_owned();
            let at_once = AtOnce::with_workers(2);
            let options = BackupOptions { source, at_once, ..support::options() };
            let (stream, exit) = (server.stream(), ProducerExit::Exited(0));
            let id = support::back_up_with(repository, &stream, exit, &options).unwrap().id;
            self.good.insert(id, stream);
            server.night(100);
            id
        })
    }

    fn remove(&mut self, repository: &Repository, ids: &[SnapshotId]) {
        let removing = |id: &SnapshotId| {
            support::removing(&repository.find_snapshot(&id.to_string()).unwrap())
        };
        let removes = ids.iter().map(removing).collect();
        let options = PruneOptions { removes, ..PruneOptions::default() };
        prune::remove(repository, &options, &stepping_world()).unwrap();
        ids.iter().for_each(|id| drop(self.good.remove(id)));
    }

    fn count_under(&self, prefix: &str) -> usize {
        self.store.objects().keys().filter(|name| name.as_str().starts_with(prefix)).count()
    }

    /// Prunes beside a store that cuts lists, and returns whether that ended well, and the
    /// snapshots that are lost.
    fn pruned(&self, faults: Vec<Fault>) -> (bool, Vec<SnapshotId>) {
        let copy = Arc::new(MemoryStore::new());
        for (name, bytes) in self.store.objects() {
            copy.put(&name, &[bytes]).unwrap();
        }
        let failing = Arc::new(Failing::new(Arc::clone(&copy), faults));
        let there = support::open(shared(&failing), 3);
        let pruned = there.and_then(|there| {
            prune::prune(&there, &PruneOptions::default(), &stepping_world()).map(drop)
        });
        let repository = support::open(shared(&copy), 4).unwrap();
        let is_lost = |(id, stream): &(&SnapshotId, &Vec<u8>)| {
            !stream_of(&repository, &id.to_string()).is_ok_and(|restored| restored == **stream)
        };
        let lost = self.good.iter().filter(is_lost).map(|(id, _)| *id).collect();
        (pruned.is_ok(), lost)
    }
}

/// Cuts each list of a folder.
fn cut(folder: &str, kept: usize) -> Fault {
    let effect = Effect::Truncate(u64::try_from(kept).unwrap());
    Fault { times: Times::Each, ..Fault::first(Verb::List, effect).under(folder) }
}

/// What a prune did whose lists of a folder were cut.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    /// Each of them ended without a deletion.
    All,
    /// Some of them ended.
    Some,
    /// None of them ended.
    None,
}

#[test]
fn a_folder_whose_lists_are_cut_loses_nothing() {
    let ground = Ground::new();
    // A record of a removal that is not seen keeps what it would free; the lists of snapshots that
    // were kept, and those of both copies of relocation records, are made up for by each other.
    let expected = [
        ("snapshots/", Ends::All),
        ("removed/", Ends::None),
        ("notes/", Ends::None),
        ("moves/", Ends::None),
        ("twins/moves/", Ends::None),
        ("packs/", Ends::Some),
        ("twins/", Ends::None),
    ];
    for (folder, ends) in expected {
        let count = ground.count_under(folder);
        assert!(count > 0, "{folder} has no object");
        let (mut went_on, mut ended) = (0, 0);
        for kept in (0..count).step_by(count.div_ceil(CUTS)) {
            let (is_ok, lost) = ground.pruned(vec![cut(folder, kept)]);
            assert!(lost.is_empty(), "{folder} cut after {kept} of {count}: {lost:?} are lost");
            *if is_ok { &mut went_on } else { &mut ended } += 1;
        }
        let found = match (went_on, ended) {
            (0, _) => Ends::All,
            (_, 0) => Ends::None,
            (_, _) => Ends::Some,
        };
        assert_eq!(found, ends, "{folder}: {went_on} went on, {ended} ended");
    }
}

#[test]
fn all_lists_cut_at_one_length_lose_nothing() {
    let ground = Ground::new();
    let mut went_on = 0;
    for kept in 0..=12 {
        let faults = FOLDERS.iter().map(|folder| cut(folder, kept)).collect();
        let (is_ok, lost) = ground.pruned(faults);
        assert!(lost.is_empty(), "cut after {kept}: {lost:?} are lost");
        went_on += usize::from(is_ok);
    }
    assert!((1..=12).contains(&went_on), "{went_on} of 13 went on");
}
