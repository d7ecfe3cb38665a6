//! Watches a stream pass by and remembers what the verdict needs of it.
//!
//! Of most files that is a bit (`arrived`). The few whose contents matter are small or matter only
//! at their beginning; the observer asks for those bytes and for no others ([`Interest`]).
//!
//! Invariants:
//! - memory: at most 64 KiB for each of six describing files, 76 KiB for the redo log, 1 MiB for an
//!   open list of partitions, 512 bytes or less for each open file beside, what `arrived` needs,
//!   and at most [`NAMED_MAX`] paths of each kind of trouble;
//! - what is known of a path is what the *last* file of that path held, as it is with a restore.
//!
//! It does not judge. It also does not see whether payload was intact; the parser's faults show
//! that.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use crate::base::num::u64_of;
use crate::innodb::frm::FRM_BYTES_MIN;
use crate::innodb::frm::Frm;
use crate::innodb::redo::REDO_START_BYTES;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Target;
use crate::parse::path::OwnedPath;
use crate::parse::path::PathSeed;
use crate::parse::path::StreamPath;
use crate::verdict::arrived::ArrivedFiles;
use crate::verdict::heads::FirstPage;
use crate::verdict::heads::may_begin_with_zeros;
use crate::verdict::heads::odd_definition;
use crate::verdict::heads::odd_head;
use crate::verdict::heads::short_definition;
use crate::verdict::lengths::Data;
use crate::verdict::lengths::INDEX_HEAD_BYTES;
use crate::verdict::lengths::Short;
use crate::verdict::lengths::Stated;
use crate::verdict::lengths::TABLESPACE_HEAD_BYTES;
use crate::verdict::lengths::short_index;
use crate::verdict::lengths::short_tablespace;
use crate::verdict::metadata::Describing;
use crate::verdict::metadata::Statements;
use crate::verdict::metadata::Wrapped;
use crate::verdict::metadata::unwrap_name;
use crate::verdict::partitions::PARTITIONS_BYTES_MAX;
use crate::verdict::partitions::partition_names;
use crate::verdict::shared::SharedScan;
use crate::verdict::shared::SharedTables;
use crate::verdict::table_files::table_of;
use crate::verdict::table_state::Observed;

/// Bytes of a describing file that are looked at.
const DESCRIBING_BYTES_MAX: usize = 64 << 10;

/// Bytes of a `.ren` file, which holds a path.
const RENAMED_BYTES_MAX: usize = 512;

/// Paths that are remembered for each kind of trouble; more are only counted. Every removal in the
/// stream looks at all of them.
const NAMED_MAX: usize = 200;

/// Tables of which files were renamed or removed that are remembered.
const CHANGED_MAX: usize = 10_000;

/// Logs of Aria that are remembered; a server has a few.
const ARIA_LOGS_MAX: usize = 10_000;

/// The suffixes of files that are never empty on a server. (A MERGE table of no tables has an empty
/// `.MRG`, and is of no use.) The `.del` of a table that was dropped during the backup is a mere
/// name.
const NEVER_EMPTY: [&[u8]; 15] = [
    b".ibd", b".frm", b".MAI", b".MYI", b".CSM", b".MRG", b".par", b".TRG", b".TRN", b".isl",
    b".opt", b".delta", b".meta", b".new", b".ren",
];

/// The beginnings of names of files at the top level that are never empty.
const NEVER_EMPTY_TOP: [&[u8]; 9] = [
    b"ibdata",
    b"undo",
    b"ib_logfile",
    b"aria_log",
    b"xtrabackup_slave_info",
    b"mariadb_backup_slave_info",
    b"xtrabackup_galera_info",
    b"mariadb_backup_galera_info",
    b"donor_galera_info",
];

/// Bytes of Aria's logs and its control file by which they are recognized.
const ARIA_MAGIC_BYTES: usize = 16;

/// Files that `XtraBackup` writes after the info file.
const PERCONA_AFTER_INFO: [&[u8]; 2] = [b"xtrabackup_tablespaces", b"xtrabackup_keys"];

/// The beginning of the names of Aria's logs, before their number.
const ARIA_LOG: &[u8] = b"aria_log.";

/// The bytes of a payload that the observer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// The bytes of the member before this position.
    pub until: u64,
}

/// Watches the items of one stream.
#[derive(Debug)]
pub struct Observer {
    open: BTreeMap<MemberNo, OpenFile>,
    pub(super) arrived: ArrivedFiles,
    pub(super) statements: Statements,
    pub(super) describing: BTreeMap<Describing, Described>,
    pub(super) redo: Option<Redo>,
    /// Files that ended empty and never are.
    pub(super) empty: Named<()>,
    /// Files that are shorter than is stated somewhere.
    pub(super) short: Named<Short>,
    /// Files that are not what their names say, with what they are.
    pub(super) odd: Named<&'static str>,
    /// Numbers of the tablespaces at the top level.
    pub(super) spaces: Named<u32>,
    /// Page sizes that tablespaces at the top level have, with the first one of each.
    pub(super) page_sizes: BTreeMap<u64, OwnedPath>,
    /// Targets of renames whose source never came, with that source.
    pub(super) lost: Named<OwnedPath>,
    /// Tables of which a file was renamed or removed.
    pub(super) changed: BTreeSet<Vec<u8>>,
    /// Files of the system tablespace, with their lengths.
    pub(super) system: Named<u64>,
    pub(super) shared: SharedTables,
    /// Numbers of the logs of Aria.
    pub(super) aria_logs: BTreeSet<u32>,
    /// True if there are tables of Aria.
    pub(super) has_aria: bool,
    pub(super) wrapped: Wrapped,
    /// The file that came after the one that is written last.
    pub(super) after_info: Option<OwnedPath>,
}

/// A describing file that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Described {
    /// Its statements were read.
    Read,
    /// It is longer than such a file is.
    TooLong,
    /// It is compressed or encrypted.
    Wrapped,
}

/// The redo log, once it has ended.
#[derive(Debug)]
pub(super) struct Redo {
    pub(super) head: Vec<u8>,
    pub(super) length: u64,
    /// Compressed, encrypted, or of another tool: its length says nothing.
    pub(super) is_opaque: bool,
}

/// Paths in some trouble: as many as are named, and how many more there were.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) paths: BTreeMap<OwnedPath, T>,
    pub(super) others: u64,
}

/// A file that has begun.
#[derive(Debug)]
struct OpenFile {
    length: u64,
    capture: Option<Capture>,
    scan: Option<Scan>,
}

/// A scan over all bytes of a file.
#[derive(Debug)]
enum Scan {
    Lines(Data),
    /// The last byte so far, 0 before any.
    Last(u8),
    Shared(Box<SharedScan>),
}

/// The bytes of a file that is looked at.
struct Capture {
    role: Role,
    until: usize,
    bytes: Vec<u8>,
}

/// The reason why a file is looked at.
#[derive(Debug, Clone, Copy)]
enum Role {
    Describing(Describing),
    Definition,
    Renamed,
    Redo,
    Tablespace,
    /// A tablespace that tables may share.
    System,
    Partitions,
    Index,
    /// Only its length matters.
    Data,
    /// Its length and its lines matter.
    Csv,
    AriaLog(u32),
    AriaControl,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they may hold the producer's command line.
        write!(f, "Capture({:?}, {} bytes)", self.role, self.bytes.len())
    }
}

impl Observer {
    /// Begins a stream. `seed` must be random, and secret while the stream is read.
    pub fn new(seed: PathSeed) -> Self {
        Self {
            open: BTreeMap::new(),
            arrived: ArrivedFiles::new(seed),
            statements: Statements::default(),
            describing: BTreeMap::new(),
            redo: None,
            empty: Named::new(),
            short: Named::new(),
            odd: Named::new(),
            spaces: Named::new(),
            page_sizes: BTreeMap::new(),
            lost: Named::new(),
            changed: BTreeSet::new(),
            system: Named::new(),
            // Until a system tablespace was seen whole, nothing is excluded.
            shared: SharedTables::Possible,
            aria_logs: BTreeSet::new(),
            has_aria: false,
            wrapped: Wrapped::default(),
            after_info: None,
        }
    }

    /// Records the next item of the stream; returns which bytes of its payload to show.
    pub fn item(&mut self, item: &Item<'_>) -> Interest {
        self.record_order(item);
        match *item {
            Item::Payload(payload) => {
                self.open_if_new(payload.target);
                let Some(open) = self.open.get_mut(&payload.target.member) else {
                    return Interest::default();
                };
                open.length = payload.end();
                let captured = open.capture.as_ref().map_or(0, |capture| u64_of(capture.until));
                let until = open.scan.as_ref().map_or(captured, |_| u64::MAX);
                Interest { until }
            }
            Item::Seek { target, .. } => {
                self.open_if_new(target);
                Interest::default()
            }
            Item::End { target, .. } => {
                self.open_if_new(target);
                if let Some(open) = self.open.remove(&target.member) {
                    self.close(target.path, open);
                }
                Interest::default()
            }
            Item::Rename { from, to, .. } => {
                self.rename(from, to);
                Interest::default()
            }
            Item::Remove { path, .. } => {
                self.remove(path);
                Interest::default()
            }
        }
    }

    /// Takes bytes of a member from position `at` on; what was not asked for is ignored.
    pub fn bytes(&mut self, member: MemberNo, at: u64, bytes: &[u8]) {
        let Some(open) = self.open.get_mut(&member) else { return };
        match &mut open.scan {
            Some(Scan::Lines(data)) => data.see_lines(bytes),
            Some(Scan::Shared(scan)) => scan.see(at, bytes),
            Some(Scan::Last(last)) => *last = bytes.last().copied().unwrap_or(*last),
            None => {}
        }
        let Some(capture) = &mut open.capture else { return };
        if at == u64_of(capture.bytes.len()) {
            let room = capture.until - capture.bytes.len();
            let wanted = bytes.get(..room).unwrap_or(bytes);
            capture.bytes.extend_from_slice(wanted);
        }
    }

    fn open_if_new(&mut self, target: Target<'_>) {
        if !target.opens {
            return;
        }
        let role = Role::of(target.path);
        let capture = role.map(|role| {
            let until = role.bytes_wanted();
            Capture { role, until, bytes: Vec::new() }
        });
        let (_, is_wrapped) = unwrap_name(target.path.file_name());
        let scan = role.filter(|_| !is_wrapped).and_then(Role::scan);
        if let Some(Capture { role: Role::Describing(kind), .. }) = capture {
            self.describing.remove(&kind);
            self.statements.forget(kind);
        }
        self.open.insert(target.member, OpenFile { length: 0, capture, scan });
    }

    fn close(&mut self, path: StreamPath<'_>, file: OpenFile) {
        let length = file.length;
        self.wrapped.count(path.file_name());
        self.empty.set(path, (length == 0 && is_never_empty(path)).then_some(()));
        let observed = self.close_captured(path, file);
        self.arrived.add(path, observed);
    }

    /// Looks at a file that has ended; returns what it shows of its table.
    fn close_captured(&mut self, path: StreamPath<'_>, file: OpenFile) -> Observed {
        let OpenFile { length, capture, scan } = file;
        let Some(Capture { role, bytes, .. }) = capture else { return Observed::Nothing };
        let bytes = bytes.as_slice();
        let (_, is_wrapped) = unwrap_name(path.file_name());
        match role {
            Role::Describing(kind) => self.describe(kind, path, length, bytes),
            Role::Redo => {
                let is_opaque = path.file_name() != b"ib_logfile0";
                self.redo = Some(Redo { head: bytes.to_vec(), length, is_opaque });
            }
            _ if is_wrapped && !matches!(role, Role::AriaLog(_)) => {}
            Role::AriaLog(number) => {
                self.odd.set(path, odd_head(path, bytes).filter(|_| !is_wrapped));
                if self.aria_logs.len() < ARIA_LOGS_MAX {
                    self.aria_logs.insert(number);
                }
            }
            Role::AriaControl => self.odd.set(path, odd_head(path, bytes)),
            Role::Definition => {
                let last = if let Some(Scan::Last(last)) = scan { last } else { 0 };
                self.odd.set(path, odd_definition(path, bytes, last));
                self.short.set(path, short_definition(bytes, length));
                return Observed::Definition(Frm::parse(bytes));
            }
            Role::Partitions => {
                self.odd.set(path, odd_head(path, bytes));
                let is_whole = length == u64_of(bytes.len());
                return Observed::Partitions(partition_names(bytes).filter(|_| is_whole));
            }
            Role::Renamed => self.read_renamed(bytes),
            Role::Tablespace => return self.see_tablespace(path, bytes, length),
            Role::System => {
                self.see_tablespace(path, bytes, length);
                self.system.set(path, Some(length));
                if let Some(Scan::Shared(scan)) = scan {
                    self.shared = scan.finish(length);
                }
            }
            Role::Index => {
                self.short.set(path, short_index(bytes, length));
                self.odd.set(path, odd_head(path, bytes));
                self.has_aria |= path.file_name().ends_with(b".MAI");
                return Observed::Stated(Stated::parse(bytes));
            }
            Role::Data => return Observed::Data(Data { length, ..Data::default() }),
            Role::Csv => {
                let Some(Scan::Lines(seen)) = scan else { return Observed::Nothing };
                return Observed::Data(Data { length, ..seen });
            }
        }
        Observed::Nothing
    }

    /// Looks at the first page of a tablespace.
    fn see_tablespace(&mut self, path: StreamPath<'_>, head: &[u8], length: u64) -> Observed {
        self.short.set(path, short_tablespace(head, length));
        self.odd.set(path, odd_head(path, head).filter(|_| !may_begin_with_zeros(path)));
        let first = FirstPage::parse(head);
        let space = first.map_or(0, |first| first.space);
        if path.parent().is_empty() {
            self.spaces.set(path, (space != 0).then_some(space));
            if let Some(page_bytes) = first.and_then(|first| first.page_bytes) {
                self.page_sizes.entry(page_bytes).or_insert_with(|| path.into());
            }
        }
        Observed::Space(space)
    }

    fn describe(&mut self, kind: Describing, path: StreamPath<'_>, length: u64, bytes: &[u8]) {
        let (_, is_wrapped) = unwrap_name(path.file_name());
        let described = if is_wrapped {
            Described::Wrapped
        } else if length > u64_of(bytes.len()) {
            Described::TooLong
        } else {
            self.statements.read(kind, bytes);
            Described::Read
        };
        self.describing.insert(kind, described);
    }

    /// Reads a `.ren` file: `app/new_name`, the name that a tablespace has after preparing.
    fn read_renamed(&mut self, bytes: &[u8]) {
        let text = bytes.trim_ascii();
        let text = text.strip_suffix(b".ibd").unwrap_or(text);
        let text = text.strip_prefix(b"./").unwrap_or(text);
        if let Ok(path) = StreamPath::new(text) {
            self.arrived.add_renamed(path);
        }
    }

    fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) {
        self.forget_describing(from);
        self.forget_describing(to);
        self.empty.rename(from, to);
        self.short.rename(from, to);
        self.odd.rename(from, to);
        self.spaces.rename(from, to);
        self.record_changed(from);
        if !self.arrived.rename(from, to) {
            // A lost file that is renamed once more is missing under its last name.
            let origin = self.lost.paths.remove(from.as_bytes());
            self.lost.set(to, Some(origin.unwrap_or_else(|| from.into())));
        }
    }

    fn remove(&mut self, path: StreamPath<'_>) {
        self.forget_describing(path);
        self.record_changed(path);
        self.arrived.remove(path);
        self.empty.remove(path);
        self.short.remove(path);
        self.odd.remove(path);
        self.spaces.remove(path);
        self.lost.remove(path);
    }

    fn record_changed(&mut self, path: StreamPath<'_>) {
        if let Some(table) = table_of(path).filter(|_| self.changed.len() < CHANGED_MAX) {
            self.changed.insert(table);
        }
    }

    fn forget_describing(&mut self, path: StreamPath<'_>) {
        match Role::of(path) {
            Some(Role::Describing(kind)) => {
                self.describing.remove(&kind);
                self.statements.forget(kind);
            }
            Some(Role::Redo) => self.redo = None,
            Some(Role::System) => self.shared = SharedTables::Possible,
            Some(Role::AriaLog(number)) => {
                self.aria_logs.remove(&number);
            }
            Some(
                Role::Definition
                | Role::AriaControl
                | Role::Renamed
                | Role::Tablespace
                | Role::Partitions
                | Role::Index
                | Role::Data
                | Role::Csv,
            )
            | None => {}
        }
    }

    /// Notes what comes after the file that a producer writes last.
    fn record_order(&mut self, item: &Item<'_>) {
        let has_ended = self.describing.contains_key(&Describing::Info);
        if !has_ended || self.after_info.is_some() {
            return;
        }
        let path = match *item {
            Item::Payload(payload) => payload.target.path,
            Item::End { target, .. } | Item::Seek { target, .. } => target.path,
            Item::Rename { from, .. } => from,
            Item::Remove { path, .. } => path,
        };
        let may_follow = [Describing::CorruptedPages, Describing::GaleraInfo];
        let follows =
            matches!(Role::of(path), Some(Role::Describing(k)) if may_follow.contains(&k));
        let is_percona = path.parent().is_empty()
            && PERCONA_AFTER_INFO.contains(&unwrap_name(path.file_name()).0);
        if !follows && !is_percona {
            self.after_info = Some(path.into());
        }
    }
}

impl Role {
    fn of(path: StreamPath<'_>) -> Option<Self> {
        let (name, _) = unwrap_name(path.file_name());
        if !path.parent().is_empty() {
            return match name.rsplit(|byte| *byte == b'.').next() {
                Some(b"frm") => Some(Self::Definition),
                Some(b"ren") => Some(Self::Renamed),
                Some(b"ibd" | b"new") => Some(Self::Tablespace),
                Some(b"par") => Some(Self::Partitions),
                Some(b"MAI" | b"MYI" | b"CSM") => Some(Self::Index),
                Some(b"MAD" | b"MYD") => Some(Self::Data),
                Some(b"CSV") => Some(Self::Csv),
                _ => None,
            };
        }
        match name {
            b"ib_logfile0" | b"xtrabackup_logfile" => Some(Self::Redo),
            // Increments have `ibdata1.delta` instead.
            name if name.starts_with(b"ibdata") && !name.contains(&b'.') => Some(Self::System),
            name if name.starts_with(b"undo") && !name.contains(&b'.') => Some(Self::Tablespace),
            b"aria_log_control" => Some(Self::AriaControl),
            name if name.starts_with(ARIA_LOG) => {
                let number = std::str::from_utf8(name.get(ARIA_LOG.len()..)?).ok()?;
                number.parse().ok().map(Self::AriaLog)
            }
            _ => Describing::of(name).map(Self::Describing),
        }
    }

    /// Returns what has to be found out about all bytes of such a file.
    fn scan(self) -> Option<Scan> {
        match self {
            Self::Csv => Some(Scan::Lines(Data::default())),
            Self::Definition => Some(Scan::Last(0)),
            Self::System => Some(Scan::Shared(Box::new(SharedScan::new()))),
            Self::Describing(_)
            | Self::AriaControl
            | Self::Renamed
            | Self::Redo
            | Self::Tablespace
            | Self::Partitions
            | Self::Index
            | Self::Data
            | Self::AriaLog(_) => None,
        }
    }

    fn bytes_wanted(self) -> usize {
        match self {
            Self::Tablespace | Self::System => TABLESPACE_HEAD_BYTES,
            Self::Partitions => PARTITIONS_BYTES_MAX,
            Self::Index => INDEX_HEAD_BYTES,
            Self::Data | Self::Csv => 0,
            Self::AriaLog(_) | Self::AriaControl => ARIA_MAGIC_BYTES,
            Self::Describing(_) => DESCRIBING_BYTES_MAX,
            Self::Definition => FRM_BYTES_MIN,
            Self::Renamed => RENAMED_BYTES_MAX,
            Self::Redo => REDO_START_BYTES,
        }
    }
}

impl<T> Named<T> {
    fn new() -> Self {
        Self { paths: BTreeMap::new(), others: 0 }
    }

    /// Records that the file of that path is in trouble, or is not any more.
    fn set(&mut self, path: StreamPath<'_>, trouble: Option<T>) {
        self.paths.remove(path.as_bytes());
        let Some(trouble) = trouble else { return };
        if self.paths.len() < NAMED_MAX {
            self.paths.insert(path.into(), trouble);
        } else {
            self.others += 1;
        }
    }

    fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) {
        let trouble = self.paths.remove(from.as_bytes());
        self.set(to, trouble);
    }

    /// Forgets a file, all of a directory, or the partitions that a glob names.
    fn remove(&mut self, path: StreamPath<'_>) {
        let removed = path.as_bytes();
        let stem = removed.split(|byte| *byte == b'*').next().unwrap_or(removed);
        let is_glob = stem.len() < removed.len() && stem.ends_with(b"#P#");
        self.paths.retain(|name, _| match name.as_bytes().strip_prefix(removed) {
            Some(rest) => !rest.is_empty() && !rest.starts_with(b"/"),
            None => !is_glob || !name.as_bytes().starts_with(stem),
        });
    }
}

/// Tells whether a file that is empty has lost its bytes.
fn is_never_empty(path: StreamPath<'_>) -> bool {
    let (name, _) = unwrap_name(path.file_name());
    if path.parent().is_empty() {
        return NEVER_EMPTY_TOP.iter().any(|begin| name.starts_with(begin));
    }
    NEVER_EMPTY.iter().any(|suffix| name.ends_with(suffix))
}
