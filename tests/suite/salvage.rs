//! What a repository has that lost its config, its keys or its snapshots: the config is made again
//! to the byte, everything else that is lost is told, and nothing that is there is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::format::config::FEATURES_KNOWN;
use haulout::ops::salvage;
use haulout::repo::Features;
use haulout::repo::keys::Gaps;
use haulout::repo::keys::KdfCost;
use haulout::repo::keys::KeySlotNote;
use haulout::repo::keys::Keys;
use haulout::repo::keys::Limits;
use haulout::repo::keys::Protection;
use haulout::repo::keys::RecoveryKit;
use haulout::repo::keys::Role;
use haulout::repo::salvage::ConfigState;
use haulout::repo::salvage::Salvaged;
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
use crate::support::init_as_earlier;
use crate::support::keys_by;
use crate::support::open;
use crate::support::passphrase;
use crate::support::password;
use crate::support::shared;
use crate::support::stream_of;

/// A repository of two nights, and the stream of the last.
fn nights(protected: Protected, features: Features, seed: u64) -> (Arc<MemoryStore>, Vec<u8>) {
    let store = Arc::new(MemoryStore::new());
    let repository = init_as_earlier(shared(&store), protected, features, seed);
    let mut server = Server::new(seed, 2, 20);
    back_up(&repository, &server.stream());
    server.night(5);
    let stream = server.stream();
    back_up(&repository, &stream);
    (store, stream)
}

fn config() -> ObjectName {
    ObjectName::new("config").unwrap()
}

fn salvaged(store: Arc<dyn Store>) -> Result<Salvaged> {
    let world = World::of_this_machine();
    Salvaged::by_key(store, &mut || Ok(password()), &Limits::FOR_TESTS, &world)
}

fn by_kit(store: &Arc<MemoryStore>, kit: &RecoveryKit) -> Result<Salvaged> {
    let world = World::of_this_machine();
    let mut give = || Ok(haulout::repo::keys::Credential::Passphrase(passphrase("of the kit")));
    Salvaged::by_kit(shared(store), kit, &mut give, &Limits::FOR_TESTS, &world)
}

/// Deletes what is in a folder.
fn lose(store: &MemoryStore, folder: &str) {
    let names = store.objects().into_keys().filter(|name| name.as_str().starts_with(folder));
    names.for_each(|name| store.delete(&name).unwrap());
}

#[test]
fn a_lost_config_is_made_again_to_the_byte_where_it_had_all_features() {
    let (store, stream) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let objects = store.objects();
    store.delete(&config()).unwrap();
    assert_eq!(open(shared(&store), 2).unwrap_err().kind(), ErrorKind::NoConfig);
    let found = salvaged(shared(&store)).unwrap();
    assert_eq!(found.state, ConfigState::Missing);
    let plan = salvage::plan(&found, &World::of_this_machine()).unwrap();
    assert_eq!((plan.features, plan.key_slots, plan.snapshots), (FEATURES_KNOWN, Some(1), 2));
    assert!(plan.lists_missing.is_empty() && plan.unreadable.is_empty());
    assert_eq!((plan.unnamed.count, plan.runs), (0, 0));
    assert!(!plan.is_incomplete());
    assert!(!store.objects().contains_key(&config()), "a plan changes nothing");
    plan.run(&World::of_this_machine()).unwrap();
    assert!(store.objects() == objects);
    let repository = open(shared(&store), 3).unwrap();
    assert!(stream_of(&repository, "latest").unwrap() == stream);
    assert_eq!(salvaged(shared(&store)).unwrap().state, ConfigState::Whole);
}

#[test]
fn whatever_features_it_had_all_are_set_and_every_snapshot_is_shown() {
    // As version 0.1.0 made them, as it was upgraded, as `init` makes them.
    let upgraded = Features::NORMAL_FORM.with(Features::NEEDS);
    let made = upgraded.with(Features::INTENTS);
    for (features, begins) in [
        (Features::NONE, true),
        (Features::NORMAL_FORM, true),
        (upgraded, true),
        (made, false),
        (FEATURES_KNOWN, false),
    ] {
        let (store, stream) = nights(Protected::Encrypted, features, 1);
        let before: BTreeSet<ObjectName> = store.objects().into_keys().collect();
        store.delete(&config()).unwrap();
        salvaged(shared(&store)).unwrap().put_config(&World::of_this_machine()).unwrap();
        let new: Vec<ObjectName> =
            store.objects().into_keys().filter(|name| !before.contains(name)).collect();
        // A list of the snapshots that runs without intents have put.
        assert_eq!(new.len(), usize::from(begins), "{features:?}: {new:?}");
        assert!(new.iter().all(|name| name.as_str().starts_with("notes/")), "{new:?}");
        let repository = open(shared(&store), 3).unwrap();
        assert_eq!(repository.features(), FEATURES_KNOWN);
        assert_eq!(repository.snapshots().unwrap().snapshots.len(), 2);
        // Runs go on, and a run of an earlier version that ends now is doubted.
        back_up(&repository, &stream);
        assert!(stream_of(&repository, "latest").unwrap() == stream);
        let mut late = repository.find_snapshot("latest").unwrap();
        late.snapshot.about.protocol = None;
        late.snapshot.about.sequence += 1;
        repository.put_snapshot(late.name.source, &late.snapshot).unwrap();
        let shown = repository.snapshots().unwrap().snapshots.len();
        assert_eq!(shown, if begins { 3 } else { 4 }, "{features:?}");
        // A second salvage finds what the first one has put.
        store.delete(&config()).unwrap();
        let count = store.objects().len();
        salvaged(shared(&store)).unwrap().put_config(&World::of_this_machine()).unwrap();
        assert_eq!(store.objects().len(), count + 1);
    }
}

#[test]
fn a_config_that_changed_in_any_byte_is_made_again() {
    let (store, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let objects = store.objects();
    let right = objects[&config()].clone();
    let mut refused = 0;
    for at in 0..right.len() {
        let mut bytes = right.to_vec();
        bytes[at] ^= 0x40;
        let mut changed = objects.clone();
        changed.insert(config(), Bytes::from(bytes));
        store.set_objects(changed);
        match salvaged(shared(&store)) {
            Ok(found) => {
                assert!(matches!(found.state, ConfigState::Changed(_)), "{at}: {:?}", found.state);
                found.put_config(&World::of_this_machine()).unwrap();
                assert!(store.objects() == objects, "{at}");
            }
            // A later version may have written it.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused < 12, "{refused}");
}

#[test]
fn with_a_recovery_kit_neither_keys_nor_config_are_needed() {
    let (store, stream) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let objects = store.objects();
    let keys = keys_by(&shared(&store), "correct horse").unwrap();
    let note = || KeySlotNote { label: "kit".to_owned(), created_unix_seconds: 0 };
    let secret = passphrase("of the kit");
    let world = World::of_this_machine();
    let sealed =
        RecoveryKit::sealed(keys.unlocked(), &secret, KdfCost::FOR_TESTS, &note(), &*world.entropy);
    for kit in [sealed.unwrap(), RecoveryKit::in_clear(keys.unlocked()).unwrap()] {
        store.set_objects(objects.clone());
        lose(&store, "keys/");
        store.delete(&config()).unwrap();
        assert_eq!(salvaged(shared(&store)).unwrap_err().kind(), ErrorKind::Damaged);
        let found = by_kit(&store, &kit).unwrap();
        let plan = salvage::plan(&found, &world).unwrap();
        assert_eq!((plan.key_slots, plan.snapshots), (Some(0), 2));
        assert!(plan.is_incomplete());
        plan.run(&World::of_this_machine()).unwrap();
        assert!(store.objects()[&config()] == objects[&config()]);
        let mut give = || Ok(haulout::repo::keys::Credential::Passphrase(passphrase("of the kit")));
        let opened = Keys::open_by_kit(shared(&store), &kit, &mut give, &Limits::FOR_TESTS, &world);
        let new = passphrase("correct horse");
        let protection = Protection::Passphrase(&new, KdfCost::FOR_TESTS);
        opened.unwrap().add(Role::Full, protection, &note()).unwrap();
        let repository = open(shared(&store), 3).unwrap();
        assert!(stream_of(&repository, "latest").unwrap() == stream);
    }
}

#[test]
fn a_key_of_another_repository_makes_no_config() {
    let (store, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let (other, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 9);
    let kit = RecoveryKit::in_clear(keys_by(&shared(&other), "correct horse").unwrap().unlocked());
    let kit = kit.unwrap();
    let whole = store.objects();
    assert_eq!(by_kit(&store, &kit).unwrap_err().kind(), ErrorKind::Distrusted);
    store.delete(&config()).unwrap();
    assert_eq!(by_kit(&store, &kit).unwrap_err().kind(), ErrorKind::ForeignKey);
    lose(&store, "snapshots/");
    assert_eq!(by_kit(&store, &kit).unwrap_err().kind(), ErrorKind::ForeignKey);
    assert!(!store.objects().contains_key(&config()));
    // Somebody has put the config of another repository there.
    let mut exchanged = whole;
    exchanged.insert(config(), other.objects()[&config()].clone());
    store.set_objects(exchanged);
    assert_eq!(salvaged(shared(&store)).unwrap_err().kind(), ErrorKind::Distrusted);
}

#[test]
fn an_unencrypted_repository_has_its_key_in_its_config_alone() {
    let (store, _) = nights(Protected::Clear, FEATURES_KNOWN, 1);
    assert_eq!(salvaged(shared(&store)).unwrap().state, ConfigState::Whole);
    store.delete(&config()).unwrap();
    let refused = salvaged(shared(&store)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    assert!(refused.to_string().contains("in its config alone"), "{refused}");
}

#[test]
fn without_snapshots_their_packs_are_counted_and_none_is_made_up() {
    let (store, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    lose(&store, "snapshots/");
    store.delete(&config()).unwrap();
    let found = salvaged(shared(&store)).unwrap();
    let world = World::of_this_machine();
    let plan = salvage::plan(&found, &world).unwrap();
    assert_eq!((plan.snapshots, plan.unnamed.count, plan.runs), (0, 4, 2));
    assert!(plan.unnamed.bytes > 1000 && plan.is_incomplete());
    plan.run(&World::of_this_machine()).unwrap();
    assert!(open(shared(&store), 3).unwrap().snapshots().unwrap().snapshots.is_empty());
}

#[test]
fn lists_of_retired_keys_that_are_lost_are_told() {
    let (store, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let keys = keys_by(&shared(&store), "correct horse").unwrap();
    let note = KeySlotNote { label: "new".to_owned(), created_unix_seconds: 0 };
    let new = passphrase("battery staple");
    keys.rotate(Protection::Passphrase(&new, KdfCost::FOR_TESTS), &note, Gaps::Refused).unwrap();
    let kit = keys_by(&shared(&store), "battery staple").unwrap();
    let kit = RecoveryKit::in_clear(kit.unlocked()).unwrap();
    lose(&store, "keys/");
    let found = by_kit(&store, &kit).unwrap();
    let plan = salvage::plan(&found, &World::of_this_machine()).unwrap();
    assert_eq!(
        (plan.lists_missing.clone(), plan.snapshots, plan.unreadable.len()),
        (vec![0], 0, 2)
    );
    assert!(plan.is_incomplete());
}

#[test]
fn wherever_a_salvage_is_stopped_the_next_one_ends_it() {
    let (store, _) = nights(Protected::Encrypted, FEATURES_KNOWN, 1);
    let objects = store.objects();
    let mut damaged = objects.clone();
    damaged.insert(config(), Bytes::from_static(b"HAULOUT1"));
    for effect in [Effect::RefuseBefore, Effect::RefuseAfter] {
        for nth in 1.. {
            store.set_objects(damaged.clone());
            let fault = Fault::first(Verb::Get, effect(Category::Other)).at(nth).ever_after();
            let fault = Fault { verb: None, ..fault };
            let failing = Arc::new(Failing::new(shared(&store), vec![fault]));
            let done = salvaged(shared(&failing))
                .and_then(|found| found.put_config(&World::of_this_machine()));
            let struck = failing.struck() > 0;
            assert!(struck != done.is_ok(), "{nth}: {done:?}");
            salvaged(shared(&store)).unwrap().put_config(&World::of_this_machine()).unwrap();
            assert!(store.objects() == objects, "{nth}");
            if !struck {
                assert!(nth > 5);
                break;
            }
        }
    }
}
