//! The amounts that snapshots added to a repository, summed up by table and by source.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::stats::MemberShare;
use crate::ops::stats::shares;
use crate::ops::tables::Grouping;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// The amounts that the run of one snapshot added.
#[derive(Debug, Clone)]
pub struct AddedBytes {
    /// Bytes of maps and lists, both copies.
    pub meta_bytes: u64,
    /// Tables that added something, those that added most first.
    pub tables: Vec<TableShare>,
    /// All files that added nothing, together and without a name.
    pub unchanged: TableShare,
}

/// The amounts that a table added, or a file that belongs to none.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableShare {
    /// Name of the table, or path of the file.
    #[serde(rename = "table")]
    pub name: String,
    /// Number of its files.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Blocks that this run stored.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub raw_bytes: u64,
    /// Bytes that they take in the repository.
    pub stored_bytes: u64,
}

/// Sums up what a snapshot's run added, by table.
pub fn added(
    repository: &Repository,
    stored: &StoredSnapshot,
    world: &World,
) -> Result<AddedBytes> {
    let grouping = Grouping::of(stored.snapshot.about.format);
    let mut sums = Sums::default();
    let meta_bytes = shares(repository, stored, world, &mut |share| {
        sums.add(grouping.name(&share.path), &share);
        Ok(())
    })?;
    Ok(sums.sorted(meta_bytes))
}

/// Sums by name; those of files that added nothing, which are many, have none.
#[derive(Debug, Default)]
struct Sums(BTreeMap<String, TableShare>);

impl Sums {
    fn add(&mut self, name: &str, share: &MemberShare) {
        let name = if share.blocks == 0 { "" } else { name };
        let table = self.0.entry(name.to_owned()).or_default();
        table.files += 1;
        table.bytes += share.bytes;
        table.blocks += share.blocks;
        table.raw_bytes += share.raw_bytes;
        table.stored_bytes += share.stored_bytes;
    }

    fn sorted(mut self, meta_bytes: u64) -> AddedBytes {
        let unchanged = self.0.remove("").unwrap_or_default();
        let named = |(name, sums)| TableShare { name, ..sums };
        let mut tables: Vec<TableShare> = self.0.into_iter().map(named).collect();
        tables.sort_by_key(|table| Reverse(table.stored_bytes));
        AddedBytes { meta_bytes, tables, unchanged }
    }
}

/// The totals of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTotals {
    /// Name of the source.
    pub name: String,
    /// Number of its snapshots.
    pub snapshots: u64,
    /// Time of the first snapshot, in seconds since 1970.
    pub first: u64,
    /// Time of the last snapshot, in seconds since 1970.
    pub last: u64,
    /// Bytes of all its streams.
    pub stream_bytes: u64,
    /// Bytes that its snapshots added.
    pub stored_bytes: u64,
}

/// Sums up snapshots by source, in the order of the names; the snapshots are in the order of time.
pub fn by_source(snapshots: &[StoredSnapshot]) -> Vec<SourceTotals> {
    let mut sources: BTreeMap<&str, SourceTotals> = BTreeMap::new();
    for stored in snapshots {
        let about = &stored.snapshot.about;
        let source = sources.entry(&about.source).or_default();
        if source.snapshots == 0 {
            about.source.clone_into(&mut source.name);
            source.first = about.time;
        }
        source.last = about.time;
        source.snapshots += 1;
        source.stream_bytes += about.stream_bytes;
        source.stored_bytes += about.stored_bytes;
    }
    sources.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_added_nothing_are_counted_together() {
        let share = |blocks, stored_bytes| MemberShare {
            bytes: 10,
            blocks,
            stored_bytes,
            ..MemberShare::default()
        };
        let mut sums = Sums::default();
        for (name, blocks, stored) in
            [("a", 1, 5), ("b", 2, 7), ("a", 1, 6), ("c", 0, 0), ("d", 0, 0)]
        {
            sums.add(name, &share(blocks, stored));
        }
        let added = sums.sorted(3);
        let facts: Vec<_> =
            added.tables.iter().map(|table| (table.name.as_str(), table.stored_bytes)).collect();
        assert_eq!(facts, [("a", 11), ("b", 7)]);
        assert_eq!((added.unchanged.files, added.unchanged.bytes, added.meta_bytes), (2, 20, 3));
    }
}
