//! Any script, in any pieces: the same ops or the same error, and never more than it may stand for.

#![no_main]

use haulout::parse::replay::Emit;
use haulout::parse::replay::Replay;
use haulout::parse::script::Op;
use haulout::parse::script::ScriptError;
use haulout::parse::script::ScriptReader;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use haulout_fuzz::made_stream;
use haulout_fuzz::u64_of;
use haulout_fuzz::walk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let script = match mode % 3 {
        0 => [&[1], input.rest()].concat(),
        1 => input.rest().to_vec(),
        _ => {
            let mut made = Input(input.piece());
            let script = walk(&made_stream(&mut made), &[], |_| {}).script;
            graft(&script, &mut input)
        }
    };
    let whole = read(&script, script.len().max(1));
    assert_eq!(whole, read(&script, piece), "the sizes of pieces change nothing");
    let replayed = replay(&script, piece);
    assert_eq!(replayed.as_ref().err(), whole.1.as_ref().err());
    if let (Ok(bytes), (_, Ok(counted))) = (&replayed, &whole) {
        assert_eq!(bytes, counted, "replay emits what the ops stand for");
    }
});

/// The ops in words, and the bytes of the stream that they stand for.
fn read(script: &[u8], piece: usize) -> (Vec<String>, Result<u64, ScriptError>) {
    let mut reader = ScriptReader::new();
    let mut ops = Vec::new();
    let mut bytes = 0_u64;
    for part in script.chunks(piece) {
        reader.feed(part);
        loop {
            match reader.next_op() {
                Ok(Some(op)) => {
                    bytes = bytes.checked_add(counted(&op)).expect("the reader bounds the sum");
                    ops.push(format!("{op:?}"));
                }
                Ok(None) => break,
                Err(error) => return (ops, Err(error)),
            }
        }
        assert!(ops.len() <= 2 * script.len(), "an op and its end take a byte");
    }
    (ops, reader.finish().map(|()| bytes))
}

fn counted(op: &Op<'_>) -> u64 {
    op.stream_bytes()
}

fn replay(script: &[u8], piece: usize) -> Result<u64, ScriptError> {
    let mut replay = Replay::new();
    let mut bytes = 0;
    for part in script.chunks(piece) {
        replay.feed(part);
        while let Some(emit) = replay.next_emit()? {
            bytes += match emit {
                Emit::Bytes(bytes) => u64_of(bytes.len()),
                Emit::Member { range, .. } => range.end - range.start,
            };
        }
    }
    replay.finish().map(|()| bytes)
}
