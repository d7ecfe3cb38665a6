//! The rate at which bytes may go, by the time of the week, and the line that keeps to it.
//!
//! A [`Limiter`] hands out places in a line: a sender of some bytes learns how long
//! to wait first, and the line moves on by the time that these bytes take at the allowed rate.
//! Nothing is saved up beyond [`SLACK`], so there are no bursts after a pause; bytes go in small
//! pieces ([`Limiter::piece`]), so that several connections share a line evenly.
//!
//! Invariants:
//! - Counted at the sender, no second has more than 105 % of the limit. Of these 5 %, the packets'
//!   own headers take most (66 bytes on 1448), therefore the payload goes at [`PAYLOAD_PERCENT`].
//! - A new rate of the timetable holds from the next piece on, at most a second after its time.
//!
//! It does not sleep: threads and tasks have different ways to.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::clock::WeekMinute;
use crate::base::crew::lock;

/// Time that may be saved up while nobody sends: it makes good for sleeping a little too long.
pub const SLACK: Duration = Duration::from_millis(15);
/// Share of the limit that payload gets; the rest is for headers of TCP, IP and Ethernet.
pub const PAYLOAD_PERCENT: u64 = 98;
/// Pieces a second; so a piece is a quarter of a percent of the limit.
const PIECES_PER_SECOND: u64 = 400;
const PIECE_BYTES_MIN: u64 = 1 << 10;
const PIECE_BYTES_MAX: u64 = 64 << 10;
const MINUTE: Duration = Duration::from_mins(1);
/// The interval at which the timetable is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One line of a timetable: at these times, this rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it begins, each week.
    pub from: WeekMinute,
    /// Minutes that it lasts; 10,080 are the whole week.
    pub minutes: u16,
    /// Bytes a second; `None` is as fast as it goes.
    pub rate: Option<NonZeroU64>,
}

/// The rate that is allowed at each moment: that of the first span that has the moment; without one
/// there is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timetable(Vec<Span>);

impl Timetable {
    /// Creates a timetable of these spans; the first that fits applies.
    pub fn new(spans: Vec<Span>) -> Self {
        Self(spans)
    }

    /// Creates a timetable with the same rate at all times.
    #[cfg(test)]
    pub fn always(rate: NonZeroU64) -> Self {
        let (from, minutes) = (WeekMinute::MONDAY, WeekMinute::WEEK);
        Self(vec![Span { from, minutes, rate: Some(rate) }])
    }

    /// Returns the bytes a second that are allowed at a moment; `None` means no limit.
    pub fn rate_at(&self, moment: WeekMinute) -> Option<NonZeroU64> {
        let within = |span: &&Span| moment.since(span.from) < span.minutes;
        self.0.iter().find(within).and_then(|span| span.rate)
    }

    /// Returns how long `bytes` bytes take from a moment on, if only this timetable holds them up.
    pub fn time_for(&self, bytes: u64, from: WeekMinute) -> Duration {
        let minutes = || std::iter::successors(Some(from), |minute| Some(minute.next()));
        let week = || minutes().take(usize::from(WeekMinute::WEEK));
        let of_week: Option<u64> = week().map(|at| self.rate_at(at).map(payload_of_minute)).sum();
        // With a minute without a limit, nothing lasts for longer than until then.
        let weeks = of_week.map_or(0, |of_week| bytes / of_week.max(1));
        let mut left = bytes - weeks * of_week.unwrap_or_default();
        let weeks = u32::try_from(weeks).unwrap_or(u32::MAX);
        let mut time = MINUTE * u32::from(WeekMinute::WEEK) * weeks;
        for rate in week().map(|at| self.rate_at(at)) {
            let Some(rate) = rate else { return time };
            let rest = time_for(left, rate);
            if rest <= MINUTE {
                return time + rest;
            }
            left = left.saturating_sub(payload_of_minute(rate));
            time += MINUTE;
        }
        time
    }
}

/// A line in which bytes wait for their turn.
pub struct Limiter {
    timetable: Timetable,
    clock: Arc<dyn Clock>,
    line: Mutex<Line>,
}

/// When the line is free again, and the rate that was found in the timetable.
#[derive(Debug, Default)]
struct Line {
    free_at: Duration,
    look_at: Duration,
    rate: Option<NonZeroU64>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Limiter").field("timetable", &self.timetable).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Creates a limiter that keeps to `timetable`.
    pub fn new(timetable: Timetable, clock: Arc<dyn Clock>) -> Self {
        Self { timetable, clock, line: Mutex::default() }
    }

    /// Takes a place for `bytes` bytes; returns how long to wait before they are sent.
    pub fn reserve(&self, bytes: u64) -> Duration {
        let mut line = lock(&self.line);
        let now = self.clock.elapsed();
        let Some(rate) = self.rate(&mut line, now) else { return Duration::ZERO };
        let begin = line.free_at.max(now.saturating_sub(SLACK));
        line.free_at = begin + time_for(bytes, rate);
        begin.saturating_sub(now)
    }

    /// Returns how many bytes to send at once.
    pub fn piece(&self) -> u64 {
        let mut line = lock(&self.line);
        let now = self.clock.elapsed();
        self.rate(&mut line, now).map_or(PIECE_BYTES_MAX, |rate| {
            (rate.get() / PIECES_PER_SECOND).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
        })
    }

    fn rate(&self, line: &mut Line, now: Duration) -> Option<NonZeroU64> {
        if line.look_at <= now {
            let rate = self.timetable.rate_at(self.clock.week_minute());
            if rate != line.rate {
                // What was reserved at another rate says nothing about this one.
                line.free_at = line.free_at.min(now);
            }
            line.rate = rate;
            line.look_at = now + LOOK_AGAIN;
        }
        line.rate
    }
}

/// Returns how many bytes go in a minute at a rate. Capped, so that a week of them can be added up.
fn payload_of_minute(rate: NonZeroU64) -> u64 {
    let payload = u128::from(rate.get()) * u128::from(PAYLOAD_PERCENT) * 60 / 100;
    u64::try_from(payload).unwrap_or(u64::MAX).min(1 << 50)
}

fn time_for(bytes: u64, rate: NonZeroU64) -> Duration {
    let per_second = u128::from(rate.get()) * u128::from(PAYLOAD_PERCENT);
    let nanoseconds = u128::from(bytes) * 100 * 1_000_000_000 / per_second.max(1);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that a test moves.
    #[derive(Debug, Default)]
    struct Hand(Mutex<(Duration, WeekMinute)>);

    impl Hand {
        fn set(&self, now: Duration) {
            self.0.lock().unwrap().0 = now;
        }
    }

    impl Clock for Hand {
        fn unix_seconds(&self) -> u64 {
            0
        }

        fn elapsed(&self) -> Duration {
            self.0.lock().unwrap().0
        }

        fn week_minute(&self) -> WeekMinute {
            self.0.lock().unwrap().1
        }
    }

    fn rate(bytes: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(bytes)
    }

    /// Sends through a limiter from several connections whose sleeps are late by up to `late`;
    /// the moments and sizes of the pieces.
    fn sent(limit: u64, connections: usize, late: Duration) -> Vec<(Duration, u64)> {
        let hand = Arc::new(Hand::default());
        let clock: Arc<dyn Clock> = Arc::<Hand>::clone(&hand);
        let limiter = Limiter::new(Timetable::always(NonZeroU64::new(limit).unwrap()), clock);
        let mut wakes = vec![Duration::ZERO; connections];
        let mut out = Vec::new();
        let mut number = 0_u32;
        while let Some(at) = wakes.iter().min().copied().filter(|at| at.as_secs() < 10) {
            hand.set(at);
            let who = wakes.iter().position(|wake| *wake == at).unwrap();
            let piece = limiter.piece();
            let begin = at + limiter.reserve(piece);
            number += 1;
            let begin = if begin > at { begin + late * (number % 3) / 2 } else { begin };
            out.push((begin, piece));
            wakes[who] = begin;
        }
        out.sort();
        out
    }

    #[test]
    fn no_second_has_more_than_the_limit_and_the_mean_comes_near() {
        for limit in [100_000, 1 << 20, 10 << 20, 80 << 20] {
            for connections in [1, 2, 8] {
                let sent = sent(limit, connections, Duration::from_millis(2));
                let mut from = 0;
                let mut bytes = 0;
                for (at, size) in &sent {
                    bytes += size;
                    while sent[from].0 + Duration::from_secs(1) <= *at {
                        bytes -= sent[from].1;
                        from += 1;
                    }
                    // With headers of 66 bytes for each 1448.
                    let wire = bytes * 1514 / 1448;
                    assert!(wire * 100 <= limit * 105, "{wire} of {limit} by {connections}");
                }
                let mean = sent.iter().map(|(_, size)| size).sum::<u64>() / 10;
                assert!(mean * 100 >= limit * 95, "{mean} of {limit} by {connections}");
            }
        }
    }

    #[test]
    fn the_time_that_is_reported_beforehand_is_what_it_takes() {
        let at = |day, hour, minute| WeekMinute::new(day, hour, minute).unwrap();
        let day = Span { from: at(0, 8, 0), minutes: 10, rate: rate(1 << 20) };
        let night =
            Span { from: WeekMinute::MONDAY, minutes: WeekMinute::WEEK, rate: rate(4 << 20) };
        let table = Timetable::new(vec![day, night]);
        for (bytes, from) in [(10_u64 << 20, 0), (700 << 20, 0), (900 << 20, 4), (3 << 30, 8)] {
            let begin = at(0, 8, from);
            let told = table.time_for(bytes, begin);
            let hand = Arc::new(Hand::default());
            let clock: Arc<dyn Clock> = Arc::<Hand>::clone(&hand);
            let limiter = Limiter::new(table.clone(), clock);
            let (mut now, mut left) = (Duration::ZERO, bytes);
            while left > 0 {
                let minutes = u16::try_from(now.as_secs() / 60).unwrap() + from;
                *hand.0.lock().unwrap() = (now, at(0, 8 + minutes / 60, minutes % 60));
                let piece = limiter.piece().min(left);
                now += limiter.reserve(piece);
                left -= piece;
            }
            let apart = now.abs_diff(told);
            assert!(apart * 50 <= told, "{bytes} bytes: told {told:?}, took {now:?}");
        }
        assert_eq!(Timetable::default().time_for(u64::MAX, at(1, 2, 3)), Duration::ZERO);
        let always = Timetable::always(NonZeroU64::new(1).unwrap());
        assert!(always.time_for(1 << 30, at(1, 2, 3)) > Duration::from_hours(24 * 365 * 34));
        assert!(always.time_for(u64::MAX, at(1, 2, 3)) > Duration::from_hours(1 << 32));
    }

    #[test]
    fn nothing_is_saved_up_in_a_pause() {
        let hand = Arc::new(Hand::default());
        let clock: Arc<dyn Clock> = Arc::<Hand>::clone(&hand);
        let limiter = Limiter::new(Timetable::always(NonZeroU64::new(1000).unwrap()), clock);
        hand.set(Duration::from_secs(100));
        assert_eq!(limiter.reserve(980), Duration::ZERO);
        let wait = limiter.reserve(1);
        assert_eq!(wait, Duration::from_secs(1).saturating_sub(SLACK));
    }

    #[test]
    fn the_first_span_that_has_the_moment_decides() {
        let at = |day, hour, minute| WeekMinute::new(day, hour, minute).unwrap();
        let table = Timetable::new(vec![
            Span { from: at(0, 8, 0), minutes: 600, rate: rate(5) },
            Span { from: at(6, 22, 0), minutes: 480, rate: rate(7) },
            Span { from: WeekMinute::MONDAY, minutes: WeekMinute::WEEK, rate: rate(80) },
        ]);
        for (moment, bytes) in [
            (at(0, 7, 59), 80),
            (at(0, 8, 0), 5),
            (at(0, 17, 59), 5),
            (at(0, 18, 0), 80),
            (at(1, 9, 0), 80),
            (at(6, 21, 59), 80),
            (at(6, 23, 0), 7),
            (at(0, 5, 59), 7),
            (at(0, 6, 0), 80),
        ] {
            assert_eq!(table.rate_at(moment), rate(bytes), "{moment:?}");
        }
        assert_eq!(Timetable::default().rate_at(at(3, 3, 3)), None);
    }

    #[test]
    fn a_new_rate_holds_a_second_later() {
        let hand = Arc::new(Hand::default());
        let clock: Arc<dyn Clock> = Arc::<Hand>::clone(&hand);
        let slow = Span { from: WeekMinute::MONDAY, minutes: 60, rate: rate(10) };
        let limiter = Limiter::new(Timetable::new(vec![slow]), clock);
        limiter.reserve(1_000_000);
        assert!(limiter.reserve(1) > Duration::from_hours(1), "the line is long");
        *hand.0.lock().unwrap() = (Duration::from_secs(2), WeekMinute::new(0, 1, 0).unwrap());
        assert_eq!(limiter.reserve(1_000_000), Duration::ZERO, "no limit, no line");
        assert_eq!(limiter.piece(), PIECE_BYTES_MAX);
    }
}
