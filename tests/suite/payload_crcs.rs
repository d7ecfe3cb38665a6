//! A payload whose CRC is wrong is named in the verdict, wherever it is and however many threads
//! compute: just what a parser finds that reads the whole stream on one thread.

use std::sync::Arc;

use haulout::ops::backup::BackupOptions;
use haulout::ops::memory::AtOnce;
use haulout::parse::fault::Fault;
use haulout::parse::item::Item;
use haulout::parse::mbstream::Parser;
use haulout::parse::mbstream::Step;
use haulout::parse::mbstream::StreamEnd;
use haulout::parse::path::PathSeed;
use haulout::repo::Verdict;
use haulout::source::BytesSource;
use haulout::source::ProducerExit;
use haulout::store::memory::MemoryStore;

use crate::support::PAGE;
use crate::support::Protected;
use crate::support::Random;
use crate::support::back_up_source;
use crate::support::header;
use crate::support::init;
use crate::support::options;
use crate::support::page;
use crate::support::shared;
use crate::support::stream_of;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// More bytes than all segments that are in progress with four workers.
const LONG: usize = 24 * MIB;

/// A stream, and where its payloads are.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    payloads: Vec<std::ops::Range<usize>>,
}

impl Stream {
    /// Appends a frame; a map makes it a sparse one.
    fn frame(&mut self, path: &str, offset: u64, payload: &[u8], map: &[u8]) -> u64 {
        header(&mut self.bytes, if map.is_empty() { b'P' } else { b'S' }, path);
        if !map.is_empty() {
            let slots = u32::try_from(map.len() / 8).unwrap();
            self.bytes.extend_from_slice(&slots.to_le_bytes());
        }
        let length = u64::try_from(payload.len()).unwrap();
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(&crc32fast::hash(&[map, payload].concat()).to_le_bytes());
        self.bytes.extend_from_slice(map);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.payloads.push(at..self.bytes.len());
        length
    }

    /// Appends files in turns, a frame of each, whose sizes repeat.
    fn files(&mut self, files: &[(&str, &[u8])], sizes: &[usize]) {
        let mut sizes = sizes.iter().copied().cycle();
        let mut rests: Vec<_> = files.iter().map(|(path, bytes)| (*path, 0, *bytes)).collect();
        while !rests.is_empty() {
            for (path, offset, rest) in &mut rests {
                let (payload, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                *offset += self.frame(path, *offset, payload, b"");
                *rest = later;
            }
            for (path, ..) in rests.iter().filter(|(_, _, rest)| rest.is_empty()) {
                header(&mut self.bytes, b'E', path);
            }
            rests.retain(|(_, _, rest)| !rest.is_empty());
        }
    }

    /// Returns the bytes with one bit of these payloads changed.
    fn spoilt(&self, payloads: &[usize], random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for number in payloads {
            let payload = self.payloads[*number].clone();
            bytes[payload.start + random.below(payload.len())] ^= 1 << random.below(8);
        }
        bytes
    }
}

/// Pages of a table, a few of which hold something.
fn pages(space: u32, count: usize) -> Vec<u8> {
    let pages = (0..u32::try_from(count).unwrap()).map(|number| match number % 16 {
        0 => page(space, number, 1000 + u64::from(number), b"a page"),
        _ => vec![0; PAGE],
    });
    pages.collect::<Vec<_>>().concat()
}

/// Small and large payloads, of files that are cut by pages and by content, alone and in turns.
fn stream(random: &mut Random) -> Stream {
    let noise: Vec<u8> = (0..300_000).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut stream = Stream::default();
    stream.files(&[("a/first.ibd", &pages(3, 150))], &[70 * KIB, 1, 1500 * KIB, 64 * KIB]);
    stream.files(&[("ib_logfile0", &noise)], &[64 * KIB + 1, 700 * KIB, 900, 65 * KIB]);
    let (one, two) = (pages(4, 100), pages(5, 90));
    let files: [(&str, &[u8]); 3] = [("a/b.ibd", &one), ("a/c.ibd", &two), ("a/d", &noise[..MIB])];
    stream.files(&files, &[65 * KIB, 300 * KIB, 64 * KIB, 1100 * KIB, 5, 66 * KIB, 128 * KIB]);
    let (map, data) = ([1, 0, 0, 0, 0, 0x10, 1, 0], vec![7; 68 * KIB]);
    stream.frame("a/e.ibd", 0, &data, &map);
    header(&mut stream.bytes, b'E', "a/e.ibd");
    stream.files(&[("xtrabackup_info", b"tool_name = mariabackup\n")], &[KIB]);
    stream
}

/// Returns the faults of a stream, found on one thread and with the CRC of each whole payload.
fn faults(stream: &[u8]) -> Vec<Fault> {
    let mut parser = Parser::new(PathSeed::new([5; 16]));
    let mut at = 0;
    let end = loop {
        if at == stream.len() {
            break StreamEnd::Boundary;
        }
        match parser.step(&stream[at..]) {
            Step::Item { header_len, item } => {
                at += header_len;
                let Item::Payload(payload) = item else { continue };
                let rest = &stream[at..];
                let length = usize::try_from(payload.extent.len).unwrap();
                let Some(bytes) = rest.get(..length) else {
                    break StreamEnd::InsidePayload { arrived: u64::try_from(rest.len()).unwrap() };
                };
                let prefix = payload.crc_prefix();
                parser.payload_done(crc32fast::hash(&[prefix, bytes].concat()));
                at += length;
            }
            Step::NeedMore { .. } => {
                let bytes = u64::try_from(stream.len() - at).unwrap();
                break StreamEnd::InsideHeader { bytes };
            }
            Step::Malformed(_) => break StreamEnd::AfterMalformed,
        }
    };
    parser.finish(end).faults
}

/// Backs a stream up; its faults must be named in the verdict, in their order, and nothing be lost.
fn check(stream: &[u8], workers: u32, read_max: usize) {
    let repository = init(shared(&Arc::new(MemoryStore::new())), Protected::Clear, 1);
    let options = BackupOptions { at_once: AtOnce::with_workers(workers), ..options() };
    let source = BytesSource::new(stream.to_vec(), read_max, ProducerExit::Exited(0));
    let report = back_up_source(&repository, source, &options).unwrap();
    let expected: Vec<_> = faults(stream).iter().map(ToString::to_string).collect();
    let reasons = &report.about.reasons;
    // The advice follows.
    let fault_of = |reason: &String| expected.iter().find(|fault| reason.starts_with(*fault));
    let named: Vec<_> = reasons.iter().filter_map(fault_of).collect();
    assert_eq!(named, expected.iter().collect::<Vec<_>>(), "of {reasons:?}");
    let wrong = reasons.iter().filter(|reason| reason.contains("the payload's crc is"));
    let expected_wrong = expected.iter().filter(|fault| fault.contains("the payload's crc is"));
    assert_eq!(wrong.count(), expected_wrong.count(), "{reasons:?}");
    assert!(expected.is_empty() || report.about.verdict == Verdict::Partial);
    assert!(
        stream_of(&repository, &report.id.to_string()).unwrap() == stream,
        "the stream comes back as it was"
    );
}

#[test]
fn the_stream_has_no_fault_unless_it_is_damaged() {
    let stream = stream(&mut Random(1));
    assert!(faults(&stream.bytes).is_empty());
    check(&stream.bytes, 2, MIB);
}

#[test]
fn a_wrong_payload_is_named_wherever_it_is() {
    let mut random = Random(2);
    let stream = stream(&mut random);
    let last = stream.payloads.len() - 1;
    for (round, workers) in [1, 2, 4, 1, 2, 4].into_iter().enumerate() {
        let mut chosen: Vec<_> = (0..=last).filter(|_| random.below(3) == 0).collect();
        if round < 3 {
            chosen = vec![[0, last / 2, last][round]];
        }
        let spoilt = stream.spoilt(&chosen, &mut random);
        let wrong = faults(&spoilt).len();
        assert_eq!(wrong, chosen.len());
        check(&spoilt, workers, [MIB, 100_000, 3 * KIB][round % 3]);
    }
}

#[test]
fn a_wrong_payload_before_the_end_of_a_cut_stream_is_named() {
    let mut random = Random(3);
    let stream = stream(&mut random);
    let large = stream.payloads.iter().filter(|payload| payload.len() > MIB);
    let inside: Vec<_> = large.map(|payload| payload.start + MIB / 2).collect();
    assert!(inside.len() >= 2);
    for (workers, cut) in [(1, inside[0]), (2, inside[1]), (4, stream.bytes.len() - 5)] {
        let before = stream.payloads.iter().filter(|payload| payload.end < cut).count();
        let spoilt = stream.spoilt(&[before - 1], &mut random);
        check(&spoilt[..cut], workers, MIB);
    }
}

#[test]
fn one_payload_in_more_segments_than_are_in_progress_has_one_crc() {
    let bytes = pages(6, LONG / PAGE);
    for workers in [1, 2, 4] {
        let mut stream = Stream::default();
        stream.files(&[("a/long.ibd", &bytes)], &[LONG]);
        stream.files(&[("a/next.ibd", &bytes[..2 * MIB])], &[10 * MIB]);
        for chosen in [vec![], vec![0]] {
            check(&stream.spoilt(&chosen, &mut Random(u64::from(workers))), workers, MIB);
        }
    }
}
