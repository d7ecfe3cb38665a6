//! The wishes of who compacts, and what came of them.

use std::time::Duration;

use crate::base::ids::PackName;
use crate::base::limits::PACK_BYTES_MAX;

/// Entries of chosen packs whose hashes are held at a time.
pub const ENTRIES_MAX: u64 = 3 << 20;

/// The treatment of a repository that was never compacted: programs that do not know compaction
/// refuse it from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstTime {
    /// The compaction is refused.
    #[default]
    Refused,
    /// The feature is set.
    SetsFeature,
}

/// The options that a user chooses for a compaction.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Percent of the bytes in use that may be unused beside them.
    pub max_unused: u64,
    /// Percent of all bytes of packs that are written again at most.
    pub max_rewrite: u64,
    /// Bytes of the largest new pack.
    pub pack_bytes: usize,
    /// The time after which a pass ends.
    pub pass: Duration,
    /// What happens in a repository that was never compacted.
    pub first_time: FirstTime,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            max_unused: 10,
            max_rewrite: 2,
            pack_bytes: PACK_BYTES_MAX,
            pass: Duration::from_mins(8),
            first_time: FirstTime::default(),
        }
    }
}

/// What a compaction would do, by the counts in need lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactPlan {
    /// The number of packs that are taken apart.
    pub packs: u64,
    /// Bytes that are read of them, about.
    pub read_bytes: u64,
    /// Bytes that are written, about.
    pub written_bytes: u64,
    /// Bytes that are freed, about.
    pub freed_bytes: u64,
}

/// What a compaction has done.
#[derive(Debug, Default)]
pub struct CompactReport {
    /// The packs that were taken apart and deleted.
    pub compacted: Vec<PackName>,
    /// The number of new packs.
    pub made: u64,
    /// Bytes of the new packs.
    pub written_bytes: u64,
    /// Bytes of the packs that were deleted.
    pub deleted_bytes: u64,
    /// Chosen packs that were left as they are, and why.
    pub left: Vec<(PackName, String)>,
    /// Deletions that the store refused, in words.
    pub refused: Vec<String>,
}
