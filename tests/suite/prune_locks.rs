//! Prune in buckets that lock: what is needed stays locked, what is locked stays, and what only
//! seems to be deleted is said.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune;
use haulout::ops::prune::FAILED_MAX;
use haulout::ops::prune::Locks;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::lock::Versions;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::s3;
use crate::support::s3::Answer;
use crate::support::s3::Fault;
use crate::support::s3::S3;
use crate::support::s3::locks::Bucket;
use crate::support::s3::locks::DAY;
use crate::support::stream_of;

/// Items that are handed over and not taken yet, at most.
const QUEUE: u64 = 128 + 32;
const PERIOD: u64 = 35 * DAY;

/// What was backed up into a repository, the oldest first.
struct Backups {
    repository: Repository,
    streams: Vec<(SnapshotId, Vec<u8>)>,
}

/// Backups into a bucket of a server of this process.
struct Nights {
    server: S3,
    backups: Backups,
}

impl Deref for Nights {
    type Target = Backups;

    fn deref(&self) -> &Backups {
        &self.backups
    }
}

impl DerefMut for Nights {
    fn deref_mut(&mut self) -> &mut Backups {
        &mut self.backups
    }
}

fn now() -> u64 {
    World::of_this_machine().clock.unix_seconds()
}

fn nights(bucket: Bucket, count: usize) -> Nights {
    nights_of(bucket, count, 60)
}

/// Nights of a server with two tables of this number of pages.
fn nights_of(bucket: Bucket, count: usize, pages: usize) -> Nights {
    let server = S3::start();
    server.locks().become_bucket(bucket);
    // They are made in memory, which is faster.
    let memory = Arc::new(MemoryStore::new());
    let made = Backups::new(support::shared(&memory), count, pages);
    let store: Arc<dyn Store> = Arc::new(server.store("db"));
    for (name, bytes) in memory.objects() {
        store.put(&name, &[bytes]).unwrap();
    }
    let backups = Backups { repository: made.repository.elsewhere(store), ..made };
    Nights { server, backups }
}

impl Backups {
    fn new(store: Arc<dyn Store>, count: usize, pages: usize) -> Self {
        let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
        let repository = support::init_as_earlier(store, Protected::Clear, features, 1);
        let mut backups = Self { repository, streams: Vec::new() };
        let mut source = Server::new(7, 2, pages);
        for _ in 0..count {
            backups.back_up(&source.stream());
            source.night(300);
        }
        backups
    }

    fn back_up(&mut self, stream: &[u8]) {
        let at_once = AtOnce::with_workers(2);
        let options = BackupOptions { at_once, ..support::options() };
        let exit = ProducerExit::Exited(0);
        let report = support::back_up_with(&self.repository, stream, exit, &options).unwrap();
        self.streams.push((report.id, stream.to_vec()));
    }

    /// Removes this number of the oldest snapshots and prunes.
    fn prune(&mut self, count: usize, lock: Option<u64>) -> PruneReport {
        let gone: Vec<_> = self.streams.drain(..count).map(|(id, _)| id).collect();
        let removes = gone
            .iter()
            .map(|id| support::removing(&self.repository.find_snapshot(&id.to_string()).unwrap()));
        let options = PruneOptions {
            removes: removes.collect(),
            lock: lock.map(Duration::from_secs),
            ..PruneOptions::default()
        };
        prune::prune(&self.repository, &options, &World::of_this_machine()).unwrap()
    }

    fn extended(&mut self, removed: usize) -> Locks {
        self.prune(removed, Some(PERIOD)).locks.unwrap()
    }

    #[track_caller]
    fn assert_restores(&self, repository: &Repository) {
        for (id, stream) in &self.streams {
            let restored = stream_of(repository, &id.to_string()).unwrap();
            assert!(restored == *stream, "snapshot {} is another", id.short());
        }
    }

    /// The names of all objects that are there.
    fn there(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut add = |meta: haulout::store::name::ObjectMeta| {
            names.insert(meta.name.to_string());
        };
        self.repository.store().list("", &mut add).unwrap();
        names
    }
}

impl Nights {
    /// The objects that are there and locked until some time at least.
    fn locked_until(&self, until: u64) -> BTreeSet<String> {
        let ends = self.server.locks().ends("db/");
        let locked = ends.into_iter().filter(|(_, end)| *end >= until);
        let names = locked.map(|(key, _)| key.trim_start_matches("db/").to_owned());
        names.filter(|name| self.there().contains(name)).collect()
    }
}

/// A store with some of the objects of another.
fn part_of(store: &dyn Store, names: &BTreeSet<String>) -> Arc<MemoryStore> {
    let part = MemoryStore::new();
    for name in names {
        let name = ObjectName::new(name).unwrap();
        let bytes = store.get(&name, 1 << 30).unwrap();
        part.put(&name, &[bytes]).unwrap();
    }
    Arc::new(part)
}

#[test]
fn what_is_locked_for_the_period_restores_all_snapshots_without_anything_else() {
    let mut nights = nights_of(Bucket::Hides(Some(1)), 40, 4);
    let began = now();
    let asked = nights.server.locks().requests();
    let locks = nights.extended(5);
    assert_eq!((locks.failed.len(), locks.left(), locks.gone, locks.new), (0, 0, 0, 0));
    assert!(locks.needed > QUEUE, "{} objects are too few", locks.needed);
    assert_eq!((locks.stayed, locks.extended), (0, locks.needed));
    assert!((began + PERIOD..=now() + PERIOD).contains(&locks.until));
    let (questions, puts) = nights.server.locks().requests();
    assert_eq!((questions - asked.0, puts - asked.1), (locks.needed, locks.needed));
    // The bucket's own rule was for a day.
    let locked = nights.locked_until(began + PERIOD);
    assert_eq!(u64::try_from(locked.len()).unwrap(), locks.needed);
    let part = part_of(&**nights.repository.store(), &locked);
    let restored = nights.repository.elsewhere(support::shared(&part));
    nights.assert_restores(&restored);
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(&restored, &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let removed = Object::parse(&ObjectName::new("removed/x").unwrap());
    assert!(removed.is_none() && !locked.iter().any(|name| name.starts_with("removed/")));
}

#[test]
fn a_lock_is_extended_once_in_half_of_the_period_and_is_never_shortened() {
    let mut nights = nights(Bucket::Hides(Some(1)), 3);
    let first = nights.extended(0);
    let (questions, puts) = nights.server.locks().requests();
    let far = nights.server.locks().ends("db/packs/").into_keys().next().unwrap();
    nights.server.locks().set(&far, "GOVERNANCE", now() + 400 * DAY);
    let soon: Vec<String> = nights.server.locks().ends("db/runs/").into_keys().take(2).collect();
    for key in &soon {
        nights.server.locks().set(key, "GOVERNANCE", now() + PERIOD / 2 - 60);
    }
    let second = nights.extended(0);
    assert_eq!((second.needed, second.extended), (first.needed, 2));
    assert_eq!(second.stayed, first.needed - 2);
    assert_eq!(nights.server.locks().requests(), (questions + first.needed, puts + 2));
    assert!(nights.server.locks().of(&far).unwrap().1 > now() + 399 * DAY);
    for key in &soon {
        assert_eq!(nights.server.locks().of(key).unwrap(), ("GOVERNANCE".into(), second.until));
    }
}

#[test]
fn objects_without_a_lock_get_one_in_the_mode_of_the_bucket_that_can_be_undone_otherwise() {
    for (rule, mode) in [(Some(10), "COMPLIANCE"), (None, "GOVERNANCE")] {
        let mut nights = nights(Bucket::Hides(None), 1);
        nights.server.locks().become_bucket(Bucket::Hides(rule));
        let locks = nights.extended(0);
        assert_eq!((locks.new, locks.left()), (locks.needed, 0));
        assert_eq!(locks.rule.map(|rule| rule.days), rule);
        let config = nights.server.locks().of("db/config").unwrap();
        assert_eq!(config, (mode.to_owned(), locks.until));
    }
}

#[test]
fn what_is_wrong_with_all_locks_is_asked_for_once_and_ends_no_prune() {
    let denied = || Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    for (bucket, fault) in [
        (Bucket::Without, None),
        (Bucket::Hides(Some(1)), Some(("GET", denied()))),
        (Bucket::Hides(Some(1)), Some(("PUT", denied()))),
    ] {
        let mut nights = nights(bucket, 4);
        let is_put = fault.as_ref().is_some_and(|(method, _)| *method == "PUT");
        if let Some((method, answer)) = fault {
            nights.server.break_with(Fault { method, path: "retention", ..Fault::always(answer) });
        }
        let report = nights.prune(3, Some(PERIOD));
        assert!(!report.deleted.is_empty() && report.refused.is_empty());
        let locks = report.locks.unwrap();
        assert_eq!((locks.failed.len(), locks.left()), (1, locks.needed - 1), "{locks:?}");
        assert!(locks.failed[0].starts_with("cannot extend the lock of config: "), "{locks:?}");
        assert_eq!(nights.server.locks().requests(), (u64::from(is_put), 0));
    }
    // A directory has no locks at all.
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let shared = support::shared(&store);
    let repository = support::init_as_earlier(shared, Protected::Clear, features, 1);
    let lock = Some(Duration::from_secs(PERIOD));
    let options = PruneOptions { lock, ..PruneOptions::default() };
    let report = prune::prune(&repository, &options, &World::of_this_machine()).unwrap();
    let locks = report.locks.unwrap();
    assert!(locks.failed[0].contains("not supported"), "{locks:?}");
}

#[test]
fn locks_that_fail_are_named_and_too_many_of_them_end_the_rest() {
    let mut nights = nights_of(Bucket::Hides(Some(1)), 60, 4);
    let denied = || Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    let under = |path| Fault { method: "PUT", path, ..Fault::always(denied()) };
    nights.server.break_with(under("runs/"));
    let locks = nights.extended(0);
    assert_eq!((locks.failed.len(), locks.left()), (60, 0), "one run a night");
    assert!(locks.failed.iter().all(|words| words.contains("the lock of runs/")));
    assert_eq!(locks.extended, locks.needed - 60);
    nights.server.heal();
    let ends = nights.server.locks().ends("db/");
    ends.into_keys().for_each(|key| nights.server.locks().set(&key, "GOVERNANCE", now() + DAY));
    // The config is asked for first, and has its lock extended.
    nights.server.break_with(Fault { skip: 1, ..under("retention") });
    let locks = nights.extended(0);
    let failed = u64::try_from(locks.failed.len()).unwrap();
    assert!(locks.failed.len() >= FAILED_MAX && failed <= 100 + QUEUE, "{failed}");
    assert!(locks.left() > 0, "{failed} of {}", locks.needed);
}

/// Ends the locks under a prefix.
fn unlock(nights: &Nights, prefix: &str) {
    let ends = nights.server.locks().ends(prefix);
    ends.into_keys().for_each(|key| nights.server.locks().set(&key, "COMPLIANCE", now() - 1));
}

/// The objects that a report names as not deleted.
fn refused(report: &PruneReport) -> BTreeMap<String, &String> {
    let named = report.refused.iter().map(|words| {
        let rest = words.strip_prefix("cannot delete ").unwrap();
        (rest.split([':', ' ']).next().unwrap().to_owned(), words)
    });
    named.collect()
}

#[test]
fn what_is_locked_is_named_stays_and_goes_when_its_lock_has_ended() {
    let mut nights = nights(Bucket::Refuses(7), 6);
    let before = nights.there();
    let planned = nights.streams.len();
    let report = nights.prune(4, None);
    assert_eq!((report.removed.len(), report.versions), (4, Versions::Deleted));
    assert!(report.deleted.is_empty(), "everything is locked");
    let named = refused(&report);
    assert!(named.values().all(|words| words.contains("the object is locked")), "{named:?}");
    let is_pack = |name: &&String| name.starts_with("packs/") || name.starts_with("twins/");
    let packs = named.keys().filter(is_pack).count();
    let snapshots = named.keys().filter(|name| name.starts_with("snapshots/")).count();
    assert!(packs >= 4 && snapshots == 4, "{packs} {snapshots}");
    assert!(nights.there().is_superset(&before), "nothing is gone");
    nights.assert_restores(&nights.repository);
    assert_eq!(nights.repository.snapshots().unwrap().snapshots.len(), planned - 4);
    // Its own intent is locked as well.
    let intent = named.keys().find(|name| name.starts_with("intents/")).unwrap();
    assert!(named[intent].contains("--abandon"), "{}", named[intent]);
    unlock(&nights, "db/");
    let report = nights.prune(0, None);
    let named: Vec<_> = refused(&report).into_keys().collect();
    assert!(named.len() == 1 && named[0].starts_with("intents/"), "{named:?}");
    assert!(report.deleted.len() == packs && report.cleaned_up.snapshots == 4);
    nights.assert_restores(&nights.repository);
}

#[test]
fn a_deletion_that_only_hides_is_said_and_loses_nothing() {
    let mut nights = nights(Bucket::Hides(Some(7)), 6);
    let report = nights.prune(0, None);
    assert_eq!(report.versions, Versions::Deleted, "nothing was deleted, nothing is asked");
    let report = nights.prune(4, None);
    assert_eq!((report.versions, report.refused.len()), (Versions::Kept, 0));
    let hidden: BTreeSet<String> = nights.server.locks().hidden().into_iter().collect();
    for deleted in &report.deleted {
        let key = format!("db/{}", Object::Pack(deleted.pack).name());
        assert!(hidden.contains(&key), "{key}");
    }
    nights.assert_restores(&nights.repository);
}

#[test]
fn a_policy_that_denies_deletions_is_said_and_loses_nothing() {
    let mut nights = nights(Bucket::Without, 6);
    let before = nights.there();
    let denied = || Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    nights.server.break_with(Fault { method: "DELETE", ..Fault::always(denied()) });
    nights.server.break_with(Fault { method: "POST", path: "delete", ..Fault::always(denied()) });
    let report = nights.prune(4, None);
    let named = refused(&report);
    assert!(report.deleted.is_empty() && named.len() > 8, "{named:?}");
    assert!(nights.there().is_superset(&before));
    nights.assert_restores(&nights.repository);
    nights.server.heal();
    let report = nights.prune(0, None);
    assert!(report.deleted.len() >= 4 && report.refused.is_empty());
    nights.assert_restores(&nights.repository);
}

/// A repository on a server of the outside, in the bucket that the script made for a test.
fn outside(folder: &str) -> Backups {
    let (place, options) = s3::outside(folder);
    Backups::new(Arc::new(s3::open(&place, &options)), 6, 60)
}

#[test]
#[ignore = "needs a bucket with Object Lock and a rule of a day: tests/stores/run"]
fn a_real_server_keeps_what_prune_locks_and_hides_what_it_deletes() {
    let mut backups = outside("locked");
    let lock = Some(3 * DAY);
    let report = backups.prune(4, lock);
    assert_eq!((report.versions, report.refused.len()), (Versions::Kept, 0));
    assert!(report.deleted.len() >= 4 && report.cleaned_up.snapshots == 4, "{report:?}");
    let locks = report.locks.unwrap();
    assert_eq!((locks.extended, locks.left()), (locks.needed, 0), "{locks:?}");
    assert_eq!(locks.rule.map(|rule| rule.days), Some(1));
    let again = backups.prune(0, lock).locks.unwrap();
    assert_eq!((again.stayed, again.needed), (locks.needed, locks.needed), "{again:?}");
    // What is needed for longer is locked for longer.
    let longer = backups.prune(0, Some(7 * DAY)).locks.unwrap();
    assert_eq!((longer.extended, longer.needed), (locks.needed, locks.needed), "{longer:?}");
    backups.assert_restores(&backups.repository);
}

#[test]
#[ignore = "needs a bucket without Object Lock that keeps versions: tests/stores/run"]
fn a_real_server_that_only_keeps_versions_says_so() {
    let mut backups = outside("versions");
    let report = backups.prune(4, Some(3 * DAY));
    assert_eq!((report.versions, report.refused.len()), (Versions::Kept, 0));
    assert!(report.deleted.len() >= 4, "{report:?}");
    let locks = report.locks.unwrap();
    assert!(locks.failed.len() == 1 && locks.failed[0].contains("no Object Lock"), "{locks:?}");
    backups.assert_restores(&backups.repository);
}

#[test]
#[ignore = "needs an identity that may not delete: tests/stores/run"]
fn a_real_server_that_denies_deletions_loses_nothing() {
    let mut backups = outside("db1/denied");
    let before = backups.there();
    let report = backups.prune(4, None);
    // Its own intent, and those of the backups, which keep what they name.
    let named = refused(&report);
    assert!(named.len() >= 7 && report.deleted.is_empty(), "{named:?}");
    assert!(named.values().all(|words| words.contains("AccessDenied")), "{named:?}");
    assert!(backups.there().is_superset(&before));
    backups.assert_restores(&backups.repository);
}
