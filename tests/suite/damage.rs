//! Damage to what is stored: always noticed, never passed on, and healed by the next night.

#![allow(clippy::print_stdout, reason = "a long test tells its counts")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::world::World;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::VerifyReport;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::cached::CacheDir;
use haulout::store::cached::Cached;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::remote::RemoteStore;

use crate::support::Protected;
use crate::support::Random;
use crate::support::Server;
use crate::support::back_up;
use crate::support::file;
use crate::support::init;
use crate::support::open;
use crate::support::s3::S3;
use crate::support::shared;
use crate::support::stream_of;
use crate::support::stream_with;

type Objects = BTreeMap<ObjectName, Bytes>;

fn store_of(objects: &Objects) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    store.set_objects(objects.clone());
    Arc::new(store)
}

/// A repository of a few nights, small enough to damage every byte of it.
fn small(protected: Protected, nights: usize) -> (Objects, Vec<(String, Vec<u8>)>) {
    repository_of(protected, nights, Server::new(7, 1, 4))
}

fn repository_of(
    protected: Protected,
    nights: usize,
    mut server: Server,
) -> (Objects, Vec<(String, Vec<u8>)>) {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), protected, 1);
    let mut streams = Vec::new();
    for _ in 0..nights {
        let stream = server.stream();
        streams.push((back_up(&repository, &stream).id.to_string(), stream));
        server.night(3);
    }
    (store.objects(), streams)
}

fn verified(repository: &Repository, depth: Depth) -> VerifyReport {
    verified_with(repository, depth, 1)
}

fn verified_with(repository: &Repository, depth: Depth, workers: u32) -> VerifyReport {
    let options = VerifyOptions { workers, ..VerifyOptions::new(depth) };
    verify(repository, &options, &World::of_this_machine()).unwrap()
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
        // Every byte is tried with HAULOUT_EVERY_BYTE, minutes; else one of four, others in each
        // object.
        let one_of = if std::env::var_os("HAULOUT_EVERY_BYTE").is_some() { 1 } else { 4 };
        for (index, (name, bytes)) in objects.iter().enumerate() {
            // Of small objects all; of packs the ends and a spread of the rest.
            for at in (0..bytes.len()).filter(|at| {
                let is_near_end =
                    bytes.len() < 2048 || *at < 64 || bytes.len() - at < 700 || at % 997 == 0;
                is_near_end && (at + index) % one_of == 0
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
        assert!(tried > 2000 / one_of, "{tried} flips");
    }
}

/// What can happen to an object: it is lost, has another length, or one of its bytes is another.
/// The places are those of every field of every structure, and a spread of what is between.
fn damages(name: &ObjectName, bytes: &Bytes) -> Vec<(String, Option<Bytes>)> {
    let mut longer = bytes.to_vec();
    longer.push(0);
    let mut made = vec![
        ("lost".to_owned(), None),
        ("empty".to_owned(), Some(Bytes::new())),
        ("cut".to_owned(), Some(bytes.slice(..bytes.len() / 2))),
        ("short of a byte".to_owned(), Some(bytes.slice(..bytes.len() - 1))),
        ("longer".to_owned(), Some(Bytes::from(longer))),
    ];
    let end = bytes.len();
    let is_pack = name.as_str().starts_with("packs/") || name.as_str().starts_with("twins/");
    // In packs: preamble, frames, directory, sealed copies, and the fields of the trailer.
    let fields: Vec<usize> = if is_pack {
        let ends = [1, 8, 9, 10, 12, 16, 24, 28, 32, 36, 68, 100, 116, 117, 180, 200, 240];
        let inside = (1..12).map(|part| end * part / 12);
        [0, 9, 12, 16]
            .into_iter()
            .chain(ends.map(|from_end| end - from_end))
            .chain(inside)
            .collect()
    } else {
        [0, 8, 10, 11, 12, 26, 28, 42, 43, 44, 45, 58, 76, 89, 105, 122, 170, 174]
            .into_iter()
            .chain([end / 2, end - 17, end - 1])
            .filter(|at| *at < end)
            .collect()
    };
    for at in fields {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        made.push((format!("flipped at {at}"), Some(Bytes::from(flipped))));
    }
    made
}

/// And what can happen to two objects: one is there in the other's place.
fn in_place_of(name: &ObjectName, objects: &Objects) -> Option<(String, Option<Bytes>)> {
    let folder = |name: &ObjectName| name.as_str().split('/').next().map(str::to_owned);
    let mut others = objects.iter().filter(|(other, _)| folder(other) == folder(name));
    let (other, bytes) = others.find(|(other, _)| *other != name)?;
    Some((format!("replaced by {other}"), Some(bytes.clone())))
}

/// Where a repository is while its objects are spoiled one by one.
enum Kept {
    Memory(Arc<MemoryStore>),
    Directory(tempfile::TempDir),
    Bucket { _server: Box<S3>, store: Arc<RemoteStore> },
}

impl Kept {
    fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    fn directory() -> Self {
        Self::Directory(tempfile::tempdir().unwrap())
    }

    fn bucket() -> Self {
        let server = S3::start();
        let store = Arc::new(server.store("db"));
        Self::Bucket { _server: Box::new(server), store }
    }

    /// As a program finds it that has just been started.
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => shared(store),
            Self::Directory(root) => Arc::new(LocalStore::create(root.path()).unwrap()),
            Self::Bucket { store, .. } => {
                Arc::new(Cached::new(Arc::clone(store), CacheDir::of_this_run(64 << 20)))
            }
        }
    }

    /// Makes an object have these bytes, or be gone.
    fn set(&self, name: &ObjectName, bytes: Option<&Bytes>) {
        let store = self.store();
        store.delete(name).unwrap();
        if let Some(bytes) = bytes {
            store.put(name, std::slice::from_ref(bytes)).unwrap();
        }
    }

    /// What a verification recorded is no part of the next case.
    fn forget_damage(&self) {
        let mut records = Vec::new();
        self.store().list("damage/", &mut |meta| records.push(meta.name)).unwrap();
        records.iter().for_each(|record| self.set(record, None));
    }
}

#[derive(Debug, Default)]
struct Agreed {
    tried: u32,
    refused: u32,
    spared: u32,
}

/// Spoils an object in one way, and compares what verify says with what restore does.
fn compare(
    kept: &Kept,
    (streams, workers): (&[(String, Vec<u8>)], u32),
    (name, damage, is_there): (&ObjectName, &str, bool),
    agreed: &mut Agreed,
) {
    agreed.tried += 1;
    let Ok(repository) = open(kept.store(), 4) else {
        let is_needed = ["config", "keys/"].iter().any(|n| name.as_str().starts_with(n));
        assert!(is_needed, "{name} {damage}: nothing can be opened");
        agreed.refused += 1;
        return;
    };
    let found = verified_with(&repository, Depth::Pages, workers).findings;
    // Another program, which has read nothing yet.
    let repository = open(kept.store(), 5).unwrap();
    for (id, stream) in streams {
        // A snapshot that is not there is not there for verify either.
        let is_gone = !is_there && name.as_str().ends_with(id);
        let names_it =
            |finding: &Finding| finding.snapshot.is_some_and(|other| other.to_string() == *id);
        match stream_with(&repository, id, workers) {
            Ok(came) => {
                assert!(came == *stream, "{name} {damage}: wrong bytes of {id}");
                agreed.spared += 1;
            }
            Err(error) => {
                let is_named = is_gone || found.iter().any(names_it);
                assert!(is_named, "{name} {damage}: {id}: {error:?}: {found:?}");
                agreed.refused += 1;
            }
        }
    }
}

/// Does so for every object of a small repository, and every `step`-th way of spoiling it.
fn agree(kept: &Kept, protected: Protected, nights: usize, step: usize) -> Agreed {
    agree_on(kept, &small(protected, nights), step, 1)
}

fn agree_on(
    kept: &Kept,
    (objects, streams): &(Objects, Vec<(String, Vec<u8>)>),
    step: usize,
    workers: u32,
) -> Agreed {
    objects.iter().for_each(|(name, bytes)| kept.set(name, Some(bytes)));
    let mut agreed = Agreed::default();
    let mut number = 0;
    for (name, bytes) in objects {
        for (damage, changed) in damages(name, bytes).into_iter().chain(in_place_of(name, objects))
        {
            number += 1;
            // Lost and replaced in every place, the others in turn.
            let always = ["lost", "replaced"].iter().any(|always| damage.starts_with(always));
            if !always && number % step > 0 {
                continue;
            }
            kept.set(name, changed.as_ref());
            let spoiled = (name, damage.as_str(), changed.is_some());
            compare(kept, (streams, workers), spoiled, &mut agreed);
            kept.set(name, Some(bytes));
            kept.forget_damage();
        }
    }
    agreed
}

#[test]
fn what_verify_calls_good_restores_and_what_restore_refuses_verify_names() {
    for protected in [Protected::Encrypted, Protected::Clear] {
        let agreed = agree(&Kept::memory(), protected, 3, 1);
        let enough = agreed.tried > 300 && agreed.refused > 150 && agreed.spared > 300;
        assert!(enough, "{agreed:?}");
    }
}

#[test]
fn verify_and_restore_agree_in_a_directory() {
    let agreed = agree(&Kept::directory(), Protected::Encrypted, 3, 3);
    assert!(agreed.tried > 100 && agreed.refused > 50 && agreed.spared > 50, "{agreed:?}");
}

#[test]
fn verify_and_restore_agree_in_an_object_store() {
    let agreed = agree(&Kept::bucket(), Protected::Encrypted, 2, 7);
    assert!(agreed.tried > 40 && agreed.refused > 20 && agreed.spared > 20, "{agreed:?}");
}

/// More than every queue holds: each damage ends both, and both agree. The stream of a night has
/// 300 MB that do not compress, in files of pages and in one file of bytes.
#[test]
#[ignore = "it takes a quarter of an hour"]
fn verify_and_restore_agree_on_a_repository_of_300_megabytes() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let mut server = Server::new(7, 2, 40);
    let mut random = Random(3);
    let mut blob: Vec<u8> =
        (0..300_000_000 / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = Vec::new();
        file(&mut stream, "blob", &blob, 1 << 20);
        stream.extend_from_slice(&server.stream());
        streams.push((back_up(&repository, &stream).id.to_string(), stream));
        server.night(10);
        let at = random.below(blob.len());
        blob[at] ^= 1;
    }
    let made = (store.objects(), streams);
    let bytes: usize = made.0.values().map(Bytes::len).sum();
    assert!(bytes > 300_000_000, "{bytes} bytes are stored");
    for (workers, step) in [(4, 9), (2, 31), (1, 31)] {
        let agreed = agree_on(&Kept::memory(), &made, step, workers);
        println!("{workers} workers: {agreed:?}");
        assert!(agreed.tried > 20 && agreed.refused > 10 && agreed.spared > 10, "{agreed:?}");
    }
}

/// The head of an Aria index file without encryption, as far as it is read, in one block.
fn aria_index() -> Vec<u8> {
    let mut head = vec![0; 8192];
    head[..4].copy_from_slice(&[0xFE, 0xFE, 0x09, 0x03]);
    let base = 100;
    head[13] = 100;
    head[22] = 3;
    head[base + 16..base + 24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0x20, 0]);
    head[base + 100..base + 102].copy_from_slice(&[0x20, 0]);
    head
}

fn aria_block(number: u32) -> Vec<u8> {
    let mut block = number.to_le_bytes().repeat(2048);
    block[0] = 1;
    let mut crc = crc32fast::Hasher::new_with_initial(number);
    crc.update(&block[..8188]);
    block[8188..].copy_from_slice(&crc.finalize().to_le_bytes());
    block
}

#[test]
fn verify_checks_aria_pages_again_as_they_were_checked_when_they_came() {
    let mut pages: Vec<Vec<u8>> = (0..10).map(aria_block).collect();
    pages[7][4000] ^= 1;
    for with_index in [true, false] {
        let store = Arc::new(MemoryStore::new());
        let repository = init(shared(&store), Protected::Clear, 1);
        let mut stream = Vec::new();
        if with_index {
            file(&mut stream, "shop/t.MAI", &aria_index(), 1 << 20);
        }
        file(&mut stream, "shop/t.MAD", &pages.concat(), 1 << 20);
        let came = back_up(&repository, &stream).counts;
        let again = verified(&repository, Depth::Pages).pages;
        assert_eq!(came.pages_verified, 9);
        assert_eq!(came.pages_corrupt, u64::from(with_index));
        assert_eq!(again.verified, came.pages_verified);
        assert_eq!(again.corrupt, came.pages_corrupt);
        assert_eq!(again.unverifiable, came.pages_unverifiable);
        assert_eq!(verified(&repository, Depth::Blocks).pages.verified, 0);
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
