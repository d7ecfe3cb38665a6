//! The list of tables in the system tablespace: the number of a table, by which the files of its
//! full-text indexes are named.
//!
//! Page 7 of the system tablespace says where the tree of `SYS_TABLES` begins. Its records are in
//! the oldest row format, in which the ends of the fields stand before the record, backwards:
//!
//! | leaf field | bytes | holds |
//! |---|---|---|
//! | 0 | | name, `schema/table` in the spelling of file names |
//! | 3 | 8 | number of the table |
//!
//! In the inner nodes the last field is the page below.
//!
//! - Bytes come from outside: whatever they hold, a function ends and does not panic.
//! - What was written since the last checkpoint may be missing; so an answer is a hint.
//!
//! Source: `dict0boot.h`, `rem0rec.h` and `page0page.h` of the server.

use crate::innodb::PageNumber;
use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::header;

/// The page that says where the trees of the dictionary begin.
pub const DICTIONARY_PAGE: PageNumber = PageNumber::new(7);

/// The smallest page, bytes.
const PAGE_BYTES_MIN: usize = 4096;
/// Where the page of the root stands.
const ROOT_AT: usize = header::BODY_AT + 32;
/// Where the level of a page of a tree stands.
const LEVEL_AT: usize = header::BODY_AT + 26;
/// The record before the first one.
const INFIMUM: usize = 101;
/// The record after the last one.
const SUPREMUM: usize = 116;
/// Bytes of the head of a record, before which the ends of its fields stand.
const HEAD_BYTES: usize = 6;
/// The mark of a record that was deleted.
const DELETED: u8 = 0x20;
/// Records of a page, at most: a chain that is longer is a ring.
const RECORDS_MAX: usize = 8192;

/// Returns the root of the tree of tables, from the dictionary's page.
pub fn root(page: &[u8]) -> Option<PageNumber> {
    (page.len() >= PAGE_BYTES_MIN).then(|| PageNumber::new(u32_at(page, ROOT_AT)))
}

/// Where a walk over the tree goes on from a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To a page below: this one is an inner node.
    Below(PageNumber),
    /// To the page on the right, if there is one: this one is a leaf.
    Right(Option<PageNumber>),
}

/// Returns where a walk over all tables goes on from a page of the tree.
pub fn step(page: &[u8]) -> Option<Step> {
    const NONE: u32 = u32::MAX;
    if page.len() < PAGE_BYTES_MIN {
        return None;
    }
    if u16_at(page, LEVEL_AT) > 0 {
        let first = Records::new(page).next()?;
        let child = fields(page, first)?.pop()?;
        let child = <[u8; 4]>::try_from(child).ok()?;
        return Some(Step::Below(PageNumber::new(u32_at(&child, 0))));
    }
    let right = u32_at(page, header::NEXT_AT);
    Some(Step::Right((right != NONE).then(|| PageNumber::new(right))))
}

/// Finds the number of a table in a leaf, by its name in the spelling of file names.
pub fn table_id(page: &[u8], name: &[u8]) -> Option<u64> {
    if page.len() < PAGE_BYTES_MIN || u16_at(page, LEVEL_AT) > 0 {
        return None;
    }
    Records::new(page).find_map(|record| {
        let is_deleted = page.get(record.checked_sub(HEAD_BYTES)?)? & DELETED != 0;
        let fields = fields(page, record)?;
        let id = <[u8; 8]>::try_from(*fields.get(3)?).ok()?;
        (!is_deleted && *fields.first()? == name).then(|| u64_at(&id, 0))
    })
}

/// The records of a page in order.
struct Records<'p> {
    page: &'p [u8],
    at: usize,
    left: usize,
}

impl<'p> Records<'p> {
    fn new(page: &'p [u8]) -> Self {
        Self { page, at: INFIMUM, left: RECORDS_MAX }
    }
}

impl Iterator for Records<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let next = usize::from(u16_at(self.page, self.at.checked_sub(2)?));
        let is_record = next > SUPREMUM && next < self.page.len();
        self.at = next;
        is_record.then_some(next)
    }
}

/// Returns the fields of a record, without those that are stored elsewhere or are NULL: an empty
/// one stands for such.
fn fields(page: &[u8], record: usize) -> Option<Vec<&[u8]>> {
    let ends = record.checked_sub(HEAD_BYTES)?;
    let count = usize::from((u16_at(page, record - 4) >> 1) & 0x3ff);
    let is_short = page[record - 3] & 1 != 0;
    let mut fields = Vec::new();
    let mut begin = 0;
    for number in 1..=count {
        let (end, is_elsewhere) = if is_short {
            let byte = *page.get(ends.checked_sub(number)?)?;
            (usize::from(byte & 0x7f), byte & 0x80 != 0)
        } else {
            let word = u16_at(page, ends.checked_sub(2 * number)?);
            (usize::from(word & 0x3fff), word & 0xc000 != 0)
        };
        let bytes = page.get(record + begin..record.checked_add(end)?)?;
        fields.push(if is_elsewhere { &[] } else { bytes });
        begin = end;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Makes a leaf with a record of these fields.
    fn leaf(name: &[u8], id: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES_MIN];
        let record = 200;
        page[INFIMUM - 2..INFIMUM].copy_from_slice(&[0, 200]);
        page[record - 2..record].copy_from_slice(&[0, 116]);
        // Four fields, with ends of one byte.
        page[record - 4..record - 2].copy_from_slice(&[0, 4 << 1 | 1]);
        let mut end = 0;
        let mut id = id.to_le_bytes();
        id.reverse();
        for (number, field) in [name, &[0; 6], &[0; 7], &id].iter().enumerate() {
            page[record + end..record + end + field.len()].copy_from_slice(field);
            end += field.len();
            page[record - HEAD_BYTES - 1 - number] = u8::try_from(end).unwrap();
        }
        page[header::NEXT_AT..header::NEXT_AT + 4].fill(0xff);
        page
    }

    #[test]
    fn a_table_is_found_by_its_name() {
        let mut page = leaf(b"shop/orders", 0x1234);
        assert_eq!(table_id(&page, b"shop/orders"), Some(0x1234));
        assert_eq!(table_id(&page, b"shop/order"), None);
        assert_eq!(step(&page), Some(Step::Right(None)));
        page[200 - HEAD_BYTES] |= DELETED;
        assert_eq!(table_id(&page, b"shop/orders"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_pages_do_no_harm(page in prop::collection::vec(any::<u8>(), 4096..=4096)) {
            let _step = step(&page);
            let _root = root(&page);
            let _id = table_id(&page, b"a/b");
        }
    }
}
