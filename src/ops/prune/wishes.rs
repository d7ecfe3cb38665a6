//! The wishes of who prunes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::format::removed::Removal;
use crate::repo::snapshots::SnapshotName;
use crate::seal::ids::RunId;

/// A snapshot that is to be removed, and what is recorded about that.
#[derive(Debug, Clone)]
pub struct Removing {
    /// The snapshot that goes.
    pub name: SnapshotName,
    /// The text of its record.
    pub removal: Removal,
}

/// The treatment of packs whose run is known from nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// They end prune: the object of a snapshot may be lost.
    #[default]
    Refused,
    /// They are garbage as well.
    Deleted,
}

/// The treatment of snapshots that the last prune kept, and that are neither listed nor removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fewer {
    /// They end prune: the list of snapshots may be short.
    #[default]
    Refused,
    /// They are known to be lost.
    Accepted,
}

/// The treatment of notes that can't be read while snapshots are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnreadNotes {
    /// They end it: one of them may be a hold.
    #[default]
    Refused,
    /// They are known to be no holds.
    Ignored,
}

/// The treatment of need lists before anything is deleted by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NeedLists {
    /// What they say is believed.
    #[default]
    Believed,
    /// They are compared with the maps of their snapshots.
    Audited,
}

/// The wishes of who prunes.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// The snapshots that are removed first.
    pub removes: Vec<Removing>,
    /// What happens if a note can't be read while they are removed.
    pub unread_notes: UnreadNotes,
    /// Runs that are known to have died: what they may rely on is kept no longer.
    pub breaks: BTreeSet<RunId>,
    /// Prunes and compactions that are known to have died.
    pub abandons: BTreeSet<RunId>,
    /// What happens to packs whose run is known from nowhere.
    pub orphans: Orphans,
    /// The period for which the locks of what is needed are extended, if they are.
    pub lock: Option<Duration>,
    /// What happens if snapshots are missing that the last prune kept.
    pub fewer: Fewer,
    /// What happens to need lists first.
    pub need_lists: NeedLists,
}
