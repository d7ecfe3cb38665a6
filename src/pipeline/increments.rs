//! Follows the files of an incremental backup through the reader: which page of which
//! tablespace each page of a `.delta` file is.
//!
//! A changed page is best compared with the page of the same number in the newest full backup, and
//! is checked like it. Its number stands in a page of numbers before it, so that a `.delta` file
//! has to be followed from its beginning; the reader does, since it looks at one page in thousands
//! only.
//!
//! - What a `.meta` file said is kept until its `.delta` file comes: producers write one after the
//!   other.
//! - A `.delta` file that makes no sense, or that ends too early, is named: no end record shows it.

use std::collections::HashMap;

use crate::base::num::u64_of;
use crate::format::record::Blocks;
use crate::innodb::PageNumber;
use crate::innodb::PageSize;
use crate::innodb::delta_file::DeltaMeta;
use crate::innodb::delta_file::DeltaPage;
use crate::innodb::delta_file::DeltaReader;
use crate::verdict::DeltaFiles;

/// `.meta` files that are remembered until their `.delta` files come.
const METAS_MAX: usize = 4096;
/// Broken files that are named; more are only counted.
const BROKEN_NAMED_MAX: usize = 20;

/// The facts that the reader knows of a stream's `.meta` and `.delta` files.
#[derive(Debug, Default)]
pub struct IncrementFiles {
    metas: HashMap<Vec<u8>, DeltaMeta>,
    found: DeltaFiles,
}

impl IncrementFiles {
    /// Notes what the `.meta` file of `stem` says; `text` is all of it.
    pub fn meta(&mut self, stem: &[u8], text: &[u8]) {
        match DeltaMeta::parse(text) {
            Ok(meta) if self.metas.len() < METAS_MAX => {
                self.metas.insert(stem.to_vec(), meta);
            }
            Ok(_) => {}
            Err(error) => self.break_file(stem, ".meta", error),
        }
    }

    /// Returns what was said about a `.delta` file that begins.
    pub fn begin(&mut self, stem: &[u8]) -> Option<DeltaMeta> {
        self.found.files += 1;
        self.metas.remove(stem)
    }

    /// Notes that a file can't be applied.
    pub fn break_file(&mut self, stem: &[u8], suffix: &str, why: impl std::fmt::Display) {
        if self.found.broken.len() < BROKEN_NAMED_MAX {
            let stem = stem.escape_ascii();
            self.found.broken.push(format!("'{stem}{suffix}': {why}"));
        } else {
            self.found.broken_others += 1;
        }
    }

    /// Returns the counts and the broken files of the whole stream.
    pub fn finish(self) -> DeltaFiles {
        self.found
    }
}

/// Follows one `.delta` file.
#[derive(Debug)]
pub struct IncrementWalk {
    reader: DeltaReader,
    page: usize,
    broken: Option<String>,
}

impl IncrementWalk {
    /// Begins at its start.
    pub fn new(page: PageSize) -> Self {
        Self { reader: DeltaReader::new(page), page: page.bytes(), broken: None }
    }

    /// Returns the number that each page of `data` has in its file; `None` for pages of numbers.
    /// The pages continue where those of the last call ended.
    pub fn follow(&mut self, data: &[u8]) -> Vec<Option<PageNumber>> {
        let pages = data.chunks(self.page);
        pages.map(|page| self.step(page)).collect()
    }

    fn step(&mut self, page: &[u8]) -> Option<PageNumber> {
        if self.broken.is_some() {
            return None;
        }
        if page.len() < self.page {
            self.broken = Some("delta ends within a page".to_owned());
            return None;
        }
        match self.reader.next_page(page) {
            Ok(DeltaPage::Page(number)) => Some(number),
            Ok(DeltaPage::Group { .. }) => None,
            Err(error) => {
                self.broken = Some(error.to_string());
                None
            }
        }
    }

    /// Ends at the end of the file; why it can't be applied, if it can't.
    pub fn finish(self) -> Option<String> {
        self.broken.or_else(|| self.reader.finish().err().map(|error| error.to_string()))
    }
}

/// Returns the block of a tablespace's file in which the page of this number is; small pages share
/// one.
pub fn block_of(page: PageNumber, page_size: PageSize, blocks: Blocks) -> Option<u64> {
    match blocks {
        Blocks::Fixed(bytes) => {
            Some(u64::from(page.get()) * u64_of(page_size.bytes()) / u64::from(bytes))
        }
        Blocks::ContentDefined => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a `.delta` file of 16 KiB pages.
    fn delta(numbers: &[u32]) -> Vec<u8> {
        let mut file = b"XTRA".to_vec();
        numbers.iter().for_each(|number| file.extend(number.to_be_bytes()));
        file.extend([0xff; 4]);
        file.resize(16384 * (1 + numbers.len()), 0);
        file
    }

    #[test]
    fn pages_get_their_numbers_whatever_the_pieces() {
        let file = delta(&[3, 7, 8]);
        let expected = [None, Some(3), Some(7), Some(8)].map(|n| n.map(PageNumber::new));
        for pages in 1..4 {
            let mut walk = IncrementWalk::new(PageSize::KIB_16);
            let found: Vec<_> =
                file.chunks(pages * 16384).flat_map(|piece| walk.follow(piece)).collect();
            assert_eq!(found, expected);
            assert_eq!(walk.finish(), None);
        }
    }

    #[test]
    fn a_file_that_ends_too_early_is_broken() {
        let file = delta(&[3, 7, 8]);
        for bytes in [0, 16384, 3 * 16384, 4 * 16384 - 1] {
            let mut walk = IncrementWalk::new(PageSize::KIB_16);
            walk.follow(&file[..bytes]);
            assert!(walk.finish().is_some(), "{bytes}");
        }
    }

    #[test]
    fn broken_files_are_named_up_to_a_bound() {
        let mut increments = IncrementFiles::default();
        for n in 0..100 {
            increments.meta(format!("a/t{n}.ibd").as_bytes(), b"page_size = 5\n");
        }
        let found = increments.finish();
        assert_eq!((found.broken.len(), found.broken_others), (20, 80));
        assert_eq!(found.broken[0], "'a/t0.ibd.meta': delta metadata has no usable zip_size");
    }
}
