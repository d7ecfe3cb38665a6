//! The use of an operation's memory, and how much is done at once within it: workers first, then
//! packs that are being stored, then members of the stream that are open.
//!
//! The figures bound what was measured, with bytes that can't be compressed, which is the worst
//! case: every pack is full at once. Peaks in MiB, with 2 processors:
//!
//! | over a network, with `--memory` | 96 | 128 | 256 |
//! |---|---|---|---|
//! | backup | 91 | 92 | 223 |
//! | restore | 74 | 103 | 180 |
//! | verify | 76 | 117 | 154 |
//! | a night that compares with other tables | 87 | 87 | 92 |
//! | replicate, the same keys | 75 | 75 | 169 |
//!
//! A copy that is re-encrypted restores and backs up at once, and is counted so: 137 MiB is the
//! least that it takes (one worker), 164 of 256.

use crate::base::limits::PACK_BYTES_MAX;
use crate::base::limits::SMALL_PACK_BYTES_MAX;
use crate::base::num::usize_of;
use crate::pipeline::uploader::UPLOADS_AT_ONCE;

/// The least memory in bytes with which anything runs.
pub const MEMORY_MIN: u64 = 96 << 20;
/// The least memory in bytes with which snapshots are re-encrypted.
pub const REENCRYPT_MEMORY_MIN: u64 = 144 << 20;
/// A pack, being filled or stored.
const PACK: u64 = 32 << 20;
/// With less memory, packs are smaller: two of the large ones would leave too little for all else.
const SMALL_PACKS_BELOW: u64 = 128 << 20;
/// Reads from an object store at once, if the memory allows it.
const REMOTE_READERS: u32 = 8;
/// Packs that are put into an object store at once, if the memory allows it.
const REMOTE_UPLOADS_MAX: u64 = 16;
/// Bytes of open members in memory, at the least.
const OPEN_BYTES_MIN: u64 = 8 << 20;
/// The divisor that gives the part of the memory that open members may have.
const OPEN_PART: u64 = 12;
/// The divisor that gives the part of the memory for what is known of tables that were rebuilt.
const LEAF_PART: u64 = 32;
/// The divisor that gives the part of the memory for the stream while the producer's server stands
/// still.
const TAIL_PART: u64 = 64;
/// Bytes for that with any amount of memory.
const TAIL_BYTES: u64 = 4 << 20;
/// Bytes for what is known of rebuilt tables with any amount of memory.
const LEAF_BYTES: u64 = 8 << 20;

/// The work that an operation does with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Compares, compresses and stores.
    Writes,
    /// Fetches, decodes and hands out.
    Reads,
    /// Does both, where snapshots are re-encrypted for other keys.
    Reencrypts,
}

/// The way in which a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is a directory of this machine.
    Disk,
    /// It is an object store.
    Network,
}

/// The number of workers that the user asks for, and that of processors, which it follows from
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processors {
    /// Number of workers that the user asks for, if any.
    pub asked: Option<u32>,
    /// Number of processors that the machine has.
    pub present: u32,
}

impl Processors {
    /// Returns how many workers may compress more than they must beside a producer on the same
    /// machine: half of the processors, unless the user asked for a number of workers.
    pub fn beside_producer(self) -> u32 {
        self.asked.unwrap_or(self.present / 2)
    }
}

/// Bytes that a kind of work takes.
struct Need {
    /// Bytes that it takes with any number of workers.
    fixed: u64,
    /// Bytes that it takes for each worker.
    worker: u64,
}

/// Compares and compresses, while one pack is filled and two are being stored.
const WRITES: Need = Need { fixed: (32 << 20) + 3 * PACK, worker: 8 << 20 };
/// Fetches batches, and holds them until it is their turn.
const READS: Need = Need { fixed: 56 << 20, worker: 16 << 20 };
const REENCRYPTS: Need =
    Need { fixed: READS.fixed + WRITES.fixed, worker: READS.worker + WRITES.worker };

/// The limits on what is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// Number of worker threads in a run.
    pub workers: u32,
    /// Packs that a backup stores, each of them in memory.
    pub uploads: u32,
    /// Bytes of the largest pack of data that a backup makes.
    pub pack_bytes: usize,
    /// Bytes of members that have begun and not ended which may be in memory; the rest goes to a
    /// temporary file.
    pub open_bytes: usize,
    /// Bytes for the keys with which the leaves of tables begin that were rebuilt.
    pub leaf_bytes: usize,
    /// Bytes of the stream that wait in memory while the producer's server stands still.
    pub tail_bytes: usize,
}

impl Default for AtOnce {
    /// Returns what suits a repository in a directory, with one worker: the library does not ask
    /// the machine how many processors it has.
    fn default() -> Self {
        Self::with_workers(1)
    }
}

impl AtOnce {
    /// Returns what suits a repository in a directory, and any amount of memory.
    pub fn with_workers(workers: u32) -> Self {
        Self {
            workers,
            uploads: UPLOADS_AT_ONCE,
            pack_bytes: PACK_BYTES_MAX,
            open_bytes: usize_of(OPEN_BYTES_MIN),
            leaf_bytes: usize_of(LEAF_BYTES),
            tail_bytes: usize_of(TAIL_BYTES),
        }
    }

    /// Returns what fits into `memory` bytes. The number of workers is the one that is `asked` for,
    /// or follows from the number of processors, but it is no larger than the memory allows.
    pub fn within(memory: u64, work: Work, reach: Reach, processors: Processors) -> Self {
        let Processors { asked, present } = processors;
        let (need, wanted) = match (work, reach) {
            // Most of them wait for the network.
            (Work::Reads, Reach::Network) => (READS, present.max(REMOTE_READERS)),
            (Work::Reads, Reach::Disk) => (READS, present),
            (Work::Reencrypts, _) => (REENCRYPTS, present),
            (Work::Writes, _) => (WRITES, present),
        };
        let affordable = memory.saturating_sub(need.fixed) / need.worker;
        let affordable = u32::try_from(affordable).unwrap_or(u32::MAX).max(1);
        let workers = asked.unwrap_or(wanted).clamp(1, affordable);
        // Two are enough for a disk. Over a network each waits for a round trip, and has its share
        // of a connection's rate only.
        let uploads_max = match reach {
            Reach::Disk => UPLOADS_AT_ONCE.into(),
            Reach::Network => REMOTE_UPLOADS_MAX,
        };
        // With little memory there is but one.
        let (leaves, tail) = (memory / LEAF_PART, memory / TAIL_PART);
        let others = WRITES.fixed - 2 * PACK + WRITES.worker * u64::from(workers) + leaves + tail;
        let uploads = (memory.saturating_sub(others) / PACK).clamp(1, uploads_max);
        Self {
            workers,
            uploads: u32::try_from(uploads).unwrap_or(1),
            pack_bytes: if memory < SMALL_PACKS_BELOW {
                SMALL_PACK_BYTES_MAX
            } else {
                PACK_BYTES_MAX
            },
            open_bytes: usize_of((memory / OPEN_PART).max(OPEN_BYTES_MIN)),
            leaf_bytes: usize_of(leaves),
            tail_bytes: usize_of(tail),
        }
    }
}
