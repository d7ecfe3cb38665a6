//! Writes one pack: frames as they come, directory and trailer last. They are sealed once all of
//! them are there.
//!
//! Invariants:
//! - An entry has its number as soon as it is added, also while its frame of records is still open.

use crate::base::buffers::Buffer;
use crate::base::entropy::Entropy;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::DELTA_FRAME_BYTES_TARGET;
use crate::base::limits::META_PACK_FRAMES_BYTES_FULL;
use crate::base::limits::PACK_DIRECTORY_ROOM;
use crate::base::limits::PACK_ENTRIES_MAX;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::encode::EncodedDelta;
use crate::encode::EncodedFrame;
use crate::encode::ReadBack;
use crate::encode::RecordsCoder;
use crate::format::directory::DirectoryBuilder;
use crate::format::directory::NewRecord;
use crate::format::pack_table::PackRecord;
use crate::format::trailer;
use crate::format::trailer::Trailer;
use crate::pack::filled::FilledPack;
use crate::pack::filled::Texts;
use crate::pack::filled::miscomputed;
use crate::seal::keys::Keyring;
use crate::seal::run::RunRecord;
use crate::seal::run::RunSecret;
use crate::seal::section::FrameKind;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;

/// The record and the secret that all packs of a run share.
#[derive(Debug)]
pub struct RunKeys {
    record: RunRecord,
    secret: RunSecret,
}

impl RunKeys {
    /// Creates the keys of a run whose record is durable.
    pub fn new(record: RunRecord, secret: RunSecret) -> Self {
        Self { record, secret }
    }
}

/// The kind and place of a pack that is to be begun.
#[derive(Debug)]
pub struct NewPack {
    /// The class of what it holds.
    pub class: Class,
    /// The index in the pack table by which it will be known.
    pub index: PackIndex,
    /// The empty buffer that it is filled in.
    pub buffer: Buffer,
}

/// A pack that is being filled.
#[derive(Debug)]
pub struct PackWriter {
    class: Class,
    index: PackIndex,
    sealer: SectionSealer,
    opener: Option<SectionOpener>,
    directory: DirectoryBuilder,
    records: Vec<u8>,
    records_coder: RecordsCoder,
    copies: Vec<u8>,
    run: [u8; 16],
    texts: Texts,
}

impl PackWriter {
    /// Begins a pack of this kind in this place.
    pub fn begin(
        keyring: &Keyring,
        keys: &RunKeys,
        pack: NewPack,
        read_back: ReadBack,
        entropy: &dyn Entropy,
    ) -> Result<Self> {
        let NewPack { class, index, buffer } = pack;
        let secret = keys.secret.class(class);
        let sealer = SectionSealer::begin(keyring, class, secret, entropy);
        let opener = match read_back {
            ReadBack::Off => None,
            ReadBack::On => {
                let opener = SectionOpener::new(keyring, &sealer.header(), secret)
                    .map_err(|e| miscomputed("the key of a new pack").because(e))?;
                Some(opener)
            }
        };
        let mut copies = Vec::new();
        keys.record.copies_of(class).for_each(|copy| copy.encode(&mut copies));
        let preamble = trailer::preamble(class, sealer.header().suite.byte());
        Ok(Self {
            class,
            index,
            opener,
            directory: DirectoryBuilder::default(),
            records: Vec::new(),
            records_coder: RecordsCoder::new(read_back),
            copies,
            run: *keys.record.run().bytes(),
            texts: Texts::new(buffer, &preamble),
            sealer,
        })
    }

    /// Returns the index of this pack in the pack table.
    pub fn index(&self) -> PackIndex {
        self.index
    }

    /// Tells whether it should be finished before more is added, so that it has at most
    /// `pack_bytes` bytes if it holds data.
    pub fn is_full(&self, pack_bytes: usize) -> bool {
        let full = match self.class {
            Class::Data => pack_bytes - PACK_DIRECTORY_ROOM,
            Class::Meta => META_PACK_FRAMES_BYTES_FULL,
        };
        // A frame adds at most a few hundred entries: blocks have at least 256 bytes.
        self.directory.stored() + self.records.len() >= full
            || self.directory.entries() + 1024 >= PACK_ENTRIES_MAX
    }

    /// Adds a frame of whole blocks; the number of its first block.
    pub fn add_frame(&mut self, frame: &EncodedFrame) -> EntryNumber {
        let stored = self.texts.push(FrameKind::Frame, frame.text());
        self.directory.add_whole(frame.codec(), stored, frame.blocks())
    }

    /// Adds a delta to an entry of another pack, or to two of them; its number.
    pub fn add_delta(
        &mut self,
        delta: &EncodedDelta,
        base: EntryAddress,
        second: Option<EntryAddress>,
    ) -> Result<EntryNumber> {
        let (length, record, form) = (delta.length(), delta.text().len(), delta.form());
        self.add_record(delta.text(), NewRecord { length, record, form, base, second })
    }

    /// Adds the record of a delta as it was made before; its number.
    pub fn add_record(&mut self, record: &[u8], new: NewRecord) -> Result<EntryNumber> {
        if self.records.len() + record.len() > DELTA_FRAME_BYTES_TARGET {
            self.close_records()?;
        }
        self.records.extend_from_slice(record);
        Ok(self.directory.add_record(new))
    }

    fn close_records(&mut self) -> Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.records);
        let packed = self.records_coder.encode(records);
        let (codec, text) = packed.map_err(|_| miscomputed("a frame of deltas"))?;
        let stored = self.texts.push(FrameKind::Frame, &text);
        self.directory.close_records(codec, stored);
        Ok(())
    }

    /// Ends the pack: directory, sealed copies of the run's secret, trailer.
    pub fn finish(mut self) -> Result<FilledPack> {
        self.close_records()?;
        let frames_bytes = u32_of(self.directory.stored());
        let header = self.sealer.header();
        let directory = self.directory.finish();
        let entries = u32_of(directory.slots.len());
        let frames = u32_of(directory.frames.len());
        let directory_bytes = self.texts.push(FrameKind::Directory, &directory.encode());
        let trailer = Trailer {
            run: self.run,
            salt: header.salt,
            commitment: header.commitment,
            frames_bytes,
            directory_bytes: u32_of(directory_bytes),
            copies_bytes: u32_of(self.copies.len()),
            frames,
            class: self.class,
            suite: header.suite.byte(),
        };
        self.texts.buffer.extend_from_slice(&self.copies);
        self.texts.buffer.extend_from_slice(&trailer.encode());
        let bytes = u64_of(self.texts.buffer.len());
        assert_eq!(bytes, trailer.section_bytes(), "the trailer adds up");
        let tail_bytes =
            u32::try_from(trailer.tail_bytes()).expect("a directory is far below 4 GiB");
        let name = PackName([0; 32]);
        let record = PackRecord { name, bytes, tail_bytes, entries, class: self.class };
        let Self { index, texts, sealer, opener, .. } = self;
        Ok(FilledPack { index, record, texts, sealer, opener })
    }
}
