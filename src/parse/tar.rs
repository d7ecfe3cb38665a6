//! Takes a tar apart: the contents of its entries become members, its headers stay in the script.
//!
//! Every format that GNU tar reads is understood: ustar, pax (with global headers), GNU with long
//! names, sparse files and binary numbers. What is not understood is kept like everything else, so
//! that the archive comes back byte for byte; only single files can't be restored from it.
//!
//! A tar says little about itself: its headers have a checksum, its contents have none, and two
//! blocks of zeros mark its end. So a cut is noticed, a change of contents is not.

pub mod header;
mod map;
pub mod walk;

use crate::base::error::Result;
use crate::parse::container::Dissector;
use crate::parse::container::MEMBER_PATH_BYTES_MAX;
use crate::parse::container::Sink;
use crate::parse::tar::header::BLOCK;
use crate::parse::tar::header::Header;
use crate::parse::tar::walk::Class;
use crate::parse::tar::walk::Ending;
use crate::parse::tar::walk::Entry;
use crate::parse::tar::walk::Reached;
use crate::parse::tar::walk::Walk;

/// Tells whether a stream begins like a tar.
pub fn begins_tar(block: &[u8; BLOCK]) -> bool {
    Header::new(block).is_some_and(|header| header.has_magic() || header.is_of_version_7())
}

/// The facts about an archive that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarFacts {
    /// Number of entries in the archive.
    pub entries: u64,
    /// The way in which the archive ended.
    pub ending: Ending,
    /// The faults of the archive, in words.
    pub faults: Vec<String>,
    /// Number of faults that are not in the list.
    pub faults_others: u64,
}

/// Takes one archive apart.
#[derive(Debug, Default)]
pub struct TarDissector {
    walk: Walk,
}

/// Returns the key of an entry's member: its name without the `./` and `/` that archives may or may
/// not have, as far as keys may be long.
pub fn member_path(entry: &Entry) -> Vec<u8> {
    let parts = entry.path.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
    let mut path = parts.join(&b'/');
    path.truncate(MEMBER_PATH_BYTES_MAX);
    // No name at all; a name of a zero byte is no file's either.
    if path.is_empty() { vec![0] } else { path }
}

impl Dissector for TarDissector {
    type Facts = TarFacts;

    fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = self.walk.step(rest);
            let (these, more) = rest.split_at(step.taken);
            match step.class {
                Class::Literal => sink.literal(these)?,
                Class::Contents => sink.payload(these)?,
            }
            match step.reached {
                Reached::Nothing => {}
                Reached::ContentsEnd => sink.end()?,
                Reached::Entry => {
                    let entry = self.walk.entry().expect("an entry was just reached");
                    if entry.has_contents() {
                        sink.open(&member_path(entry))?;
                        if entry.size == 0 {
                            sink.end()?;
                        }
                    }
                }
            }
            rest = more;
        }
        Ok(())
    }

    fn finish(mut self, _: &mut impl Sink) -> Result<TarFacts> {
        self.walk.finish();
        let (faults, faults_others) = self.walk.faults();
        Ok(TarFacts {
            entries: self.walk.entries(),
            ending: self.walk.ending(),
            faults: faults.to_vec(),
            faults_others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// An event that a dissector reported, with neighbouring bytes of one kind together.
    #[derive(Debug, PartialEq, Eq)]
    enum Event {
        Literal(Vec<u8>),
        Open(Vec<u8>),
        Contents(Vec<u8>),
        End,
    }

    #[derive(Debug, Default)]
    struct Recorder(Vec<Event>);

    impl Sink for Recorder {
        fn literal(&mut self, bytes: &[u8]) -> Result<()> {
            match self.0.last_mut() {
                Some(Event::Literal(last)) => last.extend_from_slice(bytes),
                _ => self.0.push(Event::Literal(bytes.to_vec())),
            }
            Ok(())
        }

        fn open(&mut self, path: &[u8]) -> Result<()> {
            self.0.push(Event::Open(path.to_vec()));
            Ok(())
        }

        fn payload(&mut self, bytes: &[u8]) -> Result<()> {
            match self.0.last_mut() {
                Some(Event::Contents(last)) => last.extend_from_slice(bytes),
                _ => self.0.push(Event::Contents(bytes.to_vec())),
            }
            Ok(())
        }

        fn end(&mut self) -> Result<()> {
            self.0.push(Event::End);
            Ok(())
        }
    }

    fn events_of(stream: &[u8], pieces: &[usize]) -> (Vec<Event>, TarFacts) {
        let (mut dissector, mut recorder) = (TarDissector::default(), Recorder::default());
        let mut sizes = pieces.iter().copied().cycle();
        let mut rest = stream;
        while !rest.is_empty() {
            let count = sizes.next().unwrap_or(usize::MAX).min(rest.len());
            dissector.push(&rest[..count], &mut recorder).unwrap();
            rest = &rest[count..];
        }
        let facts = dissector.finish(&mut recorder).unwrap();
        (recorder.0, facts)
    }

    /// Draws an entry with a right checksum, and bytes of its choice at a place of its header.
    fn entry() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(&b"00000LKxgS1257Z"[..]);
        let contents = prop_oneof![
            vec(any::<u8>(), 0..1500),
            Just(b"24 GNU.sparse.realsize=9\n22 GNU.sparse.major=1\n".to_vec()),
            Just(b"2\n0\n5\n700\n1\n".to_vec()),
            Just(b"10 path=a\n12 path=b/c\n".to_vec()),
        ];
        let odd = prop::option::weighted(0.2, (0..512usize, vec(any::<u8>(), 1..16)));
        (kind, vec(1u8.., 0..20), contents, odd).prop_map(|(kind, name, contents, odd)| {
            let mut block = [0u8; BLOCK];
            block[..name.len()].copy_from_slice(&name);
            block[124..135].copy_from_slice(format!("{:011o}", contents.len()).as_bytes());
            block[156] = kind;
            block[257..265].copy_from_slice(b"ustar\x0000");
            if let Some((at, bytes)) = odd {
                let count = bytes.len().min(BLOCK - at);
                block[at..at + count].copy_from_slice(&bytes[..count]);
            }
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            let mut out = [&block[..], &contents].concat();
            out.resize(out.len().next_multiple_of(BLOCK), 0);
            out
        })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn every_byte_is_reported_once_whatever_the_pieces(
            entries in vec(entry(), 0..6), pieces in vec(1..700usize, 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = [entries.concat(), vec![0; 1024]].concat();
            let stream = &whole[..whole.len() - cut.index(whole.len())];
            let (parts, facts) = events_of(stream, &[]);
            prop_assert_eq!(&(parts, facts), &events_of(stream, &pieces));
            let (parts, _) = events_of(stream, &[]);
            // The way back: contents are only counted.
            let mut walk = Walk::default();
            let mut back = Vec::new();
            for part in &parts {
                match part {
                    Event::Literal(bytes) => {
                        back.extend_from_slice(bytes);
                        let mut rest = &bytes[..];
                        while !rest.is_empty() {
                            let step = walk.step(rest);
                            prop_assert_eq!(step.class, Class::Literal);
                            rest = &rest[step.taken..];
                        }
                    }
                    Event::Contents(bytes) => {
                        back.extend_from_slice(bytes);
                        prop_assert!(walk.skip(crate::base::num::u64_of(bytes.len())).is_some());
                    }
                    Event::Open(path) => {
                        prop_assert_eq!(walk.entry().map(member_path), Some(path.clone()));
                    }
                    Event::End => {}
                }
            }
            prop_assert_eq!(&back[..], stream);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..2000)) {
            let (parts, _) = events_of(&bytes, &[]);
            prop_assert!(parts.len() <= 1, "no checksum is right by chance");
        }
    }

    #[test]
    fn a_tar_is_recognised_by_its_first_header() {
        let mut block = [0u8; BLOCK];
        assert!(!begins_tar(&block));
        block[257..263].copy_from_slice(b"ustar\0");
        assert!(!begins_tar(&block), "its checksum is wrong");
        block[148..155].copy_from_slice(b"001504\0");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let stated: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{:06o}\0", sum - stated + 256).as_bytes());
        assert!(begins_tar(&block));
    }
}
