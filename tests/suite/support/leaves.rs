//! A table whose pages are the leaves of an index, in which records move from page to page.

#![allow(
    dead_code,
    clippy::big_endian_bytes,
    clippy::unwrap_used,
    reason = "the benchmarks use a part; InnoDB is big-endian"
)]

use std::collections::BTreeMap;

use crate::support::PAGE;
use crate::support::Random;
use crate::support::change_page;
use crate::support::page;

/// Bytes of a record with its header.
const RECORD: usize = 25;
/// Bytes of the body of a record.
const BODY: usize = RECORD - 5;
/// Where `support::page` takes bodies from.
const BODY_AT: usize = 100;
/// Most records of a page.
const RECORDS_MAX: usize = (PAGE - 1200) / RECORD;

/// A record: its body.
type Record = [u8; BODY];

/// Leaf pages by their numbers, and the chain in which they stand.
#[derive(Debug, Clone)]
pub(crate) struct Leaves {
    space: u32,
    random: Random,
    lsn: u64,
    lsn_when_made: u64,
    records: BTreeMap<u32, Vec<Record>>,
    chain: Vec<u32>,
    /// The table's pages, the first of which tells its format.
    pub(crate) pages: Vec<Vec<u8>>,
}

impl Leaves {
    /// Makes a table of this many leaves, which stand in the order of their keys, three quarters
    /// full.
    pub(crate) fn new(seed: u64, space: u32, leaves: u32) -> Self {
        let chain: Vec<u32> = (1..=leaves).collect();
        let mut random = Random(seed);
        let mut key = 0_u64;
        let mut records = BTreeMap::new();
        for number in &chain {
            let own = (0..RECORDS_MAX * 3 / 4).map(|_| record(&mut key, &mut random));
            records.insert(*number, own.collect());
        }
        let pages = vec![page(space, 0, 1000, &[])];
        let lsn = 1000;
        let mut made = Self { space, random, lsn, lsn_when_made: lsn, records, chain, pages };
        (0..made.chain.len()).for_each(|place| made.draw(place));
        made.lsn_when_made = made.lsn;
        made
    }

    /// Returns the number of leaves.
    pub(crate) fn len(&self) -> usize {
        self.chain.len()
    }

    /// Lets the upper half of a leaf's records move to a new page at the end of the file.
    pub(crate) fn split(&mut self, place: usize) {
        let number = self.chain[place];
        let own = self.records.get_mut(&number).unwrap();
        let upper = own.split_off(own.len() / 2);
        let new = u32::try_from(self.pages.len()).unwrap();
        self.records.insert(new, upper);
        self.chain.insert(place + 1, new);
        self.draw_around(place);
        self.draw_around(place + 1);
    }

    /// Lets half of the records of a leaf move to the one after it, as far as there is room.
    pub(crate) fn shift(&mut self, place: usize) {
        let (number, next) = (self.chain[place], self.chain[place + 1]);
        let room = RECORDS_MAX - self.records[&next].len();
        let own = self.records.get_mut(&number).unwrap();
        let mut upper = own.split_off(own.len() - (own.len() / 2).min(room));
        let after = self.records.get_mut(&next).unwrap();
        upper.append(after);
        *after = upper;
        self.draw_around(place);
        self.draw_around(place + 1);
    }

    /// Lets the upper half of a leaf and the lower half of the one after it move to a new page at
    /// the end of the file.
    pub(crate) fn spread(&mut self, place: usize) {
        let next = self.chain[place + 1];
        let after = self.records.get_mut(&next).unwrap();
        let upper = after.split_off(after.len() / 2);
        let lower = std::mem::replace(after, upper);
        self.split(place);
        let new = self.chain[place + 1];
        self.records.get_mut(&new).unwrap().extend(lower);
        self.draw(place + 1);
        self.draw(place + 2);
    }

    /// Adds a leaf of new records behind the last one, at the end of the file.
    pub(crate) fn append(&mut self) {
        let last = self.records[self.chain.last().unwrap()].last().unwrap();
        let mut key = u64::from_be_bytes(*last.first_chunk().unwrap());
        let new = (0..RECORDS_MAX * 3 / 4).map(|_| record(&mut key, &mut self.random)).collect();
        let number = u32::try_from(self.pages.len()).unwrap();
        self.records.insert(number, new);
        self.chain.push(number);
        self.draw_around(self.len() - 1);
    }

    /// Changes a record of a leaf where it stands.
    pub(crate) fn change(&mut self, place: usize) {
        let number = self.chain[place];
        let own = self.records.get_mut(&number).unwrap();
        let at = self.random.below(own.len());
        own[at][8..16].copy_from_slice(&self.random.next().to_be_bytes());
        self.draw(place);
    }

    /// Makes other pages of all that changed since the table was made: the supremum of each has
    /// another text.
    pub(crate) fn hide_changed(&mut self) {
        for page in self.pages.iter_mut().skip(1) {
            let lsn = u64::from_be_bytes(page[16..24].try_into().unwrap());
            if lsn > self.lsn_when_made {
                change_page(page, lsn, (112, b"nothing!"));
            }
        }
    }

    /// Splits and moves records in any places.
    pub(crate) fn night(&mut self, moves: usize) {
        for _ in 0..moves {
            let place = self.random.below(self.len() - 1);
            match self.random.below(4) {
                0 => self.split(place),
                1 => self.shift(place),
                2 => self.spread(place),
                _ => self.change(place),
            }
        }
    }

    /// Draws a leaf and the neighbours that name it.
    fn draw_around(&mut self, place: usize) {
        for place in place.saturating_sub(1)..=(place + 1).min(self.len() - 1) {
            self.draw(place);
        }
    }

    fn draw(&mut self, place: usize) {
        let number = self.chain[place];
        let neighbour = |place: Option<usize>| {
            place.and_then(|place| self.chain.get(place)).copied().unwrap_or(u32::MAX)
        };
        let links = [neighbour(place.checked_sub(1)), neighbour(Some(place + 1))];
        self.lsn += 10;
        let drawn = leaf(self.space, number, self.lsn, (links, &self.records[&number]));
        let at = usize::try_from(number).unwrap();
        while self.pages.len() <= at {
            self.pages.push(vec![0; PAGE]);
        }
        self.pages[at] = drawn;
    }
}

fn record(key: &mut u64, random: &mut Random) -> Record {
    *key += 1 + random.next() % 9;
    let mut record = [0; BODY];
    record[..8].copy_from_slice(&key.to_be_bytes());
    record[8..16].copy_from_slice(&random.next().to_be_bytes());
    record[16..].copy_from_slice(&random.next().to_be_bytes()[..4]);
    record
}

/// A page as a server lays it out whose records came in the order of their keys.
fn leaf(space: u32, number: u32, lsn: u64, (links, records): ([u32; 2], &[Record])) -> Vec<u8> {
    let mut text = vec![0; PAGE];
    let put = |text: &mut [u8], at: usize, value: usize| {
        let [.., high, low] = u64::try_from(value).unwrap().to_be_bytes();
        text[at..at + 2].copy_from_slice(&[high, low]);
    };
    text[94..107].copy_from_slice(b"\x01\0\x02\0\0infimum\0");
    text[107..120].copy_from_slice(b"\x01\0\x0b\0\0supremum");
    let (mut before, mut slots) = (99, vec![99]);
    for (place, record) in records.iter().enumerate() {
        let at = 125 + RECORD * place;
        put(&mut text, before - 2, at.wrapping_sub(before));
        put(&mut text, at - 4, (place + 2) << 3);
        text[at..at + BODY].copy_from_slice(record);
        if place % 5 == 4 {
            text[at - 5] = 5;
            slots.push(at);
        }
        before = at;
    }
    put(&mut text, before - 2, 112_usize.wrapping_sub(before));
    slots.push(112);
    let mut page = page(space, number, lsn, &text[BODY_AT..PAGE - 8]);
    page[8..12].copy_from_slice(&links[0].to_be_bytes());
    page[12..16].copy_from_slice(&links[1].to_be_bytes());
    page[94..BODY_AT].copy_from_slice(&text[94..BODY_AT]);
    put(&mut page, 38, slots.len());
    put(&mut page, 40, 120 + RECORD * records.len());
    put(&mut page, 42, 0x8000 | (records.len() + 2));
    put(&mut page, 54, records.len());
    page[66..74].copy_from_slice(&71_u64.to_be_bytes());
    for (number, at) in slots.iter().enumerate() {
        put(&mut page, PAGE - 10 - 2 * number, *at);
    }
    change_page(&mut page, lsn, (66, &71_u64.to_be_bytes()));
    page
}
