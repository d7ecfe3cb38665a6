//! The end of a prune: what is left of runs, of snapshots that are out, and of deleted packs.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::ops::prune::deletions::Deletions;
use crate::ops::prune::garbage::Garbage;
use crate::ops::prune::view::Ids;
use crate::ops::prune::view::View;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::seal::ids::RunId;
use crate::store::name::ObjectName;

/// What was deleted besides packs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CleanedUp {
    /// Snapshots that are out.
    pub snapshots: u64,
    /// Notes and damage records about them, records about packs that nothing needs, and records
    /// about times of jobs that are long past.
    pub records: u64,
    /// Intents of runs that have ended or were broken.
    pub intents: u64,
}

/// Deletes the intents of prunes and compactions that are known to have died.
pub(super) fn abandon(repository: &Repository, runs: &BTreeSet<RunId>) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let standing = repository.standing()?;
    for run in standing.runs.iter().filter(|run| runs.contains(&run.run)) {
        if !run.verb.deletes() {
            let (id, verb) = (run.run, run.verb.name());
            let what = format!("run {id} is a {verb}, which can only be broken");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        for object in &run.objects {
            let deleted = repository.store().delete(object);
            deleted.map_err(|e| e.named(format!("cannot delete {object}")))?;
        }
    }
    Ok(())
}

/// Puts a list of the snapshots that this prune kept, if it is another than before, in the place of
/// the former lists.
pub(super) fn list_kept(view: &View, deletions: &mut Deletions<'_, '_>, time: u64) -> Result<()> {
    let kept: Ids = view.kept().map(StoredSnapshot::id).collect();
    let before = &view.kept_before;
    if before.objects.len() == 1 && before.doubted.is_empty() && before.snapshots == kept {
        return Ok(());
    }
    if !kept.is_empty() {
        deletions.repository.put_kept(kept, time)?;
    }
    deletions.count(&before.objects).map(drop)
}

/// Deletes what means nothing any more when the packs are gone.
pub(super) fn clean_up(
    view: &View,
    garbage: &Garbage<'_>,
    deletions: &mut Deletions<'_, '_>,
) -> Result<CleanedUp> {
    let mut done = CleanedUp::default();
    // Before the objects of snapshots: a prune that can't read the root of a run asks for its
    // intent, and goes on only if that is still there.
    let ended = view.standing.iter().filter(|run| view.has_ended(run));
    let broken = view.broken.iter().filter(|run| !run.verb.deletes());
    let intents: Vec<ObjectName> =
        ended.chain(broken).flat_map(|run| &run.objects).cloned().collect();
    done.intents = deletions.count(&intents)?;
    let out: Vec<&SnapshotName> = view.snapshots_to_delete().collect();
    let names: Vec<ObjectName> = out.iter().map(|name| name.object()).collect();
    done.snapshots = deletions.count(&names)?;
    let gone: Ids = out.iter().map(|name| name.id).collect();
    let moves = view.moves.iter().filter(|(pack, _)| !garbage.live.contains(pack));
    let moves: Vec<Object> = moves.flat_map(|(_, records)| records).copied().collect();
    let means_nothing = |object: &Object| {
        if let Object::Note { about: Subject::Snapshot(id), .. }
        | Object::SnapshotDamage { snapshot: id, .. } = object
        {
            return gone.contains(id);
        }
        matches!(object, Object::Damage { pack, .. } if !garbage.live.contains(pack))
    };
    let mut records: Vec<Object> = moves;
    let mut outdated = Vec::new();
    if !gone.is_empty() || !garbage.doomed.is_empty() {
        let folders = [Folder::Notes, Folder::Damage];
        let inventory = Inventory::of(&**deletions.repository.store(), &folders, "")?;
        records.extend(inventory.others().map(|(object, _)| object).filter(means_nothing));
        outdated = deletions.repository.outdated_slots()?;
    }
    let names: Vec<ObjectName> = records.iter().map(Object::name).chain(outdated).collect();
    done.records = deletions.count(&names)?;
    Ok(done)
}
