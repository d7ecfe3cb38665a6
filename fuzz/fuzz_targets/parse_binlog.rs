//! Any binary log, in any pieces: the pieces change nothing, what is whole stays whole when the
//! file is cut there, and the mark of an open file is no part of it.

#![no_main]

use haulout::parse::binlog::BinlogFault;
use haulout::parse::binlog::Walk;
use haulout_fuzz::Input;
use haulout_fuzz::usize_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let pieces = input.piece();
    let mut file = if mode & 1 == 0 { input.rest().to_vec() } else { made(&mut input) };
    let (whole, done) = walked(&file, &[]);
    let (pieced, also) = walked(&file, pieces);
    assert_eq!(done, also);
    assert_eq!((whole.whole_bytes(), whole.facts()), (pieced.whole_bytes(), pieced.facts()));
    assert_eq!(whole.finish("f"), pieced.finish("f"));
    assert!(whole.whole_bytes() <= file.len() as u64);
    let (cut, done) = walked(&file[..usize_of(whole.whole_bytes())], pieces);
    assert_eq!((done, cut.whole_bytes()), (Ok(()), whole.whole_bytes()));
    assert_eq!(cut.facts(), whole.facts());
    if let (Ok(index), Some(flags)) = (whole.finish("f"), file.get_mut(21)) {
        *flags ^= 1;
        assert_eq!(walked(&file, pieces).0.finish("f"), Ok(index));
    }
});

fn walked(file: &[u8], pieces: &[u8]) -> (Walk, Result<(), BinlogFault>) {
    let mut walk = Walk::new();
    let mut sizes = pieces.iter().map(|size| usize::from(*size) + 1).cycle();
    let mut rest = file;
    while !rest.is_empty() {
        let count = sizes.next().unwrap_or(usize::MAX).min(rest.len());
        if let Err(fault) = walk.push(&rest[..count]) {
            return (walk, Err(fault));
        }
        rest = &rest[count..];
    }
    (walk, Ok(()))
}

/// Events with right lengths and checksums, whatever else is in them.
fn made(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = b"\xfebin".to_vec();
    let mut description = vec![0; 57];
    description[0] = 4;
    description[56] = 19;
    description.extend_from_slice(&[13, 1]);
    event(&mut file, 15, &description);
    while !input.is_empty() {
        let kind = input.byte();
        let body = input.piece();
        event(&mut file, kind, body);
    }
    file
}

fn event(file: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let start = file.len();
    file.extend_from_slice(&[9, 0, 0, 0, kind, 11, 0, 0, 0]);
    let length = u32::try_from(19 + body.len() + 4).expect("inputs are small");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&[0; 6]);
    file.extend_from_slice(body);
    let crc = crc32fast::hash(&file[start..]);
    file.extend_from_slice(&crc.to_le_bytes());
}
