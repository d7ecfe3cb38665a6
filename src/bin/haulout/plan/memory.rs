//! What `--memory` has room for: workers first, then packs on their way.
//!
//! The figures bound what was measured, with bytes that can't be compressed, which is the worst
//! case: every pack is full at once. Peaks, MiB, with 2 processors:
//!
//! | over a network, with `--memory` | 96 | 128 | 256 |
//! |---|---|---|---|
//! | backup | 91 | 92 | 223 |
//! | restore | 74 | 103 | 180 |
//! | verify | 76 | 117 | 154 |
//! | a night that changes donors | 87 | 87 | 92 |
//! | replicate, the same keys | 75 | 75 | 169 |
//!
//! What is sealed anew is restored and backed up at once, and counted so: 137 MiB is the least that
//! it takes (one worker), 164 of 256.

use haulout::pipeline::uploader::UPLOADS_AT_ONCE;
use haulout::store::place::Place;

use crate::args::Common;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::plan::Job;
use crate::units::ByteCount;

/// Less than this and nothing runs.
const MIN: ByteCount = ByteCount(96 << 20);
/// Less than this and nothing is sealed anew.
pub(crate) const CARRIES_MIN: ByteCount = ByteCount(144 << 20);
/// A pack, being filled or on its way.
const PACK: u64 = 32 << 20;
/// Reads from an object store at once, if the memory allows it.
const REMOTE_READERS: u32 = 8;
/// Packs that are put into an object store at once, if the memory allows it.
const REMOTE_UPLOADS_MAX: u64 = 16;

/// What a job uses.
struct Need {
    /// Whatever it does.
    fixed: u64,
    /// For each worker.
    worker: u64,
}

/// Compares and compresses, while one pack is filled and two are on their way.
const WRITES: Need = Need { fixed: (32 << 20) + 3 * PACK, worker: 8 << 20 };
/// Fetches windows, and holds them until it is their turn.
const READS: Need = Need { fixed: 56 << 20, worker: 16 << 20 };
/// Does both, where snapshots are sealed anew for other keys.
const CARRIES: Need =
    Need { fixed: READS.fixed + WRITES.fixed, worker: READS.worker + WRITES.worker };

/// How much is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtOnce {
    /// Worker threads.
    pub(crate) workers: u32,
    /// Packs that a backup stores.
    pub(crate) uploads: u32,
}

impl AtOnce {
    /// What fits into the memory that was given.
    pub(crate) fn new(
        common: &Common,
        (place, job): (&Place, &Job),
        processors: u32,
    ) -> Outcome<AtOnce> {
        let memory = common.memory;
        if memory < MIN {
            return Err(Failure::usage(
                format!("--memory {memory} is too little"),
                format!("give at least {MIN}"),
            ));
        }
        let (need, wanted) = match (place, job) {
            // Most of them wait for the network.
            (
                Place::Bucket { .. },
                Job::Restore(_) | Job::Verify(_) | Job::Repair(_) | Job::Cat(..),
            ) => (READS, processors.max(REMOTE_READERS)),
            (
                Place::Directory(_),
                Job::Restore(_) | Job::Verify(_) | Job::Repair(_) | Job::Cat(..),
            ) => (READS, processors),
            (_, Job::Replicate(_)) => (CARRIES, processors),
            _ => (WRITES, processors),
        };
        let affordable = memory.0.saturating_sub(need.fixed) / need.worker;
        let affordable = u32::try_from(affordable).unwrap_or(u32::MAX).max(1);
        let workers = common.threads.unwrap_or(wanted).clamp(1, affordable);
        // Two are enough for a disk. Over a network each waits for a round trip, and has its share
        // of a connection's rate only.
        let uploads_max = match place {
            Place::Directory(_) => UPLOADS_AT_ONCE.into(),
            Place::Bucket { .. } => REMOTE_UPLOADS_MAX,
        };
        // With little memory there is but one.
        let others = WRITES.fixed - 2 * PACK + WRITES.worker * u64::from(workers);
        let uploads = (memory.0.saturating_sub(others) / PACK).clamp(1, uploads_max);
        Ok(AtOnce { workers, uploads: u32::try_from(uploads).unwrap_or(1) })
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::plan;

    fn at_once(line: &str) -> (u32, u32) {
        let plan = plan(&format!("haulout -r {line}")).unwrap();
        (plan.workers, plan.uploads)
    }

    #[test]
    fn memory_bounds_the_workers_of_a_backup_and_then_its_packs() {
        assert_eq!(at_once("/x backup"), (8, 2));
        assert_eq!(at_once("/x backup --threads 2"), (2, 2));
        assert_eq!(at_once("/x backup --memory 96MiB"), (1, 1));
        assert_eq!(at_once("/x backup --memory 144M"), (2, 2));
        assert_eq!(at_once("/x backup --memory 1G --threads 1000"), (112, 2));
        assert_eq!(at_once("s3://b/x backup"), (8, 4));
        assert_eq!(at_once("s3://b/x backup --threads 2"), (2, 5));
        assert_eq!(at_once("s3://b/x backup --memory 1G"), (8, 16));
    }

    #[test]
    fn memory_bounds_the_windows_of_a_restore() {
        assert_eq!(at_once("/x restore latest --to /y").0, 8);
        assert_eq!(at_once("s3://b/x restore latest --to /y").0, 8);
        assert_eq!(at_once("s3://b/x restore latest --to /y --threads 99").0, 12);
        assert_eq!(at_once("s3://b/x verify --memory 96MiB").0, 2);
        assert_eq!(at_once("/x replicate --to /y --threads 99").0, 3);
    }

    #[test]
    fn too_little_memory_is_refused() {
        let failure = plan("haulout -r /x snapshots --memory 95M").unwrap_err();
        assert_eq!(failure.message(), "--memory 95.0 MiB is too little");
        assert_eq!(failure.hint(), "give at least 96.0 MiB");
    }
}
