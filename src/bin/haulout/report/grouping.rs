//! How the files of a snapshot are told together: those of a table of a server, others alone.

use haulout::format::snapshot::StreamFormat;
use haulout::ops::tables::table_of;

/// What a line of a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// A table, which has several files.
    ByTable,
    /// A file of an archive, a table of a dump: whatever they are called, no two belong together.
    ByFile,
}

impl Grouping {
    /// For streams of this format.
    pub(crate) fn of(format: StreamFormat) -> Grouping {
        match format {
            StreamFormat::Mbstream => Grouping::ByTable,
            StreamFormat::Raw | StreamFormat::Sql | StreamFormat::Tar => Grouping::ByFile,
        }
    }

    /// Under which name a file is told.
    pub(crate) fn name(self, path: &str) -> &str {
        match self {
            Grouping::ByTable => table_of(path),
            Grouping::ByFile => path,
        }
    }

    /// What stands above the list.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Grouping::ByTable => "tables",
            Grouping::ByFile => "files",
        }
    }

    /// What stands above the column of names.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Grouping::ByTable => "TABLE",
            Grouping::ByFile => "FILE",
        }
    }
}
