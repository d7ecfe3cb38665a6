//! The page checks of each member, done again as they were when it came.
//!
//! A `.delta` file itself says which page of which tablespace each of its pages is, in a page of
//! numbers before each group. The planner reads these, one page in thousands; the others are read
//! in any order.
//!
//! - Changed pages have the format of the same tablespace in the full backup, or what the `.meta`
//!   file says if that has none.
//! - Where numbers can't be read, the pages after them are not checked: the block of the numbers
//!   is found to be damaged in its own turn.

use std::sync::Arc;

use crate::aria::ARIA_HEAD_BYTES;
use crate::aria::AriaTable;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::snapshot::SnapshotKind;
use crate::innodb::PageNumber;
use crate::innodb::PageSize;
use crate::innodb::delta_file::DeltaMeta;
use crate::innodb::delta_file::DeltaPage;
use crate::innodb::delta_file::DeltaReader;
use crate::map::view::Translation;
use crate::ops::chain;
use crate::pack::reader::Wanted;
use crate::pipeline::pages;
use crate::pipeline::previous::Previous;
use crate::pipeline::previous::PreviousTable;
use crate::pipeline::segment::PageCheck;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Returns how the pages of a member are checked: as they were when it came.
pub(super) fn page_check(
    contents: &Contents,
    changed: &ChangedPages,
    record: &MemberRecord,
) -> Result<PageCheck> {
    if let Some(stem) = record.key.path.strip_suffix(b".delta") {
        return changed.check(contents, stem, record);
    }
    let Some(stem) = record.key.path.strip_suffix(b".MAD") else {
        return Ok(pages::check_of_record(record.page_format, record.first_page));
    };
    if record.blocks == Blocks::ContentDefined {
        return Ok(PageCheck::None);
    }
    let key = MemberKey { path: [stem, b".MAI"].concat(), incarnation: record.key.incarnation };
    match aria_head(contents, &key) {
        Ok(table) => Ok(pages::check_of_aria(table)),
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
        // The index file is found to be damaged in its own turn.
        Err(_) => Ok(pages::check_of_aria(None)),
    }
}

/// Returns what the head of an Aria index file says.
fn aria_head(contents: &Contents, key: &MemberKey) -> Result<Option<AriaTable>> {
    let head = first_block(contents, key)?;
    Ok(head.and_then(|bytes| AriaTable::parse(&bytes[..bytes.len().min(ARIA_HEAD_BYTES)]).ok()))
}

/// Returns the first block of a file, if there is one.
fn first_block(contents: &Contents, key: &MemberKey) -> Result<Option<Vec<u8>>> {
    let Some(record) = contents.table().find(key)? else { return Ok(None) };
    let first = contents.entries(record).next()?;
    first.as_ref().and_then(Block::wanted).map(|wanted| read_one(contents, wanted)).transpose()
}

fn read_one(contents: &Contents, wanted: Wanted) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    contents.packs().read(&[wanted], &mut |_, bytes| {
        found.extend_from_slice(bytes?);
        Ok(())
    })?;
    Ok(found)
}

/// The checks of an increment's changed pages; by default there are none.
#[derive(Debug, Default)]
pub(super) struct ChangedPages {
    full: Previous,
}

impl ChangedPages {
    /// Looks for the full backup that a snapshot builds on.
    pub(super) fn of(
        repository: &Repository,
        stored: &StoredSnapshot,
        monitor: &Arc<Monitor>,
    ) -> Self {
        if stored.snapshot.about.kind != SnapshotKind::Incremental {
            return Self::default();
        }
        // A base that can't be read is reported elsewhere.
        let links = chain::links(repository, stored).unwrap_or_default();
        let full = links.into_iter().next().and_then(|link| link.stored);
        let full = full.and_then(|full| {
            let packs = Arc::clone(repository.contents(&full, monitor).ok()?.packs());
            let table = PreviousTable::new(&packs, &full, Translation::same());
            Some(Previous::new(packs, vec![table], None))
        });
        Self { full: full.unwrap_or_default() }
    }

    /// Returns how a `.delta` file is checked.
    pub(super) fn check(
        &self,
        contents: &Contents,
        stem: &[u8],
        record: &MemberRecord,
    ) -> Result<PageCheck> {
        let path = [stem, b".meta"].concat();
        let key = MemberKey { path, incarnation: record.key.incarnation };
        let meta = match first_block(contents, &key) {
            Ok(text) => text.and_then(|text| DeltaMeta::parse(&text).ok()),
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            // The file is found to be damaged in its own turn.
            Err(_) => None,
        };
        let Some(meta) = meta else { return Ok(PageCheck::None) };
        let whole_pages = match record.blocks {
            Blocks::Fixed(bytes) => usize_of_u32(bytes).is_multiple_of(meta.page_size.bytes()),
            Blocks::ContentDefined => false,
        };
        if !whole_pages {
            return Ok(PageCheck::None);
        }
        let stated = meta.format();
        let (format, first) = self.full.format_of(stem, stated).unwrap_or((stated, 0));
        Ok(PageCheck::Delta { format, first })
    }
}

/// Follows a `.delta` file block by block.
#[derive(Debug)]
pub(super) struct Numbering {
    reader: DeltaReader,
    page: PageSize,
    is_broken: bool,
}

impl Numbering {
    /// Begins at the start of a file that is checked so; `None` if that takes no numbers.
    pub(super) fn of(check: &PageCheck) -> Option<Self> {
        let PageCheck::Delta { format, .. } = check else { return None };
        let page = format.page_size();
        Some(Self { reader: DeltaReader::new(page), page, is_broken: false })
    }

    /// Returns the numbers of the pages in the file's next block.
    pub(super) fn next(
        &mut self,
        contents: &Contents,
        block: &Block,
    ) -> Result<Vec<Option<PageNumber>>> {
        let size = self.page.bytes();
        let pages = usize_of(block.entry.length) / size;
        let blank = vec![0; size];
        let mut bytes: Option<Vec<u8>> = None;
        let mut numbers = Vec::with_capacity(pages);
        for page in 0..pages {
            if self.reader.reads_numbers_next() && bytes.is_none() && !self.is_broken {
                bytes = self.read(contents, block)?;
            }
            let read = bytes.as_ref().and_then(|bytes| bytes.get(page * size..(page + 1) * size));
            numbers.push(self.step(read.unwrap_or(&blank)));
        }
        Ok(numbers)
    }

    fn read(&mut self, contents: &Contents, block: &Block) -> Result<Option<Vec<u8>>> {
        let read = block.wanted().map(|wanted| read_one(contents, wanted));
        match read.transpose() {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(_) => {
                self.is_broken = true;
                Ok(None)
            }
        }
    }

    fn step(&mut self, page: &[u8]) -> Option<PageNumber> {
        if self.is_broken {
            return None;
        }
        match self.reader.next_page(page) {
            Ok(DeltaPage::Page(number)) => Some(number),
            Ok(DeltaPage::Group { .. }) => None,
            Err(_) => {
                self.is_broken = true;
                None
            }
        }
    }
}
