//! The rate at which a server writes, against what keeps its newest changes: the redo log while a
//! backup reads, the cache of write sets while a node is away.

use std::time::Duration;

use crate::doctor::finding::Finding;
use crate::output::units;

/// A time that is no limit to anything here.
const YEAR: Duration = Duration::from_hours(365 * 24);

/// The least time for which a redo log should last if no backup has been timed.
const REDO_TIME_LEAST: Duration = Duration::from_mins(5);

/// How much longer the redo log should last than the last backup took.
const REDO_MARGIN: u32 = 2;

/// A counter of a server at two moments, and since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Bytes that were added between two looks.
    pub(crate) bytes: u64,
    /// Time between the looks.
    pub(crate) time: Duration,
    /// Bytes since the start of the server.
    pub(crate) bytes_in_all: u64,
    /// Time since the start of the server.
    pub(crate) uptime: Duration,
}

impl Growth {
    /// Returns the bytes of an hour: as now, or as in the mean if that is more.
    pub(crate) fn bytes_per_hour(self) -> u64 {
        let rate = |bytes: u64, time: Duration| {
            let millis = time.as_millis().max(1);
            let hourly = u128::from(bytes) * 3_600_000 / millis;
            u64::try_from(hourly).unwrap_or(u64::MAX)
        };
        rate(self.bytes, self.time).max(rate(self.bytes_in_all, self.uptime))
    }

    /// Returns how long a space lasts; nothing if nothing is written.
    fn lasts(self, space: u64) -> Option<Duration> {
        let rate = self.bytes_per_hour();
        let seconds = u128::from(space) * 3600;
        let seconds = seconds.checked_div(u128::from(rate))?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
    }

    fn words(self) -> String {
        format!("{}/h", units::size(self.bytes_per_hour()))
    }
}

/// Returns a time in words, without a number for what is no limit.
fn time_in_words(time: Duration) -> String {
    if time > YEAR { "more than a year".to_owned() } else { units::span(time) }
}

/// Judges the redo log: mariabackup must read it faster than the server writes over it.
pub(crate) fn judge_redo(size: u64, growth: Growth, backup: Option<Duration>) -> Finding {
    const CHECK: &str = "redo log";
    let size_words = units::size(size);
    let Some(lasts) = growth.lasts(size) else {
        return Finding::good(CHECK, format!("{size_words}; the server writes nothing now"));
    };
    let least = backup.map_or(REDO_TIME_LEAST, |backup| backup.saturating_mul(REDO_MARGIN));
    let took = backup
        .map_or(String::new(), |backup| format!("; the last backup took {}", units::span(backup)));
    let found =
        format!("{size_words} last for {} at {}{took}", time_in_words(lasts), growth.words());
    if lasts >= least {
        return Finding::good(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        "raise innodb_log_file_size: a backup that is stalled for longer than that fails",
    )
}

/// Judges the cache of write sets of a node: one that comes back within its time is sent what it
/// missed, later all of the data.
pub(crate) fn judge_gcache(size: u64, growth: Growth, away: Duration) -> Finding {
    const CHECK: &str = "gcache";
    let size_words = units::size(size);
    let Some(lasts) = growth.lasts(size) else {
        return Finding::good(CHECK, format!("{size_words}; the cluster writes nothing now"));
    };
    let found = format!("{size_words} last for {} at {}", time_in_words(lasts), growth.words());
    if lasts >= away {
        return Finding::good(CHECK, found);
    }
    let hours = away.as_secs().div_ceil(3600);
    let wanted = growth.bytes_per_hour().saturating_mul(hours);
    let hint = format!(
        "set gcache.size to {} in wsrep_provider_options: a node that is away for {}, or restored, \
         then needs no copy of all data",
        units::size(wanted),
        units::span(away)
    );
    Finding::warning(CHECK, found, hint)
}

/// Returns a size as an option of Galera's provider has it: `128M`.
pub(crate) fn provider_size(options: &str, name: &str) -> Option<u64> {
    let value = options.split(';').find_map(|option| {
        let (key, value) = option.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })?;
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &value[digits.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    const MIB: u64 = 1 << 20;

    /// A server that writes this many MiB in each second.
    fn growth(mib: u64) -> Growth {
        let time = Duration::from_secs(2);
        let uptime = Duration::from_hours(24);
        Growth { bytes: mib * 2 * MIB, time, bytes_in_all: 0, uptime }
    }

    #[test]
    fn the_rate_is_that_of_now_or_of_the_mean() {
        assert_eq!(growth(1).bytes_per_hour(), 3600 * MIB);
        let idle = Growth { bytes_in_all: 24 * 5000, ..growth(0) };
        assert_eq!(idle.bytes_per_hour(), 5000);
    }

    #[test]
    fn a_redo_log_lasts_longer_than_a_backup() {
        let minute = Duration::from_mins(1);
        for (size, backup, state) in [
            (512, Some(minute), State::Good),
            (512, Some(minute * 5), State::Warning),
            (96, None, State::Warning),
            (512, None, State::Good),
        ] {
            let found = judge_redo(size * MIB, growth(1), backup);
            assert_eq!(found.state, state, "{found:?}");
        }
        assert_eq!(judge_redo(96 * MIB, growth(0), None).state, State::Good);
    }

    #[test]
    fn a_cache_of_write_sets_lasts_as_long_as_a_node_may_be_away() {
        let hour = Duration::from_hours(1);
        let found = judge_gcache(128 * MIB, growth(1), hour * 4);
        assert_eq!(found.state, State::Warning);
        assert!(found.found.contains("2 min 08 s"), "{found:?}");
        assert!(found.hint.as_ref().unwrap().contains("14.1 GiB"), "{found:?}");
        assert_eq!(judge_gcache(15 << 30, growth(1), hour * 4).state, State::Good);
        let found = judge_gcache(1 << 50, growth(1), hour * 4);
        assert!(found.found.contains("last for more than a year"), "{found:?}");
        assert_eq!(judge_gcache(MIB, growth(0), hour).state, State::Good);
    }

    #[test]
    fn sizes_of_the_provider_are_understood() {
        let options = "base_dir = /x/; gcache.page_size = 1G; gcache.size = 128M; gcs.x = 1";
        assert_eq!(provider_size(options, "gcache.size"), Some(128 * MIB));
        assert_eq!(provider_size("gcache.size = 5000", "gcache.size"), Some(5000));
        assert_eq!(provider_size("gcache.size = 5X", "gcache.size"), None);
        assert_eq!(provider_size(options, "gcs.y"), None);
    }
}
