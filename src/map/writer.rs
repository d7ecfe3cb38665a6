//! Writes a member's map while its blocks arrive: full pages leave at once, so a map of any length
//! takes the memory of one page a level.

use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::INLINE_ENTRIES_MAX;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::limits::MAP_PAGE_ENTRIES_MAX;
use crate::format::map_page;
use crate::format::map_page::Lengths;
use crate::format::record::Blocks;
use crate::format::record::MapRoot;
use crate::map::MetaSink;
use crate::map::view::MapView;

/// Low bits of a hash that end a content-defined leaf when they are zero.
const LEAF_END_MASK: u8 = 0xff;

/// The map of a member that is still arriving.
#[derive(Clone, Debug)]
pub struct MapWriter {
    blocks: Blocks,
    previous: Option<Arc<MapView>>,
    levels: Vec<Level>,
    count: u64,
    length: u64,
}

#[derive(Clone, Debug, Default)]
struct Level {
    /// Entries of the page that is being filled.
    entries: Vec<Entry>,
    /// Pages of this level that were stored.
    pages: u64,
}

impl MapWriter {
    /// Creates an empty map, whose pages will be compared with those of `previous`.
    pub fn new(blocks: Blocks, previous: Option<Arc<MapView>>) -> Self {
        Self { blocks, previous, levels: vec![Level::default()], count: 0, length: 0 }
    }

    /// Returns the number of bytes of the blocks so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns all entries so far; `None` once a page was stored.
    pub fn only_leaf(&self) -> Option<&[Entry]> {
        (self.levels.len() == 1).then_some(self.levels[0].entries.as_slice())
    }

    /// Appends the next block's entry.
    pub fn push(&mut self, entry: Entry, sink: &mut dyn MetaSink) -> Result<()> {
        sink.note(&entry);
        self.count += 1;
        self.length += entry.length;
        let leaf = &mut self.levels[0].entries;
        leaf.push(entry);
        let full = match self.blocks {
            Blocks::Fixed(_) => leaf.len() == MAP_PAGE_ENTRIES,
            Blocks::ContentDefined => {
                leaf.len() == MAP_PAGE_ENTRIES_MAX
                    || (leaf.len() > INLINE_ENTRIES_MAX && entry.hash.0[0] & LEAF_END_MASK == 0)
            }
        };
        if full { self.close(0, sink) } else { Ok(()) }
    }

    /// Stores the page that is being filled at `level` and enters it one level above.
    fn close(&mut self, level: usize, sink: &mut dyn MetaSink) -> Result<()> {
        let entries = std::mem::take(&mut self.levels[level].entries);
        let number = self.levels[level].pages;
        self.levels[level].pages += 1;
        let lengths = match self.blocks {
            Blocks::Fixed(bytes) if level == 0 => Lengths::Fixed(bytes.into()),
            Blocks::Fixed(_) | Blocks::ContentDefined => Lengths::Stored,
        };
        let previous = match &self.previous {
            // A previous page that can't be read only costs the difference to it.
            Some(view) => {
                u8::try_from(level).ok().and_then(|l| view.page(l, number).ok().flatten())
            }
            None => None,
        };
        let previous = previous.as_ref().and_then(|page| page.previous.as_ref());
        let page = sink.put_page(map_page::encode(&entries, lengths), previous, number)?;
        let length = entries.iter().map(|entry| entry.length).sum();
        if self.levels.len() == level + 1 {
            self.levels.push(Level::default());
        }
        let above = &mut self.levels[level + 1].entries;
        above.push(Entry { length, ..page });
        if above.len() == MAP_PAGE_ENTRIES { self.close(level + 1, sink) } else { Ok(()) }
    }

    /// Stores what is left of the map and returns its root.
    pub fn finish(mut self, sink: &mut dyn MetaSink) -> Result<MapRoot> {
        if self.levels.len() == 1 && self.levels[0].entries.len() <= INLINE_ENTRIES_MAX {
            return Ok(MapRoot::Inline(std::mem::take(&mut self.levels[0].entries)));
        }
        let mut level = 0;
        loop {
            let top = level + 1 == self.levels.len();
            let pages = self.levels[level].pages;
            if top && level > 0 && pages == 0 && self.levels[level].entries.len() == 1 {
                let root = self.levels[level].entries[0];
                let levels = u8::try_from(level).expect("a few levels hold any map");
                return Ok(MapRoot::Tree { levels, blocks: self.count, root });
            }
            if !self.levels[level].entries.is_empty() {
                self.close(level, sink)?;
            }
            level += 1;
        }
    }
}
