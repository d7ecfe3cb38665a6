//! The files that a script makes: what `restore` writes when it writes files instead of a stream.
//!
//! `mbstream -x` applies frames to a directory as they come. [`Tree`] applies them to names, so
//! that a restore knows each file's final bytes before it writes any: no byte is written twice,
//! nothing is renamed or removed on disk, and files can be written in any order and in parallel.
//!
//! | op | effect |
//! |---|---|
//! | first frame of a member | a new file; one that had the path before is gone |
//! | payload | bytes go to the file offset that the frame states |
//! | sparse | the same, with holes between |
//! | end | the file is final; a member without payload is an empty file |
//! | rename | the file, or all of a directory, has the new path; what had it before is gone |
//! | remove | the file, or all of a directory, is gone |
//! | remove of `DIR/TABLE#P#*` | the files of the directory that begin and end so are gone |
//! | literal | nothing |
//!
//! Renames and removals of what isn't there change nothing. `mbstream` 10.11 differs in two points.
//! It refuses to replace a file without the rewrite flag; here the last version wins, and the fault
//! is in the verdict. And it takes the star for part of a name and leaves the files; but the server
//! means the partitions of a dropped table, which would come back.
//!
//! Invariants:
//! - every file is made of one member: its extents don't overlap and are in file order;
//! - paths are harmless and canonical; [`Tree::conflicts`] names files that are directories too;
//! - for any script, time is in proportion to its ops and files ([`TreeError`]).
//!
//! Memory: 40 bytes and the path for each file (measured: 125 bytes in all), and 24 bytes for each
//! extent of the few that are not written front to back.
//!
//! It does not read members, or touch a disk.

mod settled;

pub use settled::Settled;

use crate::base::num::usize_of_u32;
use crate::parse::item::Incarnation;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Payload;
use crate::parse::item::Target;
use crate::parse::path::OwnedPath;
use crate::parse::path::StreamPath;
use crate::parse::script::Op;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The byte that stands for `/` in keys: paths have no NUL, and nothing sorts before it. So what is
/// in a directory follows directly after the directory's name.
const KEY_SEPARATOR: u8 = 0;

/// The end of a glob for the partitions of a table, or its part before an extension.
const PARTITION_GLOB: &[u8] = b"#P#*";

/// Directory entries that may be moved or looked at without use, besides four for each file.
const VISITS_FREE: u64 = 1_000_000;

/// The files so far.
#[derive(Debug, Default)]
pub struct Tree {
    names: BTreeMap<Box<[u8]>, FileNo>,
    files: Vec<File>,
    vacant: Vec<FileNo>,
    open: BTreeMap<MemberNo, FileNo>,
    opened: u64,
    visits: u64,
}

/// A reason why a script is not applied any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Directories are moved about more often than any server does.
    #[error("the script renames or scans directories too often")]
    TooManyVisits,
    /// More files than can be numbered.
    #[error("the script makes more than 4294967295 files")]
    TooManyFiles,
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Path that the file is to have.
    pub path: OwnedPath,
    /// The member that its bytes come from.
    pub member: MemberNo,
    /// The path under which the member arrived.
    pub member_path: OwnedPath,
    /// The member's incarnation; with the path its key.
    pub incarnation: Incarnation,
    /// Number of bytes of the file.
    pub length: u64,
    /// Its bytes, in file order; the gaps between them are holes.
    pub extents: Vec<FileExtent>,
    /// True if it is final; false if the stream stopped before its end.
    pub ended: bool,
}

/// A run of bytes that are together both in the member and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileExtent {
    /// The offset in the file.
    pub file_at: u64,
    /// The offset in the member.
    pub member_at: u64,
    /// The number of bytes; never 0.
    pub len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileNo(u32);

#[derive(Debug)]
struct File {
    member: MemberNo,
    length: u64,
    content: Content,
    /// The member's path, where it is not the file's.
    arrived_as: Option<Box<OwnedPath>>,
    incarnation: Incarnation,
    named: bool,
    open: bool,
}

#[derive(Debug)]
enum Content {
    /// The member is the file.
    Whole,
    /// The pieces that were written, in order of writing; later bytes cover earlier ones.
    #[expect(clippy::box_collection, reason = "nearly every file is whole and pays for this")]
    Pieces(Box<Vec<FileExtent>>),
}

impl Tree {
    /// Begins with no files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the next op of the script.
    pub fn apply(&mut self, op: &Op<'_>) -> Result<(), TreeError> {
        match op {
            Op::Item(item) => self.apply_item(item),
            Op::CutPayload { payload, arrived } => self.write(payload, *arrived),
            Op::Literal(_) => Ok(()),
        }
    }

    /// Applies the next item, from a parser or a script.
    pub fn apply_item(&mut self, item: &Item<'_>) -> Result<(), TreeError> {
        match *item {
            Item::Payload(payload) => self.write(&payload, payload.extent.len),
            // Payloads state their offsets, so that a seek only matters if it opens the file.
            Item::Seek { target, .. } => self.file_of(target).map(|_| ()),
            Item::End { target, .. } => {
                let number = self.file_of(target)?;
                self.open.remove(&target.member);
                self.file_mut(number).open = false;
                self.release(number);
                Ok(())
            }
            Item::Rename { from, to, .. } => self.rename(from, to),
            Item::Remove { path, .. } => self.remove(path),
        }
    }

    /// Returns the files that can't be written because other files need them as directories.
    pub fn conflicts(&self) -> Vec<OwnedPath> {
        let follows = self.names.keys().zip(self.names.keys().skip(1));
        let inside = |outer: &[u8], inner: &[u8]| {
            inner.strip_prefix(outer).and_then(<[u8]>::first) == Some(&KEY_SEPARATOR)
        };
        follows.filter(|(outer, inner)| inside(outer, inner)).map(|(key, _)| path_of(key)).collect()
    }

    /// Ends the script; returns the files in order of their paths.
    pub fn into_files(self) -> impl Iterator<Item = TreeFile> {
        let Self { names, mut files, .. } = self;
        names.into_iter().map(move |(key, number)| {
            let file = files.get_mut(number.index()).expect("names refer to files");
            release_file(&key, file)
        })
    }

    fn write(&mut self, payload: &Payload<'_>, arrived: u64) -> Result<(), TreeError> {
        let number = self.file_of(payload.target)?;
        let file = self.file_mut(number);
        let offset = payload.extent.offset;
        let Some(map) = payload.sparse else {
            file.write(FileExtent { file_at: offset, member_at: payload.at, len: arrived });
            return Ok(());
        };
        let mut extent = FileExtent { file_at: offset, member_at: payload.at, len: 0 };
        let mut left = arrived;
        for (skip, len) in map.entries() {
            extent.file_at += u64::from(skip);
            extent.len = left.min(u64::from(len));
            file.write(extent);
            extent.file_at += u64::from(len);
            extent.member_at += extent.len;
            left -= extent.len;
        }
        if arrived == payload.extent.len {
            file.extend(payload.next_offset());
        }
        Ok(())
    }

    /// Finds the file of a member; makes it if the frame opens the member.
    fn file_of(&mut self, target: Target<'_>) -> Result<FileNo, TreeError> {
        if !target.opens {
            return Ok(*self.open.get(&target.member).expect("items name open members only"));
        }
        let key = key_of(target.path);
        let odd = !target.path.is_canonical();
        let number = self.add(File {
            member: target.member,
            length: 0,
            content: Content::Whole,
            arrived_as: odd.then(|| Box::new(target.path.into())),
            incarnation: target.incarnation,
            named: true,
            open: true,
        })?;
        self.open.insert(target.member, number);
        self.opened += 1;
        self.name(key, number);
        Ok(number)
    }

    fn rename(&mut self, from: StreamPath<'_>, to: StreamPath<'_>) -> Result<(), TreeError> {
        let (from, to) = (key_of(from), key_of(to));
        if from == to {
            return Ok(());
        }
        if self.names.contains_key(&from) {
            self.rename_file(&from, to);
            return Ok(());
        }
        let (from, to) = (directory(&from), directory(&to));
        if to.starts_with(&from) {
            return Ok(());
        }
        for key in self.keys_below(&from) {
            self.visit()?;
            let rest = key.get(from.len()..).expect("the key begins with the directory");
            self.rename_file(&key, [&to, rest].concat().into());
        }
        Ok(())
    }

    fn rename_file(&mut self, from: &[u8], to: Box<[u8]>) {
        let number = self.names.remove(from).expect("the caller found the name");
        let file = self.file_mut(number);
        file.arrived_as.get_or_insert_with(|| Box::new(path_of(from)));
        self.name(to, number);
    }

    fn remove(&mut self, path: StreamPath<'_>) -> Result<(), TreeError> {
        let key = key_of(path);
        if self.unname(&key) {
            return Ok(());
        }
        for inside in self.keys_below(&directory(&key)) {
            self.unname(&inside);
        }
        let Some(star) = find(&key, PARTITION_GLOB).map(|at| at + PARTITION_GLOB.len() - 1) else {
            return Ok(());
        };
        let (begin, end) = (key.get(..star).unwrap_or(&[]), key.get(star + 1..).unwrap_or(&[]));
        for candidate in self.keys_below(begin) {
            let rest = candidate.get(star..).expect("the key begins as the glob does");
            if rest.ends_with(end) && !rest.contains(&KEY_SEPARATOR) {
                self.unname(&candidate);
            } else {
                self.visit()?;
            }
        }
        Ok(())
    }

    /// Returns the keys that begin with `prefix`.
    fn keys_below(&self, prefix: &[u8]) -> Vec<Box<[u8]>> {
        let from = self.names.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Counts a directory entry that costs time and is not gone afterwards.
    fn visit(&mut self) -> Result<(), TreeError> {
        self.visits += 1;
        if self.visits > VISITS_FREE + 4 * self.opened {
            return Err(TreeError::TooManyVisits);
        }
        Ok(())
    }

    fn add(&mut self, file: File) -> Result<FileNo, TreeError> {
        if let Some(number) = self.vacant.pop() {
            *self.file_mut(number) = file;
            return Ok(number);
        }
        let number = u32::try_from(self.files.len()).map_err(|_| TreeError::TooManyFiles)?;
        self.files.push(file);
        Ok(FileNo(number))
    }

    /// Gives a file its name, and takes it from the one that has it.
    fn name(&mut self, key: Box<[u8]>, number: FileNo) {
        if let Some(previous) = self.names.insert(key, number) {
            self.file_mut(previous).named = false;
            self.release(previous);
        }
    }

    /// Takes a name away; tells whether a file had it.
    fn unname(&mut self, key: &[u8]) -> bool {
        let Some(number) = self.names.remove(key) else { return false };
        self.file_mut(number).named = false;
        self.release(number);
        true
    }

    /// Forgets a file that has no name and gets no more bytes.
    fn release(&mut self, number: FileNo) {
        let file = self.file_mut(number);
        if !file.named && !file.open {
            file.content = Content::Whole;
            file.arrived_as = None;
            self.vacant.push(number);
        }
    }

    fn file_mut(&mut self, number: FileNo) -> &mut File {
        self.files.get_mut(number.index()).expect("numbers are given to files only")
    }
}

impl FileNo {
    fn index(self) -> usize {
        usize_of_u32(self.0)
    }
}

impl File {
    fn write(&mut self, extent: FileExtent) {
        if extent.len == 0 {
            return;
        }
        let end = extent.file_at + extent.len;
        match &mut self.content {
            Content::Whole if extent.file_at == self.length && extent.member_at == self.length => {}
            Content::Whole => {
                let front = FileExtent { file_at: 0, member_at: 0, len: self.length };
                let pieces = if self.length == 0 { vec![extent] } else { vec![front, extent] };
                self.content = Content::Pieces(Box::new(pieces));
            }
            Content::Pieces(pieces) => match pieces.last_mut() {
                Some(last) if last.is_continued_by(&extent) => last.len += extent.len,
                _ => pieces.push(extent),
            },
        }
        self.length = self.length.max(end);
    }

    /// Makes the file at least `length` bytes long; what is new is a hole.
    fn extend(&mut self, length: u64) {
        if length <= self.length {
            return;
        }
        if matches!(self.content, Content::Whole) {
            let front = FileExtent { file_at: 0, member_at: 0, len: self.length };
            let pieces = if self.length == 0 { Vec::new() } else { vec![front] };
            self.content = Content::Pieces(Box::new(pieces));
        }
        self.length = length;
    }
}

impl Content {
    fn take_extents(&mut self, length: u64) -> Vec<FileExtent> {
        match self {
            Self::Whole if length == 0 => Vec::new(),
            Self::Whole => vec![FileExtent { file_at: 0, member_at: 0, len: length }],
            Self::Pieces(pieces) => flatten(std::mem::take(pieces.as_mut())),
        }
    }
}

impl FileExtent {
    fn file_end(&self) -> u64 {
        self.file_at + self.len
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        next.file_at == self.file_end() && next.member_at == self.member_at + self.len
    }

    /// Returns the part of the extent before `end`, if any.
    fn before(self, end: u64) -> Option<Self> {
        let len = end.min(self.file_end()).checked_sub(self.file_at)?;
        (len > 0).then_some(Self { len, ..self })
    }

    /// Returns the part of the extent from `start` on, if any.
    fn after(self, start: u64) -> Option<Self> {
        let skip = start.saturating_sub(self.file_at);
        let len = self.len.checked_sub(skip)?;
        let (file_at, member_at) = (self.file_at + skip, self.member_at + skip);
        (len > 0).then_some(Self { file_at, member_at, len })
    }
}

/// Turns writes, of which later ones cover earlier ones, into extents in file order.
fn flatten(writes: Vec<FileExtent>) -> Vec<FileExtent> {
    let mut flat: BTreeMap<u64, FileExtent> = BTreeMap::new();
    for write in writes {
        let (start, end) = (write.file_at, write.file_end());
        let first = flat.range(..=start).next_back().map_or(start, |(at, _)| *at);
        let touched: Vec<_> = flat.range(first..end).map(|(at, _)| *at).collect();
        for at in touched {
            let covered = flat.remove(&at).expect("the key was just found");
            for rest in [covered.before(start), covered.after(end)].into_iter().flatten() {
                flat.insert(rest.file_at, rest);
            }
        }
        flat.insert(start, write);
    }
    let mut extents: Vec<FileExtent> = Vec::with_capacity(flat.len());
    for extent in flat.into_values() {
        match extents.last_mut() {
            Some(last) if last.is_continued_by(&extent) => last.len += extent.len,
            _ => extents.push(extent),
        }
    }
    extents
}

/// Makes the file that has a name; what it was made of is gone.
fn release_file(key: &[u8], file: &mut File) -> TreeFile {
    let path = path_of(key);
    let member_path = file.arrived_as.take().map_or_else(|| path.clone(), |path| *path);
    let File { member, length, incarnation, open, .. } = *file;
    let extents = file.content.take_extents(length);
    TreeFile { path, member, member_path, incarnation, length, extents, ended: !open }
}

fn key_of(path: StreamPath<'_>) -> Box<[u8]> {
    let names: Vec<_> = path.names().collect();
    names.join(&KEY_SEPARATOR).into()
}

fn path_of(key: &[u8]) -> OwnedPath {
    let bytes: Vec<_> =
        key.iter().map(|byte| if *byte == KEY_SEPARATOR { b'/' } else { *byte }).collect();
    StreamPath::new(&bytes).expect("keys are made from paths").into()
}

/// Returns what the keys of everything in a directory begin with.
fn directory(key: &[u8]) -> Vec<u8> {
    [key, &[KEY_SEPARATOR]].concat()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests;
