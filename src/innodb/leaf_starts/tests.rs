//! Tests of the way from a leaf to the former ones, on indexes of a few leaves.

use std::ops::Range;

use super::*;
use crate::innodb::node_page::node_pointers;
use crate::innodb::tree_pages::TreePage;
use crate::innodb::tree_pages::key;
use crate::innodb::tree_pages::pointer;

/// An index whose leaves begin with these keys; they are pages 100, 101 and so on.
fn tree(keys: impl Iterator<Item = Vec<u8>>) -> TreeBuilder {
    let records = keys.zip(100..).map(|(key, child)| pointer(&key, child)).collect();
    let page = TreePage::new(1, 7, records).draw();
    let mut tree = TreeBuilder::default();
    tree.add(&page, &node_pointers(&page, 1000).expect("it is a page of pointers"));
    tree
}

/// The leaves of an index with ten keys each.
fn tens() -> TreeBuilder {
    tree((0..50).map(|leaf| key(leaf * 10)))
}

/// A leaf with records of these keys.
fn leaf(keys: Range<u32>) -> Vec<u8> {
    TreePage::new(0, 9, keys.map(|number| [key(number), vec![3; 9]].concat()).collect()).draw()
}

fn parts(route: Option<Route>) -> Vec<(u32, u32)> {
    let parts = route.map(|route| route.parts).unwrap_or_default();
    parts.iter().map(|(page, records)| (page.get(), *records)).collect()
}

#[test]
fn a_leaf_has_the_records_of_former_ones_in_order() {
    let starts = LeafStarts::new(vec![tens()]);
    assert_eq!(starts.len(), 50);
    for (keys, expected) in [
        (0..10, vec![(100, 10)]),
        (20..45, vec![(102, 10), (103, 10), (104, 5)]),
        (27..33, vec![(102, 3), (103, 3)]),
        (495..520, vec![]),
        (31..39, vec![]),
    ] {
        assert_eq!(parts(starts.route(&leaf(keys.clone()), None)), expected, "{keys:?}");
    }
}

#[test]
fn leaves_whose_first_record_is_gone_share_what_lies_between() {
    let starts = LeafStarts::new(vec![tens()]);
    let records = [20, 21, 24, 25, 28, 29, 31, 33, 40].map(|number| [key(number), key(0)].concat());
    let page = TreePage::new(0, 9, records.to_vec()).draw();
    assert_eq!(parts(starts.route(&page, None)), [(102, 4), (103, 4), (104, 1)]);
    // Between leaves that are far from each other there is nothing to be known.
    let records = [20, 21, 22, 480].map(|number| [key(number), key(0)].concat());
    let page = TreePage::new(0, 9, records.to_vec()).draw();
    assert_eq!(parts(starts.route(&page, None)), [(102, 3), (148, 1)]);
    // Nor if they stand in another order.
    let records = [80, 81, 20, 21].map(|number| [key(number), key(0)].concat());
    let page = TreePage::new(0, 9, records.to_vec()).draw();
    assert_eq!(parts(starts.route(&page, None)), [(108, 2), (102, 2)]);
}

#[test]
fn the_index_with_the_longest_keys_wins() {
    // The first column of another index has the numbers that are the keys of this one.
    let others = tree((0..50).map(|leaf| [key(leaf * 40), key(leaf)].concat()));
    let starts = LeafStarts::new(vec![tens(), others]);
    let records = (80..130).map(|number| [key(number), key(number / 40)].concat());
    let page = TreePage::new(0, 9, records.collect()).draw();
    let route = starts.route(&page, None);
    assert_eq!(parts(route.clone()), [(102, 40), (103, 10)]);
    let known = route.map(|route| route.last);
    // A leaf of it on which none begins is not looked for in the other.
    let records = (81..110).map(|number| [key(number), key(number / 40)].concat());
    let page = TreePage::new(0, 9, records.collect()).draw();
    assert_eq!(parts(starts.route(&page, known)), []);
    assert_eq!(parts(starts.inside(known.expect("it is known"))), [(103, 1)]);
    assert_eq!(parts(starts.route(&leaf(30..40), None)), [(103, 10)]);
}

#[test]
fn of_indexes_with_keys_of_one_length_that_with_most_leaves_wins() {
    let others = tree((0..50).map(|leaf| key(leaf * 50)));
    let starts = LeafStarts::new(vec![others, tens()]);
    assert_eq!(parts(starts.route(&leaf(50..70), None)), [(105, 10), (106, 10)]);
}

#[test]
fn short_keys_among_long_ones_are_not_looked_for() {
    let long = |leaf: u32| [key(leaf * 10), vec![9; if leaf == 3 { 0 } else { 6 }]].concat();
    let starts = LeafStarts::new(vec![tree((0..50).map(long))]);
    let records = (20..50).map(|number| [key(number), vec![9; 6]].concat());
    let page = TreePage::new(0, 9, records.collect()).draw();
    assert_eq!(parts(starts.route(&page, None)), [(102, 10), (103, 10), (104, 10)]);
}

#[test]
fn other_pages_lead_nowhere() {
    let starts = LeafStarts::new(vec![tens(), TreeBuilder::default()]);
    for page in [vec![], vec![0; 16_384], leaf(0..0)] {
        assert_eq!(parts(starts.route(&page, None)), []);
    }
    let none = LeafStarts::new(Vec::new());
    assert!(none.is_empty());
    assert_eq!(parts(none.route(&leaf(0..10), None)), []);
}
