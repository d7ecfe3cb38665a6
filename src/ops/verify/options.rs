//! The options of a verification.

use crate::base::error::Malformed;
use crate::format::verified::Verified;
use crate::ops::verify::depth::Depth;
use crate::repo::snapshots::StoredSnapshot;

/// The options that a user chooses for a verification.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The depth of the verification.
    pub depth: Depth,
    /// The snapshots to verify; empty for all.
    pub snapshots: Vec<StoredSnapshot>,
    /// Number of worker threads that verify.
    pub workers: u32,
    /// The record of what was verified that this host keeps, because it could not put it into the
    /// repository; empty if there is none.
    pub known_here: Vec<u8>,
    /// Whether what was verified is recorded.
    pub remember: Remember,
}

/// Whether a verification records what it verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remember {
    /// It is recorded in the repository.
    InRepository,
    /// It is a part of other work, which says what it found and leaves no trace.
    Nowhere,
}

impl VerifyOptions {
    /// Returns the options that verify all snapshots to this depth, with one worker.
    pub fn new(depth: Depth) -> Self {
        Self {
            depth,
            snapshots: Vec::new(),
            workers: 1,
            known_here: Vec::new(),
            remember: Remember::InRepository,
        }
    }

    /// Reads what this host keeps; nothing if it keeps nothing.
    pub(super) fn known(&self) -> Option<Result<Verified, Malformed>> {
        (!self.known_here.is_empty()).then(|| Verified::decode(&self.known_here))
    }
}

/// Whether a verification knows of all snapshots that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// It read them all.
    All,
    /// Some were chosen, or some can't be read.
    Some,
}
