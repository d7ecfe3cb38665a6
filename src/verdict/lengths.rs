//! What files say about their own length, or about each other's.
//!
//! A file whose last frame was lost ends as properly as any other. But a tablespace's first page
//! counts its pages, and the index file of an Aria or MyISAM table states the data file's length.
//!
//! | file | at | bytes | field |
//! |---|---|---|---|
//! | tablespace | 16 | 8 | LSN of the last change to the first page |
//! | tablespace | 46 | 4 | pages |
//! | `.MAI` | 97 | 8 | length of the `.MAD` file |
//! | `.MYI` | 68 | 8 | length of the `.MYD` file |
//!
//! Invariants, each so that a good backup is never called short:
//! - a tablespace that grew while it was copied has a first page from after the backup began, and
//!   is not held to it;
//! - an Aria table writes its index before its data, so that its data file may be shorter, but not
//!   empty; a MyISAM table is closed or flushed when it is copied, and may at most be longer.
//!
//! What it does not do: compare a system tablespace of several files; know any other engine.
//!
//! Source: offsets verified on streams of 10.11.19, 27 Aria and 4 MyISAM tables.

#![expect(clippy::big_endian_bytes, reason = "InnoDB, Aria and MyISAM are big-endian")]

use crate::base::num::wide;
use crate::innodb::{PAGE_ZERO_BYTES_MIN, PageZero, TablespaceFormat};
use crate::parse::path::{HashedAlready, PathSeed, StreamPath};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

const PAGE_ZERO_LSN_AT: usize = 16;
const PAGES_AT: usize = 46;

const ARIA_INDEX: &[u8] = &[0xfe, 0xfe, 0x09];
const ARIA_DATA_BYTES_AT: usize = 97;
const MYISAM_INDEX: &[u8] = &[0xfe, 0xfe, 0x07];
const MYISAM_DATA_BYTES_AT: usize = 68;

/// Bytes of a tablespace that tell its length.
pub(super) const TABLESPACE_HEAD_BYTES: usize = PAGE_ZERO_BYTES_MIN;

/// Bytes of an index file that tell the length of the data file.
pub(super) const INDEX_HEAD_BYTES: usize = ARIA_DATA_BYTES_AT + size_of::<u64>();

/// Tables of which one file waits for the other; producers send them one after the other.
const WAITING_MAX: usize = 10_000;

/// A file that is shorter than is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// Its length.
    pub(super) length: u64,
    /// The length that it should have at least.
    pub(super) stated: u64,
    /// For a tablespace, the LSN of the page that states it.
    pub(super) stated_at_lsn: Option<u64>,
}

/// Compares the length of a tablespace with its first page.
pub(super) fn short_tablespace(head: &[u8], length: u64) -> Option<Short> {
    let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(head) else { return None };
    let pages = u64::from(u32::from_be_bytes(*field(head, PAGES_AT)?));
    let stated = pages.checked_mul(wide(format.page_size().bytes()))?;
    let stated_at_lsn = Some(u64::from_be_bytes(*field(head, PAGE_ZERO_LSN_AT)?));
    (length < stated).then_some(Short { length, stated, stated_at_lsn })
}

/// Tables with an index file and a data file, of which only one has come so far.
#[derive(Debug)]
pub(super) struct Pairs {
    seed: PathSeed,
    waiting: HashMap<u64, Half, BuildHasherDefault<HashedAlready>>,
}

#[derive(Debug, Clone, Copy)]
enum Half {
    Index { least_bytes: u64 },
    Data { length: u64 },
}

/// What came of a pair that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paired {
    /// The other file has not come.
    Waiting,
    /// The data file is long enough.
    Fits,
    /// It is not.
    Short(Short),
}

impl Pairs {
    pub(super) fn new(seed: PathSeed) -> Self {
        Self { seed, waiting: HashMap::default() }
    }

    /// Notes an index file that begins so.
    pub(super) fn add_index(&mut self, path: StreamPath<'_>, head: &[u8]) -> Paired {
        match least_data_bytes(head) {
            Some(least_bytes) => self.add(path, Half::Index { least_bytes }),
            None => Paired::Waiting,
        }
    }

    /// Notes a data file.
    pub(super) fn add_data(&mut self, path: StreamPath<'_>, length: u64) -> Paired {
        self.add(path, Half::Data { length })
    }

    fn add(&mut self, path: StreamPath<'_>, half: Half) -> Paired {
        // `t.MAI` and `t.MAD` differ in the last byte only.
        let (_, table) = path.as_bytes().split_last().expect("a path is not empty");
        let key = self.seed.hash(table);
        let ((Some(Half::Index { least_bytes: stated }), Half::Data { length })
        | (Some(Half::Data { length }), Half::Index { least_bytes: stated })) =
            (self.waiting.remove(&key), half)
        else {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.insert(key, half);
            }
            return Paired::Waiting;
        };
        if length >= stated {
            return Paired::Fits;
        }
        Paired::Short(Short { length, stated, stated_at_lsn: None })
    }
}

/// Returns how long the data file must be at least, by the head of the index file.
fn least_data_bytes(head: &[u8]) -> Option<u64> {
    if head.starts_with(MYISAM_INDEX) {
        return field(head, MYISAM_DATA_BYTES_AT).map(|bytes| u64::from_be_bytes(*bytes));
    }
    let is_aria = head.starts_with(ARIA_INDEX);
    let stated = u64::from_be_bytes(*field(head, ARIA_DATA_BYTES_AT).filter(|_| is_aria)?);
    Some(stated.min(1))
}

fn field<const N: usize>(head: &[u8], at: usize) -> Option<&[u8; N]> {
    head.get(at..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(magic: &[u8], at: usize, data_bytes: u64) -> Vec<u8> {
        let mut head = vec![0; INDEX_HEAD_BYTES];
        head[..3].copy_from_slice(magic);
        head[at..at + 8].copy_from_slice(&data_bytes.to_be_bytes());
        head
    }

    fn pair(index: &[u8], length: u64) -> [Paired; 2] {
        let path = |name: &'static str| StreamPath::new(name.as_bytes()).unwrap();
        let mut forth = Pairs::new(PathSeed::new([0; 16]));
        assert_eq!(forth.add_index(path("a/t.MYI"), index), Paired::Waiting);
        let mut back = Pairs::new(PathSeed::new([0; 16]));
        assert_eq!(back.add_data(path("a/t.MYD"), length), Paired::Waiting);
        [forth.add_data(path("a/t.MYD"), length), back.add_index(path("a/t.MYI"), index)]
    }

    #[test]
    fn a_data_file_is_as_long_as_its_index_says_in_either_order() {
        let myisam = index(MYISAM_INDEX, MYISAM_DATA_BYTES_AT, 100);
        let short = |stated, length| Paired::Short(Short { length, stated, stated_at_lsn: None });
        assert_eq!(pair(&myisam, 100), [Paired::Fits; 2]);
        assert_eq!(pair(&myisam, 101), [Paired::Fits; 2]);
        assert_eq!(pair(&myisam, 99), [short(100, 99); 2]);
        let aria = index(ARIA_INDEX, ARIA_DATA_BYTES_AT, 100);
        assert_eq!(pair(&aria, 99), [Paired::Fits; 2], "it may be behind");
        assert_eq!(pair(&aria, 0), [short(1, 0); 2]);
        let empty = index(ARIA_INDEX, ARIA_DATA_BYTES_AT, 0);
        assert_eq!(pair(&empty, 0), [Paired::Fits; 2]);
    }

    #[test]
    fn a_tablespace_is_as_long_as_its_first_page_says() {
        let mut head = vec![0; TABLESPACE_HEAD_BYTES];
        head[PAGE_ZERO_LSN_AT..PAGE_ZERO_LSN_AT + 8].copy_from_slice(&70_u64.to_be_bytes());
        head[PAGES_AT..PAGES_AT + 4].copy_from_slice(&6_u32.to_be_bytes());
        head[54..58].copy_from_slice(&0x15_u32.to_be_bytes());
        let stated = 6 * 16_384;
        assert_eq!(short_tablespace(&head, stated), None);
        let short = Short { length: stated - 1, stated, stated_at_lsn: Some(70) };
        assert_eq!(short_tablespace(&head, stated - 1), Some(short));
        assert_eq!(short_tablespace(&[0; TABLESPACE_HEAD_BYTES], 0), None);
    }
}
