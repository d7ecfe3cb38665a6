//! The archive of binary logs on real repositories: what is stored of closed files and of the open
//! one, what an interval costs, and which history is said to be there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::layout::Folder;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::ops::binlog;
use haulout::ops::binlog::Archive;
use haulout::ops::binlog::Begins;
use haulout::ops::binlog::BinlogEnd;
use haulout::ops::binlog::Coverage;
use haulout::ops::binlog::FirstTime;
use haulout::ops::forget;
use haulout::ops::forget::Choice;
use haulout::ops::forget::SourcePlan;
use haulout::ops::forget::policy::Policy;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::binlog::Log;
use crate::support::init;
use crate::support::shared;
use crate::support::stream_of;

const TIME: u32 = 1_795_000_000;
const MIB: usize = 1 << 20;

type Store1 = Arc<Recording<MemoryStore>>;

fn in_memory() -> (Store1, Repository) {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let repository = binlog::enable(&repository, FirstTime::SetsFeature).unwrap();
    (store, repository)
}

fn options() -> BackupOptions {
    BackupOptions::new(binlog::source_of("db"))
}

fn put(spool: &Path, number: u32, log: &Log) {
    fs::write(spool.join(format!("bin.{number:06}")), &log.bytes).unwrap();
}

fn segments(store: &Store1) -> usize {
    let mut count = 0;
    store.list(Folder::Segments.prefix(), &mut |_| count += 1).unwrap();
    count
}

fn found(repository: &Repository) -> Coverage {
    let found = binlog::coverage(repository, "db").unwrap();
    assert!(found.damaged.is_empty(), "{:?}", found.damaged);
    found
}

#[test]
fn a_closed_file_is_a_snapshot_of_its_own_and_comes_back_as_the_server_closed_it() {
    let (store, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let backup = back_up(&repository, &Server::new(3, 1, 4).stream());
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    let mut first = Log::new(11, TIME, 7);
    first.transaction(100_000);
    put(spool.path(), 9, &first);
    assert!(archive.look(spool.path()).unwrap().stored.is_empty());
    archive.put_segments().unwrap();
    assert_eq!(
        (segments(&store), archive.position().unwrap().after.to_string()),
        (1, "3-11-8".into())
    );
    let [stretch] = &found(&repository).stretches[..] else { panic!("one stretch") };
    assert_eq!((stretch.files.len(), stretch.after().unwrap().to_string()), (0, "3-11-8".into()));
    // As the tool leaves it: the mark of the open file stays in its copy.
    let marked = first.bytes[21];
    first.close();
    let closed = first.bytes.clone();
    first.bytes[21] = marked;
    put(spool.path(), 9, &first);
    put(spool.path(), 10, &Log::new(11, TIME + 9, 8));
    let looked = archive.look(spool.path()).unwrap();
    let [file] = &looked.stored[..] else { panic!("one file") };
    assert_eq!((file.index.file.as_str(), file.index.ends), ("bin.000009", BinlogEnd::Rotate));
    assert_eq!(stream_of(&repository, &file.snapshot.to_string()).unwrap(), closed);
    assert_eq!((segments(&store), looked.differing.len()), (0, 0));
    assert!(!spool.path().join("bin.000009").exists());
    // Backups are found as before.
    assert_eq!(repository.find_snapshot("latest").unwrap().id(), backup.id);
    let report = verify(&repository, &VerifyOptions::new(Depth::Blocks), &world).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn an_interval_costs_at_most_four_requests_and_8_mib_besides_what_is_new() {
    let (store, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    let mut log = Log::new(11, TIME, 0);
    let mut stored = 0;
    for interval in 0..30 {
        log.transaction(MIB / 2 + interval * 40_000);
        put(spool.path(), 1, &log);
        archive.look(spool.path()).unwrap();
        store.reset();
        archive.put_segments().unwrap();
        let calls = store.log();
        assert!(calls.len() <= 4, "{calls:?}");
        let sent: u64 = calls.iter().map(|call| call.bytes).sum();
        let new = log.bytes.len() - stored;
        let most = u64::try_from(8 * MIB + new + 64_000).unwrap();
        assert!(sent <= most, "{interval}: {sent} bytes of {new} new");
        stored = log.bytes.len();
        store.reset();
        archive.look(spool.path()).unwrap();
        archive.put_segments().unwrap();
        assert!(store.log().is_empty(), "nothing is new, nothing is asked: {:?}", store.log());
    }
    assert!((2..=4).contains(&segments(&store)), "{} segments", segments(&store));
    // A burst takes a put and a look for each 32 MiB.
    log.transaction(70 * MIB);
    put(spool.path(), 1, &log);
    archive.look(spool.path()).unwrap();
    store.reset();
    archive.put_segments().unwrap();
    assert!(store.log().len() <= 2 * (1 + 80 / 32 + 1), "{}", store.log().len());
    // All of it can be put together again, also by another program, which goes on with the last.
    let names = repository.segment_names(None).unwrap();
    let parts = names.iter().map(|name| repository.read_segment(name).unwrap().1);
    let mut joined = log.bytes.clone();
    joined[21] &= !1;
    assert!(parts.collect::<Vec<_>>().concat() == joined);
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    archive.look(spool.path()).unwrap();
    store.reset();
    archive.put_segments().unwrap();
    assert_eq!(store.log().len(), 1, "the end of the last segment is looked up: {:?}", store.log());
    log.transaction(10);
    put(spool.path(), 1, &log);
    archive.look(spool.path()).unwrap();
    archive.put_segments().unwrap();
    log.close();
    put(spool.path(), 1, &log);
    put(spool.path(), 2, &Log::new(11, TIME, log.sequence()));
    assert!(archive.look(spool.path()).unwrap().differing.is_empty());
    assert_eq!(segments(&store), 0);
}

#[test]
fn a_year_of_files_leaves_no_segments() {
    let (store, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    let (mut sequence, mut most, mut objects) = (0, 0, Vec::new());
    for day in 0..365 {
        let mut log = Log::new(11, TIME + day * 86_400, sequence);
        for _ in 0..3 {
            log.transaction(200);
            put(spool.path(), day, &log);
            archive.look(spool.path()).unwrap();
            archive.put_segments().unwrap();
            most = most.max(segments(&store));
        }
        log.close();
        put(spool.path(), day, &log);
        sequence = log.sequence();
        if day % 100 == 1 {
            objects.push(store.inner().objects().len());
        }
    }
    let last = archive.look(spool.path()).unwrap();
    assert!(last.stored.len() <= 1 && most <= 2, "{most} segments at once");
    assert!(segments(&store) <= 1, "{} segments", segments(&store));
    let found = found(&repository);
    assert_eq!((found.stretches.len(), found.gaps(), found.differing.len()), (1, 0, 0));
    assert_eq!(found.stretches[0].files.len(), 364);
    // What grows is what each stored file needs: a run, its packs with their twins, a snapshot.
    let each = (objects[3] - objects[1]) / 200;
    assert!(each <= 6, "{each} objects a file");
}

#[test]
fn a_file_that_did_not_come_as_it_is_is_not_stored() {
    let (store, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let mut log = Log::new(11, TIME, 0);
    log.transaction(50_000);
    log.close();
    let good = log.bytes.clone();
    let before = store.inner().objects().len();
    for at in [3, 60, 270, 400, 20_000, good.len() - 1] {
        log.bytes.clone_from(&good);
        log.bytes[at] ^= 4;
        put(spool.path(), 1, &log);
        put(spool.path(), 2, &Log::new(11, TIME, 1));
        let mut archive = Archive::open(&repository, options(), &world).unwrap();
        let error = archive.look(spool.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{at}");
        assert!(error.to_string().contains("bin.000001 did not come as it is"), "{error}");
        assert_eq!(store.inner().objects().len(), before, "{at}");
    }
    log.bytes = good[..good.len() - 5].to_vec();
    put(spool.path(), 1, &log);
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    assert!(archive.look(spool.path()).unwrap_err().with_causes().contains("is cut"));
    // It is fetched again, and then it is good.
    log.bytes.clone_from(&good);
    put(spool.path(), 1, &log);
    archive.restart();
    assert_eq!(archive.look(spool.path()).unwrap().stored.len(), 1);
}

#[test]
fn gaps_resets_and_other_servers_are_told_apart() {
    let (_, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    // The server, its transactions before, and the number of the file.
    let files = [(11, 0, 1), (11, 1, 2), (11, 5, 6), (11, 6, 7), (11, 0, 1), (12, 9, 1)];
    for (server, sequence, number) in files {
        let mut log = Log::new(server, TIME, sequence);
        log.transaction(10);
        log.close();
        put(spool.path(), number, &log);
        archive.restart();
        archive.close_last(spool.path()).unwrap();
    }
    let found = found(&repository);
    let begins: Vec<_> =
        found.stretches.iter().map(|stretch| (stretch.begins, stretch.files.len())).collect();
    let expected =
        [(Begins::First, 2), (Begins::Gap, 2), (Begins::Reset, 1), (Begins::Replaced, 1)];
    assert_eq!((begins.as_slice(), found.gaps()), (&expected[..], 1));
}

#[test]
fn segments_that_the_closed_file_contradicts_are_kept_and_reported() {
    let (store, repository) = in_memory();
    let (spool, world) = (tempfile::tempdir().unwrap(), World::of_this_machine());
    let mut archive = Archive::open(&repository, options(), &world).unwrap();
    let mut log = Log::new(11, TIME, 0);
    log.transaction(100);
    let mut lost = Log::new(11, TIME, 0);
    lost.transaction(100);
    lost.transaction(100);
    put(spool.path(), 1, &lost);
    archive.look(spool.path()).unwrap();
    archive.put_segments().unwrap();
    // The server crashed, and its last transaction is not in its file any more.
    archive.restart();
    put(spool.path(), 1, &log);
    put(spool.path(), 2, &Log::new(11, TIME, 1));
    let looked = archive.look(spool.path()).unwrap();
    assert_eq!((looked.stored.len(), looked.differing.len(), segments(&store)), (1, 1, 1));
    assert_eq!(looked.differing[0].after.to_string(), "3-11-2");
    assert_eq!(found(&repository).differing.len(), 1);
}

#[test]
fn retention_keeps_the_binary_logs_of_a_window_and_the_backup_before_it() {
    let (_, repository) = in_memory();
    let spool = tempfile::tempdir().unwrap();
    let day = 86_400;
    let mut backups = Vec::new();
    for number in 0..10u32 {
        let world = support::world_at(u64::from(TIME + number * day));
        let stream = Server::new(3 + u64::from(number), 1, 4).stream();
        let source = Box::new(BytesSource::new(stream, 1 << 20, ProducerExit::Exited(0)));
        backups.push(backup(&repository, source, &BackupOptions::new("db"), &world).unwrap().id);
        let mut log = Log::new(11, TIME + number * day + day / 2, u64::from(number));
        log.transaction(10);
        log.close();
        put(spool.path(), number + 1, &log);
        let mut archive = Archive::open(&repository, options(), &world).unwrap();
        archive.close_last(spool.path()).unwrap();
    }
    let plan = |pitr: Option<u64>| {
        let policy = Policy { last: 2, pitr, ..Policy::default() };
        let choice = Choice::ByPolicy { sources: vec!["db".to_owned()], policy };
        let world = support::world_at(u64::from(TIME + 10 * day));
        let plan = forget::plan(&repository, &choice, &|_| 0, &world).unwrap();
        let left = |source: &SourcePlan| {
            let stays = source.snapshots.iter().map(|one| !one.is_removed());
            (source.source.clone(), stays.collect::<Vec<_>>())
        };
        plan.sources.iter().map(left).collect::<Vec<_>>()
    };
    let kept = |first: usize, also: usize| {
        (0..10).map(|number| number >= first || number == also).collect::<Vec<_>>()
    };
    // Without a window nothing of binary logs goes, whatever the other rules say.
    let expected = [("db".to_owned(), kept(8, 8)), ("db.binlog".to_owned(), kept(0, 0))];
    assert_eq!(plan(None), expected);
    // The newest backup is of day 9; the window begins with that of day 5, and the binary log of
    // day 4 is the one before.
    let expected = [("db".to_owned(), kept(8, 5)), ("db.binlog".to_owned(), kept(4, 4))];
    assert_eq!(plan(Some(u64::from(4 * day))), expected);
    let expected = [("db".to_owned(), kept(8, 0)), ("db.binlog".to_owned(), kept(0, 0))];
    assert_eq!(plan(Some(u64::from(40 * day))), expected);
}

#[test]
fn a_repository_gets_the_feature_only_if_it_may() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
    let error = binlog::enable(&repository, FirstTime::Refused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let enabled = binlog::enable(&repository, FirstTime::SetsFeature).unwrap();
    assert_eq!(enabled.features().bits().collect::<Vec<_>>(), [0, 2, 3, 4]);
    let opened = support::open(Arc::clone(repository.store()), 1);
    assert_eq!(opened.unwrap().features(), enabled.features());
}
