//! Lays out pages of indexes as a server does, for tests.

use crate::innodb::big_endian::put_u16;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::put_u64;

const PAGE: usize = 16_384;

/// An index page that is to be laid out.
#[derive(Clone, Debug)]
pub(crate) struct TreePage {
    /// The level of the page; leaves have level 0.
    pub(crate) level: u16,
    /// The id of the index.
    pub(crate) index: u64,
    /// The pages before and after it.
    pub(crate) neighbours: [Option<u32>; 2],
    /// The bodies of its records in the order of their keys.
    pub(crate) records: Vec<Vec<u8>>,
    /// Bytes before the header of each record.
    pub(crate) extra: usize,
    /// Numbers of the records that are deleted.
    pub(crate) deleted: Vec<usize>,
}

impl TreePage {
    /// Describes a page of these records that has no neighbours.
    pub(crate) fn new(level: u16, index: u64, records: Vec<Vec<u8>>) -> Self {
        let (neighbours, deleted) = ([None; 2], Vec::new());
        Self { level, index, neighbours, records, extra: 0, deleted }
    }

    /// Lays the page out.
    pub(crate) fn draw(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        let [before, after] = self.neighbours.map(|number| number.unwrap_or(u32::MAX));
        put_u32(&mut page, 8, before);
        put_u32(&mut page, 12, after);
        put_u16(&mut page, 24, 0x45BF);
        page[94..120].copy_from_slice(b"\x01\0\x02\0\0infimum\0\x01\0\x0b\0\0supremum");
        let (mut live, mut free) = (99, 44 + 2);
        let mut top = 120;
        for (number, body) in self.records.iter().enumerate() {
            let at = top + self.extra + 5;
            let heap = u16::try_from(number + 2).unwrap() << 3 | u16::from(self.level > 0);
            put_u16(&mut page, at - 4, heap);
            page[at..at + body.len()].copy_from_slice(body);
            if self.deleted.contains(&number) {
                // The list begins in the header, with a place instead of a distance.
                let step = if free == 46 { at } else { at.wrapping_sub(free) };
                put(&mut page, free - 2, step);
                free = at;
            } else {
                put(&mut page, live - 2, at.wrapping_sub(live));
                live = at;
            }
            top = at + body.len();
        }
        put(&mut page, live - 2, 112_usize.wrapping_sub(live));
        put_u16(&mut page, 38, 2);
        put(&mut page, 40, top);
        put(&mut page, 42, 0x8000 | (self.records.len() + 2));
        put(&mut page, 54, self.records.len() - self.deleted.len());
        put_u16(&mut page, 64, self.level);
        put_u64(&mut page, 66, self.index);
        page
    }
}

fn put(page: &mut [u8], at: usize, value: usize) {
    let [low, high, ..] = crate::base::num::u64_of(value).to_le_bytes();
    page[at..at + 2].copy_from_slice(&[high, low]);
}

/// Returns the body of a node pointer.
pub(crate) fn pointer(key: &[u8], child: u32) -> Vec<u8> {
    let mut body = vec![0; key.len() + 4];
    body[..key.len()].copy_from_slice(key);
    put_u32(&mut body, key.len(), child);
    body
}

/// Returns a number as the first bytes of a key.
pub(crate) fn key(number: u32) -> Vec<u8> {
    pointer(b"", number)
}

/// Lays out the page with the inodes of segments that begin with these pages.
pub(crate) fn inodes(first: &[u32]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    for (number, first) in first.iter().enumerate() {
        let at = 50 + 192 * number;
        put_u32(&mut page, at + 60, 97_937_874);
        put_u32(&mut page, at + 64, *first);
    }
    page
}
