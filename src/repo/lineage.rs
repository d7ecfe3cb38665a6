//! What a run continues: the newest snapshots of its source, and the pack table that it appends to.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::PackIndex;
use crate::base::ids::SourceId;
use crate::base::limits::PACK_TABLE_NODE;
use crate::base::monitor::Monitor;
use crate::base::num::short;
use crate::format::pack_table;
use crate::format::pack_table::NodeRef;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::format::pack_table::TableTail;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::Verdict;
use crate::map::view::Translation;
use crate::pack::reader::Packs;
use crate::pack::reader::Place;
use crate::repo::Repository;
use crate::repo::snapshots::SnapshotName;
use crate::repo::snapshots::StoredSnapshot;

/// Older snapshots behind the newest whole one whose maps are candidates as well.
const OLDER_MAX: usize = 4;
/// Snapshots that are looked at to find them.
const LOOKED_AT_MAX: usize = 32;

/// The snapshots that a run compares with.
#[derive(Debug, Default)]
pub struct Ancestors {
    /// Most useful first: the newest partial if it is newer than any other, then whole ones, then
    /// the full backup that increments build on.
    pub snapshots: Vec<StoredSnapshot>,
    /// The largest sequence number that the source has used.
    pub sequence: u64,
    /// Snapshots that could not be read.
    pub damaged: Vec<(SnapshotName, Error)>,
}

impl Repository {
    /// Finds what a new run of a source compares with.
    pub fn ancestors(&self, source: SourceId) -> Result<Ancestors> {
        let names = self.snapshot_names(Some(source))?;
        let sequence = names.last().map_or(0, |name| name.sequence);
        let mut ancestors = Ancestors { sequence, ..Ancestors::default() };
        let mut whole = 0;
        for name in names.iter().rev().take(LOOKED_AT_MAX) {
            let stored = match self.read_snapshot(name) {
                Ok(stored) => stored,
                Err(error) => {
                    ancestors.damaged.push((*name, error));
                    continue;
                }
            };
            let partial = stored.snapshot.about.verdict == Verdict::Partial;
            // Of partial ones only the newest, and only before any whole one, knows something new.
            if partial && !ancestors.snapshots.is_empty() {
                continue;
            }
            whole += usize::from(!partial);
            ancestors.snapshots.push(stored);
            if whole > OLDER_MAX {
                break;
            }
        }
        ancestors.snapshots.extend(self.full_behind(&ancestors.snapshots, &names));
        Ok(ancestors)
    }

    /// The full backup that increments build on, unless it is among them: only that has whole
    /// tablespaces to compare with.
    fn full_behind(
        &self,
        snapshots: &[StoredSnapshot],
        names: &[SnapshotName],
    ) -> Option<StoredSnapshot> {
        let mut about = snapshots.iter().map(|stored| &stored.snapshot.about);
        if about.any(|about| about.kind == SnapshotKind::Full && about.verdict != Verdict::Partial)
        {
            return None;
        }
        let newest = snapshots.iter().find_map(|stored| stored.snapshot.about.requires.first())?;
        let name = names.iter().find(|name| name.id.to_string() == *newest)?;
        // Without it the increment's pages are stored whole.
        self.read_snapshot(name).ok()
    }

    /// The whole pack table of a snapshot.
    pub fn pack_table(&self, tail: &TableTail, monitor: &Arc<Monitor>) -> Result<PackTable> {
        let nothing = (&TableTail::default(), &PackTable::default());
        self.pack_table_beside(tail, nothing, monitor)
    }

    /// The same, beside the table of another snapshot: a node that both name, wherever their copies
    /// of it are, is not read again.
    pub fn pack_table_beside(
        &self,
        tail: &TableTail,
        (known_tail, known): (&TableTail, &PackTable),
        monitor: &Arc<Monitor>,
    ) -> Result<PackTable> {
        let starts = node_starts(known_tail);
        let packs = self.packs(PackTable::default(), monitor);
        let mut records = Vec::new();
        for (level, nodes) in tail.levels.iter().enumerate().rev() {
            for node in nodes {
                let Some(from) = starts.get(&node.hash) else {
                    read_node(&packs, node, level, &mut records)?;
                    continue;
                };
                let of_node = *from..from + records_below(level);
                records.extend(of_node.filter_map(|n| known.get(PackIndex(short(n)))));
            }
        }
        records.extend_from_slice(&tail.records);
        Ok(PackTable::new(records))
    }

    /// A reader with the pack table of a snapshot.
    pub fn packs_of(&self, stored: &StoredSnapshot, monitor: &Arc<Monitor>) -> Result<Arc<Packs>> {
        let table = self.pack_table(&stored.snapshot.packs, monitor)?;
        Ok(Arc::new(self.packs(table, monitor)))
    }
}

/// Records of a filled node.
fn records_below(level: usize) -> usize {
    PACK_TABLE_NODE.pow(short(level) + 1)
}

/// Where the records of the nodes that a tail names begin in its table.
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
    let place = Place { pack: node.pack, entry: node.entry };
    let text = packs.block_at(place, node.hash)?.bytes;
    let damaged = |why| Error::damaged("the pack table", why);
    if level == 0 {
        records.extend(pack_table::decode_records(&text).map_err(damaged)?);
        return Ok(());
    }
    let below = pack_table::decode_references(&text).map_err(damaged)?;
    below.iter().try_for_each(|node| read_node(packs, node, level - 1, records))
}

/// The records of many snapshots' pack tables, each told once: snapshots of a lineage share most of
/// their tables, and a node that was read is not read again, wherever another copy of it is.
#[derive(Debug)]
pub struct TableNodes {
    packs: Packs,
    known: HashSet<BlockHash>,
}

impl TableNodes {
    /// For the snapshots of a repository.
    pub fn new(repository: &Repository, monitor: &Arc<Monitor>) -> TableNodes {
        TableNodes { packs: repository.packs(PackTable::default(), monitor), known: HashSet::new() }
    }

    /// Tells the records of a table that stand in no node that was read before.
    pub fn new_records(
        &mut self,
        tail: &TableTail,
        each: &mut dyn FnMut(&PackRecord),
    ) -> Result<()> {
        for (level, nodes) in tail.levels.iter().enumerate() {
            for node in nodes {
                if self.known.insert(node.hash) {
                    let mut records = Vec::new();
                    read_node(&self.packs, node, level, &mut records)?;
                    records.iter().for_each(&mut *each);
                }
            }
        }
        tail.records.iter().for_each(each);
        Ok(())
    }
}

/// How the indices of `other` read in `table`, to which packs that it lacks are added.
pub fn translation(table: &mut PackTable, other: &PackTable) -> Translation {
    let mut same = true;
    let mut indices = Vec::with_capacity(other.len());
    for (at, record) in other.iter() {
        let here = table.find(&record.name).unwrap_or_else(|| {
            let here = table.reserve();
            table.close(here, *record);
            here
        });
        same &= here == at;
        indices.push(here);
    }
    if same { Translation::same() } else { Translation::by_index(indices) }
}
