//! Time as an argument: what the library knows of it, and the one place that asks the machine.

use std::fmt::Debug;
use std::time::Duration;

const DAY_MINUTES: u16 = 24 * 60;

/// A minute of the week, counted from Monday 00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WeekMinute(u16);

impl WeekMinute {
    /// Minutes of a week.
    pub const WEEK: u16 = 7 * DAY_MINUTES;
    /// The first minute of the week, Monday 00:00.
    pub const MONDAY: Self = Self(0);

    /// Creates a minute from a day (0 is Monday), an hour and a minute; returns `None` if there is
    /// no such minute.
    pub fn new(day: u16, hour: u16, minute: u16) -> Option<Self> {
        let is_one = day < 7 && hour < 24 && minute < 60;
        is_one.then_some(Self(day * DAY_MINUTES + hour * 60 + minute))
    }

    /// Returns the minute after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1) % Self::WEEK)
    }

    /// Returns the minutes since `earlier`, round the week if need be.
    pub fn since(self, earlier: Self) -> u16 {
        (self.0 + Self::WEEK - earlier.0) % Self::WEEK
    }
}

/// A source of time.
pub trait Clock: Debug + Send + Sync {
    /// Returns the seconds since 1970 UTC, for people; never decides anything.
    fn unix_seconds(&self) -> u64;
    /// Returns the time since an arbitrary start; never goes back.
    fn elapsed(&self) -> Duration;
    /// Returns the minute of the week where people read the clock; UTC unless the clock knows
    /// better.
    fn week_minute(&self) -> WeekMinute {
        // The first of January 1970 was a Thursday.
        let minutes = self.unix_seconds() / 60 + u64::from(3 * DAY_MINUTES);
        let minute = minutes % u64::from(WeekMinute::WEEK);
        WeekMinute(u16::try_from(minute).expect("a remainder below 10,080"))
    }
}

/// The clocks of the machine, read through the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Creates a clock whose `elapsed` starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn unix_seconds(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn week_minute(&self) -> WeekMinute {
        let now = jiff::ZonedDateTime::now();
        let part = |number: i8| u16::try_from(number).unwrap_or_default();
        let day = part(now.weekday().to_monday_zero_offset());
        WeekMinute::new(day, part(now.hour()), part(now.minute())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl Clock for At {
        fn unix_seconds(&self) -> u64 {
            self.0
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn weeks_begin_on_monday() {
        // Friday, 20 November 2026, 03:00:12 UTC.
        assert_eq!(At(1_795_143_612).week_minute(), WeekMinute::new(4, 3, 0).unwrap());
        assert_eq!(At(0).week_minute(), WeekMinute::new(3, 0, 0).unwrap());
        let (sunday, monday) = (WeekMinute::new(6, 23, 59).unwrap(), WeekMinute::MONDAY);
        assert_eq!(monday.since(sunday), 1);
        assert_eq!(WeekMinute::new(7, 0, 0), None);
    }
}
