//! What earlier snapshots of a source know about the members of tonight's stream.
//!
//! The newest snapshot that may be a base comes first; a newer partial or a checkpoint overlays it
//! member by member; up to four older ones stand behind it, because the newest may come from
//! another donor.

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
    /// Key of the member of each tablespace id in the first table; made when a path is not found.
    spaces: OnceLock<HashMap<u32, MemberKey>>,
}

impl Former {
    /// The tables of former snapshots, most useful first; the first is the predecessor's.
    pub fn new(packs: Arc<Packs>, tables: Vec<TableReader>) -> Former {
        Former { tables, packs: Some(packs), spaces: OnceLock::new() }
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
            && let Some(record) = self.by_space(format, blocks)
            && let Some(table) = self.tables.first()
        {
            let translation = table.translation().clone();
            // The member of that path is another one, so nothing of it counts as released.
            views.push((1, Arc::new(MapView::new(Arc::clone(packs), record, translation))));
        }
        views
    }

    /// The member of the same tablespace under another path: a renamed table.
    fn by_space(&self, format: Option<TablespaceFormat>, blocks: Blocks) -> Option<MemberRecord> {
        let table = self.tables.first()?;
        let space = format?.space()?.get();
        let key = self.spaces.get_or_init(|| spaces_of(table).unwrap_or_default()).get(&space)?;
        table.find(key).ok()?.filter(|record| record.blocks == blocks)
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
