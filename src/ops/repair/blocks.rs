//! The blocks that snapshots name and that can't be had from their own packs.
//!
//! The maps of snapshots are walked, as a verification does. A block is looked at if its pack,
//! or that of a base, has no good copy: one of a pack that is gone and has no relocation record is
//! lost, any other is read.
//!
//! Memory: about 120 bytes for each lost block, of which at most [`LOST_MAX`] are kept, and 40 for
//! each that was looked at.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::record::MemberRecord;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;
use crate::repo::snapshots::StoredSnapshot;

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

/// The kind of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum MemberKind {
    /// It is a file of the stream.
    File,
    /// It is an internal member: the script, a list, the log.
    Internal,
}

/// The times that a block came up in a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// It was looked at for the first time.
    First,
    /// It was found lost before, in this snapshot or another one.
    Again,
}

/// A lost block where a snapshot needs it.
#[derive(Debug)]
pub(super) struct LostUse<'u> {
    /// The snapshot that needs the block.
    pub(super) snapshot: SnapshotId,
    /// The record of the member that the block is of.
    pub(super) record: &'u MemberRecord,
    /// The kind of that member.
    pub(super) kind: MemberKind,
    /// The block, as the map of the member describes it.
    pub(super) block: &'u Block,
    /// The place of the block.
    pub(super) address: EntryAddress,
    /// The class of the pack in which that is.
    pub(super) class: Class,
    /// The bases that its pack needs and that lie in packs without a good copy; empty if its own
    /// pack is one.
    pub(super) rests_on: Vec<EntryAddress>,
    /// The times that it has come up.
    pub(super) occurrence: Occurrence,
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
        let mut lost = Self::default();
        if bad.is_empty() {
            return Ok(lost);
        }
        let snapshots = repository.snapshots()?.snapshots;
        let newest_first = snapshots.iter().rev();
        walk(repository, newest_first, bad, monitor, &mut |found| {
            if found.occurrence == Occurrence::First {
                lost.add(found.block.entry.hash, found.address);
            }
        })?;
        Ok(lost)
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

/// Hands every lost block of these snapshots to `take`, wherever one needs it. Returns the
/// snapshots of which not all maps can be read.
pub(super) fn walk<'s>(
    repository: &Repository,
    snapshots: impl IntoIterator<Item = &'s StoredSnapshot>,
    bad: &BTreeMap<PackName, BadPack>,
    monitor: &Arc<Monitor>,
    take: &mut dyn FnMut(&LostUse<'_>),
) -> Result<BTreeSet<SnapshotId>> {
    let mut opener = Opener::new(repository, monitor);
    let mut walk = Walk { bad, monitor, seen: HashMap::new(), take };
    let mut unread = BTreeSet::new();
    for stored in snapshots {
        // The verification reports what cannot be walked.
        let walked = match passed_over(opener.open(stored))? {
            Some(contents) => walk.snapshot(&contents, stored.id())?,
            None => Walked::InPart,
        };
        if walked == Walked::InPart {
            unread.insert(stored.id());
        }
    }
    Ok(unread)
}

/// Returns nothing for what is damaged, and fails for what stops the work.
pub(super) fn passed_over<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing)
}

/// The extent to which maps were walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walked {
    /// Every map was walked.
    Whole,
    /// Some can't be read.
    InPart,
}

impl Walked {
    fn and(self, other: Self) -> Self {
        if self == Self::Whole { other } else { self }
    }
}

/// The member that is walked.
#[derive(Clone, Copy)]
struct At<'a> {
    contents: &'a Contents,
    snapshot: SnapshotId,
    record: &'a MemberRecord,
    kind: MemberKind,
}

struct Walk<'w> {
    bad: &'w BTreeMap<PackName, BadPack>,
    monitor: &'w Monitor,
    /// The places that were looked at, and whether their blocks are lost.
    seen: HashMap<EntryAddress, bool>,
    take: &'w mut dyn FnMut(&LostUse<'_>),
}

impl Walk<'_> {
    fn snapshot(&mut self, contents: &Contents, snapshot: SnapshotId) -> Result<Walked> {
        let mut walked = Walked::Whole;
        for record in contents.internal() {
            let kind = MemberKind::Internal;
            walked = walked.and(self.member(At { contents, snapshot, record, kind })?);
        }
        let mut members = contents.table().cursor();
        loop {
            let record = match passed_over(members.next())? {
                Some(Some(record)) => record,
                Some(None) => return Ok(walked),
                None => return Ok(Walked::InPart),
            };
            let (record, kind) = (&record, MemberKind::File);
            walked = walked.and(self.member(At { contents, snapshot, record, kind })?);
        }
    }

    fn member(&mut self, at: At<'_>) -> Result<Walked> {
        self.monitor.check()?;
        let mut entries = at.contents.entries(at.record.clone());
        loop {
            match passed_over(entries.next())? {
                Some(Some(block)) => self.block(at, &block)?,
                Some(None) => return Ok(Walked::Whole),
                None => return Ok(Walked::InPart),
            }
        }
    }

    fn block(&mut self, of: At<'_>, block: &Block) -> Result<()> {
        let storage = block.entry.storage;
        let Some(at) = storage.locator() else { return Ok(()) };
        let packs = of.contents.packs();
        let mut doubtful = Vec::new();
        for place in storage.places() {
            let place = packs.address(place)?;
            if self.bad.contains_key(&place.pack) {
                doubtful.push(place);
            }
        }
        if doubtful.is_empty() {
            return Ok(());
        }
        let address = packs.address(at)?;
        let (is_lost, occurrence) = match self.seen.get(&address) {
            Some(is_lost) => (*is_lost, Occurrence::Again),
            None => (self.is_lost(of.contents, block, address)?, Occurrence::First),
        };
        self.seen.insert(address, is_lost);
        if !is_lost {
            return Ok(());
        }
        let class = packs.table().get(at.pack).map_or(Class::Data, |record| record.class);
        if doubtful.first() == Some(&address) {
            doubtful.clear();
        }
        let (At { snapshot, record, kind, .. }, rests_on) = (of, doubtful);
        (self.take)(&LostUse {
            snapshot,
            record,
            kind,
            block,
            address,
            class,
            rests_on,
            occurrence,
        });
        Ok(())
    }

    fn is_lost(&self, contents: &Contents, block: &Block, address: EntryAddress) -> Result<bool> {
        self.monitor.check()?;
        let packs = contents.packs();
        let is_gone = self.bad.get(&address.pack) == Some(&BadPack::Gone);
        if is_gone && packs.copies_of(address).is_empty() {
            return Ok(true);
        }
        let Some(wanted) = block.wanted() else { return Ok(false) };
        Ok(passed_over(packs.block(wanted.at, wanted.hash))?.is_none())
    }
}
