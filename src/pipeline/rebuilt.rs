//! Finds bases for the pages of a table that was rebuilt, among those of the table as it was.
//!
//! `ALTER TABLE` and `OPTIMIZE TABLE` copy a table into a new tablespace: its records stand on
//! other pages, next to other ones, and neither numbers nor links of the new pages lead to the
//! former ones. What stays is the order of the records in each index. So before the first page of
//! such a file is compared, the pages above the leaves of the former one are read, one in a few
//! hundred: they say with which key each of its leaves begins
//! ([`leaf_starts`](crate::innodb::leaf_starts)). The records of a new leaf are looked up there,
//! and the two former leaves that have most of them are its bases.
//!
//! | what was thought of | reads of the former table | memory, of the table |
//! |---|---|---|
//! | an index of samples of all former leaves | all pages, once more | 1 % |
//! | the keys with which leaves begin, from the pages above them | 0.2 to 2 % | 0.15 % |
//!
//! - The new leaves may come in any order, so workers need not wait for each other.
//! - A leaf on which no former leaf begins has the records of one alone: that from which its
//!   neighbours in the chain have their last records, or their first.
//! - The memory for the keys is bounded for all tables of a run ([`LeafBudget`]); of a larger
//!   table the first leaves of each index are known.
//! - Nothing here has to be right, and nothing has to be had, as in [`bases`](super::bases).

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::innodb::PageNumber;
use crate::innodb::leaf_chain::Links;
use crate::innodb::leaf_starts::BYTES_A_LEAF;
use crate::innodb::leaf_starts::Leaf;
use crate::innodb::leaf_starts::LeafStarts;
use crate::innodb::leaf_starts::Route;
use crate::innodb::leaf_starts::TreeBuilder;
use crate::innodb::node_page::INODES;
use crate::innodb::node_page::Place;
use crate::innodb::node_page::node_pointers;
use crate::innodb::node_page::possible_roots;

/// Pages that are read at once.
const PAGES_AT_ONCE: usize = 32;
/// Most pages of a table that are read for the keys of its leaves.
const NODE_PAGES_MAX: usize = 1 << 18;
/// The part of a block's records that may be on other pages than the one in the same place, one in
/// this many, for it to be compared with that alone.
const MOVED_PART: u32 = 16;

/// The pages of the former table in their last version.
pub trait FormerNodes {
    /// Returns the number of pages.
    fn pages(&self) -> u32;

    /// Reads pages, each `None` if it can't be had; `None` if no more may be read at all.
    fn read_current(&self, pages: &[PageNumber]) -> Option<Vec<Option<Vec<u8>>>>;
}

/// The bytes that the keys of leaves may take in a run.
#[derive(Debug)]
pub struct LeafBudget {
    left: AtomicUsize,
}

impl LeafBudget {
    /// Creates a budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    /// Takes as much as there is, but no more than `wanted`.
    fn take(self: &Arc<Self>, wanted: usize) -> Taken {
        let mut bytes = 0;
        let take = |left: usize| {
            bytes = left.min(wanted);
            Some(left - bytes)
        };
        // It always takes something, if only nothing.
        let _before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        Taken { budget: Arc::clone(self), bytes }
    }
}

/// A part of the budget, which goes back when it is dropped.
#[derive(Debug)]
struct Taken {
    budget: Arc<LeafBudget>,
    bytes: usize,
}

impl Taken {
    /// Keeps so many bytes, and gives the others back.
    fn keep(&mut self, bytes: usize) {
        let unused = self.bytes.saturating_sub(bytes);
        self.bytes -= unused;
        self.budget.left.fetch_add(unused, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.keep(0);
    }
}

/// The leaves of the former table by the keys that they begin with.
#[derive(Debug)]
pub struct FormerLeaves {
    starts: LeafStarts,
    _taken: Taken,
}

impl FormerLeaves {
    /// Reads the pages above the leaves of a table, as far as they can be had.
    pub fn read(former: &dyn FormerNodes, budget: &Arc<LeafBudget>) -> Self {
        let pages = usize::try_from(former.pages()).unwrap_or(usize::MAX);
        let mut taken = budget.take(pages.saturating_mul(BYTES_A_LEAF));
        let mut walk = Walk {
            former,
            visited: HashSet::new(),
            leaves_left: taken.bytes / BYTES_A_LEAF,
            may_read: true,
        };
        let trees = walk.roots().into_iter().map(|root| walk.tree(root)).collect();
        let starts = LeafStarts::new(trees);
        taken.keep(starts.len() * BYTES_A_LEAF);
        Self { starts, _taken: taken }
    }

    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Finds the former blocks that the records of some blocks stood on, whose pages are given each
    /// with the number of its block and its own; the pages of a block follow each other.
    pub fn routes<'p>(
        &self,
        pages: impl Iterator<Item = (usize, PageNumber, &'p [u8])>,
        block_of: impl Fn(PageNumber) -> u64,
    ) -> Vec<BlockRoute> {
        // A leaf of the former index to which each index has led.
        let mut known: HashMap<u64, Leaf> = HashMap::new();
        let mut leaves: Vec<NewLeaf> = Vec::new();
        for (block, number, page) in pages {
            let Some(links) = Links::of(page).filter(Links::is_of_leaf) else { continue };
            let route = self.starts.route(page, known.get(&links.index()).copied());
            known.extend(route.as_ref().map(|route| (links.index(), route.last)));
            leaves.push(NewLeaf { block, number, links, route });
        }
        self.fill_from_neighbours(&mut leaves);
        let blocks = leaves.chunk_by(|one, other| one.block == other.block);
        blocks.filter_map(|leaves| BlockRoute::of(leaves, &block_of)).collect()
    }

    /// Gives the leaves on which no former leaf begins the route of their neighbours.
    fn fill_from_neighbours(&self, leaves: &mut [NewLeaf]) {
        let mut ends: HashMap<PageNumber, Leaf> = HashMap::new();
        for leaf in leaves.iter_mut() {
            let before = leaf.links.previous().and_then(|before| ends.get(&before));
            leaf.fill(before.and_then(|end| self.starts.inside(*end)));
            ends.extend(leaf.route.as_ref().map(|route| (leaf.number, route.last)));
        }
        let mut beginnings: HashMap<PageNumber, Leaf> = HashMap::new();
        for leaf in leaves.iter_mut().rev() {
            let after = leaf.links.next().and_then(|after| beginnings.get(&after));
            leaf.fill(after.and_then(|begin| self.starts.inside(*begin)));
            beginnings.extend(leaf.route.as_ref().map(|route| (leaf.number, route.first)));
        }
    }
}

/// A leaf of today.
struct NewLeaf {
    block: usize,
    number: PageNumber,
    links: Links,
    route: Option<Route>,
}

impl NewLeaf {
    fn fill(&mut self, route: Option<Route>) {
        if self.route.is_none() {
            self.route = route;
        }
    }
}

/// The former blocks that have most of a block's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRoute {
    /// The number of the block as it was given.
    pub block: usize,
    /// The number of the former block with most of the records.
    pub first: u64,
    /// The former block with most of the others, if there are any.
    pub second: Option<u64>,
    /// True if nearly all records stood in the same place.
    pub stayed: bool,
}

impl BlockRoute {
    fn of(leaves: &[NewLeaf], block_of: &dyn Fn(PageNumber) -> u64) -> Option<Self> {
        let mut shares: Vec<(u64, u32)> = Vec::new();
        let parts = leaves.iter().filter_map(|leaf| leaf.route.as_ref());
        for (page, records) in parts.flat_map(|route| &route.parts) {
            let block = block_of(*page);
            match shares.iter_mut().find(|(known, _)| *known == block) {
                Some((_, share)) => *share += records,
                None => shares.push((block, *records)),
            }
        }
        let all: u32 = shares.iter().map(|(_, records)| records).sum();
        shares.sort_by_key(|(_, records)| std::cmp::Reverse(*records));
        let (first, most) = *shares.first()?;
        let second = shares.get(1).map(|(block, _)| *block);
        let leaf = leaves.first()?;
        let stayed = first == block_of(leaf.number) && all - most <= all / MOVED_PART;
        Some(Self { block: leaf.block, first, second, stayed })
    }
}

/// The way down the trees of a table.
struct Walk<'f> {
    former: &'f dyn FormerNodes,
    visited: HashSet<PageNumber>,
    leaves_left: usize,
    may_read: bool,
}

/// A page above the leaves.
struct Node {
    place: Place,
    page: Vec<u8>,
}

impl Walk<'_> {
    /// Reads the roots of the trees that have pages above their leaves.
    fn roots(&mut self) -> Vec<Node> {
        let Some(inodes) = self.read(&[INODES]).pop() else { return Vec::new() };
        let pages = self.former.pages();
        let mut possible = possible_roots(&inodes);
        possible.retain(|number| number.get() < pages);
        possible.sort_unstable();
        possible.dedup();
        let nodes = self.read(&possible).into_iter().filter_map(Node::of);
        nodes.filter(|node| node.place.is_root_above_others()).collect()
    }

    /// Collects the leaves of a tree in the order of their keys.
    fn tree(&mut self, root: Node) -> TreeBuilder {
        let mut tree = TreeBuilder::default();
        let Place { mut level, index, .. } = root.place;
        let mut below = self.open(&root, &mut tree);
        while level > 1 {
            level -= 1;
            for some in std::mem::take(&mut below).chunks(PAGES_AT_ONCE) {
                if self.leaves_left == 0 {
                    break;
                }
                for node in self.read(some).into_iter().filter_map(Node::of) {
                    if node.place.level == level && node.place.index == index {
                        below.extend(self.open(&node, &mut tree));
                    }
                }
            }
        }
        tree
    }

    /// Returns the pages below one, or takes them as leaves of the tree.
    fn open(&mut self, node: &Node, tree: &mut TreeBuilder) -> Vec<PageNumber> {
        let pointers = node_pointers(&node.page, self.former.pages());
        let mut pointers = pointers.unwrap_or_default();
        if node.place.level > 1 {
            return pointers.into_iter().map(|pointer| pointer.child).collect();
        }
        pointers.truncate(self.leaves_left);
        self.leaves_left -= pointers.len();
        tree.add(&node.page, &pointers);
        Vec::new()
    }

    /// Reads pages that were not read before, as far as they can be had.
    fn read(&mut self, pages: &[PageNumber]) -> Vec<Vec<u8>> {
        let room = NODE_PAGES_MAX.saturating_sub(self.visited.len());
        let new = pages.iter().copied().take(room).filter(|number| self.visited.insert(*number));
        let new: Vec<PageNumber> = new.collect();
        if new.is_empty() || !self.may_read {
            return Vec::new();
        }
        let read = self.former.read_current(&new);
        self.may_read = read.is_some();
        read.unwrap_or_default().into_iter().flatten().collect()
    }
}

impl Node {
    fn of(page: Vec<u8>) -> Option<Self> {
        Some(Self { place: Place::of(&page)?, page })
    }
}

#[cfg(test)]
mod tests;
