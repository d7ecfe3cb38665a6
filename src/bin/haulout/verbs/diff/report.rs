//! The report of `diff`: what two snapshots have in common, and the tables in which they differ.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use haulout::base::error::Result;
use haulout::ops::diff::Change;
use haulout::ops::diff::MemberDiff;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::grouping::Grouping;
use crate::output::phrases::fact;
use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::in_json;
use crate::output::report::print;
use crate::output::spool::Spool;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::text::table;
use crate::output::units;

/// Passes one file after the other to the function it is given.
pub(crate) type Differences<'d> =
    dyn FnMut(&mut dyn FnMut(MemberDiff) -> Result<()>) -> Result<()> + 'd;

/// Maximum number of tables that are shown unless all are wanted.
const TABLES_SHOWN: usize = 30;

/// A number of files, and how much of them differs.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sum {
    files: u64,
    pages: u64,
    new_bytes: u64,
    gone_bytes: u64,
}

/// Files by what happened to them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sums {
    #[serde(rename = "former_bytes")]
    earlier_bytes: u64,
    later_bytes: u64,
    same: Sum,
    changed: Sum,
    added: Sum,
    removed: Sum,
}

/// A table, or a file that belongs to none.
#[derive(Debug, Clone, Default, Serialize)]
struct Table {
    #[serde(rename = "table")]
    name: String,
    changed: u64,
    added: u64,
    removed: u64,
    pages: u64,
    new_bytes: u64,
    gone_bytes: u64,
}

/// The JSON report of a file that differs.
#[derive(Debug, Serialize)]
struct Different<'r> {
    path: &'r str,
    incarnation: u32,
    table: &'r str,
    change: &'static str,
    #[serde(rename = "former_bytes")]
    earlier_bytes: u64,
    later_bytes: u64,
    pages: u64,
    new_blocks: u64,
    new_bytes: u64,
    gone_blocks: u64,
    gone_bytes: u64,
}

impl<'r> Different<'r> {
    fn new(member: &'r MemberDiff, grouping: Grouping) -> Different<'r> {
        Different {
            path: &member.path,
            incarnation: member.incarnation,
            table: grouping.name(&member.path),
            change: word(member.change),
            earlier_bytes: member.earlier_bytes,
            later_bytes: member.later_bytes,
            pages: member.pages(),
            new_blocks: member.delta.new_blocks,
            new_bytes: member.delta.new_bytes,
            gone_blocks: member.delta.gone_blocks,
            gone_bytes: member.delta.gone_bytes,
        }
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Same => "same",
        Change::Changed => "changed",
        Change::Added => "added",
        Change::Removed => "removed",
    }
}

impl Sums {
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
    by_name: BTreeMap<String, Table>,
}

impl Tables {
    fn new(grouping: Grouping) -> Tables {
        Tables { grouping, by_name: BTreeMap::new() }
    }

    fn add(&mut self, member: &MemberDiff) {
        let name = self.grouping.name(&member.path);
        if !self.by_name.contains_key(name) {
            let table = Table { name: name.to_owned(), ..Table::default() };
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
    fn sorted(self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.by_name.into_values().collect();
        tables.sort_by_key(|table| Reverse(table.new_bytes.max(table.gone_bytes)));
        tables
    }
}

impl Report {
    /// Prints the report of `diff`; `members` gives one file after the other, the same ones too.
    pub(crate) fn diff(
        &self,
        (earlier, later): (&StoredSnapshot, &StoredSnapshot),
        members: &mut Differences<'_>,
    ) -> Result<()> {
        let grouping = Grouping::of(later.snapshot.about.format);
        let (mut sums, mut tables) = (Sums::default(), Tables::new(grouping));
        let mut rows = Vec::new();
        let is_json = self.format == Format::Json;
        let listed = self.console.loudness == Loudness::Verbose && !is_json;
        let ids = (earlier.id(), later.id());
        let head = format!("{{\"former\":\"{}\",\"later\":\"{}\",\"members\":[", ids.0, ids.1);
        let mut spool = Spool::begin(&head)?;
        members(&mut |member| {
            sums.add(&member);
            if member.change == Change::Same {
                return Ok(());
            }
            tables.add(&member);
            if is_json {
                spool.push(&Different::new(&member, grouping))?;
            }
            if listed {
                rows.push(row_of_member(&member));
            }
            Ok(())
        })?;
        let tables = tables.sorted();
        if is_json {
            let (totals, tables) = (in_json(&sums), in_json(&tables));
            return spool.print(&format!("],\"tables\":{tables},\"totals\":{totals}}}"));
        }
        let head = head_text((earlier, later), &sums, self.canvas);
        let rest = if listed {
            members_text(&rows, self.canvas)
        } else {
            text(&tables, grouping, self.canvas)
        };
        print(&(head + &rest))
    }
}

fn head_text(
    (earlier, later): (&StoredSnapshot, &StoredSnapshot),
    sums: &Sums,
    canvas: Canvas,
) -> String {
    let heading = format!("from {} to {}", earlier.id().short(), later.id().short());
    let mut out = format!("{}\n", canvas.paint(Tone::Heading, &heading));
    let sizes = (units::size(sums.earlier_bytes), units::size(sums.later_bytes));
    out += &fact("size", &format!("{} before, {} now", sizes.0, sizes.1));
    let files = |sum: &Sum| units::counted(sum.files, "file");
    out += &fact("same", &files(&sums.same));
    for (label, sum) in
        [("changed", &sums.changed), ("added", &sums.added), ("removed", &sums.removed)]
    {
        if sum.files == 0 {
            continue;
        }
        let mut parts = vec![files(sum)];
        if sum.pages > 0 {
            parts.push(units::counted(sum.pages, "page"));
        }
        if sum.new_bytes > 0 {
            parts.push(format!("{} new", units::size(sum.new_bytes)));
        }
        if sum.gone_bytes > 0 {
            parts.push(format!("{} gone", units::size(sum.gone_bytes)));
        }
        out += &fact(label, &parts.join(", "));
    }
    out
}

const TABLES: [Column; 5] = [
    Column { title: "PAGES", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "NEW", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "GONE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "FILES", side: Side::Left, narrow: Narrow::Cut(12) },
    Column { title: "TABLE", side: Side::Left, narrow: Narrow::Keep },
];

const MEMBERS: [Column; 5] = [
    Column { title: "PAGES", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "NEW", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "GONE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "CHANGE", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "FILE", side: Side::Left, narrow: Narrow::Keep },
];

fn count_cell(number: u64) -> Cell {
    if number == 0 { "".into() } else { units::count(number).into() }
}

fn size_cell(bytes: u64) -> Cell {
    if bytes == 0 { "".into() } else { units::size(bytes).into() }
}

fn row_of_member(member: &MemberDiff) -> Vec<Cell> {
    vec![
        count_cell(member.pages()),
        size_cell(member.delta.new_bytes),
        size_cell(member.delta.gone_bytes),
        word(member.change).into(),
        member.path.as_str().into(),
    ]
}

fn row_of_table(table: &Table) -> Vec<Cell> {
    let parts = [("changed", table.changed), ("added", table.added), ("removed", table.removed)];
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    let files: Vec<String> =
        parts.map(|(word, count)| format!("{} {word}", units::count(*count))).collect();
    vec![
        count_cell(table.pages),
        size_cell(table.new_bytes),
        size_cell(table.gone_bytes),
        files.join(", ").into(),
        table.name.as_str().into(),
    ]
}

fn members_text(rows: &[Vec<Cell>], canvas: Canvas) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", canvas.paint(Tone::Heading, "files"), table(&MEMBERS, rows, canvas))
}

fn text(tables: &[Table], grouping: Grouping, canvas: Canvas) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let (heading, all) = (canvas.paint(Tone::Heading, grouping.heading()), tables.len());
    let of = if all > TABLES_SHOWN {
        format!(", the {TABLES_SHOWN} that differ most of {all} (files with -v)")
    } else {
        String::new()
    };
    let rows: Vec<Vec<Cell>> = tables.iter().take(TABLES_SHOWN).map(row_of_table).collect();
    let mut columns = TABLES;
    columns[TABLES.len() - 1].title = grouping.title();
    format!("\n{heading}{of}\n{}", table(&columns, &rows, canvas))
}

#[cfg(test)]
mod tests {
    use haulout::ops::diff::Delta;

    use super::*;

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
    fn files_of_one_table_are_reported_together_and_the_largest_difference_first() {
        let mut tables = Tables::new(Grouping::ByTable);
        for (path, bytes) in
            [("a/t.frm", 0), ("b/u#P#p0.ibd", 16 << 10), ("b/u#P#p1.ibd", 32 << 10)]
        {
            tables.add(&changed(path, bytes));
        }
        assert_eq!(
            text(&tables.sorted(), Grouping::ByTable, Canvas::FILE),
            "\ntables\n\
             PAGES       NEW      GONE  FILES      TABLE\n    \
             3  48.0 KiB  48.0 KiB  2 changed  b/u\n                           \
             1 changed  a/t\n"
        );
    }
}
