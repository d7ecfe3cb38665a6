//! Tests of reading node pointers, on pages laid out as a server does and on damaged ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::innodb::tree_pages::TreePage;
use crate::innodb::tree_pages::inodes;
use crate::innodb::tree_pages::key;
use crate::innodb::tree_pages::pointer;

const PAGES: u32 = 5000;

/// Children of 200 pointers, in no order of their numbers.
fn children() -> Vec<u32> {
    (0..200).map(|number| 3 + number * 1777 % 4000).collect()
}

/// Returns the children of a page, and its keys.
fn read(page: &[u8]) -> Option<(Vec<u32>, Vec<Vec<u8>>)> {
    let pointers = node_pointers(page, PAGES)?;
    let keys = pointers.iter().map(|pointer| page[pointer.key.clone()].to_vec());
    Some((pointers.iter().map(|pointer| pointer.child.get()).collect(), keys.collect()))
}

fn of_keys(keys: &[Vec<u8>]) -> TreePage {
    let records = keys.iter().zip(children()).map(|(key, child)| pointer(key, child));
    TreePage::new(1, 7, records.collect())
}

#[test]
fn keys_of_one_length_are_read_whatever_is_deleted() {
    let keys: Vec<Vec<u8>> = (0..200).map(|number| key(number * 5)).collect();
    for (extra, deleted) in [
        (0, vec![]),
        (1, vec![]),
        (0, vec![199]),
        (2, vec![0, 7, 8, 199]),
        (0, (0..200).filter(|number| number % 3 > 0).collect()),
    ] {
        let page = TreePage { extra, deleted: deleted.clone(), ..of_keys(&keys) };
        let (found, found_keys) = read(&page.draw()).expect("it is a page of pointers");
        let is_live = |number: &usize| !deleted.contains(number);
        let live: Vec<usize> = (0..200).filter(is_live).collect();
        let expected: Vec<u32> = live.iter().map(|number| children()[*number]).collect();
        assert_eq!(found, expected, "{extra} {deleted:?}");
        assert!(found_keys.iter().eq(live.iter().map(|number| &keys[*number])), "{extra}");
    }
}

#[test]
fn keys_of_various_lengths_are_read() {
    let text = |number: u32| vec![b'a'; usize::try_from(number % 37).unwrap()];
    let keys: Vec<Vec<u8>> =
        (0..200).map(|number| [key(number), text(number * 7)].concat()).collect();
    for extra in [1, 2, 3] {
        let page = TreePage { extra, deleted: vec![4, 70, 71], ..of_keys(&keys) };
        let (found, found_keys) = read(&page.draw()).expect("it is a page of pointers");
        assert_eq!(found.len(), 197, "{extra}");
        assert!(found_keys.iter().all(|key| keys.contains(key)), "{extra}");
    }
}

#[test]
fn children_that_cannot_be_are_left_out() {
    let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
    let mut page = of_keys(&keys);
    page.records[3] = pointer(&keys[3], PAGES);
    page.records[4] = pointer(&keys[4], 2);
    page.records[5] = pointer(&keys[5], children()[6]);
    let (found, _) = read(&page.draw()).expect("most make sense");
    let expected = [&children()[..3], &children()[7..]].concat();
    assert_eq!(found, expected);
}

#[test]
fn other_pages_have_no_pointers() {
    let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
    let page = of_keys(&keys);
    assert_eq!(read(&TreePage { level: 0, ..page.clone() }.draw()), None);
    assert_eq!(read(&TreePage { records: Vec::new(), ..page.clone() }.draw()), None);
    let mut drawn = page.draw();
    // The children are pages of a larger file.
    assert_eq!(node_pointers(&drawn, 3), None);
    drawn[24..26].copy_from_slice(&INSTANT.to_le_bytes().map(u8::swap_bytes));
    drawn[24..26].reverse();
    assert!(read(&drawn).is_some(), "the root of a table with columns added at once");
    drawn[25] = 2;
    assert_eq!(read(&drawn), None);
    assert_eq!(read(&[]), None);
    assert_eq!(read(&page.draw()[..4000]), None);
}

#[test]
fn roots_are_the_first_pages_of_segments() {
    let page = inodes(&[3, 40, 4, u32::MAX, 0, 2]);
    let found: Vec<u32> = possible_roots(&page).iter().map(|number| number.get()).collect();
    assert_eq!(found, [3, 40, 4, u32::MAX]);
    assert_eq!(possible_roots(&page[..49]), []);
    assert_eq!(possible_roots(&[]), []);
    let place = |level, neighbours| {
        let page = TreePage { neighbours, ..TreePage::new(level, 7, vec![key(1)]) };
        Place::of(&page.draw()).expect("it is an index page")
    };
    assert!(place(1, [None; 2]).is_root_above_others());
    assert!(!place(0, [None; 2]).is_root_above_others());
    assert!(!place(1, [None, Some(9)]).is_root_above_others());
}

proptest! {
    #[test]
    fn no_bytes_do_harm(damage in vec((0..600_usize, any::<u8>()), 0..40), extra in 0..9_usize) {
        let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
        let mut page = TreePage { extra, deleted: vec![3, 9], ..of_keys(&keys) }.draw();
        for (at, byte) in damage {
            page[at] = byte;
        }
        for pointer in node_pointers(&page, PAGES).unwrap_or_default() {
            prop_assert!(pointer.key.start < pointer.key.end && pointer.key.end < page.len());
            prop_assert!((3..PAGES).contains(&pointer.child.get()));
        }
        possible_roots(&page);
    }
}
