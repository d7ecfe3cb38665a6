//! The previous versions of the stream's members, in earlier snapshots of the source.
//!
//! The newest snapshot that may be a base comes first; a newer partial or a checkpoint overlays it
//! member by member. Up to four older ones follow it, because the newest may come from another node
//! of the cluster, and if all of these are increments, the full backup that they build on, because
//! only that has whole tablespaces. Those are read when they are first asked for: by a member that
//! is not in the newest, or whose beginning is mostly unlike it, or was short there. Entries of
//! older snapshots in packs that the newest does not name (those of a run that raced with it) are
//! not used.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;

use crate::base::crew::lock;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::snapshot::Snapshot;
use crate::format::snapshot::SnapshotKind;
use crate::innodb::TablespaceFormat;
use crate::map::table::TableReader;
use crate::map::view::MapView;
use crate::map::view::Translation;
use crate::pack::reader::Packs;
use crate::repo::lineage::Ancestry;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// Tablespace ids that are remembered to find renamed tables.
const SPACES_MAX: usize = 1 << 17;

/// The table of a previous snapshot.
#[derive(Debug)]
pub struct PreviousTable {
    /// Reads the members of the snapshot.
    pub reader: TableReader,
    /// An increment has none.
    pub has_whole_tablespaces: bool,
}

impl PreviousTable {
    /// Creates the table of a snapshot whose entries `translation` turns into those of `packs`.
    pub fn new(packs: &Arc<Packs>, stored: &StoredSnapshot, translation: Translation) -> Self {
        let Snapshot { about, table, .. } = &stored.snapshot;
        let reader = TableReader::new(Arc::clone(packs), *table, translation);
        let has_whole_tablespaces = about.kind != SnapshotKind::Incremental;
        Self { reader, has_whole_tablespaces }
    }

    fn view(&self, packs: &Arc<Packs>, record: MemberRecord) -> Arc<MapView> {
        let translation = self.reader.translation().clone();
        Arc::new(MapView::new(Arc::clone(packs), record, translation))
    }
}

/// The previous snapshots of a source, most useful first.
#[derive(Debug, Default)]
pub struct Previous {
    packs: Option<Arc<Packs>>,
    newest: Vec<PreviousTable>,
    older: OnceLock<Vec<PreviousTable>>,
    /// The snapshots before the newest.
    behind: Option<Mutex<Ancestry>>,
    /// Key of the member of each tablespace id in the newest table that has whole tablespaces; made
    /// when a path is not found.
    spaces: OnceLock<HashMap<u32, MemberKey>>,
}

/// Previous versions of a member.
#[derive(Debug, Default)]
pub struct Versions {
    /// Their maps, most useful first.
    pub views: Vec<Arc<MapView>>,
    /// True if the first version is the parent's member of the same path.
    pub follows_parent: bool,
    /// True if older snapshots were looked at.
    pub with_older: bool,
}

impl Previous {
    /// Takes the tables of the newest snapshots, the first of which is the parent's, and the
    /// snapshots before them.
    pub fn new(packs: Arc<Packs>, newest: Vec<PreviousTable>, behind: Option<Ancestry>) -> Self {
        let behind = behind.map(Mutex::new);
        Self { packs: Some(packs), newest, behind, ..Self::default() }
    }

    /// Returns the table of the parent.
    pub fn parent(&self) -> Option<&TableReader> {
        self.newest.first().map(|table| &table.reader)
    }

    /// Returns the table of the newest snapshot that is not partial, or of the parent if all
    /// are.
    pub fn newest_whole(&self) -> Option<&TableReader> {
        self.newest.last().map(|table| &table.reader)
    }

    /// Returns the snapshots that could not be read.
    pub fn damaged(&self) -> Vec<SnapshotName> {
        let Some(behind) = &self.behind else { return Vec::new() };
        lock(behind).damaged().to_vec()
    }

    fn older(&self) -> &[PreviousTable] {
        self.older.get_or_init(|| {
            let (Some(packs), Some(behind)) = (&self.packs, &self.behind) else {
                return Vec::new();
            };
            let mut ancestry = lock(behind);
            let mut tables = Vec::new();
            while let Some((stored, table)) = ancestry.next_with_table() {
                let translation = table.translation(&packs.table());
                tables.push(PreviousTable::new(packs, &stored, translation));
            }
            tables
        })
    }

    /// Returns all tables; the older ones are read when it comes to them.
    fn tables(&self) -> impl Iterator<Item = &PreviousTable> {
        self.newest.iter().chain(iter::once_with(|| self.older()).flatten())
    }

    /// Returns the previous versions of a member that is cut like `blocks`, in the newest snapshots
    /// or, if they have none, in older ones.
    pub fn member(
        &self,
        key: &MemberKey,
        format: Option<TablespaceFormat>,
        blocks: Blocks,
    ) -> Versions {
        let Some(packs) = &self.packs else { return Versions::default() };
        let mut views = Vec::new();
        let mut follows_parent = false;
        for (number, table) in self.newest.iter().enumerate() {
            // A table that can't be read knows nothing; the run goes on without it.
            let found = find_in(&table.reader, key).ok().flatten();
            if let Some(record) = found.filter(|record| record.blocks == blocks) {
                follows_parent |= number == 0;
                views.push(table.view(packs, record));
            }
        }
        if !views.is_empty() {
            return Versions { views, follows_parent, with_older: false };
        }
        views = self.older_member(key, blocks);
        if views.is_empty()
            && let Some((table, record)) = self.by_space(format)
            && record.blocks == blocks
        {
            // The member of that path is another one, so nothing of it counts as released.
            views.push(table.view(packs, record));
        }
        Versions { views, follows_parent, with_older: true }
    }

    /// Returns the maps of the versions of a member in older snapshots.
    pub fn older_member(&self, key: &MemberKey, blocks: Blocks) -> Vec<Arc<MapView>> {
        let Some(packs) = &self.packs else { return Vec::new() };
        let view = |table: &PreviousTable| {
            let found = find_in(&table.reader, key).ok().flatten();
            let record = found.filter(|record| record.blocks == blocks)?;
            Some(table.view(packs, record))
        };
        self.older().iter().filter_map(view).collect()
    }

    /// Returns the previous version of a tablespace of which the changed pages come, its file being
    /// called `stem`. It does not count as the parent's version, which has another path.
    pub fn tablespace(&self, stem: &[u8], format: TablespaceFormat) -> Versions {
        let (Some(packs), Some((table, record))) = (&self.packs, self.whole_file(stem, format))
        else {
            return Versions::default();
        };
        Versions { views: vec![table.view(packs, record)], ..Versions::default() }
    }

    /// Returns the format of a tablespace's previous version, and the number of its first page.
    pub fn format_of(
        &self,
        stem: &[u8],
        stated: TablespaceFormat,
    ) -> Option<(TablespaceFormat, u32)> {
        let (_, record) = self.whole_file(stem, stated)?;
        let format = TablespaceFormat::decode(record.page_format).ok()?;
        (format.page_size() == stated.page_size()).then_some((format, record.first_page))
    }

    /// Returns the newest record of the whole file of a tablespace, under its path or another.
    fn whole_file(
        &self,
        stem: &[u8],
        stated: TablespaceFormat,
    ) -> Option<(&PreviousTable, MemberRecord)> {
        let key = MemberKey { path: stem.to_vec(), incarnation: 0 };
        let of_same_space = |record: &MemberRecord| {
            let format = TablespaceFormat::decode(record.page_format).ok();
            format.is_some_and(|format| format.space() == stated.space())
        };
        let found = self.tables().find_map(|table| {
            let record = table.reader.find(&key).ok().flatten().filter(of_same_space)?;
            Some((table, record))
        });
        found.or_else(|| self.by_space(Some(stated)))
    }

    /// Returns the member of the same tablespace under another path: a renamed table.
    fn by_space(&self, format: Option<TablespaceFormat>) -> Option<(&PreviousTable, MemberRecord)> {
        let space = format?.space()?.get();
        let table =
            self.tables().find(|table| table.has_whole_tablespaces).or(self.newest.first())?;
        let spaces = || spaces_of(&table.reader).unwrap_or_default();
        let key = self.spaces.get_or_init(spaces).get(&space)?;
        Some((table, table.reader.find(key).ok()??))
    }
}

/// Returns the record of a member, or of the file that a `.new` one replaces.
fn find_in(table: &TableReader, key: &MemberKey) -> Result<Option<MemberRecord>> {
    let found = table.find(key)?;
    if found.is_some() {
        return Ok(found);
    }
    let Some(stem) = key.path.strip_suffix(b".new") else { return Ok(None) };
    let path = [stem, b".ibd"].concat();
    table.find(&MemberKey { path, incarnation: 0 })
}

fn spaces_of(table: &TableReader) -> Result<HashMap<u32, MemberKey>> {
    let mut spaces = HashMap::new();
    table.walk(&mut |record| {
        let format = TablespaceFormat::decode(record.page_format).ok();
        if let Some(space) = format.and_then(TablespaceFormat::space)
            && record.first_page == 0
            && spaces.len() < SPACES_MAX
        {
            spaces.insert(space.get(), record.key.clone());
        }
        Ok(())
    })?;
    Ok(spaces)
}

/// Returns the entries of blocks `from..from + count` of a map cut at multiples; fewer where the
/// map ends.
///
/// A page that can't be read ends them: its blocks are stored again, which repairs more than it
/// costs.
pub fn entries(view: &MapView, from: u64, count: usize) -> Vec<Entry> {
    let mut out = Vec::with_capacity(count);
    let fan_out = u64_of(MAP_PAGE_ENTRIES);
    while out.len() < count {
        let block = from + u64_of(out.len());
        let Ok(Some(page)) = view.page(0, block / fan_out) else { break };
        let start = usize_of(block % fan_out);
        let missing = count - out.len();
        let Some(found) = page.entries.get(start..) else { break };
        if found.is_empty() {
            break;
        }
        out.extend(found.iter().take(missing));
    }
    out
}
