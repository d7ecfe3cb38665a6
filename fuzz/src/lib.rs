//! What the fuzz targets share: inputs taken apart, streams made and walked, checksums mended.
//!
//! A fuzzer alone hardly ever finds a magic number and a checksum together. So most targets read
//! their input as instructions for something nearly right, beside taking it as it is.

use haulout::parse::frame::Body;
use haulout::parse::frame::Extent;
use haulout::parse::frame::Frame;
use haulout::parse::frame::FrameFlags;
use haulout::parse::frame::SparseMap;
use haulout::parse::item::Item;
use haulout::parse::item::MemberNo;
use haulout::parse::mbstream::Parsed;
use haulout::parse::mbstream::Parser;
use haulout::parse::mbstream::Step;
use haulout::parse::mbstream::StreamEnd;
use haulout::parse::path::PathSeed;
use haulout::parse::path::StreamPath;
use haulout::parse::script::ScriptEnd;
use haulout::parse::script::ScriptWriter;

/// Takes an input apart; when it is used up, everything is zero and empty.
#[derive(Debug, Clone)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next `count` bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The next eight bytes as a number.
    pub fn number(&mut self) -> u64 {
        self.array::<8>().into_iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(byte))
    }

    /// The next `N` bytes, filled up with zeros.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    /// A short piece: one byte of length, then the bytes.
    pub fn piece(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        self.bytes(count)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether it is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something valid as far as `keep` goes, then something else: so decoders get past the first
/// checks.
pub fn graft(valid: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let keep = usize::from(input.byte()) << 8 | usize::from(input.byte());
    let mut bytes = valid.to_vec();
    match input.byte() % 3 {
        0 => {
            bytes.truncate(keep);
            bytes.extend_from_slice(input.rest());
        }
        1 => bytes.iter_mut().skip(keep).zip(input.rest()).for_each(|(byte, own)| *byte = *own),
        _ => bytes.iter_mut().skip(keep).zip(input.rest()).for_each(|(byte, own)| *byte ^= *own),
    }
    bytes
}

/// Spreads a small input over `len` bytes: half of it at the start, half at the end.
pub fn spread(bytes: &[u8], len: usize) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(len)];
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let mut page = vec![0; len];
    page[..head.len()].copy_from_slice(head);
    page[len - tail.len()..].copy_from_slice(tail);
    page
}

/// The CRC-32C that InnoDB writes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(sum).expect("a CRC-32 has 32 bits")
}

/// What a step of [`walk`] shows.
#[derive(Debug)]
pub enum Event<'a> {
    /// The next frame.
    Item(Item<'a>),
    /// Payload of a member, from this position on.
    Bytes(MemberNo, u64, &'a [u8]),
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Ingested {
    /// Its script.
    pub script: Vec<u8>,
    /// The bytes of its members.
    pub members: Vec<Vec<u8>>,
    /// What the parser found.
    pub parsed: Parsed,
}

/// Parses a stream as a reader does that gets one more byte than `reads` says, over and over; with
/// no `reads` it gets everything at once.
pub fn walk(stream: &[u8], reads: &[u8], mut see: impl FnMut(Event<'_>)) -> Ingested {
    let mut parser = Parser::new(PathSeed::new([7; 16]));
    let mut writer = ScriptWriter::new();
    let (mut script, mut members) = (Vec::new(), Vec::<Vec<u8>>::new());
    let mut sizes = reads.iter().cycle().map(|size| usize::from(*size) + 1);
    let (mut at, mut seen) = (0_usize, 0_usize);
    let (end, script_end) = loop {
        let more = sizes.next().unwrap_or(stream.len());
        seen = seen.saturating_add(more).clamp(at, stream.len());
        match parser.step(&stream[at..seen]) {
            Step::NeedMore { at_least } => {
                assert!(at_least > seen - at, "no more is asked for than is needed");
                if seen < stream.len() {
                    continue;
                }
                writer.push_literal(&stream[at..]);
                let bytes = u64_of(stream.len() - at);
                let inside = StreamEnd::InsideHeader { bytes };
                break (if bytes == 0 { StreamEnd::Boundary } else { inside }, ScriptEnd::Whole);
            }
            Step::Malformed(_) => {
                writer.push_literal(&stream[at..]);
                break (StreamEnd::AfterMalformed, ScriptEnd::Whole);
            }
            Step::Item { header_len, item } => {
                writer.push(&item);
                at += header_len;
                see(Event::Item(item));
                if item.target().is_some_and(|target| target.opens) {
                    members.push(Vec::new());
                }
                let Item::Payload(payload) = item else { continue };
                let arrived = payload.extent.len.min(u64_of(stream.len() - at));
                let bytes = &stream[at..at + usize_of(arrived)];
                at += bytes.len();
                let member = payload.target.member;
                see(Event::Bytes(member, payload.at, bytes));
                members[usize_of(member.get())].extend_from_slice(bytes);
                if arrived < payload.extent.len {
                    let cut = StreamEnd::InsidePayload { arrived };
                    break (cut, ScriptEnd::InsidePayload { arrived });
                }
                let mut crc = crc32fast::Hasher::new();
                crc.update(payload.crc_prefix());
                crc.update(bytes);
                parser.payload_done(crc.finalize());
            }
        }
        script.extend(writer.take());
    };
    script.extend(writer.finish(script_end));
    Ingested { script, members, parsed: parser.finish(end) }
}

/// Paths that made streams use: every kind that something looks at, a directory, and partitions.
pub const PATHS: [&str; 24] = [
    "ibdata1",
    "undo001",
    "ib_logfile0",
    "aria_log_control",
    "backup-my.cnf",
    "xtrabackup_checkpoints",
    "xtrabackup_info",
    "xtrabackup_binlog_info",
    "xtrabackup_galera_info",
    "innodb_corrupted_pages",
    "mariadb_backup_info.zst",
    "app",
    "app/",
    "app/t.frm",
    "app/t.ibd",
    "app/t.ibd.delta",
    "app/t.ibd.meta",
    "app/t.new",
    "app/t.ren",
    "app/t.MAI",
    "app/t.MAD",
    "app/p#P#p0.MYD",
    "app/p#P#*",
    "./app//db.opt",
];

/// Makes a stream as an input says: well formed, but senseless.
pub fn made_stream(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut frames = 0;
    while !input.is_empty() && frames < 500 {
        frames += 1;
        let kind = input.byte();
        let flags = FrameFlags::from_byte(if kind & 0x40 == 0 { 0 } else { input.byte() });
        let offset = if kind & 0x80 == 0 { input.byte().into() } else { input.number() };
        let name = input.byte();
        let own = if name < 0xf0 {
            PATHS[usize::from(name) % PATHS.len()].as_bytes()
        } else {
            input.piece()
        };
        let Ok(path) = StreamPath::new(own) else { continue };
        match kind & 0x0f {
            0..=5 => {
                let payload = input.piece();
                let crc = crc32fast::hash(payload);
                let extent = Extent { len: u64_of(payload.len()), offset, crc };
                // The offset is checked when it is read: here it may be anything.
                put(&mut stream, flags, path, Body::Payload(extent));
                stream.extend_from_slice(payload);
            }
            6..=8 => put(&mut stream, flags, path, Body::End),
            9 | 10 => put(&mut stream, flags, path, Body::Seek(offset)),
            11 | 12 => {
                let to = PATHS[usize::from(input.byte()) % PATHS.len()].as_bytes();
                let to = StreamPath::new(to).expect("the paths above are harmless");
                put(&mut stream, flags, path, Body::Rename(to));
            }
            13 => put(&mut stream, flags, path, Body::Remove),
            _ => {
                let pairs = usize::from(input.byte() % 5);
                let pairs: Vec<_> = (0..pairs).map(|_| [input.byte(), input.byte()]).collect();
                let raw: Vec<u8> =
                    pairs.iter().flat_map(|[skip, len]| [*skip, 0, 0, 0, *len, 0, 0, 0]).collect();
                let payload: Vec<u8> =
                    pairs.iter().flat_map(|[_, len]| vec![7; usize::from(*len)]).collect();
                let Some(map) = SparseMap::new(&raw) else { continue };
                let crc = crc32fast::hash(&[&raw[..], &payload].concat());
                let extent = Extent { len: u64_of(payload.len()), offset, crc };
                put(&mut stream, flags, path, Body::Sparse(extent, map));
                stream.extend_from_slice(&payload);
            }
        }
    }
    stream
}

fn put(stream: &mut Vec<u8>, flags: FrameFlags, path: StreamPath<'_>, body: Body<'_>) {
    Frame { flags, path, body }.encode(stream);
}

/// A length as the format has it.
pub fn u64_of(length: usize) -> u64 {
    u64::try_from(length).expect("a usize has at most 64 bits")
}

/// A position that is known to lie in memory.
pub fn usize_of(position: u64) -> usize {
    usize::try_from(position).expect("it lies in memory")
}
