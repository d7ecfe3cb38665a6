//! Reads what an incremental backup has instead of tablespaces: `.delta` files and their `.meta`.
//!
//! A `.delta` file holds the changed pages of one file, in groups. A group is a page of numbers and
//! then the pages that go by these numbers:
//!
//! | slot | value |
//! |---|---|
//! | 0 | `xtra` if more groups follow, `XTRA` in the last one |
//! | 1 | number of the first page |
//! | ... | further numbers, ended by the null number unless the last slot is used |
//!
//! A slot is four bytes. A file without changes is one `XTRA` page that names no others.
//!
//! - Everything is a multiple of the physical page size, which only the `.meta` file tells.
//! - Numbers rise from page to page: the writer scans the file once, front to back. They count from
//!   the start of the file, so the pages of a second system file have larger numbers in their
//!   headers.
//! - A reader holds the numbers of one group, 64 KiB at most, and allocates once.
//!
//! It does not check the pages themselves:
//! [`TablespaceFormat::check`](super::TablespaceFormat::check) does, with the format that
//! [`DeltaMeta::format`] makes.
//!
//! Source: `write_filt.cc` of `mariabackup`.

use std::str;

use crate::innodb::big_endian::u32_at;
use crate::innodb::tablespace::TablespaceFormat;
use crate::innodb::units::PageNumber;
use crate::innodb::units::PageSize;
use crate::innodb::units::SpaceId;

/// The marks in the first slot of a group.
const MORE_FOLLOW: u32 = 0x7874_7261;
const IS_LAST: u32 = 0x5854_5241;

/// The kind of the next page of a `.delta` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaPage {
    /// The numbers of the pages that follow it.
    Group {
        /// The number of pages that follow before the next group.
        pages: usize,
    },
    /// A page of the tablespace's file.
    Page(PageNumber),
}

/// Follows a `.delta` file page by page and tells what each of them is.
#[derive(Debug)]
pub struct DeltaReader {
    page_size: PageSize,
    /// The numbers of the current group.
    numbers: Vec<PageNumber>,
    /// The number of them whose page has come.
    passed: usize,
    group: Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    BeforeFirst,
    HasNext,
    Last,
}

/// A defect that makes a `.delta` file unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// A group does not begin with one of the two marks.
    #[error("delta group begins with {0:08x}")]
    Mark(u32),
    /// A number is not larger than the one before.
    #[error("delta names page {found} after page {before}")]
    Order {
        /// Page number before the one found.
        before: PageNumber,
        /// Page number that is not larger than `before`.
        found: PageNumber,
    },
    /// A group names no pages although another one follows it.
    #[error("delta group names no pages")]
    EmptyGroup,
    /// Pages follow after the last group.
    #[error("delta goes on after its last group")]
    Trailing,
    /// The file ends before its last group does.
    #[error("delta ends before its last group does")]
    Unfinished,
}

impl DeltaReader {
    /// Begins at the start of a file.
    pub const fn new(page_size: PageSize) -> Self {
        Self { page_size, numbers: Vec::new(), passed: 0, group: Group::BeforeFirst }
    }

    /// Tells whether the next page is one of numbers: of the others only the size matters.
    pub fn reads_numbers_next(&self) -> bool {
        self.passed == self.numbers.len()
    }

    /// Takes the next page of the file and tells what it is.
    ///
    /// # Panics
    ///
    /// If `page` is not one whole page.
    pub fn next_page(&mut self, page: &[u8]) -> Result<DeltaPage, DeltaError> {
        assert_eq!(page.len(), self.page_size.bytes(), "the caller passes whole pages");
        if let Some(number) = self.numbers.get(self.passed) {
            self.passed += 1;
            return Ok(DeltaPage::Page(*number));
        }
        if self.group == Group::Last {
            return Err(DeltaError::Trailing);
        }
        self.begin_group(page)
    }

    /// Ends at the end of the file, which has to be that of its last group.
    pub fn finish(self) -> Result<(), DeltaError> {
        if self.group == Group::Last && self.passed == self.numbers.len() {
            Ok(())
        } else {
            Err(DeltaError::Unfinished)
        }
    }

    fn begin_group(&mut self, page: &[u8]) -> Result<DeltaPage, DeltaError> {
        let group = match u32_at(page, 0) {
            MORE_FOLLOW => Group::HasNext,
            IS_LAST => Group::Last,
            mark => return Err(DeltaError::Mark(mark)),
        };
        let mut before = self.numbers.last().copied();
        self.numbers.clear();
        self.passed = 0;
        for at in (0..page.len()).step_by(size_of::<u32>()).skip(1) {
            let found = PageNumber::new(u32_at(page, at));
            if found == PageNumber::NONE {
                break;
            }
            if let Some(before) = before.filter(|before| *before >= found) {
                // Nothing that this group says is to be used.
                self.numbers.clear();
                return Err(DeltaError::Order { before, found });
            }
            self.numbers.push(found);
            before = Some(found);
        }
        if self.numbers.is_empty() && group == Group::HasNext {
            return Err(DeltaError::EmptyGroup);
        }
        self.group = group;
        Ok(DeltaPage::Group { pages: self.numbers.len() })
    }
}

/// The contents of the `.meta` file that comes before each `.delta` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaMeta {
    /// The physical page size.
    pub page_size: PageSize,
    /// The row format of the pages: `ROW_FORMAT=COMPRESSED` or another.
    pub row_format: RowFormat,
    /// Id of the tablespace that the pages belong to.
    pub space: SpaceId,
}

/// The row format of a tablespace, which decides on the format of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// Any other row format.
    Ordinary,
    /// Compressed rows: tables with `ROW_FORMAT=COMPRESSED`.
    Compressed,
}

/// A defect that makes a `.meta` file unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaMetaError {
    /// A line that has to be there is missing, or its value is no number.
    #[error("delta metadata has no usable {0}")]
    Field(&'static str),
    /// No page has this size.
    #[error("delta metadata gives a page size of {0} bytes")]
    PageSize(u32),
}

impl DeltaMeta {
    /// Reads the lines `page_size = 16384`, `zip_size = 0` and `space_id = 8`.
    ///
    /// Versions differ in whether `page_size` is the physical size of a compressed page as well
    /// (MDEV-18493), so `zip_size` decides unless it is zero.
    pub fn parse(text: &[u8]) -> Result<Self, DeltaMetaError> {
        let page_size = field(text, "page_size")?;
        let zip_size = field(text, "zip_size")?;
        let space = SpaceId::new(field(text, "space_id")?);
        let (bytes, row_format) = match zip_size {
            0 => (page_size, RowFormat::Ordinary),
            zip_size => (zip_size, RowFormat::Compressed),
        };
        let page_size = PageSize::from_bytes(bytes).ok_or(DeltaMetaError::PageSize(bytes))?;
        Ok(Self { page_size, row_format, space })
    }

    /// Makes the format by which to check the pages of the `.delta` file.
    pub const fn format(self) -> TablespaceFormat {
        match self.row_format {
            RowFormat::Ordinary => TablespaceFormat::presumed(self.page_size, Some(self.space)),
            RowFormat::Compressed => {
                TablespaceFormat::presumed_zip(self.page_size, Some(self.space))
            }
        }
    }
}

fn field(text: &[u8], name: &'static str) -> Result<u32, DeltaMetaError> {
    let mut values = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let (key, value) = str::from_utf8(line).ok()?.split_once('=')?;
        (key.trim() == name).then_some(value.trim())
    });
    let value = values.next_back().and_then(|value| value.parse().ok());
    value.ok_or(DeltaMetaError::Field(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::innodb::big_endian::put_u32;
    use crate::innodb::tablespace::FormatKind;

    const SIZE: PageSize = PageSize::from_shift(10).expect("a page size");
    const SLOTS: usize = SIZE.bytes() / 4;

    /// Lays out a file as `mariabackup` does; the pages themselves are filled with ones.
    fn delta(groups: &[Vec<u32>]) -> Vec<u8> {
        let mut file = Vec::new();
        for (at, numbers) in groups.iter().enumerate() {
            let mut head = vec![0; SIZE.bytes()];
            let is_last = at + 1 == groups.len();
            put_u32(&mut head, 0, if is_last { IS_LAST } else { MORE_FOLLOW });
            for (slot, number) in numbers.iter().enumerate() {
                put_u32(&mut head, 4 * (slot + 1), *number);
            }
            if numbers.len() + 1 < SLOTS {
                put_u32(&mut head, 4 * (numbers.len() + 1), u32::MAX);
            }
            file.extend(head);
            file.resize(file.len() + numbers.len() * SIZE.bytes(), 1);
        }
        file
    }

    fn read(file: &[u8]) -> Result<Vec<DeltaPage>, DeltaError> {
        let mut reader = DeltaReader::new(SIZE);
        let pages = file.chunks_exact(SIZE.bytes());
        let found = pages.map(|page| reader.next_page(page)).collect();
        reader.finish().and(found)
    }

    fn expected(groups: &[Vec<u32>]) -> Vec<DeltaPage> {
        let pages = |numbers: &Vec<u32>| {
            let head = DeltaPage::Group { pages: numbers.len() };
            let rest = numbers.iter().map(|number| DeltaPage::Page(PageNumber::new(*number)));
            std::iter::once(head).chain(rest).collect::<Vec<_>>()
        };
        groups.iter().flat_map(pages).collect()
    }

    #[test]
    fn an_unchanged_file_is_a_single_page() {
        let file = delta(&[vec![]]);
        assert_eq!(file.len(), SIZE.bytes());
        assert_eq!(read(&file), Ok(vec![DeltaPage::Group { pages: 0 }]));
    }

    #[test]
    fn a_full_group_has_no_end_mark() {
        let full: Vec<u32> = (1..).take(SLOTS - 1).collect();
        let groups = [full, vec![500, 600]];
        assert_eq!(read(&delta(&groups)), Ok(expected(&groups)));
    }

    #[test]
    fn a_file_that_does_not_end_with_its_last_group_is_refused() {
        let file = delta(&[vec![3, 4], vec![7]]);
        for pages in 0..file.len() / SIZE.bytes() {
            let cut = &file[..pages * SIZE.bytes()];
            assert_eq!(read(cut), Err(DeltaError::Unfinished), "{pages}");
        }
        let mut longer = file;
        longer.resize(longer.len() + SIZE.bytes(), 1);
        let mut reader = DeltaReader::new(SIZE);
        let last = longer.chunks_exact(SIZE.bytes()).map(|page| reader.next_page(page)).last();
        assert_eq!(last, Some(Err(DeltaError::Trailing)));
    }

    #[test]
    fn numbers_rise_within_and_across_groups() {
        for groups in [vec![vec![5, 5]], vec![vec![6, 5]], vec![vec![5], vec![4]]] {
            let order = read_until_error(&delta(&groups));
            assert!(matches!(order, Some(DeltaError::Order { .. })), "{groups:?}");
        }
        let empty = read_until_error(&delta(&[vec![], vec![1]]));
        assert_eq!(empty, Some(DeltaError::EmptyGroup));
        let mark = read_until_error(&vec![1; SIZE.bytes()]);
        assert_eq!(mark, Some(DeltaError::Mark(0x0101_0101)));
    }

    fn read_until_error(file: &[u8]) -> Option<DeltaError> {
        let mut reader = DeltaReader::new(SIZE);
        file.chunks_exact(SIZE.bytes()).find_map(|page| reader.next_page(page).err())
    }

    #[test]
    fn metadata_of_a_server_is_understood() {
        let plain = DeltaMeta::parse(b"page_size = 16384\nzip_size = 0 \nspace_id = 8\n").unwrap();
        assert_eq!(plain.page_size, PageSize::KIB_16);
        assert_eq!(plain.space, SpaceId::new(8));
        assert_eq!(plain.format().kind(), FormatKind::Undetermined);

        for page_size in [8192, 16_384] {
            let text = format!("page_size = {page_size}\nzip_size = 8192 \nspace_id = 9\n");
            let zip = DeltaMeta::parse(text.as_bytes()).unwrap();
            assert_eq!(zip.page_size.bytes(), 8192);
            assert_eq!(zip.format().kind(), FormatKind::LegacyZip);
        }
    }

    #[test]
    fn unusable_metadata_names_the_line() {
        let cases: [(&[u8], _); 4] = [
            (b"", DeltaMetaError::Field("page_size")),
            (b"page_size = 16384\n", DeltaMetaError::Field("zip_size")),
            (
                b"page_size = 16384\nzip_size = 0\nspace_id = -1\n",
                DeltaMetaError::Field("space_id"),
            ),
            (b"page_size = 100\nzip_size = 0\nspace_id = 1\n", DeltaMetaError::PageSize(100)),
        ];
        for (text, error) in cases {
            assert_eq!(DeltaMeta::parse(text), Err(error));
        }
    }

    proptest! {
        #[test]
        fn every_page_is_given_its_number(
            numbers in proptest::collection::btree_set(0..u32::MAX, 0..700),
        ) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let mut groups: Vec<Vec<u32>> =
                numbers.chunks(SLOTS - 1).map(<[u32]>::to_vec).collect();
            if groups.is_empty() {
                groups.push(Vec::new());
            }
            prop_assert_eq!(read(&delta(&groups)), Ok(expected(&groups)));
        }

        #[test]
        fn no_bytes_make_it_panic(
            file in proptest::collection::vec(0..3_u8, 0..20 * SIZE.bytes()),
        ) {
            drop(read(&file));
            let _ = DeltaMeta::parse(&file);
        }
    }
}
