//! One step of a process: at most one request that others can see.

use crate::backup;
use crate::compaction;
use crate::others;
use crate::prune;
use crate::replicate;
use crate::rules::Rule;
use crate::world::DONE;
use crate::world::Kind;
use crate::world::Listed;
use crate::world::PROCESSES;
use crate::world::Process;
use crate::world::Setting;
use crate::world::World;

/// What was done: the process, and the words for it.
pub(crate) type Label = (usize, &'static str);

/// The states that one step leads to.
pub(crate) type Next = Vec<(Label, World)>;

/// The number that stands for no process in a label.
pub(crate) const NOBODY: usize = PROCESSES;

/// A step that is being taken.
pub(crate) struct Step<'w> {
    /// What does not change.
    pub(crate) setting: Setting,
    /// The state before.
    pub(crate) world: &'w World,
    /// The process that takes the step.
    pub(crate) who: usize,
    /// The states behind it.
    pub(crate) next: &'w mut Next,
}

impl Step<'_> {
    /// Returns the process as it is before the step.
    pub(crate) fn process(&self) -> &Process {
        &self.world.processes[self.who]
    }

    /// Tells whether a rule is in force.
    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.setting.rules.has(rule)
    }

    /// Goes on to the next step with a change of the world.
    pub(crate) fn go(&mut self, words: &'static str, change: impl FnOnce(&mut World, usize)) {
        let to = self.process().step + 1;
        self.go_to(to, words, change);
    }

    /// Goes on to a step with a change of the world.
    pub(crate) fn go_to(
        &mut self,
        to: u8,
        words: &'static str,
        change: impl FnOnce(&mut World, usize),
    ) {
        let mut world = *self.world;
        world.processes[self.who].step = to;
        change(&mut world, self.who);
        self.next.push(((self.who, words), world));
    }

    /// Ends the process.
    pub(crate) fn end(&mut self, words: &'static str) {
        self.go_to(DONE, words, |world, who| {
            let kind = world.processes[who].kind;
            world.processes[who] = Process { kind, step: DONE, ..Process::default() };
        });
    }

    /// Changes what is there.
    pub(crate) fn put(&mut self, words: &'static str, change: impl FnOnce(&mut World, usize)) {
        let waits = self.setting.lists_late;
        self.go(words, |world, who| {
            change(world, who);
            world.processes[who].waits = waits;
        });
    }

    /// Lists something: as it is, or as it was. `use_it` gets the process and the listing.
    pub(crate) fn list(
        &mut self,
        words: &'static str,
        use_it: impl Fn(&mut Process, &World, &Listed),
    ) {
        if self.process().waits && self.has(Rule::WaitForListings) {
            return;
        }
        let world = *self.world;
        self.go(words, |next, who| use_it(&mut next.processes[who], &world, &world.now));
        if self.setting.lists_late && world.old != world.now {
            self.go(words, |next, who| use_it(&mut next.processes[who], &world, &world.old));
        }
    }
}

/// Finds all states that one step leads to.
pub(crate) fn successors(setting: Setting, world: &World, next: &mut Next) {
    next.clear();
    for who in 0..PROCESSES {
        if world.processes[who].step != DONE {
            take(setting, world, who, next);
        }
    }
    if setting.lists_late && world.old != world.now {
        let mut settled = *world;
        settled.old = settled.now;
        settled.processes.iter_mut().for_each(|process| process.waits = false);
        next.push(((NOBODY, "the listings settle"), settled));
    }
}

/// Takes the next step of one process, in all ways.
pub(crate) fn take(setting: Setting, world: &World, who: usize, next: &mut Next) {
    let mut step = Step { setting, world, who, next };
    match world.processes[who].kind {
        Kind::Idle => {}
        Kind::Backup(checkpoint) => backup::take(&mut step, checkpoint),
        Kind::Prune(removes, breaks) => prune::take(&mut step, removes, breaks),
        Kind::Replicate => replicate::take(&mut step),
        Kind::Compaction => compaction::take(&mut step),
        Kind::Hold => others::hold(&mut step),
        Kind::Abandon(prune) => others::abandon(&mut step, usize::from(prune)),
        Kind::Forger => others::forge(&mut step),
    }
}
