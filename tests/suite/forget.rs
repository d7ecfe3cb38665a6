//! What a plan of retention says of real repositories: reasons for what stays, what takes the place
//! of what goes, and what is refused.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::ErrorKind;
use haulout::base::error::Result;
use haulout::base::ids::PackName;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::layout::Object;
use haulout::ops::backup::BackupOptions;
use haulout::ops::backup::backup;
use haulout::ops::forget;
use haulout::ops::forget::Choice;
use haulout::ops::forget::ForgetPlan;
use haulout::ops::forget::Refusal;
use haulout::ops::forget::Who;
use haulout::ops::forget::policy::Kept;
use haulout::ops::forget::policy::Period;
use haulout::ops::forget::policy::PeriodRule;
use haulout::ops::forget::policy::Place;
use haulout::ops::forget::policy::Policy;
use haulout::ops::hold::Hold;
use haulout::ops::hold::hold;
use haulout::ops::prune;
use haulout::ops::prune::Orphans;
use haulout::ops::prune::PruneOptions;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::needs::NeedsReader;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
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
use crate::support::Random;
use crate::support::Server;
use crate::support::stream_of;
use crate::support::world_at;

const DAY: u64 = 86_400;
/// The first of January 2026, a Thursday.
const START: u64 = 1_767_225_600;

fn in_memory(seed: u64) -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    let features = FEATURES_MADE.with(Features::INTENTS).with(Features::NEEDS);
    let shared = support::shared(&store);
    (store, support::init_as_earlier(shared, Protected::Clear, features, seed))
}

/// A dump that can't be compressed, another one for each seed.
fn dump(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = b"-- a dump\n".to_vec();
    for _ in 0..500 {
        writeln!(out, "-- {:016x}", random.next()).unwrap();
    }
    out
}

fn back_up(repository: &Repository, source: &str, day: u64, exit: ProducerExit) -> SnapshotId {
    let options = BackupOptions { source: source.to_owned(), ..support::options() };
    let stream = BytesSource::new(dump(day), 1 << 20, exit);
    let world = world_at(START + day * DAY + 7200);
    backup(repository, Box::new(stream), &options, &world).unwrap().id
}

fn nights(repository: &Repository, source: &str, days: u64) -> Vec<SnapshotId> {
    (0..days).map(|day| back_up(repository, source, day, ProducerExit::Exited(0))).collect()
}

fn plan_on(repository: &Repository, choice: &Choice, day: u64) -> Result<ForgetPlan> {
    forget::plan(repository, choice, &|_| 0, &world_at(START + day * DAY))
}

fn by_policy(policy: Policy) -> Choice {
    Choice::ByPolicy { sources: Vec::new(), policy }
}

fn last(count: u32) -> Policy {
    Policy { last: count, ..Policy::default() }
}

fn named(ids: &[SnapshotId]) -> Choice {
    Choice::Named(ids.iter().copied().collect())
}

fn removed(plan: &ForgetPlan) -> BTreeSet<SnapshotId> {
    plan.removes(&Who::default(), 1).iter().map(|removing| removing.name.id).collect()
}

/// What speaks against a plan, without the sources.
fn why_not(plan: &ForgetPlan) -> Vec<Refusal> {
    plan.refused.iter().map(|refused| refused.refusal).collect()
}

fn refusals(plan: &ForgetPlan) -> Vec<(Refusal, Option<&str>)> {
    plan.refused.iter().map(|refused| (refused.refusal, refused.source.as_deref())).collect()
}

fn reasons(plan: &ForgetPlan, id: SnapshotId) -> Vec<Kept> {
    let mut all = plan.sources.iter().flat_map(|source| &source.snapshots);
    all.find(|decided| decided.described.id() == id).unwrap().decision.kept.clone()
}

/// Removes what a plan says and deletes what is garbage then.
fn carry_out(repository: &Repository, plan: &ForgetPlan) {
    let removes = plan.removes(&Who::default(), 1);
    let options = PruneOptions { removes, ..PruneOptions::default() };
    let report = prune::prune(repository, &options, &World::of_this_machine()).unwrap();
    assert_eq!((report.spared.len(), report.refused.len()), (0, 0));
}

fn assert_sound(repository: &Repository, kept: &BTreeMap<SnapshotId, Vec<u8>>) {
    for (id, stream) in kept {
        assert!(stream_of(repository, &id.to_string()).unwrap() == *stream, "{}", id.short());
    }
    let options = VerifyOptions::new(Depth::Blocks);
    let report = verify(repository, &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_policy_says_why_each_stays_and_what_takes_the_place_of_each_that_goes() {
    let (store, repository) = in_memory(1);
    let ids = nights(&repository, "a", 12);
    let rules = [(Period::Day, 2), (Period::Week, 3)]
        .map(|(period, count)| PeriodRule { period, count })
        .into();
    let policy = Policy { periods: rules, ..Policy::default() };
    let before = store.objects();
    let mut plan = plan_on(&repository, &by_policy(policy.clone()), 12).unwrap();
    assert!(store.objects() == before, "a plan changes nothing");
    // Day 11 is a Monday; Sundays are days 3 and 10.
    let left: BTreeSet<SnapshotId> = [ids[3], ids[10], ids[11]].into();
    let gone = removed(&plan);
    assert_eq!(gone, BTreeSet::new(), "nine of twelve are too many to go unasked");
    assert_eq!(refusals(&plan), [(Refusal::Half, Some("a"))]);
    plan.consent(&|refusal| refusal == Refusal::Half);
    assert_eq!(removed(&plan).len(), 9);
    assert!(removed(&plan).is_disjoint(&left));
    let of = |period, number, of| Kept::Of(period, Place { number, of });
    assert_eq!(reasons(&plan, ids[11]), [of(Period::Day, 1, 2), of(Period::Week, 1, 3)]);
    assert_eq!(reasons(&plan, ids[3]), [of(Period::Week, 3, 3)]);
    let records = plan.removes(&Who { host: "db1".to_owned(), ..Who::default() }, 5);
    let first = records.iter().find(|removing| removing.name.id == ids[0]).unwrap();
    assert_eq!(first.removal.replaced_by, Some(ids[3].to_string()));
    assert_eq!(first.removal.reason, format!("no rule keeps it beside {}", ids[3].short()));
    assert_eq!((first.removal.time, first.removal.host.as_str()), (5, "db1"));
    carry_out(&repository, &plan);
    let kept = left.iter().map(|id| {
        let day = ids.iter().position(|other| other == id).unwrap();
        (*id, dump(u64::try_from(day).unwrap()))
    });
    assert_sound(&repository, &kept.collect());
    // What was decided stays decided.
    let again = plan_on(&repository, &by_policy(policy), 13).unwrap();
    assert!(removed(&again).is_empty() && again.refused.is_empty());
}

#[test]
fn a_refusal_about_one_source_keeps_that_one_and_no_other() {
    let (_, repository) = in_memory(2);
    nights(&repository, "a", 8);
    let b = nights(&repository, "b", 3);
    let plan = plan_on(&repository, &by_policy(last(1)), 9).unwrap();
    assert_eq!(refusals(&plan), [(Refusal::Half, Some("a"))]);
    assert_eq!(removed(&plan), b[..2].iter().copied().collect());
    assert!(plan.is_refused("a") && !plan.is_refused("b"));
    // Of the other alone nothing is refused.
    let only_b = Choice::ByPolicy { sources: vec!["b".to_owned()], policy: last(1) };
    assert!(plan_on(&repository, &only_b, 9).unwrap().refused.is_empty());
    let unknown = Choice::ByPolicy { sources: vec!["c".to_owned()], policy: last(1) };
    let error = plan_on(&repository, &unknown, 9).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

#[test]
fn what_is_most_often_a_mistake_is_refused() {
    let (_, repository) = in_memory(3);
    let ids = nights(&repository, "a", 4);
    let of = |policy| why_not(&plan_on(&repository, &by_policy(policy), 9).unwrap());
    assert_eq!(of(Policy::default()), [Refusal::NoneComplete, Refusal::NothingKept]);
    let tags = Policy { tags: vec!["audit".to_owned()], ..last(2) };
    assert_eq!(of(tags), [Refusal::NoTag]);
    assert_eq!(of(last(2)), []);
    let early = plan_on(&repository, &by_policy(last(2)), 1).unwrap();
    assert_eq!(refusals(&early), [(Refusal::Future, Some("a"))]);
    let by_name = |ids: &[SnapshotId]| why_not(&plan_on(&repository, &named(ids), 9).unwrap());
    assert_eq!(by_name(&ids[..3]), []);
    assert_eq!(by_name(&ids[3..]), [Refusal::NewestComplete]);
    assert_eq!(by_name(&ids), [Refusal::NoneComplete]);
}

#[test]
fn a_newer_partial_one_takes_the_place_of_no_complete_one() {
    let (_, repository) = in_memory(4);
    let ids = nights(&repository, "a", 3);
    let partial = back_up(&repository, "a", 3, ProducerExit::Killed(9));
    let plan = plan_on(&repository, &by_policy(last(1)), 4).unwrap();
    assert_eq!(removed(&plan), ids[..2].iter().copied().collect());
    assert_eq!(reasons(&plan, partial), [Kept::NewestPartial]);
    assert!(reasons(&plan, ids[2]).iter().any(|kept| matches!(kept, Kept::Last(_))));
    assert!(plan.refused.is_empty());
}

#[test]
fn holds_keep_until_they_end_and_can_not_be_consented_away() {
    let (_, repository) = in_memory(5);
    let ids = nights(&repository, "a", 5);
    let stored = |id: SnapshotId| repository.find_snapshot(&id.to_string()).unwrap();
    let world = world_at(START + 5 * DAY);
    let until = START + 10 * DAY;
    let wanted = Hold { until: Some(until), reason: "audit".to_owned() };
    hold(&repository, &stored(ids[1]), &wanted, &world).unwrap();
    let plan = plan_on(&repository, &by_policy(last(2)), 5).unwrap();
    assert_eq!(reasons(&plan, ids[1]), [Kept::Held(until)]);
    assert_eq!(removed(&plan), [ids[0], ids[2]].into());
    let held = plan_on(&repository, &named(&ids[1..2]), 5).unwrap();
    assert_eq!(refusals(&held), [(Refusal::Held, Some("a"))]);
    assert!(removed(&held).is_empty());
    // When its last day is over it is one of many again, for prune as well.
    let after = plan_on(&repository, &named(&ids[1..2]), 11).unwrap();
    assert!(after.refused.is_empty());
    let removes = after.removes(&Who::default(), until + 1);
    let report =
        prune::remove(&repository, &PruneOptions { removes, ..Default::default() }, &world)
            .unwrap();
    assert_eq!((report.removed.len(), report.spared.len()), (1, 0));
    // A hold that is put after the plan was made is found by prune.
    let removes = plan_on(&repository, &named(&ids[..1]), 5).unwrap().removes(&Who::default(), 1);
    hold(&repository, &stored(ids[0]), &Hold::default(), &world).unwrap();
    let report =
        prune::remove(&repository, &PruneOptions { removes, ..Default::default() }, &world)
            .unwrap();
    assert_eq!((report.removed.len(), report.spared.len()), (0, 1));
    assert_eq!(report.spared[0].1, "it is held");
}

#[test]
fn what_an_increment_needs_is_refused_without_it_and_kept_with_it() {
    let (_, repository) = in_memory(6);
    let mut server = Server::new(7, 2, 20);
    let back_up = |stream: &[u8]| support::back_up(&repository, stream).id;
    let full = back_up(&server.stream());
    let from = server.to_lsn();
    server.night(10);
    let increment = back_up(&server.increment(from));
    server.night(10);
    let newest = back_up(&server.stream());
    let day = 5000;
    let plan = plan_on(&repository, &named(&[full]), day).unwrap();
    assert_eq!(refusals(&plan), [(Refusal::Required, Some("shop"))]);
    let both = plan_on(&repository, &named(&[full, increment]), day).unwrap();
    assert!(both.refused.is_empty() && removed(&both) == [full, increment].into());
    let kept = plan_on(&repository, &by_policy(last(2)), day).unwrap();
    assert!(removed(&kept).is_empty());
    assert_eq!(reasons(&kept, full), [Kept::Required(increment)]);
    assert!(matches!(reasons(&kept, newest)[..], [Kept::Last(_)]));
}

/// The packs that only one of some snapshots needs.
fn own_packs(repository: &Repository, id: SnapshotId) -> Vec<PackName> {
    let world = World::of_this_machine();
    let mut reader = NeedsReader::new(repository, &world.monitor);
    let mut needed: BTreeMap<_, BTreeSet<SnapshotId>> = BTreeMap::new();
    for stored in repository.snapshots().unwrap().snapshots.iter().rev() {
        reader.of(stored).unwrap().visit(&mut |record, _| {
            needed.entry(record.name).or_default().insert(stored.id());
        });
    }
    needed.into_iter().filter(|(_, by)| *by == [id].into()).map(|(pack, _)| pack).collect()
}

#[test]
fn a_snapshot_that_lacks_a_pack_is_neither_counted_nor_removed() {
    let (store, repository) = in_memory(7);
    let ids = nights(&repository, "a", 5);
    for pack in own_packs(&repository, ids[3]) {
        store.delete(&Object::Pack(pack).name()).unwrap();
        store.delete(&Object::Twin(pack).name()).unwrap();
    }
    let plan = plan_on(&repository, &by_policy(last(2)), 6).unwrap();
    assert_eq!(plan.doubtful(), 1);
    assert_eq!(reasons(&plan, ids[3]), [Kept::Doubtful]);
    assert_eq!(removed(&plan), ids[..2].iter().copied().collect());
}

fn damage(store: &MemoryStore, object: &ObjectName) {
    let mut bytes = store.get(object, 1 << 20).unwrap().to_vec();
    bytes[100] ^= 1;
    store.delete(object).unwrap();
    store.put(object, &[Bytes::from(bytes)]).unwrap();
}

#[test]
fn a_snapshot_that_can_not_be_read_is_removed_by_its_name_if_that_is_wished_for() {
    let (store, repository) = in_memory(8);
    let (ids, other) = (nights(&repository, "a", 4), nights(&repository, "b", 3));
    let name = |id: SnapshotId| {
        let names = repository.listed_snapshots(None).unwrap();
        names.into_iter().find(|name| name.id == id).unwrap()
    };
    damage(&store, &name(ids[1]).object());
    // It keeps its source as it is, and no other one.
    let plan = plan_on(&repository, &by_policy(last(2)), 5).unwrap();
    assert_eq!(refusals(&plan), [(Refusal::UnreadSnapshot, Some("a"))]);
    assert_eq!(removed(&plan), [other[0]].into());
    let by_name = plan_on(&repository, &named(&ids[..1]), 5).unwrap();
    assert_eq!(refusals(&by_name), [(Refusal::UnreadSnapshot, Some("a"))]);
    // It ends every prune.
    let (options, world) = (PruneOptions::default(), World::of_this_machine());
    let error = prune::plan(&repository, &options, &world).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    let readable = Choice::Damaged([ids[0]].into());
    let error = plan_on(&repository, &readable, 5).unwrap_err();
    assert!(error.to_string().contains("can be read"), "{error}");
    let choice = Choice::Damaged([ids[1]].into());
    let plan = plan_on(&repository, &choice, 5).unwrap();
    assert!(plan.refused.is_empty() && removed(&plan) == [ids[1]].into());
    let removes = plan.removes(&Who::default(), 1);
    assert_eq!(
        (removes[0].removal.run.as_str(), removes[0].removal.predecessor.as_ref()),
        ("", None)
    );
    assert_eq!(removes[0].removal.reason, "it can't be read");
    let options = PruneOptions { removes, ..PruneOptions::default() };
    prune::plan(&repository, &options, &world).unwrap();
    let report = prune::prune(&repository, &options, &world).unwrap();
    assert_eq!((report.removed.len(), report.cleaned_up.snapshots), (1, 1));
    let kept = [0, 2, 3].map(|day: u64| (ids[usize::try_from(day).unwrap()], dump(day)));
    assert_sound(&repository, &kept.into());
    let plan = plan_on(&repository, &by_policy(last(2)), 5).unwrap();
    assert!(plan.refused.is_empty() && removed(&plan) == [ids[0], other[0]].into());
    // A note that can't be read may hold any of them.
    let stored = repository.find_snapshot(&ids[0].to_string()).unwrap();
    hold(&repository, &stored, &Hold::default(), &world).unwrap();
    let objects = store.objects();
    let note = objects.keys().find(|name| name.as_str().starts_with("notes/")).unwrap();
    damage(&store, note);
    let plan = plan_on(&repository, &by_policy(last(2)), 5).unwrap();
    assert_eq!(refusals(&plan), [(Refusal::UnreadNote, None)]);
    assert!(removed(&plan).is_empty());
}

/// Removes snapshots that can't be read, and returns the runs that each removal names.
fn remove_damaged(repository: &Repository, ids: &[SnapshotId]) -> Vec<usize> {
    let plan = plan_on(repository, &Choice::Damaged(ids.iter().copied().collect()), 9).unwrap();
    let (removes, world) = (plan.removes(&Who::default(), 1), World::of_this_machine());
    let report =
        prune::remove(repository, &PruneOptions { removes, ..Default::default() }, &world).unwrap();
    assert!(report.removed.len() == ids.len() && report.doubted.is_empty(), "{report:?}");
    let removals = repository.removals(None).unwrap();
    let read = |id: &SnapshotId| {
        let removal = repository.removal_of(&removals, *id, &mut Vec::new()).unwrap().unwrap();
        assert_eq!(removal.run, "");
        removal.runs.len()
    };
    ids.iter().map(read).collect()
}

#[test]
fn packs_of_a_removed_snapshot_that_can_not_be_read_are_no_sign_of_a_lost_one() {
    let (options, world) = (PruneOptions::default(), World::of_this_machine());
    for sources in [["a", "a"], ["a", "b"]] {
        // The newest, whose packs no other table names; alone, both at once, one after the other.
        for at_once in [1, 2, 0] {
            let (store, repository) = in_memory(8);
            nights(&repository, "a", 3);
            nights(&repository, "b", 3);
            let newest = |source: &str, back: usize| {
                let names = repository.listed_snapshots(repository.source_id(source).ok()).unwrap();
                names[names.len() - 1 - back]
            };
            let both =
                [newest(sources[0], 0), newest(sources[1], usize::from(sources[0] == sources[1]))];
            let bad = if at_once == 1 { &both[..1] } else { &both[..] };
            bad.iter().for_each(|name| damage(&store, &name.object()));
            let ids: Vec<SnapshotId> = bad.iter().map(|name| name.id).collect();
            if at_once > 0 {
                assert_eq!(remove_damaged(&repository, &ids), vec![at_once; at_once]);
            } else {
                // Each may be of either run.
                assert_eq!(remove_damaged(&repository, &ids[..1]), [2]);
                let error = prune::prune(&repository, &options, &world).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Damaged, "the other one ends prune: {error}");
                assert_eq!(remove_damaged(&repository, &ids[1..]), [0]);
            }
            let report = prune::prune(&repository, &options, &world).unwrap();
            assert!(report.deleted.len() >= ids.len(), "{report:?}");
            assert_eq!(report.cleaned_up.snapshots, u64::try_from(ids.len()).unwrap());
            let after = prune::prune(&repository, &options, &world).unwrap();
            assert!(after.deleted.is_empty(), "{after:?}");
        }
    }
}

#[test]
fn beside_a_lost_snapshot_the_packs_of_a_removed_one_are_not_told_from_its() {
    let (store, repository) = in_memory(8);
    nights(&repository, "a", 3);
    nights(&repository, "b", 3);
    let newest = |source: &str| {
        *repository.listed_snapshots(repository.source_id(source).ok()).unwrap().last().unwrap()
    };
    let (bad, lost) = (newest("a"), newest("b"));
    damage(&store, &bad.object());
    store.delete(&lost.object()).unwrap();
    assert_eq!(remove_damaged(&repository, &[bad.id]), [0], "it may be either run");
    let (options, world) = (PruneOptions::default(), World::of_this_machine());
    let before = store.objects().len();
    let error = prune::prune(&repository, &options, &world).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
    assert_eq!(store.objects().len(), before);
    let options = PruneOptions { orphans: Orphans::Deleted, ..options };
    assert!(!prune::prune(&repository, &options, &world).unwrap().deleted.is_empty());
}

#[test]
fn without_intents_and_with_a_key_that_may_only_write_nothing_is_planned() {
    let store = Arc::new(MemoryStore::new());
    let shared = support::shared(&store);
    let repository = support::init_as_earlier(shared, Protected::Clear, Features::NORMAL_FORM, 1);
    nights(&repository, "a", 2);
    let error = plan_on(&repository, &by_policy(last(1)), 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn a_plan_on_a_store_that_fails_at_any_request_ends_and_changes_nothing() {
    let (made, repository) = in_memory(9);
    nights(&repository, "a", 4);
    let objects = made.objects();
    for effect in [Effect::RefuseBefore(Category::Other), Effect::Forget] {
        for nth in 1.. {
            let fault = Fault { verb: None, nth, ..Fault::first(Verb::Get, effect) };
            let failing = Arc::new(Failing::new(Arc::clone(&made), vec![fault]));
            let there = repository.elsewhere(support::shared(&failing));
            let _planned = plan_on(&there, &by_policy(last(2)), 5);
            assert!(made.objects() == objects, "request {nth}");
            if failing.struck() == 0 {
                assert!(nth > 8, "{nth} requests");
                break;
            }
        }
    }
}
