//! A replicate into this repository: FORMAT.md 10.7.

use crate::rules::Rule;
use crate::step::Step;
use crate::world::COPY;
use crate::world::one;

/// Prunes and compactions that are waited for.
const AWAITED: usize = 0;
/// Entries that are not there.
const LACKING: usize = 1;
/// That a fence names the run.
const NAMED: usize = 2;

/// Takes the next step of a replicate.
pub(crate) fn take(step: &mut Step<'_>) {
    let who = step.who;
    let [awaited, lacking, named, ..] = step.process().r;
    let wanted = step.world.needs[COPY];
    match step.process().step {
        0 => step.put("puts its intent with holds", |world, who| {
            world.now.intents |= one(who);
            world.held[who] = wanted;
        }),
        1 => {
            let waits = step.has(Rule::ReplicateWaits);
            let deleters = step.world.deleters();
            step.list("lists the intents", |process, _, listed| {
                process.r[AWAITED] = if waits { listed.intents & deleters } else { 0 };
            });
        }
        2 if step.world.now.intents & awaited == 0 => {
            // What a deleter did before it ended must be seen in the list of packs.
            let late = step.setting.lists_late && step.has(Rule::WaitAfterDeleters);
            step.go("waits for none", |world, who| world.processes[who].waits |= late);
        }
        2 => {}
        3 => step.list("lists packs/", |process, world, listed| {
            process.r[LACKING] = wanted & !world.served(listed.packs);
        }),
        4 if lacking == 0 => step.go("puts no pack", |_, _| ()),
        4 => step.put("puts the packs that are lacking", |world, _| {
            // A pack is put whole.
            let packs = crate::world::PACKS.iter().filter(|pack| *pack & lacking != 0);
            world.now.packs |= packs.sum::<u16>();
        }),
        5 => step.list("lists the fences", |process, _, listed| {
            process.r[NAMED] = listed.fences.announced >> who & 1;
        }),
        6 if named == 1 => step.end("sees itself named, and fails"),
        6 => step.list("lists removed/", |process, _, listed| {
            process.r[NAMED] = listed.removed >> COPY & 1;
        }),
        7 if named == 1 => step.go_to(9, "does not send what was removed here", |_, _| ()),
        7 => step.put("puts the snapshot, or sees that it is there", |world, _| {
            world.now.snapshots |= one(COPY);
        }),
        8 => {
            let looks = step.has(Rule::ReplicateChecksFences);
            let before = step.next.len();
            step.list("lists the fences behind the snapshot", |process, _, listed| {
                process.r[NAMED] = if looks { listed.fences.announced >> who & 1 } else { 0 };
            });
            for (label, world) in &mut step.next[before..] {
                if world.processes[who].r[NAMED] == 0 {
                    label.1 = "lists the fences, is not named, clears and reports success";
                    let was_doubtful = world.now.fences.doubtful & one(COPY);
                    world.now.fences.cleared |= was_doubtful;
                    world.good |= one(COPY);
                } else {
                    label.1 = "lists the fences, sees itself named, and fails";
                }
            }
        }
        9 => step.put("deletes its intent", |world, who| {
            world.now.intents &= !one(who);
            world.held[who] = 0;
        }),
        _ => step.end("ends"),
    }
}
