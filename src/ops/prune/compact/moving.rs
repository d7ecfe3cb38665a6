//! Moves live entries of old packs into new ones, and checks that every block can be had from
//! there.
//!
//! - A frame of which everything is live is taken over as it is compressed; of others, the live
//!   blocks and records are compressed again. What is a delta stays one, against the same base.
//! - Whole blocks are decoded again by what encodes them. When a new pack is stored, each block is
//!   read from it and hashed, deltas too.
//! - What can't be read leaves its old pack as it is.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use crate::base::buffers::Buffers;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::limits::FRAME_OF_PAGES_BYTES_TARGET;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::encode::Compress;
use crate::encode::Level;
use crate::encode::ReadBack;
use crate::encode::WholeCoder;
use crate::format::directory::Content;
use crate::format::directory::FrameKind;
use crate::format::directory::FramedBlock;
use crate::format::directory::NewRecord;
use crate::format::directory::Slot;
use crate::format::layout::Object;
use crate::format::lists::Relocation;
use crate::format::pack_table::PackRecord;
use crate::format::pack_table::PackTable;
use crate::ops::prune::compact::walk::LiveEntries;
use crate::pack::reader::OpenPack;
use crate::pack::reader::OpenedFrame;
use crate::pack::reader::Packs;
use crate::pack::reader::Wanted;
use crate::pack::writer::NewPack;
use crate::pack::writer::PackWriter;
use crate::pack::writer::RunKeys;
use crate::pipeline::uploader::put_confirmed;
use crate::repo::Repository;

/// Bytes of blocks that are checked together.
const CHECK_BYTES: u64 = 4 << 20;

/// An old pack whose live entries are in new packs.
#[derive(Debug)]
pub(super) struct MovedPack {
    pub(super) record: PackRecord,
    /// Old entry, number of the new pack, new entry.
    moves: Vec<(EntryNumber, u32, EntryNumber)>,
}

/// An entry of a new pack that is read when the pack is stored.
#[derive(Debug)]
struct Check {
    old: PackName,
    entry: EntryNumber,
    hash: BlockHash,
    length: u64,
}

/// Fills new packs with what is live of old ones.
pub(super) struct Mover<'m> {
    repository: &'m Repository,
    keys: RunKeys,
    monitor: &'m Arc<Monitor>,
    pack_bytes: usize,
    /// Reads the old packs.
    packs: Arc<Packs>,
    coder: WholeCoder,
    buffers: Buffers,
    writer: Option<PackWriter>,
    /// The new packs that are stored, by their numbers.
    pub(super) made: BTreeMap<u32, PackRecord>,
    next: u32,
    /// What is in the pack that is being filled.
    checks: Vec<Check>,
    waiting: Vec<MovedPack>,
    /// Old packs of which something can't be read, and why.
    pub(super) failed: BTreeMap<PackName, String>,
}

/// Blocks of one old pack that wait for a frame of their own.
#[derive(Default)]
struct Gathered {
    raw: Vec<u8>,
    blocks: Vec<FramedBlock>,
    entries: Vec<EntryNumber>,
}

impl<'m> Mover<'m> {
    /// Creates a mover of these packs.
    pub(super) fn new(
        repository: &'m Repository,
        keys: RunKeys,
        old: Vec<PackRecord>,
        pack_bytes: usize,
        monitor: &'m Arc<Monitor>,
    ) -> Self {
        let packs = Arc::new(repository.packs(PackTable::new(old), monitor));
        let coder = WholeCoder::new(Level::AUTO, ReadBack::On, packs.hasher().clone());
        Self {
            repository,
            keys,
            monitor,
            pack_bytes,
            packs,
            coder,
            buffers: Buffers::new(pack_bytes),
            writer: None,
            made: BTreeMap::new(),
            next: 0,
            checks: Vec::new(),
            waiting: Vec::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Opens an old pack.
    pub(super) fn open(&self, pack: &PackName) -> Result<Arc<OpenPack>> {
        self.packs.open(pack)
    }

    /// Moves the live entries of a pack. If some can't be read, what was moved of it is left unused
    /// in the new pack.
    pub(super) fn move_pack(
        &mut self,
        record: &PackRecord,
        pack: &OpenPack,
        live: &LiveEntries,
    ) -> Result<()> {
        let mut moved = MovedPack { record: *record, moves: Vec::new() };
        let hashes = live.hashes();
        match self.move_frames(pack, live, &hashes, &mut moved) {
            Ok(()) => {
                moved.moves.sort_unstable();
                self.waiting.push(moved);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                self.failed.insert(record.name, error.with_causes());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn move_frames(
        &mut self,
        pack: &OpenPack,
        live: &LiveEntries,
        hashes: &HashMap<EntryNumber, BlockHash>,
        moved: &mut MovedPack,
    ) -> Result<()> {
        let directory = pack.directory();
        let mut frames: BTreeMap<u32, Vec<EntryNumber>> = BTreeMap::new();
        for (number, slot) in (0..).zip(&directory.slots) {
            let entry = EntryNumber(number);
            if live.contains(entry) {
                frames.entry(slot.frame).or_default().push(entry);
            }
        }
        let last = u32_of(directory.slots.len());
        if let Some(entry) = hashes.keys().find(|entry| entry.0 >= last) {
            let what = format!("it has {last} entries, and a map names number {}", entry.0);
            return Err(Error::damaged(format!("pack {}", moved.record.name.short()), what));
        }
        let wanted: Vec<u32> = frames.keys().copied().collect();
        let packs = Arc::clone(&self.packs);
        let mut gathered = Gathered::default();
        let mut moving = Moving { pack, hashes, moved, gathered: &mut gathered };
        packs.frames(pack, &wanted, &mut |frame| {
            self.monitor.check()?;
            let entries = &frames[&frame.number];
            match pack.directory().frames[usize_of_u32(frame.number)].kind {
                FrameKind::Whole => self.whole_frame(&mut moving, &frame, entries),
                FrameKind::Records => self.records(&mut moving, &frame, entries),
            }
        })?;
        self.flush(&mut moving)
    }

    /// Moves the live blocks of a frame of whole blocks.
    fn whole_frame(
        &mut self,
        moving: &mut Moving<'_>,
        frame: &OpenedFrame<'_>,
        entries: &[EntryNumber],
    ) -> Result<()> {
        let directory = moving.pack.directory();
        let codec = directory.frames[usize_of_u32(frame.number)].codec;
        let is_all = directory.slots_of(frame.number).count() == entries.len();
        if is_all {
            self.flush(moving)?;
        }
        for entry in entries {
            let slot = moving.slot(*entry)?;
            let Content::Whole(hash) = slot.content else {
                return Err(moving.damaged("a frame of whole blocks has another entry"));
            };
            if moving.hashes.get(entry).is_some_and(|named| *named != hash) {
                return Err(moving.damaged("a block is not the one that a map names"));
            }
            let at = usize_of_u32(slot.at);
            let block = frame.raw.get(at..at + usize_of_u32(slot.record));
            let block = block.ok_or_else(|| moving.damaged("an entry lies outside its frame"))?;
            let length = usize_of_u32(slot.length);
            let gathered = &mut *moving.gathered;
            if !is_all && gathered.raw.len() + block.len() > FRAME_OF_PAGES_BYTES_TARGET {
                self.flush(moving)?;
            }
            let gathered = &mut *moving.gathered;
            gathered.blocks.push(FramedBlock { hash, length, form: slot.form });
            gathered.entries.push(*entry);
            if !is_all {
                gathered.raw.extend_from_slice(block);
            }
        }
        if !is_all {
            return Ok(());
        }
        let Gathered { blocks, entries, .. } = std::mem::take(moving.gathered);
        let taken = self.coder.take_over(codec, frame.text, frame.raw.len(), blocks);
        let taken = taken.map_err(|_| moving.damaged("a block does not match its hash"))?;
        let first = self.writer()?.add_frame(&taken);
        self.place(moving, &entries, first)
    }

    /// Stores the blocks that wait for a frame.
    fn flush(&mut self, moving: &mut Moving<'_>) -> Result<()> {
        let Gathered { raw, blocks, entries } = std::mem::take(moving.gathered);
        if blocks.is_empty() {
            return Ok(());
        }
        let frame = self.coder.encode(&raw, blocks, Compress::Try);
        let frame = frame.map_err(|_| moving.damaged("a block does not match its hash"))?;
        let first = self.writer()?.add_frame(&frame);
        self.place(moving, &entries, first)
    }

    /// Moves the live records of a frame of deltas.
    fn records(
        &mut self,
        moving: &mut Moving<'_>,
        frame: &OpenedFrame<'_>,
        entries: &[EntryNumber],
    ) -> Result<()> {
        for entry in entries {
            let slot = moving.slot(*entry)?;
            let at = usize_of_u32(slot.at);
            let record = frame.raw.get(at..at + usize_of_u32(slot.record));
            let record = record.ok_or_else(|| moving.damaged("an entry lies outside its frame"))?;
            let directory = moving.pack.directory();
            let mut bases = slot.bases().map(|base| directory.address(base));
            let Some(base) = bases.next() else {
                return Err(moving.damaged("a frame of deltas has a whole block"));
            };
            let (length, form) = (usize_of_u32(slot.length), slot.form);
            let second = bases.next();
            let new = NewRecord { length, record: record.len(), form, base, second };
            let number = self.writer()?.add_record(record, new)?;
            self.place(moving, &[*entry], number)?;
        }
        Ok(())
    }

    /// Notes where entries have gone: to numbers that follow each other in the open pack.
    fn place(
        &mut self,
        moving: &mut Moving<'_>,
        entries: &[EntryNumber],
        first: EntryNumber,
    ) -> Result<()> {
        let number = self.next;
        for (new, old) in (first.0..).map(EntryNumber).zip(entries) {
            let slot = moving.slot(*old)?;
            moving.moved.moves.push((*old, number, new));
            let hash = match slot.content {
                Content::Whole(hash) => Some(hash),
                Content::Delta { .. } => moving.hashes.get(old).copied(),
            };
            let Some(hash) = hash else {
                return Err(moving.damaged("a base is a difference itself"));
            };
            let (pack, length) = (moving.moved.record.name, slot.length.into());
            self.checks.push(Check { old: pack, entry: new, hash, length });
        }
        Ok(())
    }

    /// Returns the open pack, after a full one was stored.
    fn writer(&mut self) -> Result<&mut PackWriter> {
        if self.writer.as_ref().is_some_and(|writer| writer.is_full(self.pack_bytes)) {
            self.close()?;
        }
        if self.writer.is_none() {
            let (class, index) = (Class::Data, PackIndex(self.next));
            let pack = NewPack { class, index, buffer: self.buffers.take() };
            let (keyring, entropy) = (self.repository.keyring(), self.repository.entropy());
            let begun = PackWriter::begin(keyring, &self.keys, pack, ReadBack::On, &**entropy)?;
            self.writer = Some(begun);
        }
        Ok(self.writer.as_mut().expect("it was just opened"))
    }

    /// Stores the open pack, and reads every block from it.
    pub(super) fn close(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let pack = writer.finish()?.seal()?;
        let store = &**self.repository.store();
        let object = Object::Pack(pack.record.name).name();
        put_confirmed(store, self.monitor, &object, &pack.bytes)?;
        drop(pack.bytes);
        self.check(&pack.record)?;
        self.made.insert(self.next, pack.record);
        self.next += 1;
        Ok(())
    }

    /// Reads the blocks of a new pack as it is stored.
    fn check(&mut self, record: &PackRecord) -> Result<()> {
        let checks = std::mem::take(&mut self.checks);
        let reader = self.repository.packs(PackTable::new(vec![*record]), self.monitor);
        let mut rest = checks.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let is_in = |check: &&Check| {
                bytes += check.length;
                bytes <= CHECK_BYTES
            };
            let count = rest.iter().take_while(is_in).count().max(1);
            let (now, later) = rest.split_at(count);
            let want = |check: &Check| Wanted {
                at: Locator { pack: PackIndex(0), entry: check.entry },
                hash: check.hash,
                length: check.length,
            };
            let wanted: Vec<Wanted> = now.iter().map(want).collect();
            reader.read(&wanted, &mut |number, block| match block {
                Ok(_) => Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                    let failed = self.failed.entry(now[number].old);
                    failed.or_insert_with(|| error.with_causes());
                    Ok(())
                }
                Err(error) => Err(error),
            })?;
            rest = later;
        }
        Ok(())
    }

    /// Returns the old packs of which everything is in stored packs.
    pub(super) fn take_moved(&mut self) -> Vec<MovedPack> {
        let waiting = std::mem::take(&mut self.waiting);
        let is_stored = |moved: &MovedPack| {
            moved.moves.iter().all(|(_, number, _)| self.made.contains_key(number))
        };
        let (moved, waiting) = waiting.into_iter().partition(is_stored);
        self.waiting = waiting;
        moved
    }
}

/// An old pack that is being moved.
struct Moving<'f> {
    pack: &'f OpenPack,
    hashes: &'f HashMap<EntryNumber, BlockHash>,
    moved: &'f mut MovedPack,
    gathered: &'f mut Gathered,
}

impl Moving<'_> {
    fn slot(&self, entry: EntryNumber) -> Result<Slot> {
        let found = self.pack.directory().slot(entry).map(|(slot, _)| *slot);
        found.ok_or_else(|| self.damaged("an entry is not in its directory"))
    }

    fn damaged(&self, why: &'static str) -> Error {
        Error::damaged(format!("pack {}", self.moved.record.name.short()), why)
    }
}

impl MovedPack {
    /// Returns the relocation record; `made` are the new packs by their numbers.
    pub(super) fn relocation(&self, made: &BTreeMap<u32, PackRecord>) -> Relocation {
        let mut numbers: Vec<u32> = self.moves.iter().map(|(_, number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let records: Vec<PackRecord> = numbers.iter().map(|number| made[number]).collect();
        let place = |number: &u32| {
            u32_of(numbers.binary_search(number).expect("it is one of those that were collected"))
        };
        Relocation {
            packs: records.iter().map(|record| record.name).collect(),
            moves: self.moves.iter().map(|(old, to, new)| (*old, place(to), *new)).collect(),
            compacted: Some(records),
        }
    }
}
