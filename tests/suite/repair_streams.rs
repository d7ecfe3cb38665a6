//! Lost blocks come back from the streams of a repository with other keys: in both directions, only
//! if they have their hashes, wherever the work is stopped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::snapshot::Origin;
use haulout::ops::copy_reencrypted;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::prune;
use haulout::ops::repair;
use haulout::ops::repair::Losses;
use haulout::ops::repair::RepairPlan;
use haulout::ops::repair::RepairReport;
use haulout::ops::repair::Taken;
use haulout::ops::replicate::newest;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Remember;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::init_as_earlier;
use crate::support::open;
use crate::support::program::Place;
use crate::support::removing;
use crate::support::shared;
use crate::support::stream_of;

/// Two repositories with other keys that have the same nights.
struct Both {
    first: Arc<MemoryStore>,
    second: Arc<MemoryStore>,
    /// The data packs that each night put: of the first repository, of the second.
    packs: [Vec<ObjectName>; 2],
    /// Each night: its id in each of them, and its stream.
    nights: Vec<([String; 2], Vec<u8>)>,
}

fn data_packs(store: &MemoryStore) -> BTreeSet<ObjectName> {
    let objects = store.objects();
    let twin = |name: &ObjectName| name.as_str().replacen("packs/", "twins/", 1);
    let is_data = |name: &&ObjectName| {
        let twin = ObjectName::new(&twin(name)).unwrap();
        name.as_str().starts_with("packs/") && !objects.contains_key(&twin)
    };
    objects.keys().filter(is_data).cloned().collect()
}

/// Copies what a repository has to one with other keys; returns the ids there.
fn copied(near: &Repository, far: &Repository) -> Vec<String> {
    let listing = newest(near, &[], None).unwrap();
    let planned = copy_reencrypted::plan(near, Some(far), listing.snapshots).unwrap();
    let sent = planned.send(far, 2, &support::stepping_world()).unwrap().sent;
    sent.into_iter().map(|done| done.id.to_string()).collect()
}

impl Both {
    fn with(server: Server, changes: &[usize]) -> Self {
        Self::protected(server, changes, [Protected::Encrypted, Protected::Encrypted])
    }

    fn protected(server: Server, changes: &[usize], protected: [Protected; 2]) -> Self {
        Self::of(server, changes, protected, FEATURES_MADE)
    }

    /// One night more than there are changes, each copied when it was backed up.
    fn of(
        mut server: Server,
        changes: &[usize],
        [here, there]: [Protected; 2],
        features: Features,
    ) -> Self {
        let (first, second) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let near = init_as_earlier(shared(&first), here, features, 1);
        let far = init_as_earlier(shared(&second), there, features, 2);
        let mut both = Self { first, second, packs: Default::default(), nights: Vec::new() };
        for changed in [None].into_iter().chain(changes.iter().map(Some)) {
            if let Some(changed) = changed {
                server.night(*changed);
            }
            let stream = server.stream();
            let before = [data_packs(&both.first), data_packs(&both.second)];
            let id = back_up(&near, &stream).id.to_string();
            let there = copied(&near, &far).remove(0);
            both.nights.push(([id, there], stream));
            let after = [data_packs(&both.first), data_packs(&both.second)];
            for ((packs, before), after) in both.packs.iter_mut().zip(before).zip(after) {
                packs.push(after.difference(&before).next().unwrap().clone());
            }
        }
        both
    }

    fn nights(count: usize) -> Self {
        Self::with(Server::new(7, 2, 60), &vec![9; count - 1])
    }

    /// Copies of both stores, the one that is repaired first.
    fn stores(&self, which: usize) -> [Arc<MemoryStore>; 2] {
        let copy = |store: &MemoryStore| {
            let copy = MemoryStore::new();
            copy.set_objects(store.objects());
            Arc::new(copy)
        };
        let [first, second] = [copy(&self.first), copy(&self.second)];
        if which == 0 { [first, second] } else { [second, first] }
    }

    /// Every night comes back from one of the two as it was.
    fn restores(&self, which: usize, store: &Arc<MemoryStore>) {
        let repository = open(shared(store), 9).unwrap();
        for (ids, stream) in &self.nights {
            assert!(stream_of(&repository, &ids[which]).unwrap() == *stream, "{}", ids[which]);
        }
    }
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options =
        VerifyOptions { workers: 2, remember: Remember::Nowhere, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
}

fn planned<'r>(near: &'r Repository, far: &Repository, workers: u32) -> Result<RepairPlan<'r>> {
    let world = World::of_this_machine();
    repair::plan(near, workers, &world)?.take_from(far, &world)
}

fn repaired(near: Arc<dyn Store>, far: Arc<dyn Store>, workers: u32) -> Result<RepairReport> {
    let (near, far) = (open(near, 5)?, open(far, 6)?);
    planned(&near, &far, workers)?.run(&World::of_this_machine())
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    Bytes::from(bytes)
}

fn replaced(store: &MemoryStore, name: &ObjectName, bytes: Bytes) {
    store.delete(name).unwrap();
    store.put(name, &[bytes]).unwrap();
}

fn is_left(store: &MemoryStore, folder: &str) -> bool {
    store.objects().keys().any(|name| name.as_str().starts_with(folder))
}

#[test]
fn every_lost_pack_comes_back_in_both_directions() {
    let both = Both::nights(3);
    for which in [0, 1] {
        for (pack, workers) in both.packs[which].iter().zip([1, 2, 4]) {
            let [near, far] = both.stores(which);
            near.delete(pack).unwrap();
            let before = far.objects();
            assert!(
                !verified(&open(shared(&near), 3).unwrap(), Depth::Objects).findings.is_empty()
            );
            let report = repaired(shared(&near), shared(&far), workers).unwrap();
            assert!(report.failed.is_empty() && report.lost.is_empty(), "{report:?}");
            assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
            let taken = &report.taken;
            assert!(taken.blocks >= 9 && taken.bytes >= taken.blocks * 1024, "{taken:?}");
            assert_eq!((taken.different, taken.missing, taken.packs.len()), (0, 0, 1));
            // In two copies, as every relocation record.
            assert_eq!(taken.recorded.len() % 2, 0);
            assert!(verified(&open(shared(&near), 4).unwrap(), Depth::Pages).findings.is_empty());
            both.restores(which, &near);
            assert!(!is_left(&near, "intents/"));
            assert!(far.objects() == before, "nothing changes on the other side");
            // It is done: nothing is wanted any more.
            let (near, far) = (open(shared(&near), 7).unwrap(), open(shared(&far), 8).unwrap());
            assert!(planned(&near, &far, 2).unwrap().streams.is_none());
        }
    }
}

#[test]
fn all_lost_packs_come_back_at_once_and_later_backups_use_what_was_stored() {
    let both = Both::nights(3);
    let [near, far] = both.stores(0);
    both.packs[0].iter().for_each(|pack| near.delete(pack).unwrap());
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    both.restores(0, &near);
    let repository = open(shared(&near), 4).unwrap();
    let done = back_up(&repository, &both.nights[2].1);
    // The next backup stores again, once, what its own packs lack, and no more than that.
    let again = back_up(&repository, &both.nights[2].1);
    assert_eq!(again.counts.blocks_whole + again.counts.blocks_healed, 0, "{:?}", again.counts);
    for id in [done.id, again.id] {
        assert!(stream_of(&repository, &id.to_string()).unwrap() == both.nights[2].1);
    }
}

#[test]
fn what_rests_on_a_lost_block_is_read_again_when_that_is_there() {
    let both = Both::nights(4);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let (repository, other) = (open(shared(&near), 3).unwrap(), open(shared(&far), 4).unwrap());
    let plan = planned(&repository, &other, 2).unwrap();
    // The first night's blocks, and none of the differences to them.
    let first =
        back_up(&init(Arc::new(MemoryStore::new()), Protected::Clear, 5), &both.nights[0].1);
    assert!(plan.streams.as_ref().unwrap().blocks <= first.counts.blocks_whole);
    let report = plan.run(&World::of_this_machine()).unwrap();
    assert!(report.left.findings.is_empty() && report.taken.missing == 0, "{report:?}");
    both.restores(0, &near);
}

#[test]
fn bases_that_no_snapshot_names_any_more_are_not_missed() {
    let both = Both::nights(3);
    let [near, far] = both.stores(0);
    let repository = open(shared(&near), 3).unwrap();
    let first = repository.find_snapshot(&both.nights[0].0[0]).unwrap();
    let world = World::of_this_machine();
    let options = PruneOptions { removes: vec![removing(&first)], ..PruneOptions::default() };
    prune(&repository, &options, &world).unwrap();
    near.delete(&both.packs[0][0]).unwrap();
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    assert!(report.left.findings.is_empty() && report.taken.missing == 0, "{report:?}");
    let repository = open(shared(&near), 4).unwrap();
    assert!(verified(&repository, Depth::Pages).findings.is_empty());
    for (ids, stream) in &both.nights[1..] {
        assert!(stream_of(&repository, &ids[0]).unwrap() == *stream);
    }
    // Prune goes on, and keeps what the records name.
    prune(&repository, &PruneOptions::default(), &world).unwrap();
    for (ids, stream) in &both.nights[1..] {
        assert!(stream_of(&repository, &ids[0]).unwrap() == *stream);
    }
}

#[test]
fn what_was_stored_for_removed_snapshots_is_garbage_of_a_known_run() {
    let both = Both::nights(2);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][1]).unwrap();
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    let repository = open(shared(&near), 4).unwrap();
    let world = World::of_this_machine();
    back_up(&repository, &Server::new(8, 2, 60).stream());
    let found = |ids: &[String; 2]| repository.find_snapshot(&ids[0]).unwrap();
    let removes = both.nights.iter().map(|(ids, _)| removing(&found(ids))).collect();
    let options = PruneOptions { removes, ..PruneOptions::default() };
    prune(&repository, &options, &world).unwrap();
    for pack in &report.taken.packs {
        assert!(!near.objects().contains_key(pack), "{pack} is not needed any more");
    }
}

#[test]
fn of_a_changed_pack_the_blocks_that_can_not_be_read_come_back() {
    let both = Both::nights(2);
    for which in [0, 1] {
        let [near, far] = both.stores(which);
        let pack = &both.packs[which][0];
        let bytes = near.get(pack, 1 << 30).unwrap();
        replaced(&near, pack, flipped(&bytes, bytes.len() / 3));
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
        let repository = open(shared(&near), 3).unwrap();
        verify(&repository, &options, &World::of_this_machine()).unwrap();
        let report = repaired(shared(&near), shared(&far), 2).unwrap();
        assert!((1..60).contains(&report.taken.blocks), "{report:?}");
        both.restores(which, &near);
        let left = verified(&open(shared(&near), 4).unwrap(), Depth::Pages).findings;
        assert!(left.iter().all(|found| found.what.contains(pack.as_str())), "{left:?}");
    }
}

#[test]
fn clear_and_encrypted_repositories_give_each_other_what_they_have() {
    for protected in [[Protected::Clear, Protected::Encrypted], [Protected::Clear; 2]] {
        let both = Both::protected(Server::new(3, 2, 40), &[7], protected);
        for which in [0, 1] {
            let [near, far] = both.stores(which);
            near.delete(&both.packs[which][0]).unwrap();
            let report = repaired(shared(&near), shared(&far), 2).unwrap();
            assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
            both.restores(which, &near);
        }
    }
}

#[test]
fn what_an_earlier_version_may_read_is_not_left_to_its_bases() {
    let server = Server::new(7, 2, 60);
    let both = Both::of(server, &[9, 9], [Protected::Encrypted; 2], Features::NONE);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    // Of each night's pack some entries, in two copies.
    assert_eq!(report.taken.recorded.len(), 6);
    both.restores(0, &near);
}

/// Puts a snapshot of a stream that says that it was copied from another one.
fn impose(other: &Repository, stream: &[u8], repository: &Repository, snapshot: &str) {
    let stored = other.find_snapshot(&back_up(other, stream).id.to_string()).unwrap();
    let mut lying = stored.snapshot.clone();
    let repository = repository.keyring().repository().to_string();
    lying.about.origin = Some(Origin { repository, snapshot: snapshot.to_owned() });
    lying.about.sequence += 1;
    other.put_snapshot(stored.name.source, &lying).unwrap();
}

#[test]
fn what_has_other_bytes_there_is_not_stored() {
    let both = Both::nights(1);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let mut server = Server::new(7, 2, 60);
    server.night(30);
    let lying = Arc::new(MemoryStore::new());
    let other = init(shared(&lying), Protected::Encrypted, 77);
    let repository = open(shared(&near), 3).unwrap();
    impose(&other, &server.stream(), &repository, &both.nights[0].0[0]);
    let report = repaired(shared(&near), shared(&lying), 2).unwrap();
    // What is the same has its hash; of the rest nothing is stored.
    assert!(report.taken.different > 15, "{:?}", report.taken);
    assert!(report.taken.blocks > 100 && report.taken.missing == 0, "{:?}", report.taken);
    let losses = Losses::of(&report.left.findings);
    assert!(losses.pages > 15, "{losses:?}");
    let found = verified(&open(shared(&near), 4).unwrap(), Depth::Blocks);
    assert_eq!(Losses::of(&found.findings), losses);
    // The honest one has what is left.
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    both.restores(0, &near);
    // Of a stream of which nothing is the same nothing is stored.
    let [near, _] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let lying = Arc::new(MemoryStore::new());
    let other = init(shared(&lying), Protected::Encrypted, 78);
    impose(&other, &Server::new(8, 2, 60).stream(), &repository, &both.nights[0].0[0]);
    let before = data_packs(&near);
    let report = repaired(shared(&near), shared(&lying), 2).unwrap();
    assert!(report.taken.different > 100 && report.taken.blocks < 20, "{:?}", report.taken);
    assert!(data_packs(&near).difference(&before).count() <= 1);
}

#[test]
fn what_is_damaged_on_the_other_side_too_stays_lost_and_is_told() {
    let both = Both::nights(2);
    for spoil in [true, false] {
        let [near, far] = both.stores(0);
        near.delete(&both.packs[0][0]).unwrap();
        let pack = &both.packs[1][0];
        let bytes = far.get(pack, 1 << 30).unwrap();
        far.delete(pack).unwrap();
        if spoil {
            far.put(pack, &[flipped(&bytes, bytes.len() / 2)]).unwrap();
        }
        let report = repaired(shared(&near), shared(&far), 2).unwrap();
        assert!(report.taken.missing > 0 && report.taken.different == 0, "{:?}", report.taken);
        assert_eq!(report.taken.blocks > 0, spoil, "{:?}", report.taken);
        let losses = Losses::of(&report.left.findings);
        assert!(losses.pages > 0 && losses.files > 0, "{losses:?}");
        let found = verified(&open(shared(&near), 6).unwrap(), Depth::Objects);
        assert_eq!(Losses::of(&found.findings), losses);
    }
}

#[test]
fn lost_maps_are_told_with_the_snapshot_that_has_them_on_the_other_side() {
    let both = Both::nights(2);
    let [near, far] = both.stores(0);
    let twins: Vec<ObjectName> = near.objects().into_keys().collect();
    for twin in twins.iter().filter(|name| name.as_str().starts_with("twins/")) {
        near.delete(twin).unwrap();
        let first = twin.as_str().replacen("twins/", "packs/", 1);
        near.delete(&ObjectName::new(&first).unwrap()).unwrap();
    }
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    let maps: Vec<[String; 2]> = report
        .taken
        .lost_maps
        .iter()
        .rev()
        .map(|lost| [lost.snapshot.to_string(), lost.there.to_string()])
        .collect();
    let expected: Vec<[String; 2]> = both.nights.iter().map(|(ids, _)| ids.clone()).collect();
    assert_eq!(maps, expected);
    assert!(report.left.findings.len() > 1);
}

#[test]
fn without_a_common_origin_nothing_is_done_and_both_are_named() {
    let both = Both::nights(1);
    let [near, _] = both.stores(0);
    let stranger = Arc::new(MemoryStore::new());
    let other = init(shared(&stranger), Protected::Encrypted, 9);
    back_up(&other, &both.nights[0].1);
    let repository = open(shared(&near), 3).unwrap();
    let error: Error = planned(&repository, &other, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OtherRepository);
    for side in [&repository, &other] {
        let id = side.keyring().repository().to_string();
        assert!(error.to_string().contains(&id), "{error}");
    }
}

#[test]
fn copies_of_one_repository_repair_each_other() {
    let both = Both::nights(2);
    let third = Arc::new(MemoryStore::new());
    let other = init(shared(&third), Protected::Encrypted, 9);
    copied(&open(shared(&both.first), 3).unwrap(), &other);
    let [near, _] = both.stores(1);
    near.delete(&both.packs[1][0]).unwrap();
    let report = repaired(shared(&near), shared(&third), 2).unwrap();
    assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
    both.restores(1, &near);
}

#[test]
fn it_costs_what_the_plan_says() {
    let both = Both::nights(3);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let (here, there) = (Arc::new(Recording::new(near)), Arc::new(Recording::new(far)));
    let repository = open(shared(&here), 3).unwrap();
    let other = open(shared(&there), 4).unwrap();
    let objects = here.inner().objects();
    let plan = planned(&repository, &other, 1).unwrap();
    assert!(here.inner().objects() == objects, "a plan changes nothing");
    let streams = plan.streams.as_ref().unwrap();
    let (bytes, requests) = (streams.read_bytes, streams.requests_there);
    let (here_max, blocks) = (streams.requests_here, streams.blocks);
    assert_eq!((streams.snapshots, streams.is_more), (3, false));
    here.reset();
    there.reset();
    let report = plan.run(&World::of_this_machine()).unwrap();
    assert_eq!((report.taken.blocks, report.taken.read_bytes), (blocks, bytes));
    let log = there.log();
    assert_eq!(log.iter().map(|call| call.bytes).sum::<u64>(), bytes);
    assert_eq!(u64::try_from(log.len()).unwrap(), requests);
    let writes = here.log().iter().filter(|call| call.verb == Verb::Put).count();
    assert!(u64::try_from(writes).unwrap() <= here_max, "{writes} {here_max}");
}

#[test]
fn more_than_every_queue_holds_comes_back() {
    // 90 MiB in one file: more than all batches that are worked on at a time, and several packs.
    let server = Server::new(5, 1, 2000);
    let both = Both::with(server, &[]);
    for workers in [1, 4] {
        let [near, far] = both.stores(0);
        for pack in data_packs(&near) {
            near.delete(&pack).unwrap();
        }
        let report = repaired(shared(&near), shared(&far), workers).unwrap();
        assert!(report.left.findings.is_empty(), "{:?}", report.left.findings);
        assert!(report.taken.bytes > 64 << 20 && report.taken.packs.len() > 1, "{report:?}");
        both.restores(0, &near);
    }
}

#[test]
fn wherever_it_is_stopped_nothing_is_lost_and_the_next_one_goes_on() {
    let both = Both::with(Server::new(7, 1, 20), &[7]);
    let [damaged, far] = both.stores(0);
    damaged.delete(&both.packs[0][0]).unwrap();
    let found = verified(&open(shared(&damaged), 3).unwrap(), Depth::Objects).findings;
    let mut stopped = 0;
    for (verb, step) in [(Verb::Put, 1), (Verb::Delete, 1), (Verb::List, 1), (Verb::GetRange, 41)] {
        for nth in (1..).step_by(step) {
            let store = Arc::new(MemoryStore::new());
            store.set_objects(damaged.objects());
            let fault = Fault::first(verb, Effect::RefuseBefore(Category::Other));
            let failing = Arc::new(Failing::new(shared(&store), vec![fault.at(nth).ever_after()]));
            let opened = open(shared(&store), 3).unwrap();
            let repository = opened.elsewhere(shared(&failing));
            let other = open(shared(&far), 6).unwrap();
            let done = planned(&repository, &other, 2)
                .and_then(|plan| plan.run(&World::of_this_machine()));
            let struck = failing.struck() > 0;
            assert!(struck || done.is_ok(), "{verb:?} {nth}: {done:?}");
            // What could be read can be read still.
            let now = verified(&open(shared(&store), 4).unwrap(), Depth::Objects).findings;
            let is_no_worse = now.len() <= found.len();
            assert!(is_no_worse, "{verb:?} {nth}: {now:?}");
            let report = repaired(shared(&store), shared(&far), 2).unwrap();
            assert!(report.left.findings.is_empty(), "{verb:?} {nth}: {report:?}");
            if !struck {
                break;
            }
            stopped += 1;
            if stopped % 10 == 0 {
                both.restores(0, &store);
            }
        }
    }
    assert!(stopped > 20, "{stopped}");
}

/// Writes the objects of a store to a directory.
fn written(store: &MemoryStore, root: &Path) {
    for (name, bytes) in store.objects() {
        let path = root.join(name.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "moments to kill at follow from what a run takes")]
fn one_that_is_killed_leaves_what_was_there_and_the_next_one_goes_on() {
    let rounds = std::env::var("HAULOUT_KILLS").map_or(120, |value| value.parse().unwrap()) / 20;
    let both = Both::protected(Server::new(7, 2, 60), &[9], [Protected::Clear, Protected::Clear]);
    let mut random = support::Random(11);
    let mut taken = None;
    let mut killed = 0;
    for round in 0..=rounds {
        let place = Place::empty();
        written(&both.first, &place.path("repo"));
        written(&both.second, &place.path("far"));
        fs::remove_file(place.path("repo").join(both.packs[0][0].as_str())).unwrap();
        let far = place.path("far").display().to_string();
        let repair = ["repair", "-q", "--from", &far];
        if let Some(taken) = taken {
            let mut child = place.started(&repair, Stdio::null());
            sleep(Duration::from_micros(random.next() % taken));
            child.kill().unwrap();
            killed += u64::from(child.wait().unwrap().code().is_none());
        }
        let begun = Instant::now();
        place.ran(&repair).is(0);
        taken = taken.or_else(|| u64::try_from(begun.elapsed().as_micros()).ok());
        place.ran(&["verify", "-q", "--depth", "stored"]).is(0);
        let store: Arc<dyn Store> = Arc::new(LocalStore::open(&place.path("repo")).unwrap());
        let repository = open(store, 9).unwrap();
        for (ids, stream) in &both.nights {
            assert!(stream_of(&repository, &ids[0]).unwrap() == *stream, "round {round}");
        }
    }
    assert!(killed * 2 >= rounds, "{killed} of {rounds} were killed");
}

#[test]
fn passes_go_on_until_nothing_is_left() {
    let both = Both::nights(2);
    let [near, far] = both.stores(0);
    both.packs[0].iter().for_each(|pack| near.delete(pack).unwrap());
    // What the other side can't read is in the way of none.
    let pack = &both.packs[1][0];
    let bytes = far.get(pack, 1 << 30).unwrap();
    replaced(&far, pack, flipped(&bytes, bytes.len() / 2));
    let world = World::of_this_machine();
    let (repository, other) = (open(shared(&near), 3).unwrap(), open(shared(&far), 4).unwrap());
    let plan = repair::plan(&repository, 2, &world).unwrap();
    let plan = plan.take_in_passes(&other, 40, &world).unwrap();
    let streams = plan.streams.as_ref().unwrap();
    assert!(streams.is_more && streams.blocks <= 40, "{}", streams.blocks);
    let report = plan.run(&world).unwrap();
    let Taken { blocks, missing, packs, .. } = &report.taken;
    assert!(*blocks > 100 && (1..20).contains(missing) && packs.len() > 3, "{:?}", report.taken);
    // With the whole one nothing is left.
    let [_, far] = both.stores(0);
    let report = repaired(shared(&near), shared(&far), 2).unwrap();
    assert!(report.taken.blocks >= *missing && report.left.findings.is_empty(), "{report:?}");
    both.restores(0, &near);
}

#[test]
fn another_side_that_can_not_be_reached_ends_it() {
    let both = Both::nights(2);
    let [near, far] = both.stores(0);
    near.delete(&both.packs[0][0]).unwrap();
    let before = near.objects();
    let opened = open(shared(&far), 4).unwrap();
    let fault = Fault::first(Verb::GetRange, Effect::RefuseBefore(Category::Other));
    let failing = Arc::new(Failing::new(shared(&far), vec![fault.at(1).ever_after()]));
    let repository = open(shared(&near), 3).unwrap();
    let error = planned(&repository, &opened.elsewhere(shared(&failing)), 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert!(near.objects() == before);
}
