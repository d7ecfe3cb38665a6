//! When snapshots were verified, and how deep, for those who list them.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SnapshotId;
use crate::format::verified::By;
use crate::format::verified::Verified;
use crate::ops::verify::Depth;
use crate::repo::Repository;

/// When the snapshots of a repository were verified.
#[derive(Debug, Default)]
pub struct History {
    record: Verified,
    /// Why not everything is known that is recorded.
    pub unread: Vec<Error>,
}

/// The last verification of all that a snapshot needs to a depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastVerified {
    /// The depth that it reached.
    pub depth: Depth,
    /// When it was verified; of several verifications, the oldest. Seconds since 1970.
    pub time: u64,
    /// The program that verified.
    pub program: String,
}

impl History {
    /// Reads what a repository knows. What can't be read counts as not recorded.
    pub fn read(repository: &Repository) -> Result<Self> {
        match repository.verified_records() {
            Ok(mut found) => {
                let mut unread = std::mem::take(&mut found.damaged);
                unread.append(&mut found.passed_over);
                Ok(Self { record: found.merged(), unread })
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(error) => Ok(Self { unread: vec![error], ..Self::default() }),
        }
    }

    /// Returns the last verifications of a snapshot, the deepest first; those that are less deep
    /// only if they are later.
    pub fn of(&self, id: SnapshotId) -> Vec<LastVerified> {
        let Some(depths) = self.record.snapshots.get(&id.into()) else { return Vec::new() };
        let mut deeper = By::NONE;
        let mut known = Vec::new();
        for depth in Depth::ALL.into_iter().rev() {
            let by = depths[depth.index()];
            if by > deeper
                && let Some(verification) = self.record.verification(by)
            {
                let program = verification.program.clone();
                known.push(LastVerified { depth, time: verification.time, program });
            }
            deeper = deeper.max(by);
        }
        known
    }
}
