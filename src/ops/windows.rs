//! Work in windows: one thread plans, several work, results come back in the order of the plan.
//!
//! Two windows more than there are workers are in progress, each of about [`WINDOW_BYTES`]: that,
//! and what each worker has fetched, is the memory.

use rustix::process::Resource;
use rustix::process::getrlimit;

use crate::base::buffers::Buffers;
use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::Result;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;
use crate::base::num::wide;

/// Raw bytes of a window.
pub(super) const WINDOW_BYTES: u64 = 8 << 20;
/// Small windows are handed over together until they weigh this much: files of a few bytes are
/// many.
const BUNDLE_BYTES: u64 = 1 << 20;
/// Most windows in a bundle. A restore holds the file of each open.
const BUNDLE_MAX: u64 = 32;
/// Open files that are not those of windows: the store, the target, standard streams.
const OTHER_FILES: u64 = 40;

/// Returns buffers for windows that become bytes in memory: they end with the block that makes them
/// full.
pub(super) fn buffers() -> Buffers {
    Buffers::new(narrow(WINDOW_BYTES) + BLOCK_BYTES_MAX)
}

/// A piece of work.
pub(super) trait Window: Send {
    /// Returns the raw bytes that the window stands for.
    fn weight(&self) -> u64;
}

/// Where the planner sends windows.
pub(super) struct Sender<'l, W> {
    hand_over: &'l dyn Fn(Vec<W>) -> Result<()>,
    bundle_max: u64,
    bundle: Vec<W>,
    weight: u64,
}

impl<W: Window> Sender<'_, W> {
    /// Hands a window over; waits while enough are in progress.
    pub(super) fn send(&mut self, window: W) -> Result<()> {
        self.weight += window.weight();
        self.bundle.push(window);
        if self.weight >= BUNDLE_BYTES || wide(self.bundle.len()) == self.bundle_max {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.bundle.is_empty() {
            return Ok(());
        }
        self.weight = 0;
        (self.hand_over)(std::mem::take(&mut self.bundle))
    }
}

/// Returns how many windows a bundle may have so that the files of all bundles can be open at once.
fn bundle_max(bundles: u64, open_files_max: Option<u64>) -> u64 {
    let of_windows = open_files_max.map_or(u64::MAX, |max| max.saturating_sub(OTHER_FILES));
    (of_windows / bundles).clamp(1, BUNDLE_MAX)
}

/// Plans on one thread, works on `workers`, and takes the results in order on this one.
pub(super) fn run<W: Window, R: Send>(
    (workers, monitor): (u32, &Monitor),
    plan: impl FnOnce(&mut Sender<'_, W>) -> Result<()> + Send,
    work: impl Fn(W) -> Result<R> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    // A bundle weighs one, whatever is in it.
    let weight_max = u64::from(workers.max(1)) + 2;
    let shape = Shape { workers, weight_max, monitor };
    let bundle_max = bundle_max(weight_max, getrlimit(Resource::Nofile).current);
    crew::in_order(
        shape,
        |planner| {
            let hand_over = |bundle: Vec<W>| planner.work(1, bundle);
            let mut sender =
                Sender { hand_over: &hand_over, bundle_max, bundle: Vec::new(), weight: 0 };
            plan(&mut sender)?;
            sender.flush()
        },
        || |bundle: Vec<W>| bundle.into_iter().map(&work).collect::<Result<Vec<R>>>(),
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
                let windows = bundle_max(bundles, Some(limit));
                assert!((1..=BUNDLE_MAX).contains(&windows), "{bundles} {limit}: {windows}");
                assert!(windows == 1 || windows * bundles + OTHER_FILES <= limit);
            }
            assert_eq!(bundle_max(bundles, Some(16)), 1);
            assert_eq!(bundle_max(bundles, None), BUNDLE_MAX);
        }
    }
}
