//! A batch of blocks: which frames it needs, read with as few requests as their places allow.
//!
//! Frames pass one after the other through the same memory, and the blocks that rest on a frame
//! are made while it is there: a batch of 4 MiB holds 128 KiB of frames and what it fetched. Packs
//! are visited from the newest to the oldest, so that a delta's record, which is small, waits for
//! its base, which is older; only a base that comes first is kept for it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::EntryAddress;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::encode::DeltaDecoder;
use crate::encode::form;
use crate::format::directory::Base;
use crate::format::directory::Frame;
use crate::format::directory::Slot;
use crate::format::form::BlockForm;
use crate::format::trailer::PREAMBLE_BYTES;
use crate::pack::reader::BlockSink;
use crate::pack::reader::COPIES_TRIED_MAX;
use crate::pack::reader::FrameOpener;
use crate::pack::reader::GAP_BYTES_MAX;
use crate::pack::reader::OpenPack;
use crate::pack::reader::Packs;
use crate::pack::reader::RunSink;
use crate::pack::reader::Wanted;
use crate::pack::reader::find;
use crate::pack::reader::is_kept;
use crate::pack::reader::lock;
use crate::pack::reader::moved::Found;
use crate::pack::reader::moved::moved_to;
use crate::pack::reader::slice;

/// The cost of reading some blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Bytes that are read.
    pub bytes: u64,
    /// Requests that it takes.
    pub requests: u64,
}

impl Packs {
    /// Returns the whole blocks at these places, each `None` if it can't be read or is not whole.
    /// They are unverified: what is decoded from them is verified by its own hash.
    pub fn bases(&self, at: &[Locator]) -> Vec<Option<Vec<u8>>> {
        Batch::new(self).read_bases(at)
    }

    /// Returns whole blocks as [`Packs::bases`] does, and keeps the frames in which they are:
    /// searches for bases go on to blocks that are mostly near.
    pub fn candidates(&self, at: &[Locator]) -> Vec<Option<Vec<u8>>> {
        Batch { keeps_all: true, ..Batch::new(self) }.read_bases(at)
    }

    /// Hands every wanted block to `sink`, verified, in the order of their places: blocks leave
    /// while their frame is in the processor's cache.
    ///
    /// A block that can't be had is handed over as the error, after all others and in the order of
    /// `wanted`; `sink` decides whether to go on.
    pub fn read(&self, wanted: &[Wanted], sink: &mut BlockSink<'_>) -> Result<()> {
        self.read_runs(wanted, &mut |numbers, run| {
            let mut rest = match run {
                Ok(run) => run,
                Err(error) => return sink(numbers.start, Err(error)),
            };
            for number in numbers {
                let (block, tail) = rest.split_at(usize_of(wanted[number].length));
                sink(number, Ok(block))?;
                rest = tail;
            }
            Ok(())
        })
    }

    /// Hands the wanted blocks to `sink` like [`read`](Self::read), and those that follow each
    /// other in `wanted` and in their frame as one. An error is of one block.
    pub fn read_runs(&self, wanted: &[Wanted], sink: &mut RunSink<'_>) -> Result<()> {
        let mut batch = Batch::new(self);
        let mut left: BTreeSet<usize> = (0..wanted.len()).collect();
        for (number, want) in wanted.iter().enumerate() {
            // What can't be planned is left for the slow way, which finds the reason.
            let _is_planned = batch.add(number, want.at).is_ok();
        }
        let mut deltas = None;
        batch.visit(&mut |ready| {
            let mut run = Run::default();
            for block in ready {
                let want = &wanted[block.number];
                if block.base.is_some() {
                    let deltas = deltas.get_or_insert_with(DeltaDecoder::new);
                    let made = block.decode(deltas).filter(|made| self.is_right(made, want));
                    if let Some(made) = made {
                        left.remove(&block.number);
                        sink(one(block.number), Ok(made))?;
                    }
                } else if self.is_right(block.record(), want) {
                    left.remove(&block.number);
                    if !run.extend(block) {
                        std::mem::replace(&mut run, Run::of(block)).hand_over(sink)?;
                    }
                }
            }
            run.hand_over(sink)
        })?;
        left.into_iter().try_for_each(|number| {
            self.monitor.check()?;
            let mut sink = |number, block: Result<&[u8]>| sink(one(number), block);
            self.read_slowly(number, &wanted[number], &mut sink)
        })
    }

    /// Returns the cost of reading blocks, if no frame of them is at hand. It opens their packs.
    pub fn reading(&self, wanted: &[Wanted]) -> Reading {
        let mut batch = Batch::new(self);
        for (number, want) in wanted.iter().enumerate() {
            // What can't be planned costs what it costs to find the reason.
            let _is_planned = batch.add(number, want.at).is_ok();
        }
        batch.reading()
    }

    fn is_right(&self, block: &[u8], want: &Wanted) -> bool {
        u64_of(block.len()) == want.length && self.hasher.hash(block) == want.hash
    }

    /// Reads a block that a batch could not: chains, twins, moved copies, and errors with their
    /// reason.
    fn read_slowly(&self, number: usize, want: &Wanted, sink: &mut BlockSink<'_>) -> Result<()> {
        match self.block(want.at, want.hash) {
            Ok(block) if u64_of(block.len()) == want.length => sink(number, Ok(&block)),
            Ok(_) => sink(number, Err(Error::damaged("a map", "a block has another length"))),
            Err(error) => sink(number, Err(error)),
        }
    }
}

/// A block whose frames are at hand.
struct Ready<'f> {
    /// The number that the caller gave to the block.
    number: usize,
    /// The frame that holds the block itself, or its difference to `base`.
    frame: &'f [u8],
    /// The place of that in the frame.
    at: Range<usize>,
    /// The whole block that it rests on, if it is a delta.
    base: Option<&'f [u8]>,
    /// The second block that it rests on, if there are two.
    second: Option<&'f [u8]>,
    /// Raw bytes of the block.
    length: usize,
    /// The form in which both sides of the delta are.
    form: BlockForm,
}

impl<'f> Ready<'f> {
    fn record(&self) -> &'f [u8] {
        &self.frame[self.at.clone()]
    }

    /// Makes a block of a delta; `None` if it can't be made.
    fn decode<'d>(&self, deltas: &'d mut DeltaDecoder) -> Option<&'d [u8]> {
        let prefix = form::prefix(self.form, self.base?, self.second).ok()?;
        deltas.decode(self.record(), &prefix, self.length, self.form).ok()
    }
}

/// Whole blocks of a frame that follow each other, there and among those that are wanted.
#[derive(Default)]
struct Run<'f> {
    frame: &'f [u8],
    at: Range<usize>,
    numbers: Range<usize>,
}

impl<'f> Run<'f> {
    fn of(block: &Ready<'f>) -> Self {
        Self { frame: block.frame, at: block.at.clone(), numbers: one(block.number) }
    }

    /// Adds a block if it is the next one.
    fn extend(&mut self, block: &Ready<'f>) -> bool {
        let is_next = std::ptr::eq(self.frame, block.frame)
            && self.at.end == block.at.start
            && self.numbers.end == block.number;
        if is_next {
            (self.at.end, self.numbers.end) = (block.at.end, block.number + 1);
        }
        is_next
    }

    fn hand_over(self, sink: &mut RunSink<'_>) -> Result<()> {
        if self.numbers.is_empty() { Ok(()) } else { sink(self.numbers, Ok(&self.frame[self.at])) }
    }
}

fn one(number: usize) -> Range<usize> {
    number..number + 1
}

/// Takes blocks whose frames are at hand.
type Visitor<'v> = dyn FnMut(&[Ready<'_>]) -> Result<()> + 'v;

/// The recipe for a block from the batch's frames.
struct Plan {
    number: usize,
    own: Part,
    /// The bases of a delta, the first one first.
    bases: [Option<Part>; 2],
}

impl Plan {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        iter::once(&self.own).chain(self.bases.iter().flatten())
    }
}

/// The frame that an entry is in, by its number among the needs, and the entry's place in it.
type Part = (usize, Slot);

/// A pack of the batch, or where its entries were moved.
struct Opened {
    /// The place in the pack table by which packs are visited. A pack that is in no table has that
    /// of the first pack that was moved into it.
    order: PackIndex,
    name: PackName,
    /// True if no pack table names it.
    is_beside_table: bool,
    found: Found,
}

/// A frame that the batch has to read.
struct Need {
    /// Index into the opened packs.
    pack: usize,
    frame: u32,
    /// The plans that it is for.
    users: Vec<usize>,
}

/// State of a frame while the batch is read.
#[derive(Clone)]
enum Held {
    NotYet,
    Kept(Arc<Vec<u8>>),
    Gone,
}

/// The frames that a batch needs, collected before any is read.
struct Batch<'a> {
    packs: &'a Packs,
    /// True if all frames are kept for other batches, not only those that usually are.
    keeps_all: bool,
    opened: Vec<Opened>,
    needs: Vec<Need>,
    found: HashMap<(usize, u32), usize>,
    plans: Vec<Plan>,
}

impl<'a> Batch<'a> {
    fn new(packs: &'a Packs) -> Self {
        let (opened, needs, plans) = (Vec::new(), Vec::new(), Vec::new());
        Batch { packs, keeps_all: false, opened, needs, found: HashMap::new(), plans }
    }

    fn read_bases(mut self, at: &[Locator]) -> Vec<Option<Vec<u8>>> {
        let mut bases = vec![None; at.len()];
        for (number, at) in at.iter().enumerate() {
            // Without its pack a base is as good as none.
            let _is_there = self.add_whole(number, *at).is_ok();
        }
        let visited = self.visit(&mut |ready| {
            ready.iter().for_each(|block| bases[block.number] = Some(block.record().to_vec()));
            Ok(())
        });
        // Only a run that is being stopped ends early, and it needs none.
        visited.map_or_else(|_| vec![None; at.len()], |()| bases)
    }

    /// Returns the number of a pack of the table among those of the batch.
    fn pack(&mut self, at: PackIndex) -> Result<usize> {
        // One that holds what was moved has the place of another.
        let of_table = |opened: &Opened| opened.order == at && !opened.is_beside_table;
        if let Some(known) = self.opened.iter().rposition(of_table) {
            return Ok(known);
        }
        let name = self.packs.address(Locator { pack: at, entry: EntryNumber(0) })?.pack;
        let found = self.packs.find_pack(&name)?;
        self.opened.push(Opened { order: at, name, is_beside_table: false, found });
        Ok(self.opened.len() - 1)
    }

    /// Returns the number of a pack among those of the batch; `order` is for one that no table
    /// names.
    fn pack_named(&mut self, name: PackName, order: PackIndex) -> Result<usize> {
        let known = self.packs.table().find(&name);
        if let Some(at) = known {
            return self.pack(at);
        }
        if let Some(known) = self.opened.iter().rposition(|opened| opened.name == name) {
            return Ok(known);
        }
        let found = self.packs.find_pack(&name)?;
        self.opened.push(Opened { order, name, is_beside_table: true, found });
        Ok(self.opened.len() - 1)
    }

    fn need(&mut self, at: Locator) -> Result<Part> {
        let pack = self.pack(at.pack)?;
        self.need_in(pack, at.entry)
    }

    /// Needs an entry of one of the batch's packs, wherever it was moved.
    fn need_in(&mut self, pack: usize, entry: EntryNumber) -> Result<Part> {
        let (mut pack, mut entry) = (pack, entry);
        for _ in 0..COPIES_TRIED_MAX {
            let Opened { order, name, found, .. } = &self.opened[pack];
            match found {
                Found::Here(open) => {
                    let slot = find(open, entry)?;
                    return Ok((self.need_frame(pack, slot.frame), slot));
                }
                Found::Moved(lists) => {
                    let to = moved_to(lists, EntryAddress { pack: *name, entry })?;
                    let order = *order;
                    (pack, entry) = (self.pack_named(to.pack, order)?, to.entry);
                }
            }
        }
        Err(Error::damaged("a pack", "it was moved too often"))
    }

    fn need_frame(&mut self, pack: usize, frame: u32) -> usize {
        let needs = &mut self.needs;
        *self.found.entry((pack, frame)).or_insert_with(|| {
            needs.push(Need { pack, frame, users: Vec::new() });
            needs.len() - 1
        })
    }

    /// Plans a block, with its bases if it is a delta; longer chains are not planned.
    fn add(&mut self, number: usize, at: Locator) -> Result<()> {
        let own = self.need(at)?;
        let mut bases = [None; 2];
        for (base, found) in own.1.bases().zip(&mut bases) {
            let part = self.need_base(own.0, base)?;
            // Longer chains go another way.
            if !part.1.is_whole() {
                return Ok(());
            }
            *found = Some(part);
        }
        self.plan(Plan { number, own, bases });
        Ok(())
    }

    /// Needs the base of a delta, which one of the needs holds.
    fn need_base(&mut self, delta: usize, base: Base) -> Result<Part> {
        let of = self.needs[delta].pack;
        let address = self.open_pack(of).directory.address(base);
        let pack = self.pack_named(address.pack, self.opened[of].order)?;
        self.need_in(pack, address.entry)
    }

    /// Returns a pack of which the batch needs something.
    fn open_pack(&self, pack: usize) -> &Arc<OpenPack> {
        match &self.opened[pack].found {
            Found::Here(open) => open,
            Found::Moved(_) => unreachable!("nothing is needed of a pack that is not there"),
        }
    }

    /// Plans a block if it is stored whole.
    fn add_whole(&mut self, number: usize, at: Locator) -> Result<()> {
        let own = self.need(at)?;
        if own.1.is_whole() {
            self.plan(Plan { number, own, bases: [None; 2] });
        }
        Ok(())
    }

    fn plan(&mut self, plan: Plan) {
        let number = self.plans.len();
        let mut needed: Vec<usize> = plan.parts().map(|(need, _)| *need).collect();
        needed.sort_unstable();
        // Both bases may be in one frame.
        needed.dedup();
        needed.into_iter().for_each(|need| self.needs[need].users.push(number));
        self.plans.push(plan);
    }

    /// Reads, opens and decompresses every needed frame, and hands over the blocks that each makes
    /// possible. Frames that can't be had are passed over, and their blocks with them.
    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<()> {
        self.packs.with_opener(|opener| self.visit_with(opener, visitor))
    }

    /// Returns the needs in the order in which they are read.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.needs.len()).collect();
        order.sort_unstable_by_key(|need| {
            let need = &self.needs[*need];
            (std::cmp::Reverse(self.opened[need.pack].order), need.pack, need.frame)
        });
        order
    }

    /// Returns what it costs to read every needed frame.
    fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        let order = self.order();
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (run, later) = rest.split_at(self.together(rest));
            let (first, last) = (self.frame(run[0]), self.frame(run[run.len() - 1]));
            reading.bytes += u64::from(last.at + last.stored - first.at);
            reading.requests += 1;
            rest = later;
        }
        reading
    }

    fn visit_with(&self, opener: &mut FrameOpener, visitor: &mut Visitor<'_>) -> Result<()> {
        let order = self.order();
        let mut held = vec![Held::NotYet; order.len()];
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let need = &self.needs[first];
            let key = (self.open_pack(need.pack).object.clone(), need.frame);
            let known = lock(&self.packs.frames).get(&key);
            let count = if let Some(frame) = known {
                self.arrived(first, &frame, &held, visitor)?;
                held[first] = Held::Kept(frame);
                1
            } else {
                let count = self.together(rest);
                self.visit_run(&rest[..count], opener, &mut held, visitor)?;
                count
            };
            rest = &rest[count..];
        }
        Ok(())
    }

    fn frame(&self, need: usize) -> Frame {
        let need = &self.needs[need];
        self.open_pack(need.pack).directory.frames[usize_of_u32(need.frame)]
    }

    /// Returns how many of the next needs one read can fetch.
    fn together(&self, order: &[usize]) -> usize {
        let pack = self.needs[order[0]].pack;
        let first = self.frame(order[0]);
        let mut end = first.at + first.stored;
        let bytes_max = self.packs.store.read_bytes_best();
        let joins = |need: &&usize| -> bool {
            if self.needs[**need].pack != pack {
                return false;
            }
            let frame = self.frame(**need);
            let near = frame.at - end <= GAP_BYTES_MAX
                && usize_of_u32(frame.at + frame.stored - first.at) <= bytes_max;
            end = frame.at + frame.stored;
            near
        };
        1 + order[1..].iter().take_while(joins).count()
    }

    fn visit_run(
        &self,
        run: &[usize],
        opener: &mut FrameOpener,
        held: &mut [Held],
        visitor: &mut Visitor<'_>,
    ) -> Result<()> {
        let first = self.frame(run[0]);
        let last = self.frame(run[run.len() - 1]);
        let from = u64_of(PREAMBLE_BYTES) + u64::from(first.at);
        let to = u64_of(PREAMBLE_BYTES) + u64::from(last.at) + u64::from(last.stored);
        let pack = self.open_pack(self.needs[run[0]].pack);
        let fetched = self.packs.fetch(&pack.object, from, to).unwrap_or_else(|error| {
            self.packs.forget_if_gone(&pack.object, &error);
            Bytes::new()
        });
        for &need in run {
            self.packs.monitor.check()?;
            let frame = self.frame(need);
            let number = self.needs[need].frame;
            let sealed = slice(&fetched, frame.at - first.at, frame.stored);
            let is_kept = self.keeps_all || is_kept(pack, &frame);
            // What others may find in the cache has to be whole.
            let wanted = |slot: &Slot| is_kept || self.is_part(need, slot);
            let raw = sealed.and_then(|sealed| opener.open(pack, number, sealed, &wanted).ok());
            let Some(raw) = raw else {
                held[need] = Held::Gone;
                continue;
            };
            let waits = self.arrived(need, raw, held, visitor)?;
            held[need] = Held::Gone;
            if waits || is_kept {
                let raw = Arc::new(raw.to_vec());
                if is_kept {
                    self.packs.keep((pack.object.clone(), number), &raw);
                }
                held[need] = Held::Kept(raw);
            }
        }
        Ok(())
    }

    /// Tells whether a block of a needed frame is a part of what is planned.
    fn is_part(&self, need: usize, slot: &Slot) -> bool {
        let parts = self.needs[need].users.iter().flat_map(|user| self.plans[*user].parts());
        parts.into_iter().any(|(of, part)| *of == need && part.at == slot.at)
    }

    /// Hands over the blocks that this frame completes; says whether one waits for another frame.
    fn arrived(
        &self,
        need: usize,
        raw: &[u8],
        held: &[Held],
        visitor: &mut Visitor<'_>,
    ) -> Result<bool> {
        let at_hand = |other: usize| match &held[other] {
            _ if other == need => Some(raw),
            Held::Kept(frame) => Some(frame.as_slice()),
            Held::NotYet | Held::Gone => None,
        };
        let part = |(frame, slot): &Part| {
            let raw = at_hand(*frame)?;
            let at = place(slot, raw)?;
            Some((raw, at))
        };
        let base_of = |part_of: &Option<Part>| {
            let found = part_of.as_ref().map(|base| part(base).ok_or(())).transpose();
            found.map(|found| found.map(|(raw, at)| &raw[at])).ok()
        };
        let ready = |plan: &Plan| {
            let [base, second] = &plan.bases;
            let (base, second) = (base_of(base)?, base_of(second)?);
            let (frame, at) = part(&plan.own)?;
            let (slot, number) = (&plan.own.1, plan.number);
            let (length, form) = (usize_of_u32(slot.length), slot.form);
            Some(Ready { number, frame, at, base, second, length, form })
        };
        let users = || self.needs[need].users.iter().map(|user| &self.plans[*user]);
        let complete: Vec<Ready<'_>> = users().filter_map(ready).collect();
        visitor(&complete)?;
        let is_open = |other: usize| other != need && matches!(held[other], Held::NotYet);
        let waits = |plan: &Plan| plan.parts().any(|(other, _)| is_open(*other));
        Ok(users().any(waits))
    }
}

/// Returns the place of an entry's record in its frame, if it lies there.
fn place(slot: &Slot, frame: &[u8]) -> Option<Range<usize>> {
    let at = usize_of_u32(slot.at);
    let end = at.checked_add(usize_of_u32(slot.record))?;
    (end <= frame.len()).then_some(at..end)
}
