//! Damage in a copy: what a verification found there, and what reading back finds, is sent again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::copy_reencrypted;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::replicate::newest;
use haulout::ops::replicate::plan;
use haulout::ops::tag::TagChange;
use haulout::ops::tag::tag;
use haulout::ops::verify::Depth;
use haulout::ops::verify::Finding;
use haulout::ops::verify::Remember;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
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
use crate::support::init;
use crate::support::near::Near;
use crate::support::near::data_packs;
use crate::support::near::objects_of;
use crate::support::near::spoil;
use crate::support::open;
use crate::support::shared;
use crate::support::stream_of;

/// Verifies a copy: what is found, and written down there.
fn found_in(far: &Arc<MemoryStore>) -> Vec<String> {
    let copy = open(shared(far), 70).unwrap();
    let options = VerifyOptions {
        workers: 2,
        remember: Remember::Nowhere,
        ..VerifyOptions::new(Depth::Blocks)
    };
    let report = verify(&copy, &options, &World::of_this_machine()).unwrap();
    report.findings.iter().map(Finding::in_words).collect()
}

fn read_back(near: &Near, far: Arc<dyn Store>) -> Result<ReplicateReport> {
    let snapshots = newest(&near.repository, &[], None)?.snapshots;
    let confirmation = Confirmation::ReadBack;
    let options = ReplicateOptions { snapshots, connections: 2, confirmation };
    let world = World::of_this_machine();
    plan(&near.repository, far, options, &world)?.send(&world)
}

#[test]
fn what_a_verification_found_damaged_in_a_copy_is_sent_again() {
    let near = Near::with_nights(3);
    for name in objects_of(&*near.store, "packs/") {
        let far = Arc::new(MemoryStore::new());
        near.replicated(shared(&far)).unwrap();
        let all = far.objects();
        spoil(&far, &name);
        assert!(!found_in(&far).is_empty(), "{name}");
        let is_recorded = !objects_of(&*far, "damage/").is_empty();
        let is_data =
            !objects_of(&*near.store, "twins/").contains(&name.replace("packs/", "twins/"));
        assert!(is_recorded || !is_data, "{name}");
        let far = Arc::new(Recording::new(far));
        let planned = near.planned(shared(&far), None).unwrap();
        let cost = planned.cost();
        far.reset();
        let report = planned.send(&World::of_this_machine()).unwrap();
        assert_eq!(report.mended, if is_recorded { vec![name.clone()] } else { Vec::new() });
        // What only rests on a damaged block is read, and is right.
        let bytes = all[&ObjectName::new(&name).unwrap()].len();
        let bytes = u64::try_from(bytes).unwrap();
        assert_eq!(report.cost.bytes, if is_recorded { bytes } else { 0 });
        assert!(report.cost.bytes <= cost.bytes, "{name}: no more than was planned");
        assert_eq!((report.sent.len(), report.there), (0, 3));
        if is_recorded {
            assert_eq!(far.inner().objects(), all, "{name}: it is as it was, without records");
            assert!(found_in(far.inner()).is_empty(), "{name}");
        }
    }
}

#[test]
fn with_reading_back_whatever_is_damaged_in_a_copy_is_found_and_sent_again() {
    let near = Near::with_nights(3);
    let stored = near.repository.find_snapshot("latest").unwrap();
    let change = TagChange { add: vec!["kept".to_owned()], remove: Vec::new() };
    tag(&near.repository, &stored, &change, &support::world_at(1_800_000_000)).unwrap();
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let all = far.objects();
    let clean = read_back(&near, shared(&far)).unwrap();
    assert!(clean.mended.is_empty() && clean.sent.is_empty());
    let others = |name: &&ObjectName| name.as_str() != "config";
    let count = u64::try_from(all.keys().filter(others).count()).unwrap();
    let bytes: usize =
        all.iter().filter(|(name, _)| others(name)).map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(clean.verified.objects, count, "all that the snapshots need was read");
    assert_eq!(usize::try_from(clean.verified.bytes).unwrap(), bytes);
    for name in all.keys().filter(others) {
        spoil(&far, name.as_str());
        let report = read_back(&near, shared(&far)).unwrap();
        assert_eq!(report.mended, [name.to_string()]);
        assert!(report.left_out.is_empty() && report.damaged.is_empty());
        assert_eq!(far.objects(), all, "{name}");
    }
}

/// With keys of its own the other side has other packs. What was found damaged there is stored anew
/// by the next snapshot that is copied, which heals those before it as well.
#[test]
fn with_other_keys_what_was_found_damaged_is_stored_again_by_the_next_snapshot() {
    let mut near = Near::with_nights(2);
    let store = Arc::new(MemoryStore::new());
    let far = init(shared(&store), Protected::Encrypted, 9);
    let reencrypted = |near: &Near| {
        let listing = newest(&near.repository, &[], None).unwrap();
        let planned =
            copy_reencrypted::plan(&near.repository, Some(&far), listing.snapshots).unwrap();
        planned.send(&far, 2, &support::stepping_world()).unwrap()
    };
    assert_eq!(reencrypted(&near).sent.len(), 2);
    let twins = objects_of(&*store, "twins/");
    let is_data = |name: &String| !twins.contains(&name.replacen("packs/", "twins/", 1));
    let packs = objects_of(&*store, "packs/").into_iter().filter(is_data);
    packs.for_each(|name| spoil(&store, &name));
    assert!(!found_in(&store).is_empty());
    let nothing = reencrypted(&near);
    assert_eq!((nothing.sent.len(), nothing.there), (0, 2), "no snapshot goes twice");
    assert!(!found_in(&store).is_empty(), "so it stays as it is");

    let stream = near.nights[1].1.clone();
    near.nights.push((back_up(&near.repository, &stream), stream));
    let healed = reencrypted(&near).sent.remove(0).counts.blocks_healed;
    assert!(healed > 0);
    let newest = near.nights[1].1.clone();
    let listing = far.snapshots().unwrap().snapshots;
    for stored in &listing[listing.len() - 2..] {
        let id = stored.id().to_string();
        assert!(stream_of(&far, &id).unwrap() == newest, "the one before is whole again");
    }
}

#[test]
fn what_is_damaged_on_both_sides_is_named_and_left_as_it_is() {
    let near = Near::with_nights(2);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let lost = data_packs(&near, &BTreeSet::new()).remove(0);
    spoil(&near.store, &lost);
    spoil(&far, &lost);
    let before = far.objects();
    let report = read_back(&near, shared(&far)).unwrap();
    assert!(!report.left_out.is_empty() && report.mended.is_empty());
    assert!(report.damaged[0].contains(&lost), "{:?}", report.damaged);
    assert_eq!(far.objects(), before);
}

fn without_intents(store: &MemoryStore) -> BTreeMap<ObjectName, Bytes> {
    let mut objects = store.objects();
    objects.retain(|name, _| !name.as_str().starts_with("intents/"));
    objects
}

#[test]
fn a_replication_that_is_stopped_while_it_mends_is_taken_up_by_the_next() {
    let near = Near::with_nights(2);
    for verb in [Verb::Delete, Verb::Put, Verb::Get] {
        for nth in 1..4 {
            for effect in [Effect::RefuseBefore, Effect::RefuseAfter] {
                let far = Arc::new(MemoryStore::new());
                near.replicated(shared(&far)).unwrap();
                let all = far.objects();
                let packs = data_packs(&near, &BTreeSet::new());
                packs.iter().for_each(|name| spoil(&far, name));
                let fault = Fault::first(verb, effect(Category::Other)).at(nth).ever_after();
                let failing = Arc::new(Failing::new(shared(&far), vec![fault]));
                let stopped = read_back(&near, shared(&failing));
                // One whose intent alone stays succeeds.
                let is_mended = without_intents(&far) == all;
                assert!(stopped.is_err() || is_mended, "{verb:?} {nth}");
                read_back(&near, shared(&far)).unwrap();
                // The one that was stopped may leave its intent.
                assert_eq!(without_intents(&far), all, "{verb:?} {nth}");
            }
        }
    }
}
