//! A table with a clustered and a secondary index, whose trees can be built again.

#![allow(
    dead_code,
    clippy::big_endian_bytes,
    clippy::unwrap_used,
    reason = "the benchmarks use a part; InnoDB is big-endian"
)]

use crate::support::Random;
use crate::support::change_page;
use crate::support::page_of;

/// Pages that a page above others names, at most.
const NAMED: usize = 40;
/// Roots of the two indexes.
const ROOTS: [u32; 2] = [3, 4];

/// A row: its key, and its value, with whose first bytes the secondary index begins.
type Row = (u32, [u8; 24]);

/// The rows of a table.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    random: Random,
    rows: Vec<Row>,
}

/// The way in which the trees of a table are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// The id of the tablespace.
    pub(crate) space: u32,
    /// The bytes of a page.
    pub(crate) page: usize,
    /// Hundredths of its room that a leaf fills.
    pub(crate) filled: usize,
    /// True if leaves stand in any order in the file.
    pub(crate) shuffled: bool,
    /// Bytes of a column that each row has after its key.
    pub(crate) column: &'static [u8],
}

impl Layout {
    /// Leaves in order, nearly full, in pages of 16 KiB.
    pub(crate) fn new(space: u32) -> Self {
        Self { space, page: 16_384, filled: 94, shuffled: false, column: b"" }
    }
}

impl Rows {
    /// Makes rows of random values. Those of the column of the secondary index are as large as
    /// keys.
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        let mut rows = Self { random: Random(seed), rows: Vec::new() };
        for number in 0..count {
            let value = rows.value(count);
            rows.rows.push((number * 3, value));
        }
        rows
    }

    fn value(&mut self, count: u32) -> [u8; 24] {
        let mut value = [0; 24];
        let of_index = self.random.below(usize::try_from(count * 3).unwrap());
        value[..4].copy_from_slice(&u32::try_from(of_index).unwrap().to_be_bytes());
        for part in value[4..].chunks_mut(4) {
            part.copy_from_slice(&self.random.next().to_be_bytes()[..4]);
        }
        value
    }

    /// Changes, deletes and inserts some rows.
    pub(crate) fn change(&mut self, changes: usize) {
        let count = u32::try_from(self.rows.len()).unwrap();
        for _ in 0..changes {
            let at = self.random.below(self.rows.len());
            let value = self.value(count);
            match self.random.below(3) {
                0 => self.rows[at].1 = value,
                1 => drop(self.rows.remove(at)),
                _ => {
                    let key = self.rows[at].0 + 1;
                    let at = self.rows.partition_point(|row| row.0 < key);
                    self.rows.insert(at, (key, value));
                }
            }
        }
        self.rows.dedup_by_key(|row| row.0);
    }

    /// Lays the table out.
    pub(crate) fn table(&mut self, layout: Layout) -> Vec<Vec<u8>> {
        let clustered: Vec<Record> = self
            .rows
            .iter()
            .map(|(key, value)| {
                let key = key.to_be_bytes().to_vec();
                Record { rest: [layout.column, value].concat(), key }
            })
            .collect();
        let mut secondary: Vec<Record> = self
            .rows
            .iter()
            .map(|(key, value)| {
                let key = [&value[..4], &key.to_be_bytes()].concat();
                Record { key, rest: Vec::new() }
            })
            .collect();
        secondary.sort_by(|one, other| one.key.cmp(&other.key));
        let mut pages = vec![Vec::new(); 5];
        pages[0] = page_of(layout.page, (layout.space, 0), 1000, &[]);
        pages[1] = page_of(layout.page, (layout.space, 1), 1000, &[1]);
        pages[2] = Self::inodes(layout);
        for (root, records) in ROOTS.into_iter().zip([clustered, secondary]) {
            self.tree((root, layout), &records, &mut pages);
        }
        pages
    }

    fn inodes(layout: Layout) -> Vec<u8> {
        let mut page = page_of(layout.page, (layout.space, 2), 1000, &[]);
        for (number, root) in ROOTS.into_iter().enumerate() {
            let at = 50 + 192 * number;
            page[at + 60..at + 64].copy_from_slice(&97_937_874_u32.to_be_bytes());
            page[at + 64..at + 68].copy_from_slice(&root.to_be_bytes());
        }
        change_page(&mut page, 1000, (24, &3_u16.to_be_bytes()));
        page
    }

    /// Appends the pages of an index but its root, which gets its place.
    fn tree(
        &mut self,
        (root, layout): (u32, Layout),
        records: &[Record],
        pages: &mut Vec<Vec<u8>>,
    ) {
        let bytes = records.first().map_or(1, |record| record.key.len() + record.rest.len() + 5);
        let a_leaf = (layout.page - 700) * layout.filled / 100 / bytes;
        let mut level: Vec<Vec<Record>> = records.chunks(a_leaf).map(<[Record]>::to_vec).collect();
        for height in 0_u8..2 {
            let from = u32::try_from(pages.len()).unwrap();
            let mut numbers: Vec<u32> = (from..).take(level.len()).collect();
            if layout.shuffled {
                for last in (1..numbers.len()).rev() {
                    numbers.swap(last, self.random.below(last + 1));
                }
            }
            pages.resize(pages.len() + level.len(), Vec::new());
            for (place, records) in level.iter().enumerate() {
                let near = |place: Option<usize>| place.and_then(|at| numbers.get(at)).copied();
                let links = [near(place.checked_sub(1)), near(Some(place + 1))];
                let number = numbers[place];
                let drawn = draw((number, layout), (root, height), links, records);
                pages[usize::try_from(number).unwrap()] = drawn;
            }
            let pointers: Vec<Record> = level
                .iter()
                .zip(&numbers)
                .map(|(records, number)| Record {
                    key: records[0].key.clone(),
                    rest: number.to_be_bytes().to_vec(),
                })
                .collect();
            level = pointers.chunks(NAMED).map(<[Record]>::to_vec).collect();
        }
        let pointers = level.concat();
        let drawn = draw((root, layout), (root, 2), [None; 2], &pointers);
        pages[usize::try_from(root).unwrap()] = drawn;
    }
}

/// A record of a page: a row of a leaf, or a node pointer.
#[derive(Debug, Clone)]
struct Record {
    key: Vec<u8>,
    rest: Vec<u8>,
}

/// Draws an index page as a server lays it out whose records came in the order of their keys.
fn draw(
    (number, layout): (u32, Layout),
    (index, level): (u32, u8),
    links: [Option<u32>; 2],
    records: &[Record],
) -> Vec<u8> {
    let put = |text: &mut [u8], at: usize, value: usize| {
        let [.., high, low] = u64::try_from(value).unwrap().to_be_bytes();
        text[at..at + 2].copy_from_slice(&[high, low]);
    };
    let mut page = page_of(layout.page, (layout.space, number), 1000, &[]);
    page[94..107].copy_from_slice(b"\x01\0\x02\0\0infimum\0");
    page[107..120].copy_from_slice(b"\x01\0\x0b\0\0supremum");
    let (mut before, mut top, mut slots) = (99_usize, 120_usize, vec![99]);
    for (place, Record { key, rest }) in records.iter().enumerate() {
        let at = top + 5;
        put(&mut page, before - 2, at.wrapping_sub(before));
        put(&mut page, at - 4, (place + 2) << 3 | usize::from(level > 0));
        top = at + key.len() + rest.len();
        page[at..top].copy_from_slice(&[&key[..], rest].concat());
        if place % 5 == 4 {
            page[at - 5] = 5;
            slots.push(at);
        }
        before = at;
    }
    put(&mut page, before - 2, 112_usize.wrapping_sub(before));
    slots.push(112);
    for (at, link) in [8, 12].into_iter().zip(links) {
        page[at..at + 4].copy_from_slice(&link.unwrap_or(u32::MAX).to_be_bytes());
    }
    put(&mut page, 38, slots.len());
    put(&mut page, 40, top);
    put(&mut page, 42, 0x8000 | (records.len() + 2));
    put(&mut page, 54, records.len());
    put(&mut page, 64, level.into());
    for (number, at) in slots.iter().enumerate() {
        put(&mut page, layout.page - 10 - 2 * number, *at);
    }
    // Each tablespace has indexes of its own.
    let index = u64::from(layout.space * 100 + index);
    change_page(&mut page, 1000 + u64::from(layout.space), (66, &index.to_be_bytes()));
    page
}
