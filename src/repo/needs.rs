//! The packs that a snapshot needs: by its need list, by a note of an earlier walk, or by a walk
//! over its maps (FORMAT.md 7.4, 9.1).
//!
//! A list costs the reads of one small internal member, a note one object; a walk reads every page
//! of every map, so it is made only by who would delete. All others take a pack for needed as long
//! as a snapshot whose table names it says nothing: what they do then is what they did before there
//! were lists. In a repository without the feature, which has no lists, they read nothing.
//!
//! # Memory
//!
//! A list takes 12 bytes for each pack that it names, and is held for one snapshot at a time. The
//! pack table, which turns indices into names, is shared by the snapshots of a source ([`Opener`]).
//! A [`PackSet`] takes 32 bytes and a bit for each name: 42 MB for 1.3 million.

use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::monitor::Monitor;
use crate::format::config::Features;
use crate::format::needs::NEEDS;
use crate::format::needs::Need;
use crate::format::needs::NeedList;
use crate::format::note::NeedsNote;
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
use crate::repo::notes::NoteName;
use crate::repo::snapshots::StoredSnapshot;

/// Longest need list that is read: enough for ten million packs.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The place from which it is known what a snapshot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownFrom {
    /// Its need list says it.
    List,
    /// A note about an earlier walk says it.
    Note,
    /// A walk over all of its maps found it.
    Walk,
}

/// The packs that one snapshot needs.
#[derive(Debug)]
pub struct Needs {
    packs: Arc<Packs>,
    /// The needed packs by their indices in the table of `packs`, sorted.
    list: NeedList,
    known_from: KnownFrom,
}

impl Needs {
    /// Returns how it is known.
    pub fn known_from(&self) -> KnownFrom {
        self.known_from
    }

    /// Tells whether a pack is needed.
    pub fn contains(&self, name: &PackName) -> bool {
        let at = self.packs.table().find(name);
        at.is_some_and(|at| self.list.packs.binary_search_by_key(&at, |need| need.at).is_ok())
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
    /// Names of the notes about snapshots, once they were listed.
    notes: Option<Vec<NoteName>>,
}

impl<'r> NeedsReader<'r> {
    /// Creates a reader that has read nothing.
    pub fn new(repository: &'r Repository, monitor: &'r Arc<Monitor>) -> Self {
        Self { repository, monitor, opener: Opener::new(repository, monitor), notes: None }
    }

    /// Creates a reader that knows the packs of one snapshot.
    #[must_use]
    pub fn knowing(self, stored: &StoredSnapshot, packs: &Arc<Packs>) -> Self {
        Self { opener: self.opener.knowing(stored, Arc::clone(packs)), ..self }
    }

    /// Returns what a snapshot needs, after a walk over its maps if nothing else says it.
    pub fn of(&mut self, stored: &StoredSnapshot) -> Result<Needs> {
        match self.known(stored)? {
            Some(needs) => Ok(needs),
            None => self.walked(stored),
        }
    }

    /// Returns what a snapshot needs as its list says it, or a note; `None` without a walk.
    pub fn known(&mut self, stored: &StoredSnapshot) -> Result<Option<Needs>> {
        match self.listed(stored)? {
            Some(needs) => Ok(Some(needs)),
            None => self.noted(stored),
        }
    }

    /// Marks those of `packs` that a snapshot needs; all of them if it is not known of one of the
    /// snapshots, without a walk, what it needs. Ends when all are marked.
    pub fn mark_needed<'s>(
        &mut self,
        snapshots: impl IntoIterator<Item = &'s StoredSnapshot>,
        packs: &mut PackSet,
    ) -> Result<()> {
        if !self.repository.features().include(Features::NEEDS) {
            packs.mark_all();
            return Ok(());
        }
        for stored in snapshots {
            if packs.is_all_marked() {
                break;
            }
            match self.known(stored) {
                Ok(Some(needs)) => needs.visit(&mut |record, _| packs.mark(&record.name)),
                Ok(None) => packs.mark_all(),
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                    packs.mark_all();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns what notes say that a snapshot needs; `None` if there is none that can be read.
    fn noted(&mut self, stored: &StoredSnapshot) -> Result<Option<Needs>> {
        if !self.repository.features().include(Features::NEEDS) {
            return Ok(None);
        }
        let names = match self.notes.take() {
            Some(names) => names,
            None => self.repository.note_names()?,
        };
        let names = self.notes.insert(names);
        let own = names.iter().filter(|name| name.about == stored.id());
        let read = |name: &NoteName| {
            // One that can't be read says nothing.
            let text = self.repository.read_note(name).ok()?;
            NeedsNote::decode(&text).ok().flatten().map(|note| note.list.packs)
        };
        let lists: Vec<Vec<Need>> = own.filter_map(read).collect();
        if lists.is_empty() {
            return Ok(None);
        }
        let contents = self.opener.open(stored)?;
        let mut packs = lists.concat();
        for need in &mut packs {
            need.at = contents.translation().pack(need.at)?;
        }
        let walk = Walk::new(&contents, self.monitor);
        let needs = self.finish(stored, walk, NeedList { packs }, KnownFrom::Note)?;
        Ok(needs.are_in_table().then_some(needs))
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
    /// Returns what one snapshot needs, after a walk over its maps if nothing else says it.
    pub fn needs_of(&self, stored: &StoredSnapshot, monitor: &Arc<Monitor>) -> Result<Needs> {
        NeedsReader::new(self, monitor).of(stored)
    }

    /// Returns what a snapshot needs in the indices of its own pack table, as a note holds it.
    pub fn need_list(
        &self,
        stored: &StoredSnapshot,
        needs: &Needs,
        monitor: &Arc<Monitor>,
    ) -> Result<NeedList> {
        let table = self.pack_table(&stored.snapshot.packs, monitor)?;
        let mut packs = Vec::new();
        needs.visit(&mut |record, need| {
            packs.extend(table.find(&record.name).map(|at| Need { at, ..*need }));
        });
        packs.sort_by_key(|need| need.at);
        Ok(NeedList { packs })
    }
}

/// Names of packs, some of which are marked.
#[derive(Debug, Default)]
pub struct PackSet {
    /// The names, sorted, each once.
    names: Vec<PackName>,
    /// A bit for each name.
    marks: Vec<u64>,
}

impl PackSet {
    /// Creates a set of these packs, of which none is marked.
    pub fn new(mut names: Vec<PackName>) -> Self {
        names.sort_unstable();
        names.dedup();
        names.shrink_to_fit();
        let marks = vec![0; names.len().div_ceil(64)];
        Self { names, marks }
    }

    /// Tells whether there is no pack in the set.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Marks a pack, if it is in the set.
    pub fn mark(&mut self, name: &PackName) {
        if let Ok(at) = self.names.binary_search(name) {
            self.marks[at / 64] |= 1 << (at % 64);
        }
    }

    /// Marks all packs of the set.
    pub fn mark_all(&mut self) {
        self.marks.fill(u64::MAX);
    }

    /// Tells whether there is no pack in the set that is not marked.
    pub fn is_all_marked(&self) -> bool {
        let is_set = |at: usize| self.marks[at / 64] >> (at % 64) & 1 == 1;
        (0..self.names.len()).all(is_set)
    }

    /// Tells whether a pack is in the set and marked.
    pub fn is_marked(&self, name: &PackName) -> bool {
        let at = self.names.binary_search(name);
        at.is_ok_and(|at| self.marks[at / 64] >> (at % 64) & 1 == 1)
    }

    /// Tells whether a pack is in the set and not marked.
    pub fn is_unmarked(&self, name: &PackName) -> bool {
        let at = self.names.binary_search(name);
        at.is_ok_and(|at| self.marks[at / 64] >> (at % 64) & 1 == 0)
    }

    /// Returns the marked packs, sorted.
    pub fn marked(&self) -> impl Iterator<Item = &PackName> {
        let is_set = |at: usize| self.marks[at / 64] >> (at % 64) & 1 == 1;
        self.names.iter().enumerate().filter(move |(at, _)| is_set(*at)).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_of_a_set_are_marked_one_by_one_or_all_at_once() {
        let name = |n: u8| PackName([n; 32]);
        let mut set = PackSet::new((0..100).chain(50..150).map(name).collect());
        assert!(!set.is_empty() && PackSet::default().is_empty());
        set.mark(&name(7));
        set.mark(&name(149));
        set.mark(&name(200));
        assert_eq!(set.marked().collect::<Vec<_>>(), [&name(7), &name(149)]);
        let state = |n| (set.is_marked(&name(n)), set.is_unmarked(&name(n)));
        assert_eq!([7, 8, 200].map(state), [(true, false), (false, true), (false, false)]);
        assert!(!set.is_all_marked() && PackSet::default().is_all_marked());
        set.mark_all();
        assert_eq!(set.marked().count(), 150);
        assert!(set.is_all_marked());
    }
}
