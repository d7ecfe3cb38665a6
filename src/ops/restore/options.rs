//! The options of a restore: all that a user may ask for, except the target.

use crate::ops::restore::accounts::Accounts;
use crate::ops::restore::accounts::Owners;
use crate::ops::restore::accounts::Ownership;

/// The options of a restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Globs over paths; empty for everything.
    pub include: Vec<String>,
    /// The schema that the selected tables of a dump are written for, if not their own.
    pub into: Option<String>,
    /// Number of worker threads that restore.
    pub workers: u32,
    /// The treatment of the device nodes in a tar.
    pub devices: Devices,
    /// The way in which the owners of a tar are found.
    pub owners: Owners,
    /// The treatment of a target that other users can write to.
    pub sharing: Sharing,
    /// The treatment of a target in which a restore has not finished.
    pub unfinished: Unfinished,
    /// The treatment of files that can't be restored whole.
    pub losses: Losses,
    /// The owner of everything that is restored. Without it, files belong to the user who restores,
    /// and the entries of a tar to the owners that it names.
    pub owner: Option<Ownership>,
    /// The purpose of the files.
    pub purpose: Purpose,
}

impl RestoreOptions {
    /// Creates the options of a restore of everything, with this number of worker threads. It
    /// refuses a target that others can write to or that is not empty, and fails at the first file
    /// that can't be restored whole.
    pub fn new(workers: u32) -> Self {
        Self {
            include: Vec::new(),
            into: None,
            workers,
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

impl Default for RestoreOptions {
    fn default() -> Self {
        Self::new(1)
    }
}

/// The treatment of the device nodes in a tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// They are left out and reported.
    #[default]
    Skip,
    /// They are made, if this is root.
    Make,
}

/// The treatment of a target that others than its owner and root can write to, or can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// It is refused. A group that only the owner is in, by these accounts, is no other.
    Refuse(Accounts),
    /// It is used like any other target.
    Allow,
}

impl Default for Sharing {
    fn default() -> Self {
        Self::Refuse(Accounts::default())
    }
}

/// The treatment of a target in which a restore has not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unfinished {
    /// The restore is refused.
    #[default]
    Refuse,
    /// The restore goes on, if it is the same: blocks that are there and right are not fetched.
    Resume,
}

/// The treatment of files that can't be restored whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Losses {
    /// The restore fails if there are any.
    #[default]
    Fail,
    /// They are left out and named, and all others are restored.
    LeaveOut,
}

/// The purpose of restored files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Any purpose; nothing is required of them.
    #[default]
    Files,
    /// They are prepared: the backup must be a physical one, and all of it is needed.
    Prepare,
    /// Some of them are prepared with what every table needs; other files are not there.
    Part,
}
