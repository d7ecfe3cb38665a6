//! The pages above the leaves of a table, whatever they hold, are read to their end, and any leaf
//! is looked up in what was found.

#![no_main]

use haulout::innodb::leaf_starts::LeafStarts;
use haulout::innodb::leaf_starts::TreeBuilder;
use haulout::innodb::node_page::Place;
use haulout::innodb::node_page::node_pointers;
use haulout::innodb::node_page::possible_roots;
use haulout_fuzz::Input;
use haulout_fuzz::u64_of;
use libfuzzer_sys::fuzz_target;

const PAGE: usize = 4096;

fn put(page: &mut [u8], at: usize, value: usize) {
    let [low, high, ..] = u64_of(value).to_le_bytes();
    page[at..at + 2].copy_from_slice(&[high, low]);
}

/// A page of a level whose records have lengths and bytes as the input says.
fn laid_out(input: &mut Input<'_>, level: u8) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[8..16].fill(0xFF);
    put(&mut page, 24, 0x45BF);
    page[94..120].copy_from_slice(b"\x01\0\x02\0\0infimum\0\x01\0\x0b\0\0supremum");
    page[65] = level;
    let (mut before, mut top, mut free) = (99_usize, 120_usize, 46_usize);
    let extra = usize::from(input.byte() % 4);
    for number in 0..usize::from(input.byte()) {
        let key = usize::from(input.byte() % 24) + 1;
        let (at, end) = (top + extra + 5, top + extra + 9 + key);
        if end > PAGE - 200 {
            break;
        }
        put(&mut page, at - 4, (number + 2) << 3 | usize::from(level > 0));
        let bytes = input.bytes(key + 4);
        page[at..at + bytes.len()].copy_from_slice(bytes);
        let (list, first) = match input.byte() {
            0..32 => (&mut free, 46),
            _ => (&mut before, 0),
        };
        let step = if *list == first { at } else { at.wrapping_sub(*list) };
        put(&mut page, *list - 2, step);
        *list = at;
        top = end;
    }
    put(&mut page, before - 2, 112_usize.wrapping_sub(before));
    put(&mut page, 38, 2);
    put(&mut page, 40, top);
    put(&mut page, 42, 0x8000 | 100);
    page
}

/// Changes a few bytes anywhere.
fn damaged(page: &mut [u8], input: &mut Input<'_>) {
    for _ in 0..input.byte() % 8 {
        let at = usize::from(input.byte()) << 8 | usize::from(input.byte());
        let at = at % page.len();
        page[at] ^= input.byte();
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let pages = u32::from(input.byte()) << 8 | u32::from(input.byte());
    let mut tree = TreeBuilder::default();
    for _ in 0..input.byte() % 4 {
        let mut page = laid_out(&mut input, 1);
        damaged(&mut page, &mut input);
        let pointers = node_pointers(&page, pages).unwrap_or_default();
        for pointer in &pointers {
            assert!(pointer.child.get() < pages, "a child is a page of the file");
            assert!(pointer.key.end < page.len(), "a key lies on its page");
        }
        tree.add(&page, &pointers);
    }
    let starts = LeafStarts::new(vec![tree]);
    let mut leaf = laid_out(&mut input, 0);
    damaged(&mut leaf, &mut input);
    if let Some(route) = starts.route(&leaf, None) {
        assert!(!route.parts.is_empty(), "a route leads somewhere");
        assert_eq!(starts.route(&leaf, Some(route.last)), Some(route), "and to the same again");
    }
    let rest = input.rest();
    let _place = Place::of(rest);
    possible_roots(rest);
    node_pointers(rest, u32::MAX);
});
