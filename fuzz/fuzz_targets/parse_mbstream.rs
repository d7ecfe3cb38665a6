//! Any stream, in any reads: script and members give it back to the byte.

#![no_main]

use haulout::parse::replay::Emit;
use haulout::parse::replay::Replay;
use haulout_fuzz::Ingested;
use haulout_fuzz::Input;
use haulout_fuzz::made_stream;
use haulout_fuzz::usize_of;
use haulout_fuzz::walk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let reads = input.piece();
    let stream = match mode % 3 {
        0 => input.rest().to_vec(),
        1 => made_stream(&mut input),
        _ => {
            let (at, by) = (usize_of(input.number() % 4096), input.byte());
            let mut stream = made_stream(&mut input);
            match stream.get_mut(at) {
                Some(byte) => *byte ^= by,
                None => stream.truncate(stream.len() / 2),
            }
            stream
        }
    };
    let whole = walk(&stream, &[], |_| {});
    let split = walk(&stream, reads, |_| {});
    assert_eq!(whole, split, "the sizes of reads change nothing");
    assert_eq!(replay(&whole, usize::from(mode) + 1), stream);
});

fn replay(ingested: &Ingested, piece: usize) -> Vec<u8> {
    let mut replay = Replay::new();
    let mut out = Vec::new();
    for part in ingested.script.chunks(piece) {
        replay.feed(part);
        while let Some(emit) = replay.next_emit().expect("a script just written is read") {
            match emit {
                Emit::Bytes(bytes) => out.extend_from_slice(bytes),
                Emit::Member { target, range } => {
                    let member = &ingested.members[usize_of(target.member.get())];
                    out.extend_from_slice(&member[usize_of(range.start)..usize_of(range.end)]);
                }
            }
        }
    }
    replay.finish().expect("a script just written is whole");
    out
}
