//! Copies of repositories: what they cost, what they show when they are interrupted, and what is
//! left out of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::copy_reencrypted;
use haulout::ops::copy_reencrypted::ReencryptionReport;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::prune;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::FarSide;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::look;
use haulout::ops::replicate::newest;
use haulout::ops::replicate::plan;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::repo::Repository;
use haulout::repo::snapshots::Listing;
use haulout::source::ProducerExit;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::Protected;
use crate::support::back_up;
use crate::support::back_up_with;
use crate::support::init;
use crate::support::near::Near;
use crate::support::near::data_packs;
use crate::support::near::objects_of;
use crate::support::near::spoil;
use crate::support::open;
use crate::support::s3;
use crate::support::s3::Answer;
use crate::support::s3::S3;
use crate::support::shared;
use crate::support::stream_of;

fn puts<S>(store: &Recording<S>, prefix: &str) -> Vec<String> {
    let mut puts = store.log();
    puts.retain(|call| call.verb == Verb::Put && call.ok && call.object.starts_with(prefix));
    puts.into_iter().map(|call| call.object).collect()
}

/// The number of objects that were put under a prefix, and their bytes.
fn of_puts<S>(store: &Recording<S>, prefix: &str) -> (u64, u64) {
    (store.calls_under(Verb::Put, prefix), store.bytes_under(Verb::Put, prefix))
}

#[test]
fn a_copy_has_every_object_that_is_of_use_and_costs_what_was_planned() {
    let near = Near::with_nights(3);
    let far = Arc::new(Recording::new(MemoryStore::new()));
    let planned = near.planned(shared(&far), None).unwrap();
    let cost = planned.cost();
    far.reset();
    let report = planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(report.cost, cost);
    // A claim is put, and a second time to see what the store says. It does not stay, nor does an
    // intent.
    let (claims, intents) = (of_puts(&far, "claims/"), of_puts(&far, "intents/"));
    assert_eq!((claims.0, intents.0), (2, 1));
    let (objects, bytes) = of_puts(&far, "");
    assert_eq!(objects - claims.0 - intents.0, cost.objects);
    assert_eq!(bytes - claims.1 - intents.1, cost.bytes);
    let requests = u64::try_from(far.log().len()).unwrap();
    assert_eq!(requests, cost.requests, "{:?}", far.log());
    assert_eq!(report.sent.len(), 3);
    assert!(report.left_out.is_empty() && report.damaged.is_empty());
    assert_eq!(objects_of(&*far, ""), objects_of(&*near.store, ""));
    assert_eq!(near.visible_nights_of(&shared(&far)), 3);
}

#[test]
fn the_newest_snapshot_comes_first_and_each_after_all_that_it_needs() {
    let near = Near::with_nights(3);
    let far = Arc::new(Recording::new(MemoryStore::new()));
    near.replicated(shared(&far)).unwrap();
    let newest_first: Vec<String> =
        near.nights.iter().rev().map(|(night, _)| night.id.to_string()).collect();
    let snapshots = puts(&far, "snapshots/");
    assert_eq!(snapshots.len(), 3);
    for (name, id) in snapshots.iter().zip(&newest_first) {
        assert!(name.ends_with(id.as_str()), "{name}");
    }
    let log: Vec<String> = puts(&far, "");
    let at = |name: &str| log.iter().position(|put| put == name).unwrap();
    let first_snapshot = at(&snapshots[0]);
    assert!(puts(&far, "packs/").iter().all(|name| at(name) < first_snapshot));
    let config = at("config");
    assert!(puts(&far, "keys/").iter().all(|name| at(name) < config));
}

#[test]
fn a_night_costs_what_was_stored_that_night() {
    let mut near = Near::with_nights(2);
    let far = Arc::new(Recording::new(MemoryStore::new()));
    near.replicated(shared(&far)).unwrap();
    near.night();
    far.reset();
    let report = near.replicated(shared(&far)).unwrap();
    let stored = near.nights[2].0.counts.stored_bytes;
    assert_eq!(report.cost.bytes, stored, "not a byte more than the night itself");
    assert_eq!(far.bytes(Verb::Put) - far.bytes_under(Verb::Put, "intents/"), stored);
    assert_eq!((report.sent.len(), report.there), (1, 2));
    // Two listings of packs, one each of snapshots, runs, keys, notes and damage, a look at the
    // config, and one at the key, whose name does not tell its bytes; fences and removals. Behind
    // the intent: intents, which are read, fences, removals and packs again; fences before and
    // after the snapshot, and at the end.
    let reading = far.calls(Verb::List) + far.calls(Verb::Get);
    assert_eq!(reading, 9 + 2 + 6 + 3, "{:?}", far.log());
    far.reset();
    let again = near.replicated(shared(&far)).unwrap();
    assert_eq!((again.cost.objects, far.calls(Verb::Put)), (0, 0), "nothing twice");
}

#[test]
fn only_the_newest_are_sent_if_so_wished() {
    let near = Near::with_nights(4);
    let far = Arc::new(MemoryStore::new());
    let planned = near.planned(shared(&far), Some(2)).unwrap();
    assert_eq!(planned.snapshots(), 2);
    planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

/// Whose calls fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Near,
    Far,
}

/// Fails every call in turn, and every time looks at what is there and takes the work up again.
fn interrupted_everywhere(effect: impl Fn(Category) -> Effect, side: Side) {
    let near = Near::with_nights(2);
    for nth in 1.. {
        let far = Arc::new(Recording::new(MemoryStore::new()));
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect(Category::Transient)) };
        let (outcome, struck) = if side == Side::Near {
            let failing = Arc::new(Failing::new(shared(&near.store), vec![fault.at(nth)]));
            let broken = near.repository.elsewhere(shared(&failing));
            let outcome =
                newest(&broken, &[], None).and_then(|Listing { snapshots, damaged, .. }| {
                    let confirmation = Confirmation::Listed;
                    let options = ReplicateOptions { snapshots, connections: 2, confirmation };
                    let world = World::of_this_machine();
                    let report = plan(&broken, shared(&far), options, &world)?.send(&world)?;
                    Ok(report.left_out.len() + damaged.len())
                });
            (outcome, failing.struck())
        } else {
            let failing = Arc::new(Failing::new(shared(&far), vec![fault.at(nth)]));
            let outcome = near.replicated(shared(&failing)).map(|report| report.left_out.len());
            (outcome, failing.struck())
        };
        let visible = near.visible_nights_of(&shared(&far));
        if let Ok(0) = outcome {
            assert_eq!(visible, 2, "call {nth}: success means that everything is there");
        }
        let finished: BTreeSet<String> = puts(&far, "").into_iter().collect();
        far.reset();
        near.replicated(shared(&far)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&far)), 2, "call {nth}");
        let twice: Vec<_> =
            puts(&far, "packs/").into_iter().filter(|name| finished.contains(name)).collect();
        assert!(twice.is_empty(), "call {nth}: sent again: {twice:?}");
        if struck == 0 {
            assert!(nth > 10, "many calls were tried: {nth}");
            break;
        }
    }
}

#[test]
fn whatever_call_of_the_other_side_fails_the_next_run_takes_up_where_it_stopped() {
    interrupted_everywhere(Effect::RefuseBefore, Side::Far);
    interrupted_everywhere(Effect::RefuseAfter, Side::Far);
}

#[test]
fn whatever_call_of_this_side_fails_the_next_run_takes_up_where_it_stopped() {
    interrupted_everywhere(Effect::RefuseBefore, Side::Near);
}

/// A link that breaks at every second request in turn and stays broken until the next run: each
/// time what shows on the other side is whole, and what arrived before is not sent again. Every
/// call is the last of a store in memory elsewhere here.
fn cut_at_every_request(far: &S3, answer: &Answer) {
    let near = Near::with_nights(2);
    for nth in (0..).step_by(2) {
        let store = Arc::new(Recording::new(far.store(&format!("cut-{nth}"))));
        far.break_with(s3::Fault {
            method: "",
            path: "",
            skip: nth,
            times: u64::MAX,
            answer: answer.clone(),
        });
        let before = far.requests();
        let outcome = near.replicated(shared(&store));
        let asked = far.requests() - before;
        far.heal();
        let visible = near.visible_nights_of(&shared(&store));
        let arrived = objects_of(&*store, "packs/");
        store.reset();
        near.replicated(shared(&store)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&store)), 2, "request {nth}");
        let again: Vec<_> =
            puts(&store, "packs/").into_iter().filter(|name| arrived.contains(name)).collect();
        assert!(again.is_empty(), "request {nth}: sent again: {again:?}");
        if outcome.is_ok() {
            // The intent may stay, so a run whose last request fails succeeds.
            assert!(asked <= nth + 1 && nth > 20, "all of {asked} requests were cut");
            assert_eq!(visible, 2);
            break;
        }
    }
}

#[test]
fn whichever_request_to_a_bucket_is_the_last_the_next_run_takes_up_where_it_stopped() {
    let denied = Answer::Status(403, "<Error><Code>AccessDenied</Code></Error>");
    cut_at_every_request(&S3::start(), &denied);
}

#[test]
fn a_bucket_is_copied_to_another_and_what_is_damaged_in_it_is_left_out_by_name() {
    let (first, second) = (S3::start(), S3::start());
    let mut near = Near::with_nights(2);
    let before = objects_of(&*near.store, "packs/");
    near.night();
    let bucket = Arc::new(first.store("db"));
    near.replicated(shared(&bucket)).unwrap();
    let spoiled = ObjectName::new(&data_packs(&near, &before)[0]).unwrap();
    let mut bytes = bucket.get(&spoiled, 1 << 30).unwrap().to_vec();
    bytes[40] ^= 1;
    bucket.delete(&spoiled).unwrap();
    bucket.put(&spoiled, &[Bytes::from(bytes)]).unwrap();
    near.repository = open(shared(&bucket), 5).unwrap();
    let far = Arc::new(Recording::new(second.store("copy")));
    let report = near.replicated(shared(&far)).unwrap();
    let left_out: Vec<_> = report.left_out.iter().map(|left_out| left_out.snapshot).collect();
    assert_eq!(left_out, [near.nights[2].0.id]);
    assert!(report.damaged[0].contains(spoiled.as_str()), "{:?}", report.damaged);
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

#[test]
fn an_answer_that_lies_is_noticed_before_a_snapshot_shows() {
    let near = Near::with_nights(1);
    for nth in 1..=objects_of(&*near.store, "packs/").len() {
        let fault = Fault::first(Verb::Put, Effect::Forget).under("packs/");
        let inner = Arc::new(MemoryStore::new());
        let far =
            Arc::new(Failing::new(shared(&inner), vec![fault.at(u64::try_from(nth).unwrap())]));
        let refused = near.replicated(shared(&far)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Store);
        assert_eq!(near.visible_nights_of(&shared(&inner)), 0);
    }
}

#[test]
fn a_copy_that_was_spoiled_on_the_way_is_noticed_when_it_is_read_back() {
    let near = Near::with_nights(1);
    let snapshots = newest(&near.repository, &[], None).unwrap().snapshots;
    let fault = Fault::first(Verb::Get, Effect::FlipBit(999)).under("packs/");
    let far = Arc::new(Failing::new(MemoryStore::new(), vec![fault]));
    let confirmation = Confirmation::ReadBack;
    let options = ReplicateOptions { snapshots, connections: 2, confirmation };
    let world = World::of_this_machine();
    let planned = plan(&near.repository, shared(&far), options, &world).unwrap();
    planned.send(&world).unwrap_err();
    assert_eq!(near.visible_nights_of(&shared(&far)), 0);
}

#[test]
fn a_snapshot_whose_pack_is_damaged_is_left_out_by_name_and_the_others_go() {
    let mut near = Near::with_nights(2);
    let before = objects_of(&*near.store, "packs/");
    near.night();
    let only_of_the_last = data_packs(&near, &before);
    spoil(&near.store, &only_of_the_last[0]);
    let far = Arc::new(MemoryStore::new());
    let report = near.replicated(shared(&far)).unwrap();
    assert_eq!(report.left_out.len(), 1);
    assert_eq!(report.left_out[0].snapshot, near.nights[2].0.id);
    assert!(report.left_out[0].why.contains("it needs pack"), "{:?}", report.left_out);
    assert!(report.damaged[0].contains(only_of_the_last[0].as_str()), "{:?}", report.damaged);
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

#[test]
fn a_lost_pack_does_not_hold_up_nights_that_do_not_need_it() {
    let mut near = Near::with_nights(1);
    let before = objects_of(&*near.store, "packs/");
    near.night();
    let lost = data_packs(&near, &before);
    lost.iter().for_each(|name| near.store.delete(&ObjectName::new(name).unwrap()).unwrap());
    // The next night stores anew what it finds missing, and needs the lost pack no more.
    near.night();
    let far = Arc::new(MemoryStore::new());
    let report = near.replicated(shared(&far)).unwrap();
    let left_out: Vec<_> = report.left_out.iter().map(|left_out| left_out.snapshot).collect();
    assert_eq!(left_out, [near.nights[1].0.id]);
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

#[test]
fn of_a_damaged_meta_pack_the_twin_is_sent() {
    let near = Near::with_nights(1);
    let twin = objects_of(&*near.store, "twins/").pop_first().unwrap();
    let first = twin.replace("twins/", "packs/");
    spoil(&near.store, &first);
    let far = Arc::new(MemoryStore::new());
    let report = near.replicated(shared(&far)).unwrap();
    assert!(report.left_out.is_empty());
    assert_eq!(report.damaged.len(), 1, "it is named all the same");
    assert_eq!(near.visible_nights_of(&shared(&far)), 1);
    let object = |name: &str| far.get(&ObjectName::new(name).unwrap(), 1 << 30).unwrap();
    assert_eq!(object(&first), object(&twin));
}

#[test]
fn a_copy_that_has_lost_packs_gets_them_back() {
    let near = Near::with_nights(2);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let all = objects_of(&*far, "");
    for name in objects_of(&*far, "packs/") {
        far.delete(&ObjectName::new(&name).unwrap()).unwrap();
    }
    let report = near.replicated(shared(&far)).unwrap();
    assert_eq!((report.sent.len(), report.there), (0, 2));
    assert_eq!(objects_of(&*far, ""), all);
}

#[test]
fn a_key_of_the_same_name_and_other_bytes_is_reported() {
    let mut near = Near::with_nights(1);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let key = objects_of(&*far, "keys/").into_iter().next().unwrap();
    spoil(&far, &key);
    near.night();
    let report = near.replicated(shared(&far)).unwrap();
    let [told] = report.damaged.as_slice() else { panic!("{:?}", report.damaged) };
    assert!(told.contains(&key) && told.contains("the other side"), "{told}");
    assert_eq!(report.sent.len(), 1, "the night goes all the same");
}

#[test]
fn what_is_known_about_one_copy_only_stays_there() {
    let near = Near::with_nights(1);
    for name in ["moves/aa-bb", "damage/aa-bb", "notes/aa-bb"] {
        near.store.put(&ObjectName::new(name).unwrap(), &["x".into()]).unwrap();
    }
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let theirs = |prefix| objects_of(&*far, prefix);
    assert!(theirs("moves/").is_empty() && theirs("damage/").is_empty());
    assert!(theirs("notes/").is_empty());
}

#[test]
fn another_repository_is_distinguished_from_a_copy_and_from_a_forgery() {
    let near = Near::with_nights(1);
    let look_at = |store: &MemoryStore| look(&near.repository, store);
    let vacant = MemoryStore::new();
    assert_eq!(look_at(&vacant).unwrap(), FarSide::Vacant);
    assert_eq!(look_at(&near.store).unwrap(), FarSide::Same);
    let other = Arc::new(MemoryStore::new());
    init(shared(&other), Protected::Encrypted, 2);
    assert_eq!(look_at(&other).unwrap(), FarSide::Other);
    let config = ObjectName::new("config").unwrap();
    let mut forged = near.store.get(&config, 1 << 20).unwrap().to_vec();
    forged[10] = 0;
    vacant.put(&config, &[Bytes::from(forged)]).unwrap();
    assert_eq!(look_at(&vacant).unwrap_err().kind(), ErrorKind::Distrusted);
}

#[test]
fn an_increment_goes_behind_what_it_requires() {
    let mut near = Near::with_nights(1);
    for _ in 0..2 {
        let from = near.nights.last().unwrap().0.about.positions.to_lsn.unwrap();
        let stream = near.server.increment(from);
        let report = back_up(&near.repository, &stream);
        assert_eq!(report.about.requires.len(), near.nights.len());
        near.nights.push((report, stream));
        near.server.night(12);
    }
    let far = Arc::new(Recording::new(MemoryStore::new()));
    let planned = near.planned(shared(&far), Some(1)).unwrap();
    assert_eq!(planned.snapshots(), 3, "the newest alone could not be restored");
    planned.send(&World::of_this_machine()).unwrap();
    let order = puts(&far, "snapshots/");
    for (name, (night, _)) in order.iter().zip(&near.nights) {
        assert!(name.ends_with(&night.id.to_string()), "{name}");
    }
    assert_eq!(near.visible_nights_of(&shared(&far)), 3);
    // Without its base nothing of a chain is shown there.
    let full = objects_of(&*near.store, "snapshots/").pop_first().unwrap();
    near.store.delete(&ObjectName::new(&full).unwrap()).unwrap();
    let vacant = Arc::new(MemoryStore::new());
    let report = near.replicated(shared(&vacant)).unwrap();
    assert_eq!(report.left_out.len(), 2);
    assert!(report.left_out[0].why.contains("it requires snapshot"), "{:?}", report.left_out);
}

/// Carries everything over to a repository with other keys.
fn reencrypted(near: &Near, far: &Repository) -> Result<ReencryptionReport> {
    let listing = newest(&near.repository, &[], None)?;
    let planned = copy_reencrypted::plan(&near.repository, Some(far), listing.snapshots)?;
    planned.send(far, 2, &support::stepping_world())
}

/// What is in a repository with other keys: every snapshot is what its origin is, and says so.
fn reencrypted_nights_of(near: &Near, far: &Repository) -> usize {
    let listing = far.snapshots().unwrap();
    assert!(listing.damaged.is_empty());
    let of = |id: &str| near.nights.iter().find(|(night, _)| night.id.to_string() == id);
    let mut seen = BTreeSet::new();
    for stored in &listing.snapshots {
        let about = &stored.snapshot.about;
        let origin = about.origin.as_ref().unwrap();
        assert_eq!(origin.repository, near.repository.keyring().repository().to_string());
        assert!(seen.insert(origin.snapshot.clone()), "copied twice");
        let (night, stream) = of(&origin.snapshot).unwrap();
        assert_eq!(&stream_of(far, &stored.id().to_string()).unwrap(), stream);
        let was = &night.about;
        assert_eq!((about.time, about.started), (was.time, was.started));
        assert_eq!((about.verdict, &about.reasons), (was.verdict, &was.reasons));
        assert_eq!((&about.checks, &about.positions), (&was.checks, &was.positions));
        assert_eq!((about.kind, about.format, &about.host), (was.kind, was.format, &was.host));
        let there = |id: &String| {
            let (required, _) = of(id).unwrap();
            let is = |stored: &&haulout::repo::snapshots::StoredSnapshot| {
                let origin = stored.snapshot.about.origin.as_ref().unwrap();
                origin.snapshot == required.id.to_string()
            };
            listing.snapshots.iter().find(is).unwrap().id().to_string()
        };
        assert_eq!(about.requires, was.requires.iter().map(there).collect::<Vec<_>>());
    }
    seen.len()
}

#[test]
fn with_other_keys_there_snapshots_are_reencrypted_and_keep_what_was_found_out_about_them() {
    let mut near = Near::with_nights(2);
    let partial = back_up_with(
        &near.repository,
        &near.server.stream(),
        ProducerExit::Killed(9),
        &support::options(),
    );
    near.nights.push((partial.unwrap(), near.server.stream()));
    let from = near.nights[1].0.about.positions.to_lsn.unwrap();
    near.server.night(12);
    let increment = near.server.increment(from);
    near.nights.push((back_up(&near.repository, &increment), increment));
    let newest_here = near.repository.find_snapshot("latest").unwrap();
    let change = TagChange { add: vec!["kept".to_owned()], remove: Vec::new() };
    tag(&near.repository, &newest_here, &change, &support::world_at(7)).unwrap();

    let store = Arc::new(Recording::new(MemoryStore::new()));
    let far = init(shared(&store), Protected::Encrypted, 9);
    let report = reencrypted(&near, &far).unwrap();
    assert_eq!((report.sent.len(), report.there, report.left_out.len()), (4, 0, 0));
    assert_eq!(reencrypted_nights_of(&near, &far), 4);
    assert_eq!(far.find_snapshot("latest").unwrap().snapshot.about.tags, ["kept"]);
    let shares_a_name = objects_of(&*store, "").intersection(&objects_of(&*near.store, "")).count();
    assert_eq!(shares_a_name, 1, "only both are called config");

    // A night is stored there as what it differs by, as it was here.
    near.night();
    let again = reencrypted(&near, &far).unwrap();
    assert_eq!((again.sent.len(), again.there), (1, 4));
    let here = near.nights[4].0.counts.stored_bytes;
    assert!(again.stored_bytes < here + here / 10 + (64 << 10), "{} {here}", again.stored_bytes);
    store.reset();
    reencrypted(&near, &far).unwrap();
    assert_eq!(store.calls(Verb::Put), 0, "nothing twice");
}

#[test]
fn what_was_removed_in_a_repository_with_other_keys_is_not_copied_there_again() {
    let mut near = Near::with_nights(3);
    let store = Arc::new(MemoryStore::new());
    let far = init(shared(&store), Protected::Encrypted, 9);
    reencrypted(&near, &far).unwrap();
    let oldest = far.snapshots().unwrap().snapshots.remove(0);
    let removes = vec![support::removing(&oldest)];
    let options = PruneOptions { removes, ..PruneOptions::default() };
    prune(&far, &options, &support::stepping_world()).unwrap();
    assert_eq!(objects_of(&*store, "snapshots/").len(), 2, "its object is gone");
    near.night();
    let planned = |far| {
        let listing = newest(&near.repository, &[], None).unwrap();
        copy_reencrypted::plan(&near.repository, far, listing.snapshots).unwrap()
    };
    let plan = planned(Some(&far));
    let gone = near.nights[0].0.id;
    assert_eq!((plan.snapshots(), plan.removed_there()), (1, &[gone][..]));
    let report = plan.send(&far, 2, &support::stepping_world()).unwrap();
    assert_eq!((report.sent.len(), report.there, report.removed_there), (1, 2, vec![gone]));
    assert_eq!(reencrypted_nights_of(&near, &far), 3);
    // Elsewhere nothing was removed.
    assert_eq!(planned(None).snapshots(), 4);
}

#[test]
fn whichever_call_fails_while_reencrypting_nothing_is_copied_twice() {
    let near = Near::with_nights(2);
    for nth in 1.. {
        let inner = Arc::new(MemoryStore::new());
        init(shared(&inner), Protected::Encrypted, 9);
        let effect = Effect::RefuseBefore(Category::Other);
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) };
        let failing = Arc::new(Failing::new(shared(&inner), vec![fault.at(nth)]));
        let outcome = open(shared(&failing), nth).and_then(|far| reencrypted(&near, &far));
        let far = open(shared(&inner), 1000 + nth).unwrap();
        let arrived = reencrypted_nights_of(&near, &far);
        assert!(outcome.is_err() || arrived == 2, "call {nth}");
        assert_eq!(reencrypted(&near, &far).unwrap().there, u64::try_from(arrived).unwrap());
        assert_eq!(reencrypted_nights_of(&near, &far), 2, "call {nth}");
        if failing.struck() == 0 {
            assert!(nth > 15, "many calls were tried: {nth}");
            break;
        }
    }
}

#[test]
fn what_is_damaged_here_is_not_reencrypted_and_nothing_goes_to_a_repository_in_clear() {
    let mut near = Near::with_nights(2);
    let before = objects_of(&*near.store, "packs/");
    near.night();
    spoil(&near.store, &data_packs(&near, &before)[0]);
    let far = init(Arc::new(MemoryStore::new()), Protected::Encrypted, 9);
    let report = reencrypted(&near, &far).unwrap();
    assert_eq!(report.left_out.len(), 1);
    assert_eq!(report.left_out[0].snapshot, near.nights[2].0.id);
    assert_eq!(reencrypted_nights_of(&near, &far), 2);
    let clear = init(Arc::new(MemoryStore::new()), Protected::Clear, 9);
    assert_eq!(reencrypted(&near, &clear).unwrap_err().kind(), ErrorKind::Distrusted);
}
