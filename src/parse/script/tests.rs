//! The promise of a script: the same stream again, for any stream and any reads.

use proptest::prelude::*;

use crate::base::hex;
use crate::base::num::u64_of;
use crate::parse::fault::FaultKind;
use crate::parse::frame::Body;
use crate::parse::script::ScriptError;
use crate::parse::script::ScriptReader;
use crate::parse::testing::Stream;
use crate::parse::testing::actions;
use crate::parse::testing::config;
use crate::parse::testing::ingest;
use crate::parse::testing::perform;
use crate::parse::testing::replay;

/// Draws sizes of reads: everything in one read, byte by byte, and in between.
fn reads() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![Just(1_usize), 1..50_usize, Just(5000)], 0..6)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_producers_stream_comes_back_without_faults(
        actions in actions(), reads in reads(), piece in 1..300_usize,
    ) {
        let stream = perform(&actions);
        let whole = ingest(&stream.bytes, &[]);
        prop_assert_eq!(whole.faults(), &[]);
        prop_assert_eq!(whole.parsed.bytes, u64_of(stream.bytes.len()));
        prop_assert_eq!(&replay(&whole, piece).unwrap(), &stream.bytes);
        prop_assert_eq!(&ingest(&stream.bytes, &reads), &whole, "reads change nothing");
    }

    #[test]
    fn a_damaged_stream_comes_back_as_it_came(
        actions in actions(), reads in reads(), damages in damages(),
    ) {
        let mut bytes = perform(&actions).bytes;
        for damage in damages {
            damage.inflict(&mut bytes);
        }
        let ingested = ingest(&bytes, &reads);
        prop_assert_eq!(replay(&ingested, 1000).unwrap(), bytes);
    }

    #[test]
    fn a_cut_stream_is_never_without_faults(
        actions in actions(), at in any::<prop::sample::Index>(),
    ) {
        let stream = perform(&actions);
        let at = at.index(stream.bytes.len());
        let ingested = ingest(&stream.bytes[..at], &[]);
        prop_assert_eq!(replay(&ingested, 1000).unwrap(), &stream.bytes[..at]);
        if !stream.frames.contains(&at) || at == 0 {
            prop_assert_ne!(ingested.parsed.fault_count, 0);
        }
    }

    #[test]
    fn no_bytes_at_all_make_the_parser_or_the_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize,
    ) {
        let ingested = ingest(&bytes, &[]);
        prop_assert_eq!(&replay(&ingested, 1000).unwrap(), &bytes);
        read_all(&[&[1], &bytes[..]].concat(), piece).ok();
    }

    #[test]
    fn a_damaged_script_is_an_error_or_another_script(
        actions in actions(), damages in damages(), piece in 1..50_usize,
    ) {
        let mut script = ingest(&perform(&actions).bytes, &[]).script;
        for damage in damages {
            damage.inflict(&mut script);
        }
        read_all(&script, piece).ok();
    }

    #[test]
    fn a_cut_script_is_refused(actions in actions(), at in any::<prop::sample::Index>()) {
        let script = ingest(&perform(&actions).bytes, &[]).script;
        let at = at.index(script.len());
        prop_assert_eq!(read_all(&script[..at], 50), Err(ScriptError::Truncated));
    }
}

fn read_all(script: &[u8], piece: usize) -> Result<u64, ScriptError> {
    let mut reader = ScriptReader::new();
    let mut ops = 0;
    for part in script.chunks(piece) {
        reader.feed(part);
        while reader.next_op()?.is_some() {
            ops += 1;
        }
    }
    reader.finish().map(|()| ops)
}

/// One way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<prop::sample::Index>;
    let damage = prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1..100_usize).prop_map(|(at, len)| Damage::Drop(at, len)),
        1 => (at(), 1..100_usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..30))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ];
    proptest::collection::vec(damage, 1..4)
}

impl Damage {
    fn inflict(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::Cut(at) => bytes.truncate(at.index(len)),
            Self::Drop(at, count) => {
                let at = at.index(len);
                bytes.drain(at..(at + count).min(len));
            }
            Self::Repeat(at, count) => {
                let at = at.index(len);
                let again = bytes[at..(at + count).min(len)].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Insert(at, more) => {
                let at = at.index(len);
                bytes.splice(at..at, more);
            }
        }
    }
}

/// Makes a stream with one frame of each kind and each way to say it.
fn sampler() -> Stream {
    Stream::default()
        .payload("ib_logfile0", 0, b"Phys")
        .payload("app/t1.ibd", 0, b"0123456789")
        .payload("app/t1.ibd", 10, b"0123456789")
        .payload("ib_logfile0", 4, b"log")
        .end("app/t1.ibd")
        .file("app/t2.frm", b"frm")
        .end("app/t2.MYD")
        .seek("ib_logfile0", 2)
        .flagged(1, "ib_logfile0", 2, b"XY")
        .rename("app/t2.frm", "app/t3.frm")
        .remove("app/t1.ibd")
        .flagged(2, "app/t2.frm", 0, b"new")
        .sparse("app/t2.frm", 3, &[(5, 2), (300, 0)], b"ab")
        .frame(0x80, "app/t2.frm", Body::End, b"")
        .end("ib_logfile0")
}

#[test]
fn the_format_of_scripts_does_not_change() {
    let ingested = ingest(&sampler().bytes, &[]);
    let golden = concat!(
        "01",                                          // version
        "10 00 0b 69625f6c6f6766696c6530 05 1fa87c9b", // opens ib_logfile0, 4 bytes
        "10 00 0a 6170702f74312e696264 0b c6c784a6",   // opens app/t1.ibd, 10 bytes
        "00 00 c6c784a6",                              // the same again
        "08 00 04 c5683f8f",                           // slot 0, 3 bytes
        "0a 01",                                       // slot 1 ends
        "90 05 05 322e66726d 00 1168119d",             // app/t2.frm, 3 bytes, ends
        "12 07 03 4d5944",                             // app/t2.MYD is empty
        "0b 00 02",                                    // slot 0 seeks to 2
        "40 01 03 f32c0c21",                           // flags 1, 2 bytes
        "04 07 03 66726d 05 05 332e66726d",            // rename
        "05 05 05 312e696264",                         // remove
        "58 01 05 05 322e66726d 02 04 4544e36b",       // opens again, flags 2, 3 bytes
        "41 00 02 05 02 ac02 00 88c7cfff",             // sparse, flags 0
        "42 80",                                       // ends with flags 80
        "0a 00",                                       // slot 0 ends
        "07 f404",                                     // finish
    );
    let golden = golden.replace(' ', "");
    assert_eq!(hex::encode(&ingested.script), golden);
}

#[test]
fn every_kind_of_frame_comes_back() {
    let stream = sampler().bytes;
    for piece in 1..20 {
        assert_eq!(replay(&ingest(&stream, &[piece]), piece).unwrap(), stream);
    }
}

#[test]
fn a_stream_cut_anywhere_comes_back_and_is_faulty_or_cut_between_files() {
    let Stream { bytes, frames } = sampler();
    let seek_end = frames[9];
    for at in 0..bytes.len() {
        let ingested = ingest(&bytes[..at], &[]);
        assert_eq!(replay(&ingested, 100).unwrap(), &bytes[..at]);
        let cut = ingested.faults().iter().any(|fault| {
            matches!(fault.kind, FaultKind::CutInHeader(_) | FaultKind::CutInPayload { .. })
        });
        // After a seek the parser waits for the next frame, to tell it from a sparse payload.
        let behind_seek = at == seek_end;
        assert_eq!(cut, behind_seek || !frames.contains(&at), "cut at {at}");
        assert_ne!(ingested.parsed.fault_count, 0, "the redo log is open to the end");
    }
}

#[test]
fn small_files_cost_little_more_than_what_is_new_in_their_paths() {
    let stream = (0..2_000).fold(Stream::default(), |stream, number| {
        let table = format!("sbtest/customer_orders_{number:06}");
        stream
            .file(&format!("{table}.frm"), &[1; 1200])
            .file(&format!("{table}.MAI"), &[2; 8192])
            .file(&format!("{table}.MAD"), &[3; 8192])
    });
    let ingested = ingest(&stream.bytes, &[]);
    let each = ingested.script.len() / 6_000;
    assert!(each <= 13, "{each} bytes a file, of which the path has 35");
    assert_eq!(replay(&ingested, 100).unwrap(), stream.bytes);
}

#[test]
fn a_script_that_lost_an_op_is_refused() {
    let stream = Stream::default().file("a", b"1").file("b", b"2").bytes;
    let mut script = ingest(&stream, &[]).script;
    let first_op = 1..1 + 9;
    script.drain(first_op);
    assert_eq!(read_all(&script, 100), Err(ScriptError::WrongTotal { stated: 102, found: 50 }));
}

#[test]
fn hostile_scripts_are_refused_by_name() {
    use crate::parse::path::HostilePath;
    let open_a = [0x10, 0, 1, b'a', 1, 0, 0, 0, 0];
    for (script, error) in [
        (vec![2], ScriptError::UnknownVersion(2)),
        (vec![1, 0x0f | 0x10], ScriptError::UnknownOp(0x1f)),
        (vec![1, 0x26], ScriptError::UnknownOp(0x26)),
        (vec![1, 0x06, 0], ScriptError::BadNumber),
        (vec![1, 0x06, 0xff, 0xff, 0x7f], ScriptError::BadNumber),
        (vec![1, 0x02], ScriptError::NoSuchMember),
        (vec![1, 0x0a, 9], ScriptError::NoSuchMember),
        (vec![1, 0x12, 3, 1, b'a'], ScriptError::BadPathPrefix),
        (vec![1, 0x12, 0, 2, b'.', b'.'], ScriptError::BadPath(HostilePath::Upwards)),
        (vec![1, 0x0f, 0, 0x12, 0, 1, b'a'], ScriptError::BadCut),
        (vec![1, 0x0f, 0, 0x07, 0], ScriptError::BadCut),
        ([&[1, 0x0f, 0][..], &open_a].concat(), ScriptError::BadCut),
        ([&[1][..], &open_a, &[7, 9]].concat(), ScriptError::WrongTotal { stated: 9, found: 35 }),
        (vec![1, 7, 0, 7, 0], ScriptError::AfterEnd),
        (vec![], ScriptError::Truncated),
    ] {
        assert_eq!(read_all(&script, 100), Err(error), "{script:x?}");
        assert_eq!(read_all(&script, 1), Err(error), "{script:x?}");
    }
}
