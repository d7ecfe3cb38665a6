//! Prune: FORMAT.md 10.6.

use crate::rules::Rule;
use crate::step::Step;
use crate::world::A;
use crate::world::B;
use crate::world::Breaks;
use crate::world::CHECKPOINT;
use crate::world::COPY;
use crate::world::DONE;
use crate::world::FINAL;
use crate::world::Kind;
use crate::world::OWN;
use crate::world::PACKS;
use crate::world::PROCESSES;
use crate::world::S0;
use crate::world::S1;
use crate::world::Set;
use crate::world::Short;
use crate::world::World;
use crate::world::Y;
use crate::world::each;
use crate::world::one;

/// Entries of the packs that can be deleted.
const CANDIDATES: usize = 0;
/// Snapshots that are out.
const OUT: usize = 1;
/// Runs that count as broken.
const BROKEN: usize = 2;
/// Intents that stand.
const STANDING: usize = 3;
/// Snapshots that were listed.
const SNAPSHOTS: usize = 4;
/// Snapshots that verdicts spare; later the entries that have records, as they were listed.
const SPARED: usize = 5;
const RECORDS: usize = 5;
/// Runs that are to be broken; later the roots of standing runs.
const BREAK: usize = 6;
const ROOTS: usize = 6;
/// Snapshots to remove; later what standing replicates hold, and then what is live.
const REMOVES: usize = 7;
const HELD: usize = 7;
const LIVE: usize = 7;

const READ: u8 = 14;
const DELETE: u8 = 15;
const CLEAN: u8 = 16;
const LAST: u8 = 18;

/// Takes the next step of a prune that removes `removes`.
pub(crate) fn take(step: &mut Step<'_>, removes: Set, breaks: Breaks) {
    let r = step.process().r;
    match step.process().step {
        0 => step.put("puts its intent", |world, who| world.now.intents |= one(who)),
        1 => step.list("lists packs/ and twins/", |process, _, listed| {
            process.r[CANDIDATES] = listed.packs;
        }),
        2 => {
            let looks = step.has(Rule::PruneLooksForHolds);
            step.list("lists the holds", |process, _, listed| {
                let known = listed.snapshots & if looks { !listed.holds } else { !0 };
                process.r[REMOVES] = removes & known;
            });
        }
        3 if r[REMOVES] == 0 => step.go("removes nothing", |_, _| ()),
        3 => step.put("puts its removed/ records", |world, who| {
            world.now.removed |= r[REMOVES];
            world.processes[who].r[REMOVES] = 0;
        }),
        4 => choose(step, breaks),
        5 if r[BREAK] == 0 || !step.has(Rule::Announce) => step.go("announces nothing", |_, _| ()),
        5 => step.put("puts an announcement", |world, _| world.now.fences.announced |= r[BREAK]),
        6 if r[BREAK] == 0 => step.go("need not list snapshots yet", |_, _| ()),
        6 => step.list("lists the snapshots that its verdict spares", |process, _, listed| {
            process.r[SNAPSHOTS] = listed.snapshots;
        }),
        7 if r[BREAK] == 0 => step.go("judges nothing", |_, _| ()),
        7 => judge(step, r[BREAK], r[SNAPSHOTS]),
        at @ 8..=12 => look(step, at - 8),
        13 if step.has(Rule::SnapshotsBeforeMoves) => list_moves(step),
        13 => step.go("goes on", |_, _| ()),
        READ => read(step),
        DELETE => delete(step),
        CLEAN if step.has(Rule::IntentsGoFirst) => clean_records(step),
        17 if step.has(Rule::IntentsGoFirst) => clean_snapshots(step),
        CLEAN => clean_snapshots(step),
        17 => clean_records(step),
        LAST => step.put("deletes its intent", |world, who| {
            world.now.intents &= !one(who);
        }),
        _ => step.end("ends"),
    }
}

/// Takes one of the five looks from which it is decided what is live, in their order.
fn look(step: &mut Step<'_>, at: u8) {
    const REMOVED: Look = list_removed;
    const FENCES: Look = list_fences;
    const INTENTS: Look = list_intents;
    const READS: Look = read_intents;
    const THERE: Look = list_snapshots;
    type Look = fn(&mut Step<'_>);

    let order = if !step.has(Rule::OutBeforeIntents) {
        [INTENTS, READS, REMOVED, FENCES, THERE]
    } else if step.has(Rule::IntentsBeforeSnapshots) {
        [REMOVED, FENCES, INTENTS, READS, THERE]
    } else {
        [REMOVED, FENCES, THERE, INTENTS, READS]
    };
    order[usize::from(at)](step);
}

/// Decides which runs are broken. Without that the listings of removed/ and fences that come first
/// would be those of this step.
fn choose(step: &mut Step<'_>, breaks: Breaks) {
    let (world, who) = (*step.world, step.who);
    let late_moves = !step.has(Rule::SnapshotsBeforeMoves);
    let standing = |intents: Set| intents & !world.deleters() & !one(who);
    if breaks != Breaks::Always {
        let all = records(&world);
        step.go("breaks no run", |next, who| {
            next.processes[who].r[BREAK] = 0;
            if late_moves {
                next.processes[who].r[RECORDS] = all;
            }
        });
    }
    if breaks != Breaks::Never && standing(world.now.intents) != 0 {
        step.list("lists the intents, to break all that stand", |process, world, listed| {
            process.r[BREAK] = standing(listed.intents);
            if late_moves {
                process.r[RECORDS] = records(world);
            }
        });
    } else if breaks == Breaks::Always {
        step.go("finds no run to break", |next, who| next.processes[who].r[BREAK] = 0);
    }
}

fn records(world: &World) -> Set {
    (0..world.now.moves.len()).filter(|entry| world.now.moves[*entry] != 0).map(one).sum()
}

fn judge(step: &mut Step<'_>, runs: Set, there: Set) {
    let has_spared = step.has(Rule::VerdictSpares);
    let doubts = step.has(Rule::Doubtful);
    step.put("puts a verdict", |world, who| {
        (world.processes[who].r[BREAK], world.processes[who].r[SNAPSHOTS]) = (0, 0);
        let replicates = world.replicates();
        let fences = &mut world.now.fences;
        for run in each(runs & !replicates) {
            let own = snapshots_of(run);
            let spared = if has_spared { own & there } else { 0 };
            let known = if fences.judged >> run & 1 == 1 { fences.spared } else { !0 };
            fences.spared = fences.spared & !own | spared & known;
        }
        fences.announced |= runs;
        fences.judged |= runs;
        if runs & replicates != 0 && doubts {
            fences.doubtful |= one(COPY);
        }
    });
}

fn snapshots_of(run: usize) -> Set {
    if run < CHECKPOINT - FINAL { one(FINAL + run) | one(CHECKPOINT + run) } else { 0 }
}

fn list_removed(step: &mut Step<'_>) {
    let believes_all = !step.has(Rule::PruneKey);
    step.list("lists removed/", |process, _, listed| {
        process.r[OUT] = listed.removed | if believes_all { listed.forged } else { 0 };
    });
}

fn list_fences(step: &mut Step<'_>) {
    let by_verdict = step.has(Rule::BrokenByVerdict);
    let knows_spared = step.has(Rule::SparedAreListed) && step.has(Rule::SnapshotsBeforeMoves);
    step.list("lists the fences", |process, _, listed| {
        process.r[OUT] |= listed.fences.barred();
        process.r[BROKEN] = if by_verdict { listed.fences.judged } else { listed.fences.announced };
        if knows_spared {
            let judged = each(listed.fences.judged).fold(0, |set, run| set | snapshots_of(run));
            process.r[SPARED] = listed.fences.spared & judged;
        }
    });
}

fn list_intents(step: &mut Step<'_>) {
    step.list("lists the intents", |process, _, listed| process.r[STANDING] = listed.intents);
}

/// Reads the intents that were listed. One that is gone is that of a run that has ended: its
/// snapshot is there before it goes.
fn read_intents(step: &mut Step<'_>) {
    let reads = step.has(Rule::ReadIntentsFirst);
    step.go("reads the intents", |world, who| {
        let r = &mut world.processes[who].r;
        if reads {
            r[STANDING] &= world.now.intents;
        }
        let standing = each(r[STANDING] & !r[BROKEN]);
        (r[ROOTS], r[HELD]) = (0, 0);
        for run in standing.filter(|run| reads && *run < PROCESSES) {
            r[ROOTS] |= world.roots[run];
            r[HELD] |= world.held[run];
        }
    });
}

fn list_snapshots(step: &mut Step<'_>) {
    let knows_spared = step.has(Rule::SparedAreListed) && step.has(Rule::SnapshotsBeforeMoves);
    step.list("lists the snapshots", |process, _, listed| {
        process.r[SNAPSHOTS] = listed.snapshots;
        if knows_spared {
            process.r[SNAPSHOTS] |= process.r[SPARED];
            process.r[SPARED] = 0;
        }
    });
    let there = step.world.now.snapshots;
    let lacking = match step.setting.lists_short {
        Short::Never => 0,
        Short::Once if step.has(Rule::ListTwice) => 0,
        Short::Once => there,
        Short::Always(lacking) => {
            step.next.last_mut().expect("it was just listed").1.processes[step.who].r[SNAPSHOTS] &=
                !lacking;
            0
        }
    };
    for lacking in each(lacking) {
        step.go("lists the snapshots and gets a list that lacks one", |next, who| {
            next.processes[who].r[SNAPSHOTS] = there & !one(lacking);
        });
    }
}

fn list_moves(step: &mut Step<'_>) {
    let late = step.setting.lists_late;
    step.list("lists moves/", |process, world, _| {
        process.r[RECORDS] = records(world);
        // The next thing that depends on what was listed is that an intent is deleted.
        process.waits = late;
    });
}

/// Reads the need lists and decides what goes.
fn read(step: &mut Step<'_>) {
    let world = *step.world;
    let r = step.process().r;
    let standing = r[STANDING] & !r[BROKEN];
    let (mut roots, mut held) = (r[ROOTS], r[HELD]);
    if !step.has(Rule::ReadIntentsFirst) {
        for run in each(standing & world.now.intents) {
            roots |= world.roots[run];
            held |= world.held[run];
        }
    }
    if !step.has(Rule::KeepRoots) {
        roots = 0;
    }
    let mut live = 0;
    for snapshot in each(r[SNAPSHOTS] & !r[OUT] | roots) {
        if world.now.snapshots >> snapshot & 1 == 1 {
            live |= world.needs[snapshot];
            continue;
        }
        let mut standing = each(standing & world.now.intents);
        let still = standing.any(|run| world.roots[run] >> snapshot & 1 == 1);
        let was_dropped = r[OUT] >> snapshot & 1 == 1 && still;
        if !was_dropped && step.has(Rule::StopIfUnread) {
            return step.go_to(LAST, "can't read a snapshot, and ends", |_, _| ());
        }
    }
    if step.has(Rule::FollowMoves) {
        let mut records = r[RECORDS];
        if !step.has(Rule::PruneFollowsCompaction) {
            records &= !A;
        }
        live = world.with_moves(live, records);
    }
    let mut keep = live;
    if step.has(Rule::KeepHeld) {
        keep |= held;
    }
    for run in each(standing) {
        if step.has(Rule::KeepOwn) && !has_ended(step, run, r[SNAPSHOTS], r[OUT]) {
            keep |= world.own(run);
        }
    }
    let listed = if step.has(Rule::CandidatesFirst) { r[CANDIDATES] } else { world.now.packs };
    let candidates: Set =
        PACKS.iter().filter(|pack| *pack & keep == 0).map(|pack| pack & listed).sum();
    if step.has(Rule::OwnersKnown) && !owners_known(step, candidates) {
        return step.go_to(LAST, "finds a pack of an unknown run, and ends", |_, _| ());
    }
    step.go("reads the need lists", |next, who| {
        next.processes[who].r[CANDIDATES] = candidates;
        next.processes[who].r[LIVE] = live;
        next.processes[who].r[RECORDS] &= !live;
    });
}

/// Tells whether a run has ended, by the snapshots that were listed.
fn has_ended(step: &Step<'_>, run: usize, snapshots: Set, out: Set) -> bool {
    if !step.world.is_backup(run) {
        return false;
    }
    let mut ends = one(FINAL + run);
    if !step.has(Rule::CheckpointIsNoEnd) {
        ends |= one(CHECKPOINT + run);
    }
    (snapshots | out & step.world.now.removed) & ends != 0
}

/// Tells whether the run of each candidate is known from a snapshot, a record or an intent.
fn owners_known(step: &Step<'_>, candidates: Set) -> bool {
    let r = step.process().r;
    let known = r[SNAPSHOTS] | step.world.now.removed;
    let runs = r[STANDING] | step.world.now.fences.announced;
    let is_known = |entry: usize| match entry {
        0 | 1 => known & one(S0) != 0,
        B => known & one(S1) != 0,
        OWN..Y => known & snapshots_of(entry - OWN) != 0 || runs >> (entry - OWN) & 1 == 1,
        _ => true,
    };
    each(candidates).all(is_known)
}

/// Deletes one pack, or goes on.
fn delete(step: &mut Step<'_>) {
    let (world, who) = (*step.world, step.who);
    let r = step.process().r;
    let Some(pack) = PACKS.iter().copied().find(|pack| pack & r[CANDIDATES] != 0) else {
        return step.go("has nothing more to delete", |_, _| ());
    };
    if step.has(Rule::LookBeforeDelete) && world.now.intents >> who & 1 == 0 {
        return step.end("misses its intent, and stops");
    }
    step.go_to(DELETE, "deletes a pack", |next, who| {
        next.now.packs &= !pack;
        next.processes[who].r[CANDIDATES] &= !pack;
    });
}

fn clean_snapshots(step: &mut Step<'_>) {
    let r = step.process().r;
    let kept = if step.has(Rule::KeepRootObjects) { r[ROOTS] } else { 0 };
    let going = r[OUT] & r[SNAPSHOTS] & !kept;
    step.go("deletes the objects of what is out", |next, _| next.now.snapshots &= !going);
}

/// Deletes records about packs that nothing live needs, and intents of runs that are done.
fn clean_records(step: &mut Step<'_>) {
    if step.process().waits && step.has(Rule::WaitBeforeIntents) {
        return;
    }
    let world = *step.world;
    let r = step.process().r;
    let has_gone = |run: &usize| {
        r[BROKEN] >> run & 1 == 1 && world.deleters() >> run & 1 == 0
            || has_ended(step, *run, r[SNAPSHOTS], r[OUT])
    };
    let gone: Set = each(r[STANDING]).filter(has_gone).map(one).sum();
    let records = r[RECORDS] & !r[LIVE];
    step.go("deletes records and intents that mean nothing any more", |next, _| {
        each(records).for_each(|entry| next.now.moves[entry] = 0);
        next.now.intents &= !gone;
        each(gone).for_each(|run| (next.roots[run], next.held[run]) = (0, 0));
    });
}

/// Kills everything, and has one prune that breaks all runs clean up. Returns what is wrong then.
pub(crate) fn clean_up(rules: crate::rules::Rules, world: &World) -> Result<(), String> {
    let mut world = *world;
    let setting = crate::world::Setting { rules, lists_late: false, lists_short: Short::Never };
    // A person says which prunes and compactions are dead.
    world.now.intents &= !world.deleters();
    world.old = world.now;
    let who = PROCESSES - 1;
    let kinds = world.processes.map(|process| process.kind);
    for (process, kind) in world.processes.iter_mut().zip(kinds) {
        *process = crate::world::Process { kind, step: DONE, ..Default::default() };
    }
    world.processes[who].kind = Kind::Prune(0, Breaks::Always);
    world.processes[who].step = 0;
    let mut next = Vec::new();
    while world.processes[who].step != DONE {
        next.clear();
        crate::step::take(setting, &world, who, &mut next);
        world = next.pop().ok_or("the prune that cleans up does not go on")?.1;
        if let Some(fault) = world.fault() {
            return Err(format!("{fault}, behind the prune that cleans up"));
        }
    }
    let out = world.now.removed | world.now.fences.barred();
    let live = each(world.now.snapshots & !out).fold(0, |set, s| set | world.needs[s]);
    let live = world.with_moves(live, !0);
    let garbage: Set = PACKS.iter().filter(|pack| *pack & live == 0).sum();
    if world.now.packs & garbage != 0 {
        return Err("garbage stays behind a prune".to_owned());
    }
    if world.now.intents != 0 {
        return Err("an intent stays behind a prune".to_owned());
    }
    Ok(())
}
