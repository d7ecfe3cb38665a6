//! The files of each table that have arrived and are still there, in bounded memory.
//!
//! To notice a lost data file every table's definition is held against the files that came, once
//! the last rename is known. 200,000 tables are ordinary and 5 million must work. So the state of
//! [`ROOM_BYTES`] of tables is in memory, and what was known earlier goes to sorted temporary files
//! ([`Runs`]), to which later changes are joined when the stream has ended. A table is found by
//! hashes of its directory and name; a name is kept, for messages, of tables only that have a
//! definition or a tablespace. A table and its partitions are neighbours in that order, and are
//! judged together.
//!
//! Invariants:
//! - the state follows the stream: what is renamed or removed is not at the old place any more, and
//!   of a path that came twice the last file counts;
//! - removing or renaming a directory takes constant time, and a file that comes is not looked up;
//! - beside that, memory grows with the number of directories and of files at the top level, and
//!   while a table is judged with the number of its partitions (a server allows 8,192);
//! - where no temporary file can be written, memory grows; where one can't be read back,
//!   [`ArrivedFiles::is_unreadable`] says so from then on.
//!
//! It does not judge, and knows no file but those of tables and those at the top level.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::io;
use std::io::Read;
use std::ops::Bound;

use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::base::runs::Memory;
use crate::base::runs::Record;
use crate::base::runs::RunKey;
use crate::base::runs::Runs;
use crate::parse::path::HashedAlready;
use crate::parse::path::PathSeed;
use crate::parse::path::StreamPath;
use crate::verdict::metadata::unwrap_name;
use crate::verdict::table_files::Files;
use crate::verdict::table_files::OF_A_DEFINITION;
use crate::verdict::table_files::PARTITION_MARKS;
use crate::verdict::table_files::TableFile;
use crate::verdict::table_files::partition_mark;
use crate::verdict::table_files::whole_of;
use crate::verdict::table_state::Incremental;
use crate::verdict::table_state::Observed;
use crate::verdict::table_state::TableState;

/// The beginning of the names of full-text indexes: they have no definition.
const OF_FULL_TEXT: &[u8] = b"FTS_";

/// Bytes of tables' states that are kept in memory: about 30,000 tables.
const ROOM_BYTES: usize = 4 << 20;

/// The memory that a table occupies, beside its name and details.
const TABLE_BYTES: usize = 128;

type Hashed<T> = HashMap<u64, T, BuildHasherDefault<HashedAlready>>;

/// The files that are there.
#[derive(Debug)]
pub(super) struct ArrivedFiles {
    seed: PathSeed,
    /// The directories that are there, by their paths.
    directories: Hashed<DirectoryNo>,
    /// Paths of all directories that ever were, by their numbers.
    paths: Vec<Box<[u8]>>,
    /// Files at the top level, by their whole names and by their unwrapped ones.
    top: HashSet<u64, BuildHasherDefault<HashedAlready>>,
    /// The changes since the newest run was written.
    fresh: BTreeMap<TableKey, TableState>,
    /// Bytes that it occupies.
    fresh_bytes: usize,
    /// Bytes that it may occupy.
    room: usize,
    runs: Runs<TableKey>,
    is_unreadable: Cell<bool>,
}

/// The number of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DirectoryNo(u32);

/// The key by which a table or a partition is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct TableKey {
    directory: DirectoryNo,
    /// The hash of the table's name.
    table: u64,
    /// The hash of the partition's name, which the table's is a part of.
    partition: Option<u64>,
}

impl TableKey {
    fn whole(self) -> Self {
        Self { partition: None, ..self }
    }
}

impl RunKey for TableKey {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.directory.0.to_le_bytes());
        out.extend_from_slice(&self.table.to_le_bytes());
        out.push(u8::from(self.partition.is_some()));
        out.extend_from_slice(&self.partition.unwrap_or(0).to_le_bytes());
    }

    fn get(from: &mut dyn Read) -> io::Result<Self> {
        let (mut directory, mut table, mut is_partition, mut partition) =
            ([0; 4], [0; 8], [0; 1], [0; 8]);
        from.read_exact(&mut directory)?;
        from.read_exact(&mut table)?;
        from.read_exact(&mut is_partition)?;
        from.read_exact(&mut partition)?;
        Ok(Self {
            directory: DirectoryNo(u32::from_le_bytes(directory)),
            table: u64::from_le_bytes(table),
            partition: (is_partition != [0]).then(|| u64::from_le_bytes(partition)),
        })
    }
}

/// A table with its partitions.
#[derive(Debug)]
pub(super) struct Table<'p> {
    seed: PathSeed,
    directory: &'p [u8],
    /// The state of the table itself.
    pub(super) state: TableState,
    /// Its partitions by the hashes of their names, in ascending order.
    partitions: Vec<(u64, TableState)>,
}

impl ArrivedFiles {
    pub(super) fn new(seed: PathSeed) -> Self {
        let join = |older: &[u8], newer: Vec<u8>| {
            let (Ok(mut state), Ok(later)) =
                (TableState::decode(older), TableState::decode(&newer))
            else {
                // What can't be read is reported when it is read in the end.
                return Vec::new();
            };
            state.join(later);
            state.encode()
        };
        Self {
            seed,
            directories: Hashed::default(),
            paths: Vec::new(),
            top: HashSet::default(),
            fresh: BTreeMap::new(),
            fresh_bytes: 0,
            room: ROOM_BYTES,
            runs: Runs::new(join),
            is_unreadable: Cell::new(false),
        }
    }

    /// Tells whether something that was noted could not be read back.
    pub(super) fn is_unreadable(&self) -> bool {
        self.is_unreadable.get()
    }

    /// Records that a file has arrived whole, and what was observed from it.
    pub(super) fn add(&mut self, path: StreamPath<'_>, observed: Observed) {
        if path.parent().is_empty() {
            self.top.insert(self.seed.hash(path.file_name()));
            self.top.insert(self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        self.change(file, |state| {
            state.add(file.bit, observed);
            if file.bit & (Files::FRM | Files::IBD | Files::DELTA) != 0 {
                state.stem = Some(file.stem.into());
            }
            if file.stem.starts_with(OF_FULL_TEXT) {
                state.files.0 |= Files::UNDEFINED;
            }
        });
    }

    /// Records that a tablespace will have the name `path` once the backup is prepared.
    pub(super) fn add_renamed(&mut self, path: StreamPath<'_>) {
        let (directory, stem) = (path.parent(), path.file_name());
        let file = TableFile { directory, stem, whole: whole_of(stem), bit: Files::RENAMED };
        self.change(file, |state| state.files.0 |= file.bit);
    }

    /// Moves what is at `from`, if anything is; returns whether.
    pub(super) fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) -> bool {
        if self.has(from) == Some(true) {
            // Under a name of another kind, what the file showed means something else.
            let keeps = TableFile::of(to).map(|file| file.bit);
            let file = TableFile::of(from).filter(|file| keeps == Some(file.bit));
            let observed =
                file.map_or(Observed::Nothing, |file| self.find(file).observed(file.bit));
            self.remove_file(from);
            self.add(to, observed);
            return true;
        }
        let Some(directory) = self.directories.remove(&self.seed.hash(from.as_bytes())) else {
            return false;
        };
        if let Some(path) = self.paths.get_mut(usize_of_u32(directory.0)) {
            *path = to.as_bytes().into();
        }
        self.directories.insert(self.seed.hash(to.as_bytes()), directory);
        true
    }

    /// Removes a file, a directory or the partitions that a glob names.
    pub(super) fn remove(&mut self, path: StreamPath<'_>) {
        self.directories.remove(&self.seed.hash(path.as_bytes()));
        self.remove_file(path);
        let name = path.file_name();
        let Some(stem_end) = partition_mark(name).filter(|_| name.contains(&b'*')) else { return };
        let stem = name.get(..stem_end).unwrap_or_default();
        let Some(whole) = self.key(path.parent(), stem, None) else { return };
        let keys = self.records(whole).map_while(|(key, _)| (key.whole() == whole).then_some(key));
        let partitions: Vec<_> = keys.filter(|key| key.partition.is_some()).collect();
        for key in partitions {
            self.change_at(key, |state| *state = TableState::nothing_any_more());
        }
    }

    /// Tells whether a file is there; `None` for one of a kind that is not tracked.
    pub(super) fn has(&self, path: StreamPath<'_>) -> Option<bool> {
        if path.parent().is_empty() {
            return Some(self.has_top(path.file_name()));
        }
        let file = TableFile::of(path)?;
        Some(self.find(file).files.0 & file.bit != 0)
    }

    /// Tells whether a file of that name is at the top level, wrapped or not.
    pub(super) fn has_top(&self, name: &[u8]) -> bool {
        self.top.contains(&self.seed.hash(name))
    }

    /// Calls `each` with all tables that there are, or were, in an order that differs each night.
    pub(super) fn each_table(&self, each: &mut dyn FnMut(&Table<'_>)) {
        let live: HashSet<u32> = self.directories.values().map(|number| number.0).collect();
        let first = TableKey { directory: DirectoryNo(0), table: 0, partition: None };
        let mut records = self.records(first).peekable();
        while let Some((key, state)) = records.next() {
            let mut table = Table {
                seed: self.seed,
                directory: self.paths.get(usize_of_u32(key.directory.0)).map_or(b"", |path| path),
                state: TableState::default(),
                partitions: Vec::new(),
            };
            table.take(key, state);
            while let Some((next, state)) = records.next_if(|(next, _)| next.whole() == key.whole())
            {
                table.take(next, state);
            }
            if live.contains(&key.directory.0) {
                each(&table);
            }
        }
    }

    /// Tells whether a directory holds any file of a table.
    pub(super) fn has_tables_in(&self, directory: &[u8]) -> bool {
        let Some(directory) = self.directories.get(&self.seed.hash(directory)).copied() else {
            return false;
        };
        let mut records = self.records(TableKey { directory, table: 0, partition: None });
        let mut inside = records.by_ref().take_while(|(key, _)| key.directory == directory);
        inside.any(|(_, state)| state.files.0 & !Files::OPT != 0)
    }

    /// Returns what a file of the table ends in that is nothing without the definition, if the
    /// definition is not there.
    pub(super) fn left_over(&self, table: StreamPath<'_>) -> Option<&'static str> {
        let (directory, stem) = (table.parent(), table.file_name());
        let state = self.find(TableFile { directory, stem, whole: None, bit: 0 });
        let has = |suffix: &&str| state.has(suffix, Incremental::No);
        OF_A_DEFINITION.into_iter().find(|suffix| !has(&".frm") && has(suffix))
    }

    fn remove_file(&mut self, path: StreamPath<'_>) {
        if path.parent().is_empty() {
            self.top.remove(&self.seed.hash(path.file_name()));
            self.top.remove(&self.seed.hash(unwrap_name(path.file_name()).0));
        }
        let Some(file) = TableFile::of(path) else { return };
        if self.key(file.directory, file.stem, file.whole).is_some() {
            self.change(file, |state| state.remove(file.bit));
        }
    }

    /// Returns what a table is found by, if its directory is there.
    fn key(&self, directory: &[u8], stem: &[u8], whole: Option<&[u8]>) -> Option<TableKey> {
        let directory = *self.directories.get(&self.seed.hash(directory))?;
        let table = self.seed.hash(whole.unwrap_or(stem));
        Some(TableKey { directory, table, partition: whole.map(|_| self.seed.hash(stem)) })
    }

    fn change(&mut self, file: TableFile<'_>, change: impl FnOnce(&mut TableState)) {
        let hash = self.seed.hash(file.directory);
        if let Entry::Vacant(vacant) = self.directories.entry(hash) {
            vacant.insert(DirectoryNo(u32_of(self.paths.len())));
            self.paths.push(file.directory.into());
        }
        let key = self.key(file.directory, file.stem, file.whole);
        self.change_at(key.expect("its directory was entered above"), change);
    }

    fn change_at(&mut self, key: TableKey, change: impl FnOnce(&mut TableState)) {
        let state = self.fresh.entry(key).or_insert_with(|| {
            self.fresh_bytes += TABLE_BYTES;
            TableState::default()
        });
        self.fresh_bytes -= state.bytes();
        change(state);
        self.fresh_bytes += state.bytes();
        if self.fresh_bytes > self.room {
            self.write_run();
        }
    }

    fn write_run(&mut self) {
        match self.runs.add(encoded(&self.fresh, None)) {
            Ok(()) => {
                self.fresh.clear();
                self.fresh_bytes = 0;
            }
            // The memory is there, perhaps; it is tried again when as much more has come.
            Err(_) => self.room = self.room.saturating_mul(2),
        }
    }

    fn find(&self, file: TableFile<'_>) -> TableState {
        let Some(key) = self.key(file.directory, file.stem, file.whole) else {
            return TableState::default();
        };
        if self.runs.is_empty() {
            return self.fresh.get(&key).cloned().unwrap_or_default();
        }
        let found = self.records(key).next().filter(|(found, _)| *found == key);
        found.map_or_else(TableState::default, |(_, state)| state)
    }

    /// Iterates over what is known, in order, from a key on; ends where it can't be read.
    fn records(&self, from: TableKey) -> impl Iterator<Item = (TableKey, TableState)> {
        let fresh: Memory<'_, TableKey> = Box::new(encoded(&self.fresh, Some(from)));
        let records = self.runs.cursor(Some(&from), vec![fresh]).inspect_err(|_| {
            self.is_unreadable.set(true);
        });
        records.into_iter().flatten().map_while(|record| {
            let read =
                record.ok().and_then(|(key, bytes)| Some((key, TableState::decode(&bytes).ok()?)));
            self.is_unreadable.set(self.is_unreadable.get() || read.is_none());
            read
        })
    }
}

/// Iterates over the records of tables in memory, from a key on.
fn encoded(
    tables: &BTreeMap<TableKey, TableState>,
    from: Option<TableKey>,
) -> impl Iterator<Item = Record<TableKey>> {
    let first = from.map_or(Bound::Unbounded, Bound::Included);
    let later = tables.range((first, Bound::Unbounded));
    later.map(|(key, state)| (*key, state.encode()))
}

impl Table<'_> {
    fn take(&mut self, key: TableKey, state: TableState) {
        match key.partition {
            None => self.state = state,
            Some(partition) => self.partitions.push((partition, state)),
        }
    }

    /// Tells whether the table has a definition.
    pub(super) fn is_defined(&self) -> bool {
        self.state.files.0 & Files::FRM != 0
    }

    /// Returns database and table.
    pub(super) fn name(&self) -> String {
        self.name_of(self.state.stem.as_deref().unwrap_or_default())
    }

    fn name_of(&self, stem: &[u8]) -> String {
        [self.directory, b"/", stem].concat().escape_ascii().to_string()
    }

    /// Tells whether the table has a file that ends so, or partitions (`#P#`).
    pub(super) fn has(&self, suffix: &str, incremental: Incremental) -> bool {
        if suffix == "#P#" {
            return self.partitions.iter().any(|(_, state)| state.files.0 != 0);
        }
        self.state.has(suffix, incremental)
    }

    /// Iterates over the partitions that are listed, with what is there of each.
    pub(super) fn listed_partitions(&self) -> impl Iterator<Item = (&[u8], Option<&TableState>)> {
        let stem = self.state.stem.as_deref().unwrap_or_default();
        let names = self.state.listed().split(|byte| *byte == 0);
        // After the last zero there is nothing.
        let names = names.filter(|name| !name.is_empty());
        names.map(move |name| {
            let found = PARTITION_MARKS.iter().find_map(|mark| {
                let hash = self.seed.hash(&[stem, *mark, name].concat());
                let at = self.partitions.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
                Some(&self.partitions[at].1)
            });
            (name, found)
        })
    }

    /// Iterates over the table and its partitions whose names are known.
    fn named(&self) -> impl Iterator<Item = (&[u8], &TableState)> {
        let partitions = self.partitions.iter().map(|(_, state)| state);
        let all = std::iter::once(&self.state).chain(partitions);
        all.filter_map(|state| Some((state.stem.as_deref()?, state)))
    }

    /// Iterates over the tablespaces of the table and its partitions that have a number.
    pub(super) fn numbered_tablespaces(&self) -> impl Iterator<Item = (u32, String)> {
        let numbered = self.named().filter(|(_, state)| state.space != 0);
        numbered.map(|(stem, state)| (state.space, self.name_of(stem)))
    }

    /// Iterates over the tablespaces that need a definition and have none.
    pub(super) fn undefined_tablespaces(&self) -> impl Iterator<Item = String> {
        const NEED_NONE: u32 = Files::FRM | Files::DEL | Files::REN | Files::UNDEFINED;
        let is_defined = self.state.files.0 & NEED_NONE != 0;
        let undefined = self.named().filter(move |(_, state)| {
            let files = state.files.0;
            files & (Files::IBD | Files::DELTA) != 0 && files & NEED_NONE == 0 && !is_defined
        });
        undefined.map(|(stem, _)| self.name_of(stem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::lengths::{Data, DataFault, Stated};

    fn path(name: &str) -> StreamPath<'_> {
        StreamPath::new(name.as_bytes()).unwrap()
    }

    fn with(names: &[&str]) -> ArrivedFiles {
        let mut arrived = ArrivedFiles::new(PathSeed::new([1; 16]));
        for name in names {
            arrived.add(path(name), Observed::Nothing);
        }
        arrived
    }

    fn only<T>(arrived: &ArrivedFiles, look: impl Fn(&Table<'_>) -> T) -> T {
        let mut found = Vec::new();
        arrived.each_table(&mut |table| found.extend(table.is_defined().then(|| look(table))));
        assert!(!arrived.is_unreadable());
        found.pop().unwrap()
    }

    #[test]
    fn files_are_found_by_suffix_and_under_wrappers() {
        let arrived = with(&["a/t.frm", "a/t.ibd.qp", "a/u.MAD"]);
        let table = |suffix| only(&arrived, |table| table.has(suffix, Incremental::No));
        assert!(table(".ibd") && !table(".MAD"));
        let arrived = with(&["ibdata1", "undo001.delta", "ib_logfile0.qp"]);
        assert!(arrived.has_top(b"ibdata1") && arrived.has_top(b"ib_logfile0"));
        assert!(arrived.has_top(b"undo001.delta") && !arrived.has_top(b"undo001"));
    }

    #[test]
    fn changed_pages_stand_for_a_tablespace_in_an_increment_only() {
        let arrived = with(&["a/t.frm", "a/t.ibd.delta", "a/t.ibd.meta"]);
        let ibd = |arrived, incremental| only(arrived, |table| table.has(".ibd", incremental));
        assert!(ibd(&arrived, Incremental::Yes) && !ibd(&arrived, Incremental::No));
        let arrived = with(&["a/t.frm", "a/t.ibd.delta"]);
        assert!(only(&arrived, |table| table.state.lacks_meta()));
        assert!(!ibd(&arrived, Incremental::Yes));
    }

    fn has_partitions(arrived: &ArrivedFiles) -> bool {
        only(arrived, |table| table.has("#P#", Incremental::No))
    }

    #[test]
    fn partitions_are_counted_through_renames_and_globs() {
        let mut arrived = with(&["a/t.frm", "a/t#P#p0.MYD", "a/t#P#p0.MYI", "a/t#P#p1.MYD"]);
        assert!(has_partitions(&arrived));
        arrived.remove(path("a/t#P#p1.MYD"));
        arrived.rename(path("a/t#P#p0.MYD"), path("a/u#P#p0.MYD"));
        assert!(has_partitions(&arrived));
        arrived.remove(path("a/t#P#p0.MYI"));
        assert!(!has_partitions(&arrived));
        let mut arrived = with(&["a/t.frm", "a/t#P#p0.MYD"]);
        arrived.remove(path("a/t#P#*"));
        assert!(!has_partitions(&arrived));
    }

    #[test]
    fn renames_and_removals_move_files_and_directories() {
        let mut arrived = with(&["a/t.frm", "a/t.MAD"]);
        assert!(arrived.rename(path("a/t.MAD"), path("b/u.MAD")));
        assert!(!arrived.rename(path("a/t.MAD"), path("b/v.MAD")));
        assert_eq!(arrived.has(path("b/u.MAD")), Some(true));
        assert_eq!(arrived.has(path("a/t.MAD")), Some(false));
        assert!(arrived.rename(path("b"), path("c")));
        assert_eq!(arrived.has(path("c/u.MAD")), Some(true));
        arrived.remove(path("c"));
        assert_eq!(arrived.has(path("c/u.MAD")), Some(false));
        assert_eq!(arrived.has(path("a/x.txt")), None, "not tracked");
    }

    #[test]
    fn a_listed_partition_is_there_under_the_tables_last_name_until_all_are_removed() {
        let mut arrived = with(&["a/t.frm", "a/t#P#p0.MYD", "a/t#P#p1.MYD"]);
        let list = |names: &[u8]| Observed::Partitions(Some(names.into()));
        arrived.add(path("a/t.par"), list(b"p0\0p1\0p2\0"));
        let found = |arrived: &ArrivedFiles| {
            let is_there = |(_, state): (&[u8], Option<&TableState>)| {
                state.is_some_and(|state| state.has(".MYD", Incremental::No))
            };
            only(arrived, |table| table.listed_partitions().map(is_there).collect::<Vec<_>>())
        };
        assert_eq!(found(&arrived), [true, true, false]);
        for suffix in [".frm", ".par", "#P#p0.MYD"] {
            let (from, to) = (format!("a/t{suffix}"), format!("a/u{suffix}"));
            assert!(arrived.rename(path(&from), path(&to)), "{suffix}");
        }
        assert_eq!(found(&arrived), [true, false, false]);
        arrived.remove(path("a/u#P#*"));
        assert_eq!(found(&arrived), [false, false, false]);
        assert_eq!(arrived.has(path("a/u#P#p0.MYD")), Some(false));
        arrived.add(path("a/u#P#p2.MYD"), Observed::Nothing);
        assert_eq!(found(&arrived), [false, false, true]);
    }

    #[test]
    fn lengths_follow_their_files() {
        let mut arrived = with(&["a/t.frm"]);
        arrived.add(path("a/t.MYI"), Observed::Stated(Some(Stated::Bytes(5))));
        let data = |length| Observed::Data(Data { length, ..Data::default() });
        let fault = |arrived: &ArrivedFiles| only(arrived, |table| table.state.data_fault());
        arrived.add(path("a/t.MYD"), data(5));
        assert!(fault(&arrived).is_none());
        arrived.add(path("a/t.MYD"), data(0));
        assert!(fault(&arrived).is_some(), "the last version counts");
        for suffix in [".frm", ".MYI", ".MYD"] {
            let (from, to) = (format!("a/t{suffix}"), format!("b/u{suffix}"));
            arrived.rename(path(&from), path(&to));
        }
        let (suffix, data, found) = fault(&arrived).unwrap();
        assert_eq!((suffix, data.length), (".MYD", 0));
        assert_eq!(found, DataFault::Bytes { stated: 5 });
        arrived.remove(path("b/u.MYD"));
        assert!(fault(&arrived).is_none());
        let table = StreamPath::new(b"b/u").unwrap();
        assert_eq!(arrived.left_over(table), None);
        arrived.remove(path("b/u.frm"));
        assert_eq!(arrived.left_over(table), Some(".MYI"));
    }

    /// Plays random files of few tables that come, are renamed and removed; as much room as is
    /// given.
    fn after_random_changes(room: usize, seed: u64) -> Vec<String> {
        let mut arrived = ArrivedFiles { room, ..with(&[]) };
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let suffixes = ["frm", "ibd", "MYD", "MYI", "par", "new"];
        let mut heard = Vec::new();
        for _ in 0..2000 {
            let mut name = || {
                let partition = ["", "", "#P#p0", "#P#p1"][usize::try_from(next(4)).unwrap()];
                let suffix = suffixes[usize::try_from(next(6)).unwrap()];
                format!("d{}/t{}{partition}.{suffix}", next(3), next(9))
            };
            let (from, to) = (name(), name());
            match next(40) {
                0 => arrived.remove(path(&format!("d{}", next(3)))),
                1 => arrived.remove(path(&format!("d{}/t{}#P#*", next(3), next(9)))),
                2 => {
                    let (from, to) = (format!("d{}", next(3)), format!("d{}", next(3)));
                    heard.push(arrived.rename(path(&from), path(&to)).to_string());
                }
                3..8 => heard.push(arrived.rename(path(&from), path(&to)).to_string()),
                8..12 => arrived.remove(path(&from)),
                _ if from.ends_with("par") => {
                    arrived.add(path(&from), Observed::Partitions(Some((*b"p0\0p1\0").into())));
                }
                _ if from.ends_with("ibd") => {
                    arrived.add(path(&from), Observed::Space(u32_of(heard.len())));
                }
                _ => arrived.add(path(&from), Observed::Nothing),
            }
        }
        arrived.each_table(&mut |table| {
            let numbered: Vec<_> = table.numbered_tablespaces().collect();
            let undefined: Vec<_> = table.undefined_tablespaces().collect();
            let listed: Vec<_> =
                table.listed_partitions().map(|(_, state)| state.is_some()).collect();
            let files = (table.state.files, table.has("#P#", Incremental::No));
            heard.push(format!("{} {files:?} {numbered:?} {undefined:?} {listed:?}", table.name()));
        });
        assert!(!arrived.is_unreadable());
        assert_eq!(arrived.runs.is_empty(), room == usize::MAX);
        heard.retain(|line| !line.ends_with("(Files(0), false) [] [] []"));
        heard
    }

    #[test]
    fn what_is_in_files_is_known_as_well_as_what_is_in_memory() {
        let mut tables = 0;
        for seed in 0..8 {
            let in_memory = after_random_changes(usize::MAX, seed);
            tables += in_memory.iter().filter(|line| line.contains("Files")).count();
            for room in [500, 5000] {
                assert_eq!(after_random_changes(room, seed), in_memory, "{seed} {room}");
            }
        }
        assert!(tables > 50, "{tables}");
    }
}
