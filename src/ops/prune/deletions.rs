//! Deletions in batches, with a look before each whether this prune is still to go on.

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::prune::guard::Guard;
use crate::ops::prune::guard::LOOK_DELETIONS_MAX;
use crate::repo::Repository;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::name::ObjectName;

/// Times that a batch is deleted which the store can't delete just now, each after a new look.
const TRIES: u32 = 3;

/// The result of the deletion of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    /// It is not there any more.
    Yes,
    /// The store does not allow it.
    Refused,
}

/// Deletions that rely on looks; those that the store does not allow are reported.
pub(super) struct Deletions<'d, 'r> {
    pub(super) repository: &'d Repository,
    pub(super) guard: &'d mut Guard<'r>,
    pub(super) monitor: &'d Monitor,
    /// Deletions that the store refused, in words.
    pub(super) refused: &'d mut Vec<String>,
}

impl Deletions<'_, '_> {
    /// Deletes objects, and tells of each whether it is gone.
    pub(super) fn all(&mut self, names: &[ObjectName]) -> Result<Vec<Deleted>> {
        let at_once = self.repository.store().deletes_at_once().clamp(1, LOOK_DELETIONS_MAX);
        let mut done = Vec::with_capacity(names.len());
        for batch in names.chunks(at_once) {
            self.monitor.check()?;
            for (name, result) in batch.iter().zip(self.batch(batch)?) {
                done.push(match result {
                    Ok(()) => Deleted::Yes,
                    Err(error) if error.category() == Category::Denied => {
                        self.refused.push(error.with_causes());
                        Deleted::Refused
                    }
                    Err(error) => return Err(not_deleted(error, name)),
                });
            }
        }
        Ok(done)
    }

    /// Deletes objects, and returns how many are gone.
    pub(super) fn count(&mut self, names: &[ObjectName]) -> Result<u64> {
        let done = self.all(names)?;
        Ok(done.into_iter().map(|deleted| u64::from(deleted == Deleted::Yes)).sum())
    }

    /// Deletes a batch. What fails for now is tried again, which needs another look: meanwhile
    /// someone may rely on what was garbage.
    fn batch(&mut self, names: &[ObjectName]) -> Result<Vec<std::result::Result<(), StoreError>>> {
        let is_for_now = |result: &std::result::Result<(), StoreError>| {
            result.as_ref().is_err_and(|error| error.category() == Category::Transient)
        };
        let mut tries = 1;
        loop {
            self.guard.look_if_due(names.len())?;
            let results = self.repository.store().delete_many(names);
            if tries == TRIES || !results.iter().any(is_for_now) {
                return Ok(results);
            }
            self.guard.look_again();
            tries += 1;
        }
    }
}

fn not_deleted(error: StoreError, name: &ObjectName) -> Error {
    error.named(format!("cannot delete {name}"))
}
