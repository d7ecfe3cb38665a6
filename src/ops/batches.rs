//! Ordered batches of work: one thread plans them, several work on them, and the results come back
//! in the order of the plan.
//!
//! It is [`crew`] for batches whose size is known in bytes and that may be tiny: small ones are
//! handed over in bundles, since a file of a few bytes is not worth a change of threads.
//!
//! - Two bundles more than there are workers are in progress, each of about [`BATCH_BYTES`]. They,
//!   and what each worker has fetched, are the memory that it takes.
//! - The files of all batches in progress can be open at once (`RLIMIT_NOFILE`).

use rustix::process::Resource;
use rustix::process::getrlimit;

use crate::base::buffers::Buffers;
use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::Result;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;

/// The size at which a planner ends a batch, in raw bytes.
pub(super) const BATCH_BYTES: u64 = 8 << 20;
/// Small batches are handed over together until they weigh this much.
const BUNDLE_BYTES: u64 = 1 << 20;
/// Most batches in a bundle. A restore holds the file of each open.
const BUNDLE_MAX: u64 = 32;
/// Most files that a restore plans side by side; each is open.
pub(super) const PLANNED_FILES_MAX: usize = 8;
/// Open files that are not those of batches: the store, the target, standard streams, and those
/// that are planned side by side.
const OTHER_FILES: u64 = 48;

/// Returns buffers for batches that become bytes in memory: a batch ends with the block that
/// makes it full.
pub(super) fn buffers() -> Buffers {
    Buffers::new(usize_of(BATCH_BYTES) + BLOCK_BYTES_MAX)
}

/// A piece of work whose size is known.
pub(super) trait Batch: Send {
    /// Returns the raw bytes that the batch stands for.
    fn weight(&self) -> u64;
}

/// Hands the planner's batches to the workers.
pub(super) struct Sender<'l, B> {
    hand_over: &'l dyn Fn(Vec<B>) -> Result<()>,
    bundle_max: u64,
    bundle: Vec<B>,
    weight: u64,
}

impl<B: Batch> Sender<'_, B> {
    /// Hands a batch over; waits while as many as may be are in progress.
    pub(super) fn send(&mut self, batch: B) -> Result<()> {
        self.weight += batch.weight();
        self.bundle.push(batch);
        if self.weight >= BUNDLE_BYTES || u64_of(self.bundle.len()) == self.bundle_max {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands over the bundle, full or not.
    fn flush(&mut self) -> Result<()> {
        if self.bundle.is_empty() {
            return Ok(());
        }
        self.weight = 0;
        (self.hand_over)(std::mem::take(&mut self.bundle))
    }
}

/// Returns how many batches a bundle may have so that the files of all bundles can be open at once.
fn bundle_max(bundles: u64, open_files_max: Option<u64>) -> u64 {
    let of_batches = open_files_max.map_or(u64::MAX, |max| max.saturating_sub(OTHER_FILES));
    (of_batches / bundles).clamp(1, BUNDLE_MAX)
}

/// Plans on one thread, works on `workers`, and takes the results in order on this one.
pub(super) fn in_order<B: Batch, R: Send>(
    workers: u32,
    monitor: &Monitor,
    plan: impl FnOnce(&mut Sender<'_, B>) -> Result<()> + Send,
    work: impl Fn(B) -> Result<R> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    // A bundle weighs one, whatever is in it.
    let weight_max = u64::from(workers.max(1)) + 2;
    let shape = Shape { planner: "plan", workers, weight_max, monitor };
    let bundle_max = bundle_max(weight_max, getrlimit(Resource::Nofile).current);
    crew::in_order(
        shape,
        |planner| {
            let hand_over = |bundle: Vec<B>| planner.work(1, bundle);
            let mut sender =
                Sender { hand_over: &hand_over, bundle_max, bundle: Vec::new(), weight: 0 };
            plan(&mut sender)?;
            sender.flush()
        },
        || |bundle: Vec<B>| bundle.into_iter().map(&work).collect::<Result<Vec<R>>>(),
        |done: Vec<R>| done.into_iter().try_for_each(&mut take),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_all_bundles_fit_the_limit_of_open_files() {
        for bundles in [3, 4, 6, 18, 66] {
            for limit in [128, 256, 1024, 1 << 20] {
                let batches = bundle_max(bundles, Some(limit));
                assert!((1..=BUNDLE_MAX).contains(&batches), "{bundles} {limit}: {batches}");
                assert!(batches == 1 || batches * bundles + OTHER_FILES <= limit);
            }
            assert_eq!(bundle_max(bundles, Some(16)), 1);
            assert_eq!(bundle_max(bundles, None), BUNDLE_MAX);
        }
    }
}
