//! Tests of the way down a former table's trees, and of the routes of blocks.

#![expect(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::*;
use crate::innodb::tree_pages::TreePage;
use crate::innodb::tree_pages::inodes;
use crate::innodb::tree_pages::key;
use crate::innodb::tree_pages::pointer;

/// A table as it was, in memory.
#[derive(Default)]
struct Table {
    pages: BTreeMap<u32, Vec<u8>>,
    /// Reads that are answered.
    reads_left: Option<usize>,
    reads: RefCell<Vec<u32>>,
    calls: RefCell<usize>,
}

/// The root of the table, the first page above its leaves, and its first leaf.
const ROOT: u32 = 3;
const NODE: u32 = 10;
const LEAF: u32 = 100;
/// Leaves that a page above them names.
const NAMED: u32 = 20;

impl Table {
    /// A table of 200 leaves with ten keys each, and three levels.
    fn new() -> Self {
        let mut table = Self::default();
        table.pages.insert(2, inodes(&[ROOT, LEAF]));
        let nodes = (0..10).map(|node| pointer(&key(node * NAMED * 10), NODE + node));
        table.pages.insert(ROOT, TreePage::new(2, 7, nodes.collect()).draw());
        (0..10).for_each(|node| table.node(node, TreePage::new(1, 7, Self::leaves(node))));
        for leaf in 0..200 {
            table.pages.insert(LEAF + leaf, new_leaf([None; 2], leaf * 10..leaf * 10 + 10));
        }
        table
    }

    fn leaves(node: u32) -> Vec<Vec<u8>> {
        let leaves = node * NAMED..(node + 1) * NAMED;
        leaves.map(|leaf| pointer(&key(leaf * 10), LEAF + leaf)).collect()
    }

    fn node(&mut self, node: u32, page: TreePage) {
        let neighbours = [node.checked_sub(1), Some(node + 1).filter(|next| *next < 10)];
        let neighbours = neighbours.map(|next| next.map(|next| NODE + next));
        self.pages.insert(NODE + node, TreePage { neighbours, ..page }.draw());
    }

    fn read(&self) -> FormerLeaves {
        FormerLeaves::read(self, &LeafBudget::new(1 << 20))
    }
}

impl FormerNodes for Table {
    fn pages(&self) -> u32 {
        LEAF + 200
    }

    fn read_current(&self, pages: &[PageNumber]) -> Option<Vec<Option<Vec<u8>>>> {
        let mut calls = self.calls.borrow_mut();
        if self.reads_left.is_some_and(|left| *calls >= left) {
            return None;
        }
        *calls += 1;
        self.reads.borrow_mut().extend(pages.iter().map(|page| page.get()));
        Some(pages.iter().map(|page| self.pages.get(&page.get()).cloned()).collect())
    }
}

fn new_leaf(neighbours: [Option<u32>; 2], keys: Range<u32>) -> Vec<u8> {
    let records = keys.map(|number| [key(number), vec![1; 6]].concat()).collect();
    TreePage { neighbours, ..TreePage::new(0, 99, records) }.draw()
}

/// Returns the former blocks of some leaves with the numbers 50, 51 and so on, of which each is the
/// next one of the one before, and as many a block as are said.
fn routes(leaves: &FormerLeaves, keys: &[Range<u32>], a_block: u32) -> Vec<(u64, Option<u64>)> {
    let page = |(number, keys): (u32, &Range<u32>)| {
        new_leaf([Some(number - 1), Some(number + 1)], keys.clone())
    };
    let pages: Vec<Vec<u8>> = (50..).zip(keys).map(page).collect();
    let numbered = (50..).zip(&pages).map(|(number, page)| {
        let block = usize::try_from((number - 50) / a_block).unwrap();
        (block, PageNumber::new(number), page.as_slice())
    });
    let found = leaves.routes(numbered, |page| u64::from(page.get() / a_block));
    found.iter().map(|route| (route.first, route.second)).collect()
}

#[test]
fn only_the_pages_above_the_leaves_are_read() {
    let table = Table::new();
    let leaves = table.read();
    let mut reads = table.reads.take();
    reads.sort_unstable();
    let nodes: Vec<u32> = (NODE..NODE + 10).collect();
    assert_eq!(reads, [&[2, ROOT], &nodes[..], &[LEAF]].concat());
    let keys = [0..17, 17..34, 34..38, 38..55];
    let expected = [(100, Some(101)), (102, Some(103)), (103, None), (104, Some(105))];
    assert_eq!(routes(&leaves, &keys, 1), expected);
}

#[test]
fn leaves_on_which_none_begins_have_the_routes_of_their_neighbours() {
    let leaves = Table::new().read();
    let keys = [24..26, 26..28, 28..41, 41..44, 44..47];
    let expected = [(102, None), (102, None), (103, Some(102)), (104, None), (104, None)];
    assert_eq!(routes(&leaves, &keys, 1), expected);
}

#[test]
fn blocks_of_several_pages_lead_to_blocks() {
    let leaves = Table::new().read();
    let keys = [10..25, 25..40, 40..55, 55..70, 70..85];
    // Leaves 101 to 104 are in blocks 25 and 26, and so on.
    assert_eq!(routes(&leaves, &keys, 4), [(25, Some(26)), (26, Some(27))]);
}

#[test]
fn a_block_whose_records_stayed_is_told_apart() {
    let leaves = Table::new().read();
    let stayed = |number: u32, keys: Range<u32>| {
        let page = new_leaf([None; 2], keys);
        let pages = [(0, PageNumber::new(number), page.as_slice())].into_iter();
        leaves.routes(pages, |page| u64::from(page.get()))[0].stayed
    };
    assert!(stayed(105, 50..60));
    assert!(!stayed(105, 50..62));
    assert!(!stayed(106, 50..60));
}

#[test]
fn damaged_trees_are_walked_to_their_end() {
    // A page that names its own root, pages of its level, and what is not in the file.
    let mut table = Table::new();
    let round =
        [ROOT, NODE, NODE + 1, NODE + 2, 4_000_000].map(|child| pointer(&key(child), child));
    table.node(0, TreePage::new(1, 7, round.to_vec()));
    table.node(3, TreePage::new(2, 7, Table::leaves(3)));
    table.node(4, TreePage::new(1, 8, Table::leaves(4)));
    table.pages.remove(&(NODE + 5));
    table.pages.insert(NODE + 6, vec![0xFF; 16_384]);
    let leaves = table.read();
    assert_eq!(routes(&leaves, &[210..220], 1), [(121, None)]);
    for lost in [610..620, 810..820, 1010..1020, 1210..1220] {
        assert_eq!(routes(&leaves, &[lost], 1), []);
    }
    let reads = table.reads.take().len();
    assert_eq!(reads, 13);
    // Without inodes, or with such as name no root, there is no tree.
    for page in [vec![0; 16_384], vec![0xFF; 16_384], inodes(&[LEAF, NODE, 2, 9999]), vec![]] {
        let mut table = Table::new();
        table.pages.insert(2, page);
        assert_eq!(routes(&table.read(), &[0..10], 1), []);
    }
}

#[test]
fn reads_that_are_refused_end_the_walk() {
    for reads in 0..4 {
        let table = Table { reads_left: Some(reads), ..Table::new() };
        let leaves = table.read();
        let found = routes(&leaves, &[210..220], 1).len();
        assert_eq!(found, usize::from(reads == 3), "{reads}");
    }
}

#[test]
fn the_memory_for_leaves_is_bounded_and_given_back() {
    let budget = LeafBudget::new(30 * BYTES_A_LEAF);
    let leaves = FormerLeaves::read(&Table::new(), &budget);
    assert_eq!(leaves.starts.len(), 30);
    assert_eq!(routes(&leaves, &[210..220], 1), [(121, None)]);
    assert_eq!(routes(&leaves, &[310..320], 1), []);
    // Another table has no room.
    let other = FormerLeaves::read(&Table::new(), &budget);
    assert_eq!(other.starts.len(), 0);
    drop(leaves);
    drop(other);
    assert_eq!(budget.left.load(Ordering::Relaxed), 30 * BYTES_A_LEAF);
    // What a table does not need is there for others.
    let budget = LeafBudget::new(1 << 20);
    let leaves = FormerLeaves::read(&Table::new(), &budget);
    assert_eq!(budget.left.load(Ordering::Relaxed), (1 << 20) - 200 * BYTES_A_LEAF);
    drop(leaves);
}
