//! What a store can do with the objects that it keeps, by name: each attack is noticed, and told
//! from the others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::monitor::Monitor;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::shared;
use crate::support::stream_of;

/// Two nights of two sources, and another repository under the same password.
struct Setting {
    store: Arc<MemoryStore>,
    other: Arc<MemoryStore>,
}

impl Setting {
    fn new() -> Setting {
        let (store, other) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        for (store, seed) in [(&store, 1), (&other, 2)] {
            let repository = init(shared(store), Protected::Encrypted, seed);
            let mut server = Server::new(seed, 1, 20);
            for _ in 0..2 {
                back_up(&repository, &server.stream());
                let source = "second".to_owned();
                let options = haulout::ops::backup::BackupOptions { source, ..options() };
                let fate = haulout::source::Fate::Exited(0);
                back_up_with(&repository, &server.stream(), fate, &options).unwrap();
                server.night(5);
            }
        }
        Setting { store, other }
    }

    fn repository(&self) -> Result<Repository, Error> {
        open(shared(&self.store), 9)
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        self.store.list(prefix, &mut |meta| names.push(meta.name.to_string())).unwrap();
        names.sort();
        names
    }

    /// Puts other bytes under a name, as only a store can.
    fn replace(&self, name: &str, bytes: Bytes) {
        let name = ObjectName::new(name).unwrap();
        self.store.delete(&name).unwrap();
        self.store.put(&name, &[bytes]).unwrap();
    }

    fn damaged_snapshots(&self) -> Vec<String> {
        let listing = self.repository().unwrap().snapshots().unwrap();
        listing.damaged.iter().map(|(_, error)| told(error)).collect()
    }
}

fn bytes_of(store: &MemoryStore, name: &str) -> Bytes {
    store.get(&ObjectName::new(name).unwrap(), 1 << 30).unwrap()
}

fn first(store: &MemoryStore, prefix: &str) -> String {
    let mut names = Vec::new();
    store.list(prefix, &mut |meta| names.push(meta.name.to_string())).unwrap();
    names.sort();
    names.swap_remove(0)
}

/// An error with its causes.
fn told(error: &Error) -> String {
    let mut words = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}

/// The folders and file names of snapshots.
fn apart(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap()
}

#[test]
fn a_snapshot_of_one_source_is_not_shown_as_another_ones() {
    let setting = Setting::new();
    let names = setting.names("snapshots/");
    let (own, other) = (apart(&names[0]), apart(names.last().unwrap()));
    assert_ne!(own.0, other.0, "two sources");
    let bytes = bytes_of(&setting.store, names.last().unwrap());
    setting.replace(&format!("{}/{}", own.0, other.1), bytes);
    let damaged = setting.damaged_snapshots();
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].contains("not authentic: altered, or not in its place"), "{damaged:?}");
}

#[test]
fn an_old_snapshot_is_not_replayed_as_the_newest() {
    let setting = Setting::new();
    let name = setting.names("snapshots/").swap_remove(0);
    let (folder, file) = apart(&name);
    let (_, hash) = file.split_once('-').unwrap();
    let bytes = bytes_of(&setting.store, &name);
    setting.replace(&format!("{folder}/0000000099-{hash}"), bytes);
    let damaged = setting.damaged_snapshots();
    assert!(damaged[0].contains("not authentic: altered, or not in its place"), "{damaged:?}");
    setting.repository().unwrap().find_snapshot("latest").unwrap_err();
}

#[test]
fn a_snapshot_of_another_repository_is_refused_even_under_the_same_password() {
    let setting = Setting::new();
    let theirs = first(&setting.other, "snapshots/");
    let (_, file) = apart(&theirs);
    let folder = apart(&setting.names("snapshots/")[0]).0.to_owned();
    setting.replace(&format!("{folder}/{file}"), bytes_of(&setting.other, &theirs));
    let damaged = setting.damaged_snapshots();
    assert!(damaged[0].contains("was sealed under another key"), "{damaged:?}");
}

#[test]
fn other_bytes_under_the_name_of_a_snapshot_are_told_without_a_key() {
    let setting = Setting::new();
    let names = setting.names("snapshots/");
    setting.replace(&names[0], bytes_of(&setting.store, &names[1]));
    let damaged = setting.damaged_snapshots();
    assert!(damaged[0].contains("its bytes do not match its name"), "{damaged:?}");
}

#[test]
fn packs_that_change_places_give_no_byte() {
    let setting = Setting::new();
    let twins = setting.names("twins/");
    let is_data = |name: &&String| !twins.iter().any(|twin| twin.ends_with(apart(name).1));
    let packs = setting.names("packs/");
    let data: Vec<&String> = packs.iter().filter(is_data).collect();
    let repository = setting.repository().unwrap();
    let all = repository.snapshots().unwrap().snapshots;
    let streams = |repository: &Repository| -> Vec<Result<Vec<u8>, Error>> {
        all.iter().map(|stored| stream_of(repository, &stored.id().to_string())).collect()
    };
    let before = streams(&repository);
    let bytes: Vec<Bytes> = data.iter().map(|name| bytes_of(&setting.store, name)).collect();
    for (at, name) in data.iter().enumerate() {
        setting.replace(name, bytes[(at + 1) % bytes.len()].clone());
    }
    for (before, after) in before.into_iter().zip(streams(&setting.repository().unwrap())) {
        match after {
            Ok(stream) => assert_eq!(before.unwrap(), stream, "it needs none of them"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{}", told(&error)),
        }
    }
    let options = VerifyOptions { depth: Depth::Stored, snapshots: Vec::new(), workers: 1 };
    let report = verify(&repository, &options, &Arc::new(Monitor::default())).unwrap();
    assert!(report.findings.len() >= data.len(), "all are named: {:?}", report.findings);
}

#[test]
fn a_pack_of_another_repository_is_refused() {
    let setting = Setting::new();
    let twins = setting.names("twins/");
    for name in setting.names("packs/") {
        if !twins.iter().any(|twin| twin.ends_with(apart(&name).1)) {
            setting.replace(&name, bytes_of(&setting.other, &first(&setting.other, "packs/")));
        }
    }
    let refused = stream_of(&setting.repository().unwrap(), "latest").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{}", told(&refused));
}

#[test]
fn a_run_record_of_another_run_opens_nothing_and_is_not_needed() {
    let setting = Setting::new();
    let runs = setting.names("runs/");
    let foreign = bytes_of(&setting.other, &first(&setting.other, "runs/"));
    runs.iter().for_each(|name| setting.replace(name, foreign.clone()));
    let repository = setting.repository().unwrap();
    stream_of(&repository, "latest").unwrap();
}

#[test]
fn a_key_of_another_repository_opens_that_one_and_not_this() {
    let setting = Setting::new();
    let (own, theirs) = (first(&setting.store, "keys/"), first(&setting.other, "keys/"));
    setting.replace(&own, bytes_of(&setting.other, &theirs));
    let refused = setting.repository().unwrap_err();
    assert!(told(&refused).contains("its tag does not match"), "{}", told(&refused));
}

#[test]
fn changed_parameters_are_refused_although_their_checksum_is_right() {
    let setting = Setting::new();
    let mut config = bytes_of(&setting.store, "config").to_vec();
    // The largest block, doubled: everything would be cut elsewhere.
    config[53..57].copy_from_slice(&(256u32 << 10).to_le_bytes());
    let sum = blake3::hash(&config[..89]);
    config[89..105].copy_from_slice(&sum.as_bytes()[..16]);
    setting.replace("config", config.into());
    let refused = setting.repository().unwrap_err();
    assert!(told(&refused).contains("its tag does not match"), "{}", told(&refused));
}

#[test]
fn a_config_of_another_repository_is_refused() {
    let setting = Setting::new();
    setting.replace("config", bytes_of(&setting.other, "config"));
    let refused = setting.repository().unwrap_err();
    assert!(told(&refused).contains("its tag does not match"), "{}", told(&refused));
}

#[test]
fn a_damage_record_of_one_pack_does_not_condemn_another() {
    let setting = Setting::new();
    let pack = setting.names("packs/").swap_remove(0);
    let record = format!("damage/{}-{}", apart(&pack).1, "0".repeat(64));
    setting.replace(&record, bytes_of(&setting.store, &first(&setting.store, "snapshots/")));
    let repository = setting.repository().unwrap();
    let stream = stream_of(&repository, "latest").unwrap();
    let report = back_up(&repository, &stream);
    assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
}
