//! The map of a sparse file that stands in front of its contents: which parts are no holes.
//!
//! It is a text with one number in each line. The memory for it is bounded, for any numbers.

use crate::parse::tar::header;
use crate::parse::tar::header::Part;

/// Parts of a sparse file that are used.
pub(super) const PARTS_MAX: usize = 1 << 16;
/// Digits of a number.
const DIGITS_MAX: usize = 20;

/// Reads the number of parts, then where each begins and its length.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    digits: Vec<u8>,
    expected: Option<u64>,
    at: Option<u64>,
    seen: u64,
    /// The parts so far.
    pub(super) parts: Vec<Part>,
}

/// The state of a map: whole or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapped {
    /// More of it follows.
    More,
    /// The map is whole.
    Done,
    /// The bytes are no map.
    Wrong,
}

impl MapReader {
    /// Takes the next byte.
    pub(super) fn take(&mut self, byte: u8) -> Mapped {
        if byte != b'\n' {
            self.digits.push(byte);
            let fits = byte.is_ascii_digit() && self.digits.len() <= DIGITS_MAX;
            return if fits { Mapped::More } else { Mapped::Wrong };
        }
        let Some(number) = header::decimal(&std::mem::take(&mut self.digits)) else {
            return Mapped::Wrong;
        };
        match (self.expected, self.at.take()) {
            (None, _) => self.expected = Some(number),
            (Some(_), None) => self.at = Some(number),
            (Some(_), Some(at)) => {
                self.seen += 1;
                if self.parts.len() < PARTS_MAX {
                    self.parts.push(Part { at, length: number });
                }
            }
        }
        if self.expected == Some(self.seen) { Mapped::Done } else { Mapped::More }
    }
}
