//! The base of a run: the newest snapshots of its source, and the pack table that it appends to.

use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::EntryAddress;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::format::pack_table;
use crate::format::pack_table::NodeRef;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::format::pack_table::TableTail;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::Verdict;
use crate::map::view::Translation;
use crate::pack::reader::Packs;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// Maximum number of snapshots older than the newest whole one whose maps are candidates as well.
const OLDER_MAX: usize = 4;
/// Maximum number of snapshots examined to find them.
const LOOKED_AT_MAX: usize = 32;

/// The snapshots that a run may compare with, each read when it is asked for, the most useful one
/// first: the newest partial if it is newer than any other, then whole ones, then the full backup
/// that increments build on, unless it was among them.
#[derive(Debug)]
pub struct Ancestry {
    repository: Repository,
    /// The snapshots of the source that the run may rely on, the oldest first.
    names: Vec<SnapshotName>,
    /// Number of names, counted from the end, already examined.
    looked_at: usize,
    /// Number of the examined snapshots that were whole.
    whole: usize,
    /// True if any of the examined snapshots was of use.
    any: bool,
    /// The full backup that the increments among them build on, until a whole full backup is found.
    builds_on: BuildsOn,
    damaged: Vec<SnapshotName>,
    /// The pack table of the first snapshot that was of use.
    first: TableTail,
    monitor: Arc<Monitor>,
}

/// The full backup that increments build on, and whether it was looked for.
#[derive(Debug)]
enum BuildsOn {
    /// The full backup of this name, by the newest of them that says so.
    Unread(Option<String>),
    /// A full backup that was among the snapshots, or nothing that could be found.
    Settled,
}

impl Ancestry {
    /// Returns the snapshots that could not be read so far.
    pub fn damaged(&self) -> &[SnapshotName] {
        &self.damaged
    }

    /// Returns the next snapshot whose pack table can be read, and its table beside the first
    /// one's.
    pub fn next_with_table(&mut self) -> Option<(StoredSnapshot, TableBeside)> {
        loop {
            let stored = self.next_read()?;
            let tail = &stored.snapshot.packs;
            // A snapshot whose pack table can't be read is no help; the run goes on without it.
            let beside = self.repository.pack_table_beside(tail, &self.first, &self.monitor);
            let Ok(table) = beside else {
                self.damaged.push(stored.name);
                continue;
            };
            if self.first == TableTail::default() {
                self.first = tail.clone();
            }
            return Some((stored, table));
        }
    }

    fn next_read(&mut self) -> Option<StoredSnapshot> {
        self.next_looked_at().or_else(|| self.full_behind())
    }

    fn next_looked_at(&mut self) -> Option<StoredSnapshot> {
        while self.whole <= OLDER_MAX && self.looked_at < LOOKED_AT_MAX {
            let name = self.names.iter().rev().nth(self.looked_at)?;
            self.looked_at += 1;
            let stored = match self.repository.read_snapshot(name) {
                Ok(stored) => stored,
                // The run that put it was overtaken by a rotation, and has a successor.
                Err(error) if self.any && self.repository.was_overtaken(&error) => continue,
                // A prune had stopped the run that put it.
                Err(error) if error.kind() == ErrorKind::Removed => continue,
                Err(_) => {
                    self.damaged.push(*name);
                    continue;
                }
            };
            let partial = stored.snapshot.about.verdict == Verdict::Partial;
            // Of partial ones only the newest, and only before any whole one, knows something new.
            if partial && self.any {
                continue;
            }
            self.any = true;
            self.whole += usize::from(!partial);
            self.observe(&stored);
            return Some(stored);
        }
        None
    }

    fn observe(&mut self, stored: &StoredSnapshot) {
        let about = &stored.snapshot.about;
        let BuildsOn::Unread(known) = &mut self.builds_on else { return };
        if about.kind == SnapshotKind::Full && about.verdict != Verdict::Partial {
            self.builds_on = BuildsOn::Settled;
        } else if known.is_none() {
            *known = about.requires.first().cloned();
        }
    }

    /// Returns the full backup that increments build on: only that has whole tablespaces to compare
    /// with.
    fn full_behind(&mut self) -> Option<StoredSnapshot> {
        let BuildsOn::Unread(wanted) = std::mem::replace(&mut self.builds_on, BuildsOn::Settled)
        else {
            return None;
        };
        let wanted = wanted?;
        let name = self.names.iter().find(|name| name.id.to_string() == wanted)?;
        // Without it the increment's pages are stored whole.
        let read = self.repository.read_snapshot(name);
        let is_damaged = read.as_ref().is_err_and(|error| error.kind() != ErrorKind::Removed);
        if is_damaged && !self.damaged.contains(name) {
            self.damaged.push(*name);
        }
        read.ok()
    }
}

/// The pack table of a snapshot beside that of another: the nodes that both name are not read
/// again, wherever their copies are.
#[derive(Debug)]
pub struct TableBeside(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    /// Records that have these indices in the other table.
    Shared(Range<usize>),
    Own(Vec<PackRecord>),
}

impl TableBeside {
    fn own(&self) -> impl Iterator<Item = &PackRecord> {
        self.0.iter().flat_map(|piece| match piece {
            Piece::Shared(_) => &[],
            Piece::Own(records) => records.as_slice(),
        })
    }

    /// Returns a table of the records that the other one does not share; the whole table if there
    /// is no other.
    pub fn own_table(&self) -> PackTable {
        PackTable::new(self.own().copied().collect())
    }

    /// Tells whether the other table names every pack of this one.
    pub fn is_within(&self, other: &PackTable) -> bool {
        self.own().all(|record| other.find(&record.name).is_some())
    }

    /// Adds the packs that the other table lacks to it.
    pub fn add_missing_to(&self, table: &mut PackTable) {
        for record in self.own() {
            if table.find(&record.name).is_none() {
                let at = table.reserve();
                table.close(at, *record);
            }
        }
    }

    /// Maps indices of this table to those of the other; packs that it lacks are unknown there.
    pub fn translation(&self, table: &PackTable) -> Translation {
        let mut indices = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Shared(range) => indices.extend(range.clone().map(|n| PackIndex(u32_of(n)))),
                Piece::Own(records) => {
                    let found = records.iter().map(|record| table.find(&record.name));
                    indices.extend(found.map(|at| at.unwrap_or(PackIndex::UNKNOWN)));
                }
            }
        }
        let same = indices.iter().enumerate().all(|(n, at)| at.0 == u32_of(n));
        if same { Translation::same() } else { Translation::by_index(indices) }
    }
}

impl Repository {
    /// Returns the snapshots that a new run of a source may compare with: some of `names`, which
    /// are in the order of their sequence numbers.
    pub fn ancestry(&self, names: Vec<SnapshotName>, monitor: &Arc<Monitor>) -> Ancestry {
        Ancestry {
            repository: self.clone(),
            names,
            looked_at: 0,
            whole: 0,
            any: false,
            builds_on: BuildsOn::Unread(None),
            damaged: Vec::new(),
            first: TableTail::default(),
            monitor: Arc::clone(monitor),
        }
    }

    /// Returns the whole pack table of a snapshot.
    pub fn pack_table(&self, tail: &TableTail, monitor: &Arc<Monitor>) -> Result<PackTable> {
        Ok(self.pack_table_beside(tail, &TableTail::default(), monitor)?.own_table())
    }

    /// Returns the pack table of a snapshot, beside the table of `other`.
    pub fn pack_table_beside(
        &self,
        tail: &TableTail,
        other: &TableTail,
        monitor: &Arc<Monitor>,
    ) -> Result<TableBeside> {
        let starts = node_starts(other);
        let packs = self.packs(PackTable::default(), monitor);
        let mut pieces = Vec::new();
        for (level, nodes) in tail.levels.iter().enumerate().rev() {
            for node in nodes {
                if let Some(from) = starts.get(&node.hash) {
                    pieces.push(Piece::Shared(*from..from + records_below(level)));
                    continue;
                }
                let mut records = Vec::new();
                read_node(&packs, node, level, &mut records)?;
                pieces.push(Piece::Own(records));
            }
        }
        pieces.push(Piece::Own(tail.records.clone()));
        Ok(TableBeside(pieces))
    }

    /// Returns the packs that hold the nodes of a pack table, those of all levels.
    pub fn node_packs(&self, tail: &TableTail, monitor: &Arc<Monitor>) -> Result<Vec<PackName>> {
        let packs = self.packs(PackTable::default(), monitor);
        let mut names = Vec::new();
        for (level, nodes) in tail.levels.iter().enumerate() {
            nodes.iter().try_for_each(|node| add_node_packs(&packs, node, level, &mut names))?;
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Returns a reader with the pack table of a snapshot.
    pub fn packs_of(&self, stored: &StoredSnapshot, monitor: &Arc<Monitor>) -> Result<Arc<Packs>> {
        let table = self.pack_table(&stored.snapshot.packs, monitor)?;
        Ok(Arc::new(self.packs(table, monitor)))
    }
}

/// Returns the number of records below a filled node of a level.
fn records_below(level: usize) -> usize {
    PACK_TABLE_NODE.pow(u32_of(level) + 1)
}

/// Returns the index in its table at which the records of each node of a tail begin.
fn node_starts(tail: &TableTail) -> HashMap<BlockHash, usize> {
    let mut starts = HashMap::new();
    let mut at = 0;
    for (level, nodes) in tail.levels.iter().enumerate().rev() {
        for node in nodes {
            starts.insert(node.hash, at);
            at += records_below(level);
        }
    }
    starts
}

fn read_node(
    packs: &Packs,
    node: &NodeRef,
    level: usize,
    records: &mut Vec<PackRecord>,
) -> Result<()> {
    let address = EntryAddress { pack: node.pack, entry: node.entry };
    let text = packs.block_at(address, node.hash)?.bytes;
    let damaged = |why| Error::damaged("the pack table", why);
    if level == 0 {
        records.extend(pack_table::decode_records(&text).map_err(damaged)?);
        return Ok(());
    }
    let below = pack_table::decode_references(&text).map_err(damaged)?;
    below.iter().try_for_each(|node| read_node(packs, node, level - 1, records))
}

/// Adds the pack of a node and those of the nodes below it.
fn add_node_packs(
    packs: &Packs,
    node: &NodeRef,
    level: usize,
    names: &mut Vec<PackName>,
) -> Result<()> {
    names.push(node.pack);
    if level == 0 {
        return Ok(());
    }
    let address = EntryAddress { pack: node.pack, entry: node.entry };
    let text = packs.block_at(address, node.hash)?.bytes;
    let damaged = |why| Error::damaged("the pack table", why);
    let below = pack_table::decode_references(&text).map_err(damaged)?;
    below.iter().try_for_each(|node| add_node_packs(packs, node, level - 1, names))
}

/// The records of many snapshots' pack tables, each returned once: snapshots of a lineage share
/// most of their tables, and a node that was read is not read again, wherever another copy is.
#[derive(Debug)]
pub struct TableNodes {
    packs: Packs,
    known: HashSet<BlockHash>,
}

/// A part of a pack table.
#[derive(Debug, Clone, Copy)]
pub enum TablePart<'t> {
    /// A node that was passed before, of a table that was read before.
    Known(BlockHash),
    /// A node with all records below it.
    Node(BlockHash, &'t [PackRecord]),
    /// The records that are in no filled node.
    Tail(&'t [PackRecord]),
}

impl TableNodes {
    /// Creates an empty reader for the snapshots of a repository.
    pub fn new(repository: &Repository, monitor: &Arc<Monitor>) -> Self {
        Self { packs: repository.packs(PackTable::default(), monitor), known: HashSet::new() }
    }

    /// Passes to `each` the records of a table that are in no node that was read before.
    pub fn new_records(
        &mut self,
        tail: &TableTail,
        each: &mut dyn FnMut(&PackRecord),
    ) -> Result<()> {
        self.parts(tail, &mut |part| match part {
            TablePart::Known(_) => {}
            TablePart::Node(_, records) | TablePart::Tail(records) => {
                records.iter().for_each(&mut *each);
            }
        })
    }

    /// Passes to `each` the parts of a table: nodes, read once however many tables have them, and
    /// what is in no node.
    pub fn parts(&mut self, tail: &TableTail, each: &mut dyn FnMut(TablePart<'_>)) -> Result<()> {
        for (level, nodes) in tail.levels.iter().enumerate() {
            for node in nodes {
                if self.known.contains(&node.hash) {
                    each(TablePart::Known(node.hash));
                    continue;
                }
                let mut records = Vec::new();
                // One that can't be read stays unknown: every table with it fails.
                read_node(&self.packs, node, level, &mut records)?;
                self.known.insert(node.hash);
                each(TablePart::Node(node.hash, &records));
            }
        }
        each(TablePart::Tail(&tail.records));
        Ok(())
    }
}
