//! Who can open a repository, and what a store can't make them believe.

use std::sync::Arc;

use haulout::base::entropy::SeededEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::repo::Repository;
use haulout::repo::keys::Keys;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Passphrase;
use haulout::seal::key_slot::Protection;
use haulout::seal::recovery_kit::RecoveryKit;
use haulout::seal::slot_contents::Role;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::open;
use crate::support::password;
use crate::support::shared;
use crate::support::stream_of;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec()).unwrap()
}

fn note(label: &str) -> KeySlotNote {
    KeySlotNote { label: label.to_owned(), created_unix_seconds: 7 }
}

fn keys(store: &Arc<dyn Store>, credential: Credential) -> Result<Keys, Error> {
    let mut credential = Some(credential);
    let mut give = || Ok(credential.take().unwrap());
    let world = support::world(50);
    Keys::open(Arc::clone(store), &mut give, &Limits::FOR_TESTS, &world)
}

fn opens(store: &Arc<dyn Store>, credential: Credential) -> bool {
    let mut credential = Some(credential);
    let mut give = || Ok(credential.take().unwrap());
    let world = support::world(51);
    match Repository::open(Arc::clone(store), &mut give, &Limits::FOR_TESTS, &world) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WrongKey, "{error:?}");
            false
        }
    }
}

fn second() -> Credential {
    Credential::Passphrase(passphrase("battery staple"))
}

fn weak(passphrase: &Passphrase) -> Protection<'_> {
    Protection::Passphrase(passphrase, KdfCost::FOR_TESTS)
}

#[test]
fn several_passwords_and_key_files_open_one_repository_until_they_are_removed() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let stream = Server::new(1, 1, 20).stream();
    back_up(&repository, &stream);
    let store: Arc<dyn Store> = store;
    let keys_now = keys(&store, password()).unwrap();
    let added =
        keys_now.add(Role::Full, weak(&passphrase("battery staple")), &note("anna")).unwrap();
    let file = KeyFile::generate(&SeededEntropy::new(9));
    let text = file.to_text();
    keys_now.add(Role::Full, Protection::KeyFile(&file), &note("db2")).unwrap();
    let labels = |keys: &Keys| {
        let slots = keys.list().unwrap().slots;
        let mut labels: Vec<String> = slots.into_iter().map(|entry| entry.note.label).collect();
        labels.sort();
        labels
    };
    assert_eq!(labels(&keys_now), ["anna", "db2", "test"]);
    assert!(opens(&store, second()) && opens(&store, password()));
    assert!(opens(&store, Credential::KeyFile(KeyFile::from_text(&text).unwrap())));
    keys_now.remove(added).unwrap();
    assert!(!opens(&store, second()) && opens(&store, password()));
    let reopened = open(Arc::clone(&store), 3).unwrap();
    assert_eq!(stream_of(&reopened, "latest").unwrap(), stream);
}

#[test]
fn the_last_key_is_never_removed() {
    let store = Arc::new(MemoryStore::new());
    init(shared(&store), Protected::Encrypted, 1);
    let store: Arc<dyn Store> = store;
    let keys = keys(&store, password()).unwrap();
    let only = keys.list().unwrap().slots[0].id;
    let refused = keys.remove(only).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(refused.to_string().contains("is the only one"), "{refused}");
    // What only looks like a key is none.
    store.put(&ObjectName::new("keys/00").unwrap(), &["no key".into()]).unwrap();
    keys.remove(only).unwrap_err();
    assert_eq!(keys.list().unwrap().damaged.len(), 1);
    assert!(opens(&store, password()));
}

#[test]
fn a_password_is_changed_whatever_call_of_the_store_fails() {
    for nth in 1.. {
        let inner = Arc::new(MemoryStore::new());
        init(shared(&inner), Protected::Encrypted, 1);
        let keys = keys(&shared(&inner), password()).unwrap();
        let old = keys.unlocked().slot.unwrap();
        let refuse = Effect::RefuseBefore(Category::Transient);
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, refuse) }.at(nth);
        let failing = Arc::new(Failing::new(shared(&inner), vec![fault]));
        let store: Arc<dyn Store> = shared(&failing);
        let mut give = || Ok(password());
        let world = support::world(60);
        let changed = Keys::open(store, &mut give, &Limits::FOR_TESTS, &world)
            .and_then(|keys| keys.replace(old, weak(&passphrase("battery staple"))));
        let store: Arc<dyn Store> = shared(&inner);
        if changed.is_ok() {
            assert!(opens(&store, second()) && !opens(&store, password()));
        } else {
            assert!(opens(&store, second()) || opens(&store, password()), "call {nth}");
        }
        if failing.struck() == 0 {
            assert!(nth > 5, "several calls were tried");
            break;
        }
    }
}

#[test]
fn a_kit_opens_a_repository_whose_keys_are_lost() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(shared(&store), Protected::Encrypted, 1);
    let stream = Server::new(1, 1, 20).stream();
    back_up(&repository, &stream);
    let store: Arc<dyn Store> = store;
    let keys_now = keys(&store, password()).unwrap();
    let secret = passphrase("kit");
    let protected = keys_now.kit(Some((&secret, KdfCost::FOR_TESTS)), &note("kit")).unwrap();
    let texts = [protected.to_text(""), keys_now.kit(None, &note("kit")).unwrap().to_text("")];
    let mut names = Vec::new();
    store.list("keys/", &mut |meta| names.push(meta.name)).unwrap();
    names.iter().for_each(|name| store.delete(name).unwrap());
    assert_eq!(keys(&store, password()).unwrap_err().kind(), ErrorKind::Damaged);
    for text in texts {
        let kit = RecoveryKit::from_text(&text).unwrap();
        let mut give = || Ok(Credential::Passphrase(passphrase("kit")));
        let world = support::world(70);
        let limits = Limits::FOR_TESTS;
        let opened =
            Repository::open_by_kit(Arc::clone(&store), &kit, &mut give, &limits, &world).unwrap();
        assert_eq!(stream_of(&opened, "latest").unwrap(), stream);
        let keys = Keys::open_by_kit(Arc::clone(&store), &kit, &mut give, &limits, &world).unwrap();
        keys.add(Role::Full, weak(&passphrase("battery staple")), &note("again")).unwrap();
        assert!(opens(&store, second()));
    }
}

#[test]
fn a_damaged_key_keeps_nobody_out_who_has_another() {
    let store = Arc::new(MemoryStore::new());
    init(shared(&store), Protected::Encrypted, 1);
    let store: Arc<dyn Store> = store;
    let first = ObjectName::new("keys/00").unwrap();
    store.put(&first, &["HAULOKEY and nothing else".into()]).unwrap();
    assert!(opens(&store, password()));
    assert!(!opens(&store, second()));
}
