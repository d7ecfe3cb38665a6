//! Deltas: a changed block as its difference to a base.

use std::sync::Arc;

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::DCtx;
use zstd::zstd_safe::ParamSwitch;

use crate::base::error::Malformed;
use crate::base::ids::BlockHash;
use crate::encode::ContentSize;
use crate::encode::Miscomputed;
use crate::encode::ReadBack;
use crate::encode::UNDECODABLE;
use crate::encode::compressor;
use crate::encode::exactly;
use crate::encode::form;
use crate::encode::form::Layout;
use crate::encode::kept::KeptBases;
use crate::format::form::BlockForm;
use crate::hash::BlockHasher;
use crate::innodb::PageSize;
use crate::innodb::trailer;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The level that deltas are made at: a higher one finds matches in what the second step would have
/// coded with all the others of its frame, and takes 5 % more.
const DELTA_LEVEL: i32 = 1;
/// The shortest match of a delta to what the block was: the second step codes six digits of text in
/// fewer bytes than a match takes. Version 0.1.0 had the default.
const MATCH_MIN_IN_PLACE: u32 = 7;
/// Leaves the shortest match to zstd: records of a narrow index that moved have eight bytes.
const MATCH_MIN_DEFAULT: u32 = 0;
/// A delta of up to this many bytes is never compared with the block compressed alone.
const DELTA_BYTES_ALWAYS: usize = 256;
/// Size of a packed delta in percent of its own bytes, as far as those bytes alone tell.
const DELTA_PACKED_PERCENT: usize = 75;
/// A block is stored whole when this many times its delta exceeds the block compressed alone: a
/// delta costs a second read for as long as it is the newest version.
const DELTA_DEAR_FACTOR: usize = 3;

/// A changed block as its difference to a base.
#[derive(Debug)]
pub struct EncodedDelta {
    text: Vec<u8>,
    hash: BlockHash,
    length: usize,
    form: BlockForm,
}

impl EncodedDelta {
    /// Returns the form in which both sides of the delta are.
    pub fn form(&self) -> BlockForm {
        self.form
    }

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

/// The trailers of pages in deltas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trailers {
    /// Every page has its trailer: the one form that version 0.1.0 knows.
    Kept,
    /// A trailer that can be computed is left out.
    LeftOut,
}

impl Trailers {
    fn form(self, block: &[u8]) -> BlockForm {
        match self {
            Self::LeftOut if trailer::is_computable(block) => BlockForm::PLAIN.without_trailer(),
            Self::Kept | Self::LeftOut => BlockForm::PLAIN,
        }
    }
}

/// A block of index pages and the other pages that its records came from, all in normal form.
#[derive(Debug)]
pub struct MovedBlock<'base> {
    text: Vec<u8>,
    form: BlockForm,
    prefix: &'base [u8],
}

impl<'base> MovedBlock<'base> {
    /// Brings a block and the pages that it rests on into normal form, of which the latter are
    /// kept; `None` if that can't be done.
    pub fn new(
        block: &[u8],
        page: PageSize,
        [base, second]: [Option<&[u8]>; 2],
        kept: &'base KeptBases,
    ) -> Option<Self> {
        let mut text = Vec::new();
        let form = form::append(&mut text, block, page, Layout::Rows);
        if form == BlockForm::PLAIN {
            return None;
        }
        let is_computable = trailer::is_computable(block);
        let form = if is_computable { form.without_trailer() } else { form };
        let prefix = form::prefix(form, base?, second).ok()?.into_owned();
        Some(Self { text, form, prefix: kept.keep(Arc::new(prefix)) })
    }
}

/// Encodes changed blocks against bases that live as long as the coder; see [`KeptBases`].
pub struct DeltaCoder<'base> {
    compressor: CCtx<'base>,
    alone: CCtx<'base>,
    decoder: Option<DeltaDecoder>,
    hasher: BlockHasher,
    scratch: Vec<u8>,
    trailers: Trailers,
}

impl std::fmt::Debug for DeltaCoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCoder").finish_non_exhaustive()
    }
}

impl<'base> DeltaCoder<'base> {
    /// Creates a coder of blocks.
    pub fn new(read_back: ReadBack, hasher: BlockHasher, trailers: Trailers) -> Self {
        let raw_literals = CParameter::LiteralCompressionMode(ParamSwitch::Disable);
        DeltaCoder {
            compressor: compressor(DELTA_LEVEL, ContentSize::LeftOut, &[raw_literals]),
            alone: compressor(DELTA_LEVEL, ContentSize::Written, &[]),
            decoder: (read_back == ReadBack::On).then(DeltaDecoder::new),
            hasher,
            scratch: Vec::new(),
            trailers,
        }
    }

    /// Takes trailers in another way for the blocks that follow.
    pub fn set_trailers(&mut self, trailers: Trailers) {
        self.trailers = trailers;
    }

    /// Encodes the block as a delta; returns `None` if it is better stored whole.
    pub fn encode(
        &mut self,
        block: &[u8],
        hash: BlockHash,
        base: &'base [u8],
    ) -> Result<Option<EncodedDelta>, Miscomputed> {
        let form = self.trailers.form(block);
        self.set_match_min(match self.trailers {
            Trailers::Kept => MATCH_MIN_DEFAULT,
            Trailers::LeftOut => MATCH_MIN_IN_PLACE,
        });
        let text = self.compress(form::without_trailer(block, form), base);
        if text.len() > DELTA_BYTES_ALWAYS && self.is_dear(text.len(), block) {
            return Ok(None);
        }
        let delta = EncodedDelta { text, hash, length: block.len(), form };
        self.check(delta, base).map(Some)
    }

    /// Encodes a block as a delta to other pages; returns `None` if it is better stored whole.
    pub fn encode_moved(
        &mut self,
        block: &MovedBlock<'base>,
        hash: BlockHash,
    ) -> Result<Option<EncodedDelta>, Miscomputed> {
        let MovedBlock { text: normal, form, prefix } = block;
        self.set_match_min(MATCH_MIN_DEFAULT);
        let text = self.compress(form::without_trailer(normal, *form), prefix);
        if text.len() > DELTA_BYTES_ALWAYS && self.is_dear(text.len(), normal) {
            return Ok(None);
        }
        let delta = EncodedDelta { text, hash, length: normal.len(), form: *form };
        self.check(delta, prefix).map(Some)
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
        let delta = EncodedDelta { text, hash, length: block.len(), form: BlockForm::PLAIN };
        self.check(delta, base).map(Some)
    }

    fn set_match_min(&mut self, bytes: u32) {
        let parameter = CParameter::MinMatch(bytes);
        self.compressor.set_parameter(parameter).expect("zstd knows such matches");
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

    /// Reads a delta back, if that is wanted.
    fn check(
        &mut self,
        delta: EncodedDelta,
        prefix: &'base [u8],
    ) -> Result<EncodedDelta, Miscomputed> {
        if let Some(decoder) = &mut self.decoder {
            let EncodedDelta { text, hash, length, form } = &delta;
            let back = decoder.decode(text, prefix, *length, *form).map_err(|_| Miscomputed)?;
            if self.hasher.hash(back) != *hash {
                return Err(Miscomputed);
            }
        }
        Ok(delta)
    }
}

/// The number that zstd's own dictionaries begin with, as they are stored.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// Decodes deltas, one after the other in the same memory: a context of the decompressor takes
/// longer to make than a delta to decode.
pub struct DeltaDecoder {
    decompressor: DCtx<'static>,
    framed: Vec<u8>,
    out: Vec<u8>,
}

impl std::fmt::Debug for DeltaDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaDecoder").finish_non_exhaustive()
    }
}

impl Default for DeltaDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DeltaDecoder {
    /// Creates a decoder for any number of deltas.
    pub fn new() -> Self {
        Self { decompressor: DCtx::create(), framed: Vec::new(), out: Vec::new() }
    }

    /// Returns the block of `length` bytes that `text` makes of `prefix`, which [`form::prefix`]
    /// gives for the same form.
    pub fn decode(
        &mut self,
        text: &[u8],
        prefix: &[u8],
        length: usize,
        form: BlockForm,
    ) -> Result<&[u8], Malformed> {
        let coded = form::coded_bytes(length, form)?;
        self.framed.clear();
        self.framed.extend_from_slice(&MAGIC);
        self.framed.extend_from_slice(text);
        if prefix.starts_with(&DICTIONARY_MAGIC) {
            // Given as a dictionary it would be read as one of zstd's own. Only a context that
            // lives as long as the prefix takes it for what it is.
            let mut decompressor = DCtx::create();
            decompressor.ref_prefix(prefix).map_err(|_| UNDECODABLE)?;
            exactly(coded, &mut self.out, |out| decompressor.decompress(out, &self.framed))?;
        } else {
            let (context, framed) = (&mut self.decompressor, &self.framed);
            exactly(coded, &mut self.out, |out| {
                context.decompress_using_dict(out, framed, prefix)
            })?;
        }
        self.out.resize(length, 0);
        form::restore(&mut self.out, form)?;
        Ok(&self.out)
    }
}
