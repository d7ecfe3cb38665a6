//! Repositories of earlier versions stay readable, and later ones are refused by name.
//!
//! The directories under `tests/repos` are never edited. A new format adds a directory; the test
//! that writes one is run by hand for that.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::snapshot::Verdict;
use haulout::ops::backup::BackupOptions;
use haulout::ops::binlog::Archive;
use haulout::ops::hold::Hold;
use haulout::ops::hold::hold;
use haulout::ops::memory::AtOnce;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::prune;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Remember;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::StreamFormat;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up_with;
use crate::support::binlog::Log;
use crate::support::init;
use crate::support::init_as_earlier;
use crate::support::leaves::Leaves;
use crate::support::open;
use crate::support::options;
use crate::support::removing;
use crate::support::shared;
use crate::support::stream_of;
use crate::support::world_at;

fn repos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/repos")
}

/// Snapshot and BLAKE3 of its stream, a line each.
fn expected(directory: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(directory.with_extension("streams")).unwrap();
    let pair = |line: &str| {
        let (id, hash) = line.split_once(' ').unwrap();
        (id.to_owned(), hash.to_owned())
    };
    text.lines().map(pair).collect()
}

#[test]
fn every_archived_repository_restores_and_verifies() {
    let mut tried = 0;
    for entry in fs::read_dir(repos()).unwrap() {
        let directory = entry.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        tried += 1;
        let store = Arc::new(LocalStore::open(&directory).unwrap());
        let repository = open(store, 1).unwrap();
        let snapshots = repository.snapshots().unwrap();
        let expected = expected(&directory);
        let streams = expected.iter().filter(|(id, _)| *id != "segments").count();
        assert_eq!(snapshots.snapshots.len(), streams, "{}", directory.display());
        for (id, hash) in &expected {
            let stream = match id.as_str() {
                "segments" => segments_of(&repository),
                id => stream_of(&repository, id).unwrap(),
            };
            assert_eq!(blake3::hash(&stream).to_hex().as_str(), hash, "snapshot {id}");
        }
        // Archives are never edited.
        let remember = Remember::Nowhere;
        let options = VerifyOptions { remember, ..VerifyOptions::new(Depth::Pages) };
        let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let latest = repository.find_snapshot("latest").unwrap();
        assert_eq!(latest.snapshot.about.verdict, Verdict::Complete);
    }
    assert!(tried >= 12, "{tried} repositories");
}

#[test]
fn a_later_format_and_an_unknown_feature_are_refused_by_name() {
    for (at, what) in [(8, "format version"), (19, "feature")] {
        let store = Arc::new(MemoryStore::new());
        init(shared(&store), Protected::Clear, 1);
        let mut objects = store.objects();
        let name = ObjectName::new("config").unwrap();
        let mut config = objects[&name].to_vec();
        config[at] ^= 0x40;
        let sum = blake3::hash(&config[..89]);
        config[89..105].copy_from_slice(&sum.as_bytes()[..16]);
        objects.insert(name, Bytes::from(config));
        store.set_objects(objects);
        let error = open(store, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error:?}");
        assert!(format!("{error:?}").contains(what), "{error:?}");
    }
}

#[test]
fn a_repository_without_features_is_written_as_version_0_1_wrote_it() {
    let store = Arc::new(MemoryStore::new());
    write_nights(shared(&store), Protected::Encrypted, Features::NONE);
    assert_archived("v1-texts-encrypted", &store);
}

#[test]
fn the_bytes_of_a_repository_with_the_normal_form_do_not_change_unnoticed() {
    let store = Arc::new(MemoryStore::new());
    write_moves(shared(&store), Protected::Encrypted);
    assert_archived("v1-columns-encrypted", &store);
}

#[test]
fn the_bytes_of_a_repository_with_intents_do_not_change_unnoticed() {
    let store = Arc::new(MemoryStore::new());
    write_life(shared(&store), Protected::Encrypted);
    assert_archived("v1-intents-encrypted", &store);
}

/// Returns the bytes of all segments, in the order of their names.
fn segments_of(repository: &Repository) -> Vec<u8> {
    let names = repository.segment_names(None).unwrap();
    names.iter().flat_map(|name| repository.read_segment(name).unwrap().1).collect()
}

/// Compares all objects of a store with an archive.
fn assert_archived(archive: &str, store: &MemoryStore) {
    let directory = repos().join(archive);
    for (name, bytes) in store.objects() {
        let archived = fs::read(directory.join(name.as_str()));
        let archived = archived.unwrap_or_else(|_| panic!("{name} is written anew: a new format?"));
        assert!(archived == bytes, "{name} has other bytes than in the archive");
    }
}

/// Returns the options by which nothing is in another order from run to run.
fn one_worker(program: &str) -> BackupOptions {
    let program = program.to_owned();
    BackupOptions { at_once: AtOnce::with_workers(1), program, ..options() }
}

/// Three nights, and a partial one between.
fn write_nights(
    store: Arc<dyn Store>,
    protected: Protected,
    features: Features,
) -> Vec<(String, Vec<u8>)> {
    let repository = init_as_earlier(store, protected, features, 42);
    // One table is long enough for a tree of map pages; the rest is kept small, since this stands
    // in git.
    let mut server = Server::new(7, 1, 70);
    server.tables[0].2.truncate(4);
    server.tables[1].2.truncate(4);
    let one = one_worker("haulout 0.1.0");
    let mut streams = Vec::new();
    for night in 0..3 {
        let stream = server.stream();
        if night == 2 {
            let cut = stream[..stream.len() / 2].to_vec();
            let report = back_up_with(&repository, &cut, ProducerExit::Exited(1), &one).unwrap();
            streams.push((report.id.to_string(), cut));
        }
        let report = back_up_with(&repository, &stream, ProducerExit::Exited(0), &one).unwrap();
        streams.push((report.id.to_string(), stream));
        server.night(12);
    }
    streams
}

/// Nights of a table in whose index pages records change and move: blocks in normal form and in
/// columns, deltas of one base and of two. The archives `v1-normal` were written before blocks
/// could be in columns.
fn write_moves(store: Arc<dyn Store>, protected: Protected) -> Vec<(String, Vec<u8>)> {
    let repository = init_as_earlier(store, protected, Features::NORMAL_FORM, 43);
    let mut server = Server::new(8, 1, 4);
    let mut leaves = Leaves::new(9, server.tables[2].1, 12);
    let one = one_worker("haulout 0.2.0");
    let (mut streams, mut moved) = (Vec::new(), 0);
    for _ in 0..4 {
        server.tables[2].2.clone_from(&leaves.pages);
        let stream = server.stream();
        let report = back_up_with(&repository, &stream, ProducerExit::Exited(0), &one).unwrap();
        moved += report.counts.blocks_moved;
        streams.push((report.id.to_string(), stream));
        leaves.night(3);
        leaves.spread(5);
        leaves.split(2);
    }
    assert!(moved >= 6, "{moved} pages moved");
    streams
}

/// Nights of runs with intents, of which one was removed and pruned and another one is held.
fn write_life(store: Arc<dyn Store>, protected: Protected) -> Vec<(String, Vec<u8>)> {
    let features = Features::INTENTS.with(Features::NORMAL_FORM).with(Features::NEEDS);
    let repository = init_as_earlier(store, protected, features, 44);
    let mut server = Server::new(9, 1, 4);
    let one = one_worker("haulout 0.2.0");
    let mut streams = Vec::new();
    // Of what the dump stores, no later night needs anything.
    let dump = fs::read("tests/dumps/full.sql").unwrap();
    for night in 0..4 {
        let stream = if night == 0 { dump.clone() } else { server.stream() };
        let format = (night == 1).then_some(StreamFormat::Mbstream);
        let options = BackupOptions { format, ..one.clone() };
        let report = back_up_with(&repository, &stream, ProducerExit::Exited(0), &options).unwrap();
        streams.push((report.id.to_string(), stream));
        server.night(2);
    }
    let (gone, _) = streams.remove(0);
    let removes = vec![removing(&repository.find_snapshot(&gone).unwrap())];
    let kept = repository.find_snapshot(&streams[0].0).unwrap();
    let world = world_at(1_795_143_612);
    let wanted = Hold { until: Some(1_800_000_000), reason: "audit".to_owned() };
    hold(&repository, &kept, &wanted, &world).unwrap();
    let report =
        prune(&repository, &PruneOptions { removes, ..PruneOptions::default() }, &world).unwrap();
    assert!(!report.deleted.is_empty(), "packs are absent that a table names");
    streams
}

/// Two nights of a backup, two binary logs that were closed, and the segments of an open one.
fn write_binlogs(store: Arc<dyn Store>, protected: Protected) -> Vec<(String, Vec<u8>)> {
    let features = FEATURES_MADE.with(Features::BINLOGS);
    let repository = init_as_earlier(store, protected, features, 45);
    let mut server = Server::new(10, 1, 4);
    let one = one_worker("haulout 0.2.0");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = server.stream();
        let report = back_up_with(&repository, &stream, ProducerExit::Exited(0), &one).unwrap();
        streams.push((report.id.to_string(), stream));
        server.night(2);
    }
    let world = world_at(1_795_143_612);
    let options = BackupOptions { source: "db.binlog".to_owned(), ..one };
    let mut archive = Archive::open(&repository, options, &world).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let mut sequence = 0;
    for number in 1..=3 {
        let mut log = Log::new(11, 1_795_100_000 + number * 1000, sequence);
        log.transaction(3000);
        let path = spool.path().join(format!("bin.{number:06}"));
        fs::write(&path, &log.bytes).unwrap();
        archive.look(spool.path()).unwrap();
        archive.put_segments().unwrap();
        log.transaction(500);
        if number == 3 {
            fs::write(&path, &log.bytes).unwrap();
            archive.look(spool.path()).unwrap();
            archive.put_segments().unwrap();
            log.bytes[21] &= !1;
            streams.push(("segments".to_owned(), log.bytes));
            break;
        }
        log.close();
        fs::write(&path, &log.bytes).unwrap();
        sequence = log.sequence();
        fs::write(spool.path().join(format!("bin.{:06}", number + 1)), b"").unwrap();
        let stored = archive.look(spool.path()).unwrap().stored;
        streams.push((stored[0].snapshot.to_string(), log.bytes));
    }
    streams
}

#[test]
fn the_bytes_of_a_repository_with_binary_logs_do_not_change_unnoticed() {
    let store = Arc::new(MemoryStore::new());
    write_binlogs(shared(&store), Protected::Encrypted);
    assert_archived("v1-binlog-encrypted", &store);
}

#[test]
#[ignore = "writes tests/repos: run by hand, once for each new format"]
fn write_the_archive_of_this_format() {
    for (name, protected) in
        [("v1-binlog-encrypted", Protected::Encrypted), ("v1-binlog-clear", Protected::Clear)]
    {
        let directory = repos().join(name);
        assert!(!directory.exists(), "an archive is never written again");
        let store = Arc::new(LocalStore::create(&directory).unwrap());
        let streams = write_binlogs(store, protected);
        let line = |(id, stream): &(String, Vec<u8>)| format!("{id} {}\n", blake3::hash(stream));
        let lines: String = streams.iter().map(line).collect();
        fs::write(directory.with_extension("streams"), lines).unwrap();
    }
}
