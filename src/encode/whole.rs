//! Frames of whole blocks: several blocks compressed as one.
//!
//! A block is handed over in the form in which it shall stand in the frame, with the hash of its
//! own bytes. A frame that is kept raw has no forms, so that opening it stays free.

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::DCtx;
use zstd::zstd_safe::ParamSwitch;

use crate::base::error::Malformed;
use crate::encode::ContentSize;
use crate::encode::Level;
use crate::encode::Miscomputed;
use crate::encode::ReadBack;
use crate::encode::UNDECODABLE;
use crate::encode::compressor;
use crate::encode::decompress;
use crate::encode::form;
use crate::format::directory::Codec;
use crate::format::directory::FramedBlock;
use crate::format::form::BlockForm;
use crate::hash::BlockHasher;

/// The parameters of level 1 for large inputs, with a wider step. For 128 KiB zstd would choose a
/// smaller table and shorter matches, which on pages are mostly chance: measured on 200 MB of pages
/// they cost 1.9 % in size and a tenth in decoding. A search that tries every third position is 1.4
/// times as fast and as small on pages; zstd takes it for one of the negative levels, which leave
/// literals uncoded, so these parameters are set explicitly.
const PAGE_PARAMETERS: [CParameter; 4] = [
    CParameter::HashLog(14),
    CParameter::MinMatch(7),
    CParameter::TargetLength(3),
    CParameter::LiteralCompressionMode(ParamSwitch::Enable),
];
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
        let own: &[CParameter] = if level == Level::AUTO { &PAGE_PARAMETERS } else { &[] };
        let compressor = compressor(level.0, ContentSize::Written, own);
        let check = (read_back == ReadBack::On).then(|| (DCtx::create(), Vec::new()));
        Self { compressor, check, hasher }
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
        // zstd writes straight into the result when it has the worst case's room.
        let mut text = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
        self.compressor.compress2(&mut text, raw).expect("the bound is room enough");
        if text.len() > most {
            return None;
        }
        text.shrink_to_fit();
        Some(text)
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
