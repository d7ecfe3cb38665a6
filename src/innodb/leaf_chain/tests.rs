//! Tests of the search along leaf chains and of the ranking, on chains of a few pages.

use std::collections::HashMap;
use std::ops::Range;

use super::*;
use crate::innodb::big_endian::put_u16;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::put_u64;

const INDEX: u64 = 0x0102_0304_0506_0708;

/// Lays out a chain of pages, of which each is the next one of the one before.
fn chain(numbers: &[u32]) -> HashMap<PageNumber, Links> {
    let at = |place: Option<usize>| Some(PageNumber::new(*numbers.get(place?)?));
    let links = |(place, number): (usize, &u32)| {
        let (previous, next) = (at(place.checked_sub(1)), at(Some(place + 1)));
        (PageNumber::new(*number), Links { previous, next, level: 0, index: INDEX })
    };
    numbers.iter().enumerate().map(links).collect()
}

/// Searches for bases of a page; says what was found and in how many rounds.
fn search(
    number: u32,
    former: &HashMap<PageNumber, Links>,
    today: &HashMap<PageNumber, Links>,
) -> (Vec<u32>, usize) {
    let number = PageNumber::new(number);
    let mut search = Search::new(number, today[&number]);
    let mut rounds = 0;
    loop {
        let wanted = search.wanted();
        if wanted.is_empty() {
            break;
        }
        assert!(wanted.len() <= 2, "{wanted:?}");
        rounds += 1;
        search.take(|at| former.get(&at).copied(), |at| today.get(&at).copied());
    }
    assert!(rounds <= ROUNDS_MAX, "{rounds}");
    (search.found().iter().map(|number| number.get()).collect(), rounds)
}

#[test]
fn links_are_read_from_their_fields() {
    let mut page = vec![0; 4096];
    put_u16(&mut page, 24, 0x45BF);
    put_u32(&mut page, 8, 7);
    put_u32(&mut page, 12, u32::MAX);
    put_u16(&mut page, 64, 3);
    put_u64(&mut page, 66, INDEX);
    let links = Links { previous: Some(PageNumber::new(7)), next: None, level: 3, index: INDEX };
    assert_eq!(Links::of(&page), Some(links));
    assert_eq!(Links::of(&page[..73]), None);
    page[25] = 0;
    assert_eq!(Links::of(&page), None);
}

#[test]
fn a_page_that_was_split_off_finds_the_page_that_was_split() {
    let former = chain(&[10, 11, 12, 13]);
    let today = chain(&[10, 11, 90, 12, 13]);
    assert_eq!(search(90, &former, &today).0, [11, 12, 13, 10]);
}

#[test]
fn records_that_moved_to_another_page_are_found_between_the_neighbours() {
    // Page 11 was freed, and its records are on 90, between the same neighbours.
    let former = chain(&[9, 10, 11, 12, 13]);
    let today = chain(&[9, 10, 90, 12, 13]);
    assert_eq!(search(90, &former, &today).0, [10, 11, 12]);
}

#[test]
fn a_page_that_was_there_is_its_own_first_candidate() {
    let former = chain(&[10, 11, 12]);
    assert_eq!(search(11, &former, &former).0, [11, 10, 12]);
    let alone = chain(&[5]);
    assert_eq!(search(5, &alone, &alone), (vec![5], 1));
}

#[test]
fn new_neighbours_are_passed_over_as_far_as_their_links_are_known() {
    let former = chain(&[10, 11]);
    let today = chain(&[10, 90, 91, 92, 93, 11]);
    assert_eq!(search(92, &former, &today).0, [11, 10]);
    let unknown: HashMap<_, _> = today
        .iter()
        .filter(|(number, _)| number.get() == 92)
        .map(|(number, links)| (*number, *links))
        .collect();
    assert_eq!(search(92, &former, &unknown), (vec![], 2));
    let many: Vec<u32> = (10..60).collect();
    assert_eq!(search(30, &chain(&[10, 59]), &chain(&many)).0, [0; 0]);
}

#[test]
fn a_page_between_new_neighbours_goes_by_its_own_links_of_last_night() {
    let former = chain(&[10, 11, 12]);
    let today = HashMap::from([(PageNumber::new(11), chain(&[90, 11, 91])[&PageNumber::new(11)])]);
    assert_eq!(search(11, &former, &today), (vec![11, 10, 12], 4));
}

#[test]
fn pages_of_another_index_or_level_are_no_candidates() {
    let mut former = chain(&[10, 11, 12, 13]);
    let today = chain(&[10, 11, 90, 12, 13]);
    former.get_mut(&PageNumber::new(11)).unwrap().index += 1;
    former.get_mut(&PageNumber::new(12)).unwrap().level += 1;
    assert_eq!(search(90, &former, &today).0, [10, 13, 11, 12][..2]);
}

#[test]
fn links_that_run_in_a_circle_end_the_search() {
    let mut circle = chain(&[10, 11, 12]);
    for links in circle.values_mut() {
        links.previous = Some(PageNumber::new(11));
        links.next = Some(PageNumber::new(11));
    }
    assert_eq!(search(11, &circle, &circle).0, [11]);
    assert_eq!(search(11, &HashMap::new(), &circle).0, [0; 0]);
}

/// Lays out a page with a record of 13 bytes for each key.
fn page(keys: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut page = vec![0; 16_384];
    put_u16(&mut page, 24, 0x45BF);
    page[94..120].copy_from_slice(b"\x01\0\x02\0\0infimum\0\x01\0\x0b\0\0supremum");
    let mut before: u16 = 99;
    let mut records = 0;
    for key in keys {
        let at: u16 = 125 + 13 * records;
        put_u16(&mut page, usize::from(before) - 2, at.wrapping_sub(before));
        put_u64(&mut page, usize::from(at), u64::from(key) << 32 | u64::from(key));
        (before, records) = (at, records + 1);
    }
    put_u16(&mut page, usize::from(before) - 2, 112_u16.wrapping_sub(before));
    put_u16(&mut page, 38, 2);
    put_u16(&mut page, 40, 120 + 13 * records);
    put_u16(&mut page, 42, 0x8000 | (records + 2));
    put_u16(&mut page, 54, records);
    page
}

#[test]
fn a_sample_counts_the_records_that_stand_on_a_page() {
    let new = page(1000..2000);
    let sample = Sample::of(&new).expect("an index page has a sample");
    assert_eq!(sample.len(), 16);
    let on = |keys: Range<u32>| sample.on(&page(keys)).count_ones();
    assert_eq!(on(1000..2000), 16);
    assert_eq!(on(1500..2500), 8);
    assert_eq!(on(0..1250), 4);
    assert_eq!(on(0..1000), 0);
    assert_eq!(sample.on(&[0; 16_384]), 0);
    assert!(Sample::of(&[0; 16_384]).is_none());
}

#[test]
fn small_pages_are_sampled_more_closely() {
    for (records, sampled) in [(1, 1), (20, 20), (100, 17), (600, 16), (1200, 19)] {
        let sample = Sample::of(&page(0..records)).expect("an index page has a sample");
        assert_eq!(sample.len(), sampled, "{records}");
        assert_eq!(sample.on(&page(0..records)).count_ones(), u32::try_from(sampled).unwrap());
    }
}

#[test]
fn the_second_base_is_the_one_that_has_what_the_first_lacks() {
    let ranked = |candidate, records| Some(Ranked { candidate, records });
    assert_eq!(best(&[0b0011, 0b0111, 0b1100, 0b0111]), (ranked(1, 0b0111), ranked(2, 0b1100)));
    assert_eq!(best(&[0b11, 0b11]), (ranked(0, 0b11), None));
    assert_eq!(best(&[0, 0]), (None, None));
    assert_eq!(best(&[]), (None, None));
}
