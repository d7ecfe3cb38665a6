//! The grouping of a snapshot's files in reports: those of a table of a server together, others
//! alone.

use haulout::format::snapshot::StreamFormat;
use haulout::ops::tables::table_of;

/// The subject of a line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// A table, which has several files.
    ByTable,
    /// A file of an archive, a table of a dump: whatever they are called, no two belong together.
    ByFile,
}

impl Grouping {
    /// Returns the grouping for streams of this format.
    pub(crate) fn of(format: StreamFormat) -> Grouping {
        match format {
            StreamFormat::Mbstream => Grouping::ByTable,
            StreamFormat::Raw | StreamFormat::Sql | StreamFormat::Tar => Grouping::ByFile,
        }
    }

    /// Returns the name under which a file is listed.
    pub(crate) fn name(self, path: &str) -> &str {
        match self {
            Grouping::ByTable => table_of(path),
            Grouping::ByFile => path,
        }
    }

    /// Returns the heading of the list.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Grouping::ByTable => "tables",
            Grouping::ByFile => "files",
        }
    }

    /// Returns the heading of the column of names.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Grouping::ByTable => "TABLE",
            Grouping::ByFile => "FILE",
        }
    }
}
