//! Watches the lines of a dump for those that mean something wherever they stand: headers, last
//! lines, messages.
//!
//! A header counts inside a statement too: where one dump broke off in a value, the next one of the
//! stream begins with its header all the same.
//!
//! Invariants:
//! - the marks do not depend on how the dump was cut into pieces;
//! - memory: `LINE_BYTES_MAX` bytes of one line.

use crate::parse::sql::kind::DumpKind;
use crate::parse::sql::tool::Mark;
use crate::parse::sql::tool::mark;

/// Bytes of a line that are kept: more than any header or last line has.
const LINE_BYTES_MAX: usize = 256;

/// Keeps the beginning of the current line, and whether a last line was seen.
#[derive(Debug)]
pub(super) struct Lines {
    kind: DumpKind,
    start: Vec<u8>,
    length: usize,
    has_ended: bool,
    /// True if a last line was seen and only blanks and comments of its program after it.
    is_closed: bool,
}

impl Lines {
    pub(super) fn new(kind: DumpKind) -> Self {
        Self { kind, start: Vec::new(), length: 0, has_ended: false, is_closed: false }
    }

    /// Goes on to the end of the next line with a mark; returns the bytes up to there.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Mark>) {
        let mut at = 0;
        if self.has_ended {
            self.start.clear();
            (self.length, self.has_ended) = (0, false);
        }
        while let Some(end) = memchr::memchr(b'\n', &bytes[at..]) {
            self.add(&bytes[at..at + end]);
            at += end + 1;
            self.length += 1;
            let found = self.mark();
            if found.is_some() {
                self.has_ended = true;
                return (at, found);
            }
            self.start.clear();
            self.length = 0;
        }
        self.add(&bytes[at..]);
        (bytes.len(), None)
    }

    /// Returns the line that ended with the mark, or the beginning of a long one.
    pub(super) fn line(&self) -> &[u8] {
        self.start.trim_ascii_end()
    }

    /// Returns the bytes of that line, with its end.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Tells whether the last line that is not blank is a last line; for dumps that are not lexed.
    pub(super) fn is_closed(&self) -> bool {
        let rest = if self.has_ended { &[][..] } else { self.line() };
        self.is_closed && rest.is_empty()
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
    }

    fn mark(&mut self) -> Option<Mark> {
        let is_whole = self.length <= self.start.len() + 1;
        let line = self.start.trim_ascii_end();
        let found = mark(line, self.kind).filter(|mark| is_whole || !matches!(mark, Mark::Ends(_)));
        match found {
            Some(Mark::Ends(_)) => self.is_closed = true,
            // pg_dump writes an empty comment and, from 17.6 on, \unrestrict after its last line.
            _ if is_whole
                && (line.is_empty() || line == b"--" || line.starts_with(b"\\unrestrict ")) => {}
            _ => self.is_closed = false,
        }
        found
    }
}
