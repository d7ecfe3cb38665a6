//! The snapshots of two repositories with different keys that are the same stream.

use std::collections::BTreeMap;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// A snapshot of this repository, and one of the other repository with the same stream.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) near: StoredSnapshot,
    pub(super) far: StoredSnapshot,
}

/// The id of a repository and that of a snapshot in it.
type Name = (String, String);

/// Returns the names of a snapshot: its own, and that of its origin.
fn names(repository: &Repository, stored: &StoredSnapshot) -> Vec<Name> {
    let own = (repository.keyring().repository().to_string(), stored.id().to_string());
    let origin = stored.snapshot.about.origin.clone();
    let origin = origin.map(|origin| (origin.repository, origin.snapshot));
    [Some(own), origin].into_iter().flatten().collect()
}

/// Finds the pairs, the newest first: one is the origin of the other, or both have the same origin.
/// Fails if there is none.
pub(super) fn pairs(near: &Repository, far: &Repository) -> Result<Vec<Pair>> {
    let mut there: BTreeMap<Name, StoredSnapshot> = BTreeMap::new();
    for stored in far.snapshots()?.snapshots {
        for name in names(far, &stored) {
            there.insert(name, stored.clone());
        }
    }
    let mut pairs = Vec::new();
    for stored in near.snapshots()?.snapshots.into_iter().rev() {
        let found = names(near, &stored).into_iter().find_map(|name| there.get(&name).cloned());
        pairs.extend(found.map(|far| Pair { near: stored, far }));
    }
    if pairs.is_empty() {
        return Err(no_common_origin(near, far));
    }
    Ok(pairs)
}

fn no_common_origin(near: &Repository, far: &Repository) -> Error {
    let [here, there] = [near, far].map(|side| {
        let (place, id) = (side.store().location(), side.keyring().repository());
        format!("{place} (repository {id})")
    });
    let what = format!(
        "{there} has other keys than {here}, and no snapshot of either was copied from the other"
    );
    Error::new(ErrorKind::OtherRepository, what)
}
