//! Every cut of every format is noticed, in pieces of any size.

use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;

fn end_of(program: &str, stream: &[u8], piece: usize) -> CompressedEnd {
    let mut compressed = Compressed::new(program);
    stream.chunks(piece).for_each(|piece| compressed.push(piece));
    compressed.finish()
}

/// Makes a gzip stream with this header's flags and the fields after it.
fn gzip(contents: &[u8], level: u8, flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    stream.extend_from_slice(fields);
    stream.extend(compress_to_vec(contents, level));
    stream.extend(crc32fast::hash(contents).to_le_bytes());
    stream.extend(u32::try_from(contents.len()).unwrap().to_le_bytes());
    stream
}

fn words(count: u32) -> Vec<u8> {
    let word =
        |n: u32| format!("INSERT INTO t VALUES ({n},'{}');\n", n.wrapping_mul(2_654_435_761));
    (0..count).flat_map(|n| word(n).into_bytes()).collect()
}

/// Makes an lz4 frame of stored blocks.
fn lz4(flags: u8, blocks: &[&[u8]]) -> Vec<u8> {
    let mut stream = vec![4, 0x22, 0x4d, 0x18, 0x40 | flags, 0x40];
    let has = |bit: u8, bytes: usize| if flags & bit != 0 { bytes } else { 0 };
    stream.resize(stream.len() + has(8, 8) + has(1, 4) + 1, 7);
    for block in blocks {
        let length = u32::try_from(block.len()).unwrap() | 1 << 31;
        stream.extend(length.to_le_bytes());
        stream.extend_from_slice(block);
        stream.resize(stream.len() + has(16, 4), 7);
    }
    stream.extend([0; 4]);
    stream.resize(stream.len() + has(4, 4), 7);
    stream
}

/// The output of `xz` and `bzip2` for the letter a and a line end.
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01,
    0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x01, 0x61, 0x0a, 0x00, 0x00, 0x00,
    0x13, 0x47, 0x3f, 0xb8, 0x93, 0x9d, 0x45, 0xd4, 0x00, 0x01, 0x1a, 0x02, 0xdc, 0x2e, 0xa5, 0x7e,
    0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
];
const BZIP2: &[u8] = &[
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x63, 0x3e, 0xd6, 0xe2, 0x00, 0x00,
    0x00, 0xc1, 0x00, 0x00, 0x10, 0x20, 0x00, 0x20, 0x00, 0x21, 0x00, 0x82, 0xb1, 0x77, 0x24, 0x53,
    0x85, 0x09, 0x06, 0x33, 0xed, 0x6e, 0x20,
];

/// Makes whole streams of every format, some of them several in one.
fn whole_streams() -> Vec<(&'static str, Vec<u8>)> {
    let text = words(400);
    let zstd = |checksum: bool, contents: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        std::io::Write::write_all(&mut encoder, contents).unwrap();
        encoder.finish().unwrap()
    };
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    vec![
        ("gzip", gzip(&text, 0, 0, b"")),
        ("gzip", gzip(&text, 1, 8, b"dump.sql\0")),
        ("gzip", gzip(&text, 9, 4 | 8 | 16 | 2, b"\x03\0abcname\0a comment\0\0\0")),
        ("gzip", gzip(b"", 6, 0, b"")),
        ("gzip", [gzip(&text, 6, 0, b""), gzip(b"more", 6, 0, b"")].concat()),
        ("gzip", [gzip(b"tape", 6, 0, b""), vec![0; 700]].concat()),
        ("zstd", zstd(true, &text)),
        ("zstd", zstd(false, &[7; 100_000])),
        ("zstd", zstd::bulk::compress(&text, 1).unwrap()),
        ("zstd", [zstd(true, b""), skipped.clone(), zstd(false, &text)].concat()),
        ("lz4", lz4(0, &[b"one", b"two"])),
        ("lz4", lz4(1 | 4 | 8 | 16, &[&text, b"two"])),
        ("lz4", [lz4(4, &[b"one"]), skipped, lz4(0, &[])].concat()),
        ("xz", XZ.to_vec()),
        ("xz", [XZ, &[0; 4], XZ, &[0; 64]].concat()),
        ("bzip2", BZIP2.to_vec()),
        ("bzip2", [BZIP2, BZIP2].concat()),
    ]
}

#[test]
fn whole_streams_are_whole_in_whatever_pieces() {
    for (number, (program, stream)) in whole_streams().iter().enumerate() {
        for piece in [1, 2, 7, 8, 1000, 1 << 20] {
            let end = end_of(program, stream, piece);
            assert_eq!(end, CompressedEnd::Whole, "{program}, stream {number}, by {piece}");
        }
    }
}

#[test]
fn no_cut_stream_is_whole() {
    // The others consist of several streams, or have zeros after them.
    let singles = [0, 1, 2, 3, 6, 7, 8, 10, 11, 13, 15];
    let streams = whole_streams();
    for (program, stream) in singles.map(|number| &streams[number]) {
        for at in 0..stream.len() {
            let end = end_of(program, &stream[..at], 997);
            assert_eq!(end, CompressedEnd::Cut, "{program}: cut at {at}");
        }
    }
    let text = words(400);
    for level in [0, 1, 6, 9] {
        let stream = gzip(&text, level, 0, b"");
        for at in 0..stream.len() {
            let end = end_of("gzip", &stream[..at], 4096);
            assert_eq!(end, CompressedEnd::Cut, "level {level}, cut at {at}");
        }
    }
}

#[test]
fn what_follows_the_end_is_reported() {
    for (program, stream) in whole_streams() {
        let followed = [&stream[..], b"mysqldump: Error 2013"].concat();
        let end = end_of(program, &followed, 64);
        let told = [CompressedEnd::Followed, CompressedEnd::Cut];
        assert!(told.contains(&end), "{program}: {end:?}");
    }
    let mut wrong = gzip(b"abc", 6, 0, b"");
    let last = wrong.len() - 4;
    wrong[last] ^= 1;
    assert_eq!(end_of("gzip", &wrong, 64), CompressedEnd::Malformed);
    assert_eq!(end_of("qpress", b"qpress10", 8), CompressedEnd::Unknown);
    assert_eq!(end_of("lz4", b"\x02\x21\x4c\x18abc", 8), CompressedEnd::Unknown);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600), piece in 1..40_usize,
    ) {
        for (program, head) in [
            ("gzip", &b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]),
            ("zstd", b"\x28\xb5\x2f\xfd"),
            ("lz4", b"\x04\x22\x4d\x18"),
            ("xz", b""),
            ("bzip2", b""),
        ] {
            let stream = [head, &bytes].concat();
            prop_assert_eq!(end_of(program, &stream, piece), end_of(program, &stream, 1 << 20));
        }
    }

    #[test]
    fn whatever_gzip_makes_is_followed_to_its_end(
        text in proptest::collection::vec(0..6_u8, 0..5000), level in 0..10_u8,
    ) {
        let stream = gzip(&text, level, 0, b"");
        prop_assert_eq!(end_of("gzip", &stream, 777), CompressedEnd::Whole);
    }
}
