//! The two copies of every relocation record (FORMAT.md 9).

use std::collections::BTreeMap;

use crate::base::ids::PackName;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::ContentHash;
use crate::format::layout::Object;
use crate::ops::survey::Copy;
use crate::ops::survey::Look;
use crate::ops::survey::Problem;
use crate::repo::Repository;
use crate::repo::inventory::Inventory;

/// A relocation record in its two copies.
#[derive(Debug)]
pub(super) struct RelocationPair {
    /// The pack that it is about.
    pub(super) pack: PackName,
    /// Its objects, the first copy first.
    pub(super) copies: [Copy; 2],
}

/// Looks at both copies of every relocation record; `moves/` and `twins/` were listed, in this
/// order.
pub(super) fn relocations(
    repository: &Repository,
    inventory: &Inventory,
    look: Look,
) -> Vec<RelocationPair> {
    let mut found: BTreeMap<(PackName, ContentHash), [bool; 2]> = BTreeMap::new();
    for (object, _) in inventory.others() {
        if let Object::Relocation { pack, hash } = object {
            found.entry((pack, hash)).or_default()[0] = true;
        } else if let Object::RelocationTwin { pack, hash } = object {
            found.entry((pack, hash)).or_default()[1] = true;
        }
    }
    let pair = |((pack, hash), there): ((PackName, ContentHash), [bool; 2])| {
        let objects = [Object::Relocation { pack, hash }, Object::RelocationTwin { pack, hash }];
        let mut there = there.into_iter();
        let copies = objects.map(|object| {
            let is_there = there.next().unwrap_or_default();
            let problem = if is_there {
                spoiled(repository, object, hash, look)
            } else {
                Some(Problem::Missing)
            };
            Copy { object, problem }
        });
        RelocationPair { pack, copies }
    };
    found.into_iter().map(pair).collect()
}

/// Returns the problem of a copy that is listed.
fn spoiled(
    repository: &Repository,
    object: Object,
    hash: ContentHash,
    look: Look,
) -> Option<Problem> {
    if look == Look::AtItsSize {
        return None;
    }
    let words = match repository.store().get(&object.name(), SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) if *blake3::hash(&bytes).as_bytes() == hash => return None,
        Ok(_) => "does not match its name: its bytes have changed".to_owned(),
        Err(error) => format!("can't be read: {error}"),
    };
    Some(Problem::Spoiled(words))
}
