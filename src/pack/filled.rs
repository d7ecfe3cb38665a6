//! A pack that is filled: its frames stand in their places, in plain text, each before the room for
//! its tag.
//!
//! Sealing and hashing take far more time than filling, which is the work of one thread in stream
//! order. So the threads that store packs seal them, each a pack of its own.
//! [`FilledPack::seal`] is the only way from here to a pack that can be stored.
//!
//! Invariants:
//! - Frames are sealed in the order in which they lie in the pack: a frame's ordinal is its number.
//! - With read-back every sealed frame was opened again and equals what was sealed.
//! - A [`FinishedPack`] is whole: name, bytes and directory belong together. It is not stored yet.

use blake3::Hasher;
use bytes::Bytes;

use crate::base::buffers::Buffer;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::format::pack_table::PackRecord;
use crate::seal::section::FrameKind;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::section::TAG_BYTES;

/// The plain texts of a pack, and what seals them.
#[derive(Debug)]
pub struct FilledPack {
    pub(super) index: PackIndex,
    /// The record without the pack's name.
    pub(super) record: PackRecord,
    pub(super) texts: Texts,
    pub(super) sealer: SectionSealer,
    /// Opens what was just sealed.
    pub(super) opener: Option<SectionOpener>,
}

/// A whole pack, ready to be stored.
#[derive(Debug)]
pub struct FinishedPack {
    /// The index it was given in the pack table.
    pub index: PackIndex,
    /// The record of the pack for the pack table.
    pub record: PackRecord,
    /// Bytes of the object, from preamble to trailer.
    pub bytes: Bytes,
}

/// The bytes of a pack, whose texts are not sealed yet.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) buffer: Buffer,
    /// Kinds and lengths of the texts in their order; the first follows the preamble.
    lengths: Vec<(FrameKind, usize)>,
    begin: usize,
}

impl Texts {
    /// Creates the bytes of a pack, of which there is the preamble.
    pub(super) fn new(mut buffer: Buffer, preamble: &[u8]) -> Self {
        buffer.extend_from_slice(preamble);
        Self { buffer, lengths: Vec::new(), begin: preamble.len() }
    }

    /// Adds a text and the room for its tag; returns the number of stored bytes.
    pub(super) fn push(&mut self, kind: FrameKind, text: &[u8]) -> usize {
        self.lengths.push((kind, text.len()));
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(&[0; TAG_BYTES]);
        text.len() + TAG_BYTES
    }
}

impl FilledPack {
    /// Seals all texts and names the pack.
    pub fn seal(self) -> Result<FinishedPack> {
        let Self { index, mut record, texts, sealer, opener } = self;
        let Texts { mut buffer, lengths, begin } = texts;
        let mut name = Hasher::new();
        let (mut at, mut before, mut back) = (begin, Vec::new(), Vec::new());
        name.update(&buffer[..begin]);
        for (kind, length) in lengths {
            let frame = &mut buffer[at..at + length + TAG_BYTES];
            if opener.is_some() {
                before.clear();
                before.extend_from_slice(&frame[..length]);
            }
            let ordinal = sealer.seal_in_place(kind, frame);
            if let Some(opener) = &opener {
                opener
                    .open_into(kind, ordinal, frame, &mut back)
                    .map_err(|e| miscomputed("a sealed frame").because(e))?;
                if back != before {
                    return Err(miscomputed("a sealed frame"));
                }
            }
            // While it is in the cache.
            name.update(frame);
            at += frame.len();
        }
        name.update(&buffer[at..]);
        assert_eq!(record.bytes, u64_of(buffer.len()), "it was counted when it was filled");
        record.name = PackName(*name.finalize().as_bytes());
        Ok(FinishedPack { index, record, bytes: buffer.freeze() })
    }
}

pub(super) fn miscomputed(what: &str) -> Error {
    Error::new(ErrorKind::Miscomputed, format!("{what} does not open to what was sealed"))
}
