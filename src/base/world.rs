//! The outside world as an argument: time, randomness, and the wish to stop.
//!
//! One value instead of three parameters: the caller that opens a repository makes a [`World`] and
//! hands it to every verb. Tests make one whose clock and randomness repeat.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::clock::SystemClock;
use crate::base::entropy::Entropy;
use crate::base::entropy::OsEntropy;
use crate::base::monitor::Monitor;

/// A clock, a source of randomness, and the monitor of the work. Cloning shares all three.
#[derive(Clone, Debug)]
pub struct World {
    /// The clock that dates snapshots and measures waits.
    pub clock: Arc<dyn Clock>,
    /// The source of keys, ids and salts.
    pub entropy: Arc<dyn Entropy>,
    /// The counters of the work, and the wish to stop it.
    pub monitor: Arc<Monitor>,
}

impl World {
    /// Returns the clock and the randomness of this machine, with a monitor of its own.
    pub fn of_this_machine() -> Self {
        Self::watched_by(Arc::default())
    }

    /// Returns the clock and the randomness of this machine, watched by `monitor`.
    pub fn watched_by(monitor: Arc<Monitor>) -> Self {
        Self { clock: Arc::new(SystemClock::new()), entropy: Arc::new(OsEntropy), monitor }
    }
}
