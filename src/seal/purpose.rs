//! The purposes of the keys that derive from the repository key: what each is for, which of them a
//! write-only key has, and which a rotation replaces.
//!
//! It names purposes and holds no key.

use std::fmt;

/// The purpose of a key of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The key hashes the content of blocks.
    BlockHash,
    /// The key decides where content-defined blocks begin.
    Cut,
    /// The key hashes names of sources for object names.
    Source,
    /// The key hashes the paths of files.
    Path,
    /// The key seals snapshot objects.
    Snapshot,
    /// The key seals all other small objects.
    SmallObject,
    /// The key wraps the secrets of runs for meta packs.
    RunMeta,
    /// The key wraps the secrets of runs for data packs.
    RunData,
    /// The key makes the tag of `config`.
    Config,
    /// The seed of the key pair that write-only keys seal to.
    Recovery,
    /// The key makes the tags of fences and removals.
    Prune,
}

impl Purpose {
    /// Every purpose, in the order of the enum.
    pub const ALL: [Self; 11] = [
        Self::BlockHash,
        Self::Cut,
        Self::Source,
        Self::Path,
        Self::Snapshot,
        Self::SmallObject,
        Self::RunMeta,
        Self::RunData,
        Self::Config,
        Self::Recovery,
        Self::Prune,
    ];

    /// The keys in the slot of a write-only key, in the order in which they are stored: no key that
    /// opens a data pack, and none that removes.
    pub(super) const WRITE_ONLY: [Self; 8] = [
        Self::BlockHash,
        Self::Cut,
        Self::Source,
        Self::Path,
        Self::Snapshot,
        Self::SmallObject,
        Self::RunMeta,
        Self::Config,
    ];

    /// The keys that every later generation adds to the slot of a write-only key, in this order.
    pub(super) const WRITE_ONLY_LATER: [Self; 3] =
        [Self::Snapshot, Self::SmallObject, Self::RunMeta];

    /// Tells whether the key derives from the newest generation. Hashes, cuts, names and the tag of
    /// `config` stay: with others nothing that is stored would be found again.
    pub const fn rotates(self) -> bool {
        match self {
            Self::BlockHash | Self::Cut | Self::Source | Self::Path | Self::Config => false,
            Self::Snapshot
            | Self::SmallObject
            | Self::RunMeta
            | Self::RunData
            | Self::Recovery
            | Self::Prune => true,
        }
    }

    /// Returns the context string that the key derives with.
    pub const fn context(self) -> &'static str {
        match self {
            Self::BlockHash => "haulout 1 2026 block hash key",
            Self::Cut => "haulout 1 2026 cut key",
            Self::Source => "haulout 1 2026 source key",
            Self::Path => "haulout 1 2026 path key",
            Self::Snapshot => "haulout 1 2026 snapshot key",
            Self::SmallObject => "haulout 1 2026 small object key",
            Self::RunMeta => "haulout 1 2026 run meta wrap key",
            Self::RunData => "haulout 1 2026 run data wrap key",
            Self::Config => "haulout 1 2026 config key",
            Self::Recovery => "haulout 1 2026 recovery key",
            Self::Prune => "haulout 1 2026 prune key",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BlockHash => "block hash key",
            Self::Cut => "cut key",
            Self::Source => "source key",
            Self::Path => "path key",
            Self::Snapshot => "snapshot key",
            Self::SmallObject => "small object key",
            Self::RunMeta => "key to meta packs",
            Self::RunData => "key to data packs",
            Self::Config => "config key",
            Self::Recovery => "recovery key",
            Self::Prune => "prune key",
        })
    }
}
