//! Restores a part of a backup, or all of a dump, as statements: to a stream, or into a server.
//!
//! ```text
//! dump:      members in order -----------------------------> rewriting -> stream, or the client
//! physical:  a table's files -> private server -> mariadb-dump ---^
//! ```
//!
//! What comes out is always SQL: it fits another version and a cluster, and a server is never
//! handed files. [`restore_part`] is the one entrance; [`plan_part`] says what it would do.
//!
//! Invariants:
//! - Nothing is executed before it is known that no table of the server would be replaced, unless
//!   that is allowed, and that a cluster would replicate all of it.
//! - The first error of the server ends it, and the error names the statement.

mod client;
mod dump;
mod dumper;
mod files;
mod guard;
mod options;
mod physical;
mod physical_part;
mod place;
mod sink;
mod staging;
mod view;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::format::snapshot::StreamFormat;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

pub use client::Server;
pub use options::Broken;
pub use options::Existing;
pub use options::PartOptions;
pub use options::PartPlan;
pub use options::PartReport;
pub use options::PlannedFile;
pub use options::Programs;
pub use options::Target;
pub use options::Unreplicated;

/// Says what a restore of a part would read and write.
pub fn plan_part(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &PartOptions,
    world: &World,
) -> Result<PartPlan> {
    match format_of(stored)? {
        Format::Dump => dump::plan(repository, stored, options, world),
        Format::Physical => physical::plan(repository, stored, options, world),
    }
}

/// Restores a part as statements.
pub fn restore_part<'t>(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: Target<'t>,
    options: &PartOptions,
    world: &'t World,
) -> Result<PartReport> {
    match format_of(stored)? {
        Format::Dump => dump::restore(repository, stored, target, options, world),
        Format::Physical => physical::restore(repository, stored, target, options, world),
    }
}

/// The kinds of backups that have tables.
enum Format {
    Dump,
    Physical,
}

fn format_of(stored: &StoredSnapshot) -> Result<Format> {
    match stored.snapshot.about.format {
        StreamFormat::Sql => Ok(Format::Dump),
        StreamFormat::Mbstream => Ok(Format::Physical),
        StreamFormat::Tar | StreamFormat::Raw | StreamFormat::Binlog => Err(unsupported(stored)),
    }
}

fn unsupported(stored: &StoredSnapshot) -> Error {
    let (id, format) = (stored.id().short(), stored.snapshot.about.format);
    let what = format!("snapshot {id} is a {format} stream, in which no tables are known");
    Error::new(ErrorKind::Usage, what)
}
