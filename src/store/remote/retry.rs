//! The policy of waiting for an answer, and of asking again.
//!
//! - A request may take [`RetryPolicy::answer`] and eight times what its bytes took lately; before
//!   anything was measured, the time that they take at [`RATE_AT_FIRST`]. A time that was too short
//!   doubles the next.
//! - It is given up sooner when no byte moves any more ([`in_time`]): a connection that hangs
//!   should not hold up a producer for as long as a slow one may take, and never for longer than
//!   asking again would go on.
//! - Asking again goes on for [`RetryPolicy::retry_for`], after random pauses that grow (full
//!   jitter): clients that failed together do not come back together. What is odd rather than busy
//!   is asked a few times only, and a store that never answered yet is given up soon: an address
//!   with a typo should not be retried for an hour.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::crew::lock;
use crate::base::entropy::Entropy;
use crate::base::entropy::random;

/// Assumed bytes a second before anything was measured.
const RATE_AT_FIRST: u64 = 128 << 10;
const RATE_MIN: u64 = 4 << 10;
/// Smaller transfers say nothing about the rate.
const MEASURED_BYTES_MIN: u64 = 128 << 10;
/// Times the measured time before a transfer counts as stuck.
const MARGIN: u64 = 8;
/// Bytes that sockets on the way may hold, so that they seem to have left: Linux's largest buffer.
const SOCKET_BYTES_MAX: u64 = 4 << 20;
/// An answer that takes this long is no sign of a silent store, however little it is to be asked
/// again.
const STILL_MIN: Duration = Duration::from_secs(10);
/// The interval at which a request that is in progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Most requests for something odd.
const ODD_TRIES: u32 = 5;

/// The time limits of requests to a store over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The time for which one request is repeated.
    pub retry_for: Duration,
    /// The time for which a store is sought that never answered.
    pub first_answer: Duration,
    /// The time that an answer may take, its bytes not counted.
    pub answer: Duration,
    /// The longest first pause; it doubles with each try.
    pub pause: Duration,
    /// The longest pause between two tries.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retry_for: Duration::from_hours(1),
            first_answer: Duration::from_secs(30),
            answer: Duration::from_mins(1),
            pause: Duration::from_millis(500),
            pause_max: Duration::from_mins(1),
        }
    }
}

/// The reason why a request is to be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The store can't just now.
    Busy,
    /// No answer came, or half of one.
    Broken,
    /// An answer that makes no sense.
    Odd,
}

/// The history of a store, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// It has answered before.
    Answered,
    /// It has never answered yet.
    Silent,
}

/// The attempts at one request until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempts {
    /// The number of repetitions.
    pub(super) tries: u32,
    /// The time since the first attempt began.
    pub(super) since: Duration,
}

impl RetryPolicy {
    /// Returns for how long a request is repeated that fails like this.
    pub(super) fn budget(&self, why: Again, past: Past) -> Duration {
        match why {
            Again::Broken if past == Past::Silent => self.retry_for.min(self.first_answer),
            Again::Busy | Again::Broken | Again::Odd => self.retry_for,
        }
    }

    /// Returns how long to pause before the next try; `None` if there is to be none.
    pub(super) fn pause(
        &self,
        why: Again,
        attempts: Attempts,
        past: Past,
        entropy: &dyn Entropy,
    ) -> Option<Duration> {
        let Attempts { tries, since } = attempts;
        if why == Again::Odd && tries >= ODD_TRIES {
            return None;
        }
        let budget = self.budget(why, past);
        let longest = self.pause.saturating_mul(1 << tries.min(16)).min(self.pause_max);
        let dice = u32::from_le_bytes(random(entropy));
        let pause = longest.mul_f64(f64::from(dice) / f64::from(u32::MAX));
        (since + pause < budget).then_some(pause)
    }
}

/// Bytes a second, as lately measured.
#[derive(Debug)]
pub(super) struct ThroughputEstimate(Mutex<Measured>);

#[derive(Debug)]
struct Measured {
    rate: u64,
    known: bool,
}

impl ThroughputEstimate {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Measured { rate: RATE_AT_FIRST, known: false }))
    }

    /// Notes that `bytes` bytes took this long.
    pub(super) fn took(&self, bytes: u64, time: Duration) {
        if bytes < MEASURED_BYTES_MIN {
            return;
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = bytes.saturating_mul(1_000_000) / micros;
        let mut measured = lock(&self.0);
        measured.rate = if measured.known { measured.rate / 4 * 3 + rate / 4 } else { rate };
        measured.rate = measured.rate.max(RATE_MIN);
        measured.known = true;
    }

    /// Notes that a transfer did not end in its time, and halves the rate.
    pub(super) fn was_late(&self) {
        let mut measured = lock(&self.0);
        measured.rate = (measured.rate / 2).max(RATE_MIN);
    }

    /// Returns how long a request with the bytes of `transfer` may take.
    ///
    /// Bytes that are sent may lie in a socket; of those that come, each is seen.
    pub(super) fn time_for(&self, transfer: Transfer, retry_policy: &RetryPolicy) -> TimeLimit {
        let rate = lock(&self.0).rate;
        let time = |bytes: u64| {
            retry_policy.answer + Duration::from_millis(bytes.saturating_mul(1000 * MARGIN) / rate)
        };
        let unseen = match transfer {
            Transfer::Sent(bytes) => bytes.min(SOCKET_BYTES_MAX),
            Transfer::Received(_) => 0,
        };
        TimeLimit { whole: time(transfer.bytes()), still: time(unseen) }
    }
}

/// The bytes of a request, or of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// The number of bytes sent.
    Sent(u64),
    /// The number of bytes received, at most.
    Received(u64),
}

impl Transfer {
    /// Returns the number of bytes, sent or received.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Sent(bytes) | Self::Received(bytes) => bytes,
        }
    }
}

/// The time that a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeLimit {
    /// Time for the whole request.
    pub(super) whole: Duration,
    /// Time in which no byte moves.
    pub(super) still: Duration,
}

impl TimeLimit {
    /// Returns the same limit, shorter if asking again would go on for no longer than `left`.
    pub(super) fn within(self, left: Duration) -> Self {
        Self { still: self.still.min(left.max(STILL_MIN)), ..self }
    }
}

/// The reason why an answer was not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It took longer than this.
    Late(Duration),
    /// The caller does not want the answer any more.
    Unwanted,
}

tokio::task_local! {
    static MOVED: Motion;
}

/// Counts the bytes of a request that move, whichever task moves them.
#[derive(Debug, Clone, Default)]
pub(super) struct Motion(Arc<AtomicU64>);

impl Motion {
    /// Returns the counter of the request that this task makes.
    pub(super) fn of_this_request() -> Self {
        // Nobody waits while a client is being made.
        MOVED.try_with(Clone::clone).unwrap_or_default()
    }

    /// Counts `bytes` bytes that went or came.
    pub(super) fn moved(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Returns the answer, unless it takes too long or `wanted` says no.
pub(super) async fn in_time<T>(
    asking: impl Future<Output = T>,
    limit: TimeLimit,
    clock: &dyn Clock,
    wanted: impl Fn() -> bool,
) -> Result<T, GivenUp> {
    let motion = Motion::default();
    let mut asked = pin!(MOVED.scope(motion.clone(), asking));
    let began = clock.elapsed();
    let (mut moved, mut still_since) = (0, began);
    loop {
        if let Ok(answer) = tokio::time::timeout(LOOK, asked.as_mut()).await {
            return Ok(answer);
        }
        if !wanted() {
            return Err(GivenUp::Unwanted);
        }
        let now = clock.elapsed();
        let by_now = motion.0.load(Ordering::Relaxed);
        if by_now != moved {
            (moved, still_since) = (by_now, now);
        }
        let (whole, still) = (now.saturating_sub(began), now.saturating_sub(still_since));
        if whole >= limit.whole || still >= limit.still {
            return Err(GivenUp::Late(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    #[test]
    fn time_for_a_pack_follows_what_was_measured() {
        let (throughput, retry_policy) = (ThroughputEstimate::new(), RetryPolicy::default());
        let bytes = 32 << 20;
        let time_for = || throughput.time_for(Transfer::Sent(bytes), &retry_policy);
        assert!(time_for().whole > Duration::from_secs(2000));
        assert!(time_for().still < Duration::from_secs(400));
        let received = throughput.time_for(Transfer::Received(bytes), &retry_policy);
        assert_eq!(received, TimeLimit { whole: time_for().whole, still: retry_policy.answer });
        throughput.took(bytes, Duration::from_secs(1));
        let soon = time_for().whole;
        assert!(soon > retry_policy.answer && soon < retry_policy.answer + Duration::from_secs(10));
        throughput.was_late();
        assert!(time_for().whole > soon);
        throughput.took(10, Duration::from_secs(100));
        (0..100).for_each(|_| throughput.was_late());
        assert!(time_for().whole < Duration::from_hours(24));
    }

    /// A second passes with each look.
    #[derive(Debug, Default)]
    struct Hurried(AtomicU64);

    impl Clock for Hurried {
        fn unix_seconds(&self) -> u64 {
            0
        }

        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    /// Waits for what moves a byte at each of its first `moves` looks and never answers.
    fn wait(moves: u32, limit: (u64, u64), wanted: fn() -> bool) -> GivenUp {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut left = moves;
        let asking = std::future::poll_fn(move |_| {
            if left > 0 {
                Motion::of_this_request().moved(1);
                left -= 1;
            }
            std::task::Poll::<()>::Pending
        });
        let [whole, still] = [limit.0, limit.1].map(Duration::from_secs);
        let clock = Hurried::default();
        let outcome = in_time(asking, TimeLimit { whole, still }, &clock, wanted);
        runtime.block_on(outcome).unwrap_err()
    }

    #[test]
    fn a_request_is_given_up_when_nothing_moves_or_it_takes_too_long() {
        let late = |seconds| GivenUp::Late(Duration::from_secs(seconds));
        assert_eq!(wait(0, (3600, 3), || true), late(3));
        assert!(matches!(wait(6, (3600, 3), || true), GivenUp::Late(after) if after.as_secs() > 3));
        assert_eq!(wait(100, (5, 3), || true), late(5));
        assert_eq!(wait(0, (3600, 3600), || false), GivenUp::Unwanted);
    }

    #[test]
    fn a_silent_store_is_waited_for_no_longer_than_it_would_be_asked_again() {
        let seconds = Duration::from_secs;
        let limit = TimeLimit { whole: seconds(2000), still: seconds(60) };
        for (left, still) in [(3600, 60), (20, 20), (5, 10), (0, 10)] {
            let expected = TimeLimit { still: seconds(still), ..limit };
            assert_eq!(limit.within(seconds(left)), expected, "{left}");
        }
    }

    #[test]
    fn pauses_grow_are_random_and_end_with_the_budget() {
        let (retry_policy, entropy) = (RetryPolicy::default(), SeededEntropy::new(1));
        let pause = |why, tries, since, past| {
            retry_policy.pause(why, Attempts { tries, since }, past, &entropy)
        };
        let mean = |tries| {
            let pauses = (0..200)
                .map(|_| pause(Again::Busy, tries, Duration::ZERO, Past::Answered).unwrap());
            pauses.sum::<Duration>() / 200
        };
        assert!(mean(0) > Duration::from_millis(200) && mean(0) < Duration::from_millis(300));
        assert!(mean(4) > Duration::from_secs(3) && mean(4) < Duration::from_secs(5));
        assert!(mean(30) > Duration::from_secs(25) && mean(30) < Duration::from_secs(35));
        assert_eq!(pause(Again::Busy, 3, Duration::from_hours(1), Past::Answered), None);
        assert!(pause(Again::Broken, 3, Duration::from_mins(50), Past::Answered).is_some());
        assert_eq!(pause(Again::Broken, 3, Duration::from_secs(30), Past::Silent), None);
        assert_eq!(pause(Again::Odd, ODD_TRIES, Duration::ZERO, Past::Answered), None);
        // The time that is printed is the time that is left.
        assert_eq!(retry_policy.budget(Again::Broken, Past::Silent), retry_policy.first_answer);
        assert_eq!(retry_policy.budget(Again::Broken, Past::Answered), retry_policy.retry_for);
    }
}
