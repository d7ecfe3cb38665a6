//! The lost blocks that a snapshot with a pair needs, and where it needs them.
//!
//! A block whose own pack is good, and which is stored as a difference to a lost one, is left to
//! that one if it is wanted as well: a reader finds the base by the record about it. Where version
//! 0.1.0 may read it is wanted itself.
//!
//! Memory: about 300 bytes for each place, of which at most [`Seek::places_max`] are kept, and 50
//! for each block that was looked at.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::format::record::MemberKey;
use crate::ops::repair::blocks::BadPack;
use crate::ops::repair::blocks::LostUse;
use crate::ops::repair::blocks::MemberKind;
use crate::ops::repair::blocks::walk;
use crate::ops::repair::streams::pairs::Pair;
use crate::repo::Repository;

/// Pairs in which a block is looked for.
const USES_MAX: usize = 4;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seek<'s> {
    pub(super) pairs: &'s [Pair],
    pub(super) bad: &'s BTreeMap<PackName, BadPack>,
    /// Blocks that are not looked for.
    pub(super) refused: &'s BTreeSet<BlockHash>,
    /// Places of lost blocks that are kept.
    pub(super) places_max: usize,
}

/// A block that is lost.
#[derive(Debug)]
pub(super) struct LostBlock {
    pub(super) length: u64,
    pub(super) class: Class,
    /// The page format of the member, 0 if it has none.
    pub(super) page_format: u64,
    /// The entries that it stands for.
    pub(super) places: Vec<EntryAddress>,
    uses: Vec<Use>,
}

/// A member and the place in it at which a block is needed.
#[derive(Debug, Clone, Copy)]
struct Use {
    member: u32,
    at: u64,
}

/// A member of a snapshot that has a pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The number of the pair.
    pub(super) pair: usize,
    pub(super) key: MemberKey,
    pub(super) kind: MemberKind,
}

/// A block that a pair may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wish {
    /// The number of the member.
    pub(super) member: usize,
    /// The offset of the block in the member.
    pub(super) at: u64,
    pub(super) hash: BlockHash,
}

/// Lost blocks, and the members that need them.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) blocks: BTreeMap<BlockHash, LostBlock>,
    pub(super) members: Vec<Member>,
    /// There are more than are kept.
    pub(super) is_more: bool,
    /// Some are left to their bases.
    pub(super) leaves_some: bool,
    /// The snapshots of which not all maps can be read.
    pub(super) unread: BTreeSet<SnapshotId>,
}

impl Lost {
    /// Finds the lost blocks of the repository as it is `seen`.
    pub(super) fn find(
        seen: &Repository,
        wanted: Seek<'_>,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let Seek { pairs, bad, .. } = wanted;
        if bad.is_empty() {
            return Ok(Self::default());
        }
        let numbers = pairs.iter().enumerate().map(|(number, pair)| (pair.near.id(), number));
        let mut gathering = Gathering {
            numbers: numbers.collect(),
            wanted,
            lost: Self::default(),
            places: 0,
            resting: HashMap::new(),
        };
        let snapshots = pairs.iter().map(|pair| &pair.near);
        let unread = walk(seen, snapshots, bad, monitor, &mut |found| gathering.add(found))?;
        gathering.lost.unread = unread;
        // Version 0.1.0 looks for no other copy of a base, and reads no repository with intents.
        if seen.has_intents() {
            gathering.leave_to_bases();
        }
        Ok(gathering.lost)
    }

    /// Returns the raw bytes of the blocks.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks.values().map(|block| block.length).sum()
    }

    /// Returns the number of entries that they stand for.
    pub(super) fn places(&self) -> u64 {
        u64_of(self.blocks.values().map(|block| block.places.len()).sum::<usize>())
    }

    /// Returns the blocks that a pair may have, but for those that are there, in the order in which
    /// its members have them.
    pub(super) fn wishes(&self, pair: usize, had: &HashSet<BlockHash>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for (hash, block) in self.blocks.iter().filter(|(hash, _)| !had.contains(hash)) {
            for Use { member, at } in &block.uses {
                let member = usize_of_u32(*member);
                if self.members[member].pair == pair {
                    wishes.push(Wish { member, at: *at, hash: *hash });
                }
            }
        }
        wishes.sort_unstable();
        wishes
    }
}

struct Gathering<'g> {
    /// The numbers of the pairs.
    numbers: BTreeMap<SnapshotId, usize>,
    wanted: Seek<'g>,
    lost: Lost,
    places: usize,
    /// The bases on which entries rest whose own packs are good.
    resting: HashMap<EntryAddress, Vec<EntryAddress>>,
}

impl Gathering<'_> {
    fn add(&mut self, found: &LostUse<'_>) {
        let hash = found.block.entry.hash;
        if self.wanted.refused.contains(&hash) {
            return;
        }
        let known = self.lost.blocks.get(&hash);
        if known.is_none_or(|block| !block.places.contains(&found.address)) {
            if self.places == self.wanted.places_max {
                self.lost.is_more = true;
                return;
            }
            self.places += 1;
            if !found.rests_on.is_empty() {
                self.resting.insert(found.address, found.rests_on.clone());
            }
        }
        let Some(pair) = self.numbers.get(&found.snapshot).copied() else { return };
        let member = self.member(pair, found);
        let block = self.lost.blocks.entry(hash).or_insert_with(|| LostBlock {
            length: found.block.entry.length,
            class: found.class,
            page_format: found.record.page_format,
            places: Vec::new(),
            uses: Vec::new(),
        });
        // Packs of metadata can be read with more keys.
        block.class = block.class.min(found.class);
        if !block.places.contains(&found.address) {
            block.places.push(found.address);
        }
        let members = &self.lost.members;
        let is_used = block.uses.iter().any(|one| members[usize_of_u32(one.member)].pair == pair);
        if !is_used && block.uses.len() < USES_MAX {
            block.uses.push(Use { member: u32_of(member), at: found.block.at });
        }
    }

    /// Returns the number of the member that needs a block.
    fn member(&mut self, pair: usize, found: &LostUse<'_>) -> usize {
        let (key, kind) = (&found.record.key, found.kind);
        let members = &mut self.lost.members;
        let is_it = |last: &Member| last.pair == pair && last.kind == kind && last.key == *key;
        if !members.last().is_some_and(is_it) {
            members.push(Member { pair, key: key.clone(), kind });
        }
        members.len() - 1
    }

    /// Leaves out entries that can be read again when their bases can.
    fn leave_to_bases(&mut self) {
        let resting = &self.resting;
        let all = self.lost.blocks.values().flat_map(|block| block.places.iter().copied());
        let direct: HashSet<EntryAddress> = all.filter(|at| !resting.contains_key(at)).collect();
        let is_left = |at: &EntryAddress| {
            resting.get(at).is_some_and(|bases| bases.iter().all(|base| direct.contains(base)))
        };
        for block in self.lost.blocks.values_mut() {
            let before = block.places.len();
            block.places.retain(|at| !is_left(at));
            self.lost.leaves_some |= block.places.len() < before;
        }
        self.lost.blocks.retain(|_, block| !block.places.is_empty());
    }
}
