//! Values of options that several commands take: their grammar, and why one is refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::builder::TypedValueParser;

use haulout::ops::verify::Budget;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::output::units::ByteCount;
use crate::output::units::number_and_unit;

/// Longest name of a source and longest tag, bytes: both stand in the snapshot, which is small.
const WORD_BYTES_MAX: usize = 255;

fn word(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > WORD_BYTES_MAX {
        return Err(format!("it is longer than {WORD_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a tag of a snapshot.
pub(crate) fn tag(text: &str) -> Result<String, String> {
    word(text)
}

/// Parses the name of a source.
pub(crate) fn source_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("it has an @, which stands for \"snapshot of\" (NAME@latest)".to_owned());
    }
    if text == "latest" {
        return Err("it stands for the newest snapshot wherever one is named".to_owned());
    }
    word(text)
}

/// Parses the label of a key.
pub(crate) fn label(text: &str) -> Result<String, String> {
    word(text)
}

/// The longest name of a schema, characters, by the servers' rules.
const SCHEMA_CHARS_MAX: usize = 64;

/// Parses the name of a schema, without quotes.
pub(crate) fn schema(text: &str) -> Result<String, String> {
    if text.chars().count() > SCHEMA_CHARS_MAX {
        return Err(format!("it is longer than {SCHEMA_CHARS_MAX} characters"));
    }
    if text.ends_with(' ') {
        return Err("it ends with a blank, which servers refuse".to_owned());
    }
    word(text)
}

/// Parses a path that may be made. A shell replaces `~` only at the beginning of a word, so that
/// `--to=~/x` and variables of services would make a directory called `~`.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text: OsString| {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.as_encoded_bytes().starts_with(b"~") {
            return Err("the shell did not replace the ~: write the home directory out, or ./~");
        }
        Ok(PathBuf::from(text))
    })
}

/// Parses a time as typed: `90s`, `10min`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text).ok_or("it is no time like 90s, 10min, 1h or 2d")?;
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "" => return Err(format!("it has no unit: write {number}s, {number}min or {number}h")),
        "m" => return Err(format!("m is no unit of time: write {number}min")),
        _ => return Err(format!("{unit} is no unit of time: s, min, h and d are")),
    };
    let seconds = number.checked_mul(seconds).ok_or_else(|| "it is too long".to_owned())?;
    Ok(Duration::from_secs(seconds))
}

/// Parses a part such as `0.6` or `1` as thousandths.
pub(crate) fn thousandths(text: &str) -> Result<u64, String> {
    let refusal = || "it must be from 0.01 to 10, as 0.6".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = part.chars().chain("000".chars()).take(3).collect();
    let [whole, part] = [whole, &digits].map(str::parse::<u64>);
    let (Ok(whole @ 0..=10), Ok(part)) = (whole, part) else { return Err(refusal()) };
    let all = whole * 1000 + part;
    if (10..=10_000).contains(&all) { Ok(all) } else { Err(refusal()) }
}

/// Checks an address that is asked by HTTP. It may be a secret, so that no reason repeats it.
pub(crate) fn http_address(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err("it is no URL that begins with https:// or http://".to_owned());
    };
    if rest.is_empty() || rest.starts_with(['/', '?', ':']) {
        return Err("it has no host".to_owned());
    }
    if text.contains('#') || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("it has a character that no address of HTTP has".to_owned());
    }
    Ok(())
}

/// Checks an address that is asked by HTTP without TLS.
pub(crate) fn plain_http_address(text: &str) -> Result<(), String> {
    if !text.starts_with("http://") {
        return Err("it is no URL that begins with http://".to_owned());
    }
    http_address(text)
}

/// Parses what a part of a verification may take: `50GiB`, `2h`, `5%`.
pub(crate) fn budget(text: &str) -> Result<Budget, String> {
    let no_budget = || "it is no budget like 50GiB, 2h, 30min or 5%".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(no_budget)?;
    if number == 0 {
        return Err("nothing can be verified with it".to_owned());
    }
    let letter = unit.chars().next().map(|letter| letter.to_ascii_uppercase());
    match (unit, letter) {
        ("%", _) => {
            let percent = u8::try_from(number).ok().filter(|percent| *percent <= 100);
            percent.map(Budget::Percent).ok_or_else(|| "it is more than everything".to_owned())
        }
        ("s" | "min" | "h" | "d", _) => duration(text).map(Budget::Time),
        ("m" | "M", _) => {
            Err(format!("{unit} is no unit: write {number}min, {number}MiB or {number}MB"))
        }
        (_, Some('B' | 'K' | 'M' | 'G' | 'T')) => {
            text.parse().map(|ByteCount(bytes)| Budget::Bytes(bytes))
        }
        ("", _) => Err(format!("it has no unit: write {number}GiB, {number}h or {number}%")),
        (_, _) => Err(no_budget()),
    }
}

/// Parses a time on a calendar: `hour`, `day`, `week`, or a number of h, d, w (7 days) or y (365
/// days) besides the shorter ones.
pub(crate) fn long_duration(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 60 * 60;
    let days = match text {
        "hour" => return Ok(Duration::from_hours(1)),
        "day" => 1,
        "week" => 7,
        _ => match number_and_unit(text) {
            Some((number, "w")) => number.saturating_mul(7),
            Some((number, "y")) => number.saturating_mul(365),
            Some(_) | None => return duration(text),
        },
    };
    days.checked_mul(DAY).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

/// The longest time for which locks are extended: one in COMPLIANCE mode can't be taken back.
const LOCK_DAYS_MAX: u64 = 3650;

/// Parses the time of locks, a day to ten years: `35d`.
pub(crate) fn lock_period(text: &str) -> Result<Duration, String> {
    let time = long_duration(text)?;
    let (least, most) = (Duration::from_hours(24), Duration::from_hours(24 * LOCK_DAYS_MAX));
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        Err("it is less than a day or more than ten years".to_owned())
    }
}

/// Parses the name of a time zone.
pub(crate) fn time_zone(text: &str) -> Result<TimeZone, String> {
    if text == "local" {
        return Ok(TimeZone::system());
    }
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(text).map_err(|_| "it is neither local nor the name of a time zone".to_owned())
}

/// Parses a share in whole percent: `10%`.
pub(crate) fn percent(text: &str) -> Result<u64, String> {
    match number_and_unit(text) {
        Some((number, "%")) if number <= 100 => Ok(number),
        Some((_, "%")) => Err("it is more than everything".to_owned()),
        Some((number, "")) => Err(format!("it has no unit: write {number}%")),
        Some(_) | None => Err("it is no share like 10%".to_owned()),
    }
}

/// Characters of a date: `2027-06-30`.
const DATE_CHARS: usize = 10;

/// Parses the last moment of something, seconds since 1970: the end of a day in UTC, or a moment as
/// by RFC 3339.
pub(crate) fn until(text: &str) -> Result<u64, String> {
    let no_date = || "it is no date like 2027-06-30, or 2027-06-30T18:00:00Z".to_owned();
    let moment: Timestamp = if text.len() == DATE_CHARS {
        let date: Date = text.parse().map_err(|_| no_date())?;
        TimeZone::UTC.to_timestamp(date.at(23, 59, 59, 0)).map_err(|_| no_date())?
    } else {
        text.parse().map_err(|_| no_date())?
    };
    u64::try_from(moment.as_second()).map_err(|_| "it is before 1970".to_owned())
}

/// Parses a moment, seconds since 1970: with a zone, or in the local time.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    let no_time = || {
        "it is no time like '2027-06-30 18:00:00', or with a zone '2027-06-30 18:00:00Z'".to_owned()
    };
    let of_zone = text.parse::<Timestamp>();
    let local = || {
        let typed: DateTime = text.parse().map_err(|_| no_time())?;
        TimeZone::system().to_timestamp(typed).map_err(|_| no_time())
    };
    let moment = of_zone.or_else(|_| local())?;
    u64::try_from(moment.as_second()).map_err(|_| "it is before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_zone_or_that_of_the_host() {
        for (text, seconds) in [
            ("2027-06-30T18:00:00Z", 1_814_378_400),
            ("2027-06-30 18:00:00Z", 1_814_378_400),
            ("2027-06-30 18:00:00+02:00", 1_814_371_200),
        ] {
            assert_eq!(moment(text), Ok(seconds), "{text}");
        }
        let local = moment("2027-06-30 18:00:00").unwrap();
        assert!(local.abs_diff(1_814_378_400) <= 14 * 3600, "{local}");
        for text in ["", "soon", "18:00", "2027-06-31 18:00:00", "1969-01-01 00:00:00Z"] {
            moment(text).unwrap_err();
        }
    }

    #[test]
    fn a_date_ends_with_its_day() {
        for (text, seconds) in [
            ("2027-06-30", 1_814_399_999),
            ("2027-06-30T18:00:00Z", 1_814_378_400),
            ("2027-06-30T18:00:00+02:00", 1_814_371_200),
        ] {
            assert_eq!(until(text), Ok(seconds), "{text}");
        }
        for text in ["", "2027-06-31", "2027-6-30", "30.06.2027", "2027-06-30T18:00", "1969-12-31"]
        {
            assert!(until(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_is_a_size_a_time_or_a_share() {
        for (text, wanted) in [
            ("50GiB", Budget::Bytes(50 << 30)),
            ("3B", Budget::Bytes(3)),
            ("50GB", Budget::Bytes(50_000_000_000)),
            ("2h", Budget::Time(Duration::from_hours(2))),
            ("30min", Budget::Time(Duration::from_mins(30))),
            ("1d", Budget::Time(Duration::from_hours(24))),
            ("5%", Budget::Percent(5)),
            ("100%", Budget::Percent(100)),
        ] {
            assert_eq!(budget(text), Ok(wanted), "{text}");
        }
        for text in ["", "5", "0%", "0GiB", "101%", "50G", "2hours", "-1h", "%", "1.5h", "3m", "3M"]
        {
            assert!(budget(text).is_err(), "{text}");
        }
        assert!(budget("3m").unwrap_err().contains("3min, 3MiB"));
        assert!(budget("50G").unwrap_err().contains("50GiB"));
    }

    #[test]
    fn times_on_a_calendar_have_words_and_more_units() {
        const DAY: u64 = 86_400;
        for (text, seconds) in
            [("hour", 3600), ("day", DAY), ("week", 7 * DAY), ("8w", 56 * DAY), ("2y", 730 * DAY)]
        {
            assert_eq!(long_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(long_duration("6h"), duration("6h"));
        for text in ["", "month", "2m", "y", "99999999999999999y"] {
            assert!(long_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_have_names_and_shares_a_sign() {
        assert!(time_zone("local").is_ok() && time_zone("UTC") == Ok(TimeZone::UTC));
        assert!(time_zone("Nowhere/Else").is_err() && time_zone("").is_err());
        assert_eq!((percent("0%"), percent("100%")), (Ok(0), Ok(100)));
        for text in ["10", "101%", "", "%", "1.5%"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90s", 90), ("10min", 600), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1w", "-1s", "1.5h", "99999999999999999d", "5", "5m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
