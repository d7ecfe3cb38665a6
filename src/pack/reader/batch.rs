//! A batch of blocks: which frames it needs, read with as few requests as their places allow.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::ids::Locator;
use crate::base::num::index;
use crate::base::num::wide;
use crate::encode::DeltaDecoder;
use crate::encode::WholeDecoder;
use crate::format::directory::Slot;
use crate::format::trailer::PREAMBLE_BYTES;
use crate::pack::reader::OpenPack;
use crate::pack::reader::Packs;
use crate::pack::reader::find;
use crate::pack::reader::lock;
use crate::pack::reader::open_frame;
use crate::pack::reader::slice;

/// Frames of one pack that are at most this far apart are fetched with one read.
const GAP_BYTES_MAX: u32 = 32 << 10;
/// One read fetches at most this much.
const READ_BYTES_MAX: u32 = 4 << 20;

/// How a block of a batch is made from the batch's frames.
pub(super) struct Plan {
    pub(super) own: (usize, Slot),
    pub(super) base: Option<(usize, Slot)>,
}

/// The frames that a batch needs, collected before any is read.
pub(super) struct Batch<'a> {
    packs: &'a Packs,
    opened: Vec<(Locator, Arc<OpenPack>)>,
    /// Pack (index into `opened`) and frame; sorted and loaded at the end.
    needs: Vec<(usize, u32)>,
    found: HashMap<(usize, u32), usize>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(packs: &'a Packs) -> Batch<'a> {
        Batch { packs, opened: Vec::new(), needs: Vec::new(), found: HashMap::new() }
    }

    fn pack(&mut self, at: Locator) -> Result<usize> {
        if let Some(known) = self.opened.iter().rposition(|(other, _)| other.pack == at.pack) {
            return Ok(known);
        }
        let pack = self.packs.open(&self.packs.place(at)?.pack)?;
        self.opened.push((at, pack));
        Ok(self.opened.len() - 1)
    }

    pub(super) fn need(&mut self, at: Locator) -> Result<(usize, Slot)> {
        let pack = self.pack(at)?;
        let slot = *find(&self.opened[pack].1, at.entry)?.0;
        Ok((self.need_frame(pack, slot.frame), slot))
    }

    fn need_frame(&mut self, pack: usize, frame: u32) -> usize {
        let needs = &mut self.needs;
        *self.found.entry((pack, frame)).or_insert_with(|| {
            needs.push((pack, frame));
            needs.len() - 1
        })
    }

    pub(super) fn plan(&mut self, at: Locator) -> Result<Plan> {
        let own = self.need(at)?;
        let Some(base) = own.1.base else { return Ok(Plan { own, base: None }) };
        let pack = self.pack(at)?;
        let name = self.opened[pack].1.directory.base_packs[index(base.pack)];
        let known = self.packs.table().find(&name);
        let pack = known.ok_or_else(|| Error::damaged("a map", "a base is in an unknown pack"))?;
        let base = self.need(Locator { pack, entry: base.entry })?;
        Ok(Plan { own, base: Some(base) })
    }

    /// Reads, opens and decompresses every needed frame; results stand as the needs were numbered.
    pub(super) fn load(&self) -> Vec<Result<Arc<Vec<u8>>>> {
        let mut order: Vec<usize> = (0..self.needs.len()).collect();
        order.sort_unstable_by_key(|need| self.needs[*need]);
        let mut out: Vec<Option<Result<Arc<Vec<u8>>>>> =
            std::iter::repeat_with(|| None).take(order.len()).collect();
        let mut decoder = WholeDecoder::new();
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let (pack, number) = self.needs[first];
            let key = (self.opened[pack].1.object.clone(), number);
            if let Some(frame) = lock(&self.packs.frames).get(&key) {
                out[first] = Some(Ok(frame));
                rest = &rest[1..];
                continue;
            }
            let count = self.together(rest);
            self.load_run(&rest[..count], &mut decoder, &mut out);
            rest = &rest[count..];
        }
        out.into_iter().map(|frame| frame.expect("every need was in the order")).collect()
    }

    /// How many of the next needs one read can fetch.
    fn together(&self, order: &[usize]) -> usize {
        let (pack, number) = self.needs[order[0]];
        let frames = &self.opened[pack].1.directory.frames;
        let first = frames[index(number)];
        let mut end = first.at + first.stored;
        let joins = |need: &&usize| -> bool {
            let (other, number) = self.needs[**need];
            if other != pack {
                return false;
            }
            let frame = frames[index(number)];
            let near = frame.at - end <= GAP_BYTES_MAX
                && frame.at + frame.stored - first.at <= READ_BYTES_MAX;
            end = frame.at + frame.stored;
            near
        };
        1 + order[1..].iter().take_while(joins).count()
    }

    fn load_run(
        &self,
        run: &[usize],
        decoder: &mut WholeDecoder,
        out: &mut [Option<Result<Arc<Vec<u8>>>>],
    ) {
        let pack = &self.opened[self.needs[run[0]].0].1;
        let frame = |need: usize| pack.directory.frames[index(self.needs[need].1)];
        let first = frame(run[0]);
        let last = frame(run[run.len() - 1]);
        let from = wide(PREAMBLE_BYTES) + u64::from(first.at);
        let to = wide(PREAMBLE_BYTES) + u64::from(last.at) + u64::from(last.stored);
        let fetched = self.packs.fetch(&pack.object, from, to);
        for &need in run {
            let number = self.needs[need].1;
            let opened = match &fetched {
                Ok(bytes) => {
                    let frame = frame(need);
                    let sealed = slice(bytes, frame.at - first.at, frame.stored)
                        .expect("the range spans its frames");
                    open_frame(pack, number, sealed, decoder).map(|raw| {
                        let raw = Arc::new(raw);
                        self.packs.keep(pack, number, &frame, &raw);
                        raw
                    })
                }
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            };
            out[need] = Some(opened);
        }
    }
}

/// The block that a plan makes; `None` where the slow way is needed.
pub(super) fn produce<'d, 'f: 'd>(
    plan: &Plan,
    frames: &'f [Result<Arc<Vec<u8>>>],
    decoder: &'d mut DeltaDecoder<'f>,
) -> Option<&'d [u8]> {
    let (own, slot) = &plan.own;
    let record = slice(frames[*own].as_ref().ok()?, slot.at, slot.record)?;
    let Some((base, base_slot)) = &plan.base else { return Some(record) };
    if base_slot.base.is_some() {
        return None;
    }
    let base = slice(frames[*base].as_ref().ok()?, base_slot.at, base_slot.record)?;
    decoder.decode(record, base, index(slot.length)).ok()
}
