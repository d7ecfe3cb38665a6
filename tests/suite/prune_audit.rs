//! The audit of need lists before a prune: a list that names a pack too few ends it without a
//! deletion, one that names a data pack too many is reported, and so is what can't be read.

use crate::support;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::ids::Class;
use haulout::base::ids::Entry;
use haulout::base::ids::Locator;
use haulout::base::ids::PackIndex;
use haulout::base::ids::Storage;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::format::needs::NEEDS;
use haulout::format::needs::Need;
use haulout::format::needs::NeedList;
use haulout::format::record::MapRoot;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::AuditFinding;
use haulout::ops::prune::Audited;
use haulout::ops::prune::NeedLists;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::WrongList;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::needs::NeedsReader;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Recording;

use crate::support::Protected;
use crate::support::Server;
use crate::support::program::Place;
use crate::support::stepping_world;

/// Nights of the repositories here.
const NIGHTS: usize = 6;

/// A repository of some nights, of which the first ones are to be removed.
fn nights(store: &Arc<MemoryStore>, protected: Protected) -> Repository {
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let repository = support::init_as_earlier(support::shared(store), protected, features, 1);
    let mut server = Server::new(7, 2, 60);
    for _ in 0..NIGHTS {
        back_up(&repository, "shop", &server.stream());
        // Nearly every page changes, so that what a night stored is soon not needed any more.
        server.night(300);
    }
    repository
}

fn back_up(repository: &Repository, source: &str, stream: &[u8]) -> StoredSnapshot {
    let (source, at_once) = (source.to_owned(), AtOnce::with_workers(2));
    let options = BackupOptions { source, at_once, ..support::options() };
    let exit = ProducerExit::Exited(0);
    let id = support::back_up_with(repository, stream, exit, &options).unwrap().id;
    repository.find_snapshot(&id.to_string()).unwrap()
}

fn audited(repository: &Repository, removed: usize) -> PruneReport {
    prune::prune(repository, &auditing(repository, removed), &stepping_world()).unwrap()
}

/// The options that remove the oldest snapshots after an audit.
fn auditing(repository: &Repository, oldest: usize) -> PruneOptions {
    let snapshots = repository.snapshots().unwrap().snapshots;
    let removes = snapshots.iter().take(oldest).map(support::removing).collect();
    PruneOptions { removes, need_lists: NeedLists::Audited, ..PruneOptions::default() }
}

/// The need list of a snapshot.
fn list_of(repository: &Repository, stored: &StoredSnapshot) -> NeedList {
    let world = World::of_this_machine();
    let needs = NeedsReader::new(repository, &world.monitor).listed(stored).unwrap().unwrap();
    repository.need_list(stored, &needs, &world.monitor).unwrap()
}

/// Puts the newest snapshot again, as the next one, with another need list: the bytes of the list
/// are stored by a backup of another source, and the snapshot names the place where they are.
fn put_with_list(repository: &Repository, list: &NeedList) -> StoredSnapshot {
    let newest = repository.find_snapshot("latest").unwrap();
    let carrier = back_up(repository, "carrier", &list.encode());
    let world = World::of_this_machine();
    let contents = repository.contents(&carrier, &world.monitor).unwrap();
    let member = contents.table().cursor().next().unwrap().unwrap();
    let MapRoot::Inline(entries) = &member.map else { panic!("a short list") };
    let [Entry { storage: Storage::Whole(at), .. }] = entries[..] else { panic!("one block") };
    let table = contents.packs().table();
    let pack = *table.get(at.pack).unwrap();
    let mut snapshot = newest.snapshot.clone();
    let index = PackIndex(snapshot.packs.total);
    snapshot.packs.records.push(pack);
    snapshot.packs.total += 1;
    let place = Storage::Whole(Locator { pack: index, ..at });
    let record = snapshot.internal.iter_mut().find(|one| one.key.path == NEEDS.as_bytes()).unwrap();
    record.length = member.length;
    record.blocks = member.blocks;
    record.map = MapRoot::Inline(vec![Entry { storage: place, ..entries[0] }]);
    snapshot.about.sequence += 1;
    snapshot.about.time += 1;
    let (id, _) = repository.put_snapshot(newest.name.source, &snapshot).unwrap();
    repository.find_snapshot(&id.to_string()).unwrap()
}

fn objects(store: &MemoryStore) -> BTreeSet<ObjectName> {
    store.objects().into_keys().filter(|name| !name.as_str().starts_with("intents/")).collect()
}

fn only(audited: Option<Audited>) -> AuditFinding {
    let mut findings = audited.unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

#[test]
fn lists_that_are_right_let_a_prune_delete_what_it_deletes_without_an_audit() {
    let stores = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let [plain, other] = stores.each_ref().map(|store| nights(store, Protected::Encrypted));
    let options = PruneOptions { need_lists: NeedLists::Believed, ..auditing(&plain, 3) };
    let without = prune::prune(&plain, &options, &stepping_world()).unwrap();
    let with = audited(&other, 3);
    assert!(without.audit.is_none());
    let audit = with.audit.unwrap();
    assert_eq!((audit.snapshots, audit.without_list, audit.findings.len()), (3, 0, 0));
    assert!(!with.deleted.is_empty());
    assert_eq!(with.deleted.len(), without.deleted.len());
    assert_eq!(objects(&stores[0]).len(), objects(&stores[1]).len());
}

#[test]
fn a_list_that_names_a_pack_too_few_ends_the_prune_without_a_deletion() {
    for class in [Class::Data, Class::Meta] {
        let store = Arc::new(MemoryStore::new());
        let repository = nights(&store, Protected::Encrypted);
        let newest = repository.find_snapshot("latest").unwrap();
        let mut list = list_of(&repository, &newest);
        let world = World::of_this_machine();
        let table = repository.pack_table(&newest.snapshot.packs, &world.monitor).unwrap();
        let is_one = |need: &Need| table.get(need.at).unwrap().class == class;
        // Not the packs of its own run: some of these hold the nodes of its pack table.
        let at = list.packs.iter().position(is_one).unwrap();
        let lacking = table.get(list.packs.remove(at).at).unwrap().name;
        let wrong = put_with_list(&repository, &list);
        let before = objects(&store);
        // What the plan says, and then what the prune does.
        let plan = prune::plan(&repository, &auditing(&repository, 3), &stepping_world()).unwrap();
        let report = audited(&repository, 3);
        assert!(report.deleted.is_empty() && report.removed.is_empty());
        assert_eq!(objects(&store), before, "nothing was deleted, and nothing removed");
        for audit in [plan.audit, report.audit] {
            assert!(audit.as_ref().unwrap().forbids_deletions());
            let finding = only(audit);
            assert_eq!(finding.snapshot, wrong.name);
            let WrongList::NamesFewer(packs) = finding.fault else { panic!("{finding:?}") };
            assert_eq!((packs.count, packs.packs), (1, vec![lacking]));
        }
        // It is what a prune that believes the list may delete.
        let snapshots = repository.snapshots().unwrap().snapshots;
        let others = snapshots.iter().filter(|stored| stored.name != wrong.name);
        let removes = others.map(support::removing).collect();
        let options = PruneOptions { removes, ..PruneOptions::default() };
        let believed = prune::prune(&repository, &options, &stepping_world()).unwrap();
        assert!(believed.deleted.iter().any(|doomed| doomed.pack == lacking), "{class:?}");
    }
}

#[test]
fn a_list_that_names_a_data_pack_too_many_is_reported_and_the_prune_goes_on() {
    let store = Arc::new(MemoryStore::new());
    let repository = nights(&store, Protected::Encrypted);
    // Another server, whose maps have nothing in common with those before.
    let newest = back_up(&repository, "shop", &Server::new(99, 2, 60).stream());
    let mut list = list_of(&repository, &newest);
    let world = World::of_this_machine();
    let table = repository.pack_table(&newest.snapshot.packs, &world.monitor).unwrap();
    let is_unneeded = |at: PackIndex| list.packs.iter().all(|need| need.at != at);
    let unneeded = |class| {
        let mut all = table.iter().filter(|(at, one)| one.class == class && is_unneeded(*at));
        all.next().unwrap()
    };
    let (at, record) = unneeded(Class::Data);
    let (pages, _) = unneeded(Class::Meta);
    let extra = [Need { at, places: 1, bases: 0 }, Need { at: pages, places: 0, bases: 0 }];
    list.packs.extend(extra);
    list.packs.sort_by_key(|need| need.at);
    let wrong = put_with_list(&repository, &list);
    let report = audited(&repository, NIGHTS + 1);
    assert_eq!(report.removed.len(), NIGHTS + 1);
    assert!(!report.deleted.is_empty());
    assert!(report.deleted.iter().all(|doomed| doomed.pack != record.name), "it is kept");
    let finding = only(report.audit);
    assert!(!finding.forbids_deletions());
    assert_eq!(finding.snapshot, wrong.name);
    // That it names a pack of pages as well is within the format.
    let WrongList::NamesMore(packs) = finding.fault else { panic!("{finding:?}") };
    assert_eq!((packs.count, packs.packs), (1, vec![record.name]));
}

#[test]
fn a_map_that_can_not_be_read_ends_an_audited_prune_without_a_deletion() {
    let store = Arc::new(MemoryStore::new());
    nights(&store, Protected::Clear);
    let whole = store.objects();
    let twins = whole.keys().filter_map(|name| match Object::parse(name) {
        Some(Object::Twin(pack)) => Some(pack),
        _ => None,
    });
    let mut found = 0;
    for pack in twins {
        let damaged = Arc::new(MemoryStore::new());
        for (name, bytes) in &whole {
            let mut bytes = bytes.to_vec();
            if [Object::Pack(pack).name(), Object::Twin(pack).name()].contains(name) {
                // Frames come first: a need list is one of the last.
                bytes[100..110].fill(0x55);
            }
            damaged.put(name, &[Bytes::from(bytes)]).unwrap();
        }
        let repository = support::open(support::shared(&damaged), 2).unwrap();
        let newest = repository.find_snapshot("latest").unwrap();
        let world = World::of_this_machine();
        let mut reader = NeedsReader::new(&repository, &world.monitor);
        if reader.listed(&newest).is_err() || reader.walked(&newest).is_ok() {
            continue;
        }
        found += 1;
        let before = objects(&damaged);
        let report = audited(&repository, NIGHTS - 1);
        assert_eq!(objects(&damaged), before, "nothing was deleted");
        let finding = only(report.audit);
        assert_eq!(finding.snapshot, newest.name);
        assert!(matches!(finding.fault, WrongList::Unread(_)), "{finding:?}");
        assert!(finding.forbids_deletions());
    }
    assert!(found > 0, "no pack holds a map and no list");
}

#[test]
fn an_audit_reads_each_pack_of_pages_once_for_a_source() {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let memory = Arc::new(MemoryStore::new());
    nights(&memory, Protected::Encrypted);
    for (name, bytes) in memory.objects() {
        store.put(&name, &[Bytes::from(bytes.to_vec())]).unwrap();
    }
    let requests = |need_lists| {
        let repository = support::open(support::shared(&store), 2).unwrap();
        store.reset();
        let options = PruneOptions { need_lists, ..PruneOptions::default() };
        prune::plan(&repository, &options, &stepping_world()).unwrap();
        store.log().len()
    };
    let (without, with) = (requests(NeedLists::Believed), requests(NeedLists::Audited));
    let pages = memory.objects().into_keys();
    let pages = pages.filter(|name| matches!(Object::parse(name), Some(Object::Twin(_)))).count();
    assert!(with > without, "maps were read");
    assert!(with <= without + 3 * pages + NIGHTS, "{with} requests, {without} without an audit");
    assert_eq!(store.log().iter().filter(|call| call.verb == Verb::Put).count(), 0);
}

#[test]
fn the_program_names_the_snapshot_and_the_packs_and_exits_with_3() {
    let store = Arc::new(MemoryStore::new());
    let repository = nights(&store, Protected::Clear);
    let newest = repository.find_snapshot("latest").unwrap();
    let mut list = list_of(&repository, &newest);
    let good = in_a_place(&store);
    let audit = &good.ran(&["prune", "--audit", "--json"]).is(0).json()["audit"];
    assert_eq!((&audit["snapshots"], &audit["findings"]), (&6.into(), &serde_json::json!([])));
    let text = good.ran(&["prune", "--audit"]).is(0).out();
    assert!(text.contains("6 need lists compared with the maps: none is wrong"), "{text}");
    let none = &good.ran(&["prune", "--json"]).is(0).json()["audit"];
    assert!(none.is_null());

    let removed = list.packs.remove(0);
    let world = World::of_this_machine();
    let table = repository.pack_table(&newest.snapshot.packs, &world.monitor).unwrap();
    let pack = table.get(removed.at).unwrap().name.to_string();
    let wrong = put_with_list(&repository, &list).id().to_string();
    let place = in_a_place(&store);
    let stop = "nothing is deleted while a snapshot could lose packs";
    for line in [&["prune", "--audit", "--plan"][..], &["prune", "--audit", "--yes"]] {
        let text = place.ran(line).is(3).out();
        assert!(text.contains(&wrong[..6]) && text.contains(&pack), "{text}");
        assert!(text.contains(stop), "{text}");
        let json = place.ran(&[line, &["--json"]].concat()).is(3).json();
        let audit = &json["audit"];
        assert_eq!(audit["forbids_deletions"], true);
        let finding = &audit["findings"][0];
        assert_eq!((&finding["snapshot"], &finding["count"]), (&wrong.clone().into(), &1.into()));
        assert_eq!(
            (&finding["fault"], &finding["packs"][0]),
            (&"names-fewer".into(), &pack.clone().into())
        );
    }
    let skipped = place.ran(&["prune", "--audit", "--json", "--yes"]).is(3).json();
    let why = skipped["compaction"]["skipped"].as_str().unwrap().to_owned();
    assert!(why.contains("a need list names too few packs"), "{why}");
}

/// A place with the objects of a store.
fn in_a_place(store: &MemoryStore) -> Place {
    let place = Place::empty();
    for (name, bytes) in store.objects() {
        let path = place.path("repo").join(name.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    place
}
