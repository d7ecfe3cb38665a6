//! What earlier snapshots of a source know about the members of tonight's stream.
//!
//! The newest snapshot that may be a base comes first; a newer partial or a checkpoint overlays it
//! member by member; up to four older ones stand behind it, because the newest may come from
//! another donor. If all of these are increments, the full backup that they build on comes last:
//! only that has whole tablespaces.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;

use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::num::narrow;
use crate::base::num::wide;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::innodb::TablespaceFormat;
use crate::map::table::TableReader;
use crate::map::view::MapView;
use crate::pack::reader::Packs;

/// Tablespace ids that are remembered to find renamed tables.
const SPACES_MAX: usize = 1 << 17;

/// The former snapshots of a source, most useful first.
#[derive(Debug, Default)]
pub struct Former {
    tables: Vec<TableReader>,
    packs: Option<Arc<Packs>>,
    /// Key of the member of each tablespace id in the newest table that has whole tablespaces; made
    /// when a path is not found.
    spaces: OnceLock<HashMap<u32, MemberKey>>,
    /// The number of that table.
    whole: usize,
}

impl Former {
    /// The tables of former snapshots, most useful first; the first is the predecessor's, the one
    /// of number `whole` the first that is of no increment.
    pub fn new(packs: Arc<Packs>, tables: Vec<TableReader>, whole: usize) -> Former {
        Former { tables, packs: Some(packs), spaces: OnceLock::new(), whole }
    }

    /// The tables.
    pub fn tables(&self) -> &[TableReader] {
        &self.tables
    }

    /// Maps of the former versions of a member that is cut like `blocks`, each with the number of
    /// its table.
    pub fn member(
        &self,
        key: &MemberKey,
        format: Option<TablespaceFormat>,
        blocks: Blocks,
    ) -> Vec<(usize, Arc<MapView>)> {
        let mut views = Vec::new();
        let Some(packs) = &self.packs else { return views };
        for (number, table) in self.tables.iter().enumerate() {
            // A table that can't be read knows nothing; the run goes on without it.
            let found = find_in(table, key).ok().flatten();
            if let Some(record) = found.filter(|record| record.blocks == blocks) {
                let translation = table.translation().clone();
                views
                    .push((number, Arc::new(MapView::new(Arc::clone(packs), record, translation))));
            }
        }
        if views.is_empty()
            && let Some((table, record)) = self.by_space(format)
            && record.blocks == blocks
        {
            let translation = table.translation().clone();
            // The member of that path is another one, so nothing of it counts as released.
            views.push((1, Arc::new(MapView::new(Arc::clone(packs), record, translation))));
        }
        views
    }

    /// Maps of the former versions of a tablespace of which the changed pages come, its file being
    /// called `stem`. None of them counts as that of the predecessor: that has another path.
    pub fn tablespace(&self, stem: &[u8], format: TablespaceFormat) -> Vec<(usize, Arc<MapView>)> {
        let Some(packs) = &self.packs else { return Vec::new() };
        let Some((table, record)) = self.whole_file(stem, format) else { return Vec::new() };
        let translation = table.translation().clone();
        vec![(1, Arc::new(MapView::new(Arc::clone(packs), record, translation)))]
    }

    /// The format of a tablespace's former version, and the number of its first page.
    pub fn format_of(
        &self,
        stem: &[u8],
        stated: TablespaceFormat,
    ) -> Option<(TablespaceFormat, u32)> {
        let (_, record) = self.whole_file(stem, stated)?;
        let format = TablespaceFormat::decode(record.page_format).ok()?;
        (format.page_size() == stated.page_size()).then_some((format, record.first_page))
    }

    /// The newest record of the whole file of a tablespace, under its path or another.
    fn whole_file(
        &self,
        stem: &[u8],
        stated: TablespaceFormat,
    ) -> Option<(&TableReader, MemberRecord)> {
        let key = MemberKey { path: stem.to_vec(), incarnation: 0 };
        let of_same_space = |record: &MemberRecord| {
            let format = TablespaceFormat::decode(record.page_format).ok();
            format.is_some_and(|format| format.space() == stated.space())
        };
        let found = self.tables.iter().find_map(|table| {
            let record = table.find(&key).ok().flatten().filter(of_same_space)?;
            Some((table, record))
        });
        found.or_else(|| self.by_space(Some(stated)))
    }

    /// The member of the same tablespace under another path: a renamed table.
    fn by_space(&self, format: Option<TablespaceFormat>) -> Option<(&TableReader, MemberRecord)> {
        let table = self.tables.get(self.whole)?;
        let space = format?.space()?.get();
        let key = self.spaces.get_or_init(|| spaces_of(table).unwrap_or_default()).get(&space)?;
        Some((table, table.find(key).ok()??))
    }
}

/// The record of a member, or of the file that a `.new` one replaces.
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

/// The entries of blocks `from..from + count` of a map cut at multiples; fewer where the map ends.
///
/// A page that can't be read ends them: its blocks are stored again, which repairs more than it
/// costs.
pub fn entries(view: &MapView, from: u64, count: usize) -> Vec<Entry> {
    let mut out = Vec::with_capacity(count);
    let fan_out = wide(MAP_PAGE_ENTRIES);
    while out.len() < count {
        let block = from + wide(out.len());
        let Ok(Some(page)) = view.page(0, block / fan_out) else { break };
        let start = narrow(block % fan_out);
        let missing = count - out.len();
        let Some(found) = page.entries.get(start..) else { break };
        if found.is_empty() {
            break;
        }
        out.extend(found.iter().take(missing));
    }
    out
}
