//! Finds blocks of a content-defined member among the previous ones, and for those that are new
//! what stood in their place.
//!
//! A previous map of any length is never held whole: a window of it is, from a little before the
//! place where the stream stands to a gigabyte ahead. Where it stands is the *shift*: how far a
//! block's previous offset is from its new one. Every block that is found sets it again; between
//! two that are found, a block that is not has its previous version where the shift of the nearer
//! one says. A duplicate elsewhere does not move the window: it takes two blocks that agree.
//!
//! It does not find blocks that moved by more than the window. In a dump, tables are members of
//! their own, so that their order does not matter.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::map::view::MapView;

/// Bytes of the previous member that are looked at ahead of the stream.
const AHEAD_BYTES: u64 = 1 << 30;
/// Bytes that are kept before the stream's place: workers are not all at the same one.
const BEHIND_BYTES: u64 = 64 << 20;
/// Most blocks in the window, whatever their sizes: 12 MiB.
const BLOCKS_MAX: usize = 1 << 16;
/// Shifts that differ by less are those of one place.
const SAME_PLACE_BYTES: u64 = 4 << 20;

/// A block of the previous member.
#[derive(Debug, Clone, Copy)]
struct PreviousBlock {
    /// Offset in the previous member at which the block begins.
    at: u64,
    entry: Entry,
}

/// The match of a block in the previous member, as far as one is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Match {
    /// The previous block with the same bytes, if one was found.
    pub same: Option<Entry>,
    /// The block that stood in its place, if none is the same.
    pub previous: Option<Entry>,
}

/// The window of one member.
#[derive(Debug)]
pub struct Matcher {
    view: Arc<MapView>,
    /// Numbers of blocks in the window.
    numbers: HashMap<BlockHash, u64>,
    blocks: VecDeque<PreviousBlock>,
    /// The number of the first block in the window.
    first: u64,
    next_page: u64,
    /// Bytes of the blocks up to the window's end.
    loaded: u64,
    ended: bool,
    shift: i64,
    /// The shift of a block that was found far from where it was expected.
    doubtful: Option<i64>,
}

impl Matcher {
    /// Creates a window at the start of a previous map.
    pub fn new(view: Arc<MapView>) -> Self {
        let mut matcher = Self {
            view,
            numbers: HashMap::new(),
            blocks: VecDeque::new(),
            first: 0,
            next_page: 0,
            loaded: 0,
            ended: false,
            shift: 0,
            doubtful: None,
        };
        matcher.move_to(0);
        matcher
    }

    /// Returns what is known of neighbouring blocks, the first of which begins at `at` in the new
    /// member; of each its hash, unless it is zeros, and its length.
    pub fn locate(&mut self, at: u64, blocks: &[(Option<BlockHash>, u64)]) -> Vec<Match> {
        let mut offset = at;
        let mut shifts = Vec::with_capacity(blocks.len());
        let mut matches = Vec::with_capacity(blocks.len());
        for (hash, length) in blocks {
            let found = hash.and_then(|hash| self.find(hash));
            shifts.push(found.and_then(|block| self.accept(shift(offset, block.at))));
            matches.push(Match { same: found.map(|block| block.entry), previous: None });
            offset += length;
        }
        let mut offset = at;
        let mut known = shifts.iter().find_map(|shift| *shift).unwrap_or(self.shift);
        for (number, (hash, length)) in blocks.iter().enumerate() {
            known = shifts[number].unwrap_or(known);
            if hash.is_some() && matches[number].same.is_none() {
                matches[number].previous = self.at(offset + length / 2, known);
            }
            offset += length;
        }
        self.move_to(offset.saturating_add_signed(self.shift));
        matches
    }

    fn find(&self, hash: BlockHash) -> Option<PreviousBlock> {
        let number = *self.numbers.get(&hash)?;
        let within = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.blocks.get(within).copied()
    }

    /// Takes a shift that was seen; gives it back if it is to be believed.
    fn accept(&mut self, seen: i64) -> Option<i64> {
        let agrees = |known: i64| seen.abs_diff(known) <= SAME_PLACE_BYTES;
        if !agrees(self.shift) && !self.doubtful.is_some_and(agrees) {
            self.doubtful = Some(seen);
            return None;
        }
        self.doubtful = None;
        self.shift = seen;
        Some(seen)
    }

    /// Returns the previous block in which an offset of the new member fell.
    fn at(&self, offset: u64, shift: i64) -> Option<Entry> {
        let place = offset.checked_add_signed(shift)?;
        let behind = self.blocks.partition_point(|block| block.at <= place);
        let block = self.blocks.get(behind.checked_sub(1)?)?;
        (place - block.at < block.entry.length).then_some(block.entry)
    }

    /// Moves the window so that `place` is near its start.
    fn move_to(&mut self, place: u64) {
        while self.blocks.front().is_some_and(|block| block.at.saturating_add(BEHIND_BYTES) < place)
        {
            self.drop_first();
        }
        while !self.ended
            && self.loaded < place.saturating_add(AHEAD_BYTES)
            && self.blocks.len() < BLOCKS_MAX
        {
            self.load();
        }
    }

    fn drop_first(&mut self) {
        let Some(block) = self.blocks.pop_front() else { return };
        if self.numbers.get(&block.entry.hash) == Some(&self.first) {
            self.numbers.remove(&block.entry.hash);
        }
        self.first += 1;
    }

    fn load(&mut self) {
        // A page that can't be read ends the window: its blocks are stored again.
        let Ok(Some(page)) = self.view.page(0, self.next_page) else {
            self.ended = true;
            return;
        };
        for entry in &page.entries {
            let number = self.first + crate::base::num::u64_of(self.blocks.len());
            // The first of several equal blocks is as good as any.
            self.numbers.entry(entry.hash).or_insert(number);
            self.blocks.push_back(PreviousBlock { at: self.loaded, entry: *entry });
            self.loaded = self.loaded.saturating_add(entry.length);
        }
        self.next_page += 1;
    }
}

/// Returns how far the previous offset is from the new one.
fn shift(new: u64, previous: u64) -> i64 {
    previous.checked_signed_diff(new).unwrap_or_default()
}
