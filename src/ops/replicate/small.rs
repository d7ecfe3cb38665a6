//! Keys, run records and notes that go to a copy: which are sent, and whether what is there
//! under the same name is the same.

use std::collections::HashSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::format::layout::content_hash;
use crate::ops::replicate::Compared;
use crate::ops::replicate::FarFeatures;
use crate::ops::replicate::compare;
use crate::repo::Repository;
use crate::seal::key_slot::KeySlot;
use crate::seal::run::RunRecord;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

/// Tells whether a small object is sent: of the notes, those about the snapshots that are sent.
pub(super) fn is_wanted(name: &ObjectName, snapshots: &HashSet<SnapshotId>) -> bool {
    match Object::parse(name) {
        Some(Object::Note { about: Subject::Snapshot(id), .. }) => snapshots.contains(&id),
        _ => Folder::of(name) != Some(Folder::Notes),
    }
}

/// Tells whether a small object is what was stored, as far as that shows without a key.
pub(super) fn is_intact(name: &ObjectName, bytes: &[u8]) -> bool {
    let hash = content_hash(name);
    match Folder::of(name) {
        Some(_) if hash.is_some() => hash == Some(*blake3::hash(bytes).as_bytes()),
        Some(Folder::Keys) => KeySlot::decode(bytes).is_ok(),
        Some(Folder::Runs) => RunRecord::decode(bytes).is_ok(),
        _ => true,
    }
}

/// Returns the features of the copy on the other side, `None` if that is a place without a
/// repository; one with another repository is refused, which may have been made there since it was
/// looked at first.
pub(super) fn far_features(near: &Repository, far: &dyn Store) -> Result<Option<FarFeatures>> {
    match compare(near, far)? {
        Compared::Vacant => Ok(None),
        Compared::Copy(features) => Ok(Some(features)),
        Compared::Other => {
            let what = format!("{} holds another repository", far.location());
            Err(Error::new(ErrorKind::Occupied, what))
        }
    }
}

/// Returns the place of a small object in the order in which they are sent: the announcement of a
/// rotation, so that nothing is sealed there with the keys of before, the lists that say what is
/// believed, the keys that need them, the config, the rest.
pub(super) fn rank(name: &ObjectName) -> u8 {
    match Folder::of(name) {
        Some(Folder::Keys) if is_announcement(name) => 0,
        Some(Folder::Keys) if !is_key_slot(name) => 1,
        Some(Folder::Keys) => 2,
        None => 3,
        Some(_) => 4,
    }
}

/// Tells whether an object announces a rotation.
pub(super) fn is_announcement(name: &ObjectName) -> bool {
    matches!(Object::parse(name), Some(Object::Rotation { .. }))
}

/// Tells whether an object belongs to a rotation that the generation of keys in use has not seen:
/// the list that closes that generation, or a key slot of a later one.
pub(super) fn is_of_later(name: &ObjectName, bytes: &[u8], in_use: u8) -> bool {
    if let Some(Object::Retired { generation, .. }) = Object::parse(name) {
        return generation >= in_use;
    }
    is_key_slot(name) && KeySlot::decode(bytes).is_ok_and(|slot| slot.generation() > in_use)
}

/// Tells whether an object is a key slot: its name is no hash of its content.
pub(super) fn is_key_slot(name: &ObjectName) -> bool {
    matches!(Object::parse(name), Some(Object::Key(_)))
}

/// Says what is wrong with a key slot that both sides have, if their bytes differ: the password
/// that opens one side may not open the other.
pub(super) fn other_key_slot(
    near: &dyn Store,
    far: &dyn Store,
    name: &ObjectName,
) -> Result<Option<String>> {
    if !is_key_slot(name) {
        return Ok(None);
    }
    let get = |store: &dyn Store| match store.get(name, SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        // What is too long, or no file, is not what the other side has.
        Err(error) if error.category() == Category::Damaged => Ok(None),
        Err(error) => {
            let place = store.location();
            Err(error.named(format!("cannot read {name} of {place}")))
        }
    };
    let (here, there) = (get(near)?, get(far)?);
    if here.is_some() && here == there {
        return Ok(None);
    }
    let wrong = if here.is_some_and(|here| KeySlot::decode(&here).is_ok()) {
        "the other side; remove it there, and replicate again"
    } else {
        "this side; replicate --from the other side brings it back once it is removed"
    };
    Ok(Some(format!("{name} differs between the two sides, and is damaged on {wrong}")))
}
