//! Any script of a container, in any pieces: the same ops or the same error, and never more than
//! its bytes can stand for.

#![no_main]

use haulout::parse::item::Incarnation;
use haulout::parse::script::ScriptError;
use haulout::parse::script::container::ContainerOp;
use haulout::parse::script::container::ContainerReader;
use haulout::parse::script::container::ContainerWriter;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use haulout_fuzz::u64_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let script = match mode % 3 {
        0 => [&[2], input.rest()].concat(),
        1 => made(&mut input),
        _ => {
            let script = made(&mut Input(input.piece()));
            graft(&script, &mut input)
        }
    };
    let whole = read(&script, script.len().max(1));
    assert_eq!(whole, read(&script, piece), "the sizes of pieces change nothing");
    assert!(mode % 3 != 1 || whole.1.is_ok(), "a script just written is read");
});

/// The script of members and literals that the input asks for.
fn made(input: &mut Input<'_>) -> Vec<u8> {
    let mut writer = ContainerWriter::new();
    let mut is_open = false;
    while !input.is_empty() {
        match input.byte() % 4 {
            0 => writer.literal(input.piece()),
            1 if is_open => writer.run(input.number() >> 16),
            2 if is_open => {
                writer.end();
                is_open = false;
            }
            _ if !is_open => {
                let path = [b"x", input.piece()].concat();
                writer.open(&path, Incarnation::new(u32::from(input.byte())));
                is_open = true;
            }
            _ => {}
        }
    }
    writer.finish()
}

fn stream_bytes(op: &ContainerOp<'_>) -> u64 {
    match op {
        ContainerOp::Literal(bytes) => u64_of(bytes.len()),
        ContainerOp::Run(_, range) => range.end - range.start,
        ContainerOp::Open(_) | ContainerOp::End(_) => 0,
    }
}

/// The ops in words, and the bytes of the stream that they stand for.
fn read(script: &[u8], piece: usize) -> (Vec<String>, Result<u64, ScriptError>) {
    let mut reader = ContainerReader::new();
    let mut ops = Vec::new();
    let mut bytes = 0_u64;
    for part in script.chunks(piece) {
        reader.feed(part);
        loop {
            match reader.next_op() {
                Ok(Some(op)) => {
                    bytes = bytes.checked_add(stream_bytes(&op)).expect("the reader bounds it");
                    if let ContainerOp::Run(_, range) = &op {
                        assert!(range.start < range.end, "no run is empty");
                    }
                    ops.push(format!("{op:?}"));
                }
                Ok(None) => break,
                Err(error) => return (ops, Err(error)),
            }
        }
        assert!(ops.len() <= script.len(), "an op takes a byte");
    }
    (ops, reader.finish().map(|()| bytes))
}
