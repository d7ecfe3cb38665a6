//! Shapes that `--json` has in more than one report.
//!
//! Scripts build on the names: they are added to, never changed. Those of one verb stand with its
//! report.

use std::time::Duration;

use haulout::repo::PageCounts;
use haulout::world::Counts;
use serde::Serialize;

use crate::fail::failure::Failure;
use crate::proc_status;

/// The figures that every successful command reports.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Effort {
    /// Wall time, without asking for a password and opening the repository with it.
    seconds: f64,
    /// Maximum resident memory of the process, in bytes.
    pub(crate) peak_memory_bytes: u64,
}

impl Effort {
    /// Returns the effort of work that took this time and has just ended.
    pub(crate) fn of(time: Duration) -> Self {
        Self { seconds: seconds(time), peak_memory_bytes: proc_status::peak_memory_bytes() }
    }
}

/// Returns seconds, rounded to milliseconds.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Numbers of blocks by how they were stored.
#[derive(Debug, Serialize)]
pub(crate) struct Blocks {
    zero: u64,
    same: u64,
    delta: u64,
    moved: u64,
    whole: u64,
    missed: u64,
    healed: u64,
}

impl From<&Counts> for Blocks {
    fn from(counts: &Counts) -> Self {
        Self {
            zero: counts.blocks_zero,
            same: counts.blocks_same,
            delta: counts.blocks_delta,
            moved: counts.blocks_moved,
            whole: counts.blocks_whole,
            missed: counts.blocks_missed,
            healed: counts.blocks_healed,
        }
    }
}

/// Numbers of pages by the result of their checks.
#[derive(Debug, Serialize)]
pub(crate) struct Pages {
    verified: u64,
    unverifiable: u64,
    corrupt: u64,
    zero: u64,
}

impl From<&Counts> for Pages {
    fn from(counts: &Counts) -> Self {
        Self {
            verified: counts.pages_verified,
            unverifiable: counts.pages_unverifiable,
            corrupt: counts.pages_corrupt,
            zero: counts.pages_zero,
        }
    }
}

impl From<&PageCounts> for Pages {
    fn from(counts: &PageCounts) -> Self {
        let PageCounts { verified, unverifiable, corrupt, zero } = *counts;
        Self { verified, unverifiable, corrupt, zero }
    }
}

/// The JSON report of a command that failed.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    error: FailureReport,
}

#[derive(Debug, Serialize)]
struct FailureReport {
    code: &'static str,
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hint: String,
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Self {
        let (code, kind) = (failure.code().as_str(), failure.kind().as_str());
        let (message, causes) = (failure.message(), failure.causes());
        Self {
            error: FailureReport { code, kind, message, causes, hint: failure.hint().to_owned() },
        }
    }
}
