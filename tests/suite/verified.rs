//! What was verified is remembered: slices one after the other verify each pack once before any
//! twice, whoever verifies beside them, and nobody is told that something was verified that was
//! not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use haulout::base::clock::Clock;
use haulout::base::entropy::SeededEntropy;
use haulout::base::ids::PackName;
use haulout::base::num::u64_of;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::format::layout::Object;
use haulout::format::verified::Verified;
use haulout::ops::replicate;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::verify::Ages;
use haulout::ops::verify::Budget;
use haulout::ops::verify::Depth;
use haulout::ops::verify::SliceReport;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::ages;
use haulout::ops::verify::plan_oldest;
use haulout::ops::verify::verify;
use haulout::ops::verify::verify_oldest;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::Keys;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::object::ObjectKind;
use haulout::seal::slot_contents::Role;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Meeting;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::open;
use crate::support::shared;
use crate::support::world_at;

const DAY: u64 = 24 * 60 * 60;
/// The time of the first night.
const FIRST: u64 = 1_795_000_000;

/// A repository in packs that are as small as they may be: more than any queue holds.
struct Nights {
    store: Arc<MemoryStore>,
    server: Server,
    count: u64,
}

impl Nights {
    fn new(count: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let features = FEATURES_MADE.with(Features::NEEDS).with(Features::INTENTS);
        support::init_as_earlier(shared(&store), Protected::Encrypted, features, 1);
        let mut nights = Self { store, server: Server::new(9, 6, 128), count: 0 };
        (0..count).for_each(|_| nights.night());
        nights
    }

    fn night(&mut self) {
        let mut options = support::options();
        options.at_once.pack_bytes = (2 << 20) + 4096;
        let repository = open(shared(&self.store), 100 + self.count).unwrap();
        let (stream, exit) = (self.server.stream(), ProducerExit::Exited(0));
        support::back_up_with(&repository, &stream, exit, &options).unwrap();
        self.server.night(60);
        self.count += 1;
    }

    fn repository(&self) -> Repository {
        open(shared(&self.store), 7).unwrap()
    }

    fn packs(&self) -> BTreeSet<PackName> {
        let objects = self.store.objects();
        let pack = |name: &ObjectName| match Object::parse(name) {
            Some(Object::Pack(pack)) => Some(pack),
            Some(_) | None => None,
        };
        objects.keys().filter_map(pack).collect()
    }

    fn records(&self) -> Vec<ObjectName> {
        let is_one = |name: &&ObjectName| Folder::of(name) == Some(Folder::Verified);
        self.store.objects().keys().filter(is_one).cloned().collect()
    }
}

fn options(depth: Depth, workers: u32) -> VerifyOptions {
    VerifyOptions { workers, ..VerifyOptions::new(depth) }
}

fn slice(repository: &Repository, options: &VerifyOptions, percent: u8, time: u64) -> SliceReport {
    let world = World { monitor: Arc::default(), ..world_at(time) };
    let report = verify_oldest(repository, options, Budget::Percent(percent), &world).unwrap();
    assert_eq!(report.report.findings, []);
    report
}

fn ages_at(repository: &Repository, options: &VerifyOptions, time: u64) -> Ages {
    let report = ages(repository, options, &world_at(time)).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    report.ages
}

fn whole(repository: &Repository, options: &VerifyOptions, time: u64) -> VerifyReport {
    verify(repository, options, &world_at(time)).unwrap()
}

#[test]
fn a_cycle_of_slices_verifies_each_pack_once_and_only_once() {
    let nights = Nights::new(3);
    let packs = nights.packs();
    assert!(packs.len() > 30, "{} packs", packs.len());
    for depth in [Depth::Stored, Depth::Blocks] {
        for workers in [1, 2, 4] {
            let store = MemoryStore::new();
            store.set_objects(nights.store.objects());
            let store = Arc::new(Recording::new(store));
            let repository = open(shared(&store), 7).unwrap();
            store.reset();
            let options = options(depth, workers);
            let mut cycles = [BTreeSet::new(), BTreeSet::new()];
            let mut time = FIRST;
            for cycle in &mut cycles {
                store.reset();
                while cycle.len() < packs.len() {
                    let done = slice(&repository, &options, 15, time);
                    assert!(!done.checked.is_empty(), "each slice verifies something");
                    let left = packs.len() - cycle.len();
                    for (number, pack) in done.checked.iter().enumerate() {
                        // The last slice of a cycle goes on with the next one.
                        assert!(
                            cycle.insert(*pack) || number >= left,
                            "{depth:?} {workers}: twice"
                        );
                    }
                    assert!(done.checked.len() < packs.len() / 3, "a slice is a part");
                    time += DAY;
                }
                assert!(*cycle == packs, "{depth:?} {workers}: each pack in each cycle");
            }
            let ages = ages_at(&repository, &options, time);
            assert_eq!((ages.all().count, ages.never.count), (u64_of(packs.len()), 0));
            let objects = store.inner().objects();
            let records = objects.keys().filter(|name| Folder::of(name) == Some(Folder::Verified));
            assert_eq!(records.count(), 1, "records are joined");
        }
    }
}

#[test]
fn a_cycle_of_stored_reads_each_byte_once() {
    let nights = Nights::new(3);
    let store = Arc::new(Recording::new(Arc::clone(&nights.store)));
    let repository = open(shared(&store), 7).unwrap();
    let options = options(Depth::Stored, 2);
    let world = world_at(FIRST);
    let plan = plan_oldest(&repository, &options, Budget::Percent(20), &world).unwrap();
    assert_eq!(plan.ages.never, plan.ages.all());
    let of_packs = nights.store.objects();
    let of_packs = of_packs.iter().filter(|(name, _)| Folder::holds_packs(name));
    let (objects, bytes) = of_packs.fold((0, 0), |(objects, bytes), (_, content)| {
        (objects + 1, bytes + u64::try_from(content.len()).unwrap())
    });
    assert_eq!((plan.all.objects, plan.all.bytes), (objects, bytes), "the plan tells the cost");
    assert!(plan.slice.bytes <= bytes / 5 + 1 && plan.slice.bytes > bytes / 10);
    store.reset();
    let mut read = 0;
    for day in 0.. {
        let done = slice(&repository, &options, 20, FIRST + day * DAY);
        read += done.bytes;
        if done.report.ages.unwrap().never.count == 0 {
            break;
        }
    }
    let got = ["packs/", "twins/"]
        .map(|folder| (store.calls_under(Verb::Get, folder), store.bytes_under(Verb::Get, folder)));
    let sum = (got[0].0 + got[1].0, got[0].1 + got[1].1);
    let once_more = sum.1 - bytes;
    assert!(once_more <= bytes / 5, "only the last slice reads on: {once_more}");
    assert_eq!(sum.1, read);
}

#[test]
fn what_a_night_adds_comes_first_and_nothing_is_verified_twice_for_it() {
    let mut nights = Nights::new(2);
    let options = options(Depth::Blocks, 2);
    let first = slice(&nights.repository(), &options, 40, FIRST);
    let before = nights.packs();
    nights.night();
    let new: BTreeSet<PackName> = nights.packs().difference(&before).copied().collect();
    assert!(!new.is_empty());
    let mut done: BTreeSet<PackName> = first.checked.iter().copied().collect();
    let mut time = FIRST;
    let mut again = 0;
    while done.len() < nights.packs().len() {
        time += DAY;
        let left = nights.packs().len() - done.len();
        let more = slice(&nights.repository(), &options, 25, time);
        let fresh = more.checked.iter().take(left).filter(|pack| done.insert(**pack)).count();
        assert_eq!(fresh, left.min(more.checked.len()), "what was never verified comes first");
        again += more.checked.len() - fresh;
    }
    let ages = ages_at(&nights.repository(), &options, time);
    assert_eq!(ages.never.count, 0);
    assert_eq!(ages.oldest.unwrap().verified, Some(FIRST));
    let ever = |age| ages.older_than(Duration::from_secs(age), time).count;
    assert_eq!(ever(time - FIRST), 0);
    let of_first = u64::try_from(first.checked.len() - again).unwrap();
    assert_eq!(ever(time - FIRST - 1), of_first, "the last slice goes on with the next cycle");
}

#[test]
fn whole_runs_and_slices_count_for_each_other_and_snapshots_tell_it() {
    let mut nights = Nights::new(2);
    let repository = nights.repository();
    whole(&repository, &options(Depth::Stored, 2), FIRST);
    let of_latest = |repository: &Repository| {
        let id = repository.find_snapshot("latest").unwrap().id();
        let record = repository.verified_records().unwrap().merged();
        let depths = record.snapshots.get(&id.into()).copied().unwrap_or_default();
        depths.map(|by| record.verification(by).map(|one| one.time))
    };
    assert_eq!(of_latest(&repository), [Some(FIRST), Some(FIRST), None, None]);
    // Of one snapshot blocks are verified; of packs only what does not depend on others.
    let latest = repository.find_snapshot("latest").unwrap();
    let blocks = options(Depth::Blocks, 2);
    let one = VerifyOptions { snapshots: vec![latest], ..blocks.clone() };
    whole(&repository, &one, FIRST + DAY);
    let next = Some(FIRST + DAY);
    assert_eq!(of_latest(&repository), [next, next, next, None]);
    assert_eq!(ages_at(&repository, &blocks, FIRST).never.count, u64_of(nights.packs().len()));
    assert_eq!(ages_at(&repository, &options(Depth::Stored, 1), FIRST).never.count, 0);
    // A new one is not verified because those before it are.
    nights.night();
    let repository = nights.repository();
    assert_eq!(of_latest(&repository), [None; 4]);
    for day in 2..12 {
        slice(&repository, &options(Depth::Pages, 2), 15, FIRST + day * DAY);
    }
    let [objects, stored, blocks, pages] = of_latest(&repository);
    assert_eq!(objects, Some(FIRST + 11 * DAY), "every run compares sizes");
    assert!(pages > Some(FIRST + DAY) && stored == pages && blocks == pages, "{pages:?}");
}

#[test]
fn what_no_kept_snapshot_needs_is_not_verified_and_is_not_overdue() {
    let mut nights = Nights::new(1);
    nights.server = Server::new(77, 2, 64);
    nights.night();
    let repository = nights.repository();
    let options = options(Depth::Stored, 2);
    let all = plan_oldest(&repository, &options, Budget::Percent(100), &world_at(FIRST)).unwrap();
    assert_eq!(all.all.packs, u64_of(nights.packs().len()));
    let first = repository.snapshots().unwrap().snapshots.remove(0);
    let about = &first.snapshot.about;
    let removal = haulout::format::removed::Removal {
        time: FIRST,
        program: String::new(),
        host: String::new(),
        predecessor: None,
        run: about.run.clone(),
        runs: Vec::new(),
        kind: about.kind,
        verdict: about.verdict,
        requires: Vec::new(),
        reason: String::new(),
        replaced_by: None,
        origin: None,
    };
    repository.put_removal(&first.name, &removal).unwrap();
    let repository = nights.repository();
    let plan = plan_oldest(&repository, &options, Budget::Percent(100), &world_at(FIRST)).unwrap();
    assert!(plan.all.packs < all.all.packs / 2, "{} of {}", plan.all.packs, all.all.packs);
    let done = slice(&repository, &options, 100, FIRST);
    assert_eq!(u64_of(done.checked.len()), plan.all.packs);
    assert!(done.left.is_empty());
    let ages = done.report.ages.unwrap();
    assert_eq!((ages.all().count, ages.never.count), (plan.all.packs, 0));
    assert_eq!(ages_at(&repository, &options, FIRST), ages);
}

#[test]
fn two_verifications_at_once_lose_nothing_of_either() {
    for (verb, nth) in [(Verb::List, 1), (Verb::List, 2), (Verb::Put, 1), (Verb::Delete, 1)] {
        let nights = Nights::new(2);
        let options = options(Depth::Stored, 2);
        slice(&nights.repository(), &options, 10, FIRST);
        let other = nights.repository();
        let beside = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let (seen, also) = (Arc::clone(&beside), options.clone());
        let met =
            Meeting::new(Arc::clone(&nights.store)).before(verb, "verified/", nth, move || {
                let done = slice(&other, &also, 30, FIRST + DAY);
                seen.lock().unwrap().extend(done.checked);
            });
        let repository = open(Arc::new(met), 8).unwrap();
        let own = slice(&repository, &options, 30, FIRST + DAY + 1);
        let beside = beside.lock().unwrap().clone();
        assert!(!beside.is_empty(), "{verb:?} {nth}");
        let both: BTreeSet<PackName> = own.checked.into_iter().chain(beside).collect();
        let repository = nights.repository();
        let ages = ages_at(&repository, &options, FIRST + 2 * DAY);
        let late: u64 = ages.since.range(FIRST + DAY..).map(|(_, packs)| packs.count).sum();
        assert_eq!(late, u64_of(both.len()), "{verb:?} {nth}");
        slice(&repository, &options, 1, FIRST + 3 * DAY);
        assert_eq!(nights.records().len(), 1, "{verb:?} {nth}: the next one joins them");
    }
}

#[test]
fn who_may_not_put_is_told_and_goes_on_by_what_the_host_remembers() {
    let nights = Nights::new(2);
    let fault = Fault::first(Verb::Put, Effect::RefuseBefore(Category::Denied))
        .ever_after()
        .under("verified/");
    let denied = Arc::new(Failing::new(Arc::clone(&nights.store), vec![fault]));
    let repository = open(shared(&denied), 8).unwrap();
    let mut options = options(Depth::Stored, 2);
    let mut done = BTreeSet::new();
    for day in 0..4 {
        let more = slice(&repository, &options, 20, FIRST + day * DAY);
        let unrecorded = more.report.unrecorded.unwrap();
        assert!(unrecorded.why.contains("verified/"), "{}", unrecorded.why);
        let fresh = more.checked.iter().filter(|pack| done.insert(**pack)).count();
        assert_eq!(fresh, more.checked.len(), "nothing twice");
        options.known_here = unrecorded.text;
    }
    assert_eq!(nights.records().len(), 0);
    let remembered = ages_at(&repository, &options, FIRST + 4 * DAY);
    assert_eq!(remembered.all().count - remembered.never.count, u64_of(done.len()));
    let recorded = VerifyOptions { known_here: Vec::new(), ..options.clone() };
    let recorded = ages_at(&repository, &recorded, FIRST + 4 * DAY);
    assert_eq!(recorded.never, recorded.all(), "the repository knows nothing of it");
    // Once it may put, what the host remembers goes into the repository.
    slice(&nights.repository(), &options, 1, FIRST + 4 * DAY);
    options.known_here = Vec::new();
    let told = ages_at(&nights.repository(), &options, FIRST + 4 * DAY);
    assert!(told.never.count <= remembered.never.count);
    // Nonsense is said and passed over.
    options.known_here = b"nonsense".to_vec();
    let report = whole(&nights.repository(), &options, FIRST + 5 * DAY);
    assert!(report.notes.iter().any(|note| note.what.contains("passed over")), "{report:?}");
}

#[test]
fn who_may_not_delete_leaves_records_and_loses_nothing() {
    let nights = Nights::new(2);
    let fault = Fault::first(Verb::Delete, Effect::RefuseBefore(Category::Denied))
        .ever_after()
        .under("verified/");
    let denied = Arc::new(Failing::new(Arc::clone(&nights.store), vec![fault]));
    let repository = open(shared(&denied), 8).unwrap();
    let options = options(Depth::Stored, 2);
    let mut done = BTreeSet::new();
    for day in 0..3 {
        let more = slice(&repository, &options, 20, FIRST + day * DAY);
        assert_eq!((more.report.notes.len(), more.report.unrecorded), (0, None));
        done.extend(more.checked);
    }
    assert_eq!(nights.records().len(), 3);
    let ages = ages_at(&repository, &options, FIRST + 3 * DAY);
    assert_eq!(ages.all().count - ages.never.count, u64_of(done.len()));
}

/// Puts an object into `verified/` under the name of its bytes.
fn put_record(nights: &Nights, bytes: Vec<u8>) -> ObjectName {
    let name = Object::Verified(*blake3::hash(&bytes).as_bytes()).name();
    nights.store.put(&name, &[Bytes::from(bytes)]).unwrap();
    name
}

#[test]
fn records_that_are_damaged_or_forged_say_nothing_are_reported_and_go() {
    let nights = Nights::new(1);
    let repository = nights.repository();
    let options = options(Depth::Objects, 1);
    whole(&repository, &options, FIRST);
    let name = nights.records().remove(0);
    let good = nights.store.objects()[&name].clone();
    let (keyring, entropy) = (repository.keyring(), SeededEntropy::new(3));
    let text = Verified::default().encode();
    let seal = |text: &[u8]| keyring.seal_tagged(ObjectKind::Verified, b"verified", text, &entropy);
    // A host that may only write has the key that seals, and not that of the tag.
    let untagged = [&text[..], &[0; 32]].concat();
    let forged = keyring.seal_object(ObjectKind::Verified, b"verified", &untagged, &entropy);
    let cases: [(Vec<u8>, &str); 3] = [
        (forged.unwrap(), "not put with a full key"),
        (seal(b"\x01\xff").unwrap(), "ends early"),
        (good[..good.len() - 1].to_vec(), "damaged"),
    ];
    for (bytes, words) in cases {
        put_record(&nights, bytes);
        let report = whole(&repository, &options, FIRST + DAY);
        assert_eq!(report.findings.len(), 1, "{words}: {:?}", report.findings);
        let found = report.findings[0].what.as_str();
        assert!(found.contains(words) || words == "damaged", "{words}: {found}");
    }
    // One that no key opens may be of a later generation of keys: it is left for a person.
    let left = nights.records().len();
    assert_eq!(left, 2);
    let cut = put_record(&nights, good[..good.len() - 1].to_vec());
    nights.store.delete(&cut).unwrap();
    let flipped = nights.records().remove(0);
    let mut bytes = nights.store.objects()[&flipped].to_vec();
    bytes[100] ^= 1;
    nights.store.delete(&flipped).unwrap();
    nights.store.put(&flipped, &[Bytes::from(bytes)]).unwrap();
    let report = whole(&repository, &options, FIRST + DAY);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(report.findings[0].what.contains(flipped.as_str()), "{:?}", report.findings);
    assert_eq!(whole(&repository, &options, FIRST + DAY).findings, [], "it was replaced");
    // Another version is left to the program that knows it.
    let other = put_record(&nights, seal(&[9, 9, 9]).unwrap());
    let report = whole(&repository, &options, FIRST + DAY);
    assert_eq!(report.findings, []);
    assert!(report.notes[0].what.contains("unknown to this program"), "{:?}", report.notes);
    assert!(nights.records().contains(&other));
}

#[test]
fn a_clock_that_was_far_ahead_makes_nothing_young() {
    let nights = Nights::new(1);
    let repository = nights.repository();
    let options = options(Depth::Stored, 2);
    whole(&repository, &options, FIRST);
    whole(&repository, &options, FIRST + 1000 * DAY);
    let ages = ages_at(&repository, &options, FIRST + DAY);
    assert_eq!(ages.oldest.unwrap().verified, None, "what that clock said is passed over");
    whole(&repository, &options, FIRST + 2 * DAY);
    let ages = ages_at(&repository, &options, FIRST + 2 * DAY);
    assert_eq!(ages.oldest.unwrap().verified, Some(FIRST + 2 * DAY));
}

/// A clock that advances by a second with every object that is read whole.
#[derive(Debug)]
struct ByReads {
    store: Arc<Recording<Arc<MemoryStore>>>,
    seconds: AtomicU64,
}

impl Clock for ByReads {
    fn unix_seconds(&self) -> u64 {
        FIRST + self.seconds.fetch_add(1, Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        let read = |folder| self.store.calls_under(Verb::Get, folder);
        Duration::from_secs(read("packs/") + read("twins/"))
    }
}

#[test]
fn a_budget_of_time_is_spent_in_slices_that_end_and_are_remembered() {
    for depth in [Depth::Stored, Depth::Blocks] {
        let nights = Nights::new(3);
        let store = Arc::new(Recording::new(Arc::clone(&nights.store)));
        let repository = open(shared(&store), 8).unwrap();
        store.reset();
        let seconds = AtomicU64::new(0);
        let clock = Arc::new(ByReads { store: Arc::clone(&store), seconds });
        let world = World { clock, ..World::of_this_machine() };
        let budget = Budget::Time(Duration::from_secs(15));
        let options = options(depth, 1);
        let mut done = BTreeSet::new();
        let mut slices = 0;
        while done.len() < nights.packs().len() {
            store.reset();
            let more = verify_oldest(&repository, &options, budget, &world).unwrap();
            done.extend(more.checked);
            slices += 1;
            assert!(slices < 40, "{depth:?}: {} of {}", done.len(), nights.packs().len());
        }
        assert!(depth == Depth::Blocks || slices > 1, "{slices}");
        assert_eq!(ages_at(&repository, &options, FIRST + DAY).never.count, 0);
    }
}

#[test]
fn a_copy_inherits_nothing_of_what_was_verified_elsewhere() {
    let nights = Nights::new(2);
    let repository = nights.repository();
    whole(&repository, &options(Depth::Stored, 2), FIRST);
    assert_eq!(nights.records().len(), 1);
    let far = Arc::new(MemoryStore::new());
    let snapshots = repository.snapshots().unwrap().snapshots;
    let world = World::of_this_machine();
    let planned =
        replicate::plan(&repository, shared(&far), ReplicateOptions::new(snapshots), &world);
    planned.unwrap().send(&world).unwrap();
    assert!(far.objects().keys().all(|name| Folder::of(name) != Some(Folder::Verified)));
    let copy = open(shared(&far), 9).unwrap();
    let ages = ages_at(&copy, &options(Depth::Objects, 1), FIRST + DAY);
    assert_eq!(ages.never, ages.all());
}

/// Adds a key that only writes, and opens the repository with it.
fn write_only(nights: &Nights) -> Repository {
    let file = KeyFile::generate(&SeededEntropy::new(8));
    let note = KeySlotNote { label: "db1".to_owned(), created_unix_seconds: 0 };
    let keys = keys(nights);
    keys.add(Role::WriteOnly, Protection::KeyFile(&file), &note).unwrap();
    let text = file.to_text().to_string();
    let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(&text).unwrap()));
    Repository::open(shared(&nights.store), &mut give, &Limits::FOR_TESTS, &support::world(70))
        .unwrap()
}

fn keys(nights: &Nights) -> Keys {
    let mut give = || Ok(support::password());
    Keys::open(shared(&nights.store), &mut give, &Limits::FOR_TESTS, &support::world(50)).unwrap()
}

#[test]
fn a_host_that_may_only_write_remembers_by_itself_and_is_believed_by_nobody() {
    let nights = Nights::new(2);
    let host = write_only(&nights);
    let mut options = options(Depth::Stored, 2);
    let first = slice(&host, &options, 30, FIRST);
    let unrecorded = first.report.unrecorded.unwrap();
    assert!(unrecorded.why.contains("only writes"), "{}", unrecorded.why);
    assert_eq!(nights.records().len(), 0);
    options.known_here = unrecorded.text;
    let second = slice(&host, &options, 30, FIRST + DAY);
    assert!(second.checked.iter().all(|pack| !first.checked.contains(pack)), "it goes on");
    options.known_here = Vec::new();
    let ages = ages_at(&nights.repository(), &options, FIRST + DAY);
    assert_eq!(ages.never, ages.all());
}

#[test]
fn what_was_verified_before_a_rotation_of_keys_is_known_after_it_and_nothing_new_of_the_old_key() {
    let nights = Nights::new(1);
    let old = nights.repository();
    let options = options(Depth::Stored, 2);
    whole(&old, &options, FIRST);
    let passphrase = support::passphrase("another");
    let protection = Protection::Passphrase(&passphrase, KdfCost::FOR_TESTS);
    let note = KeySlotNote { label: "new".to_owned(), created_unix_seconds: 7 };
    keys(&nights).rotate(protection, &note, Gaps::Refused).unwrap();
    let shared_store: Arc<dyn Store> = shared(&nights.store);
    let new = support::opened_by(&shared_store, "another").unwrap();
    let ages = ages_at(&new, &options, FIRST + DAY);
    assert_eq!(ages.oldest.unwrap().verified, Some(FIRST));
    // The old key forges that all was verified.
    let (keyring, entropy) = (old.keyring(), SeededEntropy::new(3));
    let mut record = old.verified_records().unwrap().merged();
    record.verifications[0].time = FIRST + DAY;
    let sealed = keyring.seal_tagged(ObjectKind::Verified, b"verified", &record.encode(), &entropy);
    let forged = put_record(&nights, sealed.unwrap());
    let report = haulout::ops::verify::ages(&new, &options, &world_at(FIRST + DAY)).unwrap();
    assert_eq!(report.ages.oldest.unwrap().verified, Some(FIRST));
    // In a copy such records were sealed again, so one is no news.
    assert!(nights.records().contains(&forged) && report.problems.is_empty());
    // A run that goes on with it takes nothing away that the new one records.
    whole(&new, &options, FIRST + 2 * DAY);
    let records = nights.records();
    let report = whole(&old, &options, FIRST + 3 * DAY);
    assert_eq!(report.findings, [], "what it can't open is not damaged");
    assert!(records.iter().all(|record| nights.records().contains(record)));
    let report = haulout::ops::verify::ages(&new, &options, &world_at(FIRST + 3 * DAY)).unwrap();
    assert_eq!(report.ages.oldest.unwrap().verified, Some(FIRST + 2 * DAY));
}
