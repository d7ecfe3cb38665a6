//! A limit of the rate as typed: `10MiB`, or a timetable, `'mon-fri 08:00-18:00 5MiB, 80MiB'`.
//!
//! Entries follow one another with commas; the first that has the moment decides. An entry is
//! `[DAYS] [HH:MM-HH:MM] RATE`: days are one (`sat`) or a row (`mon-fri`), hours that end before
//! they begin go over midnight, and a rate is a size for each second, or `unlimited`. Days and
//! hours are those of the local clock.

use std::num::NonZeroU64;
use std::str::FromStr;

use haulout::store::limiter::Span;
use haulout::store::limiter::Timetable;
use haulout::world::WeekMinute;

use crate::output::units::ByteCount;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;

/// The value of `--limit`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Timetable);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spans = Vec::new();
        for entry in text.split(',') {
            add_entry(&entry.to_ascii_lowercase(), &mut spans)?;
        }
        Ok(Self(Timetable::new(spans)))
    }
}

/// Adds the spans of one entry: one for each day if hours or days are named.
fn add_entry(entry: &str, spans: &mut Vec<Span>) -> Result<(), String> {
    let words: Vec<&str> = entry.split_whitespace().collect();
    let Some((rate, when)) = words.split_last() else {
        return Err("an entry of the timetable is empty".to_owned());
    };
    let rate = rate_of(rate)?;
    let (days, hours) = match when {
        [] => {
            spans.push(Span { from: WeekMinute::MONDAY, minutes: WeekMinute::WEEK, rate });
            return Ok(());
        }
        [one] if one.contains(':') => ((0, 7), hours_of(one)?),
        [one] => (days_of(one)?, (0, DAY_MINUTES)),
        [days, hours] => (days_of(days)?, hours_of(hours)?),
        _ => return Err(format!("{entry:?} is no entry like mon-fri 08:00-18:00 5MiB")),
    };
    let ((first, count), (begin, minutes)) = (days, hours);
    for day in first..first + count {
        let from = WeekMinute::new(day % 7, begin / 60, begin % 60);
        let from = from.expect("days and hours were checked");
        spans.push(Span { from, minutes, rate });
    }
    Ok(())
}

fn rate_of(text: &str) -> Result<Option<NonZeroU64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let bytes: ByteCount = text.trim_end_matches("/s").parse()?;
    let rate = NonZeroU64::new(bytes.0);
    rate.map(Some).ok_or_else(|| "a rate of 0 would never end; say unlimited".to_owned())
}

/// Returns the number of the first day (0 to 6), and the number of days.
fn days_of(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day_of(first)?, day_of(last)?);
    Ok((first, (last + 7 - first) % 7 + 1))
}

fn day_of(text: &str) -> Result<u16, String> {
    let known = (0..7).zip(DAYS).find(|(_, day)| *day == text);
    known.map(|(number, _)| number).ok_or_else(|| format!("{text:?} is no day like mon"))
}

/// Returns the first minute of the day, and the number of minutes.
fn hours_of(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("{text:?} is no time like 08:00-18:00");
    let (begin, end) = text.split_once('-').ok_or_else(wrong)?;
    let (begin, end) = (minute_of(begin).ok_or_else(wrong)?, minute_of(end).ok_or_else(wrong)?);
    if begin == end || begin == DAY_MINUTES {
        return Err(wrong());
    }
    Ok((begin, (end + DAY_MINUTES - begin) % DAY_MINUTES))
        .map(|(begin, minutes)| (begin, if minutes == 0 { DAY_MINUTES } else { minutes }))
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let is_time = hour < 24 && minute < 60 || (hour, minute) == (24, 0);
    is_time.then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_at(limit: &str, day: u16, hour: u16, minute: u16) -> u64 {
        let limit: Limit = limit.parse().unwrap();
        let moment = WeekMinute::new(day, hour, minute).unwrap();
        limit.0.rate_at(moment).map_or(0, NonZeroU64::get)
    }

    #[test]
    fn a_rate_alone_holds_always() {
        assert_eq!(rate_at("10MiB", 6, 23, 59), 10 << 20);
        assert_eq!(rate_at("5MB/s", 0, 0, 0), 5_000_000);
        assert_eq!(rate_at("unlimited", 0, 0, 0), 0);
    }

    #[test]
    fn a_timetable_is_read_from_left_to_right() {
        let office = "mon-fri 08:00-18:00 5B, 80B";
        for (day, hour, minute, rate) in
            [(0, 8, 0, 5), (4, 17, 59, 5), (4, 18, 0, 80), (5, 12, 0, 80), (0, 7, 59, 80)]
        {
            assert_eq!(rate_at(office, day, hour, minute), rate, "{day} {hour}:{minute}");
        }
        let night = "22:00-06:00 unlimited, Sat-Sun 9B, 1B";
        for (day, hour, rate) in [(0, 23, 0), (1, 5, 0), (1, 6, 1), (5, 12, 9), (0, 3, 0)] {
            assert_eq!(rate_at(night, day, hour, 0), rate, "{day} {hour}");
        }
        assert_eq!(rate_at("fri-mon 2B, 3B", 0, 1, 0), 2);
        assert_eq!(rate_at("fri-mon 2B, 3B", 1, 1, 0), 3);
        assert_eq!(rate_at("00:00-24:00 4B", 3, 3, 3), 4);
    }

    #[test]
    fn what_is_no_timetable_is_refused() {
        for text in [
            "",
            ",",
            "5MiB,",
            "fast",
            "0B",
            "5",
            "5M",
            "mon-fri 08:00-18:00 5, 80MiB",
            "mon",
            "mon-fri",
            "monday 5B",
            "25:00-26:00 5B",
            "8-18 5B",
            "08:00-08:00 5B",
            "24:00-08:00 5B",
            "mon 08:00-18:00 x 5B",
            "mon-foo 5B",
            "5B mon",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text:?}");
        }
    }
}
