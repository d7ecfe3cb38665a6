//! The keys are rotated: what was stored is read as before, and with the keys of before nothing is
//! read and nothing is made believe from there on.

use std::sync::Arc;

use bytes::Bytes;
use haulout::base::entropy::OsEntropy;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::ids::Class;
use haulout::base::world::World;
use haulout::format::note::Note;
use haulout::format::note::TagNote;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::plan;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::Rotated;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::object::ObjectKind;
use haulout::seal::recovery_kit::RecoveryKit;
use haulout::seal::run::RunRecord;
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

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::keys_by;
use crate::support::opened_by;
use crate::support::options;
use crate::support::passphrase;
use crate::support::shared;
use crate::support::stream_of;

fn note(label: &str) -> KeySlotNote {
    KeySlotNote { label: label.to_owned(), created_unix_seconds: 7 }
}

/// The password that every test repository begins with.
const FIRST: &str = "correct horse";

fn rotated(store: &Arc<dyn Store>, from: &str, to: &str) -> Result<Rotated, Error> {
    let protection = passphrase(to);
    let protection = Protection::Passphrase(&protection, KdfCost::FOR_TESTS);
    keys_by(store, from)?.rotate(protection, &note(to), Gaps::Refused)
}

fn names(store: &dyn Store, prefix: &str) -> Vec<ObjectName> {
    let mut names = Vec::new();
    let folder = prefix.find('/').map_or("", |at| &prefix[..=at]);
    store.list(folder, &mut |meta| names.push(meta.name)).unwrap();
    names.retain(|name| name.as_str().starts_with(prefix));
    names.sort();
    names
}

/// Two nights, and a colleague who has a key.
struct Setting {
    store: Arc<dyn Store>,
    server: Server,
    streams: Vec<Vec<u8>>,
}

impl Setting {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let repository = init(Arc::clone(&store), Protected::Encrypted, 1);
        let mut setting = Self { store, server: Server::new(1, 1, 20), streams: Vec::new() };
        (0..2).for_each(|_| setting.night(&repository));
        let colleague = passphrase("colleague");
        let protection = Protection::Passphrase(&colleague, KdfCost::FOR_TESTS);
        keys_by(&setting.store, FIRST).unwrap().add(Role::Full, protection, &note("c")).unwrap();
        setting
    }

    fn night(&mut self, repository: &Repository) {
        let stream = self.server.stream();
        let report = back_up(repository, &stream);
        assert!(self.streams.is_empty() || report.counts.blocks_same > report.counts.blocks_whole);
        self.streams.push(stream);
        self.server.night(6);
    }

    fn copy(&self) -> Arc<MemoryStore> {
        let copy = Arc::new(MemoryStore::new());
        for name in names(&*self.store, "") {
            copy.put(&name, &[self.store.get(&name, 1 << 30).unwrap()]).unwrap();
        }
        copy
    }

    /// All snapshots that show are whole, and so many.
    fn shows(&self, repository: &Repository, about: &str) -> usize {
        let listing = repository.snapshots().unwrap();
        assert!(listing.damaged.is_empty(), "{about}: {:?}", listing.damaged);
        for stored in &listing.snapshots {
            let stream = stream_of(repository, &stored.id().to_string()).unwrap();
            assert!(self.streams.contains(&stream), "{about}");
        }
        listing.snapshots.len()
    }
}

#[test]
fn what_was_stored_is_read_as_before_and_what_is_stored_then_with_new_keys_only() {
    let mut setting = Setting::new();
    // All that somebody has who knew a password: the keys themselves, and a kit of them.
    let previous = opened_by(&setting.store, "colleague").unwrap();
    let old_kit = keys_by(&setting.store, "colleague").unwrap().kit(None, &note("kit")).unwrap();
    let done = rotated(&setting.store, FIRST, "new").unwrap();
    assert_eq!((done.generation, done.listed, done.retired.len()), (1, 2, 1));
    let refused = opened_by(&setting.store, FIRST).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongKey, "the previous password opens nothing");

    let runs = names(&*setting.store, "runs/");
    let repository = opened_by(&setting.store, "new").unwrap();
    assert_eq!(setting.shows(&repository, "after"), 2);
    setting.night(&repository);
    assert_eq!(setting.shows(&opened_by(&setting.store, "new").unwrap(), "later"), 3);

    for name in names(&*setting.store, "runs/").iter().filter(|name| !runs.contains(name)) {
        let record = RunRecord::decode(&setting.store.get(name, 1 << 20).unwrap()).unwrap();
        for class in [Class::Data, Class::Meta] {
            previous.keyring().open_run(&record, class).unwrap_err();
            repository.keyring().open_run(&record, class).unwrap();
        }
    }
    let kit_opened = {
        let (mut none, limits) = (|| unreachable!(), Limits::FOR_TESTS);
        let store = Arc::clone(&setting.store);
        Repository::open_by_kit(store, &old_kit, &mut none, &limits, &World::of_this_machine())
            .unwrap()
    };
    // The one that was opened before looks at the keys in the end only: its snapshot is there then.
    for previous in [opened_by(&setting.store, "colleague").unwrap(), kit_opened, previous] {
        let listing = previous.snapshots().unwrap();
        assert_eq!((listing.snapshots.len(), listing.damaged.len()), (2, 1));
        for stored in &listing.snapshots {
            stream_of(&previous, &stored.id().to_string()).unwrap();
        }
        stream_of(&previous, "latest").unwrap_err();
        let stream = setting.streams.last().unwrap();
        let refused =
            back_up_with(&previous, stream, ProducerExit::Exited(0), &options()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RetiredSlot, "{refused}");
    }
    let old = keys_by(&setting.store, "colleague").unwrap();
    let secret = passphrase("x");
    let weak = Protection::Passphrase(&secret, KdfCost::FOR_TESTS);
    assert_eq!(old.add(Role::Full, weak, &note("")).unwrap_err().kind(), ErrorKind::RetiredSlot);
    assert_eq!(old.remove(done.added).unwrap_err().kind(), ErrorKind::RetiredSlot);
    assert_eq!(
        old.rotate(weak, &note(""), Gaps::Refused).unwrap_err().kind(),
        ErrorKind::RetiredSlot
    );
}

#[test]
fn what_is_sealed_with_a_retired_key_later_is_not_believed() {
    let setting = Setting::new();
    let previous = opened_by(&setting.store, "colleague").unwrap();
    rotated(&setting.store, FIRST, "new").unwrap();
    let source = previous.source_id("shop").unwrap();
    let stored = previous.find_snapshot("latest").unwrap();
    let mut forged = stored.snapshot.clone();
    forged.about.sequence += 1;
    previous.put_snapshot(source, &forged).unwrap();
    let text = br#"{"about":"tags","time":9,"add":["gold"],"remove":[]}"#;
    let id = stored.id();
    let sealed = previous.keyring().seal_object(ObjectKind::Note, &id.0, text, &OsEntropy).unwrap();
    let hash = blake3::hash(&sealed).to_hex();
    let name = ObjectName::new(&format!("notes/{id}-{hash}")).unwrap();
    setting.store.put(&name, &[Bytes::from(sealed)]).unwrap();

    let repository = opened_by(&setting.store, "new").unwrap();
    let listing = repository.snapshots().unwrap();
    assert_eq!(listing.snapshots.len(), 2);
    let kinds: Vec<ErrorKind> = listing.damaged.iter().map(|(_, error)| error.kind()).collect();
    assert_eq!(kinds, [ErrorKind::RetiredKey]);
    let refused = repository.find_snapshot("latest").unwrap_err();
    assert!(refused.to_string().contains("after that was retired"), "{refused}");
    let notes = repository.notes(None).unwrap();
    assert_eq!(notes.damaged[0].kind(), ErrorKind::RetiredKey);
    let mut shown = stored;
    notes.apply(&mut shown);
    assert!(shown.snapshot.about.tags.is_empty());
}

#[test]
fn a_run_that_a_rotation_overtakes_fails_and_says_so() {
    let setting = Setting::new();
    // It looked at the keys when it was opened; what it finds at its end is new.
    let overtaken = opened_by(&setting.store, "colleague").unwrap();
    rotated(&setting.store, FIRST, "new").unwrap();
    let stream = setting.server.stream();
    let refused =
        back_up_with(&overtaken, &stream, ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RetiredSlot, "{refused}");
    let tagged = overtaken.snapshots().unwrap().snapshots[0].id();
    let notes = overtaken.notes(None).unwrap();
    let note = Note::Tags(TagNote { time: 9, add: vec!["a".to_owned()], remove: Vec::new() });
    let refused = overtaken.put_note(tagged, &notes, note).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RetiredSlot, "{refused}");
    let repository = opened_by(&setting.store, "new").unwrap();
    let listing = repository.snapshots().unwrap();
    assert_eq!((listing.snapshots.len(), listing.damaged.len()), (2, 1));
    // What it stored is of use all the same.
    let report = back_up(&repository, &stream);
    assert_eq!(stream_of(&repository, &report.id.to_string()).unwrap(), stream);
    assert_eq!(report.damaged.len(), 1, "it is told once more");
    // From then on it is in nobody's way.
    let listing = repository.snapshots().unwrap();
    assert_eq!(
        (listing.snapshots.len(), listing.damaged.len(), listing.overtaken.len()),
        (3, 0, 1)
    );
    let depth = VerifyOptions::new(Depth::Objects);
    let verified = verify(&repository, &depth, &World::of_this_machine()).unwrap();
    assert_eq!((verified.findings.len(), verified.notes.len()), (0, 1));
    let later = back_up(&repository, &stream);
    assert!(later.damaged.is_empty(), "{:?}", later.damaged);
    // A note is passed over when there is another.
    assert_eq!(repository.notes(None).unwrap().damaged.len(), 1);
    let notes = repository.notes(None).unwrap();
    let note = Note::Tags(TagNote { time: 10, add: vec!["b".to_owned()], remove: Vec::new() });
    repository.put_note(tagged, &notes, note).unwrap();
    assert!(repository.notes(None).unwrap().damaged.is_empty());
}

#[test]
fn a_store_that_withholds_or_changes_the_list_makes_nothing_believed() {
    let mut setting = Setting::new();
    rotated(&setting.store, FIRST, "new").unwrap();
    let repository = opened_by(&setting.store, "new").unwrap();
    setting.night(&repository);
    let list = names(&*setting.store, "keys/retired-").remove(0);
    let bytes = setting.store.get(&list, 1 << 20).unwrap();
    let longer = Bytes::from([&bytes[..], &[0; 32]].concat());
    for offered in [None, Some(longer)] {
        setting.store.delete(&list).unwrap();
        offered
            .iter()
            .for_each(|other| setting.store.put(&list, std::slice::from_ref(other)).unwrap());
        let listing = opened_by(&setting.store, "new").unwrap().snapshots().unwrap();
        assert_eq!(listing.snapshots.len(), 1, "the new one needs no list");
        let kinds: Vec<_> = listing.damaged.iter().map(|(_, error)| error.kind()).collect();
        assert_eq!(kinds, [ErrorKind::RetiredKey; 2]);
        setting.store.put(&list, std::slice::from_ref(&bytes)).unwrap_or_else(|_| {
            setting.store.delete(&list).unwrap();
            setting.store.put(&list, std::slice::from_ref(&bytes)).unwrap();
        });
    }
    assert_eq!(setting.shows(&opened_by(&setting.store, "new").unwrap(), "given back"), 3);
}

#[test]
fn a_host_that_may_only_write_gets_a_new_key_and_goes_on() {
    let mut setting = Setting::new();
    let add = |store: &Arc<dyn Store>, password: &str, seed| {
        let file = KeyFile::generate(&SeededEntropy::new(seed));
        let keys = keys_by(store, password).unwrap();
        keys.add(Role::WriteOnly, Protection::KeyFile(&file), &note("db1")).unwrap();
        file.to_text().to_string()
    };
    let host = |store: &Arc<dyn Store>, text: &str| {
        let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(text).unwrap()));
        let world = World::of_this_machine();
        Repository::open(Arc::clone(store), &mut give, &Limits::FOR_TESTS, &world).unwrap()
    };
    let mut file = add(&setting.store, FIRST, 8);
    let mut password = FIRST;
    for (number, next) in (1..).zip(["second", "third"]) {
        let store = Arc::clone(&setting.store);
        setting.night(&host(&store, &file));
        let done = rotated(&store, password, next).unwrap();
        assert_eq!(done.generation, number);
        let left = host(&store, &file);
        let stream = setting.server.stream();
        let refused =
            back_up_with(&left, &stream, ProducerExit::Exited(0), &options()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RetiredSlot);
        (file, password) = (add(&store, next, 20 + u64::from(number)), next);
        setting.night(&host(&store, &file));
        assert_eq!(host(&store, &file).snapshots().unwrap().damaged.len(), 0);
        let refused = stream_of(&host(&store, &file), "latest").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WriteOnly);
    }
    let full = opened_by(&setting.store, password).unwrap();
    assert_eq!(setting.shows(&full, "by a full key"), 6);
    // The last key is the last of its generation: those left behind are none.
    let keys = keys_by(&setting.store, password).unwrap();
    let own = keys.unlocked().slot.unwrap();
    assert_eq!(keys.remove(own).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn keys_are_rotated_fifteen_times_and_then_no_more() {
    let setting = Setting::new();
    let mut password = FIRST.to_owned();
    for number in 1..=15 {
        let next = format!("number {number}");
        assert_eq!(rotated(&setting.store, &password, &next).unwrap().generation, number);
        password = next;
    }
    let refused = rotated(&setting.store, &password, "once more").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.to_string().contains("15 times"), "{refused}");
    assert_eq!(setting.shows(&opened_by(&setting.store, &password).unwrap(), "at the end"), 2);
    let keys = keys_by(&setting.store, &password).unwrap();
    let secret = passphrase("kit");
    for protection in [None, Some((&secret, KdfCost::FOR_TESTS))] {
        let text = keys.kit(protection, &note("a label of some length")).unwrap().to_text("");
        let kit = RecoveryKit::from_text(&text).unwrap();
        let mut give = || Ok(Credential::Passphrase(passphrase("kit")));
        let (store, limits) = (Arc::clone(&setting.store), Limits::FOR_TESTS);
        let by_kit =
            Repository::open_by_kit(store, &kit, &mut give, &limits, &World::of_this_machine());
        assert_eq!(setting.shows(&by_kit.unwrap(), "by a kit"), 2);
    }
}

#[test]
fn a_rotation_takes_place_or_not_whatever_call_fails() {
    let setting = Setting::new();
    for effect in
        [Effect::RefuseBefore(Category::Transient), Effect::RefuseAfter(Category::Transient)]
    {
        for nth in 1.. {
            let inner = setting.copy();
            let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) }.at(nth);
            let failing = Arc::new(Failing::new(shared(&inner), vec![fault]));
            let done = rotated(&shared(&failing), FIRST, "new").is_ok();
            let about = format!("call {nth}, {effect:?}, done: {done}");
            let store = shared(&inner);
            let new = opened_by(&store, "new");
            let old = opened_by(&store, FIRST);
            assert!(new.is_ok() || !done, "{about}");
            assert!(new.is_ok() || old.is_ok(), "{about}: nobody is locked out");
            for repository in [&new, &old].into_iter().flatten() {
                assert_eq!(setting.shows(repository, &about), 2);
            }
            let current = if new.is_ok() { "new" } else { "again" };
            if new.is_err() {
                rotated(&store, FIRST, "again").unwrap();
            }
            let stream = setting.server.stream();
            let repository = opened_by(&store, current).unwrap();
            let report = back_up(&repository, &stream);
            assert_eq!(stream_of(&repository, &report.id.to_string()).unwrap(), stream, "{about}");
            if failing.struck() == 0 {
                assert!(done && nth > 8, "several calls were tried");
                break;
            }
        }
    }
}

#[test]
fn a_copy_gets_the_new_keys_with_what_it_lacks() {
    let mut setting = Setting::new();
    let far: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let send = |store: &Arc<dyn Store>, password: &str| {
        let near = opened_by(store, password).unwrap();
        let snapshots = near.snapshots().unwrap().snapshots;
        let confirmation = Confirmation::Listed;
        let options = ReplicateOptions { snapshots, connections: 2, confirmation };
        let world = World::of_this_machine();
        let planned = plan(&near, Arc::clone(&far), options, &world).unwrap();
        let report = planned.send(&world).unwrap();
        assert!(report.damaged.is_empty() && report.left_out.is_empty());
    };
    send(&setting.store, FIRST);
    rotated(&setting.store, FIRST, "new").unwrap();
    let repository = opened_by(&setting.store, "new").unwrap();
    setting.night(&repository);
    send(&setting.store, "new");
    assert_eq!(setting.shows(&opened_by(&far, "new").unwrap(), "the copy"), 3);
    // The previous key is there until it is removed there; it writes nothing.
    let left = opened_by(&far, FIRST).unwrap();
    let stream = setting.server.stream();
    let refused = back_up_with(&left, &stream, ProducerExit::Exited(0), &options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RetiredSlot);
}
