//! What a user may ask of a restore, except where it goes.

use super::accounts::Accounts;
use super::accounts::Owners;

/// What a user asks of a restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Globs over paths; empty for everything.
    pub include: Vec<String>,
    /// The schema that the selected tables of a dump are written for, if not their own.
    pub into: Option<String>,
    /// Number of worker threads that restore.
    pub workers: u32,
    /// Whether the device nodes of an archive are made.
    pub devices: Devices,
    /// How the owners of a tar are found.
    pub owners: Owners,
    /// What happens with a target that other users can write to.
    pub sharing: Sharing,
    /// What happens with a target in which a restore has not finished.
    pub unfinished: Unfinished,
    /// What happens with files that can't be restored whole.
    pub losses: Losses,
    /// Whom everything that is restored belongs to; as the stream says, or to who restores, if
    /// nothing is given.
    pub owner: Option<Ownership>,
    /// What the files are for.
    pub purpose: Purpose,
}

impl Default for RestoreOptions {
    fn default() -> RestoreOptions {
        RestoreOptions {
            include: Vec::new(),
            into: None,
            workers: 1,
            devices: Devices::default(),
            owners: Owners::default(),
            sharing: Sharing::default(),
            unfinished: Unfinished::default(),
            losses: Losses::default(),
            owner: None,
            purpose: Purpose::default(),
        }
    }
}

/// Whether the device nodes of an archive are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// They are left out and reported.
    #[default]
    Skip,
    /// They are made, if this is root.
    Make,
}

/// What happens with a target that others than its owner and root can write to, or can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// It is refused. A group that only the owner is in, by these accounts, is no other.
    Refuse(Accounts),
    /// It is used like any other target.
    Allow,
}

impl Default for Sharing {
    fn default() -> Sharing {
        Sharing::Refuse(Accounts::default())
    }
}

/// What happens with a target in which a restore has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unfinished {
    /// The restore is refused.
    #[default]
    Refuse,
    /// The restore goes on, if it is the same: blocks that are there and right are not fetched.
    Resume,
}

/// What happens with files that can't be restored whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Losses {
    /// The restore fails if there are any.
    #[default]
    Fail,
    /// They are left out and named, and all others are restored.
    LeaveOut,
}

/// A user and a group by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Number of the user.
    pub user: u32,
    /// The group, if it is to be changed.
    pub group: Option<u32>,
}

/// What restored files are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Whatever the user likes.
    #[default]
    Files,
    /// They are prepared: the backup must be a physical one, and all of it is needed.
    Prepare,
}
