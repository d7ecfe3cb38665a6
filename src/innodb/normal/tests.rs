//! Tests of the normal form, on pages laid out as a server does and on damaged ones.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SIZE: PageSize = PageSize::KIB_16;

/// A page as a server lays it out, and where its records are.
#[derive(Clone, Debug)]
pub(in crate::innodb) struct Made {
    pub(in crate::innodb) page: Vec<u8>,
    /// Origins in key order, without infimum and supremum.
    pub(in crate::innodb) origins: Vec<usize>,
}

/// Lays out a page whose records have `stride` bytes and stand in these places of the heap, in key
/// order. Their bodies are made from `first_key` on.
pub(in crate::innodb) fn make(
    size: PageSize,
    stride: usize,
    places: &[usize],
    first_key: u32,
) -> Made {
    let mut page = vec![0; size.bytes()];
    put_u16(&mut page, 24, 0x45BF);
    put_u16(&mut page, 42, 0x8000 | u16::try_from(places.len() + 2).unwrap());
    put_u16(&mut page, 54, u16::try_from(places.len()).unwrap());
    page[94..107].copy_from_slice(b"\x01\0\x02\0\0infimum\0");
    page[107..120].copy_from_slice(b"\x05\0\x0b\0\0supremum");
    let mut slots = vec![99];
    let mut before = 99;
    let mut origins = Vec::new();
    for (key, place) in (first_key..).zip(places) {
        let at = 126 + place * stride;
        put_step(&mut page, before, at);
        put_u16(&mut page, at - 4, u16::try_from(place + 2).unwrap() << 3);
        let body = (stride - HEADER_BYTES).min(4);
        let mut bytes = [0; 4];
        put_u32(&mut bytes, 0, key);
        page[at..at + body].copy_from_slice(&bytes[4 - body..]);
        if key % 5 == 0 {
            page[at - 5] = 5;
            slots.push(at);
        }
        origins.push(at);
        before = at;
    }
    put_step(&mut page, before, 112);
    slots.push(112);
    put_u16(&mut page, 38, u16::try_from(slots.len()).unwrap());
    let end = page.len() - 8;
    for (number, slot) in (1..).zip(slots) {
        put_u16(&mut page, end - 2 * number, u16::try_from(slot).unwrap());
    }
    Made { page, origins }
}

pub(in crate::innodb) fn in_order(records: usize) -> Made {
    make(SIZE, 13, &(0..records).collect::<Vec<_>>(), 0)
}

/// Lets the record with origin `from` be followed by one at `to`.
fn put_step(page: &mut [u8], from: usize, to: usize) {
    let step = u16::try_from(to.wrapping_sub(from) & 0xFFFF).unwrap();
    put_u16(page, from - 2, step);
}

fn normal_of(page: &[u8], size: PageSize) -> (Form, Vec<u8>) {
    let mut out = vec![0xAA; page.len()];
    let form = normalize(page, size, &mut out);
    (form, out)
}

/// Asserts that the bytes come back, or were never changed, and returns the form that they had.
fn there_and_back(block: &[u8], size: PageSize) -> Form {
    let (form, mut out) = normal_of(block, size);
    if form == Form::Normal {
        assert_eq!(restore(&mut out, size), Ok(()));
    }
    assert!(block == out, "{form:?} is not what it was made of");
    form
}

fn headers(made: &Made, page: &[u8]) -> Vec<[u8; 5]> {
    made.origins.iter().map(|at| *page[at - 5..].first_chunk().unwrap()).collect()
}

#[test]
fn fields_lie_where_the_table_says() {
    let table = include_str!("../normal.rs");
    for (at, bytes) in [(24, 2), (SLOTS_AT, 2), (HEAP_RECORDS_AT, 2), (94, 13), (107, 13)] {
        assert!(table.contains(&format!("//! | {at} | {bytes} | ")), "{at}");
    }
    assert!(table.contains(&format!("//! | {RECORDS_AT} | | records")));
}

#[test]
fn records_in_key_order_have_no_differences() {
    let made = in_order(100);
    let (form, normal) = normal_of(&made.page, SIZE);
    assert_eq!(form, Form::Normal);
    let last = made.origins[99];
    let mut expected: Vec<_> =
        made.origins.iter().map(|at| [made.page[at - 5], 0, 0, 0, 0]).collect();
    // From the infimum to the first record it is 14 further than from there to the second.
    put_u16(&mut expected[0], 3, 0xFFF2);
    let step = u16::try_from(112 + 0x1_0000 - last - 13).unwrap();
    put_u16(&mut expected[99], 3, step);
    assert_eq!(headers(&made, &normal), expected);
    // 20 records own others.
    assert_eq!(normal[SIZE.bytes() - 8 - 2 * 22..SIZE.bytes() - 8], [0; 44]);
}

#[test]
fn nothing_else_is_changed() {
    let made = in_order(100);
    let (_, normal) = normal_of(&made.page, SIZE);
    let changed = |at: &usize| made.page[*at] != normal[*at];
    let is_number =
        |at: &usize| made.origins.iter().any(|origin| (origin - 4..*origin).contains(at));
    let directory = SIZE.bytes() - 8 - 2 * 22..SIZE.bytes() - 8;
    let others = (0..SIZE.bytes()).filter(changed).filter(|at| !is_number(at));
    assert!(others.into_iter().all(|at| directory.contains(&at)));
}

#[test]
fn records_that_move_to_another_page_keep_their_bytes() {
    let from = in_order(200);
    // The second half, to the places of records that were deleted there.
    let places: Vec<usize> = (300..400).collect();
    let to = make(SIZE, 13, &places, 100);
    let (_, before) = normal_of(&from.page, SIZE);
    let (_, after) = normal_of(&to.page, SIZE);
    let bytes = |made: &Made, page: &[u8], records: Range<usize>| {
        let first = made.origins[records.start] - 5;
        page[first..made.origins[records.end - 1] - 5].to_vec()
    };
    assert_eq!(bytes(&from, &before, 101..200), bytes(&to, &after, 1..100));
    assert_ne!(bytes(&from, &from.page, 101..200), bytes(&to, &to.page, 1..100));
}

#[test]
fn every_page_size_and_order_comes_back() {
    for shift in 12..=16 {
        let size = PageSize::from_shift(shift).unwrap();
        let most = (size.bytes() - 400) / 15;
        for records in [0, 1, 2, 100, most] {
            let mut places: Vec<usize> = (0..records).collect();
            places.sort_by_key(|place| (place * 7919) % 104_729);
            let made = make(size, 13, &places, 1);
            assert_eq!(there_and_back(&made.page, size), Form::Normal, "{size} {records}");
        }
    }
}

#[test]
fn the_shortest_records_touch_and_come_back() {
    let places: Vec<usize> = (0..200).collect();
    let made = make(SIZE, 7, &places, 1);
    assert_eq!(there_and_back(&made.page, SIZE), Form::Normal);
    // A record of no bytes at all exists nowhere; but headers that touch do not overlap.
    let made = make(SIZE, 5, &[0, 9, 18], 1);
    let mut page = made.page;
    let (last, next) = (made.origins[2], made.origins[2] + 5);
    put_step(&mut page, last, next);
    put_step(&mut page, next, 112);
    assert_eq!(there_and_back(&page, SIZE), Form::Normal);
}

#[test]
fn records_whose_headers_overlap_are_refused() {
    for shift in (1..5).flat_map(|shift: usize| [shift, shift.wrapping_neg()]) {
        // A page of one record, followed by one that begins within its header or its body.
        let made = make(SIZE, 13, &[3], 1);
        let at = made.origins[0];
        let inside = at.wrapping_add(shift);
        let mut page = made.page.clone();
        put_step(&mut page, inside, 112);
        put_step(&mut page, at, inside);
        let step = u16_at(&page, inside - 2);
        // If the two distances share bytes, the second leads elsewhere, which is refused too.
        let form = there_and_back(&page, SIZE);
        assert_eq!(form, Form::Refused, "{inside} is {shift} from {at}, step {step}");
    }
}

#[test]
fn a_walk_that_goes_astray_is_refused() {
    let made = in_order(100);
    let (at, end) = (made.origins[50], SIZE.bytes());
    let directory = end - 8 - 2 * 22;
    let targets =
        [0, 38, 99, 107, 124, directory + 1, end - 8, end - 1, end, 40_000, made.origins[10], at];
    for to in targets {
        let mut page = made.page.clone();
        put_step(&mut page, at, to);
        assert_eq!(there_and_back(&page, SIZE), Form::Refused, "to {to}");
    }
    // Right at the supremum, but too early for the directory.
    let mut page = made.page.clone();
    put_step(&mut page, at, 112);
    assert_eq!(there_and_back(&page, SIZE), Form::Refused);
}

#[test]
fn a_directory_that_lies_is_refused() {
    let made = in_order(100);
    for slots in [2, 21, 23, 1024] {
        let mut page = made.page.clone();
        put_u16(&mut page, 38, slots);
        assert_eq!(there_and_back(&page, SIZE), Form::Refused, "{slots}");
    }
    // Wrong slots are no reason: they come back as they are.
    let mut page = made.page.clone();
    page[SIZE.bytes() - 52..SIZE.bytes() - 8].fill(0x5A);
    assert_eq!(there_and_back(&page, SIZE), Form::Normal);
}

#[test]
fn counts_and_heap_numbers_may_be_wrong() {
    let made = in_order(100);
    let mut page = made.page.clone();
    put_u16(&mut page, 54, 7);
    put_u16(&mut page, 42, 0xFFFF);
    for at in &made.origins {
        put_u16(&mut page, at - 4, 0xFFFF);
    }
    assert_eq!(there_and_back(&page, SIZE), Form::Normal);
}

#[test]
fn other_pages_are_left_alone() {
    let made = in_order(100);
    let changes: [(usize, u16); 7] =
        [(24, 0x45BE), (24, 0x0002), (42, 102), (38, 1), (38, 1025), (99, 0x696F), (118, 0x756E)];
    for (at, value) in changes {
        let mut page = made.page.clone();
        put_u16(&mut page, at, value);
        assert_eq!(there_and_back(&page, SIZE), Form::Plain, "{at}");
    }
    for shift in [10, 11] {
        let size = PageSize::from_shift(shift).unwrap();
        assert_eq!(normal_of(&made.page, size).0, Form::Plain);
        assert_eq!(restore(&mut made.page.clone(), size), Err(NotNormal));
    }
}

#[test]
fn a_block_is_in_normal_form_as_a_whole_or_not_at_all() {
    let size = PageSize::from_shift(12).unwrap();
    let places: Vec<usize> = (0..100).collect();
    let good = make(size, 13, &places, 1).page;
    let mut bad = good.clone();
    put_u16(&mut bad, 97, 0);
    let other = vec![7; size.bytes()];
    let cases = [
        ([&good, &good, &good, &good], Form::Normal),
        ([&good, &other, &good, &other], Form::Normal),
        ([&other, &other, &other, &other], Form::Plain),
        ([&good, &good, &bad, &good], Form::Refused),
    ];
    for (pages, form) in cases {
        let block: Vec<u8> = pages.into_iter().flatten().copied().collect();
        assert_eq!(there_and_back(&block, size), form);
        // The end of a file that was cut within a page.
        assert_eq!(there_and_back(&block[..3 * size.bytes() + 77], size), form);
    }
    assert_eq!(there_and_back(&good[..100], size), Form::Plain);
}

#[test]
fn the_normal_form_never_changes() {
    // It is what repositories hold: every later version has to take it.
    let made = make(SIZE, 20, &[4, 0, 1, 2, 9, 3], 3);
    let (_, normal) = normal_of(&made.page, SIZE);
    let expected = [
        [0x00, 0x00, 0x20, 0xFF, 0x45],
        [0x00, 0xFF, 0xD8, 0x00, 0x64],
        [0x05, 0x00, 0x00, 0x00, 0x00],
        [0x00, 0x00, 0x00, 0x00, 0x78],
        [0x00, 0x00, 0x30, 0xFE, 0xFC],
        [0x00, 0xFF, 0xC8, 0x00, 0x2E],
    ];
    assert_eq!(headers(&made, &normal), expected);
    assert_eq!(normal[SIZE.bytes() - 14..SIZE.bytes() - 8], [0; 6]);
}

/// A change to a page, by a place and a value that mean something different for each kind.
#[derive(Clone, Copy, Debug)]
pub(in crate::innodb) struct Damage {
    kind: u8,
    place: usize,
    value: u16,
}

pub(in crate::innodb) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = any::<(u8, usize, u16)>();
    vec(damage.prop_map(|(kind, place, value)| Damage { kind, place, value }), 1..6)
}

pub(in crate::innodb) fn damage(
    made: &Made,
    page: &mut [u8],
    Damage { kind, place, value }: Damage,
) {
    let origin = |number: usize| match made.origins.get(number % (made.origins.len() + 1)) {
        Some(at) => *at,
        None => 99,
    };
    let slots = usize::from(u16_at(&made.page, 38));
    let [byte, near] = value.to_le_bytes();
    match kind % 6 {
        0 => page[place % made.page.len()] = byte,
        1 => page[place % made.page.len()] ^= 1 << (byte % 8),
        2 => page[origin(place) - 1 - usize::from(near % 5)] = byte,
        3 => {
            let to = origin(usize::from(value)) + usize::from(near % 13);
            put_step(page, origin(place), to.saturating_sub(6));
        }
        4 => {
            let at = made.page.len() - 8 - 1 - place % (2 * slots);
            page[at] = byte;
        }
        _ => {
            let from = place % made.page.len();
            let to = made.page.len().min(from + usize::from(near));
            page[from..to].fill(byte);
        }
    }
}

pub(in crate::innodb) fn any_page() -> impl Strategy<Value = (PageSize, Made)> {
    (12_u8..=16, 7_usize..300, any::<(u16, u64, u32)>()).prop_map(|(shift, stride, seeds)| {
        let size = PageSize::from_shift(shift).unwrap();
        let room = (size.bytes() - 400) / (stride + 2);
        let records = usize::from(seeds.0) % (room + 1);
        let mut places: Vec<usize> = (0..room).collect();
        // Some have moved, and some places are free.
        let mut state = seeds.1;
        for at in 0..usize::from(state.to_le_bytes()[0]) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(state >> 40).unwrap() % room.max(1);
            if room > 0 {
                places.swap(at % room, other);
            }
        }
        places.truncate(records);
        (size, make(size, stride, &places, seeds.2 % 1000))
    })
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
    fn damage_to_a_normal_form_does_no_harm(
        (size, made) in any_page(),
        damages in damages(),
    ) {
        let (_, mut normal) = normal_of(&made.page, size);
        damages.iter().for_each(|one| damage(&made, &mut normal, *one));
        let _refused_or_another = restore(&mut normal, size);
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
            bytes[24..26].copy_from_slice(&head[24..26]);
            bytes[38..48].copy_from_slice(&head[38..48]);
            bytes[99..107].copy_from_slice(&head[99..107]);
            bytes[112..120].copy_from_slice(&head[112..120]);
        }
        there_and_back(&bytes, size);
        let _refused_or_another = restore(&mut bytes, size);
    }
}
