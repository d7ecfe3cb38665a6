//! What a user may ask of a restore besides where it goes.

use super::accounts::Accounts;
use super::accounts::Owners;

/// What a user asks of a restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Globs over paths; empty for everything.
    pub include: Vec<String>,
    /// Worker threads.
    pub workers: u32,
    /// Whether the device nodes of an archive are made.
    pub devices: Devices,
    /// How the owners of a tar are found.
    pub owners: Owners,
    /// What happens with a target that other users can write to.
    pub sharing: Sharing,
}

impl Default for RestoreOptions {
    fn default() -> RestoreOptions {
        RestoreOptions {
            include: Vec::new(),
            workers: 1,
            devices: Devices::default(),
            owners: Owners::default(),
            sharing: Sharing::default(),
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
    /// It is used.
    Allow,
}

impl Default for Sharing {
    fn default() -> Sharing {
        Sharing::Refuse(Accounts::default())
    }
}
