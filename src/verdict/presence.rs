//! Which files of which tables are there, in a few bytes each.
//!
//! To notice a lost data file every table's definition is held against the files that came, once
//! the last rename is known. 200,000 tables are ordinary and 5 million must work, so that no path
//! is kept: a table is a 64-bit hash and a bit for each of its files, 60 to 100 bytes with its
//! name, which is kept for messages, of tables only that have a definition or a tablespace. What a
//! file tells of another one (lengths, partitions) is kept beside, for the few kinds that do.
//!
//! Invariants:
//! - the state follows the stream: what is renamed or removed is not at the old place any more, and
//!   of a path that came twice the last file counts;
//! - removing a directory or the partitions of a table takes constant time.
//!
//! What it does not do: judge; know any file but those of tables and those at the top level.

use crate::base::num::index;
use crate::innodb::frm::Frm;
use crate::parse::path::{HashedAlready, PathSeed, StreamPath};
use crate::verdict::lengths::{Data, DataFault, Stated};
use crate::verdict::metadata::unwrap_name;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

/// What the name of a table's file ends in, with the bit that stands for it.
const SUFFIXES: [(&str, u32); 19] = [
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
const OF_A_DEFINITION: [&str; 8] = [".MAI", ".MAD", ".MYI", ".MYD", ".CSV", ".CSM", ".par", ".MRG"];

/// What the names of full-text indexes begin with: they have no definition.
const OF_FULL_TEXT: &[u8] = b"FTS_";

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
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    files: Files,
    partitions: u32,
    /// Counts how often all partitions were removed; those of another count are gone.
    generation: u32,
    definition: Option<Frm>,
    /// The number of its tablespace; 0 is the system tablespace's and stands for none.
    space: u32,
    name_at: u32,
    name_len: u16,
    details: Option<Box<Details>>,
}

/// What the files of a table say about each other.
#[derive(Debug, Clone, Default)]
struct Details {
    stated: Option<Stated>,
    data: Option<Data>,
    /// Names, each with a zero behind it.
    partitions: Option<Box<[u8]>>,
}

/// What was learnt from a file of a table.
#[derive(Debug, Clone)]
pub(super) enum Learnt {
    Nothing,
    /// From a `.frm` file.
    Definition(Frm),
    /// From a `.par` file; `None` if it can't be read.
    Partitions(Option<Box<[u8]>>),
    /// From an index file or the description of a CSV table.
    Stated(Option<Stated>),
    /// From a data file.
    Data(Data),
    /// From a tablespace: its number.
    Space(u32),
}

/// A set of a table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Files(u32);

impl Files {
    const FRM: u32 = 1 << 0;
    const IBD: u32 = 1 << 1;
    const PAR: u32 = 1 << 3;
    const MAI: u32 = 1 << 4;
    const MAD: u32 = 1 << 5;
    const MYI: u32 = 1 << 6;
    const MYD: u32 = 1 << 7;
    const CSV: u32 = 1 << 8;
    const CSM: u32 = 1 << 9;
    /// The changed pages of an incremental backup.
    const DELTA: u32 = 1 << 13;
    /// What they belong to.
    const META: u32 = 1 << 14;
    /// The tablespace is there under its former name and will be renamed.
    const RENAMED: u32 = 1 << 15;
    const OPT: u32 = 1 << 19;
    /// The table was dropped during the backup; preparing removes its tablespace.
    const DEL: u32 = 1 << 20;
    /// Preparing will rename the tablespace.
    const REN: u32 = 1 << 21;
    /// Its tablespace has no definition.
    const UNDEFINED: u32 = 1 << 22;

    const STATING: u32 = Self::MAI | Self::MYI | Self::CSM;
    const DATA: u32 = Self::MAD | Self::MYD | Self::CSV;
}

/// A table's file, taken apart.
#[derive(Debug, Clone, Copy)]
struct TableFile<'a> {
    directory: &'a [u8],
    stem: &'a [u8],
    /// The table, if the stem is a partition.
    whole: Option<&'a [u8]>,
    bit: u32,
}

/// A table that has a definition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defined<'a> {
    presence: &'a Presence,
    directory: &'a Hashed<Table>,
    /// The table.
    pub(super) table: &'a Table,
}

impl Presence {
    pub(super) fn new(seed: PathSeed) -> Self {
        Self { seed, directories: Hashed::default(), top: HashSet::default(), names: Vec::new() }
    }

    /// Notes that a file has arrived whole, and what was learnt from it.
    pub(super) fn add(&mut self, path: StreamPath<'_>, learnt: Learnt) {
        if path.parent().is_empty() {
            self.top.insert(self.seed.hash(path.file_name()));
            self.top.insert(self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        self.set(file);
        let is_unnamed = self.table_mut(file.directory, file.stem).name_len == 0;
        let has_name = file.bit & (Files::FRM | Files::IBD | Files::DELTA) != 0;
        let name = (has_name && is_unnamed).then(|| self.keep_name(file));
        let table = self.table_mut(file.directory, file.stem);
        if let Some((name_at, name_len)) = name {
            (table.name_at, table.name_len) = (name_at, name_len);
        }
        if file.stem.starts_with(OF_FULL_TEXT) {
            table.files.0 |= Files::UNDEFINED;
        }
        table.forget(file.bit);
        table.learn(learnt);
    }

    /// Notes that a tablespace will have the name `path` once the backup is prepared.
    pub(super) fn add_renamed(&mut self, path: StreamPath<'_>) {
        let (directory, stem) = (path.parent(), path.file_name());
        let whole = whole_of(stem);
        self.set(TableFile { directory, stem, whole, bit: Files::RENAMED });
    }

    /// Moves what is at `from`, if anything is; tells whether.
    pub(super) fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) -> bool {
        if self.has(from) == Some(true) {
            let file = TableFile::of(from);
            let table = file.map(|file| (file, self.table_mut(file.directory, file.stem)));
            let learnt = table.map_or(Learnt::Nothing, |(file, table)| table.learnt(file.bit));
            self.remove_file(from);
            self.add(to, learnt);
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
        let table = self.table_mut(path.parent(), stem);
        table.partitions = 0;
        table.generation = table.generation.wrapping_add(1);
    }

    /// Tells whether a file is there; `None` for one of a kind that is not tracked.
    pub(super) fn has(&self, path: StreamPath<'_>) -> Option<bool> {
        if path.parent().is_empty() {
            return Some(self.has_top(path.file_name()));
        }
        let file = TableFile::of(path)?;
        let tables = self.directories.get(&self.seed.hash(file.directory));
        let find = |stem| tables.and_then(|tables| tables.get(&self.seed.hash(stem)));
        let generation = file.whole.and_then(find).map_or(0, |table| table.generation);
        Some(find(file.stem).is_some_and(|table| {
            table.files.0 & file.bit != 0 && (file.whole.is_none() || table.is_of(generation))
        }))
    }

    /// Tells whether a file of that name is at the top level, wrapped or not.
    pub(super) fn has_top(&self, name: &[u8]) -> bool {
        self.top.contains(&self.seed.hash(name))
    }

    /// Iterates over the tables with a definition.
    pub(super) fn defined_tables(&self) -> impl Iterator<Item = Defined<'_>> {
        let tables = self.directories.values().flat_map(|directory| {
            directory.values().map(|table| Defined { presence: self, directory, table })
        });
        tables.filter(|defined| defined.table.files.0 & Files::FRM != 0)
    }

    /// Iterates over the tablespaces of tables and partitions that have a number.
    pub(super) fn numbered_tablespaces(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let numbered = self.live_tables().filter(|(_, table, _)| table.space != 0);
        numbered.map(|(name, table, _)| (table.space, name))
    }

    /// Iterates over the tables that have a tablespace, need a definition and have none.
    pub(super) fn undefined_tablespaces(&self) -> impl Iterator<Item = String> {
        const NEED_NONE: u32 = Files::FRM | Files::DEL | Files::REN | Files::UNDEFINED;
        let undefined = self.live_tables().filter(|(_, table, whole)| {
            let files = table.files.0;
            let defines = |whole: &&Table| whole.files.0 & NEED_NONE != 0;
            files & (Files::IBD | Files::DELTA) != 0
                && files & NEED_NONE == 0
                && !whole.as_ref().is_some_and(defines)
        });
        undefined.map(|(name, _, _)| name.escape_ascii().to_string())
    }

    /// Tells whether a directory holds any file of a table.
    pub(super) fn has_tables_in(&self, directory: &[u8]) -> bool {
        let tables = self.directories.get(&self.seed.hash(directory));
        let has_files = |table: &Table| table.files.0 & !Files::OPT != 0;
        tables.is_some_and(|tables| tables.values().any(has_files))
    }

    /// Iterates over the tables and partitions whose name is known, with the table of which it is a
    /// partition; those that were removed together with their table's others are passed over.
    fn live_tables(&self) -> impl Iterator<Item = (&[u8], &Table, Option<&Table>)> {
        let tables = self
            .directories
            .values()
            .flat_map(|directory| directory.values().map(move |table| (directory, table)));
        tables.filter_map(|(directory, table)| {
            let name = Some(self.name(table)).filter(|name| !name.is_empty())?;
            let stem = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let whole = whole_of(stem).and_then(|whole| directory.get(&self.seed.hash(whole)));
            let is_live = whole.is_none_or(|whole| table.is_of(whole.generation));
            is_live.then_some((name, table, whole))
        })
    }

    /// Returns what a file of the table ends in that is nothing without the definition, if the
    /// definition is not there.
    pub(super) fn left_over(&self, table: StreamPath<'_>) -> Option<&'static str> {
        let tables = self.directories.get(&self.seed.hash(table.parent()))?;
        let table = tables.get(&self.seed.hash(table.file_name()))?;
        let has = |suffix: &&str| table.has(suffix, Incremental::No);
        OF_A_DEFINITION.into_iter().find(|suffix| !has(&".frm") && has(suffix))
    }

    fn set(&mut self, file: TableFile<'_>) {
        let generation = file.whole.map(|whole| self.table_mut(file.directory, whole).generation);
        let table = self.table_mut(file.directory, file.stem);
        if let Some(generation) = generation.filter(|generation| !table.is_of(*generation)) {
            *table = Table { generation, ..Table::default() };
        }
        let is_new = table.files.0 & file.bit == 0;
        table.files.0 |= file.bit;
        if let Some(whole) = file.whole.filter(|_| is_new) {
            self.table_mut(file.directory, whole).partitions += 1;
        }
    }

    fn remove_file(&mut self, path: StreamPath<'_>) {
        let was_there = self.has(path) == Some(true);
        if path.parent().is_empty() {
            self.top.remove(&self.seed.hash(path.file_name()));
            self.top.remove(&self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        let table = self.table_mut(file.directory, file.stem);
        table.files.0 &= !file.bit;
        table.forget(file.bit);
        if let Some(whole) = file.whole.filter(|_| was_there) {
            let whole = self.table_mut(file.directory, whole);
            whole.partitions = whole.partitions.saturating_sub(1);
        }
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

    fn name(&self, table: &Table) -> &[u8] {
        let from = index(table.name_at);
        self.names.get(from..from + usize::from(table.name_len)).unwrap_or_default()
    }
}

impl<'a> Defined<'a> {
    /// Returns database and table.
    pub(super) fn name(self) -> String {
        self.presence.name(self.table).escape_ascii().to_string()
    }

    /// Returns what the definition says, if it could be read.
    pub(super) fn definition(self) -> Option<Frm> {
        self.table.definition
    }

    /// Iterates over the partitions that are listed, with what is there of each.
    pub(super) fn partitions(self) -> impl Iterator<Item = (&'a [u8], Option<&'a Table>)> {
        let Self { presence, directory, table } = self;
        let stem = presence.name(table).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let listed = table.details.as_ref().and_then(|details| details.partitions.as_deref());
        let names = listed.unwrap_or_default().split(|byte| *byte == 0);
        // Behind the last zero there is nothing.
        let names = names.filter(|name| !name.is_empty());
        names.map(move |name| {
            let found = PARTITION_MARKS
                .iter()
                .find_map(|mark| directory.get(&presence.seed.hash(&[stem, *mark, name].concat())));
            (name, found.filter(|partition| partition.is_of(table.generation)))
        })
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

    /// Returns what is wrong with the data file, with its length and what its name ends in.
    pub(super) fn data_fault(&self) -> Option<(&'static str, Data, DataFault)> {
        let details = self.details.as_ref()?;
        let data = details.data?;
        let fault = details.stated?.fault(data)?;
        let of_data = |(_, bit): &&(&str, u32)| self.files.0 & Files::DATA & bit != 0;
        let (suffix, _) = SUFFIXES.iter().find(of_data)?;
        Some((suffix, data, fault))
    }

    fn is_of(&self, generation: u32) -> bool {
        self.generation == generation
    }

    fn learn(&mut self, learnt: Learnt) {
        match learnt {
            Learnt::Nothing => {}
            Learnt::Definition(definition) => self.definition = Some(definition),
            Learnt::Partitions(names) => self.details.get_or_insert_default().partitions = names,
            Learnt::Stated(stated) => self.details.get_or_insert_default().stated = stated,
            Learnt::Data(data) => self.details.get_or_insert_default().data = Some(data),
            Learnt::Space(space) => self.space = space,
        }
    }

    /// Returns what was learnt from the file of that bit.
    fn learnt(&self, bit: u32) -> Learnt {
        let details = self.details.as_deref();
        match bit {
            Files::FRM => self.definition.map_or(Learnt::Nothing, Learnt::Definition),
            Files::IBD => Learnt::Space(self.space),
            Files::PAR => Learnt::Partitions(details.and_then(|it| it.partitions.clone())),
            bit if bit & Files::STATING != 0 => {
                Learnt::Stated(details.and_then(|details| details.stated))
            }
            bit if bit & Files::DATA != 0 => {
                details.and_then(|details| details.data).map_or(Learnt::Nothing, Learnt::Data)
            }
            _ => Learnt::Nothing,
        }
    }

    /// Forgets what was learnt from the file of that bit.
    fn forget(&mut self, bit: u32) {
        if bit == Files::FRM {
            self.definition = None;
        }
        if bit == Files::IBD {
            self.space = 0;
        }
        let Some(details) = &mut self.details else { return };
        match bit {
            Files::PAR => details.partitions = None,
            bit if bit & Files::STATING != 0 => details.stated = None,
            bit if bit & Files::DATA != 0 => details.data = None,
            _ => {}
        }
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
        let whole = whole_of(stem);
        is_table.then_some(Self { directory, stem, whole, bit: special.unwrap_or(*bit) })
    }
}

/// Returns the table of which this is a partition.
fn whole_of(stem: &[u8]) -> Option<&[u8]> {
    partition_mark(stem).and_then(|at| stem.get(..at))
}

/// Returns database and table, if the path is that of a table's file and not of a partition's.
pub(super) fn table_of(path: StreamPath<'_>) -> Option<Vec<u8>> {
    let file = TableFile::of(path).filter(|file| file.whole.is_none())?;
    Some([file.directory, b"/", file.stem].concat())
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
            presence.add(path(name), Learnt::Nothing);
        }
        presence
    }

    fn only(presence: &Presence) -> &Table {
        presence.defined_tables().next().unwrap().table
    }

    #[test]
    fn files_are_found_by_suffix_and_under_wrappers() {
        let presence = with(&["a/t.frm", "a/t.ibd.qp", "a/u.MAD"]);
        let table = only(&presence);
        assert!(table.has(".ibd", Incremental::No) && !table.has(".MAD", Incremental::No));
        let presence = with(&["ibdata1", "undo001.delta", "ib_logfile0.qp"]);
        assert!(presence.has_top(b"ibdata1") && presence.has_top(b"ib_logfile0"));
        assert!(presence.has_top(b"undo001.delta") && !presence.has_top(b"undo001"));
    }

    #[test]
    fn changed_pages_stand_for_a_tablespace_in_an_increment_only() {
        let presence = with(&["a/t.frm", "a/t.ibd.delta", "a/t.ibd.meta"]);
        let table = only(&presence);
        assert!(table.has(".ibd", Incremental::Yes) && !table.has(".ibd", Incremental::No));
        let presence = with(&["a/t.frm", "a/t.ibd.delta"]);
        let table = only(&presence);
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
        assert_eq!(presence.has(path("a/x.txt")), None, "not tracked");
    }

    #[test]
    fn a_listed_partition_is_there_under_the_tables_last_name_until_all_are_removed() {
        let mut presence = with(&["a/t.frm", "a/t#P#p0.MYD", "a/t#P#p1.MYD"]);
        let list = |names: &[u8]| Learnt::Partitions(Some(names.into()));
        presence.add(path("a/t.par"), list(b"p0\0p1\0p2\0"));
        let found = |presence: &Presence| {
            let defined = presence.defined_tables().next().unwrap();
            let is_there = |(_, table): (&[u8], Option<&Table>)| {
                table.is_some_and(|table| table.has(".MYD", Incremental::No))
            };
            defined.partitions().map(is_there).collect::<Vec<_>>()
        };
        assert_eq!(found(&presence), [true, true, false]);
        for suffix in [".frm", ".par", "#P#p0.MYD"] {
            let (from, to) = (format!("a/t{suffix}"), format!("a/u{suffix}"));
            assert!(presence.rename(path(&from), path(&to)), "{suffix}");
        }
        assert_eq!(found(&presence), [true, false, false]);
        presence.remove(path("a/u#P#*"));
        assert_eq!(found(&presence), [false, false, false]);
        assert_eq!(presence.has(path("a/u#P#p0.MYD")), Some(false));
        presence.add(path("a/u#P#p2.MYD"), Learnt::Nothing);
        assert_eq!(found(&presence), [false, false, true]);
    }

    #[test]
    fn lengths_follow_their_files() {
        let mut presence = with(&["a/t.frm"]);
        presence.add(path("a/t.MYI"), Learnt::Stated(Some(Stated::Bytes(5))));
        let data = |length| Learnt::Data(Data { length, ..Data::default() });
        presence.add(path("a/t.MYD"), data(5));
        assert!(only(&presence).data_fault().is_none());
        presence.add(path("a/t.MYD"), data(0));
        assert!(only(&presence).data_fault().is_some(), "the last version counts");
        for suffix in [".frm", ".MYI", ".MYD"] {
            let (from, to) = (format!("a/t{suffix}"), format!("b/u{suffix}"));
            presence.rename(path(&from), path(&to));
        }
        let (suffix, data, fault) = only(&presence).data_fault().unwrap();
        assert_eq!((suffix, data.length), (".MYD", 0));
        assert_eq!(fault, DataFault::Bytes { stated: 5 });
        presence.remove(path("b/u.MYD"));
        assert!(only(&presence).data_fault().is_none());
        let table = StreamPath::new(b"b/u").unwrap();
        assert_eq!(presence.left_over(table), None);
        presence.remove(path("b/u.frm"));
        assert_eq!(presence.left_over(table), Some(".MYI"));
    }
}
