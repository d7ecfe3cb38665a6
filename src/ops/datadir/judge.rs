//! Judges a preparation by what it has said and left, since it ends with 0 on much that is broken.
//!
//! Tried with 10.11: with 100 KB of the redo log cut off, with a table missing that the redo log is
//! about, and with a damaged page that no redo touches, `mariabackup --prepare` says "completed
//! OK!". What tells: the end of the redo log that it has read is not the LSN at which the backup
//! ended; a line says that a table was not found; a file is missing; a page has a wrong checksum.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::ops::datadir::pages;

/// Names of the file that says how far a backup goes.
const CHECKPOINTS: [&str; 2] = ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"];

/// Problems that are named.
const NAMED_MAX: usize = 10;

/// A line of `mariabackup` about the end of the redo log.
const END_OF_LOG: &str = "End of log at LSN=";

/// A line about a table that is not there, though the redo log is about it.
const NOT_FOUND: &str = "was not found at";

/// Files that a prepared directory must hold.
#[derive(Debug)]
pub(super) struct Wanted<'w> {
    /// The files that must be there.
    pub(super) expected: &'w BTreeSet<String>,
    /// Those of them that are known to be lost.
    pub(super) lost: &'w [String],
}

/// Judges a prepared directory. `said` is what the program has said. Returns the number of pages
/// that were checked.
pub(super) fn judge(
    work: &Path,
    said: &str,
    wanted: &Wanted<'_>,
    monitor: &Monitor,
) -> Result<u64> {
    let Wanted { expected, lost } = *wanted;
    let mut problems = words(work, said)?;
    problems.retain(|problem| !lost.iter().any(|path| problem.contains(path.as_str())));
    let is_there = |path: &String| lost.contains(path) || work.join(path).exists();
    let missing: Vec<&String> = expected.iter().filter(|path| !is_there(path)).collect();
    problems.extend(missing.iter().map(|path| format!("{path} is missing")));
    let found = pages::check(work, monitor)?;
    problems.extend(found.problems);
    if problems.is_empty() {
        return Ok(found.pages);
    }
    let more = problems.len().saturating_sub(NAMED_MAX);
    problems.truncate(NAMED_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    let what = format!("the preparation in {} is not whole", work.display());
    Err(Error::new(ErrorKind::Prepare, what).because(problems.join("; ")))
}

/// Returns what is wrong by the words of the program and its checkpoints file.
fn words(work: &Path, said: &str) -> Result<Vec<String>> {
    let text = CHECKPOINTS.iter().find_map(|name| fs::read_to_string(work.join(name)).ok());
    let text = text.ok_or_else(|| {
        let what = format!("{} has no checkpoints file", work.display());
        Error::new(ErrorKind::Prepare, what)
    })?;
    let value = |key: &str| {
        let of_line = |line: &str| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        };
        text.lines().find_map(of_line)
    };
    let mut problems = Vec::new();
    if value("backup_type").as_deref() != Some("log-applied") {
        problems.push("the checkpoints file does not say log-applied".to_owned());
    }
    let stated = value("last_lsn").and_then(|text| text.parse::<u64>().ok());
    let number = |rest: &str| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.parse::<u64>().ok()
    };
    let end = said.lines().rev().find_map(|line| number(line.split_once(END_OF_LOG)?.1));
    match (stated, end) {
        (Some(stated), Some(end)) if stated == end => {}
        (Some(stated), Some(end)) => problems.push(format!(
            "the redo log ends at LSN {end}, but the backup at {stated}: a part of it is missing"
        )),
        _ => problems.push("nothing says where the redo log ends".to_owned()),
    }
    problems.extend(said.lines().filter(|line| line.contains(NOT_FOUND)).map(not_found));
    Ok(problems)
}

/// Returns a line without its time and its level.
fn not_found(line: &str) -> String {
    let about = line.split_once("InnoDB: ").map_or(line, |(_, rest)| rest);
    let end = about.find(" when restoring").unwrap_or(about.len());
    about[..end].trim().to_owned()
}

/// Returns the paths that must be there after a preparation, from those of the backup's files: a
/// table that came as `.new` takes its name, one with `.del` or `.ren` beside it need not be there,
/// and changed pages belong to a table.
pub(super) fn expected(paths: &[String]) -> BTreeSet<String> {
    let gone = |path: &str| {
        let stem = path.strip_suffix(".del").or_else(|| path.strip_suffix(".ren"));
        stem.map(|stem| format!("{stem}.ibd"))
    };
    let gone: BTreeSet<String> = paths.iter().filter_map(|path| gone(path)).collect();
    let kept = |path: &String| {
        let path = path.strip_prefix("./").unwrap_or(path);
        let path = path.strip_suffix(".delta").unwrap_or(path);
        let ends = [".meta", ".del", ".ren", ".qp"];
        let is_of_tool = ends.iter().any(|end| path.ends_with(end))
            || ["xtrabackup_", "mariadb_backup_"].iter().any(|begins| path.starts_with(begins));
        if is_of_tool {
            return None;
        }
        Some(match path.strip_suffix(".new") {
            Some(stem) => format!("{stem}.ibd"),
            None => path.to_owned(),
        })
    };
    paths.iter().filter_map(kept).filter(|path| !gone.contains(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "2026-12-01  3:59:51 0 [Note] InnoDB: End of log at LSN=5209273\n\
                        [00] 2026-12-01 03:59:51 completed OK!\n";

    fn judged(checkpoints: &str, said: &str, expected: &[&str]) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("xtrabackup_checkpoints"), checkpoints).unwrap();
        let expected = expected.iter().map(|path| (*path).to_owned()).collect();
        let wanted = Wanted { expected: &expected, lost: &[] };
        let judged = judge(directory.path(), said, &wanted, &Monitor::default());
        judged.map_or_else(|error| error.with_causes(), |pages| format!("{pages} pages"))
    }

    #[test]
    fn a_redo_log_that_ends_early_is_seen() {
        let whole = "backup_type = log-applied\nlast_lsn = 5209273\n";
        assert_eq!(judged(whole, SAID, &[]), "0 pages");
        let words = judged("backup_type = log-applied\nlast_lsn = 5209999\n", SAID, &[]);
        assert!(words.contains("ends at LSN 5209273, but the backup at 5209999"), "{words}");
        let words = judged("backup_type = full-prepared\n", "", &[]);
        assert!(words.contains("log-applied"), "{words}");
        assert!(words.contains("nothing says where the redo log ends"), "{words}");
    }

    #[test]
    fn a_table_that_is_missing_is_named() {
        let whole = "backup_type = log-applied\nlast_lsn = 5209273\n";
        let line = "x 0 [Warning] InnoDB: Tablespace 24 was not found at ./shop/orders.ibd when \
                    restoring a (partial?) backup.\n";
        let words = judged(whole, &format!("{line}{SAID}"), &["shop/t.frm"]);
        assert!(words.contains("Tablespace 24 was not found at ./shop/orders.ibd;"), "{words}");
        assert!(words.ends_with("shop/t.frm is missing"), "{words}");
    }

    #[test]
    fn what_a_preparation_renames_is_expected_by_its_new_name() {
        let paths = [
            "ibdata1",
            "./shop/a.frm",
            "shop/b.new",
            "shop/c.ibd",
            "shop/c.del",
            "shop/d.ibd.delta",
            "shop/d.ibd.meta",
            "shop/e.ibd",
            "shop/e.ren",
            "xtrabackup_checkpoints",
        ];
        let expected = expected(&paths.map(str::to_owned));
        let found: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_eq!(found, ["ibdata1", "shop/a.frm", "shop/b.ibd", "shop/d.ibd"]);
    }
}
