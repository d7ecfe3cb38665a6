//! The mbstream parser: tells the members of a stream apart without touching their bytes.
//!
//! It is sans-io and sees headers only. The caller shows it what is buffered at a frame boundary
//! ([`Parser::step`]), moves the payload itself, straight into any buffer it likes, and
//! reports its CRC ([`Parser::payload_done`]), or compares it later ([`Parser::payload_moved`]). So
//! a stream costs a few hash lookups per frame here, and no length from a header is ever allocated.
//!
//! ```text
//!           +---- NeedMore: read more ----+
//!           v                             |
//! boundary ---- step() ---- Item ----> payload? -- moved by the caller -- payload_done()
//!           |                             |                                   |
//!           |                             +------------> boundary <-----------+
//!           +---- Malformed: the caller keeps the rest of the stream literally
//! ```
//!
//! It is strict about what it calls good and lenient about what it can keep. As long as the frame
//! structure is certain, what no producer would write becomes a [`Fault`] and parsing goes on.
//! Only where it isn't certain (no magic, unknown type, hostile path, overflow) parsing ends.
//!
//! Invariants:
//! - every frame before the end or the malformed place yields exactly one [`Item`], which holds the
//!   whole header: items and payloads together are the stream;
//! - a member's number is never reused, (path, incarnation) never names two members;
//! - a stream without faults was written frame by frame as a producer writes it, up to a clean end.
//!   (That the *backup* is whole is another question: see the verdict.)
//!
//! Memory: about 200 bytes and the path for each open member, at most [`OPEN_MEMBERS_MAX`] of them,
//! plus one 64-bit hash (9 to 18 bytes of table) for each path seen. 10 million paths take 146 MB,
//! measured, and 218 while the table grows; the paths themselves would take several times that. The
//! hash decides one thing only: whether a path was open before. Two paths that collide (3 in a
//! million for 10 million paths) make a first incarnation look like a second: a needless fault,
//! never a wrong byte, since the member is still unique under its key. Collisions can't be forced,
//! as the hash is keyed by a secret of the caller.
//!
//! It does not follow renames to the final files (`tree`), remember the frames (`script`), or find
//! its way back after damage: a frame that is found again by its magic may be payload of a file
//! that itself contains a stream.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use crate::base::num::u64_of;
use crate::parse::fault::FAULTS_KEPT_MAX;
use crate::parse::fault::Fault;
use crate::parse::fault::FaultKind;
use crate::parse::fault::Malformed;
use crate::parse::frame::Body;
use crate::parse::frame::Extent;
use crate::parse::frame::Frame;
use crate::parse::frame::FrameFlags;
use crate::parse::frame::NoFrame;
use crate::parse::frame::SparseMap;
use crate::parse::item::Incarnation;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::item::Payload;
use crate::parse::item::StreamOffset;
use crate::parse::item::Target;
use crate::parse::openings::Openings;
use crate::parse::path::HashedAlready;
use crate::parse::path::OwnedPath;
use crate::parse::path::PathSeed;
use crate::parse::path::StreamPath;

/// The most members that may be open at a time. A producer opens one per thread and the redo log.
pub const OPEN_MEMBERS_MAX: usize = 65_536;

/// The result of [`Parser::step`] at a frame boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The header is longer than the input.
    NeedMore {
        /// Bytes from the boundary on that the caller must show, unless the stream ends.
        at_least: usize,
    },
    /// A whole header was read.
    Item {
        /// Bytes of the header; the payload, if there is one, follows them.
        header_len: usize,
        /// The frame, with its member resolved.
        item: Item<'a>,
    },
    /// No frame begins here; the caller keeps everything from here on literally.
    Malformed(Malformed),
}

/// The end of the stream, as the caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// At a frame boundary.
    Boundary,
    /// With bytes left over that are no whole header.
    InsideHeader {
        /// Number of bytes left over.
        bytes: u64,
    },
    /// In the payload of the last item.
    InsidePayload {
        /// The number of its bytes that arrived.
        arrived: u64,
    },
    /// Anywhere after the parser returned [`Step::Malformed`].
    AfterMalformed,
}

/// The facts that a parser knows once the stream has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The first faults in stream order, at most [`FAULTS_KEPT_MAX`].
    pub faults: Vec<Fault>,
    /// All faults of the stream, also those beyond [`FAULTS_KEPT_MAX`].
    pub fault_count: u64,
    /// Number of frames parsed.
    pub frames: u64,
    /// Number of members opened.
    pub members: u64,
    /// Bytes of the stream, or those before the malformed place.
    pub bytes: u64,
}

/// The CRC of a payload as its frame states it, for a caller that compares it after the parser has
/// gone on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedCrc {
    /// The offset at which the frame begins.
    pub at: StreamOffset,
    /// The CRC-32 in the frame.
    pub crc: u32,
}

impl StatedCrc {
    /// Returns the fault of a payload of `path` whose CRC is `computed`, unless it is as stated.
    pub fn fault(self, path: Option<OwnedPath>, computed: u32) -> Option<Fault> {
        let kind = FaultKind::BadCrc { stated: self.crc, computed };
        (self.crc != computed).then_some(Fault { at: self.at, path, kind })
    }
}

/// The parser of one stream.
#[derive(Debug)]
pub struct Parser {
    at: StreamOffset,
    frames: u64,
    members: u64,
    open: HashMap<OwnedPath, OpenMember, PathSeed>,
    /// The number of them in a directory, or of partitions of a table, by the hash of its path or
    /// of the stem of their glob.
    open_inside: HashMap<u64, u32, BuildHasherDefault<HashedAlready>>,
    seen: SeenPaths,
    awaited: Option<Awaited>,
    malformed: Option<Malformed>,
    faults: Vec<Fault>,
    fault_count: u64,
}

#[derive(Debug)]
struct OpenMember {
    member: MemberNo,
    incarnation: Incarnation,
    arrived: u64,
    next_offset: u64,
    /// A seek was the last that came.
    sought: bool,
}

/// The payload that the caller is moving.
#[derive(Debug)]
struct Awaited {
    frame_at: StreamOffset,
    path: OwnedPath,
    extent: Extent,
}

impl Parser {
    /// Begins a stream. `seed` must be random, and secret while the stream is read.
    pub fn new(seed: PathSeed) -> Self {
        Self {
            at: StreamOffset::default(),
            frames: 0,
            members: 0,
            open: HashMap::with_hasher(seed),
            open_inside: HashMap::default(),
            seen: SeenPaths::new(seed),
            awaited: None,
            malformed: None,
            faults: Vec::new(),
            fault_count: 0,
        }
    }

    /// Parses the frame header at the start of `input`, which begins at a frame boundary.
    ///
    /// After an item with a payload the next call is [`Parser::payload_done`] or
    /// [`Parser::payload_moved`].
    pub fn step<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        assert!(self.awaited.is_none(), "a payload was announced and not reported as done");
        if let Some(malformed) = self.malformed {
            return Step::Malformed(malformed);
        }
        let (frame, header_len) = match Frame::decode(input) {
            Ok(decoded) => decoded,
            Err(NoFrame::Short(at_least)) => return Step::NeedMore { at_least },
            Err(NoFrame::Bad(bad)) => return self.give_up(Malformed::Frame(bad)),
        };
        if let Err(malformed) = self.admit(&frame) {
            return self.give_up(malformed);
        }
        let item = self.accept(&frame);
        self.frames += 1;
        self.advance(u64_of(header_len));
        Step::Item { header_len, item }
    }

    /// Reports that the payload was moved, and the CRC-32 of [`Payload::crc_prefix`] and its bytes.
    pub fn payload_done(&mut self, crc: u32) {
        let (stated, path) = self.take_awaited();
        if let Some(fault) = stated.fault(Some(path), crc) {
            self.record(fault);
        }
    }

    /// Reports that the payload was moved; its CRC, which covers [`Payload::crc_prefix`] and its
    /// bytes, is the caller's to compare with what is returned.
    pub fn payload_moved(&mut self) -> StatedCrc {
        self.take_awaited().0
    }

    fn take_awaited(&mut self) -> (StatedCrc, OwnedPath) {
        let awaited = self.awaited.take().expect("it follows an item with a payload");
        self.advance(awaited.extent.len);
        (StatedCrc { at: awaited.frame_at, crc: awaited.extent.crc }, awaited.path)
    }

    /// Ends the stream: what is missing now will not come.
    pub fn finish(mut self, end: StreamEnd) -> Parsed {
        self.record_end(end);
        let mut open: Vec<_> = self.open.drain().collect();
        open.sort_unstable_by_key(|(_, open)| open.member);
        for (path, _) in open {
            self.record(Fault { at: self.at, path: Some(path), kind: FaultKind::NotEnded });
        }
        Parsed {
            faults: self.faults,
            fault_count: self.fault_count,
            frames: self.frames,
            members: self.members,
            bytes: self.at.get(),
        }
    }

    fn record_end(&mut self, end: StreamEnd) {
        assert_eq!(
            self.awaited.is_some(),
            matches!(end, StreamEnd::InsidePayload { .. }),
            "a stream ends inside a payload if and only if one is awaited"
        );
        match end {
            StreamEnd::Boundary if self.frames == 0 && self.malformed.is_none() => {
                self.record(Fault { at: self.at, path: None, kind: FaultKind::EmptyStream });
            }
            StreamEnd::Boundary | StreamEnd::AfterMalformed => {}
            StreamEnd::InsideHeader { bytes } => {
                let kind = FaultKind::CutInHeader(bytes);
                self.record(Fault { at: self.at, path: None, kind });
                self.advance(bytes);
            }
            StreamEnd::InsidePayload { arrived } => {
                let awaited = self.awaited.take().expect("asserted above");
                let kind = FaultKind::CutInPayload { arrived, len: awaited.extent.len };
                self.record(Fault { at: awaited.frame_at, path: Some(awaited.path), kind });
                self.advance(arrived);
            }
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.at = StreamOffset::new(self.at.get().saturating_add(bytes));
    }

    /// Counts bytes that stand before the first frame.
    pub fn skip(&mut self, bytes: u64) {
        self.advance(bytes);
    }

    fn give_up(&mut self, malformed: Malformed) -> Step<'static> {
        self.malformed = Some(malformed);
        self.record(Fault { at: self.at, path: None, kind: FaultKind::Malformed(malformed) });
        Step::Malformed(malformed)
    }

    /// Refuses a frame that would open a member beyond the limits.
    fn admit(&self, frame: &Frame<'_>) -> Result<(), Malformed> {
        let opens = !matches!(frame.body, Body::Rename(_) | Body::Remove)
            && !self.open.contains_key(frame.path.as_bytes());
        if opens && self.open.len() >= OPEN_MEMBERS_MAX {
            return Err(Malformed::TooManyOpen);
        }
        if opens && self.seen.is_exhausted(frame.path) {
            return Err(Malformed::TooManyIncarnations);
        }
        Ok(())
    }

    fn accept<'a>(&mut self, frame: &Frame<'a>) -> Item<'a> {
        let Frame { flags, path, body } = *frame;
        if flags.unknown_bits() != 0 {
            self.fault(path, FaultKind::UnknownFlags(flags.unknown_bits()));
        }
        if !path.is_canonical() {
            self.fault(path, FaultKind::OddPath);
        }
        match body {
            Body::Payload(extent) => self.accept_payload(frame, extent, None),
            Body::Sparse(extent, map) => self.accept_payload(frame, extent, Some(map)),
            Body::End => Item::End { target: self.close(path), flags },
            Body::Seek(offset) => self.accept_seek(frame, offset),
            Body::Rename(to) => {
                self.accept_change(path);
                self.accept_change(to);
                self.seen.vacate(path);
                Item::Rename { flags, from: path, to }
            }
            Body::Remove => {
                self.accept_removal(path);
                self.seen.vacate(path);
                Item::Remove { flags, path }
            }
        }
    }

    fn accept_payload<'a>(
        &mut self,
        frame: &Frame<'a>,
        extent: Extent,
        sparse: Option<SparseMap<'a>>,
    ) -> Item<'a> {
        let Frame { flags, path, .. } = *frame;
        let target = self.open_or_find(path, flags);
        let open = self.open.get_mut(path.as_bytes()).expect("it was opened above");
        let expected = open.next_offset;
        let payload = Payload { target, flags, extent, at: open.arrived, sparse };
        open.next_offset = payload.next_offset();
        open.arrived = payload.end();
        open.sought = false;
        if extent.offset != expected {
            self.fault(path, FaultKind::OffsetGap { expected, found: extent.offset });
        }
        self.awaited = Some(Awaited { frame_at: self.at, path: path.into(), extent });
        Item::Payload(payload)
    }

    fn accept_seek<'a>(&mut self, frame: &Frame<'a>, offset: u64) -> Item<'a> {
        let Frame { flags, path, .. } = *frame;
        let target = self.open_or_find(path, flags);
        if target.opens {
            self.fault(path, FaultKind::SeekBeforeData);
        }
        let open = self.open.get_mut(path.as_bytes()).expect("it was opened above");
        open.next_offset = offset;
        if std::mem::replace(&mut open.sought, true) {
            self.fault(path, FaultKind::SeekWithoutData);
        }
        Item::Seek { target, flags, offset }
    }

    /// Checks a path that is renamed or replaced.
    fn accept_change(&mut self, path: StreamPath<'_>) {
        if self.open.contains_key(path.as_bytes()) {
            self.fault(path, FaultKind::ChangedWhileOpen);
        }
    }

    /// Checks what is removed: a file, what is in a directory, or all partitions of a table.
    fn accept_removal(&mut self, path: StreamPath<'_>) {
        let inside = self.seen.seed.hash(trim(path.as_bytes()));
        if self.open.contains_key(path.as_bytes()) || self.open_inside.contains_key(&inside) {
            self.fault(path, FaultKind::ChangedWhileOpen);
        }
    }

    fn open_or_find<'a>(&mut self, path: StreamPath<'a>, flags: FrameFlags) -> Target<'a> {
        if let Some(open) = self.open.get(path.as_bytes()) {
            let OpenMember { member, incarnation, .. } = *open;
            return Target { member, path, incarnation, opens: false };
        }
        let incarnation = self.seen.next_incarnation(path);
        let was_closed = incarnation.get() > 0;
        if was_closed && !flags.has(FrameFlags::REWRITE) && !self.seen.is_vacant(path) {
            self.fault(path, FaultKind::Reopened);
        }
        self.seen.occupy(path);
        let member = self.next_member();
        let open = OpenMember { member, incarnation, arrived: 0, next_offset: 0, sought: false };
        self.open.insert(path.into(), open);
        for outside in self.seen.goes_with(path) {
            *self.open_inside.entry(outside).or_default() += 1;
        }
        Target { member, path, incarnation, opens: true }
    }

    /// Closes the member of `path`. One that is not open is an empty file, or emptied.
    fn close<'a>(&mut self, path: StreamPath<'a>) -> Target<'a> {
        if let Some(open) = self.open.remove(path.as_bytes()) {
            let OpenMember { member, incarnation, sought, .. } = open;
            for outside in self.seen.goes_with(path) {
                let left = self.open_inside.remove(&outside).unwrap_or_default().saturating_sub(1);
                if left > 0 {
                    self.open_inside.insert(outside, left);
                }
            }
            if sought {
                self.fault(path, FaultKind::SeekWithoutData);
            }
            return Target { member, path, incarnation, opens: false };
        }
        let incarnation = self.seen.next_incarnation(path);
        self.seen.occupy(path);
        Target { member: self.next_member(), path, incarnation, opens: true }
    }

    fn next_member(&mut self) -> MemberNo {
        let member = MemberNo::new(self.members);
        self.members += 1;
        member
    }

    fn fault(&mut self, path: StreamPath<'_>, kind: FaultKind) {
        self.record(Fault { at: self.at, path: Some(path.into()), kind });
    }

    fn record(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_KEPT_MAX {
            self.faults.push(fault);
        }
    }
}

/// Every path that was ever opened, as hashes, and how often.
#[derive(Debug)]
struct SeenPaths {
    seed: PathSeed,
    openings: Openings,
    /// Files, directories and globs that were renamed away or removed: what begins again there is
    /// new, and needs no rewrite flag.
    vacant: HashSet<u64, BuildHasherDefault<HashedAlready>>,
}

impl SeenPaths {
    fn new(seed: PathSeed) -> Self {
        Self { seed, openings: Openings::new(seed), vacant: HashSet::default() }
    }

    /// Counts an opening of `path`.
    fn next_incarnation(&mut self, path: StreamPath<'_>) -> Incarnation {
        self.openings.next(path.as_bytes()).expect("exhausted paths are not admitted")
    }

    fn is_exhausted(&self, path: StreamPath<'_>) -> bool {
        self.openings.is_exhausted(path.as_bytes())
    }

    /// Returns the hashes of what a file goes away with: its directory, and the stem of its
    /// partitions' glob.
    fn goes_with<'a>(&self, path: StreamPath<'a>) -> impl Iterator<Item = u64> + use<'a> {
        let (seed, bytes) = (self.seed, path.as_bytes());
        let directory = bytes.iter().rposition(|byte| *byte == b'/').map(|at| &bytes[..at]);
        let stem = Some(partition_stem(bytes)).filter(|stem| stem.len() < bytes.len());
        directory.into_iter().chain(stem).map(move |outside| seed.hash(outside))
    }

    fn vacate(&mut self, path: StreamPath<'_>) {
        self.vacant.insert(self.seed.hash(trim(path.as_bytes())));
    }

    fn occupy(&mut self, path: StreamPath<'_>) {
        if !self.vacant.is_empty() {
            self.vacant.remove(&self.seed.hash(path.as_bytes()));
        }
    }

    /// Tells whether the path itself, a directory above it, or its partitions were removed.
    ///
    /// Coarser than the truth, as it ignores the order within a removed directory; what is at stake
    /// is only whether a missing rewrite flag is worth a fault.
    fn is_vacant(&self, path: StreamPath<'_>) -> bool {
        if self.vacant.is_empty() {
            return false;
        }
        let bytes = path.as_bytes();
        let directories = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut candidates = directories.map(|(at, _)| &bytes[..at]).chain([bytes]);
        candidates.any(|part| self.vacant.contains(&self.seed.hash(trim(part))))
            || self.vacant.contains(&self.seed.hash(partition_stem(bytes)))
    }
}

/// Cuts what makes a removed directory or partition glob: trailing slashes, and from `#P#` on.
fn trim(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    if path.contains(&b'*') { partition_stem(path) } else { path }
}

fn partition_stem(path: &[u8]) -> &[u8] {
    let at = path.windows(3).rposition(|window| window == b"#P#");
    at.and_then(|at| path.get(..at + 3)).unwrap_or(path)
}

#[cfg(test)]
mod tests;
