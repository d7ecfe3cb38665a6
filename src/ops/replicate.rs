//! Sends snapshots to another repository with the same keys: the objects that it lacks, byte for
//! byte.
//!
//! The pack table of a snapshot names all that it needs, so nothing is opened but the meta packs
//! that hold tables, and need lists if packs are missing here. First everything is planned from
//! listings of both sides: what will be sent is known to the byte before anything is. Then the
//! newest snapshot's packs go, then the snapshot, then the next older one, which mostly needs
//! nothing more.
//!
//! Where the destination has intents, the run first says which packs it relies on or will put, and
//! which snapshots it will put. It fails beside a prune. Then it looks again at what it relies on,
//! and plans anew if that has changed. So no later prune takes what a snapshot needs that arrives
//! (FORMAT.md 10.7).
//!
//! Invariants:
//! - A snapshot is put when everything that it needs is there and the other side has said so again
//!   when asked: a listing, or (if wished) the bytes read back.
//! - A pack is sent only if its bytes are what its name says. What is damaged here is not spread;
//!   snapshots that need it are left out and named, others are not held up by it.
//! - An increment goes after the snapshots that it requires, which go with it.
//! - What is there is not sent again, whatever run put it there: an interrupted run is taken up
//!   where it stopped by the next one, and a copy that has lost packs gets them back.
//! - What the other side has recorded as damaged, or has with another length, is read there; if its
//!   bytes are wrong it counts as absent. So does, if reading back was asked for, everything that
//!   the snapshots need there.
//! - A copy has every required feature of this side before anything else is sent to it.
//! - What was removed there is not sent again, nor are packs that no wanted snapshot needs.
//! - A run that a prune there has stopped reports no success.
//! - A pack that was compacted here goes as the packs to which its entries were moved, and the
//!   record of that, unless it is there still.
//! - Other records in `moves/`, and `damage/`, speak of one copy only and are never sent.
//!
//! It does not send to a repository with other keys: that is what
//! [`copy_reencrypted`](super::copy_reencrypted) does.

mod destination;
mod moved;
mod plan;
mod send;
mod small;

use std::collections::HashMap;
use std::collections::HashSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::snapshot::SnapshotKind;
use crate::repo::Repository;
use crate::repo::features::authentic_config;
use crate::repo::snapshots::Listing;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::name::ObjectName;

pub use plan::CopyPlan;
pub use plan::plan;

/// Objects that one request lists.
const LISTED_PER_REQUEST: u64 = 1000;
/// The words with which messages name the store that objects are sent to.
const FAR_SIDE: &str = " on the other side";
/// Folders in which packs are stored.
const PACK_FOLDERS: [Folder; 2] = [Folder::Packs, Folder::Twins];
/// Most objects that are asked for one by one; for more, listing all is cheaper.
const ASKED_SINGLY_MAX: usize = 8;

/// The way in which the other side confirms what it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// It lists their names and sizes.
    Listed,
    /// It gives back everything that the snapshots need there, what was there before as well.
    ReadBack,
}

/// The options that a user chooses for a replication.
#[derive(Debug, Clone)]
pub struct ReplicateOptions {
    /// The snapshots that shall be there, in any order.
    pub snapshots: Vec<StoredSnapshot>,
    /// Packs that are sent at a time; each is held in memory.
    pub connections: u32,
    /// The way in which the other side confirms.
    pub confirmation: Confirmation,
}

impl ReplicateOptions {
    /// Returns the options that send `snapshots`, four packs at a time, confirmed by a listing.
    pub fn new(snapshots: Vec<StoredSnapshot>) -> Self {
        Self { snapshots, connections: 4, confirmation: Confirmation::Listed }
    }
}

/// The cost of a replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct CopyCost {
    /// Bytes of the objects that are sent.
    pub bytes: u64,
    /// Objects that are sent.
    pub objects: u64,
    /// Requests to the other side, from the first object on.
    pub requests: u64,
}

impl CopyCost {
    fn object(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.objects += 1;
        self.requests += 1;
    }
}

/// A snapshot that could not be sent whole, and is therefore not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Id of the snapshot that was left out.
    pub snapshot: SnapshotId,
    /// Name of the snapshot's source.
    pub source: String,
    /// When it was taken, seconds since 1970.
    pub time: u64,
    /// The part of it that is damaged or missing here.
    pub why: String,
}

impl LeftOut {
    pub(super) fn new(stored: &StoredSnapshot, why: String) -> Self {
        let about = &stored.snapshot.about;
        let (source, time) = (about.source.clone(), about.time);
        Self { snapshot: stored.id(), source, time, why }
    }
}

/// The result of a replication.
#[derive(Debug, Clone, Default)]
pub struct ReplicateReport {
    /// Snapshots that were put there, newest first.
    pub sent: Vec<SnapshotId>,
    /// Snapshots that were there before.
    pub there: u64,
    /// Snapshots that are not sent since they were removed there.
    pub removed_there: Vec<SnapshotId>,
    /// Snapshots that are not there.
    pub left_out: Vec<LeftOut>,
    /// Objects here that are damaged or missing, in words.
    pub damaged: Vec<String>,
    /// The objects and bytes that were read there and found right.
    pub verified: Verified,
    /// Objects there whose bytes were wrong, and that were sent again.
    pub mended: Vec<String>,
    /// Damage records there that mean nothing any more, and that could not be removed.
    pub kept_records: u64,
    /// The cost as it turned out.
    pub cost: CopyCost,
}

/// The objects and bytes that were read on the other side and found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Verified {
    /// Number of objects that were read.
    pub objects: u64,
    /// Number of bytes in these objects.
    pub bytes: u64,
}

/// The repository that a store holds: none, a copy of this one, or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarSide {
    /// There is none yet.
    Vacant,
    /// A copy of this one: the same id, the same keys.
    Same,
    /// It holds another repository than this one.
    Other,
}

fn far_error(what: &str, name: &ObjectName) -> impl FnOnce(StoreError) -> Error {
    let what = format!("cannot {what} {name}{FAR_SIDE}");
    move |cause| cause.named(what)
}

/// Looks what is in a store.
pub fn look(near: &Repository, far: &dyn Store) -> Result<FarSide> {
    Ok(match compare(near, far)? {
        Compared::Vacant => FarSide::Vacant,
        Compared::Copy(_) => FarSide::Same,
        Compared::Other => FarSide::Other,
    })
}

/// The required features of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FarFeatures {
    /// The features that it has.
    has: Features,
    /// The features of this side that it lacks.
    lacks: Features,
}

/// What the configs of both sides say about each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// The other side has none.
    Vacant,
    /// They are of one repository; the other side may lack some features of this one.
    Copy(FarFeatures),
    /// They are of two repositories.
    Other,
}

/// Compares the configs of both sides, as they are now.
pub(super) fn compare(near: &Repository, far: &dyn Store) -> Result<Compared> {
    let name = Object::Config.name();
    let there = match far.get(&name, SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.category() == Category::NotFound => return Ok(Compared::Vacant),
        Err(error) => return Err(far_error("read", &name)(error)),
    };
    let here = near
        .store()
        .get(&name, SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| e.named("cannot read the config"))?;
    let ours = authentic_config(&here, near.keyring(), "")?;
    // The id stands in clear in both: one repository has one config, but for its features.
    let id = near.keyring().repository();
    let claims_ours = there.windows(id.bytes().len()).any(|window| window == id.bytes());
    if !claims_ours {
        return Ok(Compared::Other);
    }
    let what = || format!("{} has the id of this repository and another config", far.location());
    let theirs = authentic_config(&there, near.keyring(), FAR_SIDE);
    let theirs = theirs.map_err(|error| {
        let is_newer = error.kind() == ErrorKind::Unsupported;
        if is_newer { error } else { Error::new(ErrorKind::Distrusted, what()).because(error) }
    })?;
    if !ours.is_of_same_repository(&theirs) {
        return Err(Error::new(ErrorKind::Distrusted, what()));
    }
    let has = theirs.required_features;
    Ok(Compared::Copy(FarFeatures { has, lacks: ours.required_features.without(has) }))
}

/// Returns the snapshots, the newest first, but each after those that it requires, even if they
/// were not asked for. What is required and can't be read goes to `lost`.
pub(super) fn in_order(
    near: &Repository,
    mut wanted: Vec<StoredSnapshot>,
    lost: &mut HashSet<String>,
) -> Result<Vec<StoredSnapshot>> {
    wanted.sort_by_key(|stored| (stored.snapshot.about.time, stored.name.sequence, stored.id()));
    let chained = wanted.iter().any(|stored| !stored.snapshot.about.requires.is_empty());
    // One that was removed is there for as long as an increment needs it.
    let names = if chained { near.listed_snapshots(None)? } else { Vec::new() };
    let mut placed: HashSet<SnapshotId> = HashSet::new();
    let mut order: Vec<StoredSnapshot> = Vec::new();
    for stored in wanted.into_iter().rev() {
        // A chain is listed as a whole, the full backup first.
        for id in &stored.snapshot.about.requires {
            let required = names.iter().find(|name| name.id.to_string() == *id);
            match required.map(|name| near.read_any_snapshot(name)) {
                Some(Ok(required)) if placed.insert(required.id()) => order.push(required),
                Some(Ok(_)) => {}
                Some(Err(error)) if error.kind() == ErrorKind::Store => return Err(error),
                Some(Err(_)) | None => {
                    lost.insert(id.clone());
                }
            }
        }
        if placed.insert(stored.id()) {
            order.push(stored);
        }
    }
    Ok(order)
}

/// Returns the snapshots of some sources (of all if none is named), at most `last` of each, and
/// those that can't be read. A checkpoint is left out when its source has anything newer,
/// since it cannot be restored.
pub fn newest(near: &Repository, sources: &[String], last: Option<u32>) -> Result<Listing> {
    let mut listing = near.snapshots()?;
    let ids = sources.iter().map(|name| near.source_id(name)).collect::<Result<Vec<_>>>()?;
    let wanted = |name: &SnapshotName| ids.is_empty() || ids.contains(&name.source);
    listing.snapshots.retain(|stored| wanted(&stored.name));
    listing.damaged.retain(|(name, _)| wanted(name));
    listing.snapshots.sort_by_key(|stored| (stored.name.sequence, stored.id()));
    let mut of_source: HashMap<SourceId, u32> = HashMap::new();
    let mut kept: Vec<StoredSnapshot> = Vec::new();
    for stored in std::mem::take(&mut listing.snapshots).into_iter().rev() {
        let count = of_source.entry(stored.name.source).or_default();
        let superseded = *count > 0 && stored.snapshot.about.kind == SnapshotKind::Checkpoint;
        if !superseded && last.is_none_or(|last| *count < last) {
            *count += 1;
            kept.push(stored);
        }
    }
    Ok(Listing { snapshots: kept, ..listing })
}
