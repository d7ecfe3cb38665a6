//! Tells what a repository holds, and what a snapshot's files added to it.
//!
//! One listing shows what the repository holds, and the snapshots say what each night added. The
//! share of a file is counted from maps and directories: a block belongs to the night whose run
//! wrote its pack, and takes its share of the frame that it shares. Map pages of earlier runs are
//! not read: they name nothing that is new.
//!
//! One thread walks: 20,000 members take 0.06 s, half of it in their maps, and `diff` of two such
//! snapshots takes 0.05 s in all. Over a network the walk waits for directories.

pub mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::layout::Object;
use crate::format::pack_table::PackTable;
use crate::format::record::MapRoot;
use crate::format::record::MemberRecord;
use crate::map::view::MapView;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::inventory::Inventory;
use crate::repo::inventory::Objects;
use crate::repo::snapshots::StoredSnapshot;

/// The objects and bytes that a repository holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Packs with the blocks of members.
    pub data_packs: Objects,
    /// Packs of maps, tables and lists, first and second copies.
    pub meta_packs: Objects,
    /// Objects that describe a snapshot.
    pub snapshots: Objects,
    /// All the rest: keys, runs, records.
    pub other: Objects,
}

impl Holdings {
    /// Returns the sum of all kinds of objects.
    pub fn all(&self) -> Objects {
        let Self { data_packs, meta_packs, snapshots, other } = *self;
        [data_packs, meta_packs, snapshots, other].iter().fold(Objects::default(), |sum, kind| {
            Objects { count: sum.count + kind.count, bytes: sum.bytes + kind.bytes }
        })
    }
}

/// The amount that a snapshot's run added to the repository for one file of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberShare {
    /// Path of the file in the snapshot.
    pub path: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Blocks that this run stored.
    pub blocks: u64,
    /// Raw bytes of them.
    pub raw_bytes: u64,
    /// Bytes that they take in the repository.
    pub stored_bytes: u64,
}

/// Counts the objects of a repository: one listing.
pub fn holdings(repository: &Repository) -> Result<Holdings> {
    let inventory = Inventory::of_all(&**repository.store())?;
    let mut held = Holdings { other: inventory.unknown_all(), ..Holdings::default() };
    for (object, bytes) in inventory.others() {
        let is_snapshot = matches!(object, Object::Snapshot { .. });
        let kind = if is_snapshot { &mut held.snapshots } else { &mut held.other };
        kind.add(bytes);
    }
    inventory.twins().for_each(|(_, bytes)| held.meta_packs.add(bytes));
    for (name, bytes) in inventory.packs() {
        // Only meta packs have a second copy.
        let is_meta = inventory.size(&Object::Twin(name)).is_some();
        let kind = if is_meta { &mut held.meta_packs } else { &mut held.data_packs };
        kind.add(bytes);
    }
    Ok(held)
}

/// Calls `each` for every file of a snapshot with what its run stored for it; returns the bytes of
/// the maps and lists that it stored in addition, both copies.
pub fn shares(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
    each: &mut dyn FnMut(MemberShare) -> Result<()>,
) -> Result<u64> {
    let monitor = &world.monitor;
    // Which run a pack is of stands in its directory, which is sealed like its frames.
    repository.require_data()?;
    let contents = repository.contents(stored, monitor)?;
    let own = own_packs(repository, stored, &contents, monitor)?;
    contents.table().walk(&mut |record| {
        monitor.check()?;
        let mut share = MemberShare {
            path: record.key.display(),
            bytes: record.length,
            ..MemberShare::default()
        };
        let walk = Walk { own: &own, contents: &contents, map: contents.map(record.clone()) };
        walk.member(record, &mut share)?;
        each(share)
    })?;
    let table = contents.packs().table();
    let meta = own.iter().filter(|(_, class)| **class == Class::Meta);
    Ok(meta.filter_map(|(at, _)| table.get(*at)).map(|record| record.bytes * 2).sum())
}

/// Returns the packs of the snapshot's own run, and of which class they are.
fn own_packs(
    repository: &Repository,
    stored: &StoredSnapshot,
    contents: &Contents,
    monitor: &Arc<Monitor>,
) -> Result<BTreeMap<PackIndex, Class>> {
    let known = parent_table(repository, stored, monitor)?;
    let candidates: Vec<_> = {
        let table = contents.packs().table();
        let is_new = |name| known.as_ref().is_none_or(|known| known.find(name).is_none());
        let packs = table.iter().filter(|(_, record)| is_new(&record.name));
        packs.map(|(at, record)| (at, record.name, record.class)).collect()
    };
    let mut own = BTreeMap::new();
    for (at, name, class) in candidates {
        // What was taken over from a sibling is new in the table, but not this run's.
        if contents.packs().open(&name)?.run().to_string() == stored.snapshot.about.run {
            own.insert(at, class);
        }
    }
    Ok(own)
}

/// Returns the pack table of the parent, if that is there still.
fn parent_table(
    repository: &Repository,
    stored: &StoredSnapshot,
    monitor: &Arc<Monitor>,
) -> Result<Option<PackTable>> {
    let Some(parent) = &stored.snapshot.about.parent else { return Ok(None) };
    let names = repository.snapshot_names(Some(stored.name.source))?;
    let Some(name) = names.iter().find(|name| name.id.to_string() == *parent) else {
        return Ok(None);
    };
    let previous = repository.read_snapshot(name)?;
    repository.pack_table(&previous.snapshot.packs, monitor).map(Some)
}

struct Walk<'w> {
    own: &'w BTreeMap<PackIndex, Class>,
    contents: &'w Contents,
    map: MapView,
}

impl Walk<'_> {
    fn is_own(&self, entry: &Entry) -> bool {
        entry.storage.locator().is_some_and(|at| self.own.contains_key(&at.pack))
    }

    fn member(&self, record: &MemberRecord, share: &mut MemberShare) -> Result<()> {
        match &record.map {
            MapRoot::Inline(_) => self.page(0, 0, share),
            MapRoot::Tree { levels, root, .. } if self.is_own(root) => {
                self.page(levels - 1, 0, share)
            }
            MapRoot::Tree { .. } => Ok(()),
        }
    }

    fn page(&self, level: u8, number: u64, share: &mut MemberShare) -> Result<()> {
        let Some(page) = self.map.page(level, number)? else { return Ok(()) };
        for (at, entry) in page.entries.iter().enumerate() {
            let Some(place) = entry.storage.locator().filter(|_| self.is_own(entry)) else {
                continue;
            };
            if level > 0 {
                self.page(level - 1, number * u64_of(MAP_PAGE_ENTRIES) + u64_of(at), share)?;
                continue;
            }
            share.blocks += 1;
            share.raw_bytes += entry.length;
            share.stored_bytes += self.stored_bytes(place)?;
        }
        Ok(())
    }

    /// Returns a block's share, or its record's, of the frame that holds it.
    fn stored_bytes(&self, at: Locator) -> Result<u64> {
        let address = self.contents.packs().address(at)?;
        let pack = self.contents.packs().open(&address.pack)?;
        let (slot, frame) = pack.directory().slot(at.entry).ok_or_else(|| {
            Error::damaged("a map", "it names an entry that its pack does not have")
        })?;
        let raw = u64::from(frame.raw).max(1);
        Ok((u64::from(slot.record) * u64::from(frame.stored)).div_ceil(raw))
    }
}
