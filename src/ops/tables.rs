//! Finds the table that a file of a database directory belongs to, and the files that reports count
//! together.

use crate::format::snapshot::StreamFormat;

/// Extensions of the files of a table: the text after the first dot.
const EXTENSIONS: [&str; 22] = [
    "ibd", "frm", "MAD", "MAI", "MYD", "MYI", "CSV", "CSM", "ARZ", "ARM", "MRG", "par", "TRG",
    "TRN", "isl", "cfg", "cfp", "new", "ren", "del", "sdi", "ibu",
];

/// The mark between the name of a table and that of its partition.
const PARTITION: [&str; 2] = ["#P#", "#p#"];

/// Returns the table that a file belongs to, or the file's own path if it belongs to none.
///
/// Names are left as the server writes them into file names (`@002d` and the like).
pub fn table_of(path: &str) -> &str {
    let Some((directory, file)) = path.rsplit_once('/') else { return path };
    let Some((name, extensions)) = file.split_once('.') else { return path };
    if !extensions.split('.').any(|extension| EXTENSIONS.contains(&extension)) {
        return path;
    }
    let partition = PARTITION.iter().filter_map(|mark| name.find(mark)).min();
    &path[..directory.len() + 1 + partition.unwrap_or(name.len())]
}

/// The way in which files of a snapshot are counted together in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// A table, which has several files.
    ByTable,
    /// A file of an archive, a table of a dump: whatever they are called, no two belong together.
    ByFile,
}

impl Grouping {
    /// Returns the grouping for streams of this format.
    pub fn of(format: StreamFormat) -> Self {
        match format {
            StreamFormat::Mbstream => Self::ByTable,
            StreamFormat::Raw | StreamFormat::Binlog | StreamFormat::Sql | StreamFormat::Tar => {
                Self::ByFile
            }
        }
    }

    /// Returns the name under which a file is listed.
    pub fn name(self, path: &str) -> &str {
        match self {
            Self::ByTable => table_of(path),
            Self::ByFile => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_table_have_one_name() {
        for (path, table) in [
            ("shop/orders.ibd", "shop/orders"),
            ("shop/orders.frm", "shop/orders"),
            ("shop/orders#P#p0.ibd", "shop/orders"),
            ("shop/orders#P#p0#SP#p0sp1.MAD", "shop/orders"),
            ("shop/orders.ibd.delta", "shop/orders"),
            ("shop/orders.new", "shop/orders"),
            ("shop/db.opt", "shop/db.opt"),
            ("shop/#sql-1a2b.frm", "shop/#sql-1a2b"),
            ("ibdata1", "ibdata1"),
            ("aria_log.00000001", "aria_log.00000001"),
            ("xtrabackup_info", "xtrabackup_info"),
            ("stream", "stream"),
        ] {
            assert_eq!(table_of(path), table, "{path}");
        }
    }
}
