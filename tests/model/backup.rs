//! A backup: FORMAT.md 10.5.

use crate::rules::Rule;
use crate::step::Step;
use crate::world::A1;
use crate::world::CHECKPOINT;
use crate::world::Checkpoint;
use crate::world::FINAL;
use crate::world::Listed;
use crate::world::Process;
use crate::world::World;
use crate::world::each;
use crate::world::one;

/// The roots that are left.
const ROOTS: usize = 0;
/// The entries that the snapshot will need of earlier packs.
const PRESENT: usize = 1;
/// The entries of the roots that are lost, and are stored again.
const LOST: usize = 2;
/// That a fence names the run.
const NAMED: usize = 3;

/// Takes the next step of a backup.
pub(crate) fn take(step: &mut Step<'_>, checkpoint: Checkpoint) {
    let who = step.who;
    let [roots, present, lost, named, ..] = step.process().r;
    let own = step.world.own(who);
    match step.process().step {
        0 => step.list("lists the fences", |process, _, listed| {
            process.r[ROOTS] = listed.fences.barred() | listed.fences.doubtful();
        }),
        1 => step.list("lists removed/", |process, _, listed| {
            process.r[ROOTS] |= listed.removed | listed.forged;
        }),
        2 => {
            let early = !step.has(Rule::RunListsPacksLast);
            step.list("lists the snapshots and chooses its roots", |process, world, listed| {
                process.r[ROOTS] = listed.snapshots & !process.r[ROOTS];
                if early {
                    find_present(process, world, listed);
                }
            });
        }
        3 => step.put("puts its intent", |world, who| {
            world.now.intents |= one(who);
            world.roots[who] = roots;
        }),
        4 => look_at_fences(step),
        5 if named == 1 => step.end("sees itself named, and fails"),
        5 => look_at_removed(step),
        6 => {
            let early = !step.has(Rule::RunListsPacksLast);
            step.list("lists packs/ and moves/", |process, world, listed| {
                if !early {
                    find_present(process, world, listed);
                }
                process.r[ROOTS] = 0;
            });
        }
        7 => step.put("puts its pack", |world, _| world.now.packs |= own),
        8 if checkpoint != Checkpoint::None => step.put("puts a checkpoint", |world, who| {
            world.now.snapshots |= one(CHECKPOINT + who);
            world.needs[CHECKPOINT + who] = match checkpoint {
                Checkpoint::Late => present | own,
                Checkpoint::Part => own & !one(A1),
                Checkpoint::Early | Checkpoint::None => own,
            };
        }),
        8 => step.go("goes on", |_, _| ()),
        9 if lost == 0 || !step.has(Rule::HealingBeforeSnapshot) => {
            step.go("has no records to put yet", |_, _| ());
        }
        9 => step.put("puts healing records", |world, _| heal(world, lost, own)),
        10 => step.put("puts its snapshot", |world, who| {
            world.now.snapshots |= one(FINAL + who);
            world.needs[FINAL + who] = present | own;
        }),
        11 => look_behind_snapshot(step),
        12 => {
            let late = lost != 0 && !step.has(Rule::HealingBeforeSnapshot);
            step.put("deletes its intent", |world, who| {
                if late {
                    heal(world, lost, own);
                }
                world.now.intents &= !one(who);
                world.roots[who] = 0;
            });
        }
        _ => step.end("ends"),
    }
}

/// Lists the fences behind the intent: a barred or doubtful root is none.
fn look_at_fences(step: &mut Step<'_>) {
    let who = step.who;
    let drops = step.has(Rule::RunChecksRoots);
    step.list("lists the fences behind its intent", |process, _, listed| {
        process.r[NAMED] = listed.fences.announced >> who & 1;
        if drops {
            process.r[ROOTS] &= !(listed.fences.barred() | listed.fences.doubtful());
        }
    });
}

/// Lists what was removed behind the intent: a removed root is none.
fn look_at_removed(step: &mut Step<'_>) {
    let drops = step.has(Rule::RunChecksRemoved);
    step.list("lists removed/ behind its intent", |process, _, listed| {
        if drops {
            process.r[ROOTS] &= !(listed.removed | listed.forged);
        }
    });
}

/// Looks at the fences behind the snapshot: a run that is not named reports success.
fn look_behind_snapshot(step: &mut Step<'_>) {
    let who = step.who;
    let looks = step.has(Rule::RunChecksFences);
    let before = step.next.len();
    step.list("lists the fences behind its snapshot", |process, _, listed| {
        let named = listed.fences.announced >> who & 1;
        process.r[ROOTS] = if looks { named } else { 0 };
    });
    let good = one(FINAL + who);
    for (label, world) in &mut step.next[before..] {
        if world.processes[who].r[ROOTS] == 0 {
            world.good |= good | world.broken & world.roots[who];
            label.1 = "lists the fences, is not named, and reports success";
        } else {
            label.1 = "lists the fences, sees itself named, and fails";
        }
    }
}

/// Finds which entries of the roots are there; a root that can't be read is none.
fn find_present(process: &mut Process, world: &World, listed: &Listed) {
    let served = world.served(listed.packs);
    let roots = each(process.r[ROOTS] & world.now.snapshots);
    let named = roots.fold(0, |set, root| set | world.needs[root]);
    process.r[PRESENT] = named & served;
    process.r[LOST] = named & !served;
}

fn heal(world: &mut World, lost: u16, own: u16) {
    for entry in each(lost) {
        world.now.moves[entry] |= own;
    }
}
