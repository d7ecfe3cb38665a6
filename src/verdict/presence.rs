//! Which files of which tables are there, in a few bytes each.
//!
//! To notice a lost data file every table's definition is held against the files that came, once
//! the last rename is known. 200,000 tables are ordinary and 5 million must work, so that no path
//! is kept: a table is a 64-bit hash and a bit for each of its files, 40 to 80 bytes with its name,
//! which is kept for messages, of tables only that have a definition.
//!
//! Invariants:
//! - the state follows the stream: what is renamed or removed is not at the old place any more;
//! - removing a directory or the partitions of a table takes constant time.
//!
//! What it does not do: tell single partitions apart once a glob removed them all; know any file
//! but those of tables and those at the top level.

use crate::base::num::index;
use crate::innodb::frm::Frm;
use crate::parse::path::{HashedAlready, PathSeed, StreamPath};
use crate::verdict::metadata::unwrap_name;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

/// What the name of a table's file ends in, with the bit that stands for it.
const SUFFIXES: [(&str, u16); 13] = [
    (".frm", Files::FRM),
    (".ibd", Files::IBD),
    (".new", Files::NEW),
    (".par", 1 << 3),
    (".MAI", 1 << 4),
    (".MAD", 1 << 5),
    (".MYI", 1 << 6),
    (".MYD", 1 << 7),
    (".CSV", 1 << 8),
    (".CSM", 1 << 9),
    (".MRG", 1 << 10),
    (".ARZ", 1 << 11),
    (".ARM", 1 << 12),
];

/// What stands between a table and the name of a partition.
const PARTITION_MARKS: [&[u8]; 2] = [b"#P#", b"#p#"];

/// Where names of tables are kept ends here; later ones are only counted.
const NAMES_BYTES_MAX: usize = 1 << 30;

type Hashed<T> = HashMap<u64, T, BuildHasherDefault<HashedAlready>>;

/// The files that are there.
#[derive(Debug)]
pub(super) struct Presence {
    seed: PathSeed,
    directories: Hashed<Hashed<Table>>,
    /// Files at the top level, by their whole names and by their unwrapped ones.
    top: HashSet<u64, BuildHasherDefault<HashedAlready>>,
    names: Vec<u8>,
}

/// A table, or a partition of one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Table {
    files: Files,
    partitions: u32,
    definition: Option<Frm>,
    name_at: u32,
    name_len: u16,
}

/// A set of a table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Files(u16);

impl Files {
    const FRM: u16 = 1 << 0;
    const IBD: u16 = 1 << 1;
    const NEW: u16 = 1 << 2;
    /// The changed pages of an incremental backup.
    const DELTA: u16 = 1 << 13;
    /// What they belong to.
    const META: u16 = 1 << 14;
    /// The tablespace is there under its former name and will be renamed.
    const RENAMED: u16 = 1 << 15;
}

/// A table's file, taken apart.
#[derive(Debug, Clone, Copy)]
struct TableFile<'a> {
    directory: &'a [u8],
    stem: &'a [u8],
    /// The table, if the stem is a partition.
    whole: Option<&'a [u8]>,
    bit: u16,
}

impl Presence {
    pub(super) fn new(seed: PathSeed) -> Self {
        Self { seed, directories: Hashed::default(), top: HashSet::default(), names: Vec::new() }
    }

    /// Notes that a file has arrived whole. `definition` is what a `.frm` file defines.
    pub(super) fn add(&mut self, path: StreamPath<'_>, definition: Option<Frm>) {
        if path.parent().is_empty() {
            self.top.insert(self.seed.hash(path.file_name()));
            self.top.insert(self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        self.set(file);
        if file.bit == Files::FRM {
            let (name_at, name_len) = self.keep_name(file);
            let table = self.table_mut(file.directory, file.stem);
            (table.name_at, table.name_len) = (name_at, name_len);
            table.definition = definition;
        }
    }

    /// Notes that a tablespace will have the name `path` once the backup is prepared.
    pub(super) fn add_renamed(&mut self, path: StreamPath<'_>) {
        let (directory, stem) = (path.parent(), path.file_name());
        self.table_mut(directory, stem).files.0 |= Files::RENAMED;
    }

    /// Moves what is at `from`, if anything is; tells whether.
    pub(super) fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) -> bool {
        if self.has(from) == Some(true) {
            let definition = TableFile::of(from).and_then(|file| {
                self.directories.get(&self.seed.hash(file.directory))?.get(&self.hash(file))
            });
            let definition = definition.and_then(|table| table.definition);
            self.remove_file(from);
            self.add(to, definition);
            return true;
        }
        let Some(tables) = self.directories.remove(&self.seed.hash(from.as_bytes())) else {
            return false;
        };
        self.directories.insert(self.seed.hash(to.as_bytes()), tables);
        true
    }

    /// Removes a file, a directory or the partitions that a glob names.
    pub(super) fn remove(&mut self, path: StreamPath<'_>) {
        self.directories.remove(&self.seed.hash(path.as_bytes()));
        self.remove_file(path);
        let name = path.file_name();
        let Some(stem_end) = partition_mark(name).filter(|_| name.contains(&b'*')) else { return };
        let stem = name.get(..stem_end).unwrap_or_default();
        self.table_mut(path.parent(), stem).partitions = 0;
    }

    /// Tells whether a file is there; `None` for one of a kind that is not tracked.
    pub(super) fn has(&self, path: StreamPath<'_>) -> Option<bool> {
        if path.parent().is_empty() {
            return Some(self.has_top(path.file_name()));
        }
        let file = TableFile::of(path)?;
        let tables = self.directories.get(&self.seed.hash(file.directory));
        let table = tables.and_then(|tables| tables.get(&self.hash(file)));
        Some(table.is_some_and(|table| table.files.0 & file.bit != 0))
    }

    /// Tells whether a file of that name is at the top level, wrapped or not.
    pub(super) fn has_top(&self, name: &[u8]) -> bool {
        self.top.contains(&self.seed.hash(name))
    }

    /// Iterates over the tables with a definition: name, definition, files.
    pub(super) fn defined_tables(&self) -> impl Iterator<Item = (String, Option<Frm>, Table)> {
        let tables = self.directories.values().flat_map(HashMap::values);
        let defined = tables.filter(|table| table.files.0 & Files::FRM != 0);
        defined.map(|table| (self.name(table), table.definition, *table))
    }

    fn set(&mut self, file: TableFile<'_>) {
        let table = self.table_mut(file.directory, file.stem);
        let is_new = table.files.0 & file.bit == 0;
        table.files.0 |= file.bit;
        if let Some(whole) = file.whole.filter(|_| is_new) {
            self.table_mut(file.directory, whole).partitions += 1;
        }
    }

    fn remove_file(&mut self, path: StreamPath<'_>) {
        if path.parent().is_empty() {
            self.top.remove(&self.seed.hash(path.file_name()));
            self.top.remove(&self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        let table = self.table_mut(file.directory, file.stem);
        let was_there = table.files.0 & file.bit != 0;
        table.files.0 &= !file.bit;
        if let Some(whole) = file.whole.filter(|_| was_there) {
            let whole = self.table_mut(file.directory, whole);
            whole.partitions = whole.partitions.saturating_sub(1);
        }
    }

    fn hash(&self, file: TableFile<'_>) -> u64 {
        self.seed.hash(file.stem)
    }

    fn table_mut(&mut self, directory: &[u8], stem: &[u8]) -> &mut Table {
        let (directory, stem) = (self.seed.hash(directory), self.seed.hash(stem));
        self.directories.entry(directory).or_default().entry(stem).or_default()
    }

    fn keep_name(&mut self, file: TableFile<'_>) -> (u32, u16) {
        let name = [file.directory, b"/", file.stem].concat();
        let at = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        if self.names.len() + name.len() > NAMES_BYTES_MAX {
            return (0, 0);
        }
        self.names.extend_from_slice(&name);
        (at, u16::try_from(name.len()).expect("a path has less than 512 bytes"))
    }

    fn name(&self, table: &Table) -> String {
        let from = index(table.name_at);
        let name = self.names.get(from..from + usize::from(table.name_len)).unwrap_or_default();
        name.escape_ascii().to_string()
    }
}

impl Table {
    /// Tells whether the table has a file that ends so, or partitions (`#P#`). In an incremental
    /// backup the changed pages stand for the tablespace.
    pub(super) fn has(&self, suffix: &str, incremental: Incremental) -> bool {
        if suffix == "#P#" {
            return self.partitions > 0;
        }
        let bit = SUFFIXES.iter().find(|(known, _)| *known == suffix).map_or(0, |(_, bit)| *bit);
        let delta = Files::DELTA | Files::META;
        let by_delta = incremental == Incremental::Yes && self.files.0 & delta == delta;
        self.files.0 & bit != 0
            || bit == Files::IBD && (by_delta || self.files.0 & Files::RENAMED != 0)
    }

    /// Tells whether the table has changed pages, but not what they belong to.
    pub(super) fn lacks_meta(&self) -> bool {
        self.files.0 & Files::DELTA != 0 && self.files.0 & Files::META == 0
    }
}

/// Whether the backup is an incremental one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incremental {
    Yes,
    No,
}

impl<'a> TableFile<'a> {
    /// Takes a path apart, if it is that of a table's file.
    fn of(path: StreamPath<'a>) -> Option<Self> {
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
        let whole = partition_mark(stem).and_then(|at| stem.get(..at));
        is_table.then_some(Self { directory, stem, whole, bit: special.unwrap_or(*bit) })
    }
}

fn partition_mark(name: &[u8]) -> Option<usize> {
    let is_mark = |window: &[u8]| PARTITION_MARKS.contains(&window);
    name.windows(3).position(is_mark).filter(|at| *at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> StreamPath<'_> {
        StreamPath::new(name.as_bytes()).unwrap()
    }

    fn with(names: &[&str]) -> Presence {
        let mut presence = Presence::new(PathSeed::new([1; 16]));
        for name in names {
            presence.add(path(name), None);
        }
        presence
    }

    fn only(presence: &Presence) -> Table {
        presence.defined_tables().next().unwrap().2
    }

    #[test]
    fn files_are_found_by_suffix_and_under_wrappers() {
        let table = only(&with(&["a/t.frm", "a/t.ibd.qp", "a/u.MAD"]));
        assert!(table.has(".ibd", Incremental::No) && !table.has(".MAD", Incremental::No));
        let presence = with(&["ibdata1", "undo001.delta", "ib_logfile0.qp"]);
        assert!(presence.has_top(b"ibdata1") && presence.has_top(b"ib_logfile0"));
        assert!(presence.has_top(b"undo001.delta") && !presence.has_top(b"undo001"));
    }

    #[test]
    fn changed_pages_stand_for_a_tablespace_in_an_increment_only() {
        let table = only(&with(&["a/t.frm", "a/t.ibd.delta", "a/t.ibd.meta"]));
        assert!(table.has(".ibd", Incremental::Yes) && !table.has(".ibd", Incremental::No));
        let table = only(&with(&["a/t.frm", "a/t.ibd.delta"]));
        assert!(table.lacks_meta() && !table.has(".ibd", Incremental::Yes));
    }

    #[test]
    fn partitions_are_counted_through_renames_and_globs() {
        let mut presence = with(&["a/t.frm", "a/t#P#p0.MYD", "a/t#P#p0.MYI", "a/t#P#p1.MYD"]);
        assert!(only(&presence).has("#P#", Incremental::No));
        presence.remove(path("a/t#P#p1.MYD"));
        presence.rename(path("a/t#P#p0.MYD"), path("a/u#P#p0.MYD"));
        assert!(only(&presence).has("#P#", Incremental::No));
        presence.remove(path("a/t#P#p0.MYI"));
        assert!(!only(&presence).has("#P#", Incremental::No));
        let mut presence = with(&["a/t.frm", "a/t#P#p0.MYD"]);
        presence.remove(path("a/t#P#*"));
        assert!(!only(&presence).has("#P#", Incremental::No));
    }

    #[test]
    fn renames_and_removals_move_files_and_directories() {
        let mut presence = with(&["a/t.frm", "a/t.MAD"]);
        assert!(presence.rename(path("a/t.MAD"), path("b/u.MAD")));
        assert!(!presence.rename(path("a/t.MAD"), path("b/v.MAD")));
        assert_eq!(presence.has(path("b/u.MAD")), Some(true));
        assert_eq!(presence.has(path("a/t.MAD")), Some(false));
        assert!(presence.rename(path("b"), path("c")));
        assert_eq!(presence.has(path("c/u.MAD")), Some(true));
        presence.remove(path("c"));
        assert_eq!(presence.has(path("c/u.MAD")), Some(false));
        assert_eq!(presence.has(path("a/db.opt")), None, "not tracked");
    }
}
