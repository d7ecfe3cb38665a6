//! Headings of lists that have a table, or a file, in each line.

use haulout::ops::tables::Grouping;

/// Returns the heading of the list.
pub(crate) fn heading(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::ByTable => "tables",
        Grouping::ByFile => "files",
    }
}

/// Returns the heading of the column of names.
pub(crate) fn title(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::ByTable => "TABLE",
        Grouping::ByFile => "FILE",
    }
}
