//! Sets the required features of a repository that an earlier version made, so that it is written
//! as a new one is.
//!
//! Nothing but the config changes; where runs put intents from then on, a list of the snapshots
//! that are there is put before. What is stored stays as it is and is read as before; what is
//! stored from then on may be in forms that earlier versions do not know, and these refuse the
//! repository from their next command on. Other hosts learn of it when they open the repository the
//! next time, since nothing keeps a config.
//!
//! A run that began before goes on as it began, and what it writes is read as before: nothing is
//! lost if one was missed. It is refused all the same while one may stand (FORMAT.md 10), because
//! its program may be one that can't be used any longer, and its user should hear of that first.
//! What shows a run:
//! - A record in `runs/` whose run no snapshot names, or only a checkpoint. Runs that were killed
//!   or found an empty stream look the same, and so does, in a copy, every run whose snapshot was
//!   not sent.
//! - In a directory, a file that is being written at this moment.
//!
//! It does not see verbs that put no record (tag, key, repair, replicate into the repository) and
//! write nothing at this moment, nor a run that begins after it has looked.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::world::World;
use crate::format::config::FEATURES_MADE;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::snapshot::SnapshotKind;
use crate::repo::Repository;
use crate::repo::features::set_features;
use crate::repo::inventory::Inventory;
use crate::seal::ids::RunId;

/// Most runs that an error names.
const NAMED_MAX: usize = 5;

/// A run that may still be writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StandingRun {
    /// The id of the run, in hexadecimal.
    pub id: String,
    /// The source of the checkpoint that the run put, if it put one.
    pub source: Option<String>,
}

impl StandingRun {
    /// Returns the beginning of its id, and what else is known of it.
    pub fn in_words(&self) -> String {
        let short = self.id.get(..8).unwrap_or(&self.id);
        match &self.source {
            Some(source) => format!("{short} (a backup of {source})"),
            None => short.to_owned(),
        }
    }
}

/// The treatment of runs that may still be writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The upgrade is refused.
    Refused,
    /// They are known to have ended.
    Ended,
}

/// The plan of an upgrade.
#[derive(Debug)]
pub struct UpgradePlan<'r> {
    repository: &'r Repository,
    /// The features that the repository has.
    pub has: Features,
    /// The features that the upgrade sets; none if there is nothing to do.
    pub sets: Features,
    /// The runs that may still be writing, by their ids.
    pub standing: Vec<StandingRun>,
    /// Objects that are being written at this moment.
    pub being_written: u64,
}

/// Finds the features that a repository lacks, and what speaks against setting them now.
pub fn plan<'r>(repository: &'r Repository, world: &World) -> Result<UpgradePlan<'r>> {
    if !repository.opens_data() {
        let what = "this key may add backups, and not upgrade the repository";
        return Err(Error::new(ErrorKind::WriteOnly, what));
    }
    repository.require_newest_key()?;
    let has = repository.features();
    let sets = FEATURES_MADE.without(has);
    let mut plan = UpgradePlan { repository, has, sets, standing: Vec::new(), being_written: 0 };
    if sets != Features::NONE {
        plan.standing = standing_runs(repository, world)?;
        let store = repository.store();
        plan.being_written = store
            .being_written()
            .map_err(|e| e.named("cannot look for objects that are being written"))?;
    }
    Ok(plan)
}

impl UpgradePlan<'_> {
    /// Sets the features that the plan names, and returns the repository as it is then: the one
    /// that was opened before goes on without them.
    pub fn run(&self, standing: Standing, world: &World) -> Result<Repository> {
        if self.sets == Features::NONE {
            return Ok(self.repository.clone());
        }
        if self.being_written > 0 {
            let objects = self.being_written;
            let what =
                format!("files in the repository are being written at this moment: {objects}");
            return Err(Error::new(ErrorKind::Busy, what));
        }
        if standing == Standing::Refused && !self.standing.is_empty() {
            return Err(may_stand(&self.standing));
        }
        world.monitor.check()?;
        let repository = self.repository;
        repository.require_newest_key_still()?;
        let begins = self.sets.include(Features::INTENTS);
        let mut listed = BTreeSet::new();
        if begins {
            list_earlier(repository, &mut listed, world)?;
        }
        set_features(&**repository.store(), repository.keyring(), self.sets, "")?;
        let upgraded = repository.with_features(self.has.with(self.sets));
        if begins {
            // A run has ended in between: what it reported as good is not doubted.
            list_earlier(&upgraded, &mut listed, world)?;
        }
        Ok(upgraded)
    }
}

/// Puts a list of the snapshots that are there and not in `listed`, and adds them to that.
fn list_earlier(
    repository: &Repository,
    listed: &mut BTreeSet<SnapshotId>,
    world: &World,
) -> Result<()> {
    let there = repository.listed_snapshots(None)?;
    let new: BTreeSet<SnapshotId> =
        there.iter().map(|name| name.id).filter(|id| !listed.contains(id)).collect();
    if !new.is_empty() {
        repository.put_earlier(new.clone(), world.clock.unix_seconds())?;
    }
    listed.extend(new);
    Ok(())
}

/// Returns the runs that have a record and no snapshot that ended them.
fn standing_runs(repository: &Repository, world: &World) -> Result<Vec<StandingRun>> {
    // Before the snapshots: a run that ends in between is seen to have ended.
    let records = Inventory::of(&**repository.store(), &[Folder::Runs], "")?;
    world.monitor.check()?;
    let listing = repository.descriptions()?;
    let mut snapshots: BTreeMap<&str, (SnapshotKind, &str)> = BTreeMap::new();
    for described in &listing.snapshots {
        let about = &described.about;
        let found = (about.kind, about.source.as_str());
        let seen = snapshots.entry(&about.run).or_insert(found);
        if about.kind != SnapshotKind::Checkpoint {
            *seen = found;
        }
    }
    let mut standing = Vec::new();
    for (object, _) in records.others() {
        let Object::Run(id) = object else { continue };
        let id = RunId::new(id);
        // What a compaction or a repair writes is read whatever the features are.
        if id.puts_no_snapshot() {
            continue;
        }
        let id = id.to_string();
        let source = match snapshots.get(id.as_str()) {
            Some((SnapshotKind::Full | SnapshotKind::Incremental, _)) => continue,
            Some((SnapshotKind::Checkpoint, source)) => Some((*source).to_owned()),
            None => None,
        };
        standing.push(StandingRun { id, source });
    }
    standing.sort();
    Ok(standing)
}

fn may_stand(standing: &[StandingRun]) -> Error {
    let mut named: Vec<String> =
        standing.iter().take(NAMED_MAX).map(StandingRun::in_words).collect();
    let others = standing.len().saturating_sub(NAMED_MAX);
    if others > 0 {
        named.push(format!("and {others} others"));
    }
    let what = format!(
        "runs that have put no snapshot yet may still be writing, unless they were killed: {}",
        named.join(", ")
    );
    Error::new(ErrorKind::Busy, what)
}
