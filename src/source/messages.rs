//! Picks from a producer's messages the one that says what went wrong.
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

/// Tells whether a line of a producer's standard error reports an error.
pub fn reports_error(line: &str) -> bool {
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
}
