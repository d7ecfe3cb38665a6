//! Checks the pages of a segment's blocks: counted for all, described for the wrong ones.

use crate::aria::AriaTable;
use crate::aria::BlockSize;
use crate::aria::BlockVerdict;
use crate::base::num::u64_of;
use crate::format::record::PageCounts;
use crate::innodb::Lsn;
use crate::innodb::PageNumber;
use crate::innodb::PageVerdict;
use crate::innodb::TablespaceFormat;
use crate::pipeline::segment::FINDINGS_A_SEGMENT;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::PageFinding;
use crate::pipeline::segment::Segment;
use crate::pipeline::segment::Tally;

/// Checks every page of a segment's blocks.
pub fn tally(segment: &Segment, blocks: &[&[u8]]) -> Tally {
    let PageCheck::Delta { format, first } = segment.member.pages else {
        return tally_of(&segment.member.pages, segment.at, blocks);
    };
    tally_changed(format, first, &segment.numbers, segment.data.filled())
}

/// Checks in the same way pages of a `.delta` file that have these numbers.
pub fn tally_changed(
    format: TablespaceFormat,
    first: u32,
    numbers: &[Option<PageNumber>],
    data: &[u8],
) -> Tally {
    let mut tally = Tally::default();
    for (number, page) in changed_pages(format, first, numbers, data) {
        count(&mut tally, format.check(page, number));
    }
    tally
}

/// Checks in the same way blocks that begin at `at` in their member, by any check that goes by
/// places.
pub fn tally_of(check: &PageCheck, at: u64, blocks: &[&[u8]]) -> Tally {
    match check {
        PageCheck::None | PageCheck::Delta { .. } => Tally::default(),
        PageCheck::Tablespace { format, first } => tally_tablespace(*format, *first, at, blocks),
        PageCheck::AriaData(table) => tally_aria(*table, at, blocks),
    }
}

/// Returns the pages of a piece of a `.delta` file that belong to the tablespace, with their
/// numbers.
fn changed_pages<'p>(
    format: TablespaceFormat,
    first: u32,
    numbers: &'p [Option<PageNumber>],
    data: &'p [u8],
) -> impl Iterator<Item = (PageNumber, &'p [u8])> {
    let pages = data.chunks_exact(format.page_size().bytes());
    numbers.iter().zip(pages).filter_map(move |(number, page)| {
        let number = (*number)?.checked_add(first)?;
        Some((number, page))
    })
}

/// Returns the number of the page at an offset of a file whose first page has the number `first`.
fn page_number(format: TablespaceFormat, first: u32, at: u64) -> Option<PageNumber> {
    let pages = u32::try_from(at / u64_of(format.page_size().bytes())).ok()?;
    PageNumber::new(first).checked_add(pages)
}

fn tally_tablespace(format: TablespaceFormat, first: u32, at: u64, blocks: &[&[u8]]) -> Tally {
    let mut tally = Tally::default();
    let mut at = at;
    for block in blocks {
        if let Some(number) = page_number(format, first, at) {
            for (_, verdict) in format.check_run(block, number) {
                count(&mut tally, verdict);
            }
        }
        at += u64_of(block.len());
    }
    tally
}

fn count(tally: &mut Tally, verdict: PageVerdict) {
    let pages = &mut tally.pages;
    match verdict {
        PageVerdict::Zero => pages.zero += 1,
        PageVerdict::Good { .. } => pages.verified += 1,
        PageVerdict::Doublewrite | PageVerdict::Unverifiable { .. } => pages.unverifiable += 1,
        PageVerdict::Corrupt { .. } => pages.corrupt += 1,
    }
    tally.max_lsn = tally.max_lsn.max(verdict.lsn().map_or(0, Lsn::get));
}

/// Calls `each` for every whole Aria block with its number.
fn each_aria_block(
    table: AriaTable,
    at: u64,
    blocks: &[&[u8]],
    mut each: impl FnMut(u64, BlockVerdict),
) {
    let Some(size) = table.data_block_size() else { return };
    let size = size.bytes();
    let mut at = at;
    for block in blocks {
        for (number, page) in (at / u64_of(size)..).zip(block.chunks_exact(size)) {
            each(number, table.check_data(page, number));
        }
        at += u64_of(block.len());
    }
}

fn tally_aria(table: AriaTable, at: u64, blocks: &[&[u8]]) -> Tally {
    let mut pages = PageCounts::default();
    each_aria_block(table, at, blocks, |_, verdict| match verdict {
        BlockVerdict::Zero => pages.zero += 1,
        BlockVerdict::Good => pages.verified += 1,
        BlockVerdict::Unverifiable(_) => pages.unverifiable += 1,
        BlockVerdict::Corrupt(_) => pages.corrupt += 1,
    });
    Tally { pages, max_lsn: 0 }
}

/// Describes the wrong pages of a segment's blocks.
pub fn findings(segment: &Segment, blocks: &[&[u8]]) -> Vec<PageFinding> {
    let Segment { member, at, .. } = segment;
    let at = *at;
    let mut found = Vec::new();
    let mut add = |page: u64, lsn: u64, reason: String| {
        if found.len() < FINDINGS_A_SEGMENT {
            found.push(PageFinding { path: member.key.display(), page, lsn, reason });
        }
    };
    match &member.pages {
        PageCheck::None => {}
        PageCheck::Delta { format, first } => {
            let (numbers, data) = (&segment.numbers, segment.data.filled());
            for (number, page) in changed_pages(*format, *first, numbers, data) {
                if let PageVerdict::Corrupt { lsn, reason } = format.check(page, number) {
                    add(number.get().into(), lsn.get(), reason.to_string());
                }
            }
        }
        PageCheck::Tablespace { format, first } => {
            let data_at = |n: usize| at + blocks[..n].iter().map(|b| u64_of(b.len())).sum::<u64>();
            for (n, block) in blocks.iter().enumerate() {
                let Some(number) = page_number(*format, *first, data_at(n)) else { continue };
                for (number, verdict) in format.check_run(block, number) {
                    if let PageVerdict::Corrupt { lsn, reason } = verdict {
                        add(number.get().into(), lsn.get(), reason.to_string());
                    }
                }
            }
        }
        PageCheck::AriaData(table) => each_aria_block(*table, at, blocks, |number, verdict| {
            if let BlockVerdict::Corrupt(reason) = verdict {
                add(number, 0, reason.to_string());
            }
        }),
    }
    found
}

/// Returns the check of a tablespace as its record describes it; `verify` makes it again.
pub fn check_of_record(page_format: u64, first_page: u32) -> PageCheck {
    match TablespaceFormat::decode(page_format) {
        Ok(format) => PageCheck::Tablespace { format, first: first_page },
        Err(_) => PageCheck::None,
    }
}

/// Returns the check of an Aria data file by what the head of its index file says, or by what is
/// usual if that was not seen.
pub fn check_of_aria(index: Option<AriaTable>) -> PageCheck {
    let table = index.unwrap_or_else(|| AriaTable::presumed(BlockSize::KIB_8));
    if table.data_block_size().is_some() { PageCheck::AriaData(table) } else { PageCheck::None }
}

/// Returns page format and number of the first page for the record of a member that is checked so.
pub fn record_of_check(check: &PageCheck) -> (u64, u32) {
    match check {
        PageCheck::Tablespace { format, first } => (format.encode(), *first),
        // That of a tablespace would say that pages stand at their places.
        PageCheck::None | PageCheck::Delta { .. } | PageCheck::AriaData(_) => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use crate::format::record::PageCounts;
    use crate::innodb::Lsn;
    use crate::innodb::PageVerdict;
    use crate::innodb::checksum::ChecksumVariant;
    use crate::innodb::verdict::Corruption;
    use crate::innodb::verdict::Unverifiable;
    use crate::pipeline::segment::Tally;

    use super::*;

    const GOOD: PageVerdict =
        PageVerdict::Good { lsn: Lsn::new(70), variant: ChecksumVariant::Crc32 };
    const DISABLED: PageVerdict =
        PageVerdict::Unverifiable { lsn: Lsn::new(90), reason: Unverifiable::ChecksumDisabled };
    const CORRUPT: PageVerdict =
        PageVerdict::Corrupt { lsn: Lsn::new(u64::MAX), reason: Corruption::Inflate };

    #[test]
    fn each_page_is_counted_once() {
        let mut tally = Tally::default();
        let zero = [PageVerdict::Zero; 1];
        let uncertain = [DISABLED, PageVerdict::Doublewrite];
        for verdict in [&zero[..], &uncertain, &[GOOD; 3], &[CORRUPT; 4]].concat() {
            count(&mut tally, verdict);
        }
        // A copy in the doublewrite buffer is no more certain than a page without a checksum.
        let pages = PageCounts { zero: 1, unverifiable: 2, verified: 3, corrupt: 4 };
        assert_eq!(tally.pages, pages);
    }

    #[test]
    fn the_newest_page_is_one_that_is_believed() {
        let mut tally = Tally::default();
        count(&mut tally, CORRUPT);
        assert_eq!(tally.max_lsn, 0);
        count(&mut tally, DISABLED);
        count(&mut tally, GOOD);
        assert_eq!(tally.max_lsn, 90);
    }
}
