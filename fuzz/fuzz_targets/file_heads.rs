//! Any beginning of a redo log, a table definition or an Aria index: an answer.

#![no_main]

use haulout::aria::{AriaTable, BlockVerdict};
use haulout::innodb::Lsn;
use haulout::innodb::frm::Frm;
use haulout::innodb::redo::{REDO_HEAD_BYTES, REDO_HEADER_BYTES, RedoHeader};
use haulout_fuzz::{Input, crc32c, spread, wide};
use libfuzzer_sys::fuzz_target;

/// Where Aria's magic number is.
const ARIA: [u8; 4] = [0xfe, 0xfe, 9, 3];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => redo(&mut input),
        1 => definition(input.rest()),
        2 => aria(&[&ARIA, input.rest()].concat()),
        _ => {
            let bytes = input.rest();
            if let Ok(header) = RedoHeader::parse(bytes) {
                assert!(bytes.len() >= REDO_HEADER_BYTES && header.checkpoint().is_none());
            }
            aria(bytes);
        }
    }
});

fn redo(input: &mut Input<'_>) {
    let last_lsn = Lsn::new(input.number());
    let mut head = spread(input.piece(), REDO_HEADER_BYTES - 4);
    head.extend_from_slice(&crc32c(&head).to_be_bytes());
    head.resize(REDO_HEAD_BYTES, 0);
    for at in [4096, 8192] {
        let block = &mut head[at..at + 64];
        block[..60].copy_from_slice(&input.array::<60>());
        let sum = crc32c(&block[..60]);
        block[60..].copy_from_slice(&sum.to_be_bytes());
    }
    if let Ok(header) = RedoHeader::parse(&head) {
        let _bytes = header.file_bytes(last_lsn);
        assert!(header.creator().len() <= 3 * 32, "a creator is a short text");
        let checkpoint = header.checkpoint();
        assert!(checkpoint.is_none_or(|checkpoint| checkpoint.lsn >= header.first_lsn()));
    }
}

fn definition(bytes: &[u8]) {
    for exists in [true, false] {
        let _missing = Frm::parse(bytes).missing(|_| exists);
    }
}

fn aria(bytes: &[u8]) {
    let Ok(table) = AriaTable::parse(bytes) else { return };
    let block = spread(bytes, table.block_size().bytes());
    for number in [0, 1, wide(bytes.len()), u64::MAX] {
        for verdict in [table.check_data(&block, number), table.check_index(&block, number)] {
            if let BlockVerdict::Corrupt(reason) = verdict {
                assert!(!reason.to_string().is_empty());
            }
        }
    }
}
