//! Frames as they are stored: records packed into one, and any frame decompressed.

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::DCtx;

use crate::base::error::Malformed;
use crate::encode::ContentSize;
use crate::encode::Miscomputed;
use crate::encode::ReadBack;
use crate::encode::UNDECODABLE;
use crate::encode::compressor;
use crate::encode::decompress;
use crate::encode::form;
use crate::format::directory::Codec;
use crate::format::form::BlockForm;

/// The level that a frame of deltas is packed at.
const RECORDS_LEVEL: i32 = 5;

/// Packs frames of delta records.
pub struct RecordsCoder {
    compressor: CCtx<'static>,
    check: Option<FrameDecoder>,
}

impl std::fmt::Debug for RecordsCoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordsCoder").finish_non_exhaustive()
    }
}

impl RecordsCoder {
    /// Creates a coder for frames of delta records.
    pub fn new(read_back: ReadBack) -> Self {
        let compressor = compressor(RECORDS_LEVEL, ContentSize::Written, &[]);
        Self { compressor, check: (read_back == ReadBack::On).then(FrameDecoder::new) }
    }

    /// Returns the codec and the text of a frame of these records.
    pub fn encode(&mut self, records: Vec<u8>) -> Result<(Codec, Vec<u8>), Miscomputed> {
        let mut text = Vec::with_capacity(zstd::zstd_safe::compress_bound(records.len()));
        self.compressor.compress2(&mut text, &records).expect("the bound is room enough");
        if text.len() >= records.len() {
            return Ok((Codec::ZstdPrefix, records));
        }
        if let Some(decoder) = &mut self.check {
            let back = decoder.decode(Codec::PackedRecords, &text, records.len());
            if back != Ok(&records) {
                return Err(Miscomputed);
            }
        }
        Ok((Codec::PackedRecords, text))
    }
}

/// Decompresses frames of whole blocks or of records; one per thread.
pub struct FrameDecoder {
    decompressor: DCtx<'static>,
    raw: Vec<u8>,
}

impl std::fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameDecoder").finish_non_exhaustive()
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// Creates a decoder for frames of any codec.
    pub fn new() -> Self {
        Self { decompressor: DCtx::create(), raw: Vec::new() }
    }

    /// Returns the raw bytes of a frame that was opened to `text`, its blocks or its records; there
    /// must be `length`. They are in memory that is used again for the next frame.
    pub fn decode<'t>(
        &'t mut self,
        codec: Codec,
        text: &'t [u8],
        length: usize,
    ) -> Result<&'t [u8], Malformed> {
        match codec {
            Codec::Raw | Codec::ZstdPrefix if text.len() == length => Ok(text),
            Codec::Raw | Codec::ZstdPrefix => Err(UNDECODABLE),
            Codec::Zstd | Codec::PackedRecords => {
                decompress(&mut self.decompressor, text, length, &mut self.raw)?;
                Ok(&self.raw)
            }
        }
    }

    /// Decodes a compressed frame of whole blocks, of which some are in normal form, and returns
    /// the blocks' own bytes. A block that can't be restored is not right by its hash, and its
    /// neighbours are as good as ever.
    pub fn decode_forms(
        &mut self,
        text: &[u8],
        length: usize,
        blocks: impl Iterator<Item = (usize, BlockForm)>,
    ) -> Result<&[u8], Malformed> {
        decompress(&mut self.decompressor, text, length, &mut self.raw)?;
        let mut rest = self.raw.as_mut_slice();
        for (bytes, form) in blocks {
            let (block, tail) = rest.split_at_mut_checked(bytes).ok_or(UNDECODABLE)?;
            let _is_restored = form::restore(block, form).is_ok();
            rest = tail;
        }
        Ok(&self.raw)
    }
}
