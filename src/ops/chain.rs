//! The snapshots that an increment builds on.
//!
//! `requires` of a snapshot lists its whole chain, the full backup first: a chain is read without
//! following links, and to keep a snapshot is to keep those that it lists. The list is made when an
//! increment is backed up, and used by restores, `show` and `verify`.

use crate::base::error::Result;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// Tells whether a snapshot can only be restored together with others.
pub fn has_base(stored: &StoredSnapshot) -> bool {
    !stored.snapshot.about.requires.is_empty()
}

/// A snapshot that another one builds on.
#[derive(Debug, Clone)]
pub struct Link {
    /// Id of the snapshot, in hexadecimal digits.
    pub id: String,
    /// The snapshot itself, if it can be read.
    pub stored: Option<StoredSnapshot>,
}

/// Returns the snapshots that this one builds on, the full backup first. One that was removed is
/// there for as long as an increment needs it.
pub fn links(repository: &Repository, stored: &StoredSnapshot) -> Result<Vec<Link>> {
    let requires = &stored.snapshot.about.requires;
    if requires.is_empty() {
        return Ok(Vec::new());
    }
    let names = repository.listed_snapshots(None)?;
    let find = |id: &String| -> Option<&SnapshotName> {
        names.iter().find(|name| name.id.to_string() == *id)
    };
    let link = |id: &String| Link {
        id: id.clone(),
        stored: find(id).and_then(|name| repository.read_any_snapshot(name).ok()),
    };
    Ok(requires.iter().map(link).collect())
}

/// Returns the beginning of an id, as people read it.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
