//! Any option file: no text makes the parser panic, and what it says is within the text.

#![no_main]

use haulout::server::option_file::Line;
use haulout::server::option_file::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(lines) = parse(data) else { return };
    assert!(lines.len() <= data.split(|byte| *byte == b'\n').count());
    for line in lines {
        if let Line::Option(name, value) = line {
            assert!(!name.is_empty() && !name.contains('_'));
            // Bytes that are no text become three.
            assert!(value.is_none_or(|value| value.len() <= 3 * data.len()));
        }
    }
});
