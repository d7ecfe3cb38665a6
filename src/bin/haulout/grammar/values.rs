//! Values of options that several commands take: their grammar, and why one is refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::builder::TypedValueParser;

use haulout::ops::verify::Budget;

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn times_have_units() {
        for (text, seconds) in [("90s", 90), ("10min", 600), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1w", "-1s", "1.5h", "99999999999999999d", "5", "5m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
