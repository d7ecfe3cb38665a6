//! The faults that the parser reports, the input that it refuses, and what it takes without a word.

use super::*;
use crate::base::num::u64_of;
use crate::parse::frame::BadFrame;
use crate::parse::path::HostilePath;
use crate::parse::testing::Stream;
use crate::parse::testing::ingest;
use crate::parse::testing::replay;

/// Parses a stream, which must also come back; returns its faults as (offset, words).
fn faults(stream: &[u8]) -> Vec<(u64, FaultKind)> {
    let ingested = ingest(stream, &[]);
    assert_eq!(replay(&ingested, 64).unwrap(), stream);
    ingested.parsed.faults.into_iter().map(|fault| (fault.at.get(), fault.kind)).collect()
}

fn good(stream: Stream) {
    assert_eq!(faults(&stream.bytes), []);
}

/// Expects one fault, at the frame of that number.
fn bad(stream: Stream, frame: usize, kind: FaultKind) {
    assert_eq!(faults(&stream.bytes), [(u64_of(stream.frames[frame]), kind)]);
}

fn two_files() -> Stream {
    Stream::default().file("a", b"one").file("b", b"two")
}

#[test]
fn what_producers_write_has_no_fault() {
    good(two_files());
    good(Stream::default().payload("a", 0, b"1").payload("b", 0, b"2").end("a").end("b"));
    good(Stream::default().end("empty.MYD"));
    good(Stream::default().payload("a", 0, b"").end("a"));
    good(two_files().flagged(2, "a", 0, b"again").end("a"));
    good(two_files().end("a"));
    good(Stream::default().payload("l", 0, b"0123").seek("l", 1).payload("l", 1, b"x").end("l"));
    good(two_files().rename("a", "c").remove("b").remove("never").rename("never", "c"));
    good(two_files().rename("a", "c").file("a", b"a new one"));
    good(Stream::default().file("db/a", b"1").remove("db").file("db/a", b"2"));
    good(Stream::default().file("d/t#P#p", b"1").remove("d/t#P#*").file("d/t#P#p", b"2"));
    good(
        Stream::default().sparse("t", 0, &[(3, 2), (9, 1)], b"abc").payload("t", 15, b"d").end("t"),
    );
    good(Stream::default().flagged(1, "a", 0, b"ignorable").end("a"));
}

#[test]
fn every_oddity_is_a_fault_at_its_frame() {
    let crc = crc32fast::hash(b"one");
    let wrong = Extent { len: 3, offset: 0, crc };
    bad(
        Stream::default().frame(0, "a", Body::Payload(wrong), b"One").end("a"),
        0,
        FaultKind::BadCrc { stated: crc, computed: crc32fast::hash(b"One") },
    );
    let gap = FaultKind::OffsetGap { expected: 1, found: 2 };
    bad(Stream::default().payload("a", 0, b"1").payload("a", 2, b"2").end("a"), 1, gap);
    let late = FaultKind::OffsetGap { expected: 0, found: 7 };
    bad(Stream::default().payload("a", 7, b"1").end("a"), 0, late);
    let astray = FaultKind::OffsetGap { expected: 5, found: 1 };
    bad(
        Stream::default().payload("a", 0, b"1").seek("a", 5).payload("a", 1, b"2").end("a"),
        2,
        astray,
    );
    bad(two_files().file("a", b"again"), 4, FaultKind::Reopened);
    bad(two_files().seek("c", 0).payload("c", 0, b"3").end("c"), 4, FaultKind::SeekBeforeData);
    let open = || Stream::default().payload("a", 0, b"1");
    bad(open().rename("a", "b").end("a"), 1, FaultKind::ChangedWhileOpen);
    bad(open().rename("b", "a").end("a"), 1, FaultKind::ChangedWhileOpen);
    bad(open().remove("a").end("a"), 1, FaultKind::ChangedWhileOpen);
    let part = "d/t#P#p0.MYD";
    let all = "d/t#P#*";
    let inside = Stream::default().payload(part, 0, b"1").remove(all).end(part);
    bad(inside, 1, FaultKind::ChangedWhileOpen);
    assert_eq!(faults(&Stream::default().file(part, b"1").remove(all).bytes), []);
    let inside = Stream::default().payload(part, 0, b"1").remove("d").end(part);
    bad(inside, 1, FaultKind::ChangedWhileOpen);
    let beside = Stream::default().payload(part, 0, b"1").remove("d/u#P#*").remove("e").end(part);
    assert_eq!(faults(&beside.bytes), []);
    bad(two_files().flagged(0x44, "c", 0, b"3").end("c"), 4, FaultKind::UnknownFlags(0x44));
    let odd = Stream::default().file("./a", b"1");
    let kinds: Vec<_> = faults(&odd.bytes).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [FaultKind::OddPath, FaultKind::OddPath]);
}

#[test]
fn a_stream_that_stops_is_distinguished_from_one_that_ends() {
    assert_eq!(faults(b""), [(0, FaultKind::EmptyStream)]);
    let stream = two_files();
    let ended = &stream.bytes[..stream.frames[3]];
    assert_eq!(faults(ended), [(u64_of(ended.len()), FaultKind::NotEnded)]);
    let inside = &stream.bytes[..stream.frames[3] + 5];
    assert_eq!(
        faults(inside),
        [
            (u64_of(stream.frames[3]), FaultKind::CutInHeader(5)),
            (u64_of(inside.len()), FaultKind::NotEnded),
        ]
    );
    let inside = &stream.bytes[..stream.frames[3] - 1];
    assert_eq!(
        faults(inside),
        [
            (u64_of(stream.frames[2]), FaultKind::CutInPayload { arrived: 2, len: 3 }),
            (u64_of(inside.len()), FaultKind::NotEnded),
        ]
    );
}

#[test]
fn what_is_no_frame_ends_the_parsing_and_is_kept() {
    for (bytes, why) in [
        (&b"XBSTCK02\0E\x01\0\0\0c"[..], BadFrame::Magic(*b"XBSTCK02")),
        (&[0; 40], BadFrame::Magic([0; 8])),
        (b"XBSTCK01\0Q\x01\0\0\0c", BadFrame::Type(b'Q')),
        (b"XBSTCK01\x01Q\x01\0\0\0c", BadFrame::Type(b'Q')),
        (b"XBSTCK01\0E\0\0\0\0", BadFrame::Path(HostilePath::Empty)),
        (b"XBSTCK01\0E\0\x02\0\0", BadFrame::Path(HostilePath::TooLong(512))),
        (b"XBSTCK01\0E\x02\0\0\0..", BadFrame::Path(HostilePath::Upwards)),
        (b"XBSTCK01\0R\x01\0\0\0a\x02\0\0\0/b", BadFrame::Path(HostilePath::Absolute)),
        (b"XBSTCK01\0R\x01\0\0\0a\0\x02\0\0", BadFrame::Path(HostilePath::TooLong(512))),
    ] {
        let stream = two_files();
        let at = u64_of(stream.bytes.len());
        let found = faults(&[&stream.bytes, bytes].concat());
        assert_eq!(found, [(at, FaultKind::Malformed(Malformed::Frame(why)))]);
    }
}

#[test]
fn lengths_and_offsets_beyond_any_file_are_refused_without_an_allocation() {
    for (len, offset) in [(u64::MAX, 0), (0, u64::MAX), (1 << 62, 1 << 62), (1 << 63, 0)] {
        let body = Body::Payload(Extent { len, offset, crc: 0 });
        let stream = Stream::default().frame(0, "a", body, b"");
        let overflow = Malformed::Frame(BadFrame::Overflow);
        bad(stream, 0, FaultKind::Malformed(overflow));
    }
    let body = Body::Payload(Extent { len: 1 << 62, offset: 0, crc: 0 });
    let cut = Stream::default().frame(0, "a", body, b"xyz");
    let found = faults(&cut.bytes);
    assert_eq!(found[0].1, FaultKind::CutInPayload { arrived: 3, len: 1 << 62 });
}

#[test]
fn a_map_that_contradicts_its_payload_is_refused() {
    let map = [1_u32.to_le_bytes(), 2_u32.to_le_bytes()].concat();
    let extent = Extent { len: 3, offset: 0, crc: 0 };
    let body = Body::Sparse(extent, SparseMap::new(&map).unwrap());
    let inconsistent = Malformed::Frame(BadFrame::SparseMap);
    bad(Stream::default().frame(0, "t", body, b"abc"), 0, FaultKind::Malformed(inconsistent));
}

#[test]
fn a_seek_is_distinguished_from_a_sparse_payload_by_the_frame_behind_it() {
    let mut parser = Parser::new(PathSeed::new([0; 16]));
    let stream = Stream::default().seek("a", 37).end("a").bytes;
    let seek_len = stream.len() - 15;
    let look_ahead = Step::NeedMore { at_least: seek_len + 8 };
    assert_eq!(parser.step(&stream[..seek_len]), look_ahead);
    assert!(matches!(
        parser.step(&stream[..seek_len + 8]),
        Step::Item { item: Item::Seek { offset: 37, .. }, .. }
    ));
}

#[test]
fn members_are_numbered_in_order_of_opening_and_told_apart_by_incarnation() {
    let stream = two_files().flagged(2, "a", 0, b"x").end("a").end("b").end("b");
    let members: Vec<_> = ingest(&stream.bytes, &[])
        .members
        .into_iter()
        .map(|member| (member.path.to_string(), member.incarnation.get()))
        .collect();
    let expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)];
    assert_eq!(members, expected.map(|(path, incarnation)| (path.to_owned(), incarnation)));
}

#[test]
fn open_files_have_a_limit() {
    let stream = (0..=OPEN_MEMBERS_MAX)
        .fold(Stream::default(), |stream, number| stream.payload(&number.to_string(), 0, b""));
    let ingested = ingest(&stream.bytes, &[]);
    assert_eq!(replay(&ingested, 4096).unwrap(), stream.bytes);
    let first = &ingested.faults()[0];
    assert_eq!(first.at.get(), u64_of(stream.frames[OPEN_MEMBERS_MAX]));
    assert_eq!(first.kind, FaultKind::Malformed(Malformed::TooManyOpen));
}

#[test]
fn faults_beyond_the_limit_are_only_counted() {
    let stream = (0..1500).fold(Stream::default(), |stream, n| stream.payload("a", 2 * n + 1, b""));
    let parsed = ingest(&stream.end("a").bytes, &[]).parsed;
    assert_eq!(parsed.faults.len(), FAULTS_KEPT_MAX);
    assert_eq!(parsed.fault_count, 1500);
}

#[test]
fn a_fault_says_where_and_what() {
    let stream = two_files().flagged(0x10, "db/t.ibd", 4, b"x").end("db/t.ibd");
    let words: Vec<_> =
        ingest(&stream.bytes, &[]).faults().iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "'db/t.ibd', stream byte 106: unknown flags 0x10",
            "'db/t.ibd', stream byte 106: the payload is for file offset 4, expected was 0",
        ]
    );
}
