//! Prepares restored files: runs `mariabackup --prepare` on them, and checks the outcome.
//!
//! [`prepare`] is the one entrance: it knows that an increment was restored as a chain of
//! directories, to which the increments are applied one after the other.

mod chain;
mod preparer;
mod program;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use crate::base::error::Result;
use crate::base::world::World;
use crate::repo::snapshots::StoredSnapshot;

use super::chain::has_base;

pub use preparer::Preparer;
pub use preparer::Tie;
pub use program::PrepareReport;

/// Prepares a snapshot that was restored to `target`. Each run of the program writes its messages
/// to a log of its own, which `log` makes.
pub fn prepare(
    stored: &StoredSnapshot,
    target: &Path,
    program: &OsStr,
    log: &dyn Fn() -> Box<dyn Write + Send>,
    world: &World,
) -> Result<PrepareReport> {
    let preparer = Preparer { program, memory: None, tie: Tie::Loose };
    prepare_by(stored, target, &preparer, log, world)
}

/// Does the same in the way that `preparer` says.
pub fn prepare_by(
    stored: &StoredSnapshot,
    target: &Path,
    preparer: &Preparer<'_>,
    log: &dyn Fn() -> Box<dyn Write + Send>,
    world: &World,
) -> Result<PrepareReport> {
    let monitor = &*world.monitor;
    if has_base(stored) {
        return chain::apply(target, preparer, log, monitor);
    }
    let child = program::start(target, None, preparer, log())?;
    program::finish(child, target, preparer.program, monitor)
}
