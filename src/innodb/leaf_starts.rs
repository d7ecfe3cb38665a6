//! Knows with which key each leaf of a table's indexes begins, and so on which leaves the records
//! of another page stand.
//!
//! A table that was rebuilt has all its records on other pages: neither numbers nor links of pages
//! lead from the new ones to the former. But each index has its records in the same order, so a new
//! leaf has those of one former leaf, or of a few that follow each other. Where one ends and the
//! next begins, a record of the new leaf shows: its key is that with which a former leaf begins.
//!
//! ```text
//! former leaves       [a b c d] [e f g h] [i j k l]
//! begin with           a         e         i
//! a new leaf              [c d e f g]        e begins the second: c and d are of the first
//! ```
//!
//! The keys are looked up by their first bytes, without an order: which of two keys comes first,
//! only the definition of the table says.
//!
//! - A leaf takes 24 bytes at most: one part in 680 of the table with pages of 16 KiB.
//! - Nothing here has to be right: a base that does not fit makes a delta that is too large.

use std::cmp::Reverse;

use crate::innodb::big_endian::u64_at;
use crate::innodb::node_page::NodePointer;
use crate::innodb::normal;
use crate::innodb::units::PageNumber;

/// Most bytes of a key that are compared.
const KEY_BYTES_MAX: usize = 64;
/// Most leaves that a gap between two known ones is divided among.
const SHARED_MAX: u32 = 8;

/// Bytes that a leaf takes at the most.
pub const BYTES_A_LEAF: usize = 24;

/// The leaves of one index in the order of their keys, while they are collected.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    key_bytes: usize,
    leaves: Vec<PageNumber>,
    marks: Vec<u64>,
}

impl TreeBuilder {
    /// Takes the leaves that a page names, the next ones in the order of keys.
    pub fn add(&mut self, page: &[u8], pointers: &[NodePointer]) {
        if self.key_bytes == 0 {
            // A few keys may be shorter; they are not looked for.
            let mut lengths: Vec<usize> = pointers.iter().map(|p| p.key.len()).collect();
            lengths.sort_unstable();
            let short = lengths.get(lengths.len() / 8).copied();
            self.key_bytes = short.unwrap_or_default().min(KEY_BYTES_MAX);
        }
        for NodePointer { child, key } in pointers {
            let is_long = key.len() >= self.key_bytes;
            let mark = mark(page, key.start, self.key_bytes).filter(|_| is_long);
            self.leaves.push(*child);
            self.marks.push(mark.unwrap_or(0));
        }
    }

    fn finish(self) -> Tree {
        let Self { key_bytes, mut leaves, mut marks } = self;
        leaves.shrink_to_fit();
        marks.shrink_to_fit();
        let mut places = vec![0; (marks.len() * 4 / 3 + 1).next_power_of_two()];
        let last_place = places.len() - 1;
        for (number, mark) in (1..).zip(&marks) {
            if *mark == 0 {
                continue;
            }
            let mut at = place(*mark, last_place);
            while places[at] != 0 {
                at = (at + 1) & last_place;
            }
            places[at] = number;
        }
        Tree { key_bytes, leaves, marks, places }
    }
}

/// The leaves of one index.
#[derive(Debug)]
struct Tree {
    /// Bytes of a key that are compared.
    key_bytes: usize,
    leaves: Vec<PageNumber>,
    /// What the key of each leaf is recognised by; 0 if it is not looked for.
    marks: Vec<u64>,
    /// Numbers of leaves from 1, by their marks; 0 where there is none.
    places: Vec<u32>,
}

impl Tree {
    /// Returns the number of the leaf that begins with the key of a record.
    fn leaf_of(&self, page: &[u8], origin: usize) -> Option<u32> {
        let mark = mark(page, origin, self.key_bytes)?;
        let last_place = self.places.len() - 1;
        let mut at = place(mark, last_place);
        loop {
            let number = self.places[at].checked_sub(1)?;
            if self.marks.get(usize::try_from(number).ok()?) == Some(&mark) {
                return Some(number);
            }
            at = (at + 1) & last_place;
        }
    }

    fn page(&self, leaf: u32) -> Option<PageNumber> {
        self.leaves.get(usize::try_from(leaf).ok()?).copied()
    }

    /// Finds the leaves that have the records of a page, this tree being the one of a number; and
    /// how many of them begin there.
    fn route(&self, number: usize, page: &[u8]) -> Option<(usize, Route)> {
        let mut parts = Parts { tree: self, found: Vec::new(), at: 0 };
        // The leaf that goes on at the record that was looked at last.
        let mut current: Option<u32> = None;
        let (mut first, mut records, mut hits) = (0, 0, 0);
        for (record, origin) in (0..).zip(normal::origins(page)?) {
            records = record + 1;
            let Some(leaf) = self.leaf_of(page, origin) else { continue };
            hits += 1;
            match current {
                Some(before) => parts.share(before, leaf, record),
                None if record > 0 => {
                    first = leaf.saturating_sub(1);
                    parts.share(first, leaf, record);
                }
                None => first = leaf,
            }
            current = Some(leaf);
        }
        let last = current?;
        parts.share(last, last, records);
        let leaf = |leaf| Leaf { tree: number, number: leaf };
        Some((hits, Route { first: leaf(first), last: leaf(last), parts: parts.found }))
    }
}

/// A former leaf by its place in its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    tree: usize,
    number: u32,
}

/// The former leaves on which the records of a page stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The leaf that has the first record.
    pub first: Leaf,
    /// The leaf that has the last one.
    pub last: Leaf,
    /// The leaves, and how many of the page's records each has.
    pub parts: Vec<(PageNumber, u32)>,
}

/// The leaves of all indexes of a table.
#[derive(Debug)]
pub struct LeafStarts {
    trees: Vec<Tree>,
}

impl LeafStarts {
    /// Takes the indexes of a table.
    pub fn new(trees: Vec<TreeBuilder>) -> Self {
        let trees = trees.into_iter().filter(|tree| !tree.leaves.is_empty());
        let mut trees: Vec<Tree> = trees.map(TreeBuilder::finish).collect();
        trees.sort_by_key(|tree| Reverse(tree.key_bytes));
        Self { trees }
    }

    /// Returns the number of leaves of all indexes.
    pub fn len(&self) -> usize {
        self.trees.iter().map(|tree| tree.leaves.len()).sum()
    }

    /// Tells whether there are no leaves at all.
    pub fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// Finds the leaves that have the records of a compact leaf; `None` if no leaf begins on it.
    /// `known` is one of its index, if another page of that has led to any.
    ///
    /// Of which index of the former table a page is, the keys tell: a long one that is the same
    /// says more than a short one, which the first column of another index may have, too. So the
    /// index with the longest keys wins, and of several that with most leaves.
    pub fn route(&self, page: &[u8], known: Option<Leaf>) -> Option<Route> {
        let asked = known.map_or(self.trees.len(), |leaf| leaf.tree + 1);
        let same_length = |one: &Tree, other: &Tree| one.key_bytes == other.key_bytes;
        let mut first = 0;
        for trees in self.trees.chunk_by(same_length) {
            if first >= asked {
                break;
            }
            let routes = (first..).zip(trees).filter_map(|(number, tree)| tree.route(number, page));
            let best = routes.max_by_key(|(hits, _)| *hits);
            if let Some((_, route)) = best {
                return Some(route);
            }
            first += trees.len();
        }
        None
    }

    /// Returns the route of a page all of whose records stand on one leaf.
    pub fn inside(&self, leaf: Leaf) -> Option<Route> {
        let page = self.trees.get(leaf.tree)?.page(leaf.number)?;
        Some(Route { first: leaf, last: leaf, parts: vec![(page, 1)] })
    }
}

/// The parts of a page, while they are found.
struct Parts<'t> {
    tree: &'t Tree,
    found: Vec<(PageNumber, u32)>,
    /// The record at which the last of them ends.
    at: u32,
}

impl Parts<'_> {
    /// Enters the records up to `record`, with which the leaf `next` begins, as those of `leaf` and
    /// of leaves between the two, whose own beginnings are gone.
    fn share(&mut self, leaf: u32, next: u32, record: u32) {
        let leaves = next.saturating_sub(leaf).max(1);
        let leaves = if leaves > SHARED_MAX { 1 } else { leaves };
        let records = record - self.at;
        self.at = record;
        for number in 0..leaves {
            let own = records * (number + 1) / leaves - records * number / leaves;
            let page = self.tree.page(leaf + number).filter(|_| own > 0);
            self.found.extend(page.map(|page| (page, own)));
        }
    }
}

/// Returns what the first bytes of a key are recognised by, a number that depends on all of them
/// and is never 0.
fn mark(page: &[u8], at: usize, bytes: usize) -> Option<u64> {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let key = page.get(at..at + bytes)?;
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    let mixed = words.fold(0, |mixed: u64, word| {
        let mixed = (mixed ^ u64_at(word, 0)).wrapping_mul(FACTOR);
        mixed ^ mixed >> 32
    });
    Some(mixed.max(1))
}

/// Returns where the search for a mark begins.
fn place(mark: u64, last_place: usize) -> usize {
    usize::try_from(mark & u64::from(u32::MAX)).map_or(0, |mark| mark & last_place)
}

#[cfg(test)]
mod tests;
