//! Restores a snapshot: into files, written in parallel and in place, or as the stream that was
//! backed up.
//!
//! [`restore`] is the one entrance. It looks at the snapshot and the target and chooses the
//! [`Method`]: files, the entries of a tar, an increment with everything it builds on, the whole
//! stream, or parts of a dump. Callers need not know any of these; the report names the method.
//!
//! A planner walks the snapshot in stream order, which is the order of the packs, and hands batches
//! of blocks to the workers; a worker fetches, opens, decodes and verifies its batch. Nothing
//! unverified is written anywhere.
//!
//! Invariants:
//! - A directory that is not finished holds the file [`INCOMPLETE`]; it goes last, after everything
//!   is durable.
//! - Nothing is written outside the directory, whatever the stream says and whatever a user who can
//!   write there does at the same time (`confined`).
//! - A stream is whole or the call fails; a reader that goes away is a failure.

pub mod accounts;
mod before;
pub(super) mod chain;
mod chosen;
pub(super) mod confined;
pub(super) mod dump;
mod files;
mod mark;
mod options;
mod out_file;
mod report;
mod sharing;
mod stream;
mod tar;
mod target;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::base::world::World;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

use super::chain::has_base;

pub use accounts::Ownership;
pub use mark::INCOMPLETE;
pub use options::Devices;
pub use options::Losses;
pub use options::Purpose;
pub use options::RestoreOptions;
pub use options::Sharing;
pub use options::Unfinished;
pub use report::LostFile;
pub use report::Method;
pub use report::RestoreReport;
pub use report::Step;
pub use stream::destination;

/// The place that a snapshot is restored to.
pub enum Target<'t> {
    /// Files in this directory, which is empty or does not exist.
    Directory(&'t Path),
    /// The stream, byte for byte; of a dump also parts of it, as a dump that loads.
    Stream(&'t mut (dyn Write + Send)),
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Target::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Restores a snapshot. An increment goes into a directory with everything it builds on, each
/// snapshot into a directory of its own.
pub fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: Target<'_>,
    options: &RestoreOptions,
    world: &World,
) -> Result<RestoreReport> {
    let monitor = &world.monitor;
    match target {
        Target::Stream(out) => stream::restore(repository, stored, out, options, monitor),
        Target::Directory(target) => into_directory(repository, stored, target, options, monitor),
    }
}

fn into_directory(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let is_prepared = options.purpose == Purpose::Prepare;
    if has_base(stored) {
        if is_prepared && chain::is_waiting(target, stored)? {
            return Ok(RestoreReport::empty(stored.id(), Method::ChainInPlace));
        }
        return chain::restore(repository, stored, target, options, monitor);
    }
    if is_prepared && stored.snapshot.about.kind == SnapshotKind::Incremental {
        let what = format!("snapshot {} is an increment without its base", stored.id().short());
        return Err(Error::new(ErrorKind::Usage, what));
    }
    match stored.snapshot.about.format {
        StreamFormat::Tar => tar::restore(repository, stored, target, options, monitor),
        StreamFormat::Mbstream | StreamFormat::Sql | StreamFormat::Raw | StreamFormat::Binlog => {
            files::restore(repository, stored, target, options, monitor)
        }
    }
}

/// Gives everything in a directory to another owner: what was restored, and what was made of it
/// since.
pub fn give(target: &Path, owner: Ownership) -> Result<()> {
    let failed = |e| confined::unwritable(target, e);
    let root = confined::Root::open(target).map_err(failed)?;
    confined::give_all(root.as_directory(), owner).map_err(failed)
}
