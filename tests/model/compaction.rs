//! A compaction of pack A: FORMAT.md 10.8.

use crate::rules::Rule;
use crate::step::Step;
use crate::world::A;
use crate::world::PROCESSES;
use crate::world::Set;
use crate::world::World;
use crate::world::Y;
use crate::world::each;
use crate::world::one;

const OUT: usize = 0;
const BROKEN: usize = 1;
const STANDING: usize = 2;
const SNAPSHOTS: usize = 3;
/// Entries of A that are copied.
const LIVE: usize = 4;

const LAST: u8 = 14;

/// Takes the next step of a compaction.
pub(crate) fn take(step: &mut Step<'_>) {
    let world = *step.world;
    let r = step.process().r;
    match step.process().step {
        0 => {
            let chooses = step.has(Rule::CompactionChoosesFirst);
            step.list("lists packs/, to choose", |process, _, listed| {
                if chooses && listed.packs & A == 0 {
                    process.step = LAST;
                }
            });
        }
        1 => step.list("lists removed/", |process, _, listed| process.r[OUT] = listed.removed),
        2 => step.list("lists the fences", |process, _, listed| {
            process.r[OUT] |= listed.fences.barred();
            process.r[BROKEN] = listed.fences.judged;
        }),
        3 => step.list("lists the intents", |process, _, listed| {
            process.r[STANDING] = listed.intents;
        }),
        4 => step.list("lists the snapshots", |process, _, listed| {
            process.r[SNAPSHOTS] = listed.snapshots;
        }),
        5 => {
            let keeps = step.has(Rule::CompactionKeepsRoots);
            let standing = each(r[STANDING] & !r[BROKEN]).filter(|n| keeps && *n < PROCESSES);
            let roots = standing.fold(0, |set, run| set | world.roots[run]);
            walk(step, r[SNAPSHOTS] & !r[OUT] | roots, 0);
        }
        6 => step.put("puts its intent", |world, who| world.now.intents |= one(who)),
        7 => {
            let leaves_held = step.has(Rule::CompactionLeavesHeld);
            let leaves_own = step.has(Rule::CompactionLeavesOwn);
            step.list("lists the intents behind its own", |process, world, listed| {
                let held = each(listed.intents & world.replicates());
                let held = held.fold(0, |set, run| set | world.held[run]);
                let runs = each(listed.intents).filter(|run| world.is_backup(*run));
                let own = runs.fold(0, |set, run| set | world.own(run));
                if leaves_held && held & A != 0 || leaves_own && own & A != 0 {
                    process.step = LAST;
                }
            });
        }
        8 => step.list("lists the snapshots again", |process, _, listed| {
            process.r[SNAPSHOTS] = listed.snapshots & !process.r[SNAPSHOTS];
        }),
        9 if step.has(Rule::WalkNew) => walk(step, r[SNAPSHOTS] & !r[OUT], r[LIVE]),
        9 => step.go("goes on", |_, _| ()),
        10 if r[LIVE] == 0 || r[LIVE] == A => step.go_to(LAST, "has nothing to gain", |_, _| ()),
        10 => step.put("puts the new pack", |world, _| world.now.packs |= one(Y)),
        11 if step.has(Rule::RecordBeforeDelete) => put_record(step, r[LIVE]),
        11 => delete_old(step),
        12 => {
            let is_listed = world.now.packs >> Y & 1 == 1;
            let is_named = world.now.fences.announced >> step.who & 1 == 1;
            let has_intent = world.now.intents >> step.who & 1 == 1;
            if is_listed && !is_named && has_intent {
                step.go("looks for the new pack, fences and its intent", |_, _| ());
            } else {
                step.go_to(LAST, "is to stop, and deletes nothing", |_, _| ());
            }
        }
        13 if step.has(Rule::RecordBeforeDelete) => delete_old(step),
        13 => put_record(step, r[LIVE]),
        LAST => step.put("deletes its intent", |world, who| world.now.intents &= !one(who)),
        _ => step.end("ends"),
    }
}

fn put_record(step: &mut Step<'_>, live: Set) {
    step.put("puts the moves record", |world, _| {
        each(live).for_each(|entry| world.now.moves[entry] |= one(Y));
    });
}

fn delete_old(step: &mut Step<'_>) {
    step.put("deletes the old pack", |world: &mut World, _| world.now.packs &= !A);
}

/// Walks the maps of snapshots; one that can't be read ends the compaction.
fn walk(step: &mut Step<'_>, snapshots: Set, known: Set) {
    let world = *step.world;
    if each(snapshots).any(|snapshot| world.now.snapshots >> snapshot & 1 == 0) {
        return step.go_to(LAST, "can't read a snapshot, and ends", |_, _| ());
    }
    let live = each(snapshots).fold(0, |set, snapshot| set | world.needs[snapshot]) & A;
    step.go("walks the maps", |next, who| next.processes[who].r[LIVE] = known | live);
}
