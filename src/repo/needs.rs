//! The packs that a snapshot needs: by its need list, or by a walk over its maps (FORMAT.md 7.4).
//!
//! A list costs the reads of one small internal member; a walk reads every page of every map, so it
//! is made only where nothing else tells.
//!
//! # Memory
//!
//! A list takes 12 bytes for each pack that it names. The pack table, which turns indices into
//! names, is shared by the snapshots of a source ([`Opener`]).

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::monitor::Monitor;
use crate::format::needs::NEEDS;
use crate::format::needs::Need;
use crate::format::needs::NeedList;
use crate::format::pack_table::PackRecord;
use crate::format::record::MapRoot;
use crate::format::record::MemberRecord;
use crate::format::table_page::TablePage;
use crate::map::PreviousPage;
use crate::map::needs::NeedCounter;
use crate::map::view::MapPage;
use crate::pack::reader::Packs;
use crate::repo::Repository;
use crate::repo::contents::Contents;
use crate::repo::contents::Opener;
use crate::repo::snapshots::StoredSnapshot;

/// Longest need list that is read: enough for ten million packs.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The place from which it is known what a snapshot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownFrom {
    /// Its need list says it.
    List,
    /// A walk over all of its maps found it.
    Walk,
}

/// The packs that one snapshot needs.
#[derive(Debug)]
pub struct Needs {
    packs: Arc<Packs>,
    /// The needed packs by their indices in the table of `packs`.
    list: NeedList,
    known_from: KnownFrom,
}

impl Needs {
    /// Returns how it is known.
    pub fn known_from(&self) -> KnownFrom {
        self.known_from
    }

    /// Calls `each` with the record of every needed pack and what is needed of it.
    pub fn visit(&self, each: &mut dyn FnMut(&PackRecord, &Need)) {
        let table = self.packs.table();
        for need in &self.list.packs {
            let record = table.get(need.at).expect("a list names packs of its table");
            each(record, need);
        }
    }
}

/// Reads what snapshots need, one after the other, the newest first: those of a source share what
/// was read of their packs.
#[derive(Debug)]
pub struct NeedsReader<'r> {
    repository: &'r Repository,
    monitor: &'r Arc<Monitor>,
    opener: Opener<'r>,
}

impl<'r> NeedsReader<'r> {
    /// Creates a reader that has read nothing.
    pub fn new(repository: &'r Repository, monitor: &'r Arc<Monitor>) -> Self {
        Self { repository, monitor, opener: Opener::new(repository, monitor) }
    }

    /// Returns what a snapshot needs, after a walk over its maps if it has no need list.
    pub fn of(&mut self, stored: &StoredSnapshot) -> Result<Needs> {
        match self.listed(stored)? {
            Some(needs) => Ok(needs),
            None => self.walked(stored),
        }
    }

    /// Returns what the need list of a snapshot names, and the packs that hold the list and the
    /// nodes of the pack table; `None` if it has no list.
    pub fn listed(&mut self, stored: &StoredSnapshot) -> Result<Option<Needs>> {
        let Some(record) = stored.snapshot.internal(NEEDS) else { return Ok(None) };
        let damaged = |why: Malformed| {
            Error::damaged(format!("the need list of snapshot {}", stored.id().short()), why)
        };
        if record.length > LIST_BYTES_MAX {
            return Err(damaged(Malformed {
                what: NEEDS,
                why: "is longer than the format allows",
            }));
        }
        let contents = self.opener.open(stored)?;
        let mut text = Vec::new();
        contents.read_internal(NEEDS, &mut |bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        })?;
        let mut list = NeedList::decode(&text).map_err(damaged)?;
        drop(text);
        for need in &mut list.packs {
            need.at = contents.translation().pack(need.at)?;
        }
        let mut walk = Walk::new(&contents, self.monitor);
        walk.member(record)?;
        let needs = self.finish(stored, walk, list, KnownFrom::List)?;
        if !needs.are_in_table() {
            return Err(damaged(Malformed { what: NEEDS, why: "names a pack that is not there" }));
        }
        Ok(Some(needs))
    }

    /// Returns what a walk over everything that can be reached from a snapshot finds.
    pub fn walked(&mut self, stored: &StoredSnapshot) -> Result<Needs> {
        let contents = self.opener.open(stored)?;
        let mut walk = Walk::new(&contents, self.monitor);
        for record in contents.internal() {
            walk.member(record)?;
        }
        contents.table().visit_pages(&mut |page, stored| {
            walk.page(stored);
            match page {
                TablePage::Records(records) => {
                    records.iter().try_for_each(|record| walk.member(record))
                }
                TablePage::Index(_) => Ok(()),
            }
        })?;
        self.finish(stored, walk, NeedList::default(), KnownFrom::Walk)
    }

    /// Joins a list, what was found beside it, and the packs of the pack table's nodes.
    fn finish(
        &self,
        stored: &StoredSnapshot,
        mut walk: Walk<'_>,
        mut list: NeedList,
        known_from: KnownFrom,
    ) -> Result<Needs> {
        let packs = Arc::clone(walk.contents.packs());
        let nodes = self.repository.node_packs(&stored.snapshot.packs, self.monitor)?;
        walk.counter.touch(&packs.indices_of(&nodes));
        list.packs.extend(walk.counter.list(&packs.table()).packs);
        // What stands in the list comes first, and is kept.
        list.packs.sort_by_key(|need| need.at);
        list.packs.dedup_by_key(|need| need.at);
        Ok(Needs { packs, list, known_from })
    }
}

impl Needs {
    fn are_in_table(&self) -> bool {
        let table = self.packs.table();
        self.list.packs.iter().all(|need| table.get(need.at).is_some())
    }
}

/// A walk over maps that counts what they name.
struct Walk<'c> {
    contents: &'c Contents,
    monitor: &'c Monitor,
    counter: NeedCounter,
}

impl<'c> Walk<'c> {
    fn new(contents: &'c Contents, monitor: &'c Monitor) -> Self {
        let counter = NeedCounter::new(contents.packs().table().len());
        Self { contents, monitor, counter }
    }

    /// Counts a stored page, and the chain that it rests on.
    fn page(&mut self, page: &PreviousPage) {
        self.counter.note(page.entry.storage);
        self.counter.touch(&page.packs);
    }

    /// Counts the pages of a member's map, and all entries.
    fn member(&mut self, record: &MemberRecord) -> Result<()> {
        let levels = match record.map {
            MapRoot::Inline(_) => 1,
            MapRoot::Tree { levels, .. } => levels,
        };
        let view = self.contents.map(record.clone());
        for level in 0..levels {
            let mut number = 0;
            while let Some(page) = view.page(level, number)? {
                self.monitor.check()?;
                self.map_page(level, &page);
                number += 1;
            }
        }
        Ok(())
    }

    fn map_page(&mut self, level: u8, page: &MapPage) {
        if let Some(stored) = &page.previous {
            self.page(stored);
        }
        // Entries of upper levels are the pages below.
        if level == 0 {
            page.entries.iter().for_each(|entry| self.counter.note(entry.storage));
        }
    }
}

impl Repository {
    /// Returns what one snapshot needs, after a walk over its maps if it has no need list.
    pub fn needs_of(&self, stored: &StoredSnapshot, monitor: &Arc<Monitor>) -> Result<Needs> {
        NeedsReader::new(self, monitor).of(stored)
    }
}
