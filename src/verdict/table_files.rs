//! Names of tables' files: which table a path belongs to, and which of its files it is.

use crate::parse::path::StreamPath;
use crate::verdict::metadata::unwrap_name;

/// The suffix of each file of a table, with the bit that stands for it.
pub(super) const SUFFIXES: [(&str, u32); 19] = [
    (".frm", Files::FRM),
    (".ibd", Files::IBD),
    (".new", 1 << 2),
    (".par", Files::PAR),
    (".MAI", Files::MAI),
    (".MAD", Files::MAD),
    (".MYI", Files::MYI),
    (".MYD", Files::MYD),
    (".CSV", Files::CSV),
    (".CSM", Files::CSM),
    (".MRG", 1 << 10),
    (".ARZ", 1 << 11),
    (".ARM", 1 << 12),
    (".TRG", 1 << 16),
    (".TRN", 1 << 17),
    (".isl", 1 << 18),
    (".opt", Files::OPT),
    (".del", Files::DEL),
    (".ren", Files::REN),
];

/// Files without which a definition is nothing, and that are nothing without it. A tablespace may
/// be: those of full-text indexes have no definition.
pub(super) const OF_A_DEFINITION: [&str; 8] =
    [".MAI", ".MAD", ".MYI", ".MYD", ".CSV", ".CSM", ".par", ".MRG"];

/// The marks between a table and the name of a partition.
pub(super) const PARTITION_MARKS: [&[u8]; 2] = [b"#P#", b"#p#"];

/// A set of a table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Files(pub(super) u32);

impl Files {
    pub(super) const FRM: u32 = 1 << 0;
    pub(super) const IBD: u32 = 1 << 1;
    pub(super) const PAR: u32 = 1 << 3;
    pub(super) const MAI: u32 = 1 << 4;
    pub(super) const MAD: u32 = 1 << 5;
    pub(super) const MYI: u32 = 1 << 6;
    pub(super) const MYD: u32 = 1 << 7;
    pub(super) const CSV: u32 = 1 << 8;
    pub(super) const CSM: u32 = 1 << 9;
    /// The changed pages of an incremental backup.
    pub(super) const DELTA: u32 = 1 << 13;
    /// The `.meta` file that describes them.
    pub(super) const META: u32 = 1 << 14;
    /// The tablespace is there under its previous name and will be renamed.
    pub(super) const RENAMED: u32 = 1 << 15;
    /// The settings of a schema.
    pub(super) const OPT: u32 = 1 << 19;
    /// The table was dropped during the backup; preparing removes its tablespace.
    pub(super) const DEL: u32 = 1 << 20;
    /// Preparing will rename the tablespace.
    pub(super) const REN: u32 = 1 << 21;
    /// Its tablespace has no definition.
    pub(super) const UNDEFINED: u32 = 1 << 22;

    pub(super) const STATING: u32 = Self::MAI | Self::MYI | Self::CSM;
    pub(super) const DATA: u32 = Self::MAD | Self::MYD | Self::CSV;
}

/// A table's file, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableFile<'a> {
    pub(super) directory: &'a [u8],
    pub(super) stem: &'a [u8],
    /// The table, if the stem is a partition.
    pub(super) whole: Option<&'a [u8]>,
    pub(super) bit: u32,
}

impl<'a> TableFile<'a> {
    /// Takes a path apart, if it is that of a table's file.
    pub(super) fn of(path: StreamPath<'a>) -> Option<Self> {
        let directory = path.parent();
        let (name, _) = unwrap_name(path.file_name());
        let (name, special) = match (name.strip_suffix(b".delta"), name.strip_suffix(b".meta")) {
            (Some(inner), _) => (inner, Some(Files::DELTA)),
            (None, Some(inner)) => (inner, Some(Files::META)),
            (None, None) => (name, None),
        };
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let (stem, suffix) = name.split_at(dot);
        let (_, bit) = SUFFIXES.iter().find(|(known, _)| known.as_bytes() == suffix)?;
        let is_table = !directory.is_empty() && !stem.starts_with(b"#sql");
        let whole = whole_of(stem);
        is_table.then_some(Self { directory, stem, whole, bit: special.unwrap_or(*bit) })
    }
}

/// Returns the table of which this is a partition.
pub(super) fn whole_of(stem: &[u8]) -> Option<&[u8]> {
    partition_mark(stem).and_then(|at| stem.get(..at))
}

/// Returns database and table, if the path is that of a table's file and not of a partition's.
pub(super) fn table_of(path: StreamPath<'_>) -> Option<Vec<u8>> {
    let file = TableFile::of(path).filter(|file| file.whole.is_none())?;
    Some([file.directory, b"/", file.stem].concat())
}

/// Returns where the mark of a partition begins in a name.
pub(super) fn partition_mark(name: &[u8]) -> Option<usize> {
    let is_mark = |window: &[u8]| PARTITION_MARKS.contains(&window);
    name.windows(3).position(is_mark).filter(|at| *at > 0)
}
