//! The report of `diff`: what two snapshots have in common, and the tables in which they differ.

use haulout::error::Result;
use haulout::ops::diff::Change;
use haulout::ops::diff::MemberDiff;
use haulout::ops::diff::summary::DiffSummary;
use haulout::ops::diff::summary::Sum;
use haulout::ops::diff::summary::TableDiff;
use haulout::ops::diff::summary::Totals;
use haulout::ops::tables::Grouping;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::output::console::Loudness;
use crate::output::grouping::heading;
use crate::output::grouping::title;
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

/// Passes one file that differs after the other to the function it is given, and returns the sums.
pub(crate) type Differences<'d> =
    dyn FnMut(&mut dyn FnMut(MemberDiff) -> Result<()>) -> Result<DiffSummary> + 'd;

/// Maximum number of tables that are shown unless all are wanted.
const TABLES_SHOWN: usize = 30;

/// The JSON report of a file that differs.
#[derive(Debug, Serialize)]
struct Different<'r> {
    path: &'r str,
    incarnation: u32,
    table: &'r str,
    change: &'static str,
    earlier_bytes: u64,
    later_bytes: u64,
    pages: u64,
    new_blocks: u64,
    new_bytes: u64,
    gone_blocks: u64,
    gone_bytes: u64,
}

impl<'r> Different<'r> {
    fn new(member: &'r MemberDiff, grouping: Grouping) -> Self {
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

impl Report {
    /// Prints the report of `diff`; `members` gives one file that differs after the other.
    pub(crate) fn diff(
        &self,
        earlier: &StoredSnapshot,
        later: &StoredSnapshot,
        members: &mut Differences<'_>,
    ) -> Result<()> {
        let grouping = Grouping::of(later.snapshot.about.format);
        let mut rows = Vec::new();
        let is_json = self.format == Format::Json;
        let listed = self.console.loudness == Loudness::Verbose && !is_json;
        let ids = (earlier.id(), later.id());
        let head = format!("{{\"former\":\"{}\",\"later\":\"{}\",\"members\":[", ids.0, ids.1);
        let mut spool = Spool::begin(&head)?;
        let DiffSummary { totals, tables } = members(&mut |member| {
            if is_json {
                spool.push(&Different::new(&member, grouping))?;
            }
            if listed {
                rows.push(row_of_member(&member));
            }
            Ok(())
        })?;
        if is_json {
            let (totals, tables) = (in_json(&totals), in_json(&tables));
            return spool.print(&format!("],\"tables\":{tables},\"totals\":{totals}}}"));
        }
        let head = head_text(earlier, later, &totals, self.canvas);
        let rest = if listed {
            members_text(&rows, self.canvas)
        } else {
            text(&tables, grouping, self.canvas)
        };
        print(&(head + &rest))
    }
}

fn head_text(
    earlier: &StoredSnapshot,
    later: &StoredSnapshot,
    sums: &Totals,
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

fn row_of_table(table: &TableDiff) -> Vec<Cell> {
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

fn text(tables: &[TableDiff], grouping: Grouping, canvas: Canvas) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let (head, all) = (canvas.paint(Tone::Heading, heading(grouping)), tables.len());
    let of = if all > TABLES_SHOWN {
        format!(", the {TABLES_SHOWN} that differ most of {all} (files with -v)")
    } else {
        String::new()
    };
    let rows: Vec<Vec<Cell>> = tables.iter().take(TABLES_SHOWN).map(row_of_table).collect();
    let mut columns = TABLES;
    columns[TABLES.len() - 1].title = title(grouping);
    format!("\n{head}{of}\n{}", table(&columns, &rows, canvas))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_differs_is_a_line_without_what_is_nothing() {
        let table = |name: &str, changed, pages: u64| TableDiff {
            name: name.to_owned(),
            changed,
            pages,
            new_bytes: pages << 14,
            gone_bytes: pages << 14,
            ..TableDiff::default()
        };
        assert_eq!(
            text(&[table("b/u", 2, 3), table("a/t", 1, 0)], Grouping::ByTable, Canvas::FILE),
            "\ntables\n\
             PAGES       NEW      GONE  FILES      TABLE\n    \
             3  48.0 KiB  48.0 KiB  2 changed  b/u\n                           \
             1 changed  a/t\n"
        );
    }
}
