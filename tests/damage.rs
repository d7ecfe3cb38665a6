//! Damage to what is stored: always noticed, never passed on, and healed by the next night.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::monitor::Monitor;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use support::Protected;
use support::Server;
use support::back_up;
use support::init;
use support::open;
use support::shared;
use support::stream_of;

type Objects = BTreeMap<ObjectName, Bytes>;

fn store_of(objects: &Objects) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    Arc::new(store)
}

/// A repository of a few nights, small enough to damage every byte of it.
fn small(protected: Protected, nights: usize) -> (Objects, Vec<(String, Vec<u8>)>) {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), protected, 1);
    let mut server = Server::new(7, 1, 4);
    let mut streams = Vec::new();
    for _ in 0..nights {
        let stream = server.stream();
        streams.push((back_up(&repository, &stream).id.to_string(), stream));
        server.night(3);
    }
    (store.objects(), streams)
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    let options = VerifyOptions { depth, snapshots: Vec::new(), workers: 1 };
    verify(repository, &options, &Arc::new(Monitor::default())).unwrap()
}

/// Tries every snapshot; wrong bytes are never accepted, an error is.
fn restores(objects: &Objects, streams: &[(String, Vec<u8>)]) -> bool {
    let Ok(repository) = open(store_of(objects), 2) else { return false };
    streams.iter().all(|(id, stream)| match stream_of(&repository, id) {
        Ok(came) => {
            assert!(came == *stream, "a damaged repository gave wrong bytes");
            true
        }
        Err(_) => false,
    })
}

#[test]
fn a_flipped_bit_in_any_byte_is_noticed_and_never_restored() {
    for protected in [Protected::Encrypted, Protected::Clear] {
        let (objects, streams) = small(protected, 2);
        let mut tried = 0;
        for (name, bytes) in &objects {
            // Every byte of the small objects; in packs every byte of the ends and a spread of the
            // rest.
            for at in (0..bytes.len()).filter(|at| {
                bytes.len() < 2048 || *at < 64 || bytes.len() - at < 700 || at % 997 == 0
            }) {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << (at % 8);
                let mut all = objects.clone();
                all.insert(name.clone(), Bytes::from(damaged));
                tried += 1;
                restores(&all, &streams);
                let noticed = match open(store_of(&all), 3) {
                    Err(_) => true,
                    Ok(repository) => !verified(&repository, Depth::Stored).findings.is_empty(),
                };
                let spare =
                    name.as_str().starts_with("runs/") || name.as_str().starts_with("keys/");
                assert!(noticed || spare, "bit {} of byte {at} of {name}", at % 8);
            }
        }
        assert!(tried > 2000, "{tried} flips");
    }
}

#[test]
fn what_verify_calls_good_restores_and_what_does_not_restore_is_found() {
    let (objects, streams) = small(Protected::Encrypted, 3);
    for (name, bytes) in &objects {
        for damage in ["missing", "cut", "longer", "flipped"] {
            let mut all = objects.clone();
            let mut changed = bytes.to_vec();
            match damage {
                "cut" => changed.truncate(bytes.len() / 2),
                "longer" => changed.push(0),
                "flipped" => changed[bytes.len() / 2] ^= 4,
                _ => changed.clear(),
            }
            all.insert(name.clone(), Bytes::from(changed));
            if damage == "missing" {
                all.remove(name);
            }
            let good = restores(&all, &streams);
            let Ok(repository) = open(store_of(&all), 4) else {
                assert!(!good, "{name} {damage}");
                continue;
            };
            // A snapshot that is not there at all is not there for verify either.
            if damage == "missing" && name.as_str().starts_with("snapshots/") {
                continue;
            }
            let found = verified(&repository, Depth::Pages).findings;
            assert!(good || !found.is_empty(), "{name} {damage}: not restorable, not found");
        }
    }
}

#[test]
fn any_lost_pack_is_healed_by_the_next_backup_of_the_unchanged_server() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let stream = Server::new(7, 3, 200).stream();
    let first = back_up(&repository, &stream).id.to_string();
    let objects = store.objects();
    let packs = objects
        .keys()
        .filter(|name| name.as_str().starts_with("packs/") || name.as_str().starts_with("twins/"));
    let mut healed = 0;
    for pack in packs {
        let mut all = objects.clone();
        all.remove(pack);
        let store = store_of(&all);
        let repository = open(shared(&store), 5).unwrap();
        let report = back_up(&repository, &stream);
        healed += report.counts.blocks_healed;
        for id in [&first, &report.id.to_string()] {
            assert!(stream_of(&repository, id).unwrap() == stream, "{id} without {pack}");
        }
        let found = verified(&repository, Depth::Pages).findings;
        assert!(found.is_empty() || pack.as_str().starts_with("twins/"), "{pack}: {found:?}");
    }
    assert!(healed > 500, "{healed} blocks were stored again");
}

#[test]
fn damage_that_verify_recorded_is_healed_as_well() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let stream = Server::new(7, 3, 100).stream();
    let first = back_up(&repository, &stream).id.to_string();
    let mut objects = store.objects();
    let largest = objects.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0.clone();
    let mut damaged = objects[&largest].to_vec();
    damaged[5000] ^= 1;
    objects.insert(largest, Bytes::from(damaged));
    let store = store_of(&objects);
    let repository = open(store, 6).unwrap();
    assert!(stream_of(&repository, &first).is_err());
    let report = verified(&repository, Depth::Pages);
    assert!(report.recorded > 0 && report.findings.iter().any(|f| f.member.is_some()));
    let report = back_up(&repository, &stream);
    assert!(report.counts.blocks_healed > 0);
    assert!(stream_of(&repository, &first).unwrap() == stream);
}
