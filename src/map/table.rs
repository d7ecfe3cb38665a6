//! The member table: found by key, walked in order, written sorted (FORMAT.md 7.3).

use std::sync::Arc;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::MAP_LEVELS_MAX;
use crate::base::limits::TABLE_PAGE_BYTES_MAX;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::snapshot::TableRoot;
use crate::format::table_page;
use crate::format::table_page::PageKind;
use crate::format::table_page::TablePage;
use crate::map::MetaSink;
use crate::map::PreviousPage;
use crate::map::view::Translation;
use crate::pack::cache::Cache;
use crate::pack::reader::Packs;

/// A page of records ends after a key whose hash has these bits zero.
const RECORDS_END_MASK: u8 = 0x1f;
/// An index page ends after a key whose hash has these bits zero.
const INDEX_END_MASK: u8 = 0x3f;
/// Decoded pages that a reader keeps, counted by their encoded bytes.
const CACHE_BYTES: usize = 2 << 20;

/// Reads the table of one snapshot.
#[derive(Debug)]
pub struct TableReader {
    packs: Arc<Packs>,
    translation: Translation,
    root: Option<TableRoot>,
    pages: Mutex<Cache<[u8; 16], (TablePage, PreviousPage)>>,
}

impl TableReader {
    /// Creates a reader of the table at `root`, whose entries `translation` turns into those of
    /// `packs`.
    pub fn new(packs: Arc<Packs>, root: Option<TableRoot>, translation: Translation) -> Self {
        Self { packs, translation, root, pages: Mutex::new(Cache::new(CACHE_BYTES)) }
    }

    /// Returns how the entries of the table's records are translated.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    fn page(&self, entry: Entry) -> Result<Arc<(TablePage, PreviousPage)>> {
        let key = entry.hash.0;
        let kept = lock(&self.pages).get(&key);
        if let Some(page) = kept {
            return Ok(page);
        }
        let damaged = |why: Malformed| Error::damaged("the member table", why);
        let entry = self.translation.entry(entry)?;
        let Some(at) = entry.storage.locator() else {
            return Err(damaged(Malformed { what: "table page", why: "is named as zeros" }));
        };
        let chain = self.packs.block_at(self.packs.address(at)?, entry.hash)?;
        let page = TablePage::decode(&chain.bytes).map_err(damaged)?;
        let bytes = chain.bytes.len() * 3;
        let packs = self.packs.indices_of(&chain.packs);
        let previous = PreviousPage { text: chain.bytes, entry, whole: chain.whole, packs };
        let page = Arc::new((page, previous));
        let mut pages = lock(&self.pages);
        pages.put(key, Arc::clone(&page), bytes);
        Ok(page)
    }

    /// Returns the record of a member; `None` if it is not in the table.
    pub fn find(&self, key: &MemberKey) -> Result<Option<MemberRecord>> {
        let Some(page) = self.leaf_for(key)? else { return Ok(None) };
        let TablePage::Records(records) = &page.0 else { return Ok(None) };
        let found = records.binary_search_by(|record| record.key.cmp(key));
        Ok(found.ok().map(|at| records[at].clone()))
    }

    /// Returns the page of records that holds `key` if any does.
    fn leaf_for(&self, key: &MemberKey) -> Result<Option<Arc<(TablePage, PreviousPage)>>> {
        let Some(root) = self.root else { return Ok(None) };
        let mut page = self.page(root.root)?;
        for _ in 0..MAP_LEVELS_MAX {
            let entry = match &page.0 {
                TablePage::Records(_) => return Ok(Some(page)),
                TablePage::Index(items) => {
                    let after = items.partition_point(|(first, _)| first <= key);
                    items[after.saturating_sub(1)].1
                }
            };
            page = self.page(entry)?;
        }
        Err(Error::damaged("the member table", "it has too many levels"))
    }

    /// Returns the previous version of the page that begins with `key`.
    fn previous(&self, kind: PageKind, key: &MemberKey) -> Option<PreviousPage> {
        // A previous page that can't be read only costs the difference to it.
        match kind {
            PageKind::Records => Some(self.leaf_for(key).ok()??.1.clone()),
            PageKind::Index => Some(self.page(self.root?.root).ok()?.1.clone()),
        }
    }

    /// Calls `each` for every record, in order of the keys.
    pub fn walk(&self, each: &mut dyn FnMut(&MemberRecord) -> Result<()>) -> Result<()> {
        let mut cursor = self.cursor();
        while let Some(record) = cursor.next()? {
            each(&record)?;
        }
        Ok(())
    }

    /// Calls `each` for every page, the pages of records in order of their keys.
    pub fn visit_pages(
        &self,
        each: &mut dyn FnMut(&TablePage, &PreviousPage) -> Result<()>,
    ) -> Result<()> {
        let mut waiting: Vec<(Entry, u8)> =
            self.root.map(|root| (root.root, 0)).into_iter().collect();
        while let Some((entry, depth)) = waiting.pop() {
            if depth > MAP_LEVELS_MAX {
                return Err(Error::damaged("the member table", "it has too many levels"));
            }
            let page = self.page(entry)?;
            each(&page.0, &page.1)?;
            if let TablePage::Index(items) = &page.0 {
                waiting.extend(items.iter().rev().map(|(_, below)| (*below, depth + 1)));
            }
        }
        Ok(())
    }

    /// Returns a cursor over the records from the first whose key is not before `key`; pages that
    /// hold only earlier records are not read.
    pub fn cursor_from(&self, key: &MemberKey) -> Result<TableCursor<'_>> {
        let mut path = Vec::new();
        let mut below = self.root.map(|root| root.root);
        while let Some(entry) = below {
            if path.len() > usize::from(MAP_LEVELS_MAX) {
                return Err(Error::damaged("the member table", "it has too many levels"));
            }
            let page = self.page(entry)?;
            let next = match &page.0 {
                TablePage::Records(records) => {
                    below = None;
                    records.partition_point(|record| record.key < *key)
                }
                TablePage::Index(items) => {
                    let after = items.partition_point(|(first, _)| first <= key).max(1);
                    below = items.get(after - 1).map(|(_, entry)| *entry);
                    after
                }
            };
            path.push((page, next));
        }
        Ok(TableCursor { table: self, root: None, path })
    }

    /// Returns a cursor over the records in order of the keys.
    pub fn cursor(&self) -> TableCursor<'_> {
        TableCursor { table: self, root: self.root.map(|root| root.root), path: Vec::new() }
    }
}

/// A walk through a table that is in no hurry.
#[derive(Debug)]
pub struct TableCursor<'t> {
    table: &'t TableReader,
    root: Option<Entry>,
    /// Pages from the root down, each with the number of the item that comes next.
    path: Vec<(Arc<(TablePage, PreviousPage)>, usize)>,
}

impl TableCursor<'_> {
    /// Returns the next record; `None` after the last.
    #[allow(clippy::should_implement_trait, reason = "a step can fail")]
    pub fn next(&mut self) -> Result<Option<MemberRecord>> {
        if let Some(root) = self.root.take() {
            self.path.push((self.table.page(root)?, 0));
        }
        while let Some((page, at)) = self.path.last_mut() {
            *at += 1;
            let below = match &page.0 {
                TablePage::Records(records) => match records.get(*at - 1) {
                    Some(record) => return Ok(Some(record.clone())),
                    None => None,
                },
                TablePage::Index(items) => items.get(*at - 1).map(|(_, entry)| *entry),
            };
            match below {
                None => {
                    self.path.pop();
                }
                Some(_) if self.path.len() > usize::from(MAP_LEVELS_MAX) => {
                    return Err(Error::damaged("the member table", "it has too many levels"));
                }
                Some(entry) => self.path.push((self.table.page(entry)?, 0)),
            }
        }
        Ok(None)
    }
}

/// Writes a table from records that arrive in order of their keys.
#[derive(Debug)]
pub struct TableWriter<'a> {
    path_key: [u8; 32],
    previous: Option<&'a TableReader>,
    levels: Vec<Level>,
    members: u64,
    last: Option<MemberKey>,
}

#[derive(Debug, Default)]
struct Level {
    items: Vec<u8>,
    count: usize,
    first: Option<MemberKey>,
    pages: u64,
    /// The only page so far, in case it turns out to be the root.
    only: Option<Entry>,
}

impl<'a> TableWriter<'a> {
    /// Creates an empty table. `path_key` is the repository's key for hashes of paths.
    pub fn new(path_key: [u8; 32], previous: Option<&'a TableReader>) -> Self {
        TableWriter { path_key, previous, levels: vec![Level::default()], members: 0, last: None }
    }

    /// Appends a record that was encoded before.
    pub fn push(&mut self, key: MemberKey, record: &[u8], sink: &mut dyn MetaSink) -> Result<()> {
        assert!(self.last.as_ref().is_none_or(|last| *last < key), "records arrive in order");
        self.members += 1;
        self.last = Some(key.clone());
        let mut item = Vec::with_capacity(record.len() + 4);
        table_page::put_record(&mut item, record);
        self.add(0, key, &item, sink)
    }

    fn add(
        &mut self,
        level: usize,
        key: MemberKey,
        item: &[u8],
        sink: &mut dyn MetaSink,
    ) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        let ends = self.ends_page(level, &key);
        let open_level = &mut self.levels[level];
        open_level.first.get_or_insert(key);
        open_level.items.extend_from_slice(item);
        open_level.count += 1;
        if ends || open_level.items.len() >= TABLE_PAGE_BYTES_MAX {
            self.close(level, sink)?;
        }
        Ok(())
    }

    fn ends_page(&self, level: usize, key: &MemberKey) -> bool {
        let mut hasher = blake3::Hasher::new_keyed(&self.path_key);
        hasher.update(&key.path).update(&key.incarnation.to_le_bytes());
        let mask = if level == 0 { RECORDS_END_MASK } else { INDEX_END_MASK };
        // Each level looks at another byte, else an index page would end with every page below it.
        hasher.finalize().as_bytes()[level.min(31)] & mask == 0
    }

    fn close(&mut self, level: usize, sink: &mut dyn MetaSink) -> Result<()> {
        let kind = if level == 0 { PageKind::Records } else { PageKind::Index };
        let open_level = &mut self.levels[level];
        let Some(first) = open_level.first.take() else { return Ok(()) };
        let text = table_page::finish(kind, open_level.count, &open_level.items);
        open_level.items.clear();
        open_level.count = 0;
        let number = open_level.pages;
        open_level.pages += 1;
        let previous = self.previous.and_then(|table| table.previous(kind, &first));
        let entry = sink.put_page(text, previous.as_ref(), number)?;
        self.levels[level].only = Some(entry);
        let mut item = Vec::new();
        table_page::put_index(&mut item, &first, &entry);
        self.add(level + 1, first, &item, sink)
    }

    /// Ends the table; `None` if it has no member.
    pub fn finish(mut self, sink: &mut dyn MetaSink) -> Result<Option<TableRoot>> {
        if self.members == 0 {
            return Ok(None);
        }
        let mut level = 0;
        loop {
            self.close(level, sink)?;
            if self.levels[level].pages == 1 {
                let root = self.levels[level].only.expect("one page was stored");
                let levels = u8::try_from(level + 1).expect("a few levels hold any table");
                return Ok(Some(TableRoot { levels, members: self.members, root }));
            }
            level += 1;
        }
    }
}
