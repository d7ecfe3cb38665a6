//! Replication between repositories with different features: a copy gets those that it lacks before
//! anything else, and keeps those that its source lacks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Barrier;

use bytes::Bytes;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::world::World;
use haulout::format::config::Config;
use haulout::format::config::FEATURES_MADE;
use haulout::format::config::Features;
use haulout::ops::copy_reencrypted;
use haulout::ops::replicate::FarSide;
use haulout::ops::replicate::look;
use haulout::ops::upgrade;
use haulout::ops::upgrade::Standing;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Recording;

use crate::support::Protected;
use crate::support::init;
use crate::support::init_as_earlier;
use crate::support::near::Near;
use crate::support::near::objects_of;
use crate::support::open;
use crate::support::s3;
use crate::support::s3::Answer;
use crate::support::s3::Conditions;
use crate::support::s3::S3;
use crate::support::shared;
use crate::support::stream_of;

fn config() -> ObjectName {
    ObjectName::new("config").unwrap()
}

fn features_of(store: &dyn Store) -> Features {
    Config::decode(&store.get(&config(), 1000).unwrap()).unwrap().required_features
}

/// The lists of earlier snapshots in a store.
fn lists_of(store: &dyn Store) -> BTreeSet<String> {
    let mut names = objects_of(store, "notes/");
    names.retain(|name| name.starts_with("notes/began-"));
    names
}

fn upgraded(repository: &Repository) -> Repository {
    let world = World::of_this_machine();
    upgrade::plan(repository, &world).unwrap().run(Standing::Refused, &world).unwrap()
}

/// A repository of 0.1.0 with a night, copied to `far` and then upgraded, and a night after that.
fn ahead_of(far: Arc<dyn Store>) -> Near {
    let mut near = Near::with_nights(0);
    near.store = Arc::new(MemoryStore::new());
    near.repository = init_as_earlier(shared(&near.store), Protected::Encrypted, Features::NONE, 1);
    near.night();
    near.replicated(far).unwrap();
    near.repository = upgraded(&near.repository);
    near.night();
    near
}

#[test]
fn a_copy_gets_the_features_that_it_lacks_before_anything_else_and_as_planned() {
    let far = Arc::new(Recording::new(MemoryStore::new()));
    let near = ahead_of(shared(&far));
    assert_eq!(features_of(&*far), Features::NONE);
    assert_eq!(look(&near.repository, &*far).unwrap(), FarSide::Same);
    let planned = near.planned(shared(&far), None).unwrap();
    assert_eq!(planned.sets(), FEATURES_MADE);
    let cost = planned.cost();
    far.reset();
    let report = planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(report.cost, cost);
    assert_eq!(u64::try_from(far.log().len()).unwrap(), cost.requests, "{:?}", far.log());
    let mut writes = far.log();
    writes.retain(|call| [Verb::Put, Verb::Replace].contains(&call.verb));
    // The intent is deleted in the end, and is no object that is sent.
    writes.retain(|call| !call.object.starts_with("intents/"));
    assert_eq!(writes.iter().map(|call| call.bytes).sum::<u64>(), cost.bytes);
    assert!(writes[0].object.starts_with("notes/began-"), "{:?}", writes[0]);
    assert_eq!((writes[1].verb, writes[1].object.as_str()), (Verb::Replace, "config"));
    assert!(writes[2..].iter().all(|call| call.verb == Verb::Put && call.object != "config"));
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
    assert_eq!(far.get(&config(), 1000).unwrap(), near.store.get(&config(), 1000).unwrap());
    let again = near.planned(shared(&far), None).unwrap();
    assert_eq!((again.sets(), again.cost().objects), (Features::NONE, 0));
}

#[test]
fn a_copy_may_have_more_features_than_its_source() {
    let far = Arc::new(MemoryStore::new());
    let mut near = Near::with_nights(0);
    near.store = Arc::new(MemoryStore::new());
    near.repository = init_as_earlier(shared(&near.store), Protected::Encrypted, Features::NONE, 1);
    near.night();
    near.replicated(shared(&far)).unwrap();
    upgraded(&near.repository.elsewhere(shared(&far)));
    near.night();
    let planned = near.planned(shared(&far), None).unwrap();
    assert_eq!(planned.sets(), Features::NONE);
    planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(features_of(&*far), FEATURES_MADE);
    assert_eq!(features_of(&*near.store), Features::NONE);
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

#[test]
fn where_the_copy_may_not_be_overwritten_nothing_is_sent() {
    let inner = Arc::new(MemoryStore::new());
    let near = ahead_of(shared(&inner));
    let before = inner.objects();
    let denied = Fault::first(Verb::Replace, Effect::RefuseBefore(Category::Denied)).ever_after();
    let far = Arc::new(Failing::new(shared(&inner), vec![denied]));
    let error = near.replicated(shared(&far)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protected, "{error:?}");
    assert!(error.to_string().contains("on the other side"), "{error}");
    let mut after = inner.objects();
    after.retain(|name, _| !name.as_str().starts_with("notes/began-"));
    assert!(after == before, "the list of its snapshots is all that was put");
}

#[test]
fn snapshots_without_intents_that_come_to_an_upgraded_copy_are_listed_there() {
    let far = Arc::new(MemoryStore::new());
    let mut near = Near::with_nights(0);
    near.store = Arc::new(MemoryStore::new());
    near.repository = init_as_earlier(shared(&near.store), Protected::Encrypted, Features::NONE, 1);
    near.night();
    near.replicated(shared(&far)).unwrap();
    upgraded(&near.repository.elsewhere(shared(&far)));
    near.night();
    near.replicated(shared(&far)).unwrap();
    let lists = || lists_of(&*far).len();
    assert_eq!((near.visible_nights_of(&shared(&far)), lists()), (2, 2));
    let again = near.planned(shared(&far), None).unwrap();
    assert_eq!(again.cost().objects, 0);
    // One that a program without intents has put there meanwhile is doubtful, until it is sent
    // again.
    near.night();
    let without = Arc::new(MemoryStore::new());
    near.replicated(shared(&without)).unwrap();
    for (name, bytes) in without.objects() {
        if far.size(&name).unwrap().is_none() {
            far.put(&name, &[bytes]).unwrap();
        }
    }
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
    near.replicated(shared(&far)).unwrap();
    assert_eq!((near.visible_nights_of(&shared(&far)), lists()), (3, 3));
    let name = lists_of(&*far).pop_first().unwrap();
    let name = ObjectName::new(&name).unwrap();
    far.replace(&name, &[Bytes::from_static(b"no list")]).unwrap();
    assert_eq!(near.visible_nights_of(&shared(&far)), 3, "nothing is hidden by a damaged list");
}

/// Lets everything fail from each call of the other side on, in turn.
fn interrupted_everywhere(effect: Effect) {
    for nth in 1.. {
        let inner = Arc::new(MemoryStore::new());
        let near = ahead_of(shared(&inner));
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) };
        let far = Arc::new(Failing::new(shared(&inner), vec![fault.at(nth).ever_after()]));
        let outcome = near.replicated(shared(&far));
        let there = objects_of(&*inner, "snapshots/").len();
        assert!(there == 1 || features_of(&*inner) == FEATURES_MADE, "call {nth}");
        assert_eq!(near.visible_nights_of(&shared(&inner)), there, "call {nth}");
        near.replicated(shared(&inner)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&inner)), 2, "call {nth}");
        assert_eq!(features_of(&*inner), FEATURES_MADE);
        if far.struck() == 0 {
            assert!(outcome.is_ok() && nth > 15, "{nth} calls");
            break;
        }
    }
}

#[test]
fn whatever_call_is_the_last_the_copy_is_whole_and_the_next_run_goes_on() {
    interrupted_everywhere(Effect::RefuseBefore(Category::Transient));
    interrupted_everywhere(Effect::RefuseAfter(Category::Transient));
}

#[test]
fn whichever_request_to_a_bucket_is_the_last_the_next_run_goes_on() {
    let server = S3::start();
    for nth in (0..).step_by(2) {
        let far: Arc<dyn Store> = Arc::new(server.store(&format!("cut-{nth}")));
        let near = ahead_of(Arc::clone(&far));
        server.break_with(s3::Fault {
            method: "",
            path: "",
            skip: nth,
            times: u64::MAX,
            answer: Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>"),
        });
        let outcome = near.replicated(Arc::clone(&far));
        server.heal();
        let there = objects_of(&*far, "snapshots/").len();
        assert!(there == 1 || features_of(&*far) == FEATURES_MADE, "request {nth}");
        near.replicated(Arc::clone(&far)).unwrap();
        assert_eq!(near.visible_nights_of(&far), 2, "request {nth}");
        if outcome.is_ok() {
            assert!(nth > 15, "{nth} requests");
            break;
        }
    }
}

#[test]
fn a_config_that_differs_in_more_is_distrusted_and_one_of_a_newer_program_is_refused_by_name() {
    let near = Near::with_nights(1);
    let own = Config::decode(&near.store.get(&config(), 1000).unwrap()).unwrap();
    let tagged = |mut config: Config| {
        let tag = near.repository.keyring().config_tag(&config.tagged()).unwrap();
        config.tag = tag;
        config.encode()
    };
    let newer = Config { required_features: Features(1 << 40), ..own.clone() };
    let fewer = Config { required_features: Features::NONE, ..own.clone() };
    let cuts = haulout::format::config::CutSizes { min: 4 << 10, ..own.cuts };
    for (bytes, kind) in [
        (tagged(Config { cuts, ..own.clone() }), ErrorKind::Distrusted),
        // Anybody can take a bit away; only a key makes the tag.
        (fewer.encode(), ErrorKind::Distrusted),
        (tagged(newer), ErrorKind::Unsupported),
    ] {
        let far = Arc::new(MemoryStore::new());
        near.replicated(shared(&far)).unwrap();
        far.replace(&config(), &[Bytes::from(bytes.clone())]).unwrap();
        assert_eq!(look(&near.repository, &*far).unwrap_err().kind(), kind);
        assert_eq!(near.replicated(shared(&far)).unwrap_err().kind(), kind);
        assert!(far.get(&config(), 1000).unwrap() == bytes);
    }
    let far = Arc::new(MemoryStore::new());
    init(shared(&far), Protected::Encrypted, 99);
    assert_eq!(look(&near.repository, &*far).unwrap(), FarSide::Other);
}

/// Sends the same repository to one place from both of these at the same moment.
fn at_once(nears: [&Near; 2], far: &[Arc<dyn Store>; 2]) -> [Result<(), Error>; 2] {
    let barrier = Barrier::new(2);
    let attempt = |near: &Near, far: &Arc<dyn Store>| {
        barrier.wait();
        near.replicated(Arc::clone(far)).map(drop)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| attempt(nears[0], &far[0]));
        let second = scope.spawn(|| attempt(nears[1], &far[1]));
        [first.join().unwrap(), second.join().unwrap()]
    })
}

/// The same repository before and after it was upgraded.
fn before_and_after() -> [Near; 2] {
    let one = || {
        let mut near = Near::with_nights(0);
        near.store = Arc::new(MemoryStore::new());
        near.repository =
            init_as_earlier(shared(&near.store), Protected::Encrypted, Features::NONE, 1);
        near.night();
        near
    };
    let (before, mut after) = (one(), one());
    assert!(before.store.objects() == after.store.objects());
    upgraded(&after.repository);
    // With random numbers of its own: two programs never make the same claim.
    after.repository = open(shared(&after.store), 77).unwrap();
    [before, after]
}

#[test]
fn copies_at_once_into_a_new_place_leave_the_keys_that_open_it() {
    let [before, after] = before_and_after();
    for conditions in [Conditions::Kept, Conditions::Ignored, Conditions::Unknown] {
        let server = S3::start_with(conditions);
        for round in 0..6 {
            let open_store = || -> Arc<dyn Store> { Arc::new(server.store(&format!("r{round}"))) };
            let far = [open_store(), open_store()];
            let outcomes = at_once([&before, &after], &far);
            for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                assert_eq!(error.kind(), ErrorKind::Occupied, "{conditions:?} {round}: {error:?}");
            }
            // Whichever came first: the next run ends with everything there.
            after.replicated(Arc::clone(&far[0])).unwrap();
            assert_eq!(features_of(&*far[0]), FEATURES_MADE);
            assert_eq!(after.visible_nights_of(&far[0]), 1, "{conditions:?} {round}");
        }
    }
}

#[test]
fn a_copy_that_loses_against_one_with_other_features_leaves_the_keys_of_both() {
    let [before, after] = before_and_after();
    let inner = Arc::new(MemoryStore::new());
    before.replicated(shared(&inner)).unwrap();
    let there = inner.objects();
    // The second one finds the place empty, as it was a moment ago, until it puts its config.
    let unseen = |verb, prefix| Fault::first(verb, Effect::Forget).under(prefix);
    let faults = vec![
        unseen(Verb::List, "keys/"),
        unseen(Verb::Get, "config"),
        unseen(Verb::Get, "config").at(2),
    ];
    let far = Arc::new(Failing::new(shared(&inner), faults));
    let error = after.replicated(shared(&far)).unwrap_err();
    assert_eq!((error.kind(), far.struck()), (ErrorKind::Occupied, 3), "{error:?}");
    assert!(inner.objects() == there);
    after.replicated(shared(&inner)).unwrap();
    assert_eq!(after.visible_nights_of(&shared(&inner)), 1);
}

#[test]
fn copies_at_once_into_one_that_lacks_features_both_succeed() {
    for _round in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let at = || -> Arc<dyn Store> { Arc::new(LocalStore::open(directory.path()).unwrap()) };
        let near = ahead_of(at());
        let outcomes = at_once([&near, &near], &[at(), at()]);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(features_of(&*at()), FEATURES_MADE);
        assert_eq!(near.visible_nights_of(&at()), 2);
    }
}

#[test]
fn what_is_reencrypted_has_the_features_of_the_repository_that_it_goes_to() {
    for (here, there) in [(FEATURES_MADE, Features::NONE), (Features::NONE, FEATURES_MADE)] {
        let mut near = Near::with_nights(0);
        near.store = Arc::new(MemoryStore::new());
        near.repository = init_as_earlier(shared(&near.store), Protected::Encrypted, here, 1);
        near.night();
        let store = Arc::new(MemoryStore::new());
        let far = init_as_earlier(shared(&store), Protected::Encrypted, there, 2);
        let snapshots = near.repository.snapshots().unwrap().snapshots;
        let planned = copy_reencrypted::plan(&near.repository, Some(&far), snapshots).unwrap();
        let report = planned.send(&far, 2, &World::of_this_machine()).unwrap();
        let copy = open(shared(&store), 4).unwrap();
        assert_eq!(copy.features(), there);
        let stream = stream_of(&copy, &report.sent[0].id.to_string()).unwrap();
        assert!(stream == near.nights[0].1);
    }
}
