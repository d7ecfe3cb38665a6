//! People and hosts that do one thing.

use crate::rules::Rule;
use crate::step::Step;
use crate::world::S0;
use crate::world::S1;
use crate::world::one;

/// Takes the next step of a person who puts a hold on the first snapshot.
pub(crate) fn hold(step: &mut Step<'_>) {
    let seen = step.process().r[0];
    match step.process().step {
        0 => step.put("puts a hold on S0", |world, _| world.now.holds |= one(S0)),
        1 => {
            let looks = step.has(Rule::HoldLooks);
            let deleters = step.world.deleters();
            step.list("lists the intents of prunes", |process, _, listed| {
                process.r[0] = if looks { listed.intents & deleters } else { 0 };
            });
        }
        2 if seen != 0 => step.end("says that a prune that removes S0 is under way"),
        2 => {
            let before = step.next.len();
            step.list("lists removed/", |process, _, listed| {
                process.r[1] = listed.removed & one(S0);
            });
            for (label, world) in &mut step.next[before..] {
                world.hold_is_good = world.processes[step.who].r[1] == 0;
                if world.hold_is_good {
                    label.1 = "lists removed/, and says that S0 is held";
                }
            }
        }
        _ => step.end("ends"),
    }
}

/// Takes the next step of a person who removes the intent of a prune.
pub(crate) fn abandon(step: &mut Step<'_>, prune: usize) {
    if step.world.now.intents >> prune & 1 == 1 {
        step.put("removes the intent of the prune", |world, _| {
            world.now.intents &= !one(prune);
        });
        let last = step.next.len() - 1;
        step.next[last].1.processes[step.who].step = crate::world::DONE;
    }
}

/// Takes the next step of a host that seals a removal without the prune key.
pub(crate) fn forge(step: &mut Step<'_>) {
    match step.process().step {
        0 => step.put("seals a removal of S1 without the prune key", |world, _| {
            world.now.forged |= one(S1);
        }),
        _ => step.end("ends"),
    }
}
