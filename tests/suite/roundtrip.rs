//! What comes back is what went in: any stream, any read sizes, any sequence of nights.

use std::sync::Arc;

use bytes::Bytes;
use haulout::format::snapshot::Verdict;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Recording;
use proptest::prelude::*;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

#[test]
fn ten_nights_come_back_and_each_costs_little() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let repository = init(Arc::clone(&store), Protected::Encrypted, 1);
    let mut server = Server::new(7, 4, 300);
    let mut nights = Vec::new();
    for night in 0..10 {
        let stream = server.stream();
        let report = back_up(&repository, &stream);
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        if night > 0 {
            assert!(report.counts.blocks_delta >= 40, "{:?}", report.counts);
            let most = u64::try_from(stream.len()).unwrap() / 250;
            let stored = report.counts.stored_bytes;
            assert!(stored < most, "night {night} stored {stored} bytes of {}", stream.len());
        }
        nights.push((report.id.to_string(), stream));
        server.night(60);
    }
    let repository = open(store, 2).unwrap();
    for (id, stream) in &nights {
        assert!(stream_of(&repository, id).unwrap() == *stream, "snapshot {id} differs");
    }
}

#[test]
fn an_unchanged_night_stores_only_its_snapshot() {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let stream = Server::new(7, 40, 30).stream();
    back_up(&repository, &stream);
    let report = back_up(&repository, &stream);
    // The run's secret, the snapshot, and a meta pack with its need list, twice.
    assert_eq!(report.counts.stored_objects, 4);
    assert!(report.counts.stored_bytes < 8000, "{}", report.counts.stored_bytes);
    assert_eq!(report.counts.blocks_whole + report.counts.blocks_delta, 0);
}

#[test]
fn the_same_night_twice_is_found_whatever_the_order_of_its_files() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
    let mut server = Server::new(7, 10, 100);
    back_up(&repository, &server.stream());
    server.tables.reverse();
    let report = back_up(&repository, &server.stream());
    assert_eq!(report.counts.blocks_whole + report.counts.blocks_delta, 0);
}

#[test]
fn a_renamed_table_is_recognised_by_its_tablespace() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
    let mut server = Server::new(7, 3, 200);
    back_up(&repository, &server.stream());
    server.tables[3].0 = "shop/renamed.ibd".to_owned();
    let report = back_up(&repository, &server.stream());
    // Its definition is as small as the others, and new under its name.
    assert_eq!(report.counts.blocks_whole + report.counts.blocks_delta, 1);
    assert!(report.counts.whole_bytes <= 100, "{:?}", report.counts);
}

#[test]
fn a_donor_with_other_files_finds_its_like_in_an_older_snapshot() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
    let (first, second) = (Server::new(7, 2, 200), Server::new(8, 2, 200));
    back_up(&repository, &first.stream());
    back_up(&repository, &second.stream());
    let report = back_up(&repository, &first.stream());
    let changed = report.counts.blocks_whole + report.counts.blocks_delta;
    assert!(changed * 20 < report.counts.blocks_same, "{:?}", report.counts);
}

#[test]
fn an_older_snapshot_that_is_damaged_is_reported_when_it_is_looked_at() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Clear, 1);
    let (first, second) = (Server::new(7, 2, 200), Server::new(8, 2, 200));
    let older = back_up(&repository, &first.stream()).id;
    back_up(&repository, &second.stream());
    let mut objects = store.objects();
    let name = objects.keys().find(|name| name.as_str().ends_with(&older.to_string())).cloned();
    objects.insert(name.unwrap(), Bytes::from_static(b"nothing like a snapshot"));
    store.set_objects(objects);
    assert_eq!(back_up(&repository, &second.stream()).damaged, Vec::<String>::new());
    let report = back_up(&repository, &first.stream());
    assert_eq!(report.damaged, [older.short()]);
    assert!(stream_of(&repository, "latest").unwrap() == first.stream());
}

#[test]
fn what_only_a_run_beside_the_newest_has_stored_is_stored_again() {
    let (store, other) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let repository = init(shared(&store), Protected::Clear, 1);
    let donors = [7, 8, 9].map(|seed| Server::new(seed, 2, 200).stream());
    back_up(&repository, &donors[0]);
    other.set_objects(store.objects());
    // Two runs that did not see each other.
    back_up(&repository, &donors[1]);
    back_up(&open(shared(&other), 2).unwrap(), &donors[2]);
    store.set_objects(store.objects().into_iter().chain(other.objects()).collect());
    let newest = stream_of(&repository, "latest").unwrap();
    let [in_newest, beside] = if newest == donors[1] { [1, 2] } else { [2, 1] };
    for (donor, known) in [(beside, false), (0, true), (beside, true), (in_newest, true)] {
        let report = back_up(&repository, &donors[donor]);
        assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
        let changed = report.counts.blocks_whole + report.counts.blocks_delta;
        assert_eq!(changed * 20 < report.counts.blocks_same, known, "{:?}", report.counts);
        assert!(stream_of(&repository, "latest").unwrap() == donors[donor]);
    }
}

#[test]
fn checkpoints_let_a_stream_that_was_cut_go_on() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let repository = init(Arc::clone(&store), Protected::Encrypted, 1);
    let stream = Server::new(7, 8, 400).stream();
    let options = haulout::ops::backup::BackupOptions { checkpoint_bytes: 8 << 20, ..options() };
    let cut = &stream[..stream.len() * 2 / 3];
    let report = back_up_with(&repository, cut, ProducerExit::Killed(9), &options).unwrap();
    assert_eq!(report.about.verdict, Verdict::Partial);
    assert!(repository.find_snapshot("latest").is_err(), "nothing counts as latest yet");
    let listing = repository.snapshots().unwrap();
    assert!(listing.snapshots.len() > 2, "{} snapshots", listing.snapshots.len());
    let (last, checkpoints) = listing.snapshots.split_last().unwrap();
    assert!(stream_of(&repository, &last.id().to_string()).unwrap() == cut);
    for stored in checkpoints {
        let refused = stream_of(&repository, &stored.id().to_string()).unwrap_err();
        assert!(refused.to_string().contains("checkpoint"), "{refused}");
    }
    let report = back_up(&repository, &stream);
    assert_eq!(report.about.verdict, Verdict::Complete, "{:?}", report.about.reasons);
    assert!(report.counts.blocks_same * 2 > report.counts.blocks_whole * 3, "{:?}", report.counts);
    assert!(stream_of(&repository, "latest").unwrap() == stream);
}

#[test]
fn a_bad_page_is_kept_named_and_makes_the_verdict_say_so() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
    let mut server = Server::new(7, 2, 50);
    server.tables[2].2[7][5000] ^= 1;
    let stream = server.stream();
    let report = back_up(&repository, &stream);
    assert_eq!(report.about.verdict, Verdict::CorruptPages);
    let reasons = report.about.reasons.join("\n");
    assert!(reasons.contains("shop/table0.ibd") && reasons.contains('7'), "{reasons}");
    assert!(stream_of(&repository, "latest").unwrap() == stream);
}

#[test]
fn a_pipe_whose_producer_nobody_saw_is_unattested() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
    let stream = Server::new(7, 2, 20).stream();
    let report = back_up_with(&repository, &stream, ProducerExit::Unseen, &options()).unwrap();
    assert_eq!(report.about.verdict, Verdict::Unattested);
}

#[test]
fn a_producer_that_fails_after_a_whole_stream_leaves_a_partial_snapshot() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
    let stream = Server::new(7, 2, 20).stream();
    back_up(&repository, &stream);
    let report = back_up_with(&repository, &stream, ProducerExit::Exited(1), &options()).unwrap();
    assert_eq!(report.about.verdict, Verdict::Partial);
    let latest = repository.find_snapshot("latest").unwrap();
    assert_ne!(latest.id(), report.id);
}

#[test]
fn an_empty_stream_is_no_backup() {
    let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
    assert!(back_up_with(&repository, b"", ProducerExit::Exited(0), &options()).is_err());
    assert!(repository.snapshots().unwrap().snapshots.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_back(
        pieces in prop::collection::vec((any::<u64>(), 1usize..200_000), 0..6),
        mbstream in any::<bool>(),
        read_max in 1usize..70_000,
    ) {
        let mut stream = Vec::new();
        if mbstream {
            support::file(&mut stream, "a/b", &vec![7; 100_000], 30_000);
        }
        for (seed, length) in pieces {
            let mut random = support::Random(seed);
            stream.extend((0..length / 8).flat_map(|_| random.next().to_le_bytes()));
        }
        stream.push(1);
        let repository = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 1);
        let world = support::stepping_world();
        for _ in 0..2 {
            let exit = ProducerExit::Exited(0);
            let source = Box::new(BytesSource::new(stream.clone(), read_max, exit));
            let report =
                haulout::ops::backup::backup(&repository, source, &options(), &world);
            let id = report.unwrap().id.to_string();
            prop_assert!(stream_of(&repository, &id).unwrap() == stream);
        }
    }

    #[test]
    fn any_damage_to_a_stream_comes_back_and_is_never_called_complete(
        seed in any::<u64>(), at in any::<prop::sample::Index>(), kind in 0..4u8
    ) {
        let mut stream = Server::new(seed, 2, 12).stream();
        // Without its first eight bytes nothing tells that it was to be an mbstream.
        let at = 8 + at.index(stream.len() - 8);
        match kind {
            0 => stream.truncate(at),
            1 => stream[at] ^= 0x20,
            2 => { stream.drain(at..(at + 100).min(stream.len())); }
            _ => { stream.splice(at..at, *b"inserted"); }
        }
        let repository = init(Arc::new(MemoryStore::new()), Protected::Clear, 1);
        let report = back_up(&repository, &stream);
        let verdict = report.about.verdict;
        prop_assert!(verdict != Verdict::Complete, "damage of kind {kind} at {at} was not noticed");
        prop_assert!(stream_of(&repository, &report.id.to_string()).unwrap() == stream);
    }
}
