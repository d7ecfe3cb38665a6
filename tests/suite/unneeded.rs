//! A pack that is absent and that no snapshot needs is no damage: not to a backup, not to a
//! verification, not to a copy, not to a repair. One that is needed is, as ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use haulout::base::ids::PackName;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::format::note::NeedsNote;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::BackupReport;
use haulout::ops::memory::AtOnce;
use haulout::ops::repair;
use haulout::ops::replicate;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::features::set_features;
use haulout::repo::needs::KnownFrom;
use haulout::repo::needs::NeedsReader;
use haulout::repo::notes::Kept;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;

const DEPTHS: [Depth; 4] = [Depth::Objects, Depth::Stored, Depth::Blocks, Depth::Pages];

/// A repository whose first nights were of a server that was replaced by another one.
struct Lineage {
    store: Arc<MemoryStore>,
    repository: Repository,
    server: Server,
}

/// Objects of a pack that are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deleted {
    All,
    SecondCopies,
    Nothing,
}

impl Lineage {
    fn new(features: Features) -> Self {
        let store = Arc::new(MemoryStore::new());
        let shared = support::shared(&store);
        let repository = support::init_as_earlier(shared, Protected::Encrypted, features, 1);
        let mut made = Self { store, repository, server: Server::new(1, 2, 40) };
        made.night(2);
        made.night(2);
        made.server = Server::new(99, 2, 40);
        made
    }

    fn night(&mut self, workers: u32) -> BackupReport {
        let options =
            BackupOptions { at_once: AtOnce::with_workers(workers), ..support::options() };
        let stream = self.server.stream();
        let exit = ProducerExit::Exited(0);
        let report = support::back_up_with(&self.repository, &stream, exit, &options).unwrap();
        let id = report.id.to_string();
        assert!(support::stream_of(&self.repository, &id).unwrap() == stream, "it restores");
        self.server.night(12);
        report
    }

    /// Removes all snapshots but the newest ones, and packs that these do not need.
    fn prune(&self, keep: usize, deleted: Deleted) -> BTreeSet<PackName> {
        let mut snapshots = self.repository.snapshots().unwrap().snapshots;
        let kept = snapshots.split_off(snapshots.len() - keep);
        for stored in snapshots {
            self.store.delete(&stored.name.object()).unwrap();
        }
        let world = World::of_this_machine();
        let mut reader = NeedsReader::new(&self.repository, &world.monitor);
        let mut needed = BTreeSet::new();
        for stored in kept.iter().rev() {
            let needs = reader.of(stored).unwrap();
            needs.visit(&mut |record, _| _ = needed.insert(record.name));
        }
        let mut gone = BTreeSet::new();
        for name in self.store.objects().keys() {
            let pack = match Object::parse(name) {
                Some(Object::Pack(pack)) if deleted == Deleted::All => pack,
                Some(Object::Twin(pack)) if deleted != Deleted::Nothing => pack,
                Some(_) | None => continue,
            };
            if !needed.contains(&pack) {
                self.store.delete(name).unwrap();
                gone.insert(pack);
            }
        }
        gone
    }

    fn verified(&self, depth: Depth) -> VerifyReport {
        let options = VerifyOptions { workers: 2, ..VerifyOptions::new(depth) };
        verify(&self.repository, &options, &World::of_this_machine()).unwrap()
    }

    fn assert_no_damage(&self, unneeded: usize) {
        for depth in DEPTHS {
            let report = self.verified(depth);
            assert_eq!(report.findings, [], "{depth:?}");
            let notes: Vec<String> = report.notes.into_iter().map(|note| note.what).collect();
            let note = format!("packs that are not there, and that no snapshot needs: {unneeded}");
            assert_eq!(notes, [note], "{depth:?}");
        }
        let world = World::of_this_machine();
        let repair = repair::plan(&self.repository, 2, &world).unwrap();
        assert_eq!((repair.make.len(), repair.remove().len()), (0, 0));
        assert_eq!(repair.lost, Vec::<String>::new());
    }

    fn has_any(&self, packs: &BTreeSet<PackName>) -> bool {
        let there = |object: Object| self.store.size(&object.name()).unwrap().is_some();
        packs.iter().any(|name| there(Object::Pack(*name)) || there(Object::Twin(*name)))
    }
}

fn with_lists() -> Features {
    FEATURES_MADE.with(Features::NEEDS)
}

fn assert_silent(report: &BackupReport) {
    assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
    assert!(!report.has_findings(), "{:?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.code != "damage-passed-over"));
}

#[test]
fn absent_and_unneeded_is_no_damage() {
    for workers in [1, 2, 4] {
        let mut lineage = Lineage::new(with_lists());
        lineage.night(workers);
        lineage.night(workers);
        let gone = lineage.prune(2, Deleted::All);
        let kinds = gone.iter().filter(|name| {
            let newest = lineage.repository.find_snapshot("latest").unwrap();
            let records = newest.snapshot.packs.records;
            let class = records.iter().find(|record| record.name == **name).unwrap().class;
            class == haulout::base::ids::Class::Meta
        });
        let metas = kinds.count();
        assert!(metas > 0 && gone.len() > metas, "{metas} of {} are of maps", gone.len());
        lineage.assert_no_damage(gone.len());
        for _ in 0..3 {
            assert_silent(&lineage.night(workers));
        }
        assert!(!lineage.has_any(&gone), "nothing came back");
        lineage.assert_no_damage(gone.len());
        let more = lineage.prune(1, Deleted::All);
        assert_silent(&lineage.night(workers));
        lineage.assert_no_damage(gone.len() + more.len());
    }
}

#[test]
fn a_copy_of_what_is_needed_is_whole() {
    let mut lineage = Lineage::new(with_lists());
    lineage.night(2);
    lineage.night(2);
    let gone = lineage.prune(2, Deleted::All);
    let far = Arc::new(MemoryStore::new());
    let world = World::of_this_machine();
    let snapshots = lineage.repository.snapshots().unwrap().snapshots;
    let options = ReplicateOptions::new(snapshots);
    let planned =
        replicate::plan(&lineage.repository, support::shared(&far), options, &world).unwrap();
    let report = planned.send(&world).unwrap();
    assert_eq!((report.sent.len(), report.left_out.len()), (2, 0));
    assert_eq!(report.damaged, Vec::<String>::new());
    let repository = support::open(support::shared(&far), 7).unwrap();
    let copy = Lineage { store: far, repository, server: lineage.server };
    copy.assert_no_damage(gone.len());
    for stored in copy.repository.snapshots().unwrap().snapshots {
        support::stream_of(&copy.repository, &stored.id().to_string()).unwrap();
    }
}

#[test]
fn of_unneeded_packs_no_second_copy_is_made_again_and_of_needed_ones_it_is() {
    let mut lineage = Lineage::new(with_lists());
    lineage.night(2);
    let before = lineage.store.objects();
    lineage.night(2);
    let gone = lineage.prune(2, Deleted::SecondCopies);
    assert!(!gone.is_empty());
    let is_new =
        |name: &&ObjectName| name.as_str().starts_with("twins/") && !before.contains_key(name);
    let objects = lineage.store.objects();
    let needed = objects.keys().find(is_new).unwrap();
    lineage.store.delete(needed).unwrap();
    let report = lineage.night(2);
    assert_eq!(report.packs_absent, 0);
    assert!(lineage.store.size(needed).unwrap().is_some(), "a needed one is made again");
    let is_back =
        |pack: &PackName| lineage.store.size(&Object::Twin(*pack).name()).unwrap().is_some();
    assert!(!gone.iter().any(is_back), "half deleted packs stay so");
    lineage.assert_no_damage(gone.len());
}

#[test]
fn a_needed_pack_that_is_absent_is_damage_as_ever() {
    let mut lineage = Lineage::new(with_lists());
    let stream = lineage.server.stream();
    lineage.night(2);
    lineage.prune(1, Deleted::All);
    let objects = lineage.store.objects();
    let has_twin = |name: &&ObjectName| {
        let twin = name.as_str().replace("packs/", "twins/");
        objects.contains_key(&ObjectName::new(&twin).unwrap())
    };
    let packs = objects.keys().filter(|name| name.as_str().starts_with("packs/"));
    let data: Vec<&ObjectName> = packs.filter(|name| !has_twin(name)).collect();
    data.iter().for_each(|name| lineage.store.delete(name).unwrap());
    let report = lineage.verified(Depth::Objects);
    assert!(report.findings.len() > data.len(), "{:?}", report.findings);
    let report = support::back_up(&lineage.repository, &stream);
    assert_eq!(report.packs_absent, data.len());
    assert!(report.counts.blocks_healed > 0 && report.has_findings());
    assert_eq!(lineage.verified(Depth::Pages).findings, [], "all of it was stored again");
}

#[test]
fn a_snapshot_without_a_list_is_walked_once_and_then_its_note_tells() {
    let mut lineage = Lineage::new(FEATURES_MADE.without(Features::NEEDS));
    lineage.night(2);
    let keyring = lineage.repository.keyring();
    set_features(&*lineage.store, keyring, Features::NEEDS, "").unwrap();
    lineage.repository = support::open(support::shared(&lineage.store), 5).unwrap();
    let gone = lineage.prune(1, Deleted::All);
    // The snapshot says nothing: each pack of its table counts as needed, as before.
    assert_eq!(lineage.verified(Depth::Objects).notes, []);
    assert!(!lineage.verified(Depth::Objects).findings.is_empty());
    let world = World::of_this_machine();
    let stored = lineage.repository.find_snapshot("latest").unwrap();
    let needs = lineage.repository.needs_of(&stored, &world.monitor).unwrap();
    assert_eq!(needs.known_from(), KnownFrom::Walk);
    let list = lineage.repository.need_list(&stored, &needs, &world.monitor).unwrap();
    let note = NeedsNote { time: 1, walked_by: "ab".repeat(16), list };
    assert_eq!(lineage.repository.note_needs(&stored, &note).unwrap(), Kept::Yes);
    let again = lineage.repository.needs_of(&stored, &world.monitor).unwrap();
    assert_eq!(again.known_from(), KnownFrom::Note);
    lineage.assert_no_damage(gone.len());
    assert_silent(&lineage.night(2));
    lineage.assert_no_damage(gone.len());
    // Tags are read beside it.
    assert!(lineage.repository.notes(None).unwrap().damaged.is_empty());
}

/// Requests of an unchanged night, by verb, to a copy of the store.
fn requests_of_a_night(lineage: &Lineage) -> Vec<(Verb, u64)> {
    let copy = MemoryStore::new();
    copy.set_objects(lineage.store.objects());
    let counted = Arc::new(Recording::new(copy));
    let repository = support::open(support::shared(&counted), 9).unwrap();
    counted.reset();
    support::back_up(&repository, &lineage.server.stream());
    let verbs = [Verb::List, Verb::Get, Verb::GetRange, Verb::Size, Verb::Put];
    verbs.map(|verb| (verb, counted.calls(verb))).to_vec()
}

#[test]
fn a_list_is_read_only_if_a_pack_is_absent_and_costs_one_request() {
    let mut lineage = Lineage::new(with_lists());
    lineage.night(2);
    lineage.night(2);
    support::back_up(&lineage.repository, &lineage.server.stream());
    lineage.prune(2, Deleted::Nothing);
    let without = requests_of_a_night(&lineage);
    let gone = lineage.prune(2, Deleted::All);
    assert!(!gone.is_empty());
    let with = requests_of_a_night(&lineage);
    for ((verb, before), (_, after)) in without.into_iter().zip(with) {
        let more = u64::from(verb == Verb::GetRange);
        assert!(after <= before + more, "{verb:?}: {before} before, {after} after");
    }
}
