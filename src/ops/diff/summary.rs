//! The differences of two snapshots, summed up by what happened to files and by table.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::diff::Change;
use crate::ops::diff::MemberDiff;
use crate::ops::diff::diff;
use crate::ops::tables::Grouping;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;

/// The differences between two snapshots.
#[derive(Debug, Clone)]
pub struct DiffSummary {
    /// All files, by what happened to them.
    pub totals: Totals,
    /// Tables that differ, those that differ most first.
    pub tables: Vec<TableDiff>,
}

/// Compares two snapshots, and calls `each` for every member that differs, in the order of paths.
pub fn summary(
    repository: &Repository,
    earlier: &StoredSnapshot,
    later: &StoredSnapshot,
    world: &World,
    each: &mut dyn FnMut(MemberDiff) -> Result<()>,
) -> Result<DiffSummary> {
    let mut tables = Tables::new(Grouping::of(later.snapshot.about.format));
    let mut totals = Totals::default();
    diff(repository, earlier, later, world, &mut |member| {
        totals.add(&member);
        if member.change == Change::Same {
            return Ok(());
        }
        tables.add(&member);
        each(member)
    })?;
    Ok(DiffSummary { totals, tables: tables.sorted() })
}

/// A number of files, and how much of them differs.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Sum {
    /// The number of files.
    pub files: u64,
    /// Pages in the blocks that differ.
    pub pages: u64,
    /// Bytes that only the later snapshot has.
    pub new_bytes: u64,
    /// Bytes that only the earlier snapshot has.
    pub gone_bytes: u64,
}

/// Files by what happened to them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Totals {
    /// Bytes of all files of the earlier snapshot.
    pub earlier_bytes: u64,
    /// Bytes of all files of the later snapshot.
    pub later_bytes: u64,
    /// Files that both have, byte for byte.
    pub same: Sum,
    /// Files that both have, with differences.
    pub changed: Sum,
    /// Files that only the later snapshot has.
    pub added: Sum,
    /// Files that only the earlier snapshot has.
    pub removed: Sum,
}

/// A table, or a file that belongs to none.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableDiff {
    /// Name of the table, or path of the file.
    #[serde(rename = "table")]
    pub name: String,
    /// Number of its files that both have, with differences.
    pub changed: u64,
    /// Number of its files that only the later has.
    pub added: u64,
    /// Number of its files that only the previous has.
    pub removed: u64,
    /// Pages in the blocks that differ.
    pub pages: u64,
    /// Bytes that only the later snapshot has.
    pub new_bytes: u64,
    /// Bytes that only the earlier snapshot has.
    pub gone_bytes: u64,
}

impl Totals {
    fn add(&mut self, member: &MemberDiff) {
        self.earlier_bytes += member.earlier_bytes;
        self.later_bytes += member.later_bytes;
        let sum = match member.change {
            Change::Same => &mut self.same,
            Change::Changed => &mut self.changed,
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
        };
        sum.files += 1;
        sum.pages += member.pages();
        sum.new_bytes += member.delta.new_bytes;
        sum.gone_bytes += member.delta.gone_bytes;
    }
}

/// Tables that differ, by name. A table that does not differ is not kept.
#[derive(Debug)]
struct Tables {
    grouping: Grouping,
    by_name: BTreeMap<String, TableDiff>,
}

impl Tables {
    fn new(grouping: Grouping) -> Self {
        Self { grouping, by_name: BTreeMap::new() }
    }

    fn add(&mut self, member: &MemberDiff) {
        let name = self.grouping.name(&member.path);
        if !self.by_name.contains_key(name) {
            let table = TableDiff { name: name.to_owned(), ..TableDiff::default() };
            self.by_name.insert(name.to_owned(), table);
        }
        let Some(table) = self.by_name.get_mut(name) else { return };
        match member.change {
            Change::Same => {}
            Change::Changed => table.changed += 1,
            Change::Added => table.added += 1,
            Change::Removed => table.removed += 1,
        }
        table.pages += member.pages();
        table.new_bytes += member.delta.new_bytes;
        table.gone_bytes += member.delta.gone_bytes;
    }

    /// Returns the tables, those that differ most first.
    fn sorted(self) -> Vec<TableDiff> {
        let mut tables: Vec<TableDiff> = self.by_name.into_values().collect();
        tables.sort_by_key(|table| Reverse(table.new_bytes.max(table.gone_bytes)));
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::diff::Delta;

    fn changed(path: &str, new_bytes: u64) -> MemberDiff {
        MemberDiff {
            path: path.to_owned(),
            incarnation: 0,
            change: Change::Changed,
            earlier_bytes: 1 << 20,
            later_bytes: 1 << 20,
            delta: Delta { new_blocks: 1, new_bytes, gone_blocks: 1, gone_bytes: new_bytes },
            page_bytes: 16 << 10,
        }
    }

    #[test]
    fn files_of_one_table_are_summed_and_the_largest_difference_is_first() {
        let mut tables = Tables::new(Grouping::ByTable);
        let mut totals = Totals::default();
        for (path, bytes) in
            [("a/t.frm", 0), ("b/u#P#p0.ibd", 16 << 10), ("b/u#P#p1.ibd", 32 << 10)]
        {
            tables.add(&changed(path, bytes));
            totals.add(&changed(path, bytes));
        }
        totals.add(&MemberDiff { change: Change::Same, ..changed("c", 0) });
        let sorted = tables.sorted();
        let facts: Vec<_> =
            sorted.iter().map(|table| (table.name.as_str(), table.changed, table.pages)).collect();
        assert_eq!(facts, [("b/u", 2, 3), ("a/t", 1, 0)]);
        assert_eq!((totals.changed.files, totals.changed.pages, totals.same.files), (3, 3, 1));
        assert_eq!(totals.earlier_bytes, 4 << 20);
    }
}
