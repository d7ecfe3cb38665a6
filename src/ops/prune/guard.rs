//! The intent of a prune, and the looks whether it is still to go on.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
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
use crate::ops::prune::wishes::Removing;
use crate::repo::Repository;
use crate::seal::ids::RunId;
use crate::store::name::ObjectName;

/// The longest time between a look and a deletion that relies on it.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Deletions that rely on one look at most.
const BATCH: u32 = 1000;

/// The intent of a prune that stands.
#[derive(Debug)]
pub(super) struct Guard<'r> {
    repository: &'r Repository,
    run: RunId,
    intent: ObjectName,
    clock: Arc<dyn Clock>,
    /// When it looked last, and how many deletions relied on that.
    looked: Option<Duration>,
    deletions: u32,
}

impl<'r> Guard<'r> {
    /// Puts the intent of a prune.
    pub(super) fn begin(
        repository: &'r Repository,
        removes: &[Removing],
        world: &World,
    ) -> Result<Self> {
        let run = RunId::new(random(&*world.entropy));
        let epoch = repository.fences()?.epoch();
        let intent = Intent {
            verb: IntentVerb::Prune,
            part: 0,
            parts: 1,
            epoch,
            time: world.clock.unix_seconds(),
            roots: BTreeMap::new(),
            removes: removes.iter().map(|removing| removing.name.id).collect(),
            holds: BTreeSet::new(),
            puts: BTreeSet::new(),
        };
        let intent = repository.put_intent(run, &intent)?;
        let clock = Arc::clone(&world.clock);
        Ok(Self { repository, run, intent, clock, looked: None, deletions: 0 })
    }

    /// Looks again before a deletion, if the last look was long ago or many deletions relied on it.
    pub(super) fn look_if_due(&mut self) -> Result<()> {
        let is_fresh = |at: Duration| self.clock.elapsed().saturating_sub(at) < LOOK_EVERY;
        if self.deletions >= BATCH || !self.looked.is_some_and(is_fresh) {
            // What takes long between the look and its answer counts as well.
            let began = self.clock.elapsed();
            self.look()?;
            (self.looked, self.deletions) = (Some(began), 0);
        }
        self.deletions += 1;
        Ok(())
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
    /// has none.
    pub(super) fn end(self, done: Result<()>) -> Result<()> {
        let deleted = self
            .repository
            .store()
            .delete(&self.intent)
            .map_err(|e| e.named(format!("cannot delete {}", self.intent)));
        done?;
        deleted
    }
}
