//! The blocks that snapshots name and that can't be had from their own packs.
//!
//! The maps of all snapshots are walked, as a verification does. A block is looked at if its pack,
//! or that of a base, has no good copy: one of a pack that is gone and has no relocation record is
//! lost, any other is read.
//!
//! Memory: about 120 bytes for each lost block, of which at most [`LOST_MAX`] are kept, and 40 for
//! each that was looked at.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::record::MemberRecord;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;

/// Lost blocks that are kept. Of more, a second run finds the rest.
const LOST_MAX: usize = 400_000;

/// The state of a pack without a good copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPack {
    /// Nothing of it is there.
    Gone,
    /// It is there, and some of it may be read.
    Spoiled,
}

/// Blocks that can't be read.
#[derive(Debug, Default)]
pub(super) struct LostBlocks {
    /// The places of each, by the hash that it must have.
    pub(super) by_hash: BTreeMap<BlockHash, Vec<EntryAddress>>,
    /// The number of places.
    places: usize,
    /// There are more than are kept.
    pub(super) is_more: bool,
}

impl LostBlocks {
    /// Finds the lost blocks of all snapshots.
    pub(super) fn find(
        repository: &Repository,
        bad: &BTreeMap<PackName, BadPack>,
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let mut walk = Walk { bad, monitor, seen: HashSet::new(), lost: Self::default() };
        if bad.is_empty() {
            return Ok(walk.lost);
        }
        let mut opener = Opener::new(repository, monitor);
        for stored in repository.snapshots()?.snapshots.iter().rev() {
            // What can't be walked is told by the verification.
            let Some(contents) = passed_over(opener.open(stored))? else { continue };
            for record in contents.internal() {
                walk.member(&contents, record.clone())?;
            }
            let mut members = contents.table().cursor();
            while let Some(Some(record)) = passed_over(members.next())? {
                walk.member(&contents, record)?;
            }
        }
        Ok(walk.lost)
    }

    /// Returns the number of lost blocks.
    pub(super) fn count(&self) -> u64 {
        u64_of(self.by_hash.len())
    }

    fn add(&mut self, hash: BlockHash, at: EntryAddress) {
        if self.places == LOST_MAX {
            self.is_more = true;
            return;
        }
        self.places += 1;
        self.by_hash.entry(hash).or_default().push(at);
    }
}

/// Returns nothing for what is damaged, and fails for what stops the work.
fn passed_over<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing)
}

struct Walk<'w> {
    bad: &'w BTreeMap<PackName, BadPack>,
    monitor: &'w Monitor,
    /// The places that were looked at.
    seen: HashSet<EntryAddress>,
    lost: LostBlocks,
}

impl Walk<'_> {
    fn member(&mut self, contents: &Contents, record: MemberRecord) -> Result<()> {
        self.monitor.check()?;
        let mut entries = contents.entries(record);
        while let Some(Some(block)) = passed_over(entries.next())? {
            self.block(contents, &block)?;
        }
        Ok(())
    }

    fn block(&mut self, contents: &Contents, block: &Block) -> Result<()> {
        let storage = block.entry.storage;
        let Some(at) = storage.locator() else { return Ok(()) };
        let packs = contents.packs();
        let mut is_doubtful = false;
        for place in storage.places() {
            is_doubtful |= self.bad.contains_key(&packs.address(place)?.pack);
        }
        if !is_doubtful {
            return Ok(());
        }
        let address = packs.address(at)?;
        if !self.seen.insert(address) {
            return Ok(());
        }
        self.monitor.check()?;
        let is_gone = self.bad.get(&address.pack) == Some(&BadPack::Gone);
        let is_lost = is_gone && packs.copies_of(address).is_empty()
            || passed_over(packs.block(at, block.entry.hash))?.is_none();
        if is_lost {
            self.lost.add(block.entry.hash, address);
        }
        Ok(())
    }
}
