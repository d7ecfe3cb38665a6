//! Whole blocks to compressed frames, changed blocks to deltas, and both back (FORMAT.md 5.2).
//!
//! A frame of whole blocks is compressed as one, because 128 KiB compress 4 % better than 16; a
//! delta is made alone against its base, because a night's changed pages are far apart. What deltas
//! have in common is how their new bytes are distributed, and a code for that is too dear for 200
//! bytes: a delta leaves them as they are, and a frame of deltas is compressed once more. That
//! takes a quarter off the deltas of a night. A coder holds the compressor's tables, so each thread
//! keeps one.
//!
//! Decoding is the only place where a length from outside meets the decompressor: the output never
//! grows beyond the length that the directory states, which [`limits`](crate::base::limits) bounds.

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::DCtx;
use zstd::zstd_safe::ParamSwitch;

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
use crate::format::directory::Codec;
use crate::hash::BlockHasher;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The level that deltas are made at: a higher one finds matches in what the second step would have
/// coded with all the others of its frame, and takes 5 % more.
const DELTA_LEVEL: i32 = 1;
/// The level that a frame of deltas is packed at.
const RECORDS_LEVEL: i32 = 5;
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
/// A delta of up to this many bytes is never compared with the block compressed alone.
const DELTA_BYTES_ALWAYS: usize = 256;
/// Size of a packed delta in percent of its own bytes, as far as those bytes alone tell.
const DELTA_PACKED_PERCENT: usize = 75;
/// A block is stored whole when this many times its delta exceeds the block compressed alone: a
/// delta costs a second read for as long as it is the newest version.
const DELTA_DEAR_FACTOR: usize = 3;

/// Blocks that were compressed together and have been decoded again if the coder reads back.
#[derive(Debug)]
pub struct EncodedFrame {
    codec: Codec,
    text: Vec<u8>,
    blocks: Vec<(BlockHash, usize)>,
}

impl EncodedFrame {
    /// Returns the codec of the frame's text.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the hash and the raw length of each block, in the order of the frame.
    pub fn blocks(&self) -> &[(BlockHash, usize)] {
        &self.blocks
    }

    /// Returns the coded bytes without the list of blocks.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

/// A changed block as its difference to a base.
#[derive(Debug)]
pub struct EncodedDelta {
    text: Vec<u8>,
    hash: BlockHash,
    length: usize,
}

impl EncodedDelta {
    /// Returns the coded bytes of the delta, without zstd's magic number.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the hash of the changed block.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Returns the number of raw bytes of the block.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// The read-back of encoded blocks: they are decoded and hashed again before they are used, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBack {
    /// Results are checked: a wrong computation is caught here.
    On,
    /// Results are used without a check.
    Off,
}

/// The compression level of whole blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level(i32);

impl Level {
    /// Creates a zstd level; `None` if it is not from -7 to 19.
    pub fn new(level: i32) -> Option<Self> {
        (-7..=19).contains(&level).then_some(Self(level))
    }

    /// The level of `auto`: above 1 a stream of pages gains 1 to 3 % and costs half the speed.
    pub const AUTO: Self = Self(1);
}

/// Says that something just encoded did not decode to what it was made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Miscomputed;

/// The presence of the content's length in a zstd frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentSize {
    Written,
    LeftOut,
}

/// Creates a context that writes neither checksums nor dictionary ids: tags and directories have
/// both.
fn compressor(level: i32, size: ContentSize, own: &[CParameter]) -> CCtx<'static> {
    let mut context = CCtx::create();
    let common = [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(size == ContentSize::Written),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for parameter in common.iter().chain(own) {
        context.set_parameter(*parameter).expect("zstd knows these parameters");
    }
    context
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

    /// Encodes blocks that stand one after the other in `raw`.
    pub fn encode(
        &mut self,
        raw: &[u8],
        blocks: Vec<(BlockHash, usize)>,
        compress: Compress,
    ) -> Result<EncodedFrame, Miscomputed> {
        let text = match compress {
            Compress::Try => self.compress(raw),
            Compress::Skip => None,
        };
        let frame = match text {
            Some(text) => EncodedFrame { codec: Codec::Zstd, text, blocks },
            None => EncodedFrame { codec: Codec::Raw, text: raw.to_vec(), blocks },
        };
        self.read_back(&frame, raw.len())?;
        Ok(frame)
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
            scratch
        };
        let mut rest = raw;
        for (hash, length) in &frame.blocks {
            let (block, tail) = rest.split_at_checked(*length).ok_or(Miscomputed)?;
            if self.hasher.hash(block) != *hash {
                return Err(Miscomputed);
            }
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(Miscomputed) }
    }
}

/// The choice to compress blocks, or to keep them raw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compress {
    /// Blocks are compressed, and kept raw if that saves too little.
    Try,
    /// Blocks are kept raw, because compressing has not paid lately.
    Skip,
}

/// Encodes changed blocks against bases that live as long as the coder: made for one batch of
/// blocks.
pub struct DeltaCoder<'base> {
    compressor: CCtx<'base>,
    alone: CCtx<'base>,
    check: Option<DeltaDecoder<'base>>,
    hasher: BlockHasher,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for DeltaCoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCoder").finish_non_exhaustive()
    }
}

impl<'base> DeltaCoder<'base> {
    /// Creates a coder for one batch of blocks.
    pub fn new(read_back: ReadBack, hasher: BlockHasher) -> Self {
        let raw_literals = CParameter::LiteralCompressionMode(ParamSwitch::Disable);
        DeltaCoder {
            compressor: compressor(DELTA_LEVEL, ContentSize::LeftOut, &[raw_literals]),
            alone: compressor(DELTA_LEVEL, ContentSize::Written, &[]),
            check: (read_back == ReadBack::On).then(DeltaDecoder::new),
            hasher,
            scratch: Vec::new(),
        }
    }

    /// Encodes the block as a delta; returns `None` if it is better stored whole.
    pub fn encode(
        &mut self,
        block: &[u8],
        hash: BlockHash,
        base: &'base [u8],
    ) -> Result<Option<EncodedDelta>, Miscomputed> {
        let text = self.compress(block, base);
        if text.len() > DELTA_BYTES_ALWAYS && self.is_dear(text.len(), block) {
            return Ok(None);
        }
        self.finish(text, block, hash, base).map(Some)
    }

    /// Encodes the block as a delta; returns `None` if that takes more than half of the block: the
    /// rule for map pages.
    pub fn encode_page(
        &mut self,
        block: &[u8],
        hash: BlockHash,
        base: &'base [u8],
    ) -> Result<Option<EncodedDelta>, Miscomputed> {
        let text = self.compress(block, base);
        if text.len() * 2 > block.len() {
            return Ok(None);
        }
        self.finish(text, block, hash, base).map(Some)
    }

    fn compress(&mut self, block: &[u8], base: &'base [u8]) -> Vec<u8> {
        let window = (block.len() + base.len()).max(1 << 10).next_power_of_two().trailing_zeros();
        let window = CParameter::WindowLog(window);
        self.compressor.set_parameter(window).expect("blocks are far below the largest window");
        self.compressor.ref_prefix(base).expect("a context between frames takes a prefix");
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(block.len()));
        self.compressor.compress2(&mut self.scratch, block).expect("the bound is room enough");
        assert_eq!(self.scratch.first_chunk(), Some(&MAGIC), "zstd begins with its magic number");
        self.scratch[MAGIC.len()..].to_vec()
    }

    fn is_dear(&mut self, delta: usize, block: &[u8]) -> bool {
        // With only this much room, running out of it already answers the question.
        let packed = delta * DELTA_PACKED_PERCENT / 100;
        let room = (packed * DELTA_DEAR_FACTOR).min(zstd::zstd_safe::compress_bound(block.len()));
        self.scratch.resize(room, 0);
        self.alone.compress2(self.scratch.as_mut_slice(), block).is_ok()
    }

    fn finish(
        &mut self,
        text: Vec<u8>,
        block: &[u8],
        hash: BlockHash,
        base: &'base [u8],
    ) -> Result<EncodedDelta, Miscomputed> {
        if let Some(decoder) = &mut self.check {
            let back = decoder.decode(&text, base, block.len()).map_err(|_| Miscomputed)?;
            if self.hasher.hash(back) != hash {
                return Err(Miscomputed);
            }
        }
        Ok(EncodedDelta { text, hash, length: block.len() })
    }
}

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

/// Decodes deltas against bases that live as long as the decoder.
pub struct DeltaDecoder<'base> {
    decompressor: DCtx<'base>,
    framed: Vec<u8>,
    out: Vec<u8>,
}

impl std::fmt::Debug for DeltaDecoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaDecoder").finish_non_exhaustive()
    }
}

impl Default for DeltaDecoder<'_> {
    fn default() -> Self {
        DeltaDecoder::new()
    }
}

impl<'base> DeltaDecoder<'base> {
    /// Creates a decoder for one batch of blocks.
    pub fn new() -> Self {
        DeltaDecoder { decompressor: DCtx::create(), framed: Vec::new(), out: Vec::new() }
    }

    /// Returns the block of `length` bytes that `text` makes of `base`.
    pub fn decode(
        &mut self,
        text: &[u8],
        base: &'base [u8],
        length: usize,
    ) -> Result<&[u8], Malformed> {
        self.framed.clear();
        self.framed.extend_from_slice(&MAGIC);
        self.framed.extend_from_slice(text);
        self.decompressor.ref_prefix(base).map_err(|_| UNDECODABLE)?;
        decompress(&mut self.decompressor, &self.framed, length, &mut self.out)?;
        Ok(&self.out)
    }
}

const UNDECODABLE: Malformed = Malformed { what: "compressed data", why: "can't be decompressed" };

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
}

/// Decompresses exactly `length` bytes into `out`.
fn decompress(
    decompressor: &mut DCtx<'_>,
    text: &[u8],
    length: usize,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    out.clear();
    out.reserve_exact(length);
    let made = decompressor.decompress(out, text).map_err(|_| UNDECODABLE)?;
    if made == length { Ok(()) } else { Err(UNDECODABLE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hasher() -> BlockHasher {
        BlockHasher::new([7; 32])
    }

    fn page(seed: u32) -> Vec<u8> {
        (0..16384u32).map(|n| (n.wrapping_mul(seed | 1) >> 7).to_le_bytes()[0]).collect()
    }

    proptest! {
        #[test]
        fn a_frame_comes_back(
            pages in prop::collection::vec(any::<u32>(), 1..5),
            level in -7..6,
            skip in any::<bool>(),
        ) {
            let raw: Vec<u8> = pages.iter().flat_map(|seed| page(*seed)).collect();
            let blocks: Vec<_> =
                raw.chunks(16384).map(|block| (hasher().hash(block), block.len())).collect();
            let mut coder = WholeCoder::new(Level::new(level).unwrap(), ReadBack::On, hasher());
            let compress = if skip { Compress::Skip } else { Compress::Try };
            let frame = coder.encode(&raw, blocks, compress).unwrap();
            let codec = frame.codec();
            let text = frame.into_text();
            let mut decoder = FrameDecoder::new();
            prop_assert_eq!(decoder.decode(codec, &text, raw.len()).unwrap(), &raw);
        }

        #[test]
        fn a_delta_comes_back(
            seed in any::<u32>(),
            changes in prop::collection::vec((0usize..16384, any::<u8>()), 0..40),
        ) {
            let base = page(seed);
            let mut block = base.clone();
            changes.iter().for_each(|(at, byte)| block[*at] = *byte);
            let mut coder = DeltaCoder::new(ReadBack::On, hasher());
            if let Some(delta) = coder.encode(&block, hasher().hash(&block), &base).unwrap() {
                let mut decoder = DeltaDecoder::new();
                prop_assert_eq!(decoder.decode(delta.text(), &base, block.len()).unwrap(), &block);
            }
        }

        #[test]
        fn arbitrary_text_gives_at_most_what_was_asked(
            text in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..70_000
        ) {
            let base = page(3);
            let mut decoder = DeltaDecoder::new();
            if let Ok(out) = decoder.decode(&text, &base, length) {
                prop_assert_eq!(out.len(), length);
            }
            for codec in [Codec::Raw, Codec::Zstd] {
                if let Ok(out) = FrameDecoder::new().decode(codec, &text, length) {
                    prop_assert_eq!(out.len(), length);
                }
            }
        }
    }

    #[test]
    fn a_wrong_hash_is_noticed_by_the_read_back() {
        let raw = page(1);
        let wrong = vec![(hasher().hash(b"another"), raw.len())];
        let mut coder = WholeCoder::new(Level::AUTO, ReadBack::On, hasher());
        assert!(coder.encode(&raw, wrong, Compress::Try).is_err());
    }

    #[test]
    fn a_few_changed_bytes_cost_a_few_bytes_and_a_new_page_is_stored_whole() {
        let mut base = vec![0; 16384];
        blake3::Hasher::new().update(b"page").finalize_xof().fill(&mut base);
        let mut block = base.clone();
        block[5000..5010].fill(0xaa);
        let mut coder = DeltaCoder::new(ReadBack::On, hasher());
        let delta = coder.encode(&block, hasher().hash(&block), &base).unwrap().unwrap();
        assert!(delta.text().len() < 60, "{} bytes", delta.text().len());
        let mut new = vec![0; 16384];
        blake3::Hasher::new().update(b"other").finalize_xof().fill(&mut new);
        assert!(coder.encode(&new, hasher().hash(&new), &base).unwrap().is_none());
    }
}
