//! Compaction: moves what is live of data packs that are mostly unused into new ones, and deletes
//! the old ones (FORMAT.md 10.8). Small packs are merged in the same way.
//!
//! The packs are chosen by the counts in need lists, which are hints; what is live in them is found
//! by a walk over the maps of all snapshots that are kept and all roots of runs that stand. Then
//! come passes of some minutes, each with an intent. Nothing is deleted before every block of it
//! was read from its new pack and had its hash.
//!
//! Stopped anywhere, it leaves packs that prune deletes, and its intent.
//!
//! # Order
//!
//! Entries go into new packs in the order in which they are found. With two open packs, one for
//! what the newest snapshots need and one for the rest, as much was moved again: in 200 nights of
//! `tests/suite/year_space.rs` 112 % of the first backup a year in both orders at 7 % of the pages
//! a night, 45 % instead of 43 % at 3 %. A simulation gave 2 to 3 % for two open packs, 7 % for
//! three, and 5 to 11 % for a sort of all moved entries by the newest snapshot that needs them,
//! which takes memory for all of them or several reads of each old pack. Sorting the old packs
//! saved nothing.
//!
//! # Memory
//!
//! 4 bytes for each pack that is there, some 22 for each entry of the packs that are chosen, at
//! most [`ENTRIES_MAX`] at a time, and two packs.

mod choose;
mod moving;
mod pass;
mod walk;
mod wishes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::config::Features;
use crate::ops::backup::begin_run;
use crate::ops::prune::compact::choose::Choice;
use crate::ops::prune::compact::pass::Passes;
use crate::ops::prune::compact::walk::Walker;
use crate::ops::prune::live::Looked;
use crate::ops::prune::packs;
use crate::ops::prune::require_allowed;
use crate::repo::Repository;
use crate::repo::features::set_features;
use crate::seal::ids::RunId;

pub use crate::ops::prune::compact::wishes::CompactOptions;
pub use crate::ops::prune::compact::wishes::CompactPlan;
pub use crate::ops::prune::compact::wishes::CompactReport;
pub use crate::ops::prune::compact::wishes::ENTRIES_MAX;
pub use crate::ops::prune::compact::wishes::FirstTime;

/// Finds what a compaction would do, and changes nothing.
pub fn plan(
    repository: &Repository,
    options: &CompactOptions,
    world: &World,
) -> Result<CompactPlan> {
    require_allowed(repository)?;
    let inventory = packs(repository)?;
    let looked = Looked::look(repository, &world.monitor)?;
    let choice = Choice::make(repository, &inventory, &looked, options, &world.monitor)?;
    Ok(choice.plan())
}

/// Compacts packs of a repository.
pub fn compact(
    repository: &Repository,
    options: &CompactOptions,
    world: &World,
) -> Result<CompactReport> {
    require_allowed(repository)?;
    let monitor = &world.monitor;
    let inventory = packs(repository)?;
    let looked = Looked::look(repository, monitor)?;
    let choice = Choice::make(repository, &inventory, &looked, options, monitor)?;
    if choice.is_empty() {
        return Ok(CompactReport::default());
    }
    let repository = &with_feature(repository, options.first_time)?;
    let mut walker = Walker::new(repository, &looked.view, choice.names(), monitor)?;
    walker.walk_all(&looked)?;
    let run = RunId::without_snapshot(&*world.entropy);
    let keys = begin_run(repository, run, monitor)?;
    let mut passes = Passes::new(repository, options, world, run, keys);
    passes.run_all(&looked.view, &mut walker, choice)?;
    Ok(passes.into_report())
}

/// Returns the repository with the feature of compacted packs, which is set if it may be.
fn with_feature(repository: &Repository, first_time: FirstTime) -> Result<Repository> {
    let has = repository.features();
    if has.include(Features::COMPACTED) {
        return Ok(repository.clone());
    }
    if first_time == FirstTime::Refused {
        let what = "no pack of this repository was compacted yet, and versions before 0.2 could \
                    not read it any more";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    repository.require_newest_key_still()?;
    set_features(&**repository.store(), repository.keyring(), Features::COMPACTED, "")?;
    Ok(repository.with_features(has.with(Features::COMPACTED)))
}
