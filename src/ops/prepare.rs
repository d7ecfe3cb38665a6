//! Prepares restored files: runs `mariabackup --prepare` on them, and checks the outcome.
//!
//! [`prepare`] is the one entrance: it knows that an increment was restored as a chain of
//! directories, to which the increments are applied one after the other.

mod chain;
mod program;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use crate::base::error::Result;
use crate::base::world::World;
use crate::repo::snapshots::StoredSnapshot;

use super::chain::has_base;

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
    let monitor = &*world.monitor;
    if has_base(stored) {
        return chain::apply(target, program, log, monitor);
    }
    let child = program::start(target, None, program, log())?;
    program::finish(child, target, program, monitor)
}
