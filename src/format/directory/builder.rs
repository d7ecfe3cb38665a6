//! A directory while its pack is written.

use crate::base::ids::BlockHash;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::format::directory::Base;
use crate::format::directory::Codec;
use crate::format::directory::Content;
use crate::format::directory::Directory;
use crate::format::directory::Forms;
use crate::format::directory::Frame;
use crate::format::directory::FrameKind;
use crate::format::directory::Slot;
use crate::format::form::BlockForm;

/// A whole block of a frame that is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FramedBlock {
    /// The hash of the block's own bytes.
    pub hash: BlockHash,
    /// The number of bytes of the block, which is the same in any form.
    pub length: usize,
    /// The form in which it stands in the frame.
    pub form: BlockForm,
}

/// A delta record that is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewRecord {
    /// The number of bytes of the block.
    pub length: usize,
    /// The number of bytes of the record.
    pub record: usize,
    /// The form in which both sides of the delta are.
    pub form: BlockForm,
    /// The base, the only one or the first.
    pub base: EntryAddress,
    /// The second base, if it rests on two.
    pub second: Option<EntryAddress>,
}

/// Fills a directory while a pack is written.
#[derive(Debug, Default)]
pub struct DirectoryBuilder {
    directory: Directory,
    /// Entries whose frame of records is still open, in order.
    pending: Vec<u32>,
    pending_bytes: u32,
    stored: u32,
}

impl DirectoryBuilder {
    /// Returns the number of entries so far.
    pub fn entries(&self) -> usize {
        self.directory.slots.len()
    }

    /// Returns the number of stored bytes of the frames so far.
    pub fn stored(&self) -> usize {
        usize_of_u32(self.stored)
    }

    /// Returns the ordinal of the next frame.
    pub fn next_frame(&self) -> u32 {
        u32_of(self.directory.frames.len())
    }

    /// Adds a frame of whole blocks; returns the number of the first.
    pub fn add_whole(
        &mut self,
        codec: Codec,
        stored: usize,
        blocks: &[FramedBlock],
    ) -> EntryNumber {
        let first = EntryNumber(u32_of(self.entries()));
        let frame = self.next_frame();
        let mut at = 0;
        for block in blocks {
            let length = u32_of(block.length);
            let (form, content) = (block.form, Content::Whole(block.hash));
            self.directory.slots.push(Slot { frame, at, record: length, length, form, content });
            at += length;
        }
        self.push_frame(FrameKind::Whole, codec, stored, first);
        first
    }

    /// Adds a record to the frame of records that is being filled; returns its number.
    pub fn add_record(&mut self, new: NewRecord) -> EntryNumber {
        let number = u32_of(self.entries());
        let base = self.base(new.base);
        let second = new.second.map(|second| self.base(second));
        self.directory.slots.push(Slot {
            frame: u32::MAX,
            at: self.pending_bytes,
            record: u32_of(new.record),
            length: u32_of(new.length),
            form: new.form,
            content: Content::Delta { base, second },
        });
        self.pending.push(number);
        self.pending_bytes += u32_of(new.record);
        EntryNumber(number)
    }

    fn base(&mut self, address: EntryAddress) -> Base {
        let packs = &mut self.directory.base_packs;
        // A pack's deltas rest on few packs, the last one used most of the time.
        let pack = packs.iter().rposition(|name| *name == address.pack).unwrap_or_else(|| {
            packs.push(address.pack);
            packs.len() - 1
        });
        Base { pack: u32_of(pack), entry: address.entry }
    }

    /// Closes the frame of records, which was stored in `stored` bytes.
    pub fn close_records(&mut self, codec: Codec, stored: usize) {
        let frame = self.next_frame();
        let first = EntryNumber(self.pending.first().copied().unwrap_or_default());
        for number in self.pending.drain(..) {
            self.directory.slots[usize_of_u32(number)].frame = frame;
        }
        self.pending_bytes = 0;
        self.push_frame(FrameKind::Records, codec, stored, first);
    }

    /// Adds the frame of the entries from `first` on that name it.
    fn push_frame(&mut self, kind: FrameKind, codec: Codec, stored: usize, first: EntryNumber) {
        let (stored, number) = (u32_of(stored), self.next_frame());
        let slots = self.directory.slots[usize_of_u32(first.0)..].iter();
        let own = || slots.clone().filter(|slot| slot.frame == number);
        let raw = own().map(|slot| slot.record).sum();
        let forms = if own().any(Slot::needs_form) { Forms::Various } else { Forms::Plain };
        let frame = Frame { kind, codec, at: self.stored, stored, raw, first, forms };
        self.directory.frames.push(frame);
        self.stored += stored;
    }

    /// Returns the finished directory; no frame of records may be open.
    pub fn finish(self) -> Directory {
        assert!(self.pending.is_empty(), "the frame of records is closed first");
        self.directory
    }
}
