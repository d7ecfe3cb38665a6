//! Every damage to a real stream, one after the other: not one is called complete, unless what is
//! restored of it is the same to the byte.
//!
//! The judge is asked in the worst case: the producer ended well and said so, no page is bad, and
//! all there is to see is in the stream. A damage that it lets pass must be harmless, and that is
//! not a list of exceptions but a proof: the damaged stream is replayed into a tree of files, and
//! each file must consist of the same bytes of the same stream. Two things are beyond what a stream
//! tells, and harm nobody:
//!
//! - Files of a table of Aria, MyISAM or CSV that has no `.frm`: it was dropped while the backup
//!   ran. Whether they are left over depends on where its removal stands, and no server reads them.
//! - One empty file more: all that a stream says of such a file is its end, which has no checksum.
//!   Where mariabackup ends one twice, a bit of either path makes another that no table knows, and
//!   the right one is there all the same.
//!
//! A small stream of a real server is kept with the tests. `tests/mariadb/good-streams --keep DIR`
//! makes larger ones, and `HAULOUT_STREAMS` names their directory.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that tells its counts")]
#![allow(clippy::single_range_in_vec_init, reason = "a stream in one part is a list of one range")]

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use haulout::format::snapshot::Verdict;
use haulout::parse::beginning::Before;
use haulout::parse::item::Item;
use haulout::parse::item::MemberNo;
use haulout::parse::mbstream::Parser;
use haulout::parse::mbstream::Step;
use haulout::parse::mbstream::StreamEnd;
use haulout::parse::path::OwnedPath;
use haulout::parse::path::PathSeed;
use haulout::parse::tree::Tree;
use haulout::source::ProducerExit;
use haulout::verdict;
use haulout::verdict::Conclusion;
use haulout::verdict::DeltaFiles;
use haulout::verdict::Evidence;
use haulout::verdict::Facts;
use haulout::verdict::MbstreamFacts;
use haulout::verdict::Observer;
use haulout::verdict::PageFindings;
use haulout::verdict::Producer;
use haulout::verdict::StreamFaults;

use crate::support::Random;

/// More than any header has.
const HEADER_BYTES: usize = 2048;

/// A stream, and where its frames are.
struct Stream {
    name: String,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    /// Of payload that begins there and has that length.
    crcs: HashMap<(usize, usize), u32>,
    files: Files,
}

/// A frame of a stream.
#[derive(Debug, Clone)]
struct Frame {
    /// Where it begins and ends.
    at: Range<usize>,
    header_end: usize,
    kind: u8,
    path: OwnedPath,
}

/// Files by name: whether they are whole, and which bytes of the stream they consist of.
type Files = BTreeMap<OwnedPath, (bool, u64, Vec<Run>)>;

/// Bytes of a file that lie together in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    file_at: u64,
    stream_at: u64,
    len: u64,
}

/// One damage.
#[derive(Debug, Clone)]
enum Damage {
    /// These parts of the stream, in this order.
    Parts(Vec<Range<usize>>),
    /// A bit of this byte is another.
    Flip(usize, u8),
}

/// What came of all damages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    cases: usize,
    /// Let pass, with the same files.
    harmless: usize,
}

/// Sees every item of a stream that is read in parts; the bytes of a payload stand at `usize`.
trait Watcher {
    fn item(&mut self, item: &Item<'_>) -> u64;
    fn payload(&mut self, member: MemberNo, at: u64, stream_at: usize, bytes: &[u8]);
}

/// Reads the parts of a stream one after the other; returns what the parser found.
fn read(
    bytes: &[u8],
    parts: &[Range<usize>],
    crc_of: impl Fn(usize, &[u8]) -> u32,
    watcher: &mut impl Watcher,
) -> StreamFaults {
    let mut parser = Parser::new(PathSeed::new([5; 16]));
    let mut at = parts.first().map_or(0, |part| part.start);
    let mut part = 0;
    let end = loop {
        while part < parts.len() && at == parts[part].end {
            part += 1;
            at = parts.get(part).map_or(0, |next| next.start);
        }
        let Some(current) = parts.get(part) else { break StreamEnd::Boundary };
        let rest = &bytes[at..current.end];
        let joined;
        let shown = if rest.len() < HEADER_BYTES && part + 1 < parts.len() {
            let next = &bytes[parts[part + 1].clone()];
            joined = [rest, &next[..next.len().min(HEADER_BYTES)]].concat();
            &joined[..]
        } else {
            rest
        };
        let (header_len, item) = match parser.step(shown) {
            Step::Item { header_len, item } => (header_len, item),
            Step::Malformed(_) => break StreamEnd::AfterMalformed,
            Step::NeedMore { .. } => {
                let bytes = u64::try_from(shown.len()).unwrap();
                break StreamEnd::InsideHeader { bytes };
            }
        };
        at += header_len;
        assert!(at <= current.end, "parts consist of whole frames");
        let until = watcher.item(&item);
        let Item::Payload(payload) = item else { continue };
        let rest = &bytes[at..current.end];
        let length = usize::try_from(payload.extent.len).unwrap_or(usize::MAX);
        let arrived = rest.get(..length).unwrap_or(rest);
        let crc = (length == arrived.len()).then(|| {
            let prefix = payload.crc_prefix();
            if prefix.is_empty() {
                crc_of(at, arrived)
            } else {
                crc32fast::hash(&[prefix, arrived].concat())
            }
        });
        if payload.at < until {
            watcher.payload(payload.target.member, payload.at, at, arrived);
        }
        at += arrived.len();
        let Some(crc) = crc else {
            let arrived = u64::try_from(arrived.len()).unwrap();
            break StreamEnd::InsidePayload { arrived };
        };
        parser.payload_done(crc);
    };
    let parsed = parser.finish(end);
    StreamFaults { kept: parsed.faults, count: parsed.fault_count }
}

impl Watcher for Observer {
    fn item(&mut self, item: &Item<'_>) -> u64 {
        Self::item(self, item).until
    }

    fn payload(&mut self, member: MemberNo, at: u64, _: usize, bytes: &[u8]) {
        self.bytes(member, at, bytes);
    }
}

/// Notes which bytes of the stream each member has.
#[derive(Default)]
struct Replayed {
    tree: Tree,
    members: HashMap<MemberNo, Vec<Run>>,
}

impl Watcher for Replayed {
    fn item(&mut self, item: &Item<'_>) -> u64 {
        self.tree.apply_item(item).unwrap();
        u64::MAX
    }

    fn payload(&mut self, member: MemberNo, at: u64, stream_at: usize, bytes: &[u8]) {
        let stream_at = u64::try_from(stream_at).unwrap();
        let len = u64::try_from(bytes.len()).unwrap();
        self.members.entry(member).or_default().push(Run { file_at: at, stream_at, len });
    }
}

impl Replayed {
    fn files(self) -> Files {
        let Self { tree, members } = self;
        let mut files = Files::new();
        for file in tree.into_files() {
            let mut runs: Vec<Run> = Vec::new();
            for extent in file.extents {
                for run in members.get(&file.member).into_iter().flatten() {
                    let from = run.file_at.max(extent.member_at);
                    let to = (run.file_at + run.len).min(extent.member_at + extent.len);
                    if from < to {
                        runs.push(Run {
                            file_at: extent.file_at + (from - extent.member_at),
                            stream_at: run.stream_at + (from - run.file_at),
                            len: to - from,
                        });
                    }
                }
            }
            files.insert(file.path, (file.ended, file.length, runs));
        }
        files
    }
}

impl Stream {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        let mut frames = Vec::new();
        let mut crcs = HashMap::new();
        let mut parser = Parser::new(PathSeed::new([5; 16]));
        let mut at = 0;
        while let Step::Item { header_len, item } = parser.step(&bytes[at..]) {
            let header_end = at + header_len;
            let path = match item {
                Item::Payload(payload) => payload.target.path,
                Item::End { target, .. } | Item::Seek { target, .. } => target.path,
                Item::Rename { from, .. } => from,
                Item::Remove { path, .. } => path,
            };
            let path = OwnedPath::from(path);
            let mut end = header_end;
            if let Item::Payload(payload) = item {
                end += usize::try_from(payload.extent.len).unwrap();
                let crc = crc32fast::hash(&bytes[header_end..end]);
                crcs.insert((header_end, end - header_end), crc);
                parser.payload_done(crc);
            }
            frames.push(Frame { at: at..end, header_end, kind: bytes[at + 9], path });
            at = end;
        }
        assert_eq!(at, bytes.len(), "{name} is a whole stream");
        let files = Files::new();
        let mut stream = Self { name: name.to_owned(), bytes, frames, crcs, files };
        stream.files = stream.files_of(&stream.bytes, &Damage::Parts(vec![0..stream.bytes.len()]));
        stream
    }

    fn parts(&self, damage: &Damage) -> Vec<Range<usize>> {
        match damage {
            Damage::Parts(parts) => parts.clone(),
            Damage::Flip(..) => vec![0..self.bytes.len()],
        }
    }

    /// Judges a damaged stream; `bytes` are the stream's, with the damage if it is in them.
    fn judge(&self, bytes: &[u8], damage: &Damage) -> Conclusion {
        let mut observer = Observer::new(PathSeed::new([5; 16]));
        let flipped = match damage {
            Damage::Flip(at, _) => Some(*at),
            Damage::Parts(_) => None,
        };
        let crc_of = |at: usize, payload: &[u8]| {
            let known = self.crcs.get(&(at, payload.len()));
            let is_damaged = |byte: usize| (at..at + payload.len()).contains(&byte);
            let known = known.filter(|_| !flipped.is_some_and(is_damaged));
            known.copied().unwrap_or_else(|| crc32fast::hash(payload))
        };
        let faults = read(bytes, &self.parts(damage), crc_of, &mut observer);
        let newest = Some((1, "a page".to_owned()));
        let deltas = DeltaFiles::default();
        verdict::judge(Evidence {
            facts: Facts::Mbstream(Box::new(MbstreamFacts { observer, faults, deltas })),
            asked: None,
            before: Before::Nothing,
            failure: None,
            producer: Producer {
                exit: ProducerExit::Exited(0),
                completed_ok_seen: Some(true),
                errors: Vec::new(),
                changed: Vec::new(),
                ended_for: None,
            },
            pages: PageFindings { pages: 1, newest, ..PageFindings::default() },
            accepted: Vec::new(),
        })
    }

    fn files_of(&self, bytes: &[u8], damage: &Damage) -> Files {
        let mut replayed = Replayed::default();
        // A wrong checksum does not change the files.
        read(bytes, &self.parts(damage), |_, _| 0, &mut replayed);
        replayed.files()
    }

    /// Whether a file is one of a table that has no definition.
    fn is_left_over(&self, path: &OwnedPath) -> bool {
        let path = String::from_utf8_lossy(path.as_bytes());
        let Some((stem, extension)) = path.rsplit_once('.') else { return false };
        let table = stem.split_once("#P#").map_or(stem, |(table, _)| table);
        let is_of_table = ["MAD", "MAI", "MYD", "MYI", "CSV", "CSM"].contains(&extension);
        is_of_table && !self.files.contains_key(format!("{table}.frm").as_bytes())
    }

    /// Whether all files of tables are there as they should be, with at most an empty one beside.
    fn is_unharmed(&self, files: &Files) -> bool {
        let mut own = self.files.iter().filter(|(path, _)| !self.is_left_over(path));
        let same = own.all(|(path, file)| files.get(path) == Some(file));
        let is_other =
            |path: &OwnedPath| !self.files.contains_key(path) && !self.is_left_over(path);
        let mut others = files.iter().filter(|(path, _)| is_other(path));
        let beside = others.next().is_none_or(|(_, (_, length, _))| *length == 0);
        same && beside && others.next().is_none()
    }

    /// Judges every damage; each that passes must be harmless.
    fn count(&self, what: &str, damages: &[Damage], passed: &mut Vec<String>) -> Count {
        let next = AtomicUsize::new(0);
        let harmless = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut bytes = None;
            let mut problems = Vec::new();
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                let Some(damage) = damages.get(case) else { return problems };
                let shown = match damage {
                    Damage::Flip(at, bit) => {
                        let own: &mut Vec<u8> = bytes.get_or_insert_with(|| self.bytes.clone());
                        own[*at] ^= 1 << bit;
                        own
                    }
                    Damage::Parts(_) => &self.bytes,
                };
                let conclusion = self.judge(shown, damage);
                let passed =
                    matches!(conclusion.verdict(), Verdict::Complete | Verdict::Unattested);
                if passed && self.is_unharmed(&self.files_of(shown, damage)) {
                    harmless.fetch_add(1, Ordering::Relaxed);
                } else if passed {
                    problems.push(self.describe(damage));
                } else {
                    let heaviest = conclusion.reasons[0].to_string();
                    assert!(heaviest.contains(": "), "a reason says what to do: {heaviest}");
                }
                if let (Damage::Flip(at, bit), Some(own)) = (damage, &mut bytes) {
                    own[*at] ^= 1 << bit;
                }
            }
        };
        let problems: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        passed.extend(problems.into_iter().map(|problem| format!("{what}: {problem}")));
        Count { cases: damages.len(), harmless: harmless.into_inner() }
    }

    fn describe(&self, damage: &Damage) -> String {
        let frame_at = |at: usize| {
            let number = self.frames.partition_point(|frame| frame.at.end <= at);
            self.frames.get(number).map_or("the end".to_owned(), |frame| {
                let (kind, path) = (char::from(frame.kind), &frame.path);
                format!("frame {number} ({kind} {path}, byte {})", at - frame.at.start)
            })
        };
        match damage {
            Damage::Flip(at, bit) => format!("bit {bit} of {}", frame_at(*at)),
            Damage::Parts(parts) => {
                let parts = parts.iter().map(|part| {
                    format!("{} to before {}", frame_at(part.start), frame_at(part.end))
                });
                parts.collect::<Vec<_>>().join(", then ")
            }
        }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Cut at every frame boundary.
    fn cuts_at_frames(&self) -> Vec<Damage> {
        self.frames.iter().map(|frame| Damage::Parts(vec![0..frame.at.start])).collect()
    }

    /// Cut anywhere.
    fn cuts_anywhere(&self, random: &mut Random, count: usize) -> Vec<Damage> {
        (0..count).map(|_| Damage::Parts(vec![0..random.below(self.len())])).collect()
    }

    /// Without one frame.
    fn losses<'s>(&'s self, frames: impl Iterator<Item = &'s Frame>) -> Vec<Damage> {
        let without = |frame: &Frame| vec![0..frame.at.start, frame.at.end..self.len()];
        frames.map(|frame| Damage::Parts(without(frame))).collect()
    }

    /// One frame twice: at once, and somewhere later.
    fn repeats(&self, random: &mut Random, frames: &[usize]) -> Vec<Damage> {
        let end = self.len();
        let twice = |number: usize, later: usize| {
            let (frame, later) = (self.frames[number].at.clone(), self.frames[later].at.end);
            Damage::Parts(vec![0..later, frame, later..end])
        };
        let at_once = frames.iter().map(|number| twice(*number, *number));
        let later = frames
            .iter()
            .map(|number| twice(*number, number + random.below(self.frames.len() - number)));
        at_once.chain(later).collect()
    }

    /// One frame elsewhere: behind the next one, and anywhere.
    fn moves(&self, random: &mut Random, frames: &[usize]) -> Vec<Damage> {
        let last = self.frames.len() - 1;
        let moved = |number: usize, to: usize| {
            let (frame, other) = (self.frames[number].at.clone(), self.frames[to].at.clone());
            Damage::Parts(if number < to {
                vec![0..frame.start, frame.end..other.end, frame, other.end..self.len()]
            } else {
                vec![0..other.start, frame.clone(), other.start..frame.start, frame.end..self.len()]
            })
        };
        let behind = frames.iter().filter(|number| **number < last);
        let behind = behind.map(|number| moved(*number, number + 1));
        let anywhere = frames.iter().map(|number| {
            let other = (number + 1 + random.below(last)) % (last + 1);
            moved(*number, other)
        });
        behind.chain(anywhere).collect()
    }

    /// One bit of every byte of these headers.
    fn header_flips(&self, random: &mut Random, frames: &[usize]) -> Vec<Damage> {
        let headers = frames.iter().map(|number| &self.frames[*number]);
        let bytes = headers.flat_map(|frame| frame.at.start..frame.header_end);
        bytes.map(|at| Damage::Flip(at, u8::try_from(random.below(8)).unwrap())).collect()
    }

    /// One bit of the payload of these frames.
    fn payload_flips(&self, random: &mut Random, frames: &[usize]) -> Vec<Damage> {
        let payloads = frames.iter().map(|number| &self.frames[*number]);
        let payloads = payloads.map(|frame| frame.header_end..frame.at.end);
        payloads
            .filter(|payload| !payload.is_empty())
            .map(|payload| {
                let at = payload.start + random.below(payload.len());
                Damage::Flip(at, u8::try_from(random.below(8)).unwrap())
            })
            .collect()
    }

    /// Every kind of damage, to at most so many frames and at so many offsets.
    fn expect_every_damage_is_seen(
        &self,
        frames_max: usize,
        offsets: usize,
    ) -> Vec<(&'static str, Count)> {
        let mut random = Random(7);
        let whole = Damage::Parts(vec![0..self.len()]);
        let conclusion = self.judge(&self.bytes, &whole);
        assert_eq!(
            conclusion.verdict(),
            Verdict::Complete,
            "{}: {:?}",
            self.name,
            conclusion.reasons
        );
        // Renames, removals and seeks are few, and each is different.
        let is_rare = |number: &usize| !matches!(self.frames[*number].kind, b'P' | b'E');
        let (mut chosen, mut others): (Vec<usize>, Vec<usize>) =
            (0..self.frames.len()).partition(is_rare);
        for (frames, most) in [(&mut chosen, frames_max / 2), (&mut others, frames_max)] {
            while frames.len() > most {
                frames.swap_remove(random.below(frames.len()));
            }
        }
        chosen.append(&mut others);
        chosen.truncate(frames_max);
        let all = || chosen.iter().map(|number| &self.frames[*number]);
        let ends = || self.frames.iter().filter(|frame| frame.kind == b'E');
        let no_ends = self.frames.iter().filter(|frame| frame.kind != b'E');
        let kinds = [
            ("cut at a frame", self.cuts_at_frames()),
            ("cut anywhere", self.cuts_anywhere(&mut random, offsets)),
            ("a frame lost", self.losses(all())),
            ("an end record lost", self.losses(ends())),
            ("all end records lost", vec![Damage::Parts(no_ends.map(|f| f.at.clone()).collect())]),
            ("a frame twice", self.repeats(&mut random, &chosen)),
            ("a frame elsewhere", self.moves(&mut random, &chosen)),
            ("a bit of a header", self.header_flips(&mut random, &chosen)),
            ("a bit of a payload", self.payload_flips(&mut random, &chosen)),
        ];
        let mut passed = Vec::new();
        let counts = kinds.map(|(what, damages)| {
            let count = self.count(what, &damages, &mut passed);
            println!("{}: {what}: {} damages, {} harmless", self.name, count.cases, count.harmless);
            (what, count)
        });
        let shown = passed.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
        assert!(passed.is_empty(), "{}: {} called complete:\n{shown}", self.name, passed.len());
        counts.to_vec()
    }
}

#[test]
fn no_damage_to_the_small_stream_is_called_complete() {
    let packed = fs::read("tests/streams/small.mbs.zst").unwrap();
    let bytes = zstd::decode_all(&packed[..]).unwrap();
    let stream = Stream::new("small", bytes);
    let counts = stream.expect_every_damage_is_seen(usize::MAX, 1000);
    let expected = [
        ("cut at a frame", 290, 0),
        ("cut anywhere", 1000, 0),
        ("a frame lost", 290, 0),
        ("an end record lost", 147, 0),
        ("all end records lost", 1, 0),
        // The second end of an empty file.
        ("a frame twice", 580, 10),
        // Frames of different files that change places.
        ("a frame elsewhere", 579, 291),
        // Flags that mean nothing there.
        ("a bit of a header", 12_922, 68),
        ("a bit of a payload", 143, 0),
    ];
    assert_eq!(counts, expected.map(|(what, cases, harmless)| (what, Count { cases, harmless })));
}

#[test]
fn an_empty_file_that_is_ended_twice_is_there_whatever_name_one_of_its_ends_has() {
    let packed = fs::read("tests/streams/small.mbs.zst").unwrap();
    let small = Stream::new("small", zstd::decode_all(&packed[..]).unwrap());
    let empty = small.files.iter().filter(|(_, (_, length, _))| *length == 0);
    let is_empty = |frame: &&Frame| empty.clone().any(|(path, _)| *path == frame.path);
    let end = small.frames.iter().find(is_empty).expect("the small stream has an empty file");
    assert_eq!(end.kind, b'E', "an empty file has nothing but its end");
    let (before, behind) = small.bytes.split_at(end.at.end);
    let bytes = [before, &small.bytes[end.at.clone()], behind].concat();
    let twice = Stream::new("twice", bytes);
    assert!(twice.files.keys().eq(small.files.keys()));

    let path = end.at.end..end.at.end + end.at.len();
    let flips: Vec<_> = path.flat_map(|at| (0..8).map(move |bit| Damage::Flip(at, bit))).collect();
    let mut passed = Vec::new();
    let count = twice.count("a bit of the second end", &flips, &mut passed);
    assert_eq!(passed, Vec::<String>::new());
    assert!(count.harmless > 0, "some of them are not seen: {count:?}");
}

#[test]
#[ignore = "it needs streams that tests/mariadb/good-streams keeps"]
fn no_damage_to_larger_streams_is_called_complete() {
    let directory = std::env::var("HAULOUT_STREAMS").expect("HAULOUT_STREAMS names a directory");
    let mut paths: Vec<_> =
        fs::read_dir(Path::new(&directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = 0;
    for path in &paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let stream = Stream::new(&name, fs::read(path).unwrap());
        let counts = stream.expect_every_damage_is_seen(100, 1000);
        all += counts.iter().map(|(_, count)| count.cases).sum::<usize>();
    }
    println!("{} streams, {all} damages", paths.len());
    assert!(paths.len() >= 3, "three streams at least: {paths:?}");
    assert!(all > 3 * 3000, "{all} damages");
}
