//! Any text of a segment: what is read is written as one that says the same.

#![no_main]

use haulout::format::binlog::SegmentText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(read) = SegmentText::decode(data) else { return };
    assert!(read.head.start < read.head.end);
    assert_eq!(SegmentText::decode(&read.encode()), Ok(read));
});
