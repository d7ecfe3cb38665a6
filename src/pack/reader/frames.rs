//! Frames as they are stored: for a compaction, which moves them.

use crate::base::error::Result;
use crate::base::num::u64_of;
use crate::base::num::usize_of_u32;
use crate::format::trailer::PREAMBLE_BYTES;
use crate::pack::reader::FrameOpener;
use crate::pack::reader::GAP_BYTES_MAX;
use crate::pack::reader::OpenPack;
use crate::pack::reader::Packs;
use crate::pack::reader::out_of_frame;
use crate::pack::reader::section;
use crate::pack::reader::slice;

/// A frame that was opened.
#[derive(Debug, Clone, Copy)]
pub struct OpenedFrame<'f> {
    /// The number of the frame in its pack.
    pub number: u32,
    /// Its text, in its codec.
    pub text: &'f [u8],
    /// What the codec gives: blocks in the forms in which they stand in the frame, or records.
    pub raw: &'f [u8],
}

impl Packs {
    /// Hands frames of a pack to `each`, in the order of `numbers`, which ascend; neighbours are
    /// fetched with one read.
    pub fn frames(
        &self,
        pack: &OpenPack,
        numbers: &[u32],
        each: &mut dyn FnMut(OpenedFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        self.with_opener(|opener| {
            let mut rest = numbers;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(self.frames_together(pack, rest));
                self.frames_of_one_read(pack, now, opener, each)?;
                rest = later;
            }
            Ok(())
        })
    }

    /// Returns how many of the next frames one read can fetch.
    fn frames_together(&self, pack: &OpenPack, numbers: &[u32]) -> usize {
        let frame = |number: u32| pack.directory.frames[usize_of_u32(number)];
        let first = frame(numbers[0]);
        let mut end = first.at + first.stored;
        let joins = |number: &&u32| {
            let next = frame(**number);
            let near = next.at.saturating_sub(end) <= GAP_BYTES_MAX
                && usize_of_u32(next.at + next.stored - first.at) <= self.store.read_bytes_best();
            end = next.at + next.stored;
            near
        };
        1 + numbers[1..].iter().take_while(joins).count()
    }

    fn frames_of_one_read(
        &self,
        pack: &OpenPack,
        numbers: &[u32],
        opener: &mut FrameOpener,
        each: &mut dyn FnMut(OpenedFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        let frame = |number: u32| pack.directory.frames[usize_of_u32(number)];
        let (first, last) = (frame(numbers[0]), frame(numbers[numbers.len() - 1]));
        let from = u64_of(PREAMBLE_BYTES) + u64::from(first.at);
        let to = u64_of(PREAMBLE_BYTES) + u64::from(last.at) + u64::from(last.stored);
        let fetched = self.fetch(&pack.object, from, to)?;
        for number in numbers {
            let at = frame(*number);
            let sealed = slice(&fetched, at.at - first.at, at.stored);
            let sealed = sealed.ok_or_else(|| out_of_frame(pack))?;
            let FrameOpener { text, decoder } = &mut *opener;
            pack.opener
                .open_into(section::FrameKind::Frame, *number, sealed, text)
                .map_err(|e| pack.damaged(e))?;
            let raw = decoder.decode(at.codec, text, usize_of_u32(at.raw));
            let raw = raw.map_err(|e| pack.damaged(e))?;
            each(OpenedFrame { number: *number, text, raw })?;
        }
        Ok(())
    }
}
