//! Snapshots that are there and are not to be relied upon: removed ones, those of a run that was
//! stopped, doubtful ones. Nothing writes such records by itself yet.

use std::sync::Arc;

use bytes::Bytes;
use haulout::base::entropy::OsEntropy;
use haulout::base::entropy::SeededEntropy;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::fence::Fence;
use haulout::format::fence::Judged;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::format::layout::Object;
use haulout::format::note::Note;
use haulout::format::note::RemovedElsewhere;
use haulout::format::removed::Removal;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::SnapshotId;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::Keys;
use haulout::repo::notes::Notes;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::ids::RunId;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::object::ObjectKind;
use haulout::seal::slot_contents::Role;
use haulout::store::Store;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init_as_earlier;
use crate::support::open;
use crate::support::password;
use crate::support::program::Place;
use crate::support::shared;
use crate::support::stream_of;

const WITH_INTENTS: Features = Features(Features::INTENTS.0 | Features::NORMAL_FORM.0);

/// A repository with intents, after some nights.
fn nights(count: usize) -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let repository = init_as_earlier(shared(&store), Protected::Encrypted, WITH_INTENTS, 1);
    let mut server = Server::new(3, 1, 6);
    for _ in 0..count {
        back_up(&repository, &server.stream());
        server.night(3);
    }
    (store, repository)
}

fn shown(repository: &Repository) -> Vec<SnapshotId> {
    let listing = repository.snapshots().unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    listing.snapshots.iter().map(StoredSnapshot::id).collect()
}

fn removal(of: &StoredSnapshot) -> Removal {
    let about = &of.snapshot.about;
    Removal {
        time: 1_795_143_612,
        program: "haulout test".to_owned(),
        host: "db1".to_owned(),
        predecessor: about.parent.clone(),
        run: about.run.clone(),
        runs: Vec::new(),
        kind: about.kind,
        verdict: about.verdict,
        requires: Vec::new(),
        reason: "customer erased".to_owned(),
        replaced_by: None,
        origin: None,
    }
}

fn remove(repository: &Repository, of: &StoredSnapshot) {
    repository.put_removal(&of.name, &removal(of)).unwrap();
}

fn run_of(stored: &StoredSnapshot) -> [u8; 16] {
    haulout::base::hex::decode(&stored.snapshot.about.run).unwrap()
}

/// A write-only key to a repository.
fn write_only(store: &Arc<MemoryStore>) -> Repository {
    let file = KeyFile::generate(&SeededEntropy::new(8));
    let note = KeySlotNote { label: "db1".to_owned(), created_unix_seconds: 0 };
    let keys = keys(store);
    keys.add(Role::WriteOnly, Protection::KeyFile(&file), &note).unwrap();
    let text = file.to_text().to_string();
    let mut give = || Ok(Credential::KeyFile(KeyFile::from_text(&text).unwrap()));
    Repository::open(shared(store), &mut give, &Limits::FOR_TESTS, &support::world(70)).unwrap()
}

fn keys(store: &Arc<MemoryStore>) -> Keys {
    let mut give = || Ok(password());
    Keys::open(shared(store), &mut give, &Limits::FOR_TESTS, &support::world(50)).unwrap()
}

#[test]
fn a_removed_snapshot_is_hidden_and_whoever_asks_for_it_is_told_who_removed_it() {
    let (store, repository) = nights(3);
    let all = repository.snapshots().unwrap().snapshots;
    remove(&repository, &all[2]);
    let told = "was removed on 2026-11-20 at 03:00 UTC from host db1: customer erased";
    let id = all[2].id().to_string();
    for is_there in [true, false] {
        let other = open(shared(&store), 2).unwrap();
        assert_eq!(shown(&other), [all[0].id(), all[1].id()]);
        assert_eq!(other.find_snapshot("latest").unwrap().id(), all[1].id());
        assert_eq!(other.find_snapshot("shop@latest").unwrap().id(), all[1].id());
        for wanted in [&id[..], &id[..12]] {
            let error = other.find_snapshot(wanted).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
            assert!(error.to_string().ends_with(told), "{error}");
        }
        let nothing = other.find_snapshot("0123456789abcdef").unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::Usage);
        if is_there {
            assert_eq!(other.read_any_snapshot(&all[2].name).unwrap().id(), all[2].id());
            store.delete(&all[2].name.object()).unwrap();
        }
    }
    let options = VerifyOptions::new(Depth::Stored);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.snapshots, 2);
}

#[test]
fn no_sequence_number_is_used_twice() {
    let (store, repository) = nights(2);
    let newest = repository.find_snapshot("latest").unwrap();
    remove(&repository, &newest);
    store.delete(&newest.name.object()).unwrap();
    let report = back_up(&open(shared(&store), 2).unwrap(), &Server::new(3, 1, 6).stream());
    let first = repository.snapshots().unwrap().snapshots.remove(0);
    assert_eq!(report.about.sequence, 3);
    assert_eq!(report.about.parent, Some(first.id().to_string()));
}

#[test]
fn a_removal_put_without_a_full_key_hides_from_those_only_who_can_not_tell() {
    let (store, repository) = nights(2);
    let host = write_only(&store);
    let newest = repository.find_snapshot("latest").unwrap();
    let refused = host.put_removal(&newest.name, &removal(&newest)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WriteOnly);
    let name = newest.name;
    let context = [&name.source.0[..], &name.sequence.to_le_bytes(), &name.id.0].concat();
    let text = [removal(&newest).encode(), vec![7; 32]].concat();
    let sealed = host.keyring().seal_object(ObjectKind::Removed, &context, &text, &OsEntropy);
    let sealed = sealed.unwrap();
    let hash = *blake3::hash(&sealed).as_bytes();
    let (source, sequence, snapshot) = (name.source, name.sequence, name.id);
    let object = Object::Removed { source, sequence, snapshot, hash };
    store.put(&object.name(), &[Bytes::from(sealed)]).unwrap();
    assert_eq!(shown(&host).len(), 1, "it obeys");
    assert_eq!(shown(&repository).len(), 2);
    let hidden = repository.hidden(None).unwrap();
    let doubted: Vec<ErrorKind> = hidden.doubted().map(haulout::error::Error::kind).collect();
    assert_eq!(doubted, [ErrorKind::Distrusted]);
    let options = VerifyOptions::new(Depth::Stored);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    let found: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(matches!(found[..], [one] if one.contains("not put with a full key")), "{found:?}");
    // One that is true counts beside it.
    remove(&repository, &newest);
    assert_eq!(shown(&repository).len(), 1);
}

#[test]
fn a_verdict_bars_what_it_does_not_spare_and_an_announcement_nothing() {
    let (store, repository) = nights(2);
    let all = repository.snapshots().unwrap().snapshots;
    let runs = [run_of(&all[1])];
    let fence = |verdict| Fence { time: 1, runs: runs.into(), verdict };
    repository.put_fence(1, &fence(None)).unwrap();
    assert_eq!(shown(&repository).len(), 2);
    let judged = Judged { spared: [all[1].id()].into(), ..Judged::default() };
    repository.put_fence(2, &fence(Some(judged))).unwrap();
    assert_eq!(shown(&repository).len(), 2);
    assert_eq!(repository.fences().unwrap().epoch(), 2);
    repository.put_fence(3, &fence(Some(Judged::default()))).unwrap();
    let other = open(shared(&store), 2).unwrap();
    assert_eq!(shown(&other), [all[0].id()]);
    assert_eq!(other.find_snapshot("latest").unwrap().id(), all[0].id());
    let error = other.find_snapshot(&all[1].id().to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    assert_eq!(stream_of(&other, "latest").unwrap(), Server::new(3, 1, 6).stream());
    // Its number is used all the same.
    let report = back_up(&other, &Server::new(3, 1, 6).stream());
    assert_eq!((report.about.sequence, report.about.epoch), (3, 3));
    assert_eq!(report.about.parent, Some(all[0].id().to_string()));
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
}

#[test]
fn a_doubtful_snapshot_is_hidden_until_it_is_confirmed() {
    let (_, repository) = nights(2);
    let newest = repository.find_snapshot("latest").unwrap();
    let judged = Judged { doubtful: [newest.id()].into(), ..Judged::default() };
    repository
        .put_fence(1, &Fence { time: 1, runs: [[9; 16]].into(), verdict: Some(judged) })
        .unwrap();
    assert_eq!(shown(&repository).len(), 1);
    let error = repository.find_snapshot(&newest.id().to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    repository.put_cleared(newest.id(), RunId::new([8; 16])).unwrap();
    assert_eq!(shown(&repository).len(), 2);
}

#[test]
fn a_fence_that_can_not_be_read_is_reported_and_hides_nothing() {
    let (store, repository) = nights(2);
    let newest = repository.find_snapshot("latest").unwrap();
    let fence = Fence { time: 1, runs: [run_of(&newest)].into(), verdict: Some(Judged::default()) };
    let name = repository.put_fence(1, &fence).unwrap();
    let mut objects = store.objects();
    objects.insert(name, Bytes::from_static(b"rotten"));
    store.set_objects(objects);
    assert_eq!(shown(&repository).len(), 2);
    let options = VerifyOptions::new(Depth::Stored);
    let report = verify(&repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(repository.fences().unwrap().epoch(), 1, "its epoch is taken");
}

#[test]
fn in_a_repository_without_intents_nobody_looks_for_any() {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init_as_earlier(shared(&store), Protected::Clear, Features::NORMAL_FORM, 1);
    let stream = Server::new(3, 1, 6).stream();
    back_up(&repository, &stream);
    let newest = repository.find_snapshot("latest").unwrap();
    remove(&repository, &newest);
    store.reset();
    back_up(&repository, &stream);
    assert_eq!(shown(&repository).len(), 2);
    stream_of(&repository, &newest.id().to_string()).unwrap();
    for folder in ["fences/", "removed/", "cleared/", "intents/"] {
        for verb in [Verb::List, Verb::Get, Verb::Put] {
            assert_eq!(store.calls_under(verb, folder), 0, "{folder}");
        }
    }
}

#[test]
fn a_restore_asks_twice_for_what_is_hidden() {
    let store = Arc::new(Recording::new(MemoryStore::new()));
    let repository = init_as_earlier(shared(&store), Protected::Clear, WITH_INTENTS, 1);
    let stream = Server::new(3, 1, 6).stream();
    back_up(&repository, &stream);
    for wanted in ["latest", "shop@latest"] {
        let other = open(shared(&store), 2).unwrap();
        store.reset();
        assert_eq!(stream_of(&other, wanted).unwrap(), stream);
        let lists = |folder| store.calls_under(Verb::List, folder);
        assert_eq!((lists("fences/"), lists("removed/"), lists("cleared/")), (1, 1, 0));
    }
}

/// The password after a rotation.
const NEXT: &str = "battery staple";

fn rotated(store: &Arc<MemoryStore>) -> haulout::base::error::Result<usize> {
    let note = KeySlotNote { label: "next".to_owned(), created_unix_seconds: 1 };
    let next = support::passphrase(NEXT);
    let protection = Protection::Passphrase(&next, KdfCost::FOR_TESTS);
    keys(store).rotate(protection, &note, Gaps::Refused).map(|done| done.listed)
}

fn opened_after(store: &Arc<MemoryStore>) -> Repository {
    let mut give = || Ok(Credential::Passphrase(support::passphrase(NEXT)));
    Repository::open(shared(store), &mut give, &Limits::FOR_TESTS, &support::world(60)).unwrap()
}

#[test]
fn a_removed_parent_is_no_gap_for_a_rotation_and_removals_are_believed_after_it() {
    let (store, repository) = nights(3);
    let all = repository.snapshots().unwrap().snapshots;
    store.delete(&all[1].name.object()).unwrap();
    assert_eq!(rotated(&store).unwrap_err().kind(), ErrorKind::Gap);
    remove(&repository, &all[1]);
    remove(&repository, &all[2]);
    let fence = Fence { time: 1, runs: [[9; 16]].into(), verdict: None };
    repository.put_fence(1, &fence).unwrap();
    // Three snapshots, of which one is there by its removal only, two removals, a fence.
    assert_eq!(rotated(&store).unwrap(), 6);
    let after = opened_after(&store);
    assert_eq!(shown(&after), [all[0].id()]);
    assert!(after.fences().unwrap().names(RunId::new([9; 16])));
    // What a retired key removes from then on is not.
    remove(&repository, &all[0]);
    assert_eq!(shown(&after), [all[0].id()]);
    let hidden = after.hidden(None).unwrap();
    let doubted: Vec<ErrorKind> = hidden.doubted().map(haulout::error::Error::kind).collect();
    assert_eq!(doubted, [ErrorKind::RetiredKey]);
}

#[test]
fn a_parent_that_was_removed_elsewhere_is_no_gap() {
    let (store, repository) = nights(2);
    let all = repository.snapshots().unwrap().snapshots;
    store.delete(&all[0].name.object()).unwrap();
    let note = RemovedElsewhere { time: 1, snapshot: all[0].id().to_string() };
    let note = Note::RemovedElsewhere(note);
    repository.put_note(all[1].id(), &Notes::default(), note).unwrap();
    assert_eq!(rotated(&store).unwrap(), 2);
}

#[test]
fn keys_are_not_rotated_beside_a_prune() {
    let (store, repository) = nights(1);
    let run = RunId::new([5; 16]);
    let object = repository.put_intent(run, &Intent::new(IntentVerb::Prune, 1)).unwrap();
    let refused = rotated(&store).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert!(refused.to_string().contains(object.as_str()), "{refused}");
    store.delete(&object).unwrap();
    repository.put_intent(run, &Intent::new(IntentVerb::Backup, 1)).unwrap();
    assert_eq!(rotated(&store).unwrap(), 1);
}

/// A place with a repository with intents and some nights, and that repository.
fn remembered(nights: usize) -> (Place, Repository) {
    let place = Place::empty();
    let store = Arc::new(LocalStore::create(&place.path("repo")).unwrap());
    let repository = init_as_earlier(store, Protected::Clear, WITH_INTENTS, 1);
    let mut server = Server::new(3, 1, 6);
    for _ in 0..nights {
        back_up(&repository, &server.stream());
        server.night(3);
    }
    let state = place.path("state");
    place.ran(&["snapshots", "--state", state.to_str().unwrap()]).is(0);
    (place, repository)
}

#[test]
fn a_host_that_remembers_takes_a_removed_snapshot_for_removed_and_another_for_lost() {
    let (place, repository) = remembered(3);
    let state = place.path("state");
    let looks = || place.ran(&["snapshots", "--state", state.to_str().unwrap()]);
    let all = repository.snapshots().unwrap().snapshots;
    let object = |at: usize| place.path("repo").join(all[at].name.object().as_str());
    // The newest, and the one that it follows.
    for at in [2, 1] {
        remove(&repository, &all[at]);
        looks().is(0);
        std::fs::remove_file(object(at)).unwrap();
        looks().is(0);
    }
    back_up(&repository, &Server::new(3, 1, 6).stream());
    looks().is(0);
    std::fs::remove_file(object(0)).unwrap();
    looks().is(1).says("has lost snapshot");
}
