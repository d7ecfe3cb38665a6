//! Shows in what two snapshots differ, from their maps alone: no data pack is opened.
//!
//! Both member tables are walked side by side. The maps of a member are compared from the top: a
//! map page that both have stands for all blocks below it, so that two nights cost what changed
//! between them. Members that are cut by content have no positions; of those the blocks that the
//! other has nowhere are counted.
//!
//! Memory: a map page for each level, and a bounded part of the hashes of a member cut by content,
//! which is gone through as often as need be.

pub mod summary;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::record::Blocks;
use crate::format::record::MapRoot;
use crate::format::record::MemberRecord;
use crate::innodb::TablespaceFormat;
use crate::map::view::MapPage;
use crate::map::view::MapView;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Hashes that are held at a time.
const HASHES_MAX: u64 = 1 << 18;

/// The change of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Both have it, byte for byte.
    Same,
    /// Both have it, with differences.
    Changed,
    /// Only the later one has it.
    Added,
    /// Only the earlier one has it.
    Removed,
}

/// A member of one or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDiff {
    /// Path of the member in its stream.
    pub path: String,
    /// Number of the file among those of this path.
    pub incarnation: u32,
    /// The change of the member.
    pub change: Change,
    /// Its length in the earlier snapshot.
    pub earlier_bytes: u64,
    /// Its length in the later one.
    pub later_bytes: u64,
    /// Blocks in which the two differ.
    pub delta: Delta,
    /// Bytes of a page; 0 if it is no tablespace.
    pub page_bytes: u64,
}

/// Blocks in which two members differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delta {
    /// Blocks of the later one that the earlier does not have (at that place).
    pub new_blocks: u64,
    /// Number of bytes in the new blocks.
    pub new_bytes: u64,
    /// Blocks of the earlier one that the later does not have (at that place).
    pub gone_blocks: u64,
    /// Number of bytes in the gone blocks.
    pub gone_bytes: u64,
}

impl Delta {
    fn add_new(&mut self, blocks: u64, bytes: u64) {
        self.new_blocks += blocks;
        self.new_bytes += bytes;
    }

    fn add_gone(&mut self, blocks: u64, bytes: u64) {
        self.gone_blocks += blocks;
        self.gone_bytes += bytes;
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl MemberDiff {
    /// Returns the number of pages in the blocks that differ, on whichever side there are more of
    /// them.
    pub fn pages(&self) -> u64 {
        let most = self.delta.new_bytes.max(self.delta.gone_bytes);
        if self.page_bytes == 0 { 0 } else { most.div_ceil(self.page_bytes) }
    }
}

/// Calls `each` for every member of either snapshot, in the order of the paths.
pub fn diff(
    repository: &Repository,
    earlier: &StoredSnapshot,
    later: &StoredSnapshot,
    world: &World,
    each: &mut dyn FnMut(MemberDiff) -> Result<()>,
) -> Result<()> {
    let monitor = &world.monitor;
    let earlier = repository.contents(earlier, monitor)?;
    let later = repository.contents(later, monitor)?;
    let comparison = Comparison { earlier: &earlier, later: &later, monitor };
    let (mut left, mut right) = (earlier.table().cursor(), later.table().cursor());
    let (mut old, mut new) = (left.next()?, right.next()?);
    loop {
        monitor.check()?;
        let order = match (&old, &new) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.key.cmp(&new.key),
        };
        let from = if order == Ordering::Greater { None } else { old.take() };
        let to = if order == Ordering::Less { None } else { new.take() };
        if from.is_some() {
            old = left.next()?;
        }
        if to.is_some() {
            new = right.next()?;
        }
        if let Some(found) = comparison.member(from, to)? {
            each(found)?;
        }
    }
}

struct Comparison<'c> {
    earlier: &'c Contents,
    later: &'c Contents,
    monitor: &'c Monitor,
}

impl Comparison<'_> {
    fn member(
        &self,
        earlier: Option<MemberRecord>,
        later: Option<MemberRecord>,
    ) -> Result<Option<MemberDiff>> {
        let Some(shown) = later.as_ref().or(earlier.as_ref()) else { return Ok(None) };
        let mut delta = Delta::default();
        let (path, incarnation) = (shown.key.display(), shown.key.incarnation);
        let page_bytes = page_bytes(shown);
        let length = |record: &Option<MemberRecord>| record.as_ref().map_or(0, |r| r.length);
        let (earlier_bytes, later_bytes) = (length(&earlier), length(&later));
        let change = match (earlier, later) {
            (Some(earlier), Some(later)) => {
                delta = self.delta(earlier, later)?;
                if delta.is_nothing() { Change::Same } else { Change::Changed }
            }
            (Some(earlier), None) => {
                delta.add_gone(earlier.block_count(), earlier.length);
                Change::Removed
            }
            (None, Some(later)) => {
                delta.add_new(later.block_count(), later.length);
                Change::Added
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(MemberDiff {
            path,
            incarnation,
            change,
            earlier_bytes,
            later_bytes,
            delta,
            page_bytes,
        }))
    }

    fn delta(&self, earlier: MemberRecord, later: MemberRecord) -> Result<Delta> {
        let same_root = match (&earlier.map, &later.map) {
            (MapRoot::Tree { root, .. }, MapRoot::Tree { root: other, .. }) => {
                root.hash == other.hash
            }
            (MapRoot::Inline(_), _) | (_, MapRoot::Inline(_)) => false,
        };
        if same_root && earlier.length == later.length {
            return Ok(Delta::default());
        }
        if earlier.blocks != later.blocks || later.blocks == Blocks::ContentDefined {
            return self.delta_by_content(&earlier, &later);
        }
        self.delta_by_place(earlier, later)
    }

    fn delta_by_place(&self, earlier: MemberRecord, later: MemberRecord) -> Result<Delta> {
        let top = levels(&earlier).min(levels(&later)) - 1;
        let pair = Pair {
            block_bytes: later.block_bytes(),
            earlier: self.earlier.map(earlier),
            later: self.later.map(later),
            monitor: self.monitor,
        };
        let mut delta = Delta::default();
        let mut number = 0;
        while pair.compare(top, number, &mut delta)? {
            number += 1;
        }
        Ok(delta)
    }

    /// Counts the blocks that are in one member and nowhere in the other, each copy by itself.
    fn delta_by_content(&self, earlier: &MemberRecord, later: &MemberRecord) -> Result<Delta> {
        let passes = earlier.block_count().div_ceil(HASHES_MAX).max(1);
        let mut delta = Delta::default();
        for pass in 0..passes {
            let is_due = |hash: &BlockHash| part_of(hash) % passes == pass;
            // With the length, because all zeros have one hash.
            let mut waiting: HashMap<(BlockHash, u64), u64> = HashMap::new();
            each_block(self.earlier, earlier, self.monitor, &mut |entry| {
                if is_due(&entry.hash) {
                    *waiting.entry((entry.hash, entry.length)).or_default() += 1;
                }
            })?;
            each_block(self.later, later, self.monitor, &mut |entry| {
                if !is_due(&entry.hash) {
                    return;
                }
                match waiting.get_mut(&(entry.hash, entry.length)) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => delta.add_new(1, entry.length),
                }
            })?;
            for ((_, length), count) in waiting {
                delta.add_gone(count, count * length);
            }
        }
        Ok(delta)
    }
}

/// Returns which part of all hashes one belongs to.
fn part_of(hash: &BlockHash) -> u64 {
    let [first, second, ..] = hash.0;
    u64::from(u16::from_le_bytes([first, second]))
}

fn each_block(
    contents: &Contents,
    record: &MemberRecord,
    monitor: &Monitor,
    each: &mut dyn FnMut(&Entry),
) -> Result<()> {
    let mut entries = contents.entries(record.clone());
    while let Some(block) = entries.next()? {
        if block.number.is_multiple_of(u64_of(MAP_PAGE_ENTRIES)) {
            monitor.check()?;
        }
        each(&block.entry);
    }
    Ok(())
}

fn levels(record: &MemberRecord) -> u8 {
    match &record.map {
        MapRoot::Inline(_) => 1,
        MapRoot::Tree { levels, .. } => *levels,
    }
}

fn page_bytes(record: &MemberRecord) -> u64 {
    TablespaceFormat::decode(record.page_format)
        .map_or(0, |format| u64_of(format.page_size().bytes()))
}

/// Two maps whose blocks begin at the same places.
struct Pair<'c> {
    earlier: MapView,
    later: MapView,
    block_bytes: u64,
    monitor: &'c Monitor,
}

impl Pair<'_> {
    /// Compares a page of both maps and what is below it; `false` if neither has it.
    fn compare(&self, level: u8, number: u64, delta: &mut Delta) -> Result<bool> {
        self.monitor.check()?;
        let (earlier, later) = (self.earlier.page(level, number)?, self.later.page(level, number)?);
        if earlier.is_none() && later.is_none() {
            return Ok(false);
        }
        let (old, new) = (entries(earlier.as_ref()), entries(later.as_ref()));
        for at in 0..old.len().max(new.len()) {
            match (old.get(at), new.get(at)) {
                (Some(old), Some(new)) if old.hash == new.hash && old.length == new.length => {}
                (Some(_), Some(_)) if level > 0 => {
                    let below = number * u64_of(MAP_PAGE_ENTRIES) + u64_of(at);
                    self.compare(level - 1, below, delta)?;
                }
                (old, new) => {
                    if let Some(old) = old {
                        delta.add_gone(self.blocks(old), old.length);
                    }
                    if let Some(new) = new {
                        delta.add_new(self.blocks(new), new.length);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Returns how many blocks an entry of any level stands for.
    fn blocks(&self, entry: &Entry) -> u64 {
        entry.length.div_ceil(self.block_bytes)
    }
}

fn entries(page: Option<&Arc<MapPage>>) -> &[Entry] {
    page.map_or(&[], |page| page.entries.as_slice())
}
