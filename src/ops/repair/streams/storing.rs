//! Stores blocks in new packs, and puts the records that say for which lost entries they stand.

use std::collections::BTreeMap;

use crate::base::buffers::Buffers;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::PackIndex;
use crate::base::limits::SMALL_PACK_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::encode::EncodedFrame;
use crate::encode::ReadBack;
use crate::format::layout::Object;
use crate::ops::repair::found::Copies;
use crate::ops::repair::found::put_records;
use crate::ops::repair::streams::lost::Lost;
use crate::ops::run_intent::HoldingRun;
use crate::pack::writer::NewPack;
use crate::pack::writer::PackWriter;
use crate::pack::writer::RunKeys;
use crate::pipeline::uploader::put_confirmed;
use crate::repo::Repository;
use crate::store::name::ObjectName;

/// Entries after which records are put: 256 MiB of pages.
pub(super) const RECORDED_AT_ONCE: u64 = 16_384;

/// A pack that is being filled, and the blocks in it.
#[derive(Debug)]
struct Filling {
    writer: PackWriter,
    blocks: Vec<(BlockHash, EntryNumber)>,
}

/// Stores blocks in packs, and records where they are.
pub(super) struct Storing<'s> {
    repository: &'s Repository,
    intent: &'s HoldingRun<'s>,
    keys: RunKeys,
    monitor: &'s Monitor,
    buffers: Buffers,
    open: BTreeMap<Class, Filling>,
    /// Entries whose copies are in stored packs, and no record says so.
    copies: Copies,
    entries: u64,
    /// The packs that were put, in all copies.
    pub(super) put: Vec<ObjectName>,
    /// The records that were put.
    pub(super) recorded: Vec<ObjectName>,
}

impl<'s> Storing<'s> {
    /// Creates a store of blocks for a run whose intent and keys are there.
    pub(super) fn new(
        repository: &'s Repository,
        intent: &'s HoldingRun<'s>,
        keys: RunKeys,
        monitor: &'s Monitor,
    ) -> Self {
        Self {
            repository,
            intent,
            keys,
            monitor,
            buffers: Buffers::new(SMALL_PACK_BYTES_MAX),
            open: BTreeMap::new(),
            copies: Copies::new(),
            entries: 0,
            put: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// Adds a frame to a pack of its class.
    pub(super) fn add(&mut self, class: Class, frame: &EncodedFrame, lost: &Lost) -> Result<()> {
        let is_full = |open: &Filling| open.writer.is_full(SMALL_PACK_BYTES_MAX);
        if self.open.get(&class).is_some_and(is_full) {
            self.close(class, lost)?;
            if self.entries >= RECORDED_AT_ONCE {
                self.record()?;
            }
        }
        if !self.open.contains_key(&class) {
            let pack = NewPack { class, index: PackIndex(0), buffer: self.buffers.take() };
            let (keyring, entropy) = (self.repository.keyring(), self.repository.entropy());
            let writer = PackWriter::begin(keyring, &self.keys, pack, ReadBack::On, &**entropy)?;
            self.open.insert(class, Filling { writer, blocks: Vec::new() });
        }
        let Some(filling) = self.open.get_mut(&class) else { return Ok(()) };
        let first = filling.writer.add_frame(frame);
        let numbers = (first.0..).map(EntryNumber);
        filling.blocks.extend(frame.blocks().iter().map(|block| block.hash).zip(numbers));
        Ok(())
    }

    /// Stores the open pack of a class.
    fn close(&mut self, class: Class, lost: &Lost) -> Result<()> {
        let Some(Filling { writer, blocks }) = self.open.remove(&class) else { return Ok(()) };
        let finished = writer.finish()?.seal()?;
        let pack = finished.record.name;
        let objects = match class {
            Class::Data => vec![Object::Pack(pack)],
            Class::Meta => vec![Object::Twin(pack), Object::Pack(pack)],
        };
        for object in objects {
            let name = object.name();
            put_confirmed(&**self.repository.store(), self.monitor, &name, &finished.bytes)?;
            self.put.push(name);
        }
        for (hash, entry) in blocks {
            for place in lost.blocks.get(&hash).into_iter().flat_map(|block| &block.places) {
                let copy = EntryAddress { pack, entry };
                self.copies.entry(place.pack).or_default().push((place.entry, copy));
                self.entries += 1;
            }
        }
        Ok(())
    }

    /// Stores all open packs, and puts the records about what is in them.
    pub(super) fn finish(&mut self, lost: &Lost) -> Result<()> {
        for class in [Class::Data, Class::Meta] {
            self.close(class, lost)?;
        }
        self.record()
    }

    fn record(&mut self) -> Result<()> {
        if self.copies.is_empty() {
            return Ok(());
        }
        // A prune that has stopped the run deletes its packs.
        self.intent.look()?;
        self.entries = 0;
        let copies = std::mem::take(&mut self.copies);
        self.recorded.extend(put_records(self.repository, copies, self.monitor)?);
        Ok(())
    }
}
