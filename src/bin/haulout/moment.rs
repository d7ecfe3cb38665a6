//! Moments as people and programs write them, by ISO 8601: UTC, or for people the zone of this
//! machine, named by its distance from UTC.

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Whose clock people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Everybody's.
    Utc,
    /// This machine's.
    Local,
}

/// For people: `2026-11-20 03:00:12Z`, or `2026-11-20 04:00:12+01:00`.
pub(crate) fn for_people(unix_seconds: u64, zone: Zone) -> String {
    match zone {
        Zone::Utc => written(unix_seconds, ' '),
        Zone::Local => local(unix_seconds).unwrap_or_else(|| written(unix_seconds, ' ')),
    }
}

/// By the clock of this machine; nothing for moments that it can't tell.
fn local(unix_seconds: u64) -> Option<String> {
    let moment = chrono::DateTime::from_timestamp(i64::try_from(unix_seconds).ok()?, 0)?;
    Some(moment.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S%:z").to_string())
}

/// For programs, RFC 3339: `2026-11-20T03:00:12Z`.
pub(crate) fn for_programs(unix_seconds: u64) -> String {
    written(unix_seconds, 'T')
}

fn written(unix_seconds: u64, between: char) -> String {
    let (year, month, day) = date(unix_seconds / DAY_SECONDS);
    let second = unix_seconds % DAY_SECONDS;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, from days since 1970.
///
/// Years are counted from March, so that the leap day is the last of a year; 400 years are always
/// 146,097 days (the method is Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
            (253_402_300_799, "9999-12-31 23:59:59Z"),
        ] {
            assert_eq!(for_people(unix, Zone::Utc), text, "{unix}");
        }
        assert_eq!(for_programs(1_795_143_612), "2026-11-20T03:00:12Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let (y, m, d) = before;
            let next_day = (year, month, day) == (y, m, d + 1);
            let next_month = (year, month, day) == (y, m + 1, 1) && d >= 28;
            let next_year = (year, month, day) == (y + 1, 1, 1) && (m, d) == (12, 31);
            assert!(next_day || next_month || next_year, "{days}");
            before = (year, month, day);
        }
    }
}
