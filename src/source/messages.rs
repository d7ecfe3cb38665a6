//! Picks from a producer's messages the one that says what went wrong, and the files that changed
//! while tar read them.
//!
//! The last line is rarely that one: mariabackup names the right that its account lacks, and then
//! lists all rights that it has, with the hash of its password.

use crate::parse::sql::is_dump_error;

/// Errors that are kept of one producer: the first ones, since later ones follow from them.
pub const ERRORS_MAX: usize = 10;

/// Words with which programs mark a line that is no error.
const MILD: [&str; 5] = ["[warning]", "[note]", "warning:", "note:", "deprecated"];

/// Words with which they mark one that is.
const SEVERE: [&str; 12] = [
    "[error]",
    "[fatal]",
    "error:",
    "error ",
    "got err",
    "fatal",
    "missing required",
    "denied",
    "couldn't ",
    "can't ",
    "cannot ",
    "failed",
];

/// Lines with passwords, or their hashes.
const SECRET: [&str; 2] = ["identified by", "identified via"];

/// Files that are kept of those that changed; more are not said to have changed.
pub const CHANGED_MAX: usize = 1000;

/// What GNU tar says of a file that changed while it read the file, or before. It then ends with
/// 1 at the end, and the archive is whole: tar pads a file that shrank.
const CHANGED: [&str; 2] = [": file changed as we read it", ": File removed before we read it"];
const SHRANK: [&str; 2] = [": File shrank by ", "; padding with zeros"];

/// Returns the file of which a line of GNU tar says that it changed while it was read.
pub fn changed_file(line: &str) -> Option<&str> {
    let (program, rest) = line.split_once(": ")?;
    if !program.ends_with("tar") {
        return None;
    }
    let changed = CHANGED.iter().find_map(|end| rest.strip_suffix(end));
    let shrank = || Some(rest.strip_suffix(SHRANK[1])?.rsplit_once(SHRANK[0])?.0);
    changed.or_else(shrank)
}

/// Tells whether a line of a producer's standard error reports an error.
pub fn reports_error(line: &str) -> bool {
    if changed_file(line).is_some() {
        return false;
    }
    let lower = line.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    !has(&SECRET) && !has(&MILD) && (has(&SEVERE) || is_dump_error(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_distinguished_from_warnings_and_from_what_follows_them() {
        for (line, is_error) in [
            ("mariabackup: Error: missing required privilege RELOAD on *.*", true),
            ("  1.GRANT USAGE ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*1F' -- error:", false),
            ("[00] FATAL ERROR: 2026-11-29 01:32:47 Insufficient privileges", true),
            ("mysqldump: Got error: 1045: \"Access denied for user\" when trying to connect", true),
            ("ERROR 1045 (28000): Access denied for user", true),
            ("mysqldump: [Warning] Using a password on the command line can be an error.", false),
            ("-- Warning: Skipping the data of table mysql.event.", false),
            ("mysqldump: Deprecated program name. It cannot last.", false),
            ("[00] 2026-11-29 01:32:47 completed OK!", false),
        ] {
            assert_eq!(reports_error(line), is_error, "{line}");
        }
    }

    #[test]
    fn files_that_changed_are_known_by_the_words_of_gnu_tar() {
        for (line, file) in [
            ("tar: etc/a: b: file changed as we read it", Some("etc/a: b")),
            ("/usr/bin/tar: log/error 1: File removed before we read it", Some("log/error 1")),
            ("tar: x: File shrank by 512 bytes; padding with zeros", Some("x")),
            ("tar: x: Cannot open: Permission denied", None),
            ("tar: x: socket ignored", None),
            ("mariabackup: x: file changed as we read it", None),
        ] {
            assert_eq!(changed_file(line), file, "{line}");
            assert!(file.is_none() || !reports_error(line), "{line}");
        }
    }
}
