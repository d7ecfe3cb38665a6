//! Streams for tests: a builder, random ones, and the loop around the parser that a caller writes.

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy;
use proptest::prelude::any;
use proptest::prelude::prop_oneof;

use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::parse::fault::Fault;
use crate::parse::frame::Body;
use crate::parse::frame::Extent;
use crate::parse::frame::Frame;
use crate::parse::frame::FrameFlags;
use crate::parse::frame::SparseMap;
use crate::parse::item::Incarnation;
use crate::parse::item::Item;
use crate::parse::mbstream::Parsed;
use crate::parse::mbstream::Parser;
use crate::parse::mbstream::Step;
use crate::parse::mbstream::StreamEnd;
use crate::parse::path::OwnedPath;
use crate::parse::path::PathSeed;
use crate::parse::path::StreamPath;
use crate::parse::replay::Emit;
use crate::parse::replay::Replay;
use crate::parse::script::ScriptEnd;
use crate::parse::script::ScriptError;
use crate::parse::script::ScriptWriter;

/// Builds a stream frame by frame, right or wrong.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    /// The offset at which each frame begins.
    pub(crate) frames: Vec<usize>,
}

impl Stream {
    pub(crate) fn frame(mut self, flags: u8, path: &str, body: Body<'_>, payload: &[u8]) -> Self {
        self.frames.push(self.bytes.len());
        let path = StreamPath::new(path.as_bytes()).expect("a test's path");
        Frame { flags: FrameFlags::from_byte(flags), path, body }.encode(&mut self.bytes);
        self.bytes.extend_from_slice(payload);
        self
    }

    pub(crate) fn payload(self, path: &str, offset: u64, payload: &[u8]) -> Self {
        self.flagged(0, path, offset, payload)
    }

    pub(crate) fn flagged(self, flags: u8, path: &str, offset: u64, payload: &[u8]) -> Self {
        let crc = crc32fast::hash(payload);
        let extent = Extent { len: u64_of(payload.len()), offset, crc };
        self.frame(flags, path, Body::Payload(extent), payload)
    }

    pub(crate) fn end(self, path: &str) -> Self {
        self.frame(0, path, Body::End, b"")
    }

    /// Appends a whole file in one frame, and its end.
    pub(crate) fn file(self, path: &str, payload: &[u8]) -> Self {
        self.payload(path, 0, payload).end(path)
    }

    pub(crate) fn seek(self, path: &str, offset: u64) -> Self {
        self.frame(0, path, Body::Seek(offset), b"")
    }

    pub(crate) fn rename(self, from: &str, to: &str) -> Self {
        let to = StreamPath::new(to.as_bytes()).expect("a test's path");
        self.frame(0, from, Body::Rename(to), b"")
    }

    pub(crate) fn remove(self, path: &str) -> Self {
        self.frame(0, path, Body::Remove, b"")
    }

    pub(crate) fn sparse(self, path: &str, offset: u64, map: &[(u32, u32)], data: &[u8]) -> Self {
        let raw: Vec<u8> = map
            .iter()
            .flat_map(|(skip, len)| [skip.to_le_bytes(), len.to_le_bytes()].concat())
            .collect();
        let crc = crc32fast::hash(&[&raw, data].concat());
        let extent = Extent { len: u64_of(data.len()), offset, crc };
        let map = SparseMap::new(&raw).expect("a test's map is short");
        self.frame(0, path, Body::Sparse(extent, map), data)
    }
}

/// Script, members and facts of a stream that was parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ingested {
    pub(crate) script: Vec<u8>,
    pub(crate) members: Vec<Member>,
    pub(crate) parsed: Parsed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) path: OwnedPath,
    pub(crate) incarnation: Incarnation,
    pub(crate) bytes: Vec<u8>,
}

impl Ingested {
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.parsed.faults
    }
}

/// Parses `stream`, of which each read gives as many bytes as the next of `reads` says, over and
/// over; an empty `reads` gives everything in one read.
pub(crate) fn ingest(stream: &[u8], reads: &[usize]) -> Ingested {
    let mut parser = Parser::new(PathSeed::new([7; 16]));
    let mut writer = ScriptWriter::new();
    let mut members: Vec<Member> = Vec::new();
    let mut script = Vec::new();
    let mut sizes = reads.iter().copied().cycle();
    let (mut at, mut seen) = (0, 0);
    let (end, script_end) = loop {
        seen = (seen + sizes.next().unwrap_or(usize::MAX / 2)).clamp(at, stream.len());
        match parser.step(&stream[at..seen]) {
            Step::NeedMore { at_least } if at + at_least > stream.len() && seen == stream.len() => {
                writer.push_literal(&stream[at..]);
                let bytes = u64_of(stream.len() - at);
                let inside = StreamEnd::InsideHeader { bytes };
                break (if bytes == 0 { StreamEnd::Boundary } else { inside }, ScriptEnd::Whole);
            }
            Step::NeedMore { at_least } => assert!(at_least > seen - at, "more is needed"),
            Step::Malformed(_) => {
                writer.push_literal(&stream[at..]);
                break (StreamEnd::AfterMalformed, ScriptEnd::Whole);
            }
            Step::Item { header_len, item } => {
                writer.push(&item);
                at += header_len;
                record_member(&mut members, &item);
                let Item::Payload(payload) = item else { continue };
                let len = usize_of(payload.extent.len).min(stream.len() - at);
                let bytes = &stream[at..at + len];
                at += len;
                members[usize_of(payload.target.member.get())].bytes.extend_from_slice(bytes);
                if u64_of(len) < payload.extent.len {
                    let arrived = u64_of(len);
                    break (
                        StreamEnd::InsidePayload { arrived },
                        ScriptEnd::InsidePayload { arrived },
                    );
                }
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(payload.crc_prefix());
                hasher.update(bytes);
                parser.payload_done(hasher.finalize());
            }
        }
        script.extend(writer.take());
    };
    script.extend(writer.finish(script_end));
    Ingested { script, members, parsed: parser.finish(end) }
}

fn record_member(members: &mut Vec<Member>, item: &Item<'_>) {
    let Some(target) = item.target() else { return };
    if target.opens {
        assert_eq!(target.member.get(), u64_of(members.len()), "members are numbered in order");
        members.push(Member {
            path: target.path.into(),
            incarnation: target.incarnation,
            bytes: Vec::new(),
        });
    }
    let member = &members[usize_of(target.member.get())];
    assert_eq!(member.path.as_path(), target.path);
    assert_eq!(member.incarnation, target.incarnation);
    if let Item::Payload(payload) = item {
        assert_eq!(payload.at, u64_of(member.bytes.len()));
    }
}

/// Writes the stream again, with the script in pieces of `piece` bytes.
pub(crate) fn replay(ingested: &Ingested, piece: usize) -> Result<Vec<u8>, ScriptError> {
    let mut replay = Replay::new();
    let mut out = Vec::new();
    for part in ingested.script.chunks(piece) {
        replay.feed(part);
        while let Some(emit) = replay.next_emit()? {
            match emit {
                Emit::Bytes(bytes) => out.extend_from_slice(bytes),
                Emit::Member { target, range } => {
                    let member = &ingested.members[usize_of(target.member.get())];
                    assert_eq!(member.path.as_path(), target.path);
                    out.extend_from_slice(
                        &member.bytes[usize_of(range.start)..usize_of(range.end)],
                    );
                }
            }
        }
    }
    replay.finish()?;
    Ok(out)
}

/// Returns how property tests run: as often as `PROPTEST_CASES` says, and without files of
/// failures.
pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(400),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// One thing that a random producer does.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Writes this many bytes to a file; opens it if it is not open.
    Write(usize, usize),
    Close(usize),
    Seek(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    Sparse(usize, Vec<(u8, u8)>),
}

/// Paths that random producers use: with shared starts, a directory, and partitions.
pub(crate) const PATHS: [&str; 8] = [
    "ibdata1",
    "app/t1.ibd",
    "app/t1.frm",
    "app/t10.MAD",
    "app",
    "app/p#P#p0.MYD",
    "app/p#P#*",
    "db2/x.new",
];

pub(crate) fn actions() -> impl Strategy<Value = Vec<Action>> {
    let path = 0..PATHS.len();
    let action = prop_oneof![
        6 => (path.clone(), prop_oneof![0..40_usize, Just(64), Just(300)])
            .prop_map(|(path, len)| Action::Write(path, len)),
        3 => path.clone().prop_map(Action::Close),
        1 => (path.clone(), 0..200_u64).prop_map(|(path, offset)| Action::Seek(path, offset)),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Action::Rename(from, to)),
        1 => path.clone().prop_map(Action::Remove),
        1 => (path, vec(any::<(u8, u8)>(), 0..4))
            .prop_map(|(path, map)| Action::Sparse(path, map)),
    ];
    vec(action, 0..60)
}

/// Tells whether removing the path would remove an open file in a directory, or open partitions.
fn takes_open_along(path: usize, open: &[Option<u64>; PATHS.len()]) -> bool {
    let path = PATHS[path];
    let is_inside = |other: &str| match path.strip_suffix('*') {
        Some(stem) => other.starts_with(stem),
        None => other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')),
    };
    PATHS.iter().zip(open).any(|(other, offset)| offset.is_some() && is_inside(other))
}

/// Performs actions as a producer does, so that the stream has no fault.
pub(crate) fn perform(actions: &[Action]) -> Stream {
    let mut stream = Stream::default();
    // Per path: the offset of the next byte while it is open, and whether it was open before.
    let mut open: [Option<u64>; PATHS.len()] = [None; PATHS.len()];
    let mut flags = [0_u8; PATHS.len()];
    for (round, action) in actions.iter().enumerate() {
        stream = match *action {
            Action::Write(path, len) => {
                let offset = open[path].unwrap_or(0);
                open[path] = Some(offset + u64_of(len));
                let byte = u8::try_from(round % 251).expect("below 251");
                stream.flagged(flags[path], PATHS[path], offset, &vec![byte; len])
            }
            Action::Sparse(path, ref map) => {
                let offset = open[path].unwrap_or(0);
                let map: Vec<_> = map.iter().map(|(a, b)| (u32::from(*a), u32::from(*b))).collect();
                let len: u32 = map.iter().map(|(_, len)| len).sum();
                let advance: u32 = map.iter().map(|(skip, len)| skip + len).sum();
                open[path] = Some(offset + u64::from(advance));
                if flags[path] != 0 {
                    stream = stream.flagged(flags[path], PATHS[path], offset, b"");
                }
                stream.sparse(PATHS[path], offset, &map, &vec![9; usize_of(len.into())])
            }
            Action::Seek(path, offset) if open[path].is_some() => {
                open[path] = Some(offset + 1);
                let stream = stream.seek(PATHS[path], offset);
                stream.flagged(flags[path], PATHS[path], offset, b"s")
            }
            Action::Close(path) => {
                open[path] = None;
                flags[path] = FrameFlags::REWRITE.byte();
                stream.end(PATHS[path])
            }
            Action::Rename(from, to) if open[from].is_none() && open[to].is_none() => {
                stream.rename(PATHS[from], PATHS[to])
            }
            Action::Remove(path) if open[path].is_none() && !takes_open_along(path, &open) => {
                stream.remove(PATHS[path])
            }
            Action::Seek(..) | Action::Rename(..) | Action::Remove(_) => stream,
        };
    }
    for path in 0..PATHS.len() {
        if open[path].is_some() {
            stream = stream.end(PATHS[path]);
        }
    }
    stream.file("xtrabackup_info", b"tool_name = mariabackup\n")
}
