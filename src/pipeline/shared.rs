//! The state that all workers of a run share, and the budget of their reads of bases.
//!
//! Bases are read from the repository while the stream waits, so they have a budget: when reading
//! them has taken more than its share of the run's time, changed blocks are stored whole and
//! counted as missed. A stalled producer overruns its redo log; a larger backup is better than
//! none.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::ids::Locator;
use crate::base::ids::Storage;
use crate::base::monitor::Monitor;
use crate::encode::Level;
use crate::encode::ReadBack;
use crate::format::config::Features;
use crate::pack::reader::Packs;
use crate::pipeline::level::LevelControl;
use crate::pipeline::presence::PackPresence;
use crate::pipeline::rebuilt::LeafBudget;

/// Time that reading bases may always take, before it is compared with the run's.
const BASE_TIME_FREE: Duration = Duration::from_secs(5);
/// Reading bases may take one part in this many of all workers' time.
const BASE_TIME_SHARE: u32 = 3;

/// The state that all workers of a run share.
#[derive(Debug)]
pub struct Shared {
    /// Packs that bases are read from.
    pub packs: Arc<Packs>,
    /// The presence of the packs in the store.
    pub presence: Arc<PackPresence>,
    /// Counters, and the user's wish to stop.
    pub monitor: Arc<Monitor>,
    /// Time, for the budget of base reads.
    pub clock: Arc<dyn Clock>,
    /// The read-back of encoded data, on or off.
    pub read_back: ReadBack,
    /// The compression level of whole blocks.
    pub level: Level,
    /// The control of that level, if it is `auto`.
    pub control: LevelControl,
    /// Required features of the repository: what may be written to it.
    pub features: Features,
    /// Number of workers in this run.
    pub workers: u32,
    /// The memory for what is known of tables that were rebuilt.
    pub leaf_budget: Arc<LeafBudget>,
    /// Time spent reading bases so far, microseconds.
    pub base_micros: AtomicU64,
}

impl Shared {
    /// Reads whole blocks, each `None` if it can't be had; `None` if that has taken too much of the
    /// run's time already.
    pub(super) fn read_in_time(
        &self,
        read: impl FnOnce() -> Vec<Option<Vec<u8>>>,
    ) -> Option<Vec<Option<Vec<u8>>>> {
        let start = self.clock.elapsed();
        let spent = Duration::from_micros(self.base_micros.load(Ordering::Relaxed));
        if spent > BASE_TIME_FREE && spent > start * self.workers / BASE_TIME_SHARE {
            return None;
        }
        let bases = read();
        let taken = self.clock.elapsed().saturating_sub(start).as_micros();
        self.base_micros.fetch_add(u64::try_from(taken).unwrap_or(u64::MAX), Ordering::Relaxed);
        Some(bases)
    }

    /// Tells whether a whole block can be read as a base.
    pub(super) fn is_base(&self, at: Locator) -> bool {
        self.packs.opens_data() && self.presence.is_usable(Storage::Whole(at))
    }
}
