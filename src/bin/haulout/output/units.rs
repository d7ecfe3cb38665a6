//! Numbers as people read and write them: sizes, rates, shares, durations.
//!
//! Sizes are binary (KiB, MiB, GiB) with three significant digits, so that columns of them line up.
//! Everything is computed with whole numbers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes as typed: `256MiB`, `2GB`, `300B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteCount(pub(crate) u64);

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or("it is no size like 256MiB or 2GB")?;
        let factor = factor(unit).ok_or_else(|| match (unit, Letter::of(unit)) {
            ("", _) => format!("it has no unit: write {number}MiB, {number}MB or {number}B"),
            (_, Some(Letter(name, _))) => {
                let small = if name == 'K' { 'k' } else { name };
                format!("{unit} is no unit of size: write {number}{name}iB or {number}{small}B")
            }
            _ => format!("{unit} is no unit of size: KiB, MiB, GiB, TiB, kB, MB, GB, TB and B are"),
        })?;
        times(number, factor)
    }
}

/// Parses the size of `--memory`: units of one letter, as servers have them, are powers of 1024.
pub(crate) fn memory(text: &str) -> Result<ByteCount, String> {
    match number_and_unit(text) {
        Some((number, unit)) if let Some(Letter(_, factor)) = Letter::of(unit) => {
            times(number, factor)
        }
        _ => text.parse(),
    }
}

/// Splits a text into the number before the unit, and the unit.
pub(crate) fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn times(number: u64, factor: u64) -> Result<ByteCount, String> {
    number.checked_mul(factor).map(ByteCount).ok_or_else(|| "it is too large".to_owned())
}

/// A unit of one letter, and its factor.
struct Letter(char, u64);

impl Letter {
    fn of(unit: &str) -> Option<Self> {
        let mut letters = unit.chars();
        let letter = letters.next().filter(|_| letters.as_str().is_empty())?.to_ascii_uppercase();
        let power = 1 + u32::try_from("KMGT".find(letter)?).ok()?;
        Some(Self(letter, u64::pow(1024, power)))
    }
}

/// Returns the factor of a unit.
fn factor(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&size(self.0))
    }
}

/// Formats a size in its best unit.
pub(crate) fn size(bytes: u64) -> String {
    sized(u128::from(bytes))
}

fn sized(bytes: u128) -> String {
    match unit_of(bytes) {
        (1, name) => format!("{bytes} {name}"),
        (unit, name) => format!("{} {name}", three_digits(bytes, unit)),
    }
}

/// Returns the smallest unit in which a size has three digits, and its name.
fn unit_of(bytes: u128) -> (u128, &'static str) {
    if bytes < 1000 {
        return (1, "B");
    }
    let mut unit = 1024;
    let mut name = 0;
    // 1000 of a unit and more would need a fourth digit.
    while bytes * 2 >= unit * 1999 && name + 1 < UNITS.len() {
        unit *= 1024;
        name += 1;
    }
    (unit, UNITS[name])
}

/// Formats a part of a size in the unit of the whole: `0.42/2.55 GiB`.
pub(crate) fn part(bytes: u64, whole: u64) -> String {
    let (whole, bytes) = (u128::from(whole), u128::from(bytes));
    let (unit, name) = unit_of(whole);
    if unit == 1 {
        return format!("{bytes}/{whole} B");
    }
    format!("{}/{} {name}", three_digits(bytes, unit), three_digits(whole, unit))
}

/// Formats `of / unit`, rounded to three digits.
fn three_digits(of: u128, unit: u128) -> String {
    let scaled = |scale: u128| (of * scale * 2 + unit) / (unit * 2);
    let hundredths = scaled(100);
    if hundredths < 1000 {
        return format!("{}.{:02}", hundredths / 100, hundredths % 100);
    }
    let tenths = scaled(10);
    if tenths < 1000 {
        return format!("{}.{}", tenths / 10, tenths % 10);
    }
    scaled(1).to_string()
}

/// Formats a rate in bytes per second.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    let nanoseconds = time.as_nanos().max(1);
    format!("{}/s", sized(u128::from(bytes) * 1_000_000_000 / nanoseconds))
}

/// Formats `part` of `whole` in percent, with one digit after the point.
pub(crate) fn share(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    // What is there is never shown as nothing, and what is not all never as all.
    match thousandths {
        0 if part > 0 => "<0.1 %".to_owned(),
        _ => format!("{}.{} %", thousandths / 10, thousandths % 10),
    }
}

/// Formats `part` of `whole` in whole percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 100 / u128::from(whole.max(1));
    format!("{hundredths} %")
}

/// Formats a count with its thousands apart: `171,023`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a count with its noun: `1 snapshot`, `2 snapshots`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// Formats a time span for sentences: `4.2 s`, `3 min 20 s`, `2 h 05 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a time span for a line that is redrawn: `0:42`, `1:02:03`.
pub(crate) fn stopwatch(seconds: u64) -> String {
    let (minutes, rest) = (seconds / 60, seconds % 60);
    if minutes < 60 {
        return format!("{minutes}:{rest:02}");
    }
    format!("{}:{:02}:{rest:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1024, "1.00 KiB"),
            (10_234, "9.99 KiB"),
            (10_239, "10.0 KiB"),
            (1_022_900, "999 KiB"),
            (1_023_500, "0.98 MiB"),
            (2_738_000_000, "2.55 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_part_has_the_unit_of_the_whole() {
        assert_eq!(part(433 << 20, 2_738_000_000), "0.42/2.55 GiB");
        assert_eq!(part(0, 2_738_000_000), "0.00/2.55 GiB");
        assert_eq!(part(7, 99), "7/99 B");
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("7b", 7),
            ("300B", 300),
            ("64KiB", 64 << 10),
            ("64kB", 64_000),
            ("256MiB", 256 << 20),
            ("256mib", 256 << 20),
            ("2GB", 2_000_000_000),
            ("1TiB", 1 << 40),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
            assert_eq!(memory(text), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "M", "-1MiB", "1.5GiB", "5X", "5iB", "5 MiB", "99999999999GiB", "5"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units_of_one_letter_are_for_memory_only() {
        for (text, bytes) in
            [("64K", 64 << 10), ("64k", 64 << 10), ("2G", 2 << 30), ("1t", 1 << 40)]
        {
            assert_eq!(memory(text), Ok(ByteCount(bytes)), "{text}");
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
        let why = |text: &str| text.parse::<ByteCount>().unwrap_err();
        assert_eq!(why("5"), "it has no unit: write 5MiB, 5MB or 5B");
        assert_eq!(why("5k"), "k is no unit of size: write 5KiB or 5kB");
        assert_eq!(why("5M"), "M is no unit of size: write 5MiB or 5MB");
    }

    #[test]
    fn shares_never_hide_what_is_there() {
        assert_eq!(share(0, 0), "0.0 %");
        assert_eq!(share(1, 1_000_000), "<0.1 %");
        assert_eq!(share(999_999, 1_000_000), "99.9 %");
        assert_eq!(share(5, 5), "100.0 %");
        assert_eq!(percent(1, 3), "33 %");
    }

    #[test]
    fn counts_and_times_read_well() {
        assert_eq!(count(171_023), "171,023");
        assert_eq!(count(23), "23");
        assert_eq!(counted(1, "snapshot"), "1 snapshot");
        assert_eq!(counted(0, "snapshot"), "0 snapshots");
        assert_eq!(span(Duration::from_millis(4_270)), "4.2 s");
        assert_eq!(span(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(span(Duration::from_mins(125)), "2 h 05 min");
        assert_eq!(stopwatch(42), "0:42");
        assert_eq!(stopwatch(3_723), "1:02:03");
        assert_eq!(rate(1 << 30, Duration::from_secs(2)), "512 MiB/s");
    }
}
