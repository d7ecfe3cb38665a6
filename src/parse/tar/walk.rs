//! Walks through a tar: which bytes are an entry's contents, and what each entry is.
//!
//! The same walk serves the way in, where it is given every byte, and the way out, where contents
//! are only counted ([`Walk::skip`]): what a backup took apart, a restore finds again.
//!
//! - Memory: one block, one extended header of at most `EXTENSION_BYTES_MAX`, as much again of
//!   global attributes, and a sparse file's parts, all bounded.
//! - From a block on that is no header everything is kept and nothing believed.

use std::collections::BTreeMap;

use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::parse::tar::header;
use crate::parse::tar::header::BLOCK;
use crate::parse::tar::header::Header;
use crate::parse::tar::header::Part;
use crate::parse::tar::map::MapReader;
use crate::parse::tar::map::Mapped;
use crate::parse::tar::map::PARTS_MAX;

/// The longest extended header whose contents are used.
const EXTENSION_BYTES_MAX: usize = 1 << 20;

/// The advice about entries that tar may not see.
const ONE_ARCHIVE: &str = ", which tar reads with -i only: let one command make one archive";
/// The type of a volume's label, which is no entry.
const LABEL: u8 = b'V';

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with contents.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link to [`Entry::link`].
    SymbolicLink,
    /// A character device, with [`Entry::device`].
    CharacterDevice,
    /// A block device, with [`Entry::device`].
    BlockDevice,
    /// A directory; its files are entries of their own.
    Directory,
    /// A named pipe (FIFO).
    Pipe,
    /// The label of the volume, which is no file.
    Label,
    /// Something that only the program that wrote it knows.
    Other(u8),
}

/// An entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of the file.
    pub kind: Kind,
    /// Name of the entry as the archive has it.
    pub path: Vec<u8>,
    /// The target of the link, if it is one.
    pub link: Vec<u8>,
    /// Permissions, the low 12 bits of the mode.
    pub mode: u32,
    /// Number of the owner; `None` if it has none that fits.
    pub owner: Option<u32>,
    /// Number of the group.
    pub group: Option<u32>,
    /// Name of the owner, empty if it has none.
    pub owner_name: Vec<u8>,
    /// Name of the group, empty if it has none.
    pub group_name: Vec<u8>,
    /// Seconds and nanoseconds of the last change since 1970.
    pub changed: (i64, u32),
    /// Bytes of contents in the archive.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes: name and value of each.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access control lists, by the extended attributes that they are set by, as text.
    pub access_lists: Vec<(&'static str, Vec<u8>)>,
    /// The places of the contents in the file, if it has holes.
    pub sparse: Option<Sparse>,
}

/// A file with holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sparse {
    /// Bytes of the file, holes included.
    pub size: u64,
    /// The parts that are no hole, in the order of the contents.
    pub parts: Vec<Part>,
}

impl Entry {
    /// Tells whether the entry has a member in the repository.
    pub fn has_contents(&self) -> bool {
        self.kind == Kind::File || self.size > 0
    }
}

/// The class of bytes: an entry's contents, or others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The bytes describe entries, or fill up blocks.
    Literal,
    /// The bytes are contents of the entry.
    Contents,
}

/// The point that has been reached after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing that matters has been reached.
    Nothing,
    /// An entry: [`Walk::entry`] is it. Its contents follow.
    Entry,
    /// The end of an entry's contents.
    ContentsEnd,
}

/// A step of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes that it took.
    pub taken: usize,
    /// The class of these bytes.
    pub class: Class,
    /// The point that is reached after them.
    pub reached: Reached,
}

/// The part of the archive that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    /// An extended header of this type.
    Extension {
        kind: u8,
        left: u64,
        total: u64,
    },
    /// A block that continues the header of a sparse file.
    MoreParts,
    /// The map of a sparse file, in front of its contents.
    Map {
        left: u64,
    },
    Contents {
        left: u64,
    },
    /// Up to the end of a block, then the contents of the entry begin.
    MapPadding {
        left: u64,
        contents: u64,
    },
    Padding {
        left: u64,
    },
    /// After the mark of the end.
    End,
    /// After something that follows the mark of the end and is no entry.
    Followed,
    /// After a block that is no header.
    Broken,
}

/// The way in which an archive ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With two blocks of zeros, as it should.
    Marked,
    /// Between two entries, without the mark.
    Unmarked,
    /// Within an entry or a header.
    Inside(String),
    /// After something that is no header, which is among the faults.
    Unread,
}

/// Follows the headers and contents of one archive.
#[derive(Debug)]
pub struct Walk {
    stage: Stage,
    block: [u8; BLOCK],
    filled: usize,
    text: Vec<u8>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    global: BTreeMap<Vec<u8>, Vec<u8>>,
    local: Vec<(Vec<u8>, Vec<u8>)>,
    entry: Option<Entry>,
    map: MapReader,
    zeros: u8,
    /// True if entries stand after the mark of the end.
    pub(crate) is_after_end: bool,
    entries: u64,
    faults: Vec<String>,
    faults_others: u64,
}

/// Most faults that are kept; more are only counted.
const FAULTS_MAX: usize = 20;

impl Default for Walk {
    fn default() -> Self {
        Self {
            stage: Stage::Header,
            block: [0; BLOCK],
            filled: 0,
            text: Vec::new(),
            long_name: None,
            long_link: None,
            global: BTreeMap::new(),
            local: Vec::new(),
            entry: None,
            map: MapReader::default(),
            zeros: 0,
            is_after_end: false,
            entries: 0,
            faults: Vec::new(),
            faults_others: 0,
        }
    }
}

impl Walk {
    /// Returns the entry that was reached last.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Returns the number of entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns the faults of the archive, and the number of those that were not kept.
    pub fn faults(&self) -> (&[String], u64) {
        (&self.faults, self.faults_others)
    }

    /// Tells how the archive ends if it ends here.
    pub fn ending(&self) -> Ending {
        let name = || self.entry.as_ref().map_or(String::new(), |entry| shown(&entry.path));
        match self.stage {
            Stage::End | Stage::Followed => Ending::Marked,
            Stage::Header if self.filled == 0 && self.zeros < 2 => Ending::Unmarked,
            Stage::Header => Ending::Inside("a header".to_owned()),
            Stage::Extension { .. } => Ending::Inside("an extended header".to_owned()),
            Stage::Contents { left } | Stage::Map { left } => {
                Ending::Inside(format!("{}, of which {left} bytes are missing", name()))
            }
            Stage::MoreParts | Stage::MapPadding { .. } | Stage::Padding { .. } => {
                Ending::Inside(name())
            }
            Stage::Broken => Ending::Unread,
        }
    }

    /// Takes some of the next bytes, of which there are any.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let literal = |taken, reached| Step { taken, class: Class::Literal, reached };
        match self.stage {
            Stage::Broken | Stage::Followed => literal(bytes.len(), Reached::Nothing),
            Stage::Header | Stage::MoreParts | Stage::End => {
                let taken = (BLOCK - self.filled).min(bytes.len());
                self.block[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
                self.filled += taken;
                if self.filled < BLOCK {
                    return literal(taken, Reached::Nothing);
                }
                self.filled = 0;
                literal(taken, self.end_block())
            }
            Stage::Extension { left, .. } => {
                let taken = fitting(bytes, left);
                let room = EXTENSION_BYTES_MAX.saturating_sub(self.text.len());
                self.text.extend_from_slice(&bytes[..taken.min(room)]);
                self.pass(u64_of(taken));
                literal(taken, Reached::Nothing)
            }
            Stage::Map { left } => {
                let reached = self.step_map(bytes, left);
                literal(reached.0, reached.1)
            }
            Stage::MapPadding { left, .. } | Stage::Padding { left } => {
                let taken = fitting(bytes, left);
                let reached = self.pass(u64_of(taken));
                literal(taken, reached)
            }
            Stage::Contents { left } => {
                let taken = fitting(bytes, left);
                let reached = self.pass(u64_of(taken));
                Step { taken, class: Class::Contents, reached }
            }
        }
    }

    /// Passes contents that the caller does not have; `None` if the entry has fewer left.
    pub fn skip(&mut self, bytes: u64) -> Option<Reached> {
        let Stage::Contents { left } = self.stage else { return None };
        (bytes <= left).then(|| self.pass(bytes))
    }

    /// Ends the archive, and reports what is left of a block after its end.
    pub fn finish(&mut self) {
        let rest = &self.block[..self.filled];
        if self.stage == Stage::End && rest.iter().any(|byte| *byte != 0) {
            self.end_followed();
        }
    }

    fn end_followed(&mut self) {
        self.fault(
            "something that is no entry follows the end of the archive: look at what the producer \
             writes after it"
                .to_owned(),
        );
        self.stage = Stage::Followed;
    }

    /// Looks at a block after the mark of the end: archives may stand one after the other.
    fn end_block_after_end(&mut self, block: &[u8; BLOCK]) -> Option<Reached> {
        if block.iter().all(|byte| *byte == 0) {
            return Some(Reached::Nothing);
        }
        if Header::new(block).is_none() {
            self.end_followed();
            return Some(Reached::Nothing);
        }
        if !self.is_after_end {
            self.fault(format!("entries follow the mark of the end{ONE_ARCHIVE}"));
        }
        self.is_after_end = true;
        self.zeros = 0;
        self.stage = Stage::Header;
        None
    }

    fn fault(&mut self, words: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(words);
        } else {
            self.faults_others += 1;
        }
    }

    /// Counts bytes of a stage that has a length, and goes on to the next stage after its end.
    fn pass(&mut self, bytes: u64) -> Reached {
        match &mut self.stage {
            Stage::Extension { left, .. }
            | Stage::Contents { left }
            | Stage::MapPadding { left, .. }
            | Stage::Padding { left } => {
                *left -= bytes;
                if *left > 0 {
                    return Reached::Nothing;
                }
            }
            Stage::Header
            | Stage::MoreParts
            | Stage::Map { .. }
            | Stage::End
            | Stage::Followed
            | Stage::Broken => {
                return Reached::Nothing;
            }
        }
        match self.stage {
            Stage::Extension { kind, total, .. } => {
                self.end_extension(kind, total);
                self.pad(total);
                Reached::Nothing
            }
            Stage::Contents { .. } => {
                let size = self.entry.as_ref().map_or(0, |entry| entry.size);
                self.pad(size);
                Reached::ContentsEnd
            }
            Stage::MapPadding { contents, .. } => {
                self.begin_contents(contents);
                Reached::Entry
            }
            Stage::Header
            | Stage::MoreParts
            | Stage::Map { .. }
            | Stage::Padding { .. }
            | Stage::End
            | Stage::Followed
            | Stage::Broken => {
                self.stage = Stage::Header;
                Reached::Nothing
            }
        }
    }

    fn pad(&mut self, size: u64) {
        let left = size.next_multiple_of(u64_of(BLOCK)).saturating_sub(size);
        self.stage = if left == 0 { Stage::Header } else { Stage::Padding { left } };
    }

    fn begin_contents(&mut self, left: u64) {
        self.stage = if left == 0 { Stage::Header } else { Stage::Contents { left } };
    }

    fn end_block(&mut self) -> Reached {
        let block = self.block;
        if self.stage == Stage::MoreParts {
            return self.end_more_parts(&block);
        }
        if self.stage == Stage::End
            && let Some(reached) = self.end_block_after_end(&block)
        {
            return reached;
        }
        if block.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            if self.zeros == 2 {
                self.stage = Stage::End;
            }
            return Reached::Nothing;
        }
        if self.zeros > 0 {
            self.fault(format!("a block of zeros stands between two entries{ONE_ARCHIVE}"));
            self.zeros = 0;
        }
        let Some(header) = Header::new(&block) else {
            self.break_off("a header has a wrong checksum");
            return Reached::Nothing;
        };
        let size = header.size().filter(|size| i64::try_from(*size).is_ok());
        let Some(size) = size else {
            self.break_off("a header has no usable size");
            return Reached::Nothing;
        };
        match header.kind() {
            kind @ (b'x' | b'g' | b'X' | b'L' | b'K') => {
                self.text.clear();
                self.stage = Stage::Extension { kind, left: size, total: size };
                if size == 0 {
                    self.end_extension(kind, 0);
                    self.stage = Stage::Header;
                }
                Reached::Nothing
            }
            _ => self.end_header(header, size),
        }
    }

    fn break_off(&mut self, why: &str) {
        let entries = self.entries;
        self.fault(format!(
            "behind {entries} entries {why}: the archive was damaged or its producer failed; what \
             follows is kept, but can only be restored with --stdout"
        ));
        self.stage = Stage::Broken;
    }

    fn end_extension(&mut self, kind: u8, total: u64) {
        let text = std::mem::take(&mut self.text);
        if u64_of(text.len()) < total {
            self.fault(format!("an extended header of {total} bytes is too long to be used"));
            return;
        }
        let name = || text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match kind {
            b'L' => self.long_name = name(),
            b'K' => self.long_link = name(),
            _ => {
                let mut found = Vec::new();
                let mut keep = |key: &[u8], value: &[u8]| found.push((key.into(), value.into()));
                if header::records(&text, &mut keep).is_none() {
                    self.fault("an extended header is malformed".to_owned());
                }
                if kind == b'g' { self.keep_global(found) } else { self.local.extend(found) }
            }
        }
    }

    fn keep_global(&mut self, found: Vec<(Vec<u8>, Vec<u8>)>) {
        for (key, value) in found {
            let used: usize = self.global.iter().map(|(k, v)| k.len() + v.len()).sum();
            if used + key.len() + value.len() > EXTENSION_BYTES_MAX {
                return self.fault("global headers are too long to be used".to_owned());
            }
            self.global.insert(key, value);
        }
    }

    /// Makes an entry of a header and the extended ones before it.
    fn end_header(&mut self, header: Header<'_>, stated: u64) -> Reached {
        self.entries += u64::from(header.kind() != LABEL);
        let local = std::mem::take(&mut self.local);
        let mut pax = self.global.clone();
        let mut parts = Vec::new();
        for (key, value) in local {
            match key.as_slice() {
                // The only keys that come again and again.
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    parts.extend(header::decimal(&value));
                }
                _ => {
                    pax.insert(key, value);
                }
            }
        }
        let long_name = self.long_name.take();
        let long_link = self.long_link.take();
        let size = pax.get(&b"size"[..]).and_then(|text| header::decimal(text)).unwrap_or(stated);
        if i64::try_from(size).is_err() {
            self.break_off("an extended header has no usable size");
            return Reached::Nothing;
        }
        let mut entry = entry_of(header, &pax, size);
        entry.path = long_name.unwrap_or(entry.path);
        entry.link = long_link.unwrap_or(entry.link);
        self.sparse_of(header, &pax, &parts, &mut entry);
        let more = header.kind() == b'S' && header.sparse().is_some_and(|(_, _, more)| more);
        let has_map = pax.get(&b"GNU.sparse.major"[..]).is_some_and(|major| major == b"1");
        let size = entry.size;
        self.entry = Some(entry);
        if more {
            self.stage = Stage::MoreParts;
            return Reached::Nothing;
        }
        if has_map && size > 0 {
            self.map = MapReader::default();
            self.stage = Stage::Map { left: size };
            return Reached::Nothing;
        }
        self.begin_contents(size);
        Reached::Entry
    }

    /// Enters what the headers say about the holes of a file.
    fn sparse_of(
        &mut self,
        header: Header<'_>,
        pax: &BTreeMap<Vec<u8>, Vec<u8>>,
        parts: &[u64],
        entry: &mut Entry,
    ) {
        let get = |key: &[u8]| pax.get(key).map(Vec::as_slice);
        if header.kind() == b'S' {
            entry.sparse = header.sparse().map(|(size, parts, _)| Sparse { size, parts });
            if entry.sparse.is_none() {
                let path = shown(&entry.path);
                self.fault(format!("{path} has an unreadable map of holes"));
            }
            return;
        }
        let size = get(b"GNU.sparse.realsize").or(get(b"GNU.sparse.size"));
        let Some(size) = size.and_then(header::decimal) else { return };
        let listed: Vec<u64> = match get(b"GNU.sparse.map") {
            Some(map) => map.split(|byte| *byte == b',').filter_map(header::decimal).collect(),
            None => parts.to_vec(),
        };
        let pairs = listed.chunks_exact(2).take(PARTS_MAX);
        let parts = pairs.map(|pair| Part { at: pair[0], length: pair[1] }).collect();
        entry.sparse = Some(Sparse { size, parts });
    }

    fn end_more_parts(&mut self, block: &[u8; BLOCK]) -> Reached {
        let Some((parts, more)) = header::more_parts(block) else {
            self.break_off("a map of holes is unreadable");
            return Reached::Nothing;
        };
        let entry = self.entry.as_mut().expect("the map of an entry stands behind its header");
        if let Some(sparse) = &mut entry.sparse {
            sparse.parts.extend(parts);
            sparse.parts.truncate(PARTS_MAX);
        }
        if more {
            return Reached::Nothing;
        }
        let size = entry.size;
        self.begin_contents(size);
        Reached::Entry
    }

    /// Reads the map that stands in front of a sparse file's contents.
    fn step_map(&mut self, bytes: &[u8], left: u64) -> (usize, Reached) {
        let window = &bytes[..fitting(bytes, left)];
        let mut taken = 0;
        for byte in window {
            taken += 1;
            match self.map.take(*byte) {
                Mapped::More => {}
                mapped @ (Mapped::Done | Mapped::Wrong) => {
                    return (taken, self.end_map(mapped, left - u64_of(taken)));
                }
            }
        }
        let left = left - u64_of(taken);
        if left == 0 {
            return (taken, self.end_map(Mapped::Wrong, 0));
        }
        self.stage = Stage::Map { left };
        (taken, Reached::Nothing)
    }

    fn end_map(&mut self, mapped: Mapped, left: u64) -> Reached {
        let map = std::mem::take(&mut self.map);
        let entry = self.entry.as_mut().expect("the map of an entry stands behind its header");
        let size = entry.size;
        // The map fills up a block of the contents.
        let padding = (size - left).next_multiple_of(u64_of(BLOCK)) - (size - left);
        let padding = padding.min(left);
        entry.size = left - padding;
        let path = shown(&entry.path);
        match (mapped, &mut entry.sparse) {
            (Mapped::Done, Some(sparse)) => sparse.parts = map.parts,
            _ => self.fault(format!("{path} has an unreadable map of holes")),
        }
        if padding > 0 {
            self.stage = Stage::MapPadding { left: padding, contents: left - padding };
            return Reached::Nothing;
        }
        self.begin_contents(left);
        Reached::Entry
    }
}

/// Keys of access control lists, and what Linux calls them.
const ACCESS_LISTS: [(&str, &str); 2] = [
    ("SCHILY.acl.access", "system.posix_acl_access"),
    ("SCHILY.acl.default", "system.posix_acl_default"),
];

fn entry_of(header: Header<'_>, pax: &BTreeMap<Vec<u8>, Vec<u8>>, size: u64) -> Entry {
    let get = |key: &[u8]| pax.get(key).filter(|value| !value.is_empty());
    let id = |key: &[u8], field: Option<i64>| {
        let stated = get(key).and_then(|text| header::decimal(text));
        stated.or_else(|| u64::try_from(field?).ok()).and_then(|id| u32::try_from(id).ok())
    };
    let name = get(b"GNU.sparse.name").or(get(b"path"));
    let path = name.cloned().unwrap_or_else(|| header.name());
    let kind = match header.kind() {
        b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::SymbolicLink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' | b'D' => Kind::Directory,
        b'6' => Kind::Pipe,
        LABEL => Kind::Label,
        other => Kind::Other(other),
    };
    let changed = get(b"mtime").and_then(|text| header::time(text));
    let number = |n: i64| u32::try_from(n).unwrap_or(0);
    let attribute = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        Some((attribute_name(key.strip_prefix(b"SCHILY.xattr.")?), value.clone()))
    };
    let list = |(key, name): (&str, &'static str)| Some((name, get(key.as_bytes())?.clone()));
    let named = |key: &[u8], field: &[u8]| get(key).map_or(field, Vec::as_slice).to_vec();
    Entry {
        kind,
        link: get(b"linkpath").cloned().unwrap_or_else(|| header.link().to_vec()),
        mode: header.mode().map_or(0o600, number) & 0o7777,
        owner: id(b"uid", header.owner()),
        group: id(b"gid", header.group()),
        changed: changed.unwrap_or((header.changed().unwrap_or(0), 0)),
        // A link has a size in some archives, but never contents.
        size: if kind == Kind::HardLink { 0 } else { size },
        device: header.device().map_or((0, 0), |(major, minor)| (number(major), number(minor))),
        attributes: pax.iter().filter_map(attribute).collect(),
        access_lists: ACCESS_LISTS.into_iter().filter_map(list).collect(),
        owner_name: named(b"uname", header.owner_name()),
        group_name: named(b"gname", header.group_name()),
        sparse: None,
        path,
    }
}

/// Decodes the name of an extended attribute: GNU tar writes `=` and `%` in it by their numbers.
fn attribute_name(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some(byte) = rest.first() {
        let (byte, taken) = match rest {
            [b'%', b'3', b'D', ..] => (b'=', 3),
            [b'%', b'2', b'5', ..] => (b'%', 3),
            _ => (*byte, 1),
        };
        name.push(byte);
        rest = &rest[taken..];
    }
    name
}

/// Returns how many of the bytes belong to what is left of a part.
fn fitting(bytes: &[u8], left: u64) -> usize {
    usize_of(left.min(u64_of(bytes.len())))
}

fn shown(path: &[u8]) -> String {
    format!("'{}'", path.escape_ascii())
}
