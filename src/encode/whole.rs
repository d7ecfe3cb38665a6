//! Frames of whole blocks: several blocks compressed as one.
//!
//! A block is handed over in the form in which it shall stand in the frame, with the hash of its
//! own bytes. A frame that is kept raw has no forms, so that opening it stays free.

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::DCtx;

use crate::base::error::Malformed;
use crate::encode::ContentSize;
use crate::encode::Level;
use crate::encode::Miscomputed;
use crate::encode::ReadBack;
use crate::encode::UNDECODABLE;
use crate::encode::compressor;
use crate::encode::configure;
use crate::encode::decompress;
use crate::encode::form;
use crate::encode::step::Step;
use crate::format::directory::Codec;
use crate::format::directory::FramedBlock;
use crate::format::form::BlockForm;
use crate::hash::BlockHasher;

/// A frame that saves less than 1 part in 32 is kept raw: opening it is then free.
const SAVING_MIN_PARTS: usize = 32;

/// Blocks that were compressed together and have been decoded again if the coder reads back.
#[derive(Debug)]
pub struct EncodedFrame {
    codec: Codec,
    text: Vec<u8>,
    blocks: Vec<FramedBlock>,
}

impl EncodedFrame {
    /// Returns the codec of the frame's text.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns hash, length and form of each block, in the order of the frame.
    pub fn blocks(&self) -> &[FramedBlock] {
        &self.blocks
    }

    /// Returns the coded bytes without the list of blocks.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Compresses frames of whole blocks; one per thread.
pub struct WholeCoder {
    compressor: CCtx<'static>,
    /// The step of `auto`; a fixed level has none.
    step: Option<Step>,
    check: Option<(DCtx<'static>, Vec<u8>)>,
    hasher: BlockHasher,
}

impl std::fmt::Debug for WholeCoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeCoder")
            .field("read_back", &self.check.is_some())
            .finish_non_exhaustive()
    }
}

impl WholeCoder {
    /// Creates a coder for this level.
    pub fn new(level: Level, read_back: ReadBack, hasher: BlockHasher) -> Self {
        let base = &Step::Base.ways()[0];
        let (compressor, step) = match level.0 {
            None => (compressor(base.level, ContentSize::Written, base.own), Some(Step::Base)),
            // The base step is what level 1 means for pages.
            Some(1) => (compressor(base.level, ContentSize::Written, base.own), None),
            Some(level) => (compressor(level, ContentSize::Written, &[]), None),
        };
        let check = (read_back == ReadBack::On).then(|| (DCtx::create(), Vec::new()));
        Self { compressor, step, check, hasher }
    }

    /// Takes another step for the frames that follow, if the level is `auto`.
    pub fn set_step(&mut self, step: Step) {
        if self.step.is_some_and(|own| own != step) {
            self.step = Some(step);
            self.take_way(step, 0);
        }
    }

    fn take_way(&mut self, step: Step, number: usize) {
        let way = &step.ways()[number];
        configure(&mut self.compressor, way.level, ContentSize::Written, way.own);
    }

    /// Encodes blocks that stand one after the other in `raw`, each in the form that it names.
    pub fn encode(
        &mut self,
        raw: &[u8],
        blocks: Vec<FramedBlock>,
        compress: Compress,
    ) -> Result<EncodedFrame, Miscomputed> {
        let text = match compress {
            Compress::Try => self.compress(raw),
            Compress::Skip => None,
        };
        let frame = match text {
            Some(text) => EncodedFrame { codec: Codec::Zstd, text, blocks },
            None => Self::keep_raw(raw.to_vec(), blocks)?,
        };
        self.read_back(&frame, raw.len())?;
        Ok(frame)
    }

    /// Takes over a frame as it was encoded before; `length` are its raw bytes.
    pub fn take_over(
        &mut self,
        codec: Codec,
        text: &[u8],
        length: usize,
        blocks: Vec<FramedBlock>,
    ) -> Result<EncodedFrame, Miscomputed> {
        let frame = EncodedFrame { codec, text: text.to_vec(), blocks };
        self.read_back(&frame, length)?;
        Ok(frame)
    }

    fn keep_raw(
        mut text: Vec<u8>,
        mut blocks: Vec<FramedBlock>,
    ) -> Result<EncodedFrame, Miscomputed> {
        restore_blocks(&mut text, &blocks).map_err(|_| Miscomputed)?;
        blocks.iter_mut().for_each(|block| block.form = BlockForm::PLAIN);
        Ok(EncodedFrame { codec: Codec::Raw, text, blocks })
    }

    fn compress(&mut self, raw: &[u8]) -> Option<Vec<u8>> {
        let most = raw.len() - raw.len() / SAVING_MIN_PARTS;
        let mut text = self.compress_once(raw);
        if let Some(step) = self.step.filter(|step| step.ways().len() > 1) {
            for number in 1..step.ways().len() {
                self.take_way(step, number);
                let other = self.compress_once(raw);
                if other.len() < text.len() {
                    text = other;
                }
            }
            self.take_way(step, 0);
        }
        if text.len() > most {
            return None;
        }
        text.shrink_to_fit();
        Some(text)
    }

    fn compress_once(&mut self, raw: &[u8]) -> Vec<u8> {
        // zstd writes straight into the result when it has the worst case's room.
        let mut text = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
        self.compressor.compress2(&mut text, raw).expect("the bound is room enough");
        text
    }

    fn read_back(&mut self, frame: &EncodedFrame, length: usize) -> Result<(), Miscomputed> {
        let Some((decompressor, scratch)) = &mut self.check else { return Ok(()) };
        let raw: &[u8] = if frame.codec == Codec::Raw {
            &frame.text
        } else {
            decompress(decompressor, &frame.text, length, scratch).map_err(|_| Miscomputed)?;
            restore_blocks(scratch, &frame.blocks).map_err(|_| Miscomputed)?;
            scratch
        };
        let mut rest = raw;
        for FramedBlock { hash, length, .. } in &frame.blocks {
            let (block, tail) = rest.split_at_checked(*length).ok_or(Miscomputed)?;
            if self.hasher.hash(block) != *hash {
                return Err(Miscomputed);
            }
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(Miscomputed) }
    }
}

/// Gives blocks that stand one after the other their own bytes again.
fn restore_blocks(text: &mut [u8], blocks: &[FramedBlock]) -> Result<(), Malformed> {
    let mut rest = text;
    for block in blocks {
        let (own, tail) = rest.split_at_mut_checked(block.length).ok_or(UNDECODABLE)?;
        form::restore(own, block.form)?;
        rest = tail;
    }
    Ok(())
}

/// The choice to compress blocks, or to keep them raw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compress {
    /// Blocks are compressed, and kept raw if that saves too little.
    Try,
    /// Blocks are kept raw, because compressing has not paid lately.
    Skip,
}
