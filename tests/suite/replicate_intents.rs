//! Copies that have a life of their own: a replicate says what it relies on there, fails beside a
//! prune, brings nothing back that was removed, and is never robbed of what it relies on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use haulout::base::error::ErrorKind;
use haulout::base::ids::SnapshotId;
use haulout::base::world::World;
use haulout::format::intent::Intent;
use haulout::format::intent::IntentVerb;
use haulout::format::layout::Object;
use haulout::ops::prune;
use haulout::ops::prune::PruneOptions;
use haulout::ops::prune::PruneReport;
use haulout::ops::prune::Removing;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::seal::ids::RunId;
use haulout::store::Store;
use haulout::store::error::Category;
use haulout::store::error::Verb;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;
use haulout::store::testing::Effect;
use haulout::store::testing::Failing;
use haulout::store::testing::Fault;
use haulout::store::testing::Meeting;
use haulout::store::testing::Recording;

use crate::support;
use crate::support::near::Near;
use crate::support::near::objects_of;
use crate::support::open;
use crate::support::shared;
use crate::support::stepping_world;
use crate::support::stream_of;

const WITH_INTENTS: Features =
    Features(Features::INTENTS.0 | Features::NORMAL_FORM.0 | Features::NEEDS.0);

/// A repository with intents after some nights, and a copy of it.
fn copied(nights: usize) -> (Near, Arc<MemoryStore>) {
    let near = Near::of(WITH_INTENTS, nights);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    (near, far)
}

fn there(far: &Arc<MemoryStore>) -> Repository {
    open(shared(far), 99).unwrap()
}

fn removing(repository: &Repository, id: SnapshotId) -> Removing {
    let stored = repository.find_snapshot(&id.to_string()).unwrap();
    support::removing(&stored)
}

/// Prunes a repository of these snapshots.
fn pruned(repository: &Repository, ids: &[SnapshotId]) -> PruneReport {
    let removes = ids.iter().map(|id| removing(repository, *id)).collect();
    let options = PruneOptions { removes, ..PruneOptions::default() };
    prune::prune(repository, &options, &stepping_world()).unwrap()
}

/// Checks that whatever a copy shows is whole.
fn assert_sound(far: &Arc<MemoryStore>) {
    let options = VerifyOptions { workers: 2, ..VerifyOptions::new(Depth::Blocks) };
    let report = verify(&there(far), &options, &World::of_this_machine()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

fn id_of(near: &Near, night: usize) -> SnapshotId {
    near.nights[night].0.id
}

#[test]
fn a_replicate_says_what_it_relies_on_and_looks_around_each_snapshot() {
    let (mut near, inner) = copied(1);
    near.night();
    near.night();
    let far = Arc::new(Recording::new(Arc::clone(&inner)));
    let planned = near.planned(shared(&far), None).unwrap();
    let cost = planned.cost();
    far.reset();
    let report = planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(report.cost, cost);
    assert_eq!(u64::try_from(far.log().len()).unwrap(), cost.requests, "{:#?}", far.log());
    let folder = |object: &str| object.split('/').next().unwrap().to_owned();
    let steps: Vec<String> = far
        .log()
        .iter()
        .filter(|call| call.verb != Verb::Size && call.verb != Verb::Get)
        .map(|call| format!("{:?} {}", call.verb, folder(&call.object)))
        .collect();
    let mut firsts = steps.clone();
    firsts.dedup();
    firsts.retain(|step| step != "Put twins" && step != "Put runs");
    firsts.dedup();
    assert_eq!(
        firsts,
        [
            "Put intents",
            "List intents",
            "List fences",
            "List removed",
            "List packs",
            "List twins",
            "Put packs",
            "List fences",
            "Put snapshots",
            "List fences",
            "Put snapshots",
            "List fences",
            "Delete intents",
        ],
        "{steps:#?}"
    );
    assert!(objects_of(&*inner, "intents/").is_empty());
    // Before the first and after the last snapshot, twice between, one behind the intent, one at
    // the end.
    assert_eq!(far.calls_under(Verb::List, "fences/"), 6);
    let again = near.planned(shared(&far), None).unwrap();
    assert_eq!((again.cost().objects, again.cost().requests), (0, 0));
    far.reset();
    again.send(&World::of_this_machine()).unwrap();
    assert_eq!(far.calls(Verb::Put), 0, "what relies on nothing says nothing");
}

#[test]
fn while_it_stands_its_intent_holds_the_packs_of_all_that_it_sends_and_names_that() {
    let (mut near, inner) = copied(1);
    near.night();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen_by, reader) = (Arc::clone(&seen), Arc::clone(&inner));
    let announced = [id_of(&near, 1)];
    let packs = objects_of(&*near.store, "packs/");
    let look = move || {
        let standing = there(&reader).standing().unwrap();
        let run = &standing.runs[0];
        assert!(run.is_whole && run.roots.is_empty() && run.removes.is_empty());
        assert_eq!(run.puts, announced.into());
        let held = packs.iter().filter(|name| {
            let name = ObjectName::new(name).unwrap();
            let Some(Object::Pack(pack)) = Object::parse(&name) else { panic!("{name}") };
            run.holds(&pack)
        });
        assert_eq!(held.count(), packs.len());
        seen_by.lock().unwrap().push(run.verb.name().to_owned());
    };
    let far = Meeting::new(Arc::clone(&inner)).before(Verb::Put, "snapshots/", 1, look);
    near.replicated(Arc::new(far)).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["replicate"]);
    assert_eq!(near.visible_nights_of(&shared(&inner)), 2);
}

#[test]
fn beside_a_prune_or_a_compaction_it_fails_and_sends_no_snapshot() {
    for verb in [IntentVerb::Prune, IntentVerb::Compaction] {
        let (mut near, far) = copied(1);
        near.night();
        let standing = there(&far).put_intent(RunId::new([5; 16]), &Intent::new(verb, 1)).unwrap();
        let error = near.replicated(shared(&far)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains(verb.name()), "{error}");
        assert!(error.to_string().contains(standing.as_str()), "{error}");
        assert_eq!(objects_of(&*far, "intents/").len(), 1, "its own is gone");
        assert_eq!(near.visible_nights_of(&shared(&far)), 1);
        far.delete(&standing).unwrap();
        near.replicated(shared(&far)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&far)), 2);
    }
}

#[test]
fn what_a_prune_deleted_after_the_plan_was_made_is_sent_again() {
    let (mut near, far) = copied(2);
    near.night();
    let planned = near.planned(shared(&far), None).unwrap();
    // What the third night is compared with goes, before it is there.
    let repository = there(&far);
    let report = pruned(&repository, &[id_of(&near, 0), id_of(&near, 1)]);
    assert!(!report.deleted.is_empty());
    let sent = planned.send(&World::of_this_machine()).unwrap();
    assert_eq!(sent.sent, [id_of(&near, 2)]);
    let removed: BTreeSet<SnapshotId> = sent.removed_there.into_iter().collect();
    assert_eq!(removed, [id_of(&near, 0), id_of(&near, 1)].into());
    assert_eq!(near.visible_nights_of(&shared(&far)), 1);
    assert_sound(&far);
}

#[test]
fn a_prune_that_comes_while_it_stands_leaves_what_it_relies_on() {
    let (mut near, inner) = copied(2);
    near.night();
    for (verb, prefix) in [(Verb::Put, "packs/"), (Verb::Put, "snapshots/")] {
        let far = Arc::new(MemoryStore::new());
        far.set_objects(inner.objects());
        let (removes, other) = ([id_of(&near, 0), id_of(&near, 1)], there(&far));
        let act = move || drop(pruned(&other, &removes));
        let meeting = Meeting::new(Arc::clone(&far)).before(verb, prefix, 1, act);
        let report = near.replicated(Arc::new(meeting)).unwrap();
        assert_eq!(report.sent, [id_of(&near, 2)], "{prefix}");
        assert_eq!(near.visible_nights_of(&shared(&far)), 1);
        assert_sound(&far);
        // Nothing but what the third night needs is left by the next one.
        let repository = there(&far);
        pruned(&repository, &[]);
        let stored = repository.find_snapshot("latest").unwrap();
        let world = World::of_this_machine();
        let mut needed = BTreeSet::new();
        repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
            needed.insert(Object::Pack(record.name).name().to_string());
        });
        assert_eq!(objects_of(&*far, "packs/"), needed, "{prefix}");
        assert_sound(&far);
    }
}

#[test]
fn one_that_is_broken_reports_no_success_and_the_next_confirms_what_it_put() {
    for prefix in ["packs/", "snapshots/"] {
        for side in [true, false] {
            let (mut near, inner) = copied(1);
            near.night();
            let other = there(&inner);
            let act = move || {
                let runs = other.standing().unwrap().runs;
                let breaks = runs.iter().map(|run| run.run).collect();
                let options = PruneOptions { breaks, ..PruneOptions::default() };
                prune::prune(&other, &options, &stepping_world()).unwrap();
            };
            let meeting = Meeting::new(Arc::clone(&inner));
            let meeting = if side {
                meeting.before(Verb::Put, prefix, 1, act)
            } else {
                meeting.after(Verb::Put, prefix, 1, act)
            };
            let error = near.replicated(Arc::new(meeting)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fenced, "{prefix}: {error}");
            assert_eq!(near.visible_nights_of(&shared(&inner)), 1, "{prefix}");
            assert_sound(&inner);
            let again = near.replicated(shared(&inner)).unwrap();
            assert!(again.left_out.is_empty(), "{:?}", again.left_out);
            assert_eq!(near.visible_nights_of(&shared(&inner)), 2, "{prefix}");
            assert!(!objects_of(&*inner, "cleared/").is_empty());
            assert_sound(&inner);
            pruned(&there(&inner), &[]);
            assert_eq!(near.visible_nights_of(&shared(&inner)), 2, "{prefix}");
            assert_sound(&inner);
        }
    }
}

#[test]
fn what_was_removed_there_is_not_sent_again_nor_are_its_packs() {
    let mut near = Near::of(WITH_INTENTS, 0);
    for _ in 0..3 {
        near.night();
        // Nothing stays as it was.
        near.server.night(400);
    }
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    let first = id_of(&near, 0);
    let report = pruned(&there(&far), &[first]);
    assert!(!report.deleted.is_empty());
    let packs = objects_of(&*far, "packs/");
    let planned = near.planned(shared(&far), None).unwrap();
    assert_eq!(planned.removed_there(), [first]);
    assert_eq!((planned.snapshots(), planned.cost().objects), (0, 0));
    let report = planned.send(&World::of_this_machine()).unwrap();
    assert_eq!((report.removed_there, report.there), (vec![first], 2));
    assert!(report.left_out.is_empty() && report.damaged.is_empty());
    assert!(objects_of(&*far, "packs/") == packs, "nothing came back");
    near.night();
    near.replicated(shared(&far)).unwrap();
    assert_eq!(near.visible_nights_of(&shared(&far)), 3);
    let back = report_of_lacking(&near, &far, first);
    assert!(back > 0, "what only the removed night needs stays away");
    assert_sound(&far);
}

/// The number of packs that a snapshot needs and a copy lacks.
fn report_of_lacking(near: &Near, far: &MemoryStore, id: SnapshotId) -> usize {
    let stored = near.repository.find_snapshot(&id.to_string()).unwrap();
    let (world, mut lacking) = (World::of_this_machine(), 0);
    near.repository.needs_of(&stored, &world.monitor).unwrap().visit(&mut |record, _| {
        let there = far.size(&Object::Pack(record.name).name()).unwrap();
        lacking += usize::from(there.is_none());
    });
    lacking
}

/// The snapshots of a copy that a note says to follow one which is not there, with that one.
fn noted(far: &Arc<MemoryStore>) -> Vec<(SnapshotId, String)> {
    let repository = there(far);
    let notes = repository.notes(None).unwrap();
    assert!(notes.damaged.is_empty());
    let snapshots = repository.snapshots().unwrap().snapshots;
    let pair = |id: SnapshotId, parent: Option<String>| Some((id, parent?));
    let all = snapshots
        .iter()
        .filter_map(|stored| pair(stored.id(), stored.snapshot.about.parent.clone()));
    all.filter(|(id, parent)| notes.lost_elsewhere(*id, parent)).collect()
}

#[test]
fn a_snapshot_that_goes_without_the_one_that_it_follows_is_noted() {
    let near = Near::of(WITH_INTENTS, 3);
    let (first, second, third) = (id_of(&near, 0), id_of(&near, 1), id_of(&near, 2));
    // One that was left out.
    let far = Arc::new(MemoryStore::new());
    let planned = near.planned(shared(&far), Some(2)).unwrap();
    let cost = planned.cost();
    assert_eq!(planned.send(&World::of_this_machine()).unwrap().cost, cost);
    assert_eq!(noted(&far), [(second, first.to_string())]);
    near.planned(shared(&far), Some(2)).unwrap().send(&World::of_this_machine()).unwrap();
    assert_eq!(objects_of(&*far, "notes/").len(), 1, "it is noted once");
    // One that was removed here.
    pruned(&near.repository, &[second]);
    let far = Arc::new(MemoryStore::new());
    near.replicated(shared(&far)).unwrap();
    assert_eq!(noted(&far), [(third, second.to_string())]);
    assert_eq!(near.visible_nights_of(&shared(&far)), 2);
}

#[test]
fn a_predecessor_that_was_removed_there_or_is_lost_here_is_not_noted() {
    let (mut near, far) = copied(2);
    pruned(&there(&far), &[id_of(&near, 1)]);
    near.night();
    near.replicated(shared(&far)).unwrap();
    assert_eq!(noted(&far), []);
    // The list of what a prune kept there is no note about a snapshot.
    let notes = objects_of(&*far, "notes/");
    assert!(notes.iter().all(|name| name.starts_with("notes/kept-")), "{notes:?}");
    // Whoever misses it hears that it is missing.
    let name = near.repository.find_snapshot(&id_of(&near, 1).to_string()).unwrap().name;
    near.store.delete(&name.object()).unwrap();
    let other = Arc::new(MemoryStore::new());
    near.replicated(shared(&other)).unwrap();
    assert!(objects_of(&*other, "notes/").is_empty());
}

#[test]
fn a_replicate_that_failed_behind_its_packs_is_named_by_prunes_until_one_breaks_it() {
    let (mut near, inner) = copied(1);
    near.night();
    let refused = Effect::RefuseBefore(Category::Denied);
    let fault = Fault::first(Verb::Put, refused).under("snapshots/").ever_after();
    let far = Arc::new(Failing::new(Arc::clone(&inner), vec![fault]));
    near.replicated(shared(&far)).unwrap_err();
    let standing = there(&inner).standing().unwrap().runs;
    assert_eq!(standing.len(), 1);
    for _ in 0..2 {
        let (options, world) = (PruneOptions::default(), stepping_world());
        let plan = prune::plan(&there(&inner), &options, &world).unwrap();
        let report = prune::prune(&there(&inner), &options, &world).unwrap();
        assert_eq!(report.deleted, []);
        for kept in [&plan.kept_by, &report.kept_by] {
            assert_eq!(kept.len(), 1);
            let kept = &kept[0];
            assert_eq!((kept.run, kept.verb), (standing[0].run, IntentVerb::Replicate));
            assert_eq!(kept.since, standing[0].time);
            assert!(kept.packs >= 2 && kept.bytes > 1000, "{kept:?}");
        }
    }
    // What it holds would be freed: the plan of the prune that breaks it says how much.
    let breaks: BTreeSet<RunId> = [standing[0].run].into();
    let options = PruneOptions { breaks, ..PruneOptions::default() };
    let plan = prune::plan(&there(&inner), &options, &stepping_world()).unwrap();
    assert!(plan.kept_by.is_empty() && plan.freed_bytes() > 1000);
    let report = prune::prune(&there(&inner), &options, &stepping_world()).unwrap();
    assert_eq!((report.deleted, report.cleaned_up.intents), (plan.doomed, 1));
    near.replicated(shared(&inner)).unwrap();
    assert_eq!(near.visible_nights_of(&shared(&inner)), 2);
}

/// Lets everything fail from each call of the other side on, in turn.
fn interrupted_everywhere(effect: Effect) {
    for nth in 1.. {
        let (mut near, inner) = copied(1);
        near.night();
        near.night();
        let fault = Fault { verb: None, ..Fault::first(Verb::Put, effect) };
        let far = Arc::new(Failing::new(shared(&inner), vec![fault.at(nth).ever_after()]));
        let outcome = near.replicated(shared(&far));
        let sent = objects_of(&*inner, "snapshots/").len();
        assert_eq!(near.visible_nights_of(&shared(&inner)), sent, "call {nth}");
        // A prune that comes between leaves what is there whole, and the next run completes it.
        let repository = there(&inner);
        let breaks = repository.standing().unwrap().runs.iter().map(|run| run.run).collect();
        let options = PruneOptions { breaks, ..PruneOptions::default() };
        prune::prune(&repository, &options, &stepping_world()).unwrap();
        assert_sound(&inner);
        near.replicated(shared(&inner)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&inner)), 3, "call {nth}");
        assert!(objects_of(&*inner, "intents/").is_empty(), "call {nth}");
        if far.struck() == 0 {
            assert!(outcome.is_ok() && nth > 20, "{nth} calls");
            break;
        }
    }
}

#[test]
fn whatever_call_is_the_last_the_copy_is_sound_and_the_next_run_completes_it() {
    interrupted_everywhere(Effect::RefuseBefore(Category::Transient));
    interrupted_everywhere(Effect::RefuseAfter(Category::Transient));
}

#[test]
fn each_request_about_intents_may_fail_and_the_run_ends() {
    let cases = [
        (Verb::Put, "intents/", 1, false),
        (Verb::List, "intents/", 1, false),
        // The first ones are of the plan.
        (Verb::List, "fences/", 2, false),
        (Verb::List, "removed/", 2, false),
        (Verb::List, "packs/", 2, false),
        (Verb::List, "fences/", 3, false),
        (Verb::List, "fences/", 4, false),
        (Verb::List, "fences/", 5, false),
        (Verb::Delete, "intents/", 1, true),
    ];
    for (verb, prefix, nth, succeeds) in cases {
        let (mut near, inner) = copied(1);
        near.night();
        let fault = Fault::first(verb, Effect::RefuseBefore(Category::Denied));
        let far = Failing::new(Arc::clone(&inner), vec![fault.under(prefix).at(nth)]);
        let outcome = near.replicated(Arc::new(far));
        assert_eq!(outcome.is_ok(), succeeds, "{verb:?} {prefix} {nth}: {outcome:?}");
        near.replicated(shared(&inner)).unwrap();
        assert_eq!(near.visible_nights_of(&shared(&inner)), 2, "{verb:?} {prefix} {nth}");
        assert!(stream_of(&there(&inner), "latest").unwrap() == near.nights[1].1);
    }
}
