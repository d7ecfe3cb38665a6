//! The control of `--compression auto`: how much time the workers give to compressing.
//!
//! A producer is often slower than the workers: its server is busy, it is throttled, it comes
//! through a network. The workers then wait, and their time is better spent on smaller frames; but
//! a producer must never wait for that. The control takes one of the [`Step`]s of compression for
//! all new frames, by two signals, both of them counts of bytes:
//!
//! - *The queue*: segments that the reader has handed over and no worker has taken. It is empty
//!   behind the segment that a worker takes as long as workers wait for the reader.
//! - *The reads*: a read that returns less than it asked for has drained the pipe, so the reader
//!   waits for the producer. A producer that is faster than the reader fills every read, and so
//!   does a file. The queue alone would not do: on a later night the workers wait for the reader,
//!   which works without a pause, and would only take its processor away from it.
//!
//! The law:
//!
//! 1. A window is `WINDOW_BYTES` of segments. It is calm if the queue was empty behind at least
//!    7/8 of them, and at least 3/4 of what was read came by short reads.
//! 2. The step rises by one after as many calm windows in a row as the next step's patience, which
//!    is one at first. Nothing tells beforehand whether a step is affordable: it is tried.
//! 3. It falls to the base at once when more bytes wait than one segment for each worker, also for
//!    the next frame of the segments in work. The patience of the step that failed doubles, to at
//!    most `PATIENCE_MAX`; it halves whenever the step has lasted for as many windows.
//! 4. It falls to the base after a window in which less than half came by short reads.
//! 5. While more than `raised_max` workers are busy, all frames are made at the base. Where haulout
//!    started the producer, these are half of the processors: the server needs the rest.
//!
//! A trial costs the producer nothing: what waits when it fails is a part of what may be in
//! progress, before which the reader does not wait. The names of blocks do not depend on the step,
//! so what is stored at one is found again at every other.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::base::crew::lock;
use crate::base::limits::SEGMENT_BYTES;
use crate::base::monitor::Counter;
use crate::base::num::u64_of;
use crate::encode::Step;

/// Bytes of segments after which the step is considered.
const WINDOW_BYTES: u64 = 32 << 20;
/// Most windows that have to be calm before a step is tried that failed before.
const PATIENCE_MAX: u32 = 32;
/// A read of this many bytes counts as filled, whatever it asked for: pipes have at most four times
/// as many.
const FILLED_READ_BYTES: usize = 256 << 10;

/// The workers that the control has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workers {
    /// Workers of the run.
    pub all: u32,
    /// Busy workers above which none compresses above the base step.
    pub raised_max: u32,
}

/// Chooses the step of compression for every frame; see the module's documentation.
#[derive(Debug)]
pub struct LevelControl {
    workers: Workers,
    waiting_bytes: AtomicU64,
    busy: AtomicU32,
    short_bytes: AtomicU64,
    filled_bytes: AtomicU64,
    law: Mutex<Law>,
}

/// A segment that is in work until this is dropped.
#[derive(Debug)]
pub struct InWork<'c>(&'c LevelControl);

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LevelControl {
    /// Creates a control that begins at the base step.
    pub fn new(workers: Workers) -> Self {
        Self {
            workers,
            waiting_bytes: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            short_bytes: AtomicU64::new(0),
            filled_bytes: AtomicU64::new(0),
            law: Mutex::new(Law::new(workers)),
        }
    }

    /// Notes a read from the source.
    pub fn read(&self, asked: usize, arrived: usize) {
        let is_filled = arrived >= asked.min(FILLED_READ_BYTES);
        let bytes = if is_filled { &self.filled_bytes } else { &self.short_bytes };
        bytes.fetch_add(u64_of(arrived), Ordering::Relaxed);
    }

    /// Notes a segment that is about to be handed over.
    pub fn handed_over(&self, bytes: usize) {
        self.waiting_bytes.fetch_add(u64_of(bytes), Ordering::Relaxed);
    }

    /// Notes a segment that a worker takes.
    pub fn taken(&self, bytes: usize) -> InWork<'_> {
        let bytes = u64_of(bytes);
        self.busy.fetch_add(1, Ordering::Relaxed);
        let waiting = self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        lock(&self.law).taken(Sight {
            bytes,
            waiting_bytes: waiting,
            short_bytes: self.short_bytes.swap(0, Ordering::Relaxed),
            filled_bytes: self.filled_bytes.swap(0, Ordering::Relaxed),
        });
        InWork(self)
    }

    /// Returns the step of the next frame.
    pub fn step(&self) -> Step {
        let waiting = self.waiting_bytes.load(Ordering::Relaxed);
        let is_short_of_time = waiting > self.workers.waiting_bytes_max()
            || self.busy.load(Ordering::Relaxed) > self.workers.raised_max;
        if is_short_of_time { Step::Base } else { lock(&self.law).step }
    }
}

impl Workers {
    fn waiting_bytes_max(self) -> u64 {
        u64::from(self.all.max(1)) * u64_of(SEGMENT_BYTES)
    }
}

/// Returns the counter of the raw bytes that were compressed at a step; those of the base are the
/// rest.
pub fn counter_of(step: Step) -> Option<Counter> {
    match step {
        Step::Base => None,
        Step::Fine => Some(Counter::FineBytes),
        Step::Deep => Some(Counter::DeepBytes),
        Step::Best => Some(Counter::BestBytes),
    }
}

/// What is seen when a worker takes a segment.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    /// Bytes of the segment.
    bytes: u64,
    /// Bytes of the segments that still wait.
    waiting_bytes: u64,
    /// Bytes that came by short reads since the last segment was taken.
    short_bytes: u64,
    /// Bytes that came by filled reads since then.
    filled_bytes: u64,
}

/// The law of the control, which knows nothing but what it is shown.
#[derive(Debug)]
struct Law {
    workers: Workers,
    step: Step,
    /// Sums of the window so far, and the bytes behind which nothing waited.
    window: Sight,
    alone_bytes: u64,
    /// Calm windows in a row.
    calm: u32,
    /// Windows that the step has lasted.
    lasted: u32,
    /// Calm windows that each step asks for, by its number.
    patience: [u32; Step::ALL.len()],
}

impl Law {
    fn new(workers: Workers) -> Self {
        Self {
            workers,
            step: Step::Base,
            window: Sight::default(),
            alone_bytes: 0,
            calm: 0,
            lasted: 0,
            patience: [1; Step::ALL.len()],
        }
    }

    fn taken(&mut self, sight: Sight) {
        if sight.waiting_bytes > self.workers.waiting_bytes_max() {
            if self.step != Step::Base {
                let patience = self.patience_of(self.step);
                *patience = (*patience * 2).min(PATIENCE_MAX);
            }
            self.fall();
            return;
        }
        let window = &mut self.window;
        window.bytes += sight.bytes;
        window.short_bytes += sight.short_bytes;
        window.filled_bytes += sight.filled_bytes;
        if sight.waiting_bytes == 0 {
            self.alone_bytes += sight.bytes;
        }
        if window.bytes >= WINDOW_BYTES {
            self.end_window();
        }
    }

    fn end_window(&mut self) {
        let Sight { bytes, short_bytes, filled_bytes, .. } = std::mem::take(&mut self.window);
        let alone_bytes = std::mem::take(&mut self.alone_bytes);
        if short_bytes < filled_bytes {
            self.fall();
            return;
        }
        self.lasted += 1;
        let lasted = self.lasted;
        let patience = self.patience_of(self.step);
        if lasted.is_multiple_of(*patience) {
            *patience = (*patience / 2).max(1);
        }
        let is_calm = alone_bytes >= bytes / 8 * 7 && short_bytes / 3 >= filled_bytes;
        self.calm = if is_calm { self.calm + 1 } else { 0 };
        if let Some(next) = self.step.next()
            && self.calm >= *self.patience_of(next)
        {
            (self.step, self.calm, self.lasted) = (next, 0, 0);
        }
    }

    fn fall(&mut self) {
        self.step = Step::Base;
        (self.window, self.alone_bytes) = (Sight::default(), 0);
        (self.calm, self.lasted) = (0, 0);
    }

    fn patience_of(&mut self, step: Step) -> &mut u32 {
        let number = Step::ALL.iter().position(|one| *one == step).unwrap_or_default();
        &mut self.patience[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const TWO: Workers = Workers { all: 2, raised_max: 2 };

    /// Shows as many MiB to a law, each with this much waiting; returns the step after each.
    fn show(law: &mut Law, mebibytes: u32, waiting: u64, read: Read) -> Vec<Step> {
        let (short_bytes, filled_bytes) = match read {
            Read::Short => (MIB, 0),
            Read::Filled => (0, MIB),
        };
        let sight = Sight { bytes: MIB, waiting_bytes: waiting * MIB, short_bytes, filled_bytes };
        let one = |_| {
            law.taken(sight);
            law.step
        };
        (0..mebibytes).map(one).collect()
    }

    #[derive(Clone, Copy)]
    enum Read {
        Short,
        Filled,
    }

    #[test]
    fn a_slow_producer_raises_the_step_window_by_window() {
        let mut law = Law::new(TWO);
        let steps = show(&mut law, 128, 0, Read::Short);
        let at = |after: usize| steps[after - 1];
        assert_eq!(
            [at(31), at(32), at(63), at(64)],
            [Step::Base, Step::Fine, Step::Fine, Step::Deep]
        );
        assert_eq!([at(95), at(96), at(128)], [Step::Deep, Step::Best, Step::Best]);
    }

    #[test]
    fn a_file_or_a_fast_producer_stays_at_the_base() {
        for waiting in [0, 1, 5] {
            let steps = show(&mut Law::new(TWO), 1000, waiting, Read::Filled);
            assert!(steps.iter().all(|step| *step == Step::Base), "{waiting} MiB wait");
        }
    }

    #[test]
    fn a_queue_that_is_seldom_empty_raises_nothing() {
        let mut law = Law::new(TWO);
        for _ in 0..200 {
            show(&mut law, 3, 0, Read::Short);
            show(&mut law, 1, 1, Read::Short);
        }
        assert_eq!(law.step, Step::Base);
    }

    #[test]
    fn a_queue_that_fills_lowers_the_step_at_once() {
        let mut law = Law::new(TWO);
        show(&mut law, 96, 0, Read::Short);
        assert_eq!(show(&mut law, 2, 2, Read::Short), [Step::Best; 2], "one for each worker");
        assert_eq!(show(&mut law, 1, 3, Read::Short), [Step::Base]);
    }

    #[test]
    fn a_producer_that_becomes_fast_lowers_the_step_after_a_window() {
        let mut law = Law::new(TWO);
        show(&mut law, 64, 0, Read::Short);
        let steps = show(&mut law, 32, 0, Read::Filled);
        assert_eq!([steps[30], steps[31]], [Step::Deep, Step::Base]);
    }

    /// Returns how many MiB it takes until a step is reached.
    fn until(law: &mut Law, step: Step) -> u32 {
        (1..10_000).find(|_| show(law, 1, 0, Read::Short) == [step]).unwrap()
    }

    #[test]
    fn a_step_that_failed_is_tried_later_and_later() {
        let mut law = Law::new(TWO);
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(until(&mut law, Step::Best));
            show(&mut law, 1, 3, Read::Short);
        }
        // Two windows to the step before, and its own patience.
        assert_eq!(waits, [96, 128, 192, 320, 576, 1088, 1088, 1088]);
        assert_eq!(until(&mut law, Step::Deep), 64, "the steps before it did not fail");
    }

    #[test]
    fn a_step_that_lasts_is_trusted_again() {
        let mut law = Law::new(TWO);
        for _ in 0..3 {
            until(&mut law, Step::Best);
            show(&mut law, 1, 3, Read::Short);
        }
        assert_eq!(law.patience, [1, 1, 1, 8]);
        until(&mut law, Step::Best);
        show(&mut law, 32 * 8, 1, Read::Short);
        assert_eq!(law.patience, [1, 1, 1, 4]);
    }

    #[test]
    fn frames_of_segments_in_work_are_made_at_the_base_once_others_wait() {
        let control = LevelControl::new(TWO);
        let mebibyte = SEGMENT_BYTES;
        for _ in 0..32 {
            control.read(mebibyte, 4096);
            control.handed_over(mebibyte);
            drop(control.taken(mebibyte));
        }
        assert_eq!(control.step(), Step::Fine);
        control.handed_over(mebibyte);
        let _in_work = control.taken(mebibyte);
        for _ in 0..2 {
            control.handed_over(mebibyte);
            assert_eq!(control.step(), Step::Fine);
        }
        control.handed_over(mebibyte);
        assert_eq!(control.step(), Step::Base);
    }

    #[test]
    fn no_more_workers_than_allowed_are_busy_above_the_base() {
        for (raised_max, steps) in [
            (0, [Step::Base, Step::Base, Step::Base]),
            (1, [Step::Fine, Step::Base, Step::Base]),
            (2, [Step::Fine, Step::Fine, Step::Base]),
        ] {
            let control = LevelControl::new(Workers { all: 4, raised_max });
            for _ in 0..32 {
                control.read(SEGMENT_BYTES, 4096);
                control.handed_over(SEGMENT_BYTES);
                drop(control.taken(SEGMENT_BYTES));
            }
            let mut busy = Vec::new();
            for step in steps {
                control.handed_over(0);
                busy.push(control.taken(0));
                assert_eq!(control.step(), step, "{} busy of {raised_max}", busy.len());
            }
        }
    }

    #[test]
    fn large_reads_and_those_that_end_a_payload_count_as_filled() {
        let control = LevelControl::new(TWO);
        for (asked, arrived) in [(100, 100), (1 << 20, 256 << 10), (64 << 10, 64 << 10)] {
            control.read(asked, arrived);
        }
        assert_eq!(control.short_bytes.load(Ordering::Relaxed), 0);
        control.read(256 << 10, 64 << 10);
        assert_eq!(control.short_bytes.load(Ordering::Relaxed), 64 << 10);
    }
}
