//! Breaking runs that are known to have died: an announcement, then a verdict about what they have
//! put.

use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::hex;
use crate::base::world::World;
use crate::format::fence::Fence;
use crate::format::fence::Judged;
use crate::format::intent::IntentVerb;
use crate::repo::Repository;
use crate::seal::ids::RunId;

/// Breaks these runs, and those that another prune has announced and not judged.
///
/// The snapshots that they have put until then stay valid; whatever appears later is barred. Those
/// that a replicate had announced are doubtful.
pub(super) fn break_runs(
    repository: &Repository,
    wanted: &BTreeSet<RunId>,
    world: &World,
) -> Result<()> {
    let fences = repository.fences()?;
    let unjudged: BTreeSet<RunId> = fences.unjudged().collect();
    if wanted.is_empty() && unjudged.is_empty() {
        return Ok(());
    }
    let standing = repository.standing()?;
    let mut judged = Judged::default();
    for run in standing.runs.iter().filter(|run| wanted.contains(&run.run)) {
        if run.verb.deletes() {
            let what =
                format!("run {} is a {}, which can only be abandoned", run.run, run.verb.name());
            return Err(Error::new(ErrorKind::Usage, what));
        }
    }
    let runs: BTreeSet<RunId> = wanted.union(&unjudged).copied().collect();
    let replicates = standing
        .runs
        .iter()
        .filter(|run| run.verb == IntentVerb::Replicate && runs.contains(&run.run));
    judged.doubtful = replicates.flat_map(|run| &run.puts).copied().collect();
    let epoch = fences.epoch() + 1;
    let time = world.clock.unix_seconds();
    let ids = |runs: &BTreeSet<RunId>| runs.iter().map(|run| *run.bytes()).collect();
    let announced: BTreeSet<RunId> = wanted.difference(&unjudged).copied().collect();
    let mut epochs = epoch..;
    if !announced.is_empty() {
        let fence = Fence { time, runs: ids(&announced), verdict: None };
        repository.put_fence(epochs.next().unwrap_or(epoch), &fence)?;
    }
    // What is there now was put before the verdict, and its run can't have seen that it is named.
    for name in repository.listed_snapshots(None)? {
        let stored = repository.read_any_snapshot(&name)?;
        let of_run = hex::decode(&stored.snapshot.about.run).map(RunId::new);
        if of_run.is_some_and(|run| runs.contains(&run)) {
            judged.spared.insert(name.id);
        }
    }
    let fence = Fence { time, runs: ids(&runs), verdict: Some(judged) };
    repository.put_fence(epochs.next().unwrap_or(epoch), &fence)?;
    Ok(())
}
