//! Tests of the search on tables of a few pages, whose reads are counted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::ids::EntryNumber;
use crate::base::ids::PackIndex;

use super::*;

const PAGE: usize = 16_384;

fn put(page: &mut [u8], at: usize, value: usize) {
    let [low, high, ..] = u64::try_from(value).unwrap().to_le_bytes();
    page[at..at + 2].copy_from_slice(&[high, low]);
}

/// Lays out a leaf page of records of 13 bytes; a number of 0 is no neighbour.
fn leaf(previous: u16, next: u16, keys: Range<usize>) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    for (at, neighbour) in [(8, previous), (12, next)] {
        put(&mut page, at, if neighbour == 0 { 0xFFFF } else { 0 });
        put(&mut page, at + 2, if neighbour == 0 { 0xFFFF } else { neighbour.into() });
    }
    put(&mut page, 24, 0x45BF);
    page[94..120].copy_from_slice(b"\x01\0\x02\0\0infimum\0\x01\0\x0b\0\0supremum");
    let mut before = 99;
    let records = keys.len();
    for (number, key) in keys.enumerate() {
        let at = 125 + 13 * number;
        put(&mut page, before - 2, at.wrapping_sub(before));
        put(&mut page, at, key >> 8);
        put(&mut page, at + 2, key * 7919);
        put(&mut page, at + 4, key);
        before = at;
    }
    put(&mut page, before - 2, 112_usize.wrapping_sub(before));
    put(&mut page, 38, 2);
    put(&mut page, 40, 120 + 13 * records);
    put(&mut page, 42, 0x8000 | (records + 2));
    put(&mut page, 54, records);
    page
}

fn place(number: u32) -> Locator {
    Locator { pack: PackIndex(1), entry: EntryNumber(number) }
}

/// A table of last night in memory.
#[derive(Default)]
struct Table {
    storage: BTreeMap<u32, Storage>,
    pages: BTreeMap<u32, Vec<u8>>,
    /// Reads that are answered.
    reads_left: Option<usize>,
    reads: RefCell<Vec<Vec<u32>>>,
}

impl Table {
    /// A chain of leaf pages 10, 11, .. with 600 records each.
    fn of(pages: u16) -> Self {
        let mut table = Self::default();
        for number in 0..pages {
            let previous = if number == 0 { 0 } else { 9 + number };
            let next = if number + 1 == pages { 0 } else { 11 + number };
            let keys = usize::from(number) * 600..usize::from(number) * 600 + 600;
            table.store(u32::from(number) + 10, leaf(previous, next, keys));
        }
        table
    }

    fn store(&mut self, number: u32, page: Vec<u8>) {
        self.storage.insert(number, Storage::Whole(place(number)));
        self.pages.insert(number, page);
    }

    fn reads(&self) -> Vec<Vec<u32>> {
        self.reads.borrow().clone()
    }
}

impl FormerPages for Table {
    fn storage(&self, page: PageNumber) -> Option<Storage> {
        self.storage.get(&page.get()).copied()
    }

    fn read(&self, at: &[Locator]) -> Option<Vec<Option<Vec<u8>>>> {
        let mut reads = self.reads.borrow_mut();
        if self.reads_left.is_some_and(|left| reads.len() >= left) {
            return None;
        }
        reads.push(at.iter().map(|at| at.entry.0).collect());
        Some(at.iter().map(|at| self.pages.get(&at.entry.0).cloned()).collect())
    }
}

fn moved(number: u32, page: &[u8]) -> MovedPage {
    MovedPage::of(0, PageNumber::new(number), page).expect("it is an index page")
}

/// Returns the entries of the first and the second base of a page.
fn find(finder: &mut BaseFinder, table: &Table, page: &MovedPage) -> Option<(u32, Option<u32>)> {
    let found = finder.find(std::slice::from_ref(page), table, &|_| None);
    let entry = |base: &Base| base.at.entry.0;
    found.first().map(|found| (entry(&found.first), found.second.as_ref().map(entry)))
}

#[test]
fn a_page_that_was_split_off_finds_the_page_that_was_split() {
    let table = Table::of(4);
    let page = moved(90, &leaf(11, 12, 900..1200));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), Some((11, None)));
    // It has all records: the other neighbour, and what lies beyond, are not read.
    assert_eq!(table.reads(), [[11]]);
}

#[test]
fn records_of_two_pages_have_two_bases() {
    let table = Table::of(4);
    let page = moved(11, &leaf(10, 13, 700..1400));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), Some((11, Some(12))));
}

#[test]
fn what_was_read_is_not_read_again() {
    let table = Table::of(4);
    let mut finder = BaseFinder::default();
    finder.keep(place(11), Arc::new(table.pages[&11].clone()));
    let page = moved(90, &leaf(11, 12, 900..1200));
    assert_eq!(find(&mut finder, &table, &page), Some((11, None)));
    let all = |table: &Table| table.reads().concat();
    assert!(!all(&table).contains(&11), "{:?}", table.reads());
    let before = all(&table).len();
    find(&mut finder, &table, &page);
    assert_eq!(all(&table).len(), before);
}

#[test]
fn a_group_asks_for_what_all_want_with_one_read_a_round() {
    let table = Table::of(40);
    let pages: Vec<MovedPage> = (0..16_u16)
        .map(|n| {
            let key = 600 * usize::from(2 * n) + 300;
            moved(90 + u32::from(n), &leaf(10 + 2 * n, 11 + 2 * n, key..key + 300))
        })
        .collect();
    let found = BaseFinder::default().find(&pages, &table, &|_| None);
    assert_eq!(found.len(), 16);
    assert!(table.reads().len() <= ROUNDS_MAX, "{:?}", table.reads());
    let mut all = table.reads().concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "no page is read twice");
}

#[test]
fn a_refusal_ends_the_searches_with_what_was_found() {
    let mut table = Table::of(4);
    table.reads_left = Some(0);
    let page = moved(90, &leaf(11, 12, 900..1200));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), None);
    assert_eq!(table.reads().len(), 0);
    // One page is at hand, and it is the right one.
    let mut finder = BaseFinder::default();
    finder.keep(place(11), Arc::new(table.pages[&11].clone()));
    assert_eq!(find(&mut finder, &table, &page), Some((11, None)));
    table.reads_left = Some(1);
    let between = moved(91, &leaf(10, 13, 600..1800));
    assert_eq!(find(&mut BaseFinder::default(), &table, &between), None);
    assert_eq!(table.reads().len(), 1);
}

#[test]
fn pages_that_cannot_be_read_are_passed_over() {
    let mut table = Table::of(4);
    table.pages.remove(&11);
    let page = moved(90, &leaf(11, 12, 900..1300));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), Some((12, None)));
    table.storage.clear();
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), None);
}

#[test]
fn both_bases_of_a_page_that_moved_before_are_candidates() {
    let mut table = Table::of(4);
    let delta =
        Storage::Delta { at: place(77), base: place(11), second: Some(place(13)), depth: 1 };
    table.storage.insert(90, delta);
    // Its neighbours are new and unknown, so that nothing else leads to page 13.
    let page = moved(90, &leaf(91, 92, 900..1200));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), Some((11, None)));
    let page = moved(90, &leaf(91, 92, 1900..2200));
    assert_eq!(find(&mut BaseFinder::default(), &table, &page), Some((13, None)));
}

#[test]
fn the_links_of_todays_pages_lead_past_new_ones() {
    let table = Table::of(2);
    let page = moved(90, &leaf(91, 92, 300..600));
    let today = |number: PageNumber| match number.get() {
        91 => Links::of(&leaf(10, 90, 0..1)),
        92 => Links::of(&leaf(90, 11, 0..1)),
        _ => None,
    };
    let found = BaseFinder::default().find(&[page], &table, &today);
    assert_eq!(found.first().map(|found| found.first.at), Some(place(10)));
}

#[test]
fn only_index_pages_with_records_are_searched_for() {
    let number = PageNumber::new(5);
    assert!(MovedPage::of(0, number, &[0; PAGE]).is_none());
    assert!(MovedPage::of(0, number, &leaf(3, 4, 0..0)).is_none());
    assert!(MovedPage::of(0, number, &leaf(3, 4, 0..1)).is_some());
}

#[test]
fn searches_in_vain_are_left_out_but_for_a_few() {
    let mut finder = BaseFinder::default();
    let tried = |finder: &mut BaseFinder, member, stored| {
        let is_worth = finder.is_worth(member);
        if is_worth {
            finder.record(16, stored);
        }
        usize::from(is_worth)
    };
    let of_rebuilt: usize = (0..100).map(|_| tried(&mut finder, 1, 0)).sum();
    assert_eq!(of_rebuilt, 4 + 96 / 8);
    // Another table is another matter, and so is one of which pages are found again.
    assert_eq!((0..4).map(|_| tried(&mut finder, 2, 0)).sum::<usize>(), 4);
    let until_found = (0..100).take_while(|_| tried(&mut finder, 2, 1) == 0).count();
    assert_eq!(until_found, 7);
    assert_eq!((0..50).map(|_| tried(&mut finder, 2, 1)).sum::<usize>(), 50);
}
