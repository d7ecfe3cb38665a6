//! Moments as people and programs write them, by ISO 8601: UTC, or for people the zone of this
//! machine, named by its distance from UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time zone in which people read moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Coordinated universal time, the same everywhere.
    Utc,
    /// The time zone of this machine.
    Local,
}

/// Returns a moment for people: `2026-11-20 03:00:12Z`, or `2026-11-20 04:00:12+01:00`.
pub(crate) fn for_people(unix_seconds: u64, zone: Zone) -> String {
    let moment = timestamp(unix_seconds);
    match zone {
        Zone::Utc => moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Zone::Local => moment
            .to_zoned_datetime(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S%:z")
            .to_string(),
    }
}

/// Returns a moment for programs, by RFC 3339: `2026-11-20T03:00:12Z`.
pub(crate) fn for_programs(unix_seconds: u64) -> String {
    timestamp(unix_seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the moment, or the last one that has a date.
fn timestamp(unix_seconds: u64) -> Timestamp {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_with_date() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (951_868_800, "2000-03-01 00:00:00Z"),
            (1_735_689_599, "2024-12-31 23:59:59Z"),
            (1_795_143_612, "2026-11-20 03:00:12Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(for_people(unix, Zone::Utc), text, "{unix}");
        }
        assert_eq!(for_programs(1_795_143_612), "2026-11-20T03:00:12Z");
    }

    #[test]
    fn a_moment_after_the_last_date_is_that() {
        assert!(for_people(u64::MAX, Zone::Utc).starts_with("9999-12-"));
        assert!(for_people(u64::MAX, Zone::Local).starts_with("9999-12-"));
    }
}
