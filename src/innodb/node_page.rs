//! Reads the pages above the leaves of an index: which page below begins with which key.
//!
//! A record of such a page, a node pointer, is a key and the number of a page of the level below.
//! How many bytes a key has, only the definition of the table says, which is not at hand here. But
//! all records of a page, the deleted ones included, lie in its heap without gaps:
//!
//! ```text
//! ... [extra] [header, 5] key [child, 4] [extra] [header, 5] key [child, 4]   free room
//!                         ^ origin                           ^ origin        ^ top of the heap
//! ```
//!
//! So the child of the last record in the heap ends at the heap's top, and with keys of one length
//! that is the length of all. Otherwise the child of a record ends where the extra bytes of the one
//! after it begin, whose number (lengths of the fields, bits for nulls) is tried. A number of a
//! child that is no page of the file, or stands there twice, shows that a guess was wrong.
//!
//! - Bytes come from outside. Nothing takes longer than the length of the page allows.
//! - Nothing here has to be right: a child that was read wrongly is a base that does not fit.
//!
//! Source: `rec_init_offsets` and `btr_create` of the server, and `fsp0fsp.h`.

use std::ops::Range;

use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::header::NEXT_AT;
use crate::innodb::header::PREVIOUS_AT;
use crate::innodb::normal;
use crate::innodb::normal::HEADER_BYTES;
use crate::innodb::normal::RECORDS_AT;
use crate::innodb::units::PageNumber;

const HEAP_TOP_AT: usize = BODY_AT + 2;
const FREE_AT: usize = BODY_AT + 6;
const LEVEL_AT: usize = BODY_AT + 26;
const INDEX_AT: usize = BODY_AT + 28;
const HEADER_END: usize = INDEX_AT + 8;

/// The type of the root of a table to which columns were added at once.
const INSTANT: u16 = 18;
/// The type of a node pointer, in the lowest three bits of its heap number.
const NODE_POINTER: u8 = 1;
const CHILD_BYTES: usize = 4;
/// Extra bytes before the header of a record that are tried, at most.
const EXTRA_MAX: usize = 8;

/// The page that has the inodes of a file's segments.
pub const INODES: PageNumber = PageNumber::new(2);
/// The lowest number of a page that can belong to an index: those before it describe the file.
const OF_INDEX_MIN: u32 = 3;
const INODES_AT: usize = BODY_AT + 12;
const INODE_BYTES: usize = 192;
const INODE_MAGIC_AT: usize = 60;
const INODE_MAGIC: u32 = 97_937_874;
const INODE_PAGES_AT: usize = 64;

/// An index page's place in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The level of the page; leaves have level 0.
    pub level: u16,
    /// The id of the index.
    pub index: u64,
    is_alone: bool,
}

impl Place {
    /// Reads the place of a page; `None` if it is no index page.
    pub fn of(page: &[u8]) -> Option<Self> {
        if page.len() < HEADER_END || ![normal::INDEX, INSTANT].contains(&header::page_type(page)) {
            return None;
        }
        let is_none = |at| PageNumber::new(u32_at(page, at)) == PageNumber::NONE;
        Some(Self {
            level: u16_at(page, LEVEL_AT),
            index: u64_at(page, INDEX_AT),
            is_alone: is_none(PREVIOUS_AT) && is_none(NEXT_AT),
        })
    }

    /// Tells whether the page is a root with pages below it: it has no neighbours.
    pub fn is_root_above_others(&self) -> bool {
        self.is_alone && self.level > 0
    }
}

/// Returns the pages that may be roots of a file's indexes: the first page of each segment, from
/// the page with the inodes of the segments.
pub fn possible_roots(inodes: &[u8]) -> Vec<PageNumber> {
    let inodes = inodes.get(INODES_AT..).unwrap_or_default().chunks_exact(INODE_BYTES);
    let in_use = inodes.filter(|inode| u32_at(inode, INODE_MAGIC_AT) == INODE_MAGIC);
    let first = in_use.map(|inode| u32_at(inode, INODE_PAGES_AT));
    first.filter(|number| *number >= OF_INDEX_MIN).map(PageNumber::new).collect()
}

/// A record of a page above the leaves: the key with which a page below begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePointer {
    /// The number of the page below.
    pub child: PageNumber,
    /// The place of the key in this page.
    pub key: Range<usize>,
}

/// Reads the node pointers of a page in the order of their keys, in a file of `pages` pages. Those
/// that make no sense are left out; `None` if that is most of them, or it is another page.
pub fn node_pointers(page: &[u8], pages: u32) -> Option<Vec<NodePointer>> {
    let heap = Heap::of(page)?;
    let fixed = heap.pointers(pages, |origin, _| {
        let length = heap.top.checked_sub(heap.addresses.last()? + CHILD_BYTES)?;
        Some(origin + length)
    });
    let records = heap.live.len();
    if fixed.len() == records {
        return Some(fixed);
    }
    let with_extra = |extra: usize| {
        heap.pointers(pages, |_, end| end.checked_sub(CHILD_BYTES + HEADER_BYTES + extra))
    };
    let others = (0..=EXTRA_MAX).map(with_extra);
    let most = others.chain([fixed]).max_by_key(Vec::len)?;
    (most.len() * 2 > records).then_some(most)
}

/// The records of a page by their origins.
struct Heap<'p> {
    page: &'p [u8],
    /// Those in the tree, in the order of their keys.
    live: Vec<usize>,
    /// All of them, the deleted ones too, in the order of their places.
    addresses: Vec<usize>,
    /// The end of the last.
    top: usize,
}

impl<'p> Heap<'p> {
    /// Finds the records of a page above the leaves.
    fn of(page: &'p [u8]) -> Option<Self> {
        if Place::of(page)?.level == 0 {
            return None;
        }
        let live: Vec<usize> = normal::origins_by_layout(page)?.collect();
        let top = usize::from(u16_at(page, HEAP_TOP_AT));
        let is_pointer = |origin: &usize| page[origin - 3] & 7 == NODE_POINTER;
        if live.is_empty() || top > page.len() || !live.iter().all(is_pointer) {
            return None;
        }
        let mut addresses: Vec<usize> = live.iter().copied().chain(deleted(page, top)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Some(Self { page, live, addresses, top })
    }

    /// Reads a pointer from each record whose child is where `child_at` says, by the origin of the
    /// record and that of the next in the heap; for the last one, no extra bytes are assumed.
    fn pointers(
        &self,
        pages: u32,
        child_at: impl Fn(usize, usize) -> Option<usize>,
    ) -> Vec<NodePointer> {
        let read = |origin: &usize| {
            let next = self.addresses.partition_point(|address| address <= origin);
            let (at, end) = match self.addresses.get(next) {
                Some(next) => (child_at(*origin, *next)?, next - HEADER_BYTES),
                None => (self.top.checked_sub(CHILD_BYTES)?, self.top),
            };
            if at <= *origin || at + CHILD_BYTES > end {
                return None;
            }
            let child = u32_at(self.page, at);
            let key = *origin..at;
            let is_there = (OF_INDEX_MIN..pages).contains(&child);
            is_there.then_some(NodePointer { child: PageNumber::new(child), key })
        };
        let mut pointers: Vec<NodePointer> = self.live.iter().filter_map(read).collect();
        let mut children: Vec<PageNumber> = pointers.iter().map(|pointer| pointer.child).collect();
        children.sort_unstable();
        let is_there_once = |pointer: &NodePointer| {
            let from = children.partition_point(|child| *child < pointer.child);
            children.get(from + 1) != Some(&pointer.child)
        };
        pointers.retain(is_there_once);
        pointers
    }
}

/// Returns the origins of deleted records, as far as they make sense.
fn deleted(page: &[u8], top: usize) -> impl Iterator<Item = usize> {
    let is_origin = move |origin: &usize| (RECORDS_AT + HEADER_BYTES..=top).contains(origin);
    let first = Some(usize::from(u16_at(page, FREE_AT))).filter(is_origin);
    let next = move |origin: &usize| {
        let step = u16_at(page, origin - 2);
        let next = u16::try_from(*origin).ok()?.wrapping_add(step);
        Some(usize::from(next)).filter(|_| step != 0).filter(is_origin)
    };
    std::iter::successors(first, next).take(page.len() / HEADER_BYTES)
}

#[cfg(test)]
mod tests;
