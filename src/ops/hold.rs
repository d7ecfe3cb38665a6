//! Holds a snapshot, so that no rule of retention removes it, and releases it: notes beside it,
//! because snapshots never change.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::world::World;
use crate::format::note::HoldNote;
use crate::format::note::Note;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// Holds that one snapshot may have at a time.
pub const HOLDS_MAX: usize = 32;

/// The hold that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hold {
    /// The end of the hold, seconds since 1970; `None` for a hold without an end.
    pub until: Option<u64>,
    /// Why, in words; may be empty.
    pub reason: String,
}

/// The holds of a snapshot before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldReport {
    /// The holds that it has now, the oldest first.
    pub holds: Vec<HoldNote>,
    /// The holds that were released.
    pub released: Vec<HoldNote>,
}

/// Adds a hold to those that a snapshot has; writes nothing if it has that one already.
pub fn hold(
    repository: &Repository,
    stored: &StoredSnapshot,
    wanted: &Hold,
    world: &World,
) -> Result<HoldReport> {
    let notes = repository.notes(Some(stored.id()))?;
    let mut holds = notes.holds(stored.id());
    let is_there = |held: &HoldNote| held.until == wanted.until && held.reason == wanted.reason;
    if !holds.iter().any(is_there) {
        if holds.len() >= HOLDS_MAX {
            let id = stored.id().short();
            let what = format!("snapshot {id} has {HOLDS_MAX} holds");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let Hold { until, reason } = wanted.clone();
        let time = world.clock.unix_seconds();
        let note = HoldNote { time, until, reason, release: false };
        repository.put_note(stored.id(), &notes, Note::Hold(note.clone()))?;
        require_not_going(repository, stored.id())?;
        holds.push(note);
    }
    Ok(HoldReport { holds, released: Vec::new() })
}

/// Fails if a prune is removing a snapshot that was just held, or has removed it: it listed the
/// holds either before this one was put, or after, and then its intent is seen here.
fn require_not_going(repository: &Repository, id: SnapshotId) -> Result<()> {
    if !repository.has_intents() {
        return Ok(());
    }
    let standing = repository.standing()?;
    if standing.runs.iter().any(|run| run.removes.contains(&id)) {
        let what = format!("snapshot {} is being removed at this moment", id.short());
        return Err(Error::new(ErrorKind::Removed, what));
    }
    let removals = repository.removals(None)?;
    if repository.removal_of(&removals, id, &mut Vec::new())?.is_none() {
        return Ok(());
    }
    let what = format!("snapshot {} was removed", id.short());
    Err(Error::new(ErrorKind::Removed, what))
}

/// Ends all holds of a snapshot; writes nothing if it has none.
pub fn release(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
) -> Result<HoldReport> {
    let notes = repository.notes(Some(stored.id()))?;
    let released = notes.holds(stored.id());
    if !released.is_empty() {
        let time = world.clock.unix_seconds();
        let note = HoldNote { time, release: true, ..HoldNote::default() };
        repository.put_note(stored.id(), &notes, Note::Hold(note))?;
    }
    Ok(HoldReport { holds: Vec::new(), released })
}
