//! Work in windows: one thread plans, several work, results come back in the order of the plan.
//!
//! Two windows more than there are workers are under way, each of about [`WINDOW_BYTES`]: that, and
//! what each worker has fetched, is the memory.

use std::collections::HashMap;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crossbeam_channel::bounded;

use crate::base::buffers::Buffers;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::num::index;
use crate::base::num::narrow;

/// Raw bytes of a window.
pub(super) const WINDOW_BYTES: u64 = 8 << 20;
/// Small windows are handed over together until they weigh this much: files of a few bytes are
/// many.
const BUNDLE_BYTES: u64 = 1 << 20;
/// Most windows in a bundle.
const BUNDLE_MAX: usize = 256;

/// For windows that become bytes in memory: they end with the block that makes them full.
pub(super) fn buffers() -> Buffers {
    Buffers::new(narrow(WINDOW_BYTES) + BLOCK_BYTES_MAX)
}

/// Bytes that may be held at once by whoever asks first; a piece that is larger than all of them is
/// held alone.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes_max: u64,
    held: Mutex<u64>,
    room: Condvar,
}

/// Bytes that are held.
#[derive(Debug)]
pub(super) struct Held<'a> {
    allowance: &'a Allowance,
    bytes: u64,
}

impl Allowance {
    pub(super) fn new(bytes_max: u64) -> Allowance {
        Allowance { bytes_max, held: Mutex::new(0), room: Condvar::new() }
    }

    /// Waits until there is room for `bytes`.
    pub(super) fn hold(&self, bytes: u64) -> Held<'_> {
        let mut held = self.held();
        while *held > 0 && *held + bytes > self.bytes_max {
            held = self.room.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += bytes;
        Held { allowance: self, bytes }
    }

    // One number; whatever panicked beside it left it whole.
    fn held(&self) -> MutexGuard<'_, u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.allowance.held() -= self.bytes;
        self.allowance.room.notify_all();
    }
}

/// A piece of work.
pub(super) trait Window: Send {
    /// Raw bytes that it stands for.
    fn weight(&self) -> u64;
}

/// Where the planner sends windows.
#[derive(Debug)]
pub(super) struct Sender<W> {
    channel: crossbeam_channel::Sender<(u64, Vec<W>)>,
    credits: crossbeam_channel::Sender<()>,
    order: u64,
    bundle: Vec<W>,
    weight: u64,
}

impl<W: Window> Sender<W> {
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
        // The others are gone only after a failure, which they report themselves.
        self.credits.send(()).map_err(|_| Error::cancelled())?;
        let bundle = std::mem::take(&mut self.bundle);
        self.channel.send((self.order, bundle)).map_err(|_| Error::cancelled())?;
        self.order += 1;
        self.weight = 0;
        Ok(())
    }
}

/// Plans on one thread, works on `workers`, and takes the results in order on this one.
pub(super) fn run<W: Window, R: Send>(
    workers: u32,
    plan: impl FnOnce(&mut Sender<W>) -> Result<()> + Send,
    work: impl Fn(W) -> Result<R> + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let workers = index(workers.max(1));
    let (window_sender, windows) = bounded::<(u64, Vec<W>)>(workers);
    let (credit_sender, credits) = bounded::<()>(workers + 2);
    let (result_sender, results) = bounded::<(u64, Vec<R>)>(workers * 2);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let note = |error: Error| {
        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
        let only_stopped = |error: &Error| error.kind() == ErrorKind::Cancelled;
        if first.as_ref().is_none_or(only_stopped) {
            *first = Some(error);
        }
    };
    std::thread::scope(|scope| {
        let (note, work) = (&note, &work);
        scope.spawn(move || {
            let mut sender = Sender {
                channel: window_sender,
                credits: credit_sender,
                order: 0,
                bundle: Vec::new(),
                weight: 0,
            };
            let planned = plan(&mut sender).and_then(|()| sender.flush());
            planned.unwrap_or_else(note);
        });
        for _ in 0..workers {
            let (windows, results) = (windows.clone(), result_sender.clone());
            scope.spawn(move || {
                for (order, bundle) in windows {
                    let done = bundle.into_iter().map(work).collect::<Result<Vec<R>>>();
                    match done.map(|done| results.send((order, done))) {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return,
                        Err(error) => return note(error),
                    }
                }
            });
        }
        drop((windows, result_sender));
        let mut waiting = HashMap::new();
        let mut next = 0;
        for (order, result) in &results {
            waiting.insert(order, result);
            while let Some(done) = waiting.remove(&next) {
                next += 1;
                // The planner may have ended; its credits are then of no use to anybody.
                let _credit = credits.try_recv();
                if let Err(error) = done.into_iter().try_for_each(&mut take) {
                    note(error);
                    // Dropping the receivers stops the others.
                    drop((results, credits));
                    return;
                }
            }
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_allowed_but_for_one_large_piece_alone() {
        let allowance = Allowance::new(10);
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for bytes in [4, 4, 4, 25, 1, 9, 4, 4] {
                let (allowance, most) = (&allowance, &most);
                scope.spawn(move || {
                    let own = allowance.hold(bytes);
                    let held = *allowance.held();
                    assert!(held <= 10 || held == bytes, "{held} with {bytes}");
                    let mut most = most.lock().unwrap();
                    *most = held.max(*most);
                    drop((most, own));
                });
            }
        });
        assert_eq!((*allowance.held(), *most.lock().unwrap()), (0, 25));
    }
}
