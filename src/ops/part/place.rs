//! The place of a statement in what is fed to a client: the part of the backup that it is in, its
//! line there, and how it begins.
//!
//! The client names a statement by the line at which it begins, counted from the first that it was
//! fed. Between that and the newest line are the bytes in the pipe and in the client, so beginnings
//! of statements are kept for a while.
//!
//! Memory: a name for each part, and the beginnings of [`BEGINNINGS_MAX`] lines.

use std::collections::VecDeque;

/// Beginnings of statements that are kept: a pipe and a client hold some thousand short ones.
const BEGINNINGS_MAX: usize = 8192;

/// Bytes of a line that are kept.
const SHOWN_BYTES_MAX: usize = 120;

/// What has been fed so far.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Whole lines so far.
    lines: u64,
    /// The parts in their order, each with the number of lines before it.
    parts: Vec<(u64, String)>,
    beginnings: VecDeque<(u64, Vec<u8>)>,
    line: Vec<u8>,
}

impl Places {
    /// Begins a part of the backup.
    pub(super) fn begin(&mut self, name: &str) {
        self.parts.push((self.lines, name.to_owned()));
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.keep(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = SHOWN_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        self.lines += 1;
        // Rows and the insides of definitions begin in other ways: the dump programs indent them.
        if self.line.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'/') {
            if self.beginnings.len() >= BEGINNINGS_MAX {
                self.beginnings.pop_front();
            }
            self.beginnings.push_back((self.lines, self.line.clone()));
        }
        self.line.clear();
    }

    /// Says where the statement is that begins at a line, counted from 1.
    pub(super) fn describe(&mut self, line: u64) -> String {
        // The client may have had the last line without its end.
        let unfinished = std::mem::take(&mut self.line);
        if self.lines < line {
            self.beginnings.push_back((self.lines + 1, unfinished));
        }
        let part = self.parts.iter().rev().find(|(before, _)| *before < line);
        let place = match part {
            Some((before, name)) => format!("line {} of {name}", line - before),
            None => format!("line {line}"),
        };
        let beginning = self.beginnings.iter().rev().find(|(at, _)| *at <= line);
        match beginning {
            Some((_, text)) => format!("{place}, in {}", shown(text)),
            None => place,
        }
    }
}

/// Returns the beginning of a statement as one line of text.
fn shown(text: &[u8]) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = String::from_utf8_lossy(text).chars().map(plain).collect();
    format!("\"{}\"", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_its_part_however_it_was_fed() {
        let text = b"SET a;\nINSERT INTO `t` VALUES\n(1),\n(2);\n";
        for piece in 1..text.len() {
            let mut places = Places::default();
            places.begin("@preamble.sql");
            text[..7].chunks(piece).for_each(|bytes| places.feed(bytes));
            places.begin("shop/t.sql");
            text[7..].chunks(piece).for_each(|bytes| places.feed(bytes));
            let described = "line 1 of shop/t.sql, in \"INSERT INTO `t` VALUES\"";
            assert_eq!(places.describe(2), described);
            assert!(places.describe(4).starts_with("line 3 of shop/t.sql, in \"INSERT"));
            assert_eq!(places.describe(1), "line 1 of @preamble.sql, in \"SET a;\"");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_last_line_counts() {
        let mut places = Places::default();
        places.begin("a");
        places.feed("SELECT 1;\n".repeat(3 * BEGINNINGS_MAX).as_bytes());
        assert_eq!(places.beginnings.len(), BEGINNINGS_MAX);
        assert_eq!(places.describe(1), "line 1 of a");
        places.feed(b"DROP");
        let last = places.lines + 1;
        assert!(places.describe(last).ends_with("in \"DROP\""));
    }
}
