//! The times at which a job is to run: `daily 02:30`, `weekly sun 03:00`, `hourly :15`, or five
//! fields as cron has them.
//!
//! All forms mean sets of minutes, hours, days, months and weekdays. As in cron, a day is meant if
//! its number or its weekday is, where both are restricted. A time that a change of the clock
//! leaves out comes as much later, and one that comes twice counts once.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Days that are searched for the next time: 29 February comes every eight years at worst.
const DAYS_SEARCHED: usize = 366 * 9;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const FORMS: &str = "it is no schedule like \"daily 02:30\", \"weekly sun 03:00\", \"hourly :15\" \
                     or \"30 2 * * 1-5\"";

/// The times at which a job is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    /// The days; Sunday is 0.
    weekdays: Field,
}

/// A set of numbers, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// False for all numbers, written `*`.
    is_restricted: bool,
}

impl Field {
    const ANY: Self = Self { bits: u64::MAX, is_restricted: false };

    fn only(number: u32) -> Self {
        Self { bits: 1 << number, is_restricted: true }
    }

    /// Returns the numbers of a range that are meant.
    fn numbers(self, range: Range<u32>) -> impl Iterator<Item = u32> {
        range.filter(move |number| self.bits >> number & 1 == 1)
    }

    /// Returns the numbers with commas, or `*`.
    fn list(self, range: Range<u32>) -> String {
        if !self.is_restricted && self.numbers(range.clone()).count() == range.len() {
            return "*".to_owned();
        }
        self.numbers(range).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
    }

    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits >> number & 1 == 1)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let mut fields = [Field::ANY; 5];
        match words[..] {
            ["daily", time] => (fields[0], fields[1]) = time_of(time)?,
            ["weekly", day, time] => {
                (fields[0], fields[1]) = time_of(time)?;
                let day = DAYS.iter().position(|known| *known == day).ok_or(FORMS)?;
                fields[4] = Field::only(u32::try_from((day + 1) % 7).unwrap_or_default());
            }
            ["hourly", time] => fields[0] = Field::only(minute_of(time)?),
            [minutes, hours, days, months, weekdays] => {
                let weekdays = field(weekdays, (0, 7), &[&["sun"][..], &DAYS[..6]].concat())?;
                // Both 0 and 7 are Sunday.
                let sunday = weekdays.bits >> 7 & 1;
                fields = [
                    field(minutes, (0, 59), &[])?,
                    field(hours, (0, 23), &[])?,
                    field(days, (1, 31), &[])?,
                    field(months, (1, 12), &[&["-"][..], &MONTHS[..]].concat())?,
                    Field { bits: weekdays.bits | sunday, ..weekdays },
                ];
            }
            _ => return Err(FORMS.to_owned()),
        }
        let [minutes, hours, days, months, weekdays] = fields;
        let schedule = Self { text: text.to_owned(), minutes, hours, days, months, weekdays };
        let (zone, start) = (TimeZone::UTC, Timestamp::UNIX_EPOCH);
        if schedule.next_after(start, &zone).is_none() {
            return Err("it never comes".to_owned());
        }
        Ok(schedule)
    }
}

impl Schedule {
    /// Returns the first time after a moment.
    pub(crate) fn next_after(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(moment).date();
        for _day in 0..DAYS_SEARCHED {
            let next = self.times(date, zone).into_iter().find(|time| *time > moment);
            if next.is_some() {
                return next;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Returns the last time that is not after a moment.
    pub(crate) fn last_before(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(moment).date();
        for _day in 0..DAYS_SEARCHED {
            let last = self.times(date, zone).into_iter().rfind(|time| *time <= moment);
            if last.is_some() {
                return last;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// Returns the schedule as a calendar event of systemd; nothing if a day may be meant by its
    /// number or by its weekday, which systemd can't express.
    pub(crate) fn calendar(&self) -> Option<String> {
        if self.days.is_restricted && self.weekdays.is_restricted {
            return None;
        }
        let weekdays = if self.weekdays.is_restricted {
            let named = |day: u32| DAYS[usize::try_from((day + 6) % 7).unwrap_or_default()];
            let days = self.weekdays.numbers(0..7).map(named);
            format!("{} ", days.collect::<Vec<_>>().join(","))
        } else {
            String::new()
        };
        let (months, days) = (self.months.list(1..13), self.days.list(1..32));
        let (hours, minutes) = (self.hours.list(0..24), self.minutes.list(0..60));
        Some(format!("{weekdays}*-{months}-{days} {hours}:{minutes}:00"))
    }

    /// Returns the five fields of cron.
    pub(crate) fn cron(&self) -> String {
        let fields = [
            self.minutes.list(0..60),
            self.hours.list(0..24),
            self.days.list(1..32),
            self.months.list(1..13),
            self.weekdays.list(0..7),
        ];
        fields.join(" ")
    }

    /// Returns the times of a day, the earliest first.
    fn times(&self, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
        if !self.is_day(date) {
            return Vec::new();
        }
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        let minutes = |hour| {
            (0..60).filter(|minute| self.minutes.has(*minute)).map(move |minute| (hour, minute))
        };
        let times = hours
            .flat_map(minutes)
            .filter_map(|(hour, minute)| zone.to_timestamp(date.at(hour, minute, 0, 0)).ok());
        let mut times: Vec<Timestamp> = times.collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    fn is_day(&self, date: Date) -> bool {
        let by_number = self.days.has(date.day());
        let by_name = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let both = self.days.is_restricted && self.weekdays.is_restricted;
        let is_day = if both { by_number || by_name } else { by_number && by_name };
        is_day && self.months.has(date.month())
    }
}

/// Parses `HH:MM`, and returns minute and hour.
fn time_of(text: &str) -> Result<(Field, Field), String> {
    let (hour, minute) = text.split_once(':').ok_or(FORMS)?;
    let hour: u32 = hour.parse().ok().filter(|hour| *hour < 24).ok_or(FORMS)?;
    Ok((Field::only(minute_of(&format!(":{minute}"))?), Field::only(hour)))
}

/// Parses `:MM`, a minute of any hour.
fn minute_of(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix(':').filter(|digits| digits.len() == 2).ok_or(FORMS)?;
    Ok(digits.parse().ok().filter(|minute| *minute < 60).ok_or(FORMS)?)
}

/// Parses a field of cron: `*`, `5`, `1-5`, `*/10`, `1-30/2`, and lists of them.
fn field(text: &str, range: (u32, u32), names: &[&str]) -> Result<Field, String> {
    let wrong = || format!("{text:?} is no field of cron from {} to {}", range.0, range.1);
    let number = |word: &str| -> Result<u32, String> {
        let at = names.iter().position(|name| *name == word);
        let at = at.and_then(|at| u32::try_from(at).ok());
        let number = at.or_else(|| word.parse().ok()).ok_or_else(wrong)?;
        if (range.0..=range.1).contains(&number) { Ok(number) } else { Err(wrong()) }
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (span, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?;
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => range,
            Some((first, last)) => (number(first)?, number(last)?),
            None if part.contains('/') => (number(span)?, range.1),
            None => (number(span)?, number(span)?),
        };
        if first > last {
            return Err(wrong());
        }
        bits |= (first..=last).step_by(step).fold(0, |bits, one| bits | 1_u64 << one);
    }
    Ok(Field { bits, is_restricted: !text.starts_with('*') })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, moment: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let schedule: Schedule = schedule.parse().unwrap();
        let moment: Timestamp = moment.parse().unwrap();
        schedule.next_after(moment, &zone).unwrap().to_string()
    }

    #[test]
    fn each_form_has_a_next_time() {
        // A Monday.
        let moment = "2026-11-30T12:00:00Z";
        for (schedule, time) in [
            ("daily 02:30", "2026-12-01T02:30:00Z"),
            ("daily 12:00", "2026-12-01T12:00:00Z"),
            ("Weekly Sun 03:00", "2026-12-06T03:00:00Z"),
            ("weekly mon 12:01", "2026-11-30T12:01:00Z"),
            ("hourly :15", "2026-11-30T12:15:00Z"),
            ("30 2 * * 1-5", "2026-12-01T02:30:00Z"),
            ("*/20 * * * *", "2026-11-30T12:20:00Z"),
            ("0 4 1,15 * *", "2026-12-01T04:00:00Z"),
            ("0 4 13 * fri", "2026-12-04T04:00:00Z"),
            ("0 4 * * 7", "2026-12-06T04:00:00Z"),
            ("0 0 29 feb *", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, moment, "UTC"), time, "{schedule}");
        }
    }

    #[test]
    fn a_change_of_the_clock_neither_loses_a_time_nor_doubles_one() {
        let schedule = "daily 02:30";
        // 02:30 does not exist on 29 March 2026 in Berlin.
        let next_of = |moment: &str| next(schedule, moment, "Europe/Berlin");
        assert_eq!(next_of("2026-03-28T12:00:00Z"), "2026-03-29T01:30:00Z");
        assert_eq!(next_of("2026-03-29T01:30:00Z"), "2026-03-30T00:30:00Z");
        // 02:30 comes twice on 25 October 2026.
        assert_eq!(next_of("2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next_of("2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn a_schedule_means_the_same_to_systemd_and_to_cron() {
        for (text, calendar, cron) in [
            ("daily 02:30", Some("*-*-* 2:30:00"), "30 2 * * *"),
            ("weekly sun 03:00", Some("sun *-*-* 3:0:00"), "0 3 * * 0"),
            ("weekly mon 03:00", Some("mon *-*-* 3:0:00"), "0 3 * * 1"),
            ("hourly :15", Some("*-*-* *:15:00"), "15 * * * *"),
            ("*/30 2 1,15 * *", Some("*-*-1,15 2:0,30:00"), "0,30 2 1,15 * *"),
            ("0 4 * jan 1-3", Some("mon,tue,wed *-1-* 4:0:00"), "0 4 * 1 1,2,3"),
            ("0 4 13 * fri", None, "0 4 13 * 5"),
        ] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.calendar().as_deref(), calendar, "{text}");
            assert_eq!(schedule.cron(), cron, "{text}");
            let again: Schedule = cron.parse().unwrap();
            let moment: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
            let next = |schedule: &Schedule| schedule.next_after(moment, &TimeZone::UTC);
            assert_eq!(next(&again), next(&schedule), "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "daily",
            "daily 24:00",
            "daily 2:3",
            "weekly 03:00",
            "weekly foo 03:00",
            "hourly 15",
            "hourly :60",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "0 0 31 2 *",
            "0 0 * foo *",
            "0 0 * - *",
            "monthly 1 03:00",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text:?}");
        }
    }
}
