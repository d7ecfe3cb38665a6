//! The link between the library and its caller: counters that only grow, and the wish to stop.
//!
//! The library never prints. A caller shares a [`Monitor`] with it and reads the counters when it
//! likes.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::Result;

/// The longest that a wait lasts before it looks up whether the user wants to stop.
pub const LOOK_UP: Duration = Duration::from_millis(100);

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident => $field:ident $([$written:meta])?),* $(,)?) => {
        /// One of the quantities that a monitor counts.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Counter { $($(#[$doc])* $name),* }

        /// The counters at one moment.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct Counts { $($(#[$doc])* $(#[$written])? pub $field: u64),* }

        impl Counts {
            /// Returns what has been counted since `before`.
            #[must_use]
            pub fn since(self, before: Self) -> Self {
                Self { $($field: self.$field.saturating_sub(before.$field)),* }
            }
        }

        /// Counters that are shared between threads, and the wish to stop.
        #[derive(Debug, Default)]
        pub struct Monitor { stop: AtomicBool, on_the_way: AtomicU64, $($field: AtomicU64),* }

        impl Monitor {
            fn cell(&self, counter: Counter) -> &AtomicU64 {
                match counter { $(Counter::$name => &self.$field),* }
            }

            /// Returns the current values of all counters.
            pub fn counts(&self) -> Counts {
                Counts { $($field: self.$field.load(Ordering::Relaxed)),* }
            }
        }
    };
}

/// Tells whether a counter that version 0.1.0 did not know is left out of a snapshot: what a
/// repository without later features gets is written as by that version.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(counter: &u64) -> bool {
    *counter == 0
}

counters! {
    /// Bytes of the stream that were read or written back.
    StreamBytes => stream_bytes,
    /// Bytes that are expected in all, 0 if unknown.
    ExpectedBytes => expected_bytes,
    /// Bytes added to the repository, objects of every kind.
    StoredBytes => stored_bytes,
    /// Objects added to the repository.
    StoredObjects => stored_objects,
    /// Bytes read from the repository.
    FetchedBytes => fetched_bytes,
    /// Number of members that have begun.
    Members => members,
    /// Blocks that are all zero.
    BlocksZero => blocks_zero,
    /// Blocks that equal the previous ones.
    BlocksSame => blocks_same,
    /// Blocks stored as a delta to what they were before.
    BlocksDelta => blocks_delta,
    /// Index pages stored as a delta to other pages, from which their records came.
    BlocksMoved => blocks_moved [serde(skip_serializing_if = "is_zero")],
    /// Number of blocks stored whole.
    BlocksWhole => blocks_whole,
    /// Changed blocks stored whole because their base came late or could not be read.
    BlocksMissed => blocks_missed,
    /// Blocks stored again because the earlier copy is gone.
    BlocksHealed => blocks_healed,
    /// Raw bytes of blocks stored whole.
    WholeBytes => whole_bytes,
    /// Raw bytes of blocks stored whole at the first raised step of `auto`.
    FineBytes => fine_bytes [serde(skip_serializing_if = "is_zero")],
    /// Those of the second raised step.
    DeepBytes => deep_bytes [serde(skip_serializing_if = "is_zero")],
    /// Those of the third raised step.
    BestBytes => best_bytes [serde(skip_serializing_if = "is_zero")],
    /// Stored bytes of deltas to what blocks were before.
    DeltaBytes => delta_bytes,
    /// Stored bytes of deltas to other pages.
    MovedBytes => moved_bytes [serde(skip_serializing_if = "is_zero")],
    /// Pages of earlier backups that were read to find those other pages.
    CandidatesRead => candidates_read [serde(skip_serializing_if = "is_zero")],
    /// Pages whose checksum and identity are right.
    PagesVerified => pages_verified,
    /// Pages that can't be checked.
    PagesUnverifiable => pages_unverifiable,
    /// Pages that are wrong.
    PagesCorrupt => pages_corrupt,
    /// Pages that are all zero.
    PagesZero => pages_zero,
    /// Milliseconds of the stage in which the server of the producer stood still.
    PausedMilliseconds => paused_ms [serde(skip_serializing_if = "is_zero")],
    /// Bytes of the stream that came in that stage.
    TailBytes => tail_bytes [serde(skip_serializing_if = "is_zero")],
    /// Those of them that went through the spool.
    SpooledBytes => spooled_bytes [serde(skip_serializing_if = "is_zero")],
}

impl Counts {
    /// Returns the number of blocks of a stream, however they were stored.
    pub fn blocks(&self) -> u64 {
        let changed = self.blocks_delta + self.blocks_moved + self.blocks_whole;
        self.blocks_zero + self.blocks_same + changed
    }
}

impl Monitor {
    /// Adds to a counter.
    pub fn count(&self, counter: Counter, by: u64) {
        self.cell(counter).fetch_add(by, Ordering::Relaxed);
    }

    /// Returns the bytes of objects that have left, and that nothing else counts yet: for people,
    /// who would wait long for a slow line to take a whole pack.
    pub fn on_the_way(&self) -> u64 {
        self.on_the_way.load(Ordering::Relaxed)
    }

    /// Counts `bytes` more bytes as having left.
    pub(crate) fn leaves(&self, bytes: u64) {
        self.on_the_way.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes` bytes as having arrived, or as lost.
    pub(crate) fn settled(&self, bytes: u64) {
        self.on_the_way.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Waits for `time`, or until the user wants to stop.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let mut left = time;
        loop {
            self.check()?;
            if left.is_zero() {
                return Ok(());
            }
            let step = left.min(LOOK_UP);
            thread::sleep(step);
            left -= step;
        }
    }

    /// Asks everything that shares this monitor to stop soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Fails if the user asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Acquire) { Err(Error::cancelled()) } else { Ok(()) }
    }
}
