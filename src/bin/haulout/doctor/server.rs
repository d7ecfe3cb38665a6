//! What a server says about itself, judged for a backup.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::doctor::finding::Finding;
use crate::output::units;

/// The greatest difference between the clocks of server and host that is usual, in seconds.
const CLOCK_SECONDS_MAX: u64 = 5;

/// The age of what an archive has stored from which a person should look.
const ARCHIVE_SECONDS_MAX: u64 = 3600;

/// Files that a backup opens besides those of tables.
const OTHER_FILES: u64 = 200;

/// Returns the number of a variable.
pub(crate) fn number(values: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    values.get(name)?.parse().ok()
}

/// Tells whether a variable is on.
pub(crate) fn is_on(values: &BTreeMap<String, String>, name: &str) -> bool {
    values.get(name).is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1")
}

/// Returns the size of all files of the redo log.
pub(crate) fn redo_bytes(variables: &BTreeMap<String, String>) -> Option<u64> {
    let files = number(variables, "innodb_log_files_in_group").unwrap_or(1);
    number(variables, "innodb_log_file_size")?.checked_mul(files)
}

/// Judges the limit of open files of this program, which mariabackup inherits.
pub(crate) fn judge_files(tables: Option<u64>, limit: Option<u64>) -> Finding {
    const CHECK: &str = "open files";
    let Some(tables) = tables else {
        return Finding::not_checked(CHECK, "the account may not count the files of tables");
    };
    let limit_words = limit.map_or("no limit".to_owned(), |limit| format!("a limit of {limit}"));
    let found = format!("{} of InnoDB, {limit_words}", units::counted(tables, "file"));
    let needed = tables.saturating_add(OTHER_FILES);
    if limit.is_none_or(|limit| limit >= needed) {
        return Finding::good(CHECK, found);
    }
    let hint = format!(
        "raise the limit to {needed} or more (ulimit -n, or LimitNOFILE= of the systemd unit)"
    );
    Finding::failed(CHECK, found, hint)
}

/// Judges whether this user may read the files of the server.
pub(crate) fn judge_directory(directory: &str, read: Result<(), String>) -> Finding {
    const CHECK: &str = "data directory";
    match read {
        Ok(()) => Finding::good(CHECK, format!("{directory} can be read")),
        Err(why) => Finding::failed(
            CHECK,
            format!("{directory}: {why}"),
            "run the job on the host of the server, as the user mysql or as root",
        ),
    }
}

/// Judges the plugins that encrypt tables.
pub(crate) fn judge_encryption(plugins: &[String], keys: Option<&str>) -> Finding {
    const CHECK: &str = "encryption";
    if plugins.is_empty() {
        return Finding::good(CHECK, "tables are not encrypted by the server");
    }
    let file = keys.filter(|file| !file.is_empty());
    let file = file.map_or(String::new(), |file| format!(", with the keys in {file}"));
    Finding::good(CHECK, format!("{} is active{file}", plugins.join(", "))).with_hint(
        "keep a copy of these keys outside of this host: without them no restored table can be \
         read, and page sums are not verified",
    )
}

/// Judges the binary log, which is what a restore to a point in time is made of.
pub(crate) fn judge_binlog(variables: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "binary log";
    if !is_on(variables, "log_bin") {
        return Finding::good(CHECK, "off")
            .with_hint("with log_bin and its files kept, a restore need not end at the backup");
    }
    let text = |name: &str| variables.get(name).cloned().unwrap_or_default();
    let position = text("gtid_binlog_pos");
    let position = if position.is_empty() { "no GTID yet".to_owned() } else { position };
    let kept = number(variables, "binlog_expire_logs_seconds").filter(|seconds| *seconds > 0);
    let kept = kept.map_or("kept until they are purged".to_owned(), |seconds| {
        format!("kept for {} h", seconds / 3600)
    });
    Finding::good(CHECK, format!("on, at {position}, files {kept}"))
}

/// What is known of the archive of a server's binary logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveSeen {
    /// Seconds since all that the server had was stored; nothing if that never was.
    pub(crate) lag: Option<u64>,
    /// Gaps in what is stored.
    pub(crate) gaps: u64,
}

/// Judges the archive of the binary logs, which the server must not purge before they are stored.
pub(crate) fn judge_archive(variables: &BTreeMap<String, String>, seen: &ArchiveSeen) -> Finding {
    const CHECK: &str = "binary log archive";
    if !is_on(variables, "log_bin") {
        return Finding::failed(CHECK, "log_bin is off", "set log_bin, and restart the server");
    }
    if number(variables, "server_id").is_none_or(|id| id == 0) {
        let hint = "give each server a number of its own";
        return Finding::failed(CHECK, "the server has no server_id", hint);
    }
    let start = "run haulout binlog archive JOB, or start its unit";
    let Some(lag) = seen.lag else {
        return Finding::warning(CHECK, "nothing was archived by this host yet", start);
    };
    let kept = number(variables, "binlog_expire_logs_seconds").filter(|seconds| *seconds > 0);
    let words = format!("all was stored {lag} s ago");
    if kept.is_some_and(|kept| lag > kept / 2) {
        let kept = kept.unwrap_or_default();
        let found = format!("{words}, and the server purges its files after {kept} s");
        return Finding::failed(CHECK, found, start);
    }
    if lag > ARCHIVE_SECONDS_MAX {
        return Finding::warning(CHECK, words, start);
    }
    if seen.gaps > 0 {
        let found = format!("{words}; gaps in what is stored: {}", seen.gaps);
        return Finding::warning(CHECK, found, "haulout binlog list names them");
    }
    Finding::good(CHECK, words)
}

/// Judges the clock of a server: seconds that it is ahead of this host.
pub(crate) fn judge_clock(ahead: i64) -> Finding {
    const CHECK: &str = "clock";
    if ahead.unsigned_abs() <= CLOCK_SECONDS_MAX {
        return Finding::good(CHECK, "server and host agree");
    }
    Finding::warning(
        CHECK,
        format!("the clocks of server and host differ by {} s", ahead.unsigned_abs()),
        "synchronise both: times of snapshots and stores depend on them",
    )
}

/// Judges a file with an account, by whether it can be read and by whom else.
pub(crate) fn judge_options(path: PathBuf, refused: Option<(String, String)>) -> Finding {
    const CHECK: &str = "option file";
    match refused {
        None => Finding::good(CHECK, format!("{} is readable for its owners only", path.display())),
        Some((why, hint)) => Finding::failed(CHECK, why, hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_redo_log_is_the_sum_of_its_files() {
        let old = variables(&[("innodb_log_file_size", "100"), ("innodb_log_files_in_group", "2")]);
        assert_eq!(redo_bytes(&old), Some(200));
        assert_eq!(redo_bytes(&variables(&[("innodb_log_file_size", "100")])), Some(100));
        assert_eq!(redo_bytes(&variables(&[])), None);
    }

    #[test]
    fn each_file_of_a_table_is_opened() {
        for (tables, limit, state) in [
            (Some(800), Some(1024), State::Good),
            (Some(900), Some(1024), State::Failed),
            (Some(900), None, State::Good),
            (None, Some(1024), State::NotChecked),
        ] {
            assert_eq!(judge_files(tables, limit).state, state, "{tables:?} {limit:?}");
        }
    }

    #[test]
    fn keys_of_the_server_are_named() {
        assert_eq!(judge_encryption(&[], None).hint, None);
        let found = judge_encryption(&["file_key_management".to_owned()], Some("/etc/keys"));
        assert!(found.found.contains("/etc/keys") && found.hint.is_some(), "{found:?}");
    }

    #[test]
    fn clocks_may_differ_by_seconds() {
        for (ahead, state) in [(0, State::Good), (-5, State::Good), (6, State::Warning)] {
            assert_eq!(judge_clock(ahead).state, state, "{ahead}");
        }
        assert_eq!(judge_clock(-3600).state, State::Warning);
    }

    #[test]
    fn a_binary_log_says_where_it_is() {
        assert!(judge_binlog(&variables(&[("log_bin", "OFF")])).hint.is_some());
        let on = variables(&[
            ("log_bin", "ON"),
            ("gtid_binlog_pos", "0-1-5"),
            ("binlog_expire_logs_seconds", "864000"),
        ]);
        assert_eq!(judge_binlog(&on).found, "on, at 0-1-5, files kept for 240 h");
    }

    #[test]
    fn files_that_can_not_be_read_fail_the_backup() {
        assert_eq!(judge_directory("/d", Ok(())).state, State::Good);
        assert_eq!(judge_directory("/d", Err("no".to_owned())).state, State::Failed);
        assert_eq!(judge_options("/c".into(), None).state, State::Good);
        let refused = Some(("open to all".to_owned(), "close it".to_owned()));
        assert_eq!(judge_options("/c".into(), refused).state, State::Failed);
    }

    #[test]
    fn an_archive_must_not_be_behind_what_its_server_purges() {
        let state = |expires: &str, lag: Option<u64>, gaps: u64| {
            let pairs =
                [("log_bin", "ON"), ("server_id", "1"), ("binlog_expire_logs_seconds", expires)];
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            judge_archive(&pairs.into_iter().collect(), &ArchiveSeen { lag, gaps }).state
        };
        assert_eq!(state("864000", Some(30), 0), State::Good);
        assert_eq!(state("0", Some(30), 1), State::Warning);
        assert_eq!(state("0", None, 0), State::Warning);
        assert_eq!(state("0", Some(4000), 0), State::Warning);
        assert_eq!(state("60", Some(31), 0), State::Failed);
        let off = judge_archive(&BTreeMap::new(), &ArchiveSeen { lag: Some(1), gaps: 0 });
        assert_eq!(off.state, State::Failed);
    }
}
