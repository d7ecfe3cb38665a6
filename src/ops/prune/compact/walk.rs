//! The entries of some packs that are live: a walk over the maps of snapshots.
//!
//! Snapshots of one source share most pages of their maps. A page that was walked is not read
//! again, as long as the hashes of those pages fit into [`SEEN_MAX`] places.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::ids::SnapshotId;
use crate::base::ids::Storage;
use crate::base::limits::MAP_PAGE_ENTRIES;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackTable;
use crate::format::record::MapRoot;
use crate::format::record::MemberRecord;
use crate::format::snapshot::LOG;
use crate::format::table_page::TablePage;
use crate::map::view::MapView;
use crate::ops::prune::live::Looked;
use crate::ops::prune::view::View;
use crate::pack::reader::Packs;
use crate::pipeline::presence::EntrySet;
use crate::repo::Repository;
use crate::repo::contents::Opener;
use crate::repo::snapshots::StoredSnapshot;

/// Pages that are remembered.
const SEEN_MAX: usize = 1 << 20;

/// The live entries of a pack.
#[derive(Debug, Default)]
pub(super) struct LiveEntries {
    set: EntrySet,
    /// The entries that are more than bases, with the hashes of their blocks, in the order in which
    /// they were found.
    hashes: Vec<(EntryNumber, BlockHash)>,
    named: EntrySet,
}

impl LiveEntries {
    /// Adds an entry; returns `false` if that said nothing new.
    fn add(&mut self, entry: EntryNumber, hash: Option<BlockHash>) -> bool {
        let is_new = !self.set.contains(entry);
        self.set.insert(entry);
        let Some(hash) = hash.filter(|_| !self.named.contains(entry)) else { return is_new };
        self.named.insert(entry);
        self.hashes.push((entry, hash));
        true
    }

    /// Tells whether an entry is live.
    pub(super) fn contains(&self, entry: EntryNumber) -> bool {
        self.set.contains(entry)
    }

    /// Returns the hashes of the entries that maps name as places.
    pub(super) fn hashes(&self) -> HashMap<EntryNumber, BlockHash> {
        self.hashes.iter().copied().collect()
    }
}

/// Walks the maps of snapshots.
#[derive(Debug)]
pub(super) struct Walker<'w> {
    monitor: &'w Arc<Monitor>,
    opener: Opener<'w>,
    /// The chosen packs, and those from which entries were moved into them.
    live: BTreeMap<PackName, LiveEntries>,
    /// Reads the relocation records.
    records: Packs,
    seen: HashSet<BlockHash>,
    /// The reader whose pages were seen.
    seen_of: Option<Arc<Packs>>,
    /// The snapshots that were walked.
    pub(super) walked: BTreeSet<SnapshotId>,
}

impl<'w> Walker<'w> {
    /// Creates a walker that looks for entries of these packs.
    pub(super) fn new(
        repository: &'w Repository,
        view: &View,
        chosen: BTreeSet<PackName>,
        monitor: &'w Arc<Monitor>,
    ) -> Result<Self> {
        let records = repository.packs(PackTable::default(), monitor);
        let mut left = Vec::new();
        for old in view.moves.keys() {
            monitor.check()?;
            let lists = records.relocations(old);
            left.push((*old, lists.iter().flat_map(|list| list.packs.clone()).collect::<Vec<_>>()));
        }
        let mut followed = chosen;
        loop {
            let (due, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, to)| to.iter().any(|to| followed.contains(to)));
            if due.is_empty() {
                break;
            }
            followed.extend(due.into_iter().map(|(old, _)| old));
            left = others;
        }
        Ok(Self {
            monitor,
            opener: Opener::new(repository, monitor),
            live: followed.into_iter().map(|pack| (pack, LiveEntries::default())).collect(),
            records,
            seen: HashSet::new(),
            seen_of: None,
            walked: BTreeSet::new(),
        })
    }

    /// Walks all snapshots that are kept and all roots.
    pub(super) fn walk_all(&mut self, looked: &Looked) -> Result<()> {
        let mut all: Vec<&StoredSnapshot> = looked.view.kept().chain(&looked.roots).collect();
        // Those of a source one after the other, the newest first.
        all.sort_by_key(|stored| (stored.name.source, std::cmp::Reverse(stored.name.sequence)));
        all.into_iter().try_for_each(|stored| self.walk(stored))
    }

    /// Walks the maps of a snapshot, unless that was done.
    pub(super) fn walk(&mut self, stored: &StoredSnapshot) -> Result<()> {
        if !self.walked.insert(stored.id()) {
            return Ok(());
        }
        let contents = self.opener.open(stored)?;
        let packs = contents.packs();
        let is_same = contents.translation().is_same();
        let knows_pages = self.seen_of.as_ref().is_some_and(|of| Arc::ptr_eq(of, packs));
        if is_same && !knows_pages {
            self.seen.clear();
            self.seen_of = Some(Arc::clone(packs));
        }
        let find = |pack: &PackName| packs.table().find(pack).map(|at| (at, *pack));
        let mut walk = Walk {
            monitor: self.monitor,
            packs: self.live.keys().filter_map(find).collect(),
            live: &mut self.live,
            seen: is_same.then_some(&mut self.seen),
        };
        // The other internal members are in meta packs.
        for record in contents.internal().iter().filter(|one| one.key.path == LOG.as_bytes()) {
            walk.member(&contents.map(record.clone()), record)?;
        }
        contents.table().visit_pages(&mut |page, _| match page {
            TablePage::Records(records) => records
                .iter()
                .try_for_each(|record| walk.member(&contents.map(record.clone()), record)),
            TablePage::Index(_) => Ok(()),
        })
    }

    /// Adds what relocation records name for live entries.
    pub(super) fn follow_moves(&mut self) {
        let names: Vec<PackName> = self.live.keys().copied().collect();
        loop {
            let mut is_new = false;
            for old in &names {
                let lists = self.records.relocations(old);
                for list in lists.iter() {
                    is_new |= self.follow(old, list);
                }
            }
            if !is_new {
                return;
            }
        }
    }

    /// Adds what one record names; returns `false` if that says nothing new.
    fn follow(&mut self, old: &PackName, list: &Relocation) -> bool {
        let Some(live) = self.live.get(old) else { return false };
        let hashes = live.hashes();
        let live_moves = list.moves.iter().map(|(entry, ..)| *entry);
        let live_moves: Vec<EntryNumber> =
            live_moves.filter(|entry| live.contains(*entry)).collect();
        let mut is_new = false;
        for entry in live_moves {
            let Some((pack, to)) = list.find(entry) else { continue };
            let hash = hashes.get(&entry).copied();
            is_new |= self.live.get_mut(&pack).is_some_and(|live| live.add(to, hash));
        }
        is_new
    }

    /// Returns what is live of a pack.
    pub(super) fn live(&self, pack: &PackName) -> Option<&LiveEntries> {
        self.live.get(pack)
    }
}

/// A walk over the maps of one snapshot.
struct Walk<'w> {
    monitor: &'w Monitor,
    /// The packs that are looked for, by their indices.
    packs: HashMap<PackIndex, PackName>,
    live: &'w mut BTreeMap<PackName, LiveEntries>,
    /// Pages that need not be read again; nothing if the indices of this snapshot are its own.
    seen: Option<&'w mut HashSet<BlockHash>>,
}

impl Walk<'_> {
    fn member(&mut self, view: &MapView, record: &MemberRecord) -> Result<()> {
        match &record.map {
            MapRoot::Inline(_) => match view.page(0, 0)? {
                Some(page) => page.entries.iter().try_for_each(|entry| self.entry(entry)),
                None => Ok(()),
            },
            MapRoot::Tree { levels, root, .. } => {
                self.below(view, (levels.saturating_sub(1), 0), root.hash)
            }
        }
    }

    fn below(&mut self, view: &MapView, at: (u8, u64), hash: BlockHash) -> Result<()> {
        self.monitor.check()?;
        if let Some(seen) = &mut self.seen {
            if seen.len() >= SEEN_MAX {
                seen.clear();
            }
            if !seen.insert(hash) {
                return Ok(());
            }
        }
        let (level, number) = at;
        let Some(page) = view.page(level, number)? else { return Ok(()) };
        if level == 0 {
            return page.entries.iter().try_for_each(|entry| self.entry(entry));
        }
        let first = number * u64_of(MAP_PAGE_ENTRIES);
        for (number, entry) in (first..).zip(&page.entries) {
            self.below(view, (level - 1, number), entry.hash)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        if let Storage::Delta { depth: 2.., .. } = entry.storage {
            let what = "a block of data rests on a chain of differences, which compaction does not \
                        follow";
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let mut places = entry.storage.places();
        if let Some(at) = places.next() {
            self.add(at, Some(entry.hash));
        }
        places.for_each(|base| self.add(base, None));
        Ok(())
    }

    fn add(&mut self, at: Locator, hash: Option<BlockHash>) {
        if let Some(live) = self.packs.get(&at.pack).and_then(|pack| self.live.get_mut(pack)) {
            live.add(at.entry, hash);
        }
    }
}
