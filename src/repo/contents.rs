//! The contents of a snapshot, opened: its packs, its member table, its internal members, its
//! members' entries.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::ids::SourceId;
use crate::base::ids::Storage;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::pack_table::TableTail;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::map::table::TableReader;
use crate::map::view::MapPage;
use crate::map::view::MapView;
use crate::map::view::Translation;
use crate::pack::reader::Packs;
use crate::pack::reader::Wanted;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// The opened content of one snapshot: its packs, member table, and internal members.
#[derive(Debug, Clone)]
pub struct Contents {
    packs: Arc<Packs>,
    table: Arc<TableReader>,
    internal: Vec<MemberRecord>,
    /// The indices of its packs in the table of `packs`.
    translation: Translation,
}

/// Opens snapshots one after the other, the newest first. Snapshots of one source share what was
/// read of their packs: opening each costs what its table has that the newest lacks.
#[derive(Debug)]
pub struct Opener<'r> {
    repository: &'r Repository,
    monitor: &'r Arc<Monitor>,
    newest: HashMap<SourceId, (TableTail, Arc<Packs>)>,
}

impl<'r> Opener<'r> {
    /// Creates an opener that has read nothing.
    pub fn new(repository: &'r Repository, monitor: &'r Arc<Monitor>) -> Self {
        Opener { repository, monitor, newest: HashMap::new() }
    }

    /// Creates an opener that knows the packs of one snapshot.
    #[must_use]
    pub fn knowing(self, stored: &StoredSnapshot, packs: Arc<Packs>) -> Self {
        let mut newest = self.newest;
        newest.insert(stored.name.source, (stored.snapshot.packs.clone(), packs));
        Self { newest, ..self }
    }

    /// Opens what a snapshot contains.
    pub fn open(&mut self, stored: &StoredSnapshot) -> Result<Contents> {
        let tail = &stored.snapshot.packs;
        let Some((newest, packs)) = self.newest.get(&stored.name.source) else {
            let packs = self.repository.packs_of(stored, self.monitor)?;
            let entry = (tail.clone(), Arc::clone(&packs));
            self.newest.insert(stored.name.source, entry);
            return Ok(Contents::new(packs, stored, Translation::same()));
        };
        let beside = self.repository.pack_table_beside(tail, newest, self.monitor)?;
        if beside.is_within(&packs.table()) {
            let translation = beside.translation(&packs.table());
            return Ok(Contents::new(Arc::clone(packs), stored, translation));
        }
        // A run that raced with the newest names packs that are not in its table.
        self.repository.contents(stored, self.monitor)
    }
}

impl Repository {
    /// Opens what a snapshot contains.
    pub fn contents(&self, stored: &StoredSnapshot, monitor: &Arc<Monitor>) -> Result<Contents> {
        let packs = self.packs_of(stored, monitor)?;
        Ok(Contents::new(packs, stored, Translation::same()))
    }
}

impl Contents {
    fn new(packs: Arc<Packs>, stored: &StoredSnapshot, translation: Translation) -> Self {
        let root = stored.snapshot.table;
        let table = Arc::new(TableReader::new(Arc::clone(&packs), root, translation.clone()));
        Self { packs, table, internal: stored.snapshot.internal.clone(), translation }
    }

    /// Returns the records of the internal members.
    pub fn internal(&self) -> &[MemberRecord] {
        &self.internal
    }

    /// Returns how the pack indices of the snapshot are translated to those of its packs' table.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// Returns the reader of the snapshot's packs.
    pub fn packs(&self) -> &Arc<Packs> {
        &self.packs
    }

    /// Returns the reader of the snapshot's member table.
    pub fn table(&self) -> &TableReader {
        &self.table
    }

    /// Returns the record of a member that must be in the table; fails if it is not.
    pub fn member(&self, key: &MemberKey) -> Result<MemberRecord> {
        self.table.find(key)?.ok_or_else(|| {
            let what = format!("the script names {}, which is not in the table", key.display());
            Error::new(ErrorKind::Damaged, what)
        })
    }

    /// Returns a view of the map of a member.
    pub fn map(&self, record: MemberRecord) -> MapView {
        MapView::new(Arc::clone(&self.packs), record, self.translation.clone())
    }

    /// Returns an iterator over the entries of a member, in order.
    pub fn entries(&self, record: MemberRecord) -> Entries {
        let view = self.map(record);
        Entries { view, page: None, leaf: 0, within: 0, block: 0, at: 0 }
    }

    /// Hands the bytes of an internal member to `each`, piece by piece; nothing if there is none.
    pub fn read_internal(
        &self,
        name: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let found = self.internal.iter().find(|record| record.key.path == name.as_bytes());
        let Some(record) = found else { return Ok(()) };
        let mut entries = self.entries(record.clone());
        while let Some(block) = entries.next()? {
            let wanted = block.wanted();
            match wanted {
                None => each(&vec![0; usize_of(block.entry.length)])?,
                Some(wanted) => self.packs.read(&[wanted], &mut |_, bytes| each(bytes?))?,
            }
        }
        Ok(())
    }
}

/// A block of a member, as its map describes it.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// The number of the block in the member, counted from 0.
    pub number: u64,
    /// The offset of the block in the member, in bytes.
    pub at: u64,
    /// The map entry of the block: hash, storage and length.
    pub entry: Entry,
}

impl Block {
    /// Returns what has to be read for the block; `None` for zeros.
    pub fn wanted(&self) -> Option<Wanted> {
        let Entry { hash, storage, length } = self.entry;
        match storage {
            Storage::Zero => None,
            Storage::Whole(at) | Storage::Delta { at, .. } => Some(Wanted { at, hash, length }),
        }
    }
}

/// The blocks of a member in order; one map page is held at a time.
#[derive(Debug)]
pub struct Entries {
    view: MapView,
    page: Option<Arc<MapPage>>,
    leaf: u64,
    within: usize,
    block: u64,
    at: u64,
}

impl Entries {
    /// Returns the record of the member.
    pub fn record(&self) -> &MemberRecord {
        self.view.record()
    }

    /// Continues with a block that an earlier reader of the same member returned.
    pub fn go_to(&mut self, block: &Block) {
        let entries = u64_of(MAP_PAGE_ENTRIES);
        (self.page, self.leaf) = (None, block.number / entries);
        self.within = usize_of(block.number % entries);
        (self.block, self.at) = (block.number, block.at);
    }

    /// Returns the next block; `None` after the last.
    #[expect(clippy::should_implement_trait, reason = "a step can fail")]
    pub fn next(&mut self) -> Result<Option<Block>> {
        loop {
            let page = match &self.page {
                Some(page) => page,
                None => match self.view.page(0, self.leaf)? {
                    Some(page) => self.page.insert(page),
                    None => return self.end(),
                },
            };
            if let Some(entry) = page.entries.get(self.within).copied() {
                let block = Block { number: self.block, at: self.at, entry };
                self.within += 1;
                self.block += 1;
                self.at += entry.length;
                return Ok(Some(block));
            }
            self.page = None;
            self.leaf += 1;
            self.within = 0;
        }
    }

    /// Checks that the blocks add up to the member's length and number of blocks.
    fn end(&self) -> Result<Option<Block>> {
        let record = self.view.record();
        if self.at == record.length && self.block == record.block_count() {
            return Ok(None);
        }
        let what = format!("the map of {}", record.key.display());
        Err(Error::damaged(what, "its blocks do not add up to the member's length"))
    }
}
