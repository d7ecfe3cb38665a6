//! Any beginning of a redo log, a table definition or an Aria index: an answer.

#![no_main]

use haulout::aria::AriaTable;
use haulout::aria::BlockVerdict;
use haulout::innodb::Lsn;
use haulout::innodb::frm::Frm;
use haulout::innodb::redo::REDO_HEADER_BYTES;
use haulout::innodb::redo::RedoHeader;
use haulout_fuzz::Input;
use haulout_fuzz::crc32c;
use haulout_fuzz::spread;
use haulout_fuzz::u64_of;
use libfuzzer_sys::fuzz_target;

/// Where the log begins in its file, since MariaDB 10.8.
const LOG_AT: usize = 12_288;

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
                assert!(bytes.len() >= REDO_HEADER_BYTES);
                let _log = header.check_log(bytes);
            }
            aria(bytes);
        }
    }
});

fn redo(input: &mut Input<'_>) {
    let last_lsn = Lsn::new(input.number());
    let mut head = spread(input.piece(), REDO_HEADER_BYTES - 4);
    head.extend_from_slice(&crc32c(&head).to_be_bytes());
    head.resize(LOG_AT, 0);
    head.extend_from_slice(input.rest());
    if let Ok(header) = RedoHeader::parse(&head) {
        let _bytes = header.file_bytes(last_lsn);
        let _log = header.check_log(&head);
    }
}

fn definition(bytes: &[u8]) {
    for exists in [true, false] {
        let _missing = Frm::parse(bytes).missing(|_| exists);
    }
}

fn aria(bytes: &[u8]) {
    let Ok(table) = AriaTable::parse(bytes) else { return };
    let Some(size) = table.data_block_size() else { return };
    let block = spread(bytes, size.bytes());
    for number in [0, 1, u64_of(bytes.len()), u64::MAX] {
        if let BlockVerdict::Corrupt(reason) = table.check_data(&block, number) {
            assert!(!reason.to_string().is_empty());
        }
    }
}
