//! The search for tables in the system tablespace (`innodb_file_per_table=0`, now or ever).
//!
//! An InnoDB table without a file of its own is lost, unless its rows are in the system tablespace.
//! The system tablespace shows whether any table's are: then it has pages of indexes that are not
//! the server's own.
//!
//! | at | bytes | field of a page |
//! |---|---|---|
//! | 24 | 2 | type |
//! | 34 | 4 | tablespace, another one in the doublewrite buffer |
//! | 66 | 8 | index, if the type is that of an index page |
//!
//! Invariants:
//! - *Excluded* is said only of a file that was seen whole and could be read;
//! - the page of a table that was dropped long ago counts, as nothing distinguishes it from others.
//!
//! It does not say which tables these are, or see a table whose pages are in the redo log only. It
//! keeps 74 bytes.

#![expect(clippy::big_endian_bytes, reason = "InnoDB is big-endian")]

use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::innodb::FormatKind;
use crate::innodb::PageZero;
use crate::innodb::TablespaceFormat;

const KEY_VERSION_AT: usize = 0;
const TYPE_AT: usize = 24;
const LEGACY_KEY_VERSION_AT: usize = 26;
const SPACE_AT: usize = 34;
const INDEX_AT: usize = 66;
const HEAD_BYTES: usize = INDEX_AT + size_of::<u64>();

/// Types of index pages: spatial, ordinary, and with columns added instantly.
const INDEX_TYPES: [u16; 3] = [17_854, 17_855, 18];

/// The server's own indexes come first in a new system tablespace, some 15 of them.
const OWN_INDEX_MAX: u64 = 20;

/// Indexes of the change buffer come last.
const CHANGE_BUFFER_INDEX_MIN: u64 = 0xFFFF_FFFF_0000_0000;

/// The answer to whether tables may lie in the system tablespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedTables {
    /// They may: an InnoDB table without a tablespace of its own is worth a note.
    Possible,
    /// They don't: such a table is lost.
    Excluded,
}

/// Watches the file of a system tablespace pass by.
#[derive(Debug)]
pub(super) struct SharedScan {
    format: Option<TablespaceFormat>,
    head: [u8; HEAD_BYTES],
    seen_until: u64,
    found: SharedTables,
}

impl SharedScan {
    pub(super) fn new() -> Self {
        let found = SharedTables::Excluded;
        Self { format: None, head: [0; HEAD_BYTES], seen_until: 0, found }
    }

    /// Takes the bytes from `at` on; they come in order.
    pub(super) fn see(&mut self, at: u64, bytes: &[u8]) {
        if at != self.seen_until || self.found == SharedTables::Possible {
            self.found = SharedTables::Possible;
            return;
        }
        let end = at + u64_of(bytes.len());
        self.seen_until = end;
        // Until the first head is whole, the file is one page.
        let mut page_at = self.page_bytes().map_or(0, |page_bytes| at - at % page_bytes);
        while page_at < end {
            self.see_head(page_at, at, bytes);
            let Some(page_bytes) = self.page_bytes() else { return };
            page_at += page_bytes;
        }
    }

    /// Ends the file; `length` is that of the member.
    pub(super) fn finish(&self, length: u64) -> SharedTables {
        let is_whole = self.format.is_some() && self.seen_until == length;
        if is_whole { self.found } else { SharedTables::Possible }
    }

    fn page_bytes(&self) -> Option<u64> {
        self.format.map(|format| u64_of(format.page_size().bytes()))
    }

    /// Takes what is there of the head of the page at `page_at`.
    fn see_head(&mut self, page_at: u64, at: u64, bytes: &[u8]) {
        let head_end = page_at + u64_of(HEAD_BYTES);
        let (from, to) = (page_at.max(at), head_end.min(at + u64_of(bytes.len())));
        if from >= to {
            return;
        }
        let target = &mut self.head[usize_of(from - page_at)..usize_of(to - page_at)];
        target.copy_from_slice(&bytes[usize_of(from - at)..usize_of(to - at)]);
        if to < head_end {
            return;
        }
        if page_at == 0 {
            match TablespaceFormat::from_page_zero(&self.head) {
                PageZero::Formatted(format) => self.format = Some(format),
                PageZero::Unformatted | PageZero::Unrecognised(_) | PageZero::TooShort => {
                    self.found = SharedTables::Possible;
                }
            }
        } else if self.may_be_of_a_table() {
            self.found = SharedTables::Possible;
        }
    }

    fn may_be_of_a_table(&self) -> bool {
        let page_type = u16::from_be_bytes(self.field(TYPE_AT));
        let is_index = INDEX_TYPES.contains(&page_type) && self.field(SPACE_AT) == [0; 4];
        let index = u64::from_be_bytes(self.field(INDEX_AT));
        let is_own = index <= OWN_INDEX_MAX || index >= CHANGE_BUFFER_INDEX_MIN;
        is_index && !is_own || self.is_encrypted()
    }

    fn is_encrypted(&self) -> bool {
        let kind = self.format.map(TablespaceFormat::kind);
        let at = match kind {
            Some(FormatKind::FullCrc32 { .. }) => KEY_VERSION_AT,
            _ => LEGACY_KEY_VERSION_AT,
        };
        self.field(at) != [0; 4]
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.head[at..].first_chunk().expect("every field lies within the head")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 16_384;

    fn file(pages: &[(u16, u32, u64)]) -> Vec<u8> {
        let mut file = vec![0; PAGE];
        file[54..58].copy_from_slice(&0x15_u32.to_be_bytes());
        for (number, (page_type, space, index)) in pages.iter().enumerate() {
            let mut page = vec![0; PAGE];
            page[7] = u8::try_from(number + 1).unwrap();
            page[TYPE_AT..TYPE_AT + 2].copy_from_slice(&page_type.to_be_bytes());
            page[SPACE_AT..SPACE_AT + 4].copy_from_slice(&space.to_be_bytes());
            page[INDEX_AT..INDEX_AT + 8].copy_from_slice(&index.to_be_bytes());
            file.extend(page);
        }
        file
    }

    fn scan(file: &[u8], piece_bytes: usize) -> SharedTables {
        let mut scan = SharedScan::new();
        let mut at = 0;
        for piece in file.chunks(piece_bytes) {
            scan.see(at, piece);
            at += u64_of(piece.len());
        }
        scan.finish(u64_of(file.len()))
    }

    #[test]
    fn a_page_of_somebodys_index_is_seen_however_the_file_is_cut() {
        let own = [(17_855, 0, 1), (17_855, 0, u64::MAX - 5), (6, 0, 99), (17_855, 9, 99)];
        let shared = [&own[..], &[(17_855, 0, 99)]].concat();
        for piece_bytes in [1, 73, 74, 75, 1000, PAGE, 100_000] {
            assert_eq!(scan(&file(&own), piece_bytes), SharedTables::Excluded, "{piece_bytes}");
            assert_eq!(scan(&file(&shared), piece_bytes), SharedTables::Possible, "{piece_bytes}");
        }
    }

    #[test]
    fn what_can_not_be_read_excludes_nothing() {
        assert_eq!(scan(&[0; PAGE], PAGE), SharedTables::Possible);
        assert_eq!(scan(b"short", 10), SharedTables::Possible);
        let mut encrypted = file(&[(17_855, 0, 1)]);
        encrypted[PAGE + KEY_VERSION_AT + 3] = 1;
        assert_eq!(scan(&encrypted, PAGE), SharedTables::Possible);
        let mut partly = SharedScan::new();
        partly.see(0, &file(&[]));
        assert_eq!(partly.finish(1 << 20), SharedTables::Possible);
    }
}
