//! Files are made here as a server makes them; `tests/mariadb/binlog` has real ones.

use proptest::prelude::*;

use super::*;
use crate::parse::binlog::made::Made;

const BEFORE: Gtid = Gtid { domain: 3, server: 11, sequence: 7 };

fn file() -> Vec<u8> {
    let mut made = Made::new();
    made.list(&[BEFORE]);
    made.transaction(8, 50);
    made.transaction(9, 1000);
    made.event(4, b"12345678bin.000008");
    made.bytes
}

fn walked(bytes: &[u8], piece: usize) -> (Walk, Result<(), BinlogFault>) {
    let mut walk = Walk::new();
    let done = bytes.chunks(piece).try_for_each(|piece| walk.push(piece));
    (walk, done)
}

#[test]
fn a_file_says_what_it_holds_in_whatever_pieces_it_comes() {
    let bytes = file();
    let (whole, _) = walked(&bytes, bytes.len());
    let index = whole.finish("bin.000007").unwrap();
    assert_eq!((index.bytes, index.ends), (u64_of(bytes.len()), BinlogEnd::Rotate));
    assert_eq!(
        (index.before.to_string(), index.after.to_string()),
        ("3-11-7".into(), "3-11-9".into())
    );
    assert_eq!((index.server_id, index.server_version.as_str()), (11, "10.11.9"));
    assert_eq!((index.first_time, index.encrypted), (Some(1_700_000_000), false));
    for piece in 1..80 {
        let (walk, done) = walked(&bytes, piece);
        assert_eq!((done, walk.finish("bin.000007")), (Ok(()), Ok(index.clone())), "{piece}");
    }
    // The mark of a file that is open is no part of it.
    let mut open = bytes.clone();
    open[21] |= IN_USE;
    for piece in [1, 20, 21, 22, 23, bytes.len()] {
        assert_eq!(walked(&open, piece).0.finish("bin.000007"), Ok(index.clone()), "{piece}");
    }
}

#[test]
fn a_cut_file_is_whole_up_to_its_last_whole_event() {
    let bytes = file();
    let mut places = std::collections::BTreeSet::new();
    for length in 0..bytes.len() {
        let (walk, done) = walked(&bytes[..length], 7);
        assert_eq!((done, walk.bytes()), (Ok(()), u64_of(length)));
        let whole = walk.whole_bytes();
        assert!(whole <= u64_of(length));
        places.insert(whole);
        let index = walk.finish("f");
        assert_eq!(index.is_ok(), whole == u64_of(length) && length >= 298, "{length}: {index:?}");
    }
    assert_eq!(places.len(), 8, "0, the magic, and six events: {places:?}");
}

#[test]
fn every_flipped_bit_is_found_but_for_the_mark_of_an_open_file() {
    let bytes = file();
    let good = walked(&bytes, 100).0.finish("f").unwrap();
    let mut unfound = Vec::new();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut odd = bytes.clone();
            odd[at] ^= 1 << bit;
            let (walk, done) = walked(&odd, 100);
            if let (Ok(()), Ok(index)) = (done, walk.finish("f")) {
                assert_eq!(index, good);
                unfound.push((at, bit));
            }
        }
    }
    assert_eq!(unfound, [(21, 0)]);
}

#[test]
fn what_is_no_binary_log_is_refused_with_its_place() {
    let why = |bytes: &[u8]| {
        let (walk, done) = walked(bytes, 50);
        done.and_then(|()| walk.finish("f").map(|_| ())).unwrap_err().to_string()
    };
    assert!(why(b"").contains("the file is empty"));
    assert!(why(b"-- dump\n").contains("byte 0 is none"));
    let mut made = Made { bytes: MAGIC.to_vec(), time: 0 };
    made.event(2, b"x");
    assert!(why(&made.bytes).contains("byte 4 is not in its place"));
    let mut made = Made::new();
    made.transaction(1, 1);
    assert!(why(&made.bytes).contains("has no list of GTIDs"));
    let mut made = Made::new();
    made.list(&vec![BEFORE; 5000]);
    assert!(why(&made.bytes).contains("longer than any of its kind"));
    let mut many = Made::new();
    many.list(&(0..401).map(|server| Gtid { server, ..BEFORE }).collect::<Vec<_>>());
    assert!(why(&many.bytes).contains("more than 400"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        cut in 0usize..900,
    ) {
        let mut made = file();
        made.truncate(cut);
        made.extend_from_slice(&bytes);
        let (walk, _) = walked(&made, 33);
        let _unused = walk.finish("f");
        prop_assert!(walk.whole_bytes() <= u64_of(made.len()));
    }
}

#[test]
fn an_event_that_can_not_be_read_changes_nothing() {
    for (kind, body) in [(162, &[1, 2][..]), (163, &[9, 0, 0, 0, 1])] {
        let mut made = Made::new();
        made.list(&[BEFORE]);
        made.event(4, b"12345678bin.000008");
        let (before, _) = walked(&made.bytes, 100);
        made.time += 60;
        made.event(kind, body);
        let (walk, done) = walked(&made.bytes, 100);
        done.unwrap_err();
        assert_eq!((walk.facts(), walk.whole_bytes()), (before.facts(), before.whole_bytes()));
    }
}
