//! The intent of a prune, and the looks whether it is still to go on.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::intent::Intent;
use crate::format::intent::IntentVerb;
use crate::format::layout::Folder;
use crate::ops::prune::wishes::Removing;
use crate::repo::Repository;
use crate::seal::ids::RunId;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// The longest time between a look and a deletion that relies on it.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Deletions that rely on one look at most.
pub(super) const LOOK_DELETIONS_MAX: usize = 1000;

/// The intent of a prune that stands.
#[derive(Debug)]
pub(super) struct Guard<'r> {
    repository: &'r Repository,
    run: RunId,
    intent: ObjectName,
    clock: Arc<dyn Clock>,
    /// When it looked last, and how many deletions relied on that.
    looked: Option<Moment>,
    deletions: usize,
}

/// A moment by two clocks: the steady one stands still while the machine sleeps.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady: Duration,
    unix_seconds: u64,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { steady: clock.elapsed(), unix_seconds: clock.unix_seconds() }
    }

    /// Tells whether less than [`LOOK_EVERY`] has passed. A time of day that was set says that more
    /// has, which costs a look.
    fn is_fresh(&self, clock: &dyn Clock) -> bool {
        let now = Self::now(clock);
        let steady = now.steady.saturating_sub(self.steady);
        let seconds = now.unix_seconds.abs_diff(self.unix_seconds);
        steady.max(Duration::from_secs(seconds)) < LOOK_EVERY
    }
}

impl<'r> Guard<'r> {
    /// Puts the intent of a prune.
    pub(super) fn begin(
        repository: &'r Repository,
        removes: &[Removing],
        world: &World,
    ) -> Result<Self> {
        let run = RunId::new(random(&*world.entropy));
        let removes = removes.iter().map(|removing| removing.name.id).collect();
        let time = world.clock.unix_seconds();
        Self::put(
            repository,
            run,
            Intent { removes, ..Intent::new(IntentVerb::Prune, time) },
            world,
        )
    }

    /// Puts the intent of a compaction.
    pub(super) fn begin_compaction(
        repository: &'r Repository,
        run: RunId,
        world: &World,
    ) -> Result<Self> {
        let time = world.clock.unix_seconds();
        Self::put(repository, run, Intent::new(IntentVerb::Compaction, time), world)
    }

    fn put(repository: &'r Repository, run: RunId, intent: Intent, world: &World) -> Result<Self> {
        let epoch = repository.fences()?.epoch();
        let intent = repository.put_intent(run, &Intent { epoch, ..intent })?;
        let clock = Arc::clone(&world.clock);
        let begun = Self { repository, run, intent, clock, looked: None, deletions: 0 };
        if let Err(error) = begun.require_listed() {
            let _stays = repository.store().delete(&begun.intent);
            return Err(error);
        }
        Ok(begun)
    }

    /// Fails if the store does not list the intent, which was just put: then it does not show
    /// either what others have put. Before anything is removed, and for each pass of a compaction.
    fn require_listed(&self) -> Result<()> {
        let (store, folder) = (self.repository.store(), Folder::Intents.prefix());
        let mut is_listed = false;
        let listed = store.list(folder, &mut |meta| is_listed |= meta.name == self.intent);
        listed.map_err(|e| e.named(format!("cannot list {folder}")))?;
        if is_listed {
            return Ok(());
        }
        let what = format!(
            "{} does not list {}, which was just put there: where listings are late nothing may \
             be deleted",
            store.location(),
            self.intent
        );
        Err(Error::new(ErrorKind::Unsupported, what))
    }

    /// Looks again before deletions, if the last look was long ago or as many relied on it as may.
    pub(super) fn look_if_due(&mut self, deletions: usize) -> Result<()> {
        let is_fresh = self.looked.is_some_and(|at| at.is_fresh(&*self.clock));
        if !is_fresh || self.deletions + deletions > LOOK_DELETIONS_MAX {
            // What takes long between the look and its answer counts as well.
            let began = Moment::now(&*self.clock);
            self.look()?;
            (self.looked, self.deletions) = (Some(began), 0);
        }
        self.deletions += deletions;
        Ok(())
    }

    /// Looks before the next deletion, however fresh the last look is.
    pub(super) fn look_again(&mut self) {
        self.looked = None;
    }

    /// Fails if this prune is to stop: its intent is gone, a fence names it, or keys are rotated.
    fn look(&self) -> Result<()> {
        let store = self.repository.store();
        let there = store
            .size(&self.intent)
            .map_err(|e| e.named(format!("cannot look for {}", self.intent)))?;
        if there.is_none() || self.repository.fences()?.names(self.run) {
            let what = "this prune was declared dead while it was running";
            return Err(Error::new(ErrorKind::Fenced, what));
        }
        self.repository.require_newest_key_still()
    }

    /// Deletes the intent, and passes on how the prune has ended. A prune that was declared dead
    /// has none. That the store does not allow it is a refusal like others.
    pub(super) fn end<T>(self, done: Result<T>, refused: &mut Vec<String>) -> Result<T> {
        let deleted = self.repository.store().delete(&self.intent);
        let done = done?;
        let Err(error) = deleted else { return Ok(done) };
        if error.category() != Category::Denied {
            return Err(error.named(format!("cannot delete {}", self.intent)));
        }
        let (words, run) = (error.with_causes(), self.run);
        refused.push(format!(
            "{words}; replicate waits for this intent until a prune with the right to delete is \
             run with --abandon {run}"
        ));
        Ok(done)
    }
}
