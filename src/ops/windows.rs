//! Work in windows: one thread plans, several work, results come back in the order of the plan.
//!
//! Two windows more than there are workers are under way, each of about [`WINDOW_BYTES`]: that, and
//! what each worker has fetched, is the memory.

use crate::base::buffers::Buffers;
use crate::base::crew;
use crate::base::crew::Shape;
use crate::base::error::Result;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::num::narrow;

/// Raw bytes of a window.
pub(super) const WINDOW_BYTES: u64 = 8 << 20;
/// Small windows are handed over together until they weigh this much: files of a few bytes are
/// many.
const BUNDLE_BYTES: u64 = 1 << 20;
/// Most windows in a bundle. A restore holds the file of each open, and two bundles more than there
/// are workers are under way: below the smallest usual limit of 256 files with 4 workers.
const BUNDLE_MAX: usize = 32;

/// For windows that become bytes in memory: they end with the block that makes them full.
pub(super) fn buffers() -> Buffers {
    Buffers::new(narrow(WINDOW_BYTES) + BLOCK_BYTES_MAX)
}

/// A piece of work.
pub(super) trait Window: Send {
    /// Raw bytes that it stands for.
    fn weight(&self) -> u64;
}

/// Where the planner sends windows.
pub(super) struct Sender<'l, W> {
    hand_over: &'l dyn Fn(Vec<W>) -> Result<()>,
    bundle: Vec<W>,
    weight: u64,
}

impl<W: Window> Sender<'_, W> {
    /// Hands a window over; waits while enough are under way.
    pub(super) fn send(&mut self, window: W) -> Result<()> {
        self.weight += window.weight();
        self.bundle.push(window);
        if self.weight >= BUNDLE_BYTES || self.bundle.len() == BUNDLE_MAX {
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

/// Plans on one thread, works on `workers`, and takes the results in order on this one.
pub(super) fn run<W: Window, R: Send>(
    (workers, monitor): (u32, &Monitor),
    plan: impl FnOnce(&mut Sender<'_, W>) -> Result<()> + Send,
    work: impl Fn(W) -> Result<R> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    // A bundle weighs one, whatever is in it.
    let shape = Shape { workers, weight_max: u64::from(workers.max(1)) + 2, monitor };
    crew::in_order(
        shape,
        |planner| {
            let hand_over = |bundle: Vec<W>| planner.work(1, bundle);
            let mut sender = Sender { hand_over: &hand_over, bundle: Vec::new(), weight: 0 };
            plan(&mut sender)?;
            sender.flush()
        },
        || |bundle: Vec<W>| bundle.into_iter().map(&work).collect::<Result<Vec<R>>>(),
        |done: Vec<R>| done.into_iter().try_for_each(&mut take),
    )
}
