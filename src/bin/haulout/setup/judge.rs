//! Judges a preparation by what it says and leaves, and not by its exit status: `mariabackup
//! --prepare` ends with "completed OK!" for a redo log that was cut, and for a table whose file is
//! missing.
//!
//! Source: each of these was tried with mariabackup of MariaDB 10.11.

use serde::Serialize;

/// What was seen of a preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Judgement {
    /// What speaks against the backup; nothing if it is good.
    pub(crate) problems: Vec<String>,
    /// The end of the redo log as the preparation found it, if it says so.
    pub(crate) end_lsn: Option<u64>,
    /// The end of the redo log as the backup wrote it down.
    pub(crate) last_lsn: Option<u64>,
}

/// Judges a preparation by its messages and the checkpoints file that it leaves.
pub(crate) fn judge(messages: &str, checkpoints: &str) -> Judgement {
    let value = |key: &str| {
        let pairs = checkpoints.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == key)
    };
    let last_lsn = value("last_lsn").and_then(|(_, value)| value.parse().ok());
    let end_lsn = messages.lines().rev().find_map(end_of_log);
    let mut problems = Vec::new();
    if end_lsn.is_some() && last_lsn.is_some() && end_lsn != last_lsn {
        let (end, last) = (end_lsn.unwrap_or_default(), last_lsn.unwrap_or_default());
        problems.push(format!("its redo log ends at LSN {end}, and not at {last}"));
    }
    if last_lsn.is_none() {
        problems.push("its checkpoints file has no last_lsn".to_owned());
    }
    let missing = messages.lines().filter_map(missing_file);
    problems.extend(missing.map(|file| format!("{file} is missing")));
    let kind = value("backup_type").map_or("unknown", |(_, value)| value);
    if kind != "log-applied" {
        problems.push(format!("its type is {kind}, and not log-applied"));
    }
    Judgement { problems, end_lsn, last_lsn }
}

/// Returns the number of a line with `End of log at LSN=12761703`.
fn end_of_log(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("End of log at LSN=")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Returns the file of a line with `... was not found at ./shop/orders.ibd when restoring`.
fn missing_file(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("was not found at ")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "backup_type = log-applied\nfrom_lsn = 0\nto_lsn = 5\nlast_lsn = 12761703\n";

    #[test]
    fn a_preparation_that_says_completed_ok_may_have_lost_something() {
        let good = "InnoDB: End of log at LSN=12761703\ncompleted OK!\n";
        assert_eq!(judge(good, GOOD).problems, Vec::<String>::new());
        let missing = "[Warning] InnoDB: Tablespace 9 was not found at ./shop/orders.ibd when \
                       restoring a (partial?) backup.\n";
        for (messages, checkpoints, problem) in [
            ("InnoDB: End of log at LSN=12661659\ncompleted OK!\n", GOOD, "ends at LSN 12661659"),
            (missing, GOOD, "./shop/orders.ibd is missing"),
            (good, "backup_type = full-prepared\nlast_lsn = 12761703\n", "is full-prepared"),
            (good, "backup_type = log-applied\n", "has no last_lsn"),
            (good, "", "its type is unknown"),
        ] {
            let found = judge(messages, checkpoints).problems;
            assert!(found.iter().any(|one| one.contains(problem)), "{problem}: {found:?}");
        }
        // Versions that do not say where the log ends are believed.
        assert_eq!(judge("completed OK!\n", GOOD).problems, Vec::<String>::new());
    }
}
