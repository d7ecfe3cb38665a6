//! What a store can do with the objects that it keeps, by name: each attack is noticed, and told
//! from the others.
//!
//! | what it does | kind of the error | told by |
//! |---|---|---|
//! | shows a snapshot as another source's, or as a later one | misplaced | here |
//! | shows another object as a snapshot | misplaced | here |
//! | shows a snapshot of another repository | foreign-key | here |
//! | shows other bytes under a snapshot's name | damaged | here |
//! | shows what a previous key sealed after it was retired | retired-key | `rotation.rs` |
//! | withholds or changes the list of what a previous key sealed | retired-key | `rotation.rs` |
//! | swaps, replaces or cuts packs | damaged | here |
//! | drops packs | missing | here |
//! | replaces run records, or drops them | none: they are not needed | here |
//! | replaces a key by another repository's, changes `config` | damaged | here |
//! | shows one key under another one's name | damaged, and not removed | here |
//! | shows a note about another snapshot | damaged | here |
//! | condemns a pack with a damage record of another | none: it is not believed | here |
//! | says that there is no encryption | distrusted | `cli_far.rs` |
//! | shows an older state, or previous keys | rolled-back | `cli_far.rs`, who remembers |
//! | drops a snapshot in the middle, or hides one that another follows | gap | the same |
//! | shows another repository | other-repository | the same |
//!
//! Frames, directories and ordinals that change places are in `seal/tests`.

use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::note::Note;
use haulout::format::note::TagNote;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Keys;
use haulout::repo::notes::Notes;
use haulout::seal::cost::Limits;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::open;
use crate::support::options;
use crate::support::password;
use crate::support::shared;
use crate::support::stream_of;

/// Two nights of two sources, and another repository under the same password.
struct Setting {
    store: Arc<MemoryStore>,
    other: Arc<MemoryStore>,
}

impl Setting {
    fn new() -> Self {
        let (store, other) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        for (store, seed) in [(&store, 1), (&other, 2)] {
            let repository = init(shared(store), Protected::Encrypted, seed);
            let mut server = Server::new(seed, 1, 20);
            for _ in 0..2 {
                back_up(&repository, &server.stream());
                let source = "second".to_owned();
                let options = haulout::ops::backup::BackupOptions { source, ..options() };
                let exit = haulout::source::ProducerExit::Exited(0);
                back_up_with(&repository, &server.stream(), exit, &options).unwrap();
                server.night(5);
            }
        }
        Self { store, other }
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

    /// What is wrong with the one snapshot that can't be read.
    #[track_caller]
    fn damaged_snapshot(&self) -> (ErrorKind, String) {
        let listing = self.repository().unwrap().snapshots().unwrap();
        assert_eq!(listing.damaged.len(), 1);
        let (_, error) = &listing.damaged[0];
        (error.kind(), error.with_causes())
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
    let (kind, why) = setting.damaged_snapshot();
    assert_eq!(kind, ErrorKind::Misplaced);
    assert!(why.contains("not authentic: altered, or not in its place"), "{why}");
}

#[test]
fn an_old_snapshot_is_not_replayed_as_the_newest() {
    let setting = Setting::new();
    let name = setting.names("snapshots/").swap_remove(0);
    let (folder, file) = apart(&name);
    let (_, hash) = file.split_once('-').unwrap();
    let bytes = bytes_of(&setting.store, &name);
    setting.replace(&format!("{folder}/0000000099-{hash}"), bytes);
    let (kind, why) = setting.damaged_snapshot();
    assert_eq!(kind, ErrorKind::Misplaced);
    assert!(why.contains("not authentic: altered, or not in its place"), "{why}");
    setting.repository().unwrap().find_snapshot("second@latest").unwrap_err();
}

#[test]
fn a_snapshot_of_another_repository_is_refused_even_under_the_same_password() {
    let setting = Setting::new();
    let theirs = first(&setting.other, "snapshots/");
    let (_, file) = apart(&theirs);
    let folder = apart(&setting.names("snapshots/")[0]).0.to_owned();
    setting.replace(&format!("{folder}/{file}"), bytes_of(&setting.other, &theirs));
    let (kind, why) = setting.damaged_snapshot();
    assert_eq!(kind, ErrorKind::ForeignKey);
    assert!(why.contains("was sealed under another key"), "{why}");
}

#[test]
fn a_note_is_not_taken_for_a_snapshot() {
    let setting = Setting::new();
    let repository = setting.repository().unwrap();
    let id = repository.find_snapshot("shop@latest").unwrap().id();
    let note = Note::Tags(TagNote { time: 9, add: vec!["gold".to_owned()], remove: Vec::new() });
    repository.put_note(id, &Notes::default(), note).unwrap();
    let note = bytes_of(&setting.store, &setting.names("notes/")[0]);
    let name = setting.names("snapshots/").swap_remove(0);
    let hash = blake3::hash(&note).to_hex();
    setting.replace(&format!("{}/0000000099-{hash}", apart(&name).0), note);
    let (kind, why) = setting.damaged_snapshot();
    assert_eq!(kind, ErrorKind::Misplaced);
    assert!(why.contains("this is a note object, not a snapshot object"), "{why}");
}

#[test]
fn a_note_about_one_snapshot_is_not_taken_for_one_about_another() {
    let setting = Setting::new();
    let repository = setting.repository().unwrap();
    let snapshots = repository.snapshots().unwrap().snapshots;
    let (own, other) = (snapshots[0].id(), snapshots[1].id());
    let note = Note::Tags(TagNote { time: 9, add: vec!["gold".to_owned()], remove: Vec::new() });
    repository.put_note(own, &Notes::default(), note).unwrap();
    let name = setting.names("notes/").swap_remove(0);
    let moved = name.replace(&own.to_string(), &other.to_string());
    setting.replace(&moved, bytes_of(&setting.store, &name));
    let notes = repository.notes(Some(other)).unwrap();
    assert_eq!(notes.damaged.len(), 1);
    assert_eq!(notes.damaged[0].kind(), ErrorKind::Damaged);
    let mut shown = snapshots[1].clone();
    notes.apply(&mut shown);
    assert!(shown.snapshot.about.tags.is_empty());
}

#[test]
fn other_bytes_under_the_name_of_a_snapshot_are_reported_without_a_key() {
    let setting = Setting::new();
    let names = setting.names("snapshots/");
    setting.replace(&names[0], bytes_of(&setting.store, &names[1]));
    let (kind, why) = setting.damaged_snapshot();
    assert_eq!(kind, ErrorKind::Damaged);
    assert!(why.contains("its bytes do not match its name"), "{why}");
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
            Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{}", error.with_causes()),
        }
    }
    let options = VerifyOptions::new(Depth::Stored);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.len() >= data.len(), "all are named: {:?}", report.findings);
}

#[test]
fn packs_that_are_dropped_or_cut_give_no_byte() {
    let setting = Setting::new();
    let twins = setting.names("twins/");
    let is_data = |name: &String| !twins.iter().any(|twin| twin.ends_with(apart(name).1));
    for name in setting.names("packs/").into_iter().filter(is_data) {
        let bytes = bytes_of(&setting.store, &name);
        setting.replace(&name, bytes.slice(..bytes.len() / 2));
    }
    let refused = stream_of(&setting.repository().unwrap(), "shop@latest").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{}", refused.with_causes());
    for name in setting.names("packs/").into_iter().filter(is_data) {
        setting.store.delete(&ObjectName::new(&name).unwrap()).unwrap();
    }
    let refused = stream_of(&setting.repository().unwrap(), "shop@latest").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Missing, "{}", refused.with_causes());
}

#[test]
fn run_records_that_are_dropped_are_not_needed() {
    let setting = Setting::new();
    for name in setting.names("runs/") {
        setting.store.delete(&ObjectName::new(&name).unwrap()).unwrap();
    }
    stream_of(&setting.repository().unwrap(), "shop@latest").unwrap();
}

#[test]
fn a_key_under_the_name_of_another_is_reported_and_not_removed_in_its_place() {
    let setting = Setting::new();
    let own = first(&setting.store, "keys/");
    let moved = format!("keys/{}", "0".repeat(32));
    setting.replace(&moved, bytes_of(&setting.store, &own));
    let mut give = || Ok(password());
    let world = support::world(3);
    let keys = Keys::open(shared(&setting.store), &mut give, &Limits::FOR_TESTS, &world).unwrap();
    let slots = keys.list().unwrap();
    assert_eq!((slots.slots.len(), slots.damaged.len()), (1, 1));
    assert_eq!(slots.damaged[0].0.as_str(), moved);
    assert_eq!(slots.damaged[0].1.kind(), ErrorKind::Damaged);
    assert_eq!(keys.remove(slots.slots[0].id).unwrap_err().kind(), ErrorKind::Usage);
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
    let refused = stream_of(&setting.repository().unwrap(), "shop@latest").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{}", refused.with_causes());
}

#[test]
fn a_run_record_of_another_run_opens_nothing_and_is_not_needed() {
    let setting = Setting::new();
    let runs = setting.names("runs/");
    let foreign = bytes_of(&setting.other, &first(&setting.other, "runs/"));
    runs.iter().for_each(|name| setting.replace(name, foreign.clone()));
    let repository = setting.repository().unwrap();
    stream_of(&repository, "shop@latest").unwrap();
}

#[test]
fn a_key_of_another_repository_opens_that_one_and_not_this() {
    let setting = Setting::new();
    let (own, theirs) = (first(&setting.store, "keys/"), first(&setting.other, "keys/"));
    setting.replace(&own, bytes_of(&setting.other, &theirs));
    let refused = setting.repository().unwrap_err();
    assert!(refused.with_causes().contains("its tag does not match"), "{}", refused.with_causes());
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
    assert!(refused.with_causes().contains("its tag does not match"), "{}", refused.with_causes());
}

#[test]
fn a_config_of_another_repository_is_refused() {
    let setting = Setting::new();
    setting.replace("config", bytes_of(&setting.other, "config"));
    let refused = setting.repository().unwrap_err();
    assert!(refused.with_causes().contains("its tag does not match"), "{}", refused.with_causes());
}

#[test]
fn a_damage_record_of_one_pack_does_not_condemn_another() {
    let setting = Setting::new();
    let pack = setting.names("packs/").swap_remove(0);
    let record = format!("damage/{}-{}", apart(&pack).1, "0".repeat(64));
    setting.replace(&record, bytes_of(&setting.store, &first(&setting.store, "snapshots/")));
    let repository = setting.repository().unwrap();
    let stream = stream_of(&repository, "shop@latest").unwrap();
    let report = back_up(&repository, &stream);
    assert_eq!((report.packs_absent, report.counts.blocks_healed), (0, 0));
}
