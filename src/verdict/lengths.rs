//! The statements of files about their own length, or about each other's.
//!
//! A file whose last frame was lost ends as properly as any other. But a tablespace's first page
//! counts its pages, the index file of an Aria or MyISAM table states the data file's length, and
//! the description of a CSV table counts its rows.
//!
//! | file | at | bytes | field |
//! |---|---|---|---|
//! | tablespace | 16 | 8 | LSN of the last change to the first page |
//! | tablespace | 46 | 4 | pages |
//! | `.MAI` | 89 | 8 | length of the `.MAI` file |
//! | `.MAI` | 97 | 8 | length of the `.MAD` file |
//! | `.MYI` | 60 | 8 | length of the `.MYI` file |
//! | `.MYI` | 68 | 8 | length of the `.MYD` file |
//! | `.CSM` | 2 | 8 | rows of the `.CSV` file (little-endian) |
//! | `.CSM` | 34 | 1 | whether somebody writes to it |
//!
//! Invariants, each so that a good backup is never called short:
//! - a tablespace whose first page is from after the backup began may have grown while it was
//!   opened, by an extent or a few. It is held to its first page only if it ends where a read of
//!   the producer ends, which is where a lost frame leaves it;
//! - an Aria table writes its index before its data, so that its data file may be shorter, but not
//!   empty, and it does not end where a full frame does;
//! - a MyISAM table is closed or flushed when it is copied, and may at most be longer;
//! - a CSV table has one line for each row, and may have more than were counted when it was closed.
//!
//! It does not know any other engine.
//!
//! Source: offsets verified on streams of 10.11.19, 27 Aria and 4 MyISAM tables; `ha_tina.cc`.

#![expect(clippy::big_endian_bytes, reason = "InnoDB, Aria and MyISAM are big-endian")]

use crate::base::num::u64_of;
use crate::innodb::FormatKind;
use crate::innodb::PAGE_ZERO_BYTES_MIN;
use crate::innodb::PageZero;
use crate::innodb::TablespaceFormat;

const PAGE_ZERO_LSN_AT: usize = 16;
const PAGES_AT: usize = 46;

/// The largest page of a server that has compressed ones.
const SERVER_PAGE_BYTES: u64 = 16 << 10;

/// Pages that a producer reads at a time; its frames end at multiples of them.
const PAGES_A_READ: u64 = 640;

/// Bytes that a producer collects of other files before it sends them.
const FRAME_BYTES: u64 = 10 << 20;

const ARIA_INDEX: &[u8] = &[0xfe, 0xfe, 0x09];
const ARIA_INDEX_BYTES_AT: usize = 89;
const ARIA_DATA_BYTES_AT: usize = ARIA_INDEX_BYTES_AT + 8;
const MYISAM_INDEX: &[u8] = &[0xfe, 0xfe, 0x07];
const MYISAM_INDEX_BYTES_AT: usize = 60;
const MYISAM_DATA_BYTES_AT: usize = MYISAM_INDEX_BYTES_AT + 8;

const CSV_DESCRIPTION: u8 = 0xfe;
const CSV_ROWS_AT: usize = 2;
const CSV_WRITTEN_AT: usize = CSV_ROWS_AT + 4 * 8;

/// Bytes of a tablespace that state its length.
pub(super) const TABLESPACE_HEAD_BYTES: usize = PAGE_ZERO_BYTES_MIN;

/// Bytes of an index file or a description that state the length of the data file.
pub(super) const INDEX_HEAD_BYTES: usize = ARIA_DATA_BYTES_AT + size_of::<u64>();

/// A file that is shorter than is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// Length of the file in bytes.
    pub(super) length: u64,
    /// The length that it should have at least.
    pub(super) stated: u64,
    /// For a tablespace, the LSN of the page that states it.
    pub(super) stated_at_lsn: Option<u64>,
    /// It ends where a read of the producer does.
    pub(super) ends_with_a_read: bool,
}

/// Compares the length of a tablespace with its first page.
pub(super) fn short_tablespace(head: &[u8], length: u64) -> Option<Short> {
    let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(head) else { return None };
    let pages = u64::from(u32::from_be_bytes(*field(head, PAGES_AT)?));
    let page_bytes = u64_of(format.page_size().bytes());
    let stated = pages.checked_mul(page_bytes)?;
    // The server extends files by whole pages of its own, which may be larger than the file's.
    let granule = if format.kind() == FormatKind::LegacyZip { SERVER_PAGE_BYTES } else { 1 };
    let stated = stated - stated % granule;
    let stated_at_lsn = Some(u64::from_be_bytes(*field(head, PAGE_ZERO_LSN_AT)?));
    let ends_with_a_read = length.is_multiple_of(page_bytes * PAGES_A_READ);
    (length < stated).then_some(Short { length, stated, stated_at_lsn, ends_with_a_read })
}

/// Compares the length of an index file with its own head.
pub(super) fn short_index(head: &[u8], length: u64) -> Option<Short> {
    let (at, is_in_time) = if head.starts_with(MYISAM_INDEX) {
        (MYISAM_INDEX_BYTES_AT, true)
    } else if head.starts_with(ARIA_INDEX) {
        (ARIA_INDEX_BYTES_AT, length.is_multiple_of(FRAME_BYTES))
    } else {
        return None;
    };
    let stated = u64::from_be_bytes(*field(head, at)?);
    let short = Short { length, stated, stated_at_lsn: None, ends_with_a_read: false };
    (length < stated && is_in_time).then_some(short)
}

/// The statement of a table's index file or description about its data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stated {
    /// At least this many bytes.
    Bytes(u64),
    /// This many bytes, which may not all have been written.
    BytesInTime(u64),
    /// At least this many rows.
    Rows {
        /// Least number of rows.
        rows: u64,
        /// It was being written to, and grows by whole lines.
        is_open: bool,
    },
}

/// A data file that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Data {
    pub(super) length: u64,
    /// Ends of lines, counted in `.CSV` files only; those of DOS count twice.
    pub(super) line_ends: u64,
    /// True if the last byte ends a line.
    pub(super) ends_a_line: bool,
}

/// A defect of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataFault {
    /// It should have more bytes.
    Bytes {
        /// Least number of bytes that is stated.
        stated: u64,
    },
    /// It should have more rows.
    Rows {
        /// Least number of rows that is stated.
        stated: u64,
    },
    /// Its last line is not whole.
    CutLine,
}

impl Stated {
    /// Reads the head of an index file or description.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        if head.starts_with(MYISAM_INDEX) {
            let bytes = field(head, MYISAM_DATA_BYTES_AT)?;
            return Some(Self::Bytes(u64::from_be_bytes(*bytes)));
        }
        if head.starts_with(ARIA_INDEX) {
            let bytes = field(head, ARIA_DATA_BYTES_AT)?;
            return Some(Self::BytesInTime(u64::from_be_bytes(*bytes)));
        }
        let written = *head.get(CSV_WRITTEN_AT).filter(|_| head[0] == CSV_DESCRIPTION)?;
        let rows = u64::from_le_bytes(*field(head, CSV_ROWS_AT)?);
        Some(Self::Rows { rows, is_open: written != 0 })
    }

    /// Compares it with the data file.
    pub(super) fn fault(self, data: Data) -> Option<DataFault> {
        match self {
            Self::Bytes(stated) if data.length < stated => Some(DataFault::Bytes { stated }),
            // The end of an empty file is where a full frame ends, too.
            Self::BytesInTime(stated)
                if data.length < stated && data.length.is_multiple_of(FRAME_BYTES) =>
            {
                Some(DataFault::Bytes { stated })
            }
            Self::Rows { rows, .. } if data.line_ends < rows => {
                Some(DataFault::Rows { stated: rows })
            }
            Self::Rows { is_open: true, .. } if data.length > 0 && !data.ends_a_line => {
                Some(DataFault::CutLine)
            }
            Self::Bytes(_) | Self::BytesInTime(_) | Self::Rows { .. } => None,
        }
    }
}

impl Data {
    /// Counts the lines that end in the next bytes.
    pub(super) fn see_lines(&mut self, bytes: &[u8]) {
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
        self.line_ends += u64_of(bytes.iter().filter(|byte| ends(byte)).count());
        self.ends_a_line = bytes.last().map_or(self.ends_a_line, ends);
    }
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

    fn fault(head: &[u8], length: u64) -> Option<DataFault> {
        Stated::parse(head).unwrap().fault(Data { length, ..Data::default() })
    }

    #[test]
    fn a_data_file_is_as_long_as_its_index_says() {
        let myisam = index(MYISAM_INDEX, MYISAM_DATA_BYTES_AT, 100);
        assert_eq!(fault(&myisam, 100), None);
        assert_eq!(fault(&myisam, 101), None);
        assert_eq!(fault(&myisam, 99), Some(DataFault::Bytes { stated: 100 }));
        let aria = index(ARIA_INDEX, ARIA_DATA_BYTES_AT, 100);
        assert_eq!(fault(&aria, 99), None, "it may be behind");
        assert_eq!(fault(&aria, 0), Some(DataFault::Bytes { stated: 100 }));
        let aria = index(ARIA_INDEX, ARIA_DATA_BYTES_AT, FRAME_BYTES + 1);
        assert_eq!(fault(&aria, FRAME_BYTES - 1), None);
        assert_eq!(fault(&aria, FRAME_BYTES), Some(DataFault::Bytes { stated: FRAME_BYTES + 1 }));
        assert_eq!(fault(&index(ARIA_INDEX, ARIA_DATA_BYTES_AT, 0), 0), None);
        assert_eq!(Stated::parse(&[0; INDEX_HEAD_BYTES]), None);
        assert_eq!(Stated::parse(&[]), None);
    }

    #[test]
    fn an_index_is_as_long_as_it_says() {
        let head = index(MYISAM_INDEX, MYISAM_INDEX_BYTES_AT, 1024);
        assert_eq!(short_index(&head, 1024), None);
        assert_eq!(short_index(&head, 1023).map(|short| short.stated), Some(1024));
        let head = index(ARIA_INDEX, ARIA_INDEX_BYTES_AT, FRAME_BYTES + 1);
        assert_eq!(short_index(&head, FRAME_BYTES - 1), None, "it may be behind");
        assert!(short_index(&head, FRAME_BYTES).is_some());
    }

    #[test]
    fn a_csv_table_has_a_line_for_each_row() {
        let description = |rows: u64, written: u8| {
            let mut bytes = vec![0; CSV_WRITTEN_AT + 1];
            bytes[..2].copy_from_slice(&[CSV_DESCRIPTION, 1]);
            bytes[CSV_ROWS_AT..CSV_ROWS_AT + 8].copy_from_slice(&rows.to_le_bytes());
            bytes[CSV_WRITTEN_AT] = written;
            Stated::parse(&bytes).unwrap()
        };
        let data = |pieces: &[&[u8]]| {
            let length = pieces.iter().map(|piece| u64_of(piece.len())).sum();
            let mut data = Data { length, ..Data::default() };
            pieces.iter().for_each(|piece| data.see_lines(piece));
            data
        };
        let two = data(&[b"1,\"a\"\n2", b",\"b\"\n", b""]);
        assert_eq!(description(2, 0).fault(two), None);
        assert_eq!(description(1, 1).fault(two), None);
        assert_eq!(description(3, 0).fault(two), Some(DataFault::Rows { stated: 3 }));
        assert_eq!(description(0, 0).fault(data(&[])), None);
        let cut = data(&[b"1\n2\n3"]);
        assert_eq!(description(2, 0).fault(cut), None, "somebody made it by hand");
        assert_eq!(description(2, 1).fault(cut), Some(DataFault::CutLine));
    }

    #[test]
    fn a_tablespace_is_as_long_as_its_first_page_says() {
        let mut head = vec![0; TABLESPACE_HEAD_BYTES];
        head[PAGE_ZERO_LSN_AT..PAGE_ZERO_LSN_AT + 8].copy_from_slice(&70_u64.to_be_bytes());
        head[PAGES_AT..PAGES_AT + 4].copy_from_slice(&1281_u32.to_be_bytes());
        head[54..58].copy_from_slice(&0x15_u32.to_be_bytes());
        let stated = 1281 * 16_384;
        assert_eq!(short_tablespace(&head, stated), None);
        let short = |length, ends_with_a_read| {
            Some(Short { length, stated, stated_at_lsn: Some(70), ends_with_a_read })
        };
        assert_eq!(short_tablespace(&head, stated - 1), short(stated - 1, false));
        assert_eq!(short_tablespace(&head, 1280 * 16_384), short(1280 * 16_384, true));
        assert_eq!(short_tablespace(&[0; TABLESPACE_HEAD_BYTES], 0), None);
        // Of a server of 4 KiB pages, KEY_BLOCK_SIZE=2.
        head[PAGES_AT..PAGES_AT + 4].copy_from_slice(&49_u32.to_be_bytes());
        head[54..58].copy_from_slice(&0xe5_u32.to_be_bytes());
        assert_eq!(short_tablespace(&head, 98_304), None);
        assert!(short_tablespace(&head, 98_303).is_some());
    }
}
