//! Reads a member's map page by page, in the pack indices of the reader's own table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::error::Error;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::Storage;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::format::map_page;
use crate::format::record::MapRoot;
use crate::format::record::MemberRecord;
use crate::format::record::fit_leaf;
use crate::map::PreviousPage;
use crate::pack::reader::Packs;

/// Pages of one map that are kept: the current path from the root and a little to go back to.
const PAGES_KEPT: usize = 8;

/// The meaning of another snapshot's pack indices in this table.
#[derive(Clone, Debug, Default)]
pub struct Translation(Option<Arc<Vec<PackIndex>>>);

impl Translation {
    /// Creates the translation for the same table or a beginning of it: indices stay as they are.
    pub fn same() -> Self {
        Self(None)
    }

    /// Creates a translation from the list that has, for each index of the other table, the index
    /// here.
    pub fn by_index(indices: Vec<PackIndex>) -> Self {
        Self(Some(Arc::new(indices)))
    }

    /// Tells whether indices stay as they are.
    pub fn is_same(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the index in this table of a pack of the other one.
    pub fn pack(&self, at: PackIndex) -> Result<PackIndex> {
        let Some(indices) = &self.0 else { return Ok(at) };
        indices.get(usize_of_u32(at.0)).copied().ok_or_else(|| {
            let why = Malformed { what: "map", why: "names a pack that is not in the pack table" };
            Error::damaged("a map", why)
        })
    }

    fn locator(&self, at: Locator) -> Result<Locator> {
        Ok(Locator { pack: self.pack(at.pack)?, entry: at.entry })
    }

    /// Returns the entry with its packs in the indices of this table.
    pub fn entry(&self, entry: Entry) -> Result<Entry> {
        let storage = match entry.storage {
            Storage::Zero => Storage::Zero,
            Storage::Whole(at) => Storage::Whole(self.locator(at)?),
            Storage::Delta { at, base, second, depth } => Storage::Delta {
                at: self.locator(at)?,
                base: self.locator(base)?,
                second: second.map(|second| self.locator(second)).transpose()?,
                depth,
            },
        };
        Ok(Entry { storage, ..entry })
    }
}

/// A page of a map.
#[derive(Clone, Debug)]
pub struct MapPage {
    /// Entries of the page, translated to the indices of this table.
    pub entries: Vec<Entry>,
    /// The page as a previous version; `None` if it stood in the member's record.
    pub previous: Option<PreviousPage>,
}

/// Level and number of a page, and the page.
type KeptPage = ((u8, u64), Arc<MapPage>);

/// The map of one member, read page by page; the last pages are kept.
#[derive(Debug)]
pub struct MapView {
    packs: Arc<Packs>,
    record: MemberRecord,
    translation: Translation,
    pages: Mutex<VecDeque<KeptPage>>,
}

impl MapView {
    /// Creates a view of the map of `record`, whose entries `translation` turns into those of
    /// `packs`.
    pub fn new(packs: Arc<Packs>, record: MemberRecord, translation: Translation) -> Self {
        Self { packs, record, translation, pages: Mutex::new(VecDeque::new()) }
    }

    /// Returns the record of the member whose map this is.
    pub fn record(&self) -> &MemberRecord {
        &self.record
    }

    /// Tells whether the page of its root can be read without a request to a server: the others are
    /// mostly in the same pack.
    pub fn is_at_hand(&self) -> bool {
        match &self.record.map {
            MapRoot::Inline(_) => true,
            MapRoot::Tree { root, .. } => {
                let root = self.translation.entry(*root).ok().and_then(|e| e.storage.locator());
                root.is_some_and(|root| self.packs.is_at_hand(root))
            }
        }
    }

    /// Returns a page of the tree, level 0 being the leaves; `None` after the last.
    pub fn page(&self, level: u8, number: u64) -> Result<Option<Arc<MapPage>>> {
        let key = (level, number);
        let kept = self.kept(key);
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(page) = self.read(level, number)? else { return Ok(None) };
        let page = Arc::new(page);
        let mut pages = lock(&self.pages);
        pages.push_back((key, Arc::clone(&page)));
        if pages.len() > PAGES_KEPT {
            pages.pop_front();
        }
        Ok(Some(page))
    }

    fn kept(&self, key: (u8, u64)) -> Option<Arc<MapPage>> {
        let pages = lock(&self.pages);
        pages.iter().find(|(other, _)| *other == key).map(|(_, page)| Arc::clone(page))
    }

    fn read(&self, level: u8, number: u64) -> Result<Option<MapPage>> {
        let (levels, root) = match &self.record.map {
            MapRoot::Inline(entries) => {
                let own = level == 0 && number == 0 && !entries.is_empty();
                return own.then(|| self.inline(entries)).transpose();
            }
            MapRoot::Tree { levels, root, .. } => (*levels, root),
        };
        if level >= levels || (level == levels - 1 && number > 0) {
            return Ok(None);
        }
        if level == levels - 1 {
            let entry = self.translation.entry(*root)?;
            return self.load(entry, level, number).map(Some);
        }
        let fan_out = u64_of(MAP_PAGE_ENTRIES);
        let Some(parent) = self.page(level + 1, number / fan_out)? else { return Ok(None) };
        match parent.entries.get(usize_of(number % fan_out)) {
            Some(entry) => self.load(*entry, level, number).map(Some),
            None => Ok(None),
        }
    }

    fn inline(&self, entries: &[Entry]) -> Result<MapPage> {
        let entries = entries.iter().map(|e| self.translation.entry(*e)).collect::<Result<_>>()?;
        Ok(MapPage { entries, previous: None })
    }

    fn load(&self, entry: Entry, level: u8, number: u64) -> Result<MapPage> {
        let damaged = |why: Malformed| {
            Error::damaged(format!("the map of {}", self.record.key.display()), why)
        };
        let at = entry
            .storage
            .locator()
            .ok_or_else(|| damaged(Malformed { what: "map page", why: "is named as zeros" }))?;
        let chain = self.packs.block_at(self.packs.address(at)?, entry.hash)?;
        let fixed = if level == 0 { self.record.block_bytes() } else { 0 };
        let mut entries = map_page::decode(&chain.bytes, fixed).map_err(damaged)?;
        for entry in &mut entries {
            *entry = self.translation.entry(*entry)?;
        }
        if level == 0 {
            fit_leaf(&mut entries, number * u64_of(MAP_PAGE_ENTRIES), &self.record);
        }
        let packs = self.packs.indices_of(&chain.packs);
        let previous = PreviousPage { text: chain.bytes, entry, whole: chain.whole, packs };
        Ok(MapPage { entries, previous: Some(previous) })
    }
}
