//! Watches a stream pass by and remembers what the verdict needs of it.
//!
//! Of most files that is a bit (`presence`). The few whose contents matter are small or matter only
//! at their beginning; the observer asks for those bytes and for no others ([`Interest`]).
//!
//! Invariants:
//! - memory: at most 64 KiB for each of six describing files, 512 bytes or less for each open file
//!   beside, what `presence` needs, and at most [`NAMED_MAX`] paths of each kind of trouble;
//! - what is known of a path is what the *last* file of that path held, as it is with a restore.
//!
//! What it does not do: judge. It also does not see whether payload was intact; the parser's faults
//! tell.

use crate::base::num::wide;
use crate::innodb::frm::{FRM_BYTES_MIN, Frm};
use crate::innodb::redo::REDO_HEADER_BYTES;
use crate::parse::item::{Item, MemberNo, Target};
use crate::parse::path::{OwnedPath, PathSeed, StreamPath};
use crate::verdict::lengths::{
    INDEX_HEAD_BYTES, Paired, Pairs, Short, TABLESPACE_HEAD_BYTES, short_tablespace,
};
use crate::verdict::metadata::{Describing, Statements, unwrap_name};
use crate::verdict::presence::Presence;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes of a describing file that are looked at.
const DESCRIBING_BYTES_MAX: usize = 64 << 10;

/// Bytes of a `.ren` file, which holds a path.
const RENAMED_BYTES_MAX: usize = 512;

/// Paths that are remembered for each kind of trouble; more are only counted. Every removal in the
/// stream looks at all of them.
const NAMED_MAX: usize = 200;

/// What files end in that are never empty on a server.
const NEVER_EMPTY: [&[u8]; 12] = [
    b".ibd", b".frm", b".MAI", b".MYI", b".CSM", b".par", b".TRG", b".TRN", b".isl", b".opt",
    b".delta", b".meta",
];

/// What files at the top level begin with that are never empty.
const NEVER_EMPTY_TOP: [&[u8]; 4] = [b"ibdata", b"undo", b"ib_logfile", b"aria_log"];

/// Which bytes of a payload the observer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// The bytes of the member before this position.
    pub until: u64,
}

/// Watches one stream.
#[derive(Debug)]
pub struct Observer {
    open: BTreeMap<MemberNo, OpenFile>,
    pub(super) presence: Presence,
    pub(super) statements: Statements,
    pub(super) describing: BTreeMap<Describing, Described>,
    pub(super) redo: Option<Redo>,
    /// Files that ended empty and never are.
    pub(super) empty: Named<()>,
    /// Files that are shorter than is stated somewhere.
    pub(super) short: Named<Short>,
    /// Targets of renames whose source never came, with that source.
    pub(super) lost: Named<OwnedPath>,
    pairs: Pairs,
    /// What came after the file that is written last.
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
}

/// The bytes of a file that is looked at.
struct Capture {
    role: Role,
    until: usize,
    bytes: Vec<u8>,
}

/// Why a file is looked at.
#[derive(Debug, Clone, Copy)]
enum Role {
    Describing(Describing),
    Definition,
    Renamed,
    Redo,
    Tablespace,
    Index,
    /// Only its length matters.
    Data,
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
            presence: Presence::new(seed),
            statements: Statements::default(),
            describing: BTreeMap::new(),
            redo: None,
            empty: Named::new(),
            short: Named::new(),
            lost: Named::new(),
            pairs: Pairs::new(seed),
            after_info: None,
        }
    }

    /// Notes the next item of the stream; tells which bytes of its payload to show.
    pub fn item(&mut self, item: &Item<'_>) -> Interest {
        self.note_order(item);
        match *item {
            Item::Payload(payload) => {
                self.open_if_new(payload.target);
                let Some(open) = self.open.get_mut(&payload.target.member) else {
                    return Interest::default();
                };
                open.length = payload.end();
                let until = open.capture.as_ref().map_or(0, |capture| wide(capture.until));
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
        let open = self.open.get_mut(&member);
        let Some(capture) = open.and_then(|open| open.capture.as_mut()) else { return };
        if at == wide(capture.bytes.len()) {
            let room = capture.until - capture.bytes.len();
            let wanted = bytes.get(..room).unwrap_or(bytes);
            capture.bytes.extend_from_slice(wanted);
        }
    }

    fn open_if_new(&mut self, target: Target<'_>) {
        if !target.opens {
            return;
        }
        let capture = Role::of(target.path).map(|role| {
            let until = role.bytes_wanted();
            Capture { role, until, bytes: Vec::new() }
        });
        if let Some(Capture { role: Role::Describing(kind), .. }) = capture {
            self.describing.remove(&kind);
            self.statements.forget(kind);
        }
        self.open.insert(target.member, OpenFile { length: 0, capture });
    }

    fn close(&mut self, path: StreamPath<'_>, file: OpenFile) {
        let OpenFile { length, capture } = file;
        self.empty.set(path, (length == 0 && is_never_empty(path)).then_some(()));
        let definition = capture
            .and_then(|Capture { role, bytes, .. }| self.close_captured(path, role, length, bytes));
        self.presence.add(path, definition);
    }

    /// Looks at a file that has ended; returns what it defines, if it defines a table.
    fn close_captured(
        &mut self,
        path: StreamPath<'_>,
        role: Role,
        length: u64,
        bytes: Vec<u8>,
    ) -> Option<Frm> {
        let (_, is_wrapped) = unwrap_name(path.file_name());
        match role {
            Role::Describing(kind) => self.describe(kind, path, length, &bytes),
            Role::Redo => {
                let is_opaque = path.file_name() != b"ib_logfile0";
                self.redo = Some(Redo { head: bytes, length, is_opaque });
            }
            Role::Definition | Role::Renamed | Role::Tablespace | Role::Index | Role::Data
                if is_wrapped => {}
            Role::Definition => return Some(Frm::parse(&bytes)),
            Role::Renamed => self.note_renamed(&bytes),
            Role::Tablespace => self.short.set(path, short_tablespace(&bytes, length)),
            Role::Index => {
                let paired = self.pairs.add_index(path, &bytes);
                self.note_pair(path, paired);
            }
            Role::Data => {
                let paired = self.pairs.add_data(path, length);
                self.note_pair(path, paired);
            }
        }
        None
    }

    /// Notes whether the data file of a table is short; `path` is either of its files.
    fn note_pair(&mut self, path: StreamPath<'_>, paired: Paired) {
        let short = match paired {
            Paired::Waiting => return,
            Paired::Fits => None,
            Paired::Short(short) => Some(short),
        };
        let mut data = path.as_bytes().to_vec();
        *data.last_mut().expect("a path is not empty") = b'D';
        let data = StreamPath::new(&data).expect("it differs in a letter");
        self.short.set(data, short);
    }

    fn describe(&mut self, kind: Describing, path: StreamPath<'_>, length: u64, bytes: &[u8]) {
        let (_, is_wrapped) = unwrap_name(path.file_name());
        let described = if is_wrapped {
            Described::Wrapped
        } else if length > wide(bytes.len()) {
            Described::TooLong
        } else {
            self.statements.read(kind, bytes);
            Described::Read
        };
        self.describing.insert(kind, described);
    }

    /// Reads a `.ren` file: `app/new_name`, the name that a tablespace has after preparing.
    fn note_renamed(&mut self, bytes: &[u8]) {
        let text = bytes.trim_ascii();
        let text = text.strip_suffix(b".ibd").unwrap_or(text);
        let text = text.strip_prefix(b"./").unwrap_or(text);
        if let Ok(path) = StreamPath::new(text) {
            self.presence.add_renamed(path);
        }
    }

    fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) {
        self.forget_describing(from);
        self.forget_describing(to);
        self.empty.rename(from, to);
        self.short.rename(from, to);
        if !self.presence.rename(from, to) {
            // A lost file that is renamed once more is missing under its last name.
            let origin = self.lost.paths.remove(from.as_bytes());
            self.lost.set(to, Some(origin.unwrap_or_else(|| from.into())));
        }
    }

    fn remove(&mut self, path: StreamPath<'_>) {
        self.forget_describing(path);
        self.presence.remove(path);
        self.empty.remove(path);
        self.short.remove(path);
        self.lost.remove(path);
    }

    fn forget_describing(&mut self, path: StreamPath<'_>) {
        match Role::of(path) {
            Some(Role::Describing(kind)) => {
                self.describing.remove(&kind);
                self.statements.forget(kind);
            }
            Some(Role::Redo) => self.redo = None,
            Some(
                Role::Definition | Role::Renamed | Role::Tablespace | Role::Index | Role::Data,
            )
            | None => {}
        }
    }

    /// Notes what comes after the file that a producer writes last.
    fn note_order(&mut self, item: &Item<'_>) {
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
        if !follows {
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
                Some(b"ibd") => Some(Self::Tablespace),
                Some(b"MAI" | b"MYI") => Some(Self::Index),
                Some(b"MAD" | b"MYD") => Some(Self::Data),
                _ => None,
            };
        }
        match name {
            b"ib_logfile0" | b"xtrabackup_logfile" => Some(Self::Redo),
            name if name.starts_with(b"ibdata") || name.starts_with(b"undo") => {
                // Increments have `ibdata1.delta` instead.
                (!name.contains(&b'.')).then_some(Self::Tablespace)
            }
            _ => Describing::of(name).map(Self::Describing),
        }
    }

    fn bytes_wanted(self) -> usize {
        match self {
            Self::Tablespace => TABLESPACE_HEAD_BYTES,
            Self::Index => INDEX_HEAD_BYTES,
            Self::Data => 0,
            Self::Describing(_) => DESCRIBING_BYTES_MAX,
            Self::Definition => FRM_BYTES_MIN,
            Self::Renamed => RENAMED_BYTES_MAX,
            Self::Redo => REDO_HEADER_BYTES,
        }
    }
}

impl<T> Named<T> {
    fn new() -> Self {
        Self { paths: BTreeMap::new(), others: 0 }
    }

    /// Notes that the file of that path is in trouble, or is not any more.
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
