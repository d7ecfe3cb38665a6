//! Any tar, in any pieces: every byte goes to a member or to the script, once and in order, and a
//! walk that only counts the contents finds the same entries.

#![no_main]

use haulout::base::error::Result;
use haulout::parse::container::Dissector;
use haulout::parse::container::Sink;
use haulout::parse::tar::TarDissector;
use haulout::parse::tar::header::BLOCK;
use haulout::parse::tar::walk::Reached;
use haulout::parse::tar::walk::Walk;
use haulout_fuzz::Input;
use haulout_fuzz::usize_of;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Literal(Vec<u8>),
    Open(Vec<u8>),
    Contents(Vec<u8>),
    End,
}

#[derive(Debug, Default)]
struct Recorder(Vec<Event>, bool);

impl Sink for Recorder {
    fn literal(&mut self, bytes: &[u8]) -> Result<()> {
        match self.0.last_mut() {
            Some(Event::Literal(last)) => last.extend_from_slice(bytes),
            _ => self.0.push(Event::Literal(bytes.to_vec())),
        }
        Ok(())
    }

    fn open(&mut self, path: &[u8]) -> Result<()> {
        assert!(!self.1 && !path.is_empty(), "members do not nest and have a name");
        self.1 = true;
        self.0.push(Event::Open(path.to_vec()));
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(self.1, "contents are a member's");
        match self.0.last_mut() {
            Some(Event::Contents(last)) => last.extend_from_slice(bytes),
            _ => self.0.push(Event::Contents(bytes.to_vec())),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        assert!(std::mem::take(&mut self.1), "what ends was open");
        self.0.push(Event::End);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let pieces = input.piece();
    let stream = if mode & 1 == 0 { input.rest().to_vec() } else { made(&mut input) };
    let whole = events_of(&stream, &[]);
    assert_eq!(whole, events_of(&stream, pieces), "the sizes of pieces change nothing");
    let mut back = Vec::new();
    let mut walk = Walk::default();
    for event in &whole {
        match event {
            Event::Literal(bytes) => {
                back.extend_from_slice(bytes);
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    rest = &rest[walk.step(rest).taken..];
                }
            }
            Event::Contents(bytes) => {
                back.extend_from_slice(bytes);
                let reached = walk.skip(bytes.len() as u64);
                assert!(reached.is_some_and(|reached| reached != Reached::Entry));
            }
            Event::Open(_) => assert!(walk.entry().is_some_and(|entry| entry.has_contents())),
            Event::End => {}
        }
    }
    assert_eq!(back, stream);
});

fn events_of(stream: &[u8], pieces: &[u8]) -> Vec<Event> {
    let (mut dissector, mut recorder) = (TarDissector::default(), Recorder::default());
    let mut sizes = pieces.iter().map(|size| usize::from(*size) + 1).cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let count = sizes.next().unwrap_or(usize::MAX).min(rest.len());
        dissector.push(&rest[..count], &mut recorder).expect("the sink never fails");
        rest = &rest[count..];
    }
    dissector.finish(&mut recorder).expect("the sink never fails");
    recorder.0
}

/// Headers with right checksums, whatever else is in them.
fn made(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() {
        let mut block = [0u8; BLOCK];
        let kind = input.byte();
        block[156] = b"0LKxgS125"[usize::from(kind % 9)];
        let contents = input.piece();
        block[..20].copy_from_slice(&input.array::<20>());
        let size = format!("{:011o}", contents.len() + usize::from(kind == 255));
        block[124..135].copy_from_slice(size.as_bytes());
        block[257..263].copy_from_slice(if kind & 64 == 0 { b"ustar\0" } else { b"ustar " });
        if kind & 128 != 0 {
            let at = usize_of(input.number() % 512);
            let bytes = input.piece();
            let room = (BLOCK - at).min(bytes.len());
            block[at..at + room].copy_from_slice(&bytes[..room]);
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        stream.extend_from_slice(&block);
        stream.extend_from_slice(contents);
        stream.resize(stream.len().next_multiple_of(BLOCK), 0);
    }
    stream
}
