//! Tests of pages in columns, on the pages that the normal form is tested on.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::innodb::big_endian::put_u16;
use crate::innodb::normal::normalize;
use crate::innodb::normal::tests::any_page;
use crate::innodb::normal::tests::damage;
use crate::innodb::normal::tests::damages;
use crate::innodb::normal::tests::in_order;
use crate::innodb::normal::tests::make;

const SIZE: PageSize = PageSize::KIB_16;

fn columns_of(page: &[u8], size: PageSize) -> (Form, Vec<u8>) {
    let mut out = vec![0xAA];
    let form = gather(page, size, &mut out);
    (form, out.split_off(1))
}

/// Asserts that the bytes come back, or were never changed, and returns the form that they had.
fn there_and_back(block: &[u8], size: PageSize) -> Form {
    let (form, mut out) = columns_of(block, size);
    if form == Form::Normal {
        assert_eq!(spread(&mut out, size), Ok(()));
    }
    assert!(block == out, "{form:?} is not what it was made of");
    form
}

#[test]
fn fields_lie_where_the_table_says() {
    let table = include_str!("../columns.rs");
    assert!(table.contains(&format!("//! | {COUNT_AT} | 2 | ")));
    assert!(table.contains(&format!("//! | {RECORDS_AT} | {HEADER_BYTES} n | headers")));
}

#[test]
fn headers_come_first_and_then_the_bytes_of_records_one_by_one() {
    let made = in_order(100);
    let (form, columns) = columns_of(&made.page, SIZE);
    assert_eq!(form, Form::Normal);
    let mut normal = vec![0; SIZE.bytes()];
    normalize(&made.page, SIZE, &mut normal);
    for (number, origin) in made.origins.iter().enumerate() {
        for column in 0..5 {
            let byte = columns[120 + 100 * column + number];
            assert_eq!(byte, normal[origin - 5 + column], "header {number}");
        }
        // Before the records in columns stands what is before the first one: a byte.
        for column in 0..8 {
            let byte = columns[120 + 500 + 1 + 100 * column + number];
            assert_eq!(byte, made.page[origin + column], "record {number}");
        }
    }
    let (rest, directory) = (made.origins[99] + 8, SIZE.bytes() - 8 - 2 * 22);
    assert_eq!(columns[rest..directory], made.page[rest..directory]);
    assert_eq!(columns[..120], normal[..120]);
    assert_eq!(columns[directory..], normal[directory..]);
}

#[test]
fn every_page_size_length_and_order_comes_back() {
    for shift in 12..=16 {
        let size = PageSize::from_shift(shift).unwrap();
        for stride in [5, 6, 12, 13, 20, 21, 300] {
            let most = (size.bytes() - 400) / (stride + 2);
            for records in [0, 1, 2, 7, 8, 9, most] {
                let mut places: Vec<usize> = (0..records.min(most)).collect();
                places.sort_by_key(|place| (place * 7919) % 104_729);
                let made = make(size, stride, &places, 1);
                assert_eq!(there_and_back(&made.page, size), Form::Normal, "{size} {records}");
            }
        }
    }
}

#[test]
fn records_of_various_lengths_come_back() {
    // Some places are free, so that pieces are two or three times as long.
    let places: Vec<usize> = (0..300).filter(|place| place % 7 > 1 && place % 31 > 0).collect();
    for stride in [7, 13, 31] {
        let made = make(SIZE, stride, &places, 1);
        assert_eq!(there_and_back(&made.page, SIZE), Form::Normal);
    }
}

#[test]
fn a_page_that_lies_about_its_records_is_refused() {
    let made = in_order(100);
    for count in [0, 99, 101, 3252, 3253, 0xFFFF] {
        let mut page = made.page.clone();
        put_u16(&mut page, COUNT_AT, count);
        assert_eq!(there_and_back(&page, SIZE), Form::Refused, "{count}");
    }
    // Origins that are too near, twice the same, or that lead astray.
    for shift in 1..5 {
        let mut page = make(SIZE, 13, &[3], 1).page;
        let at = 126 + 3 * 13;
        put_u16(&mut page, at - 2, shift);
        put_u16(&mut page, COUNT_AT, 2);
        assert_eq!(there_and_back(&page, SIZE), Form::Refused, "{shift}");
    }
    let mut page = made.page.clone();
    put_u16(&mut page, made.origins[50] - 2, 0);
    assert_eq!(there_and_back(&page, SIZE), Form::Refused);
}

#[test]
fn other_pages_are_left_alone() {
    let made = in_order(100);
    let mut undo = made.page.clone();
    put_u16(&mut undo, 24, 2);
    assert_eq!(there_and_back(&undo, SIZE), Form::Plain);
    let size = PageSize::from_shift(11).unwrap();
    assert_eq!(there_and_back(&made.page, size), Form::Plain);
    assert_eq!(spread(&mut made.page.clone(), size), Err(NotNormal));
    let both = [&made.page[..], &undo, &made.page[..77]].concat();
    assert_eq!(there_and_back(&both, SIZE), Form::Normal);
}

#[test]
fn columns_never_change() {
    // They are what repositories hold: every later version has to take them.
    let mut made = make(SIZE, 9, &[4, 0, 1, 2, 9, 3], 0x0102_0304);
    made.page[120] = 0xEE;
    let (_, columns) = columns_of(&made.page, SIZE);
    let expected = concat!(
        "05000000000500ff000000ff20d8000030c8ff000000ff009d2d00368b0d",
        "ee0101010102020202030303030506070901010202030304080000000000"
    );
    let hex = |text: String, byte: &u8| format!("{text}{byte:02x}");
    let found = columns[120..180].iter().fold(String::new(), hex);
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn every_page_comes_back((size, made) in any_page()) {
        prop_assert_eq!(there_and_back(&made.page, size), Form::Normal);
    }

    #[test]
    fn every_damaged_page_comes_back(
        (size, made) in any_page(),
        damages in damages(),
    ) {
        let mut page = made.page.clone();
        damages.iter().for_each(|one| damage(&made, &mut page, *one));
        there_and_back(&page, size);
    }

    #[test]
    fn damage_to_columns_does_no_harm(
        (size, made) in any_page(),
        damages in damages(),
    ) {
        let (_, mut columns) = columns_of(&made.page, size);
        damages.iter().for_each(|one| damage(&made, &mut columns, *one));
        let _refused_or_another = spread(&mut columns, size);
    }

    #[test]
    fn any_bytes_come_back(
        bytes in vec(any::<u8>(), 4096..9000),
        looks_like_one in any::<bool>(),
    ) {
        let size = PageSize::from_shift(12).unwrap();
        let mut bytes = bytes;
        if looks_like_one {
            let head = in_order(3).page;
            for field in [24..26, 38..48, 54..56, 99..107, 112..120] {
                bytes[field.clone()].copy_from_slice(&head[field]);
            }
        }
        there_and_back(&bytes, size);
        let _refused_or_another = spread(&mut bytes, size);
    }
}
