//! Whole blocks to compressed frames, changed blocks to deltas, and both back (FORMAT.md 5.2).
//!
//! A frame of whole blocks is compressed as one, because 128 KiB compress 4 % better than 16, and
//! with the bytes of rows in columns, because that takes another 4 to 21 % off pages of tables; a
//! delta is made alone against its base, because a night's changed pages are far apart. What deltas
//! have in common is how their new bytes are distributed, and a code for that is too dear for 200
//! bytes: a delta leaves them as they are, and a frame of deltas is compressed once more. That
//! takes a quarter off the deltas of a night. A coder holds the compressor's tables, so each thread
//! keeps one.
//!
//! Decoding is the only place where a length from outside meets the decompressor: the output never
//! grows beyond the length that the directory states, which [`limits`](crate::base::limits) bounds.

mod delta;
pub mod form;
mod frames;
mod kept;
mod step;
mod whole;

use zstd::zstd_safe::CCtx;
use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::DCtx;
use zstd::zstd_safe::ResetDirective;
use zstd::zstd_safe::SafeResult;

use crate::base::error::Malformed;
pub use crate::encode::delta::DeltaCoder;
pub use crate::encode::delta::DeltaDecoder;
pub use crate::encode::delta::EncodedDelta;
pub use crate::encode::delta::MovedBlock;
pub use crate::encode::delta::Trailers;
pub use crate::encode::frames::FrameDecoder;
pub use crate::encode::frames::RecordsCoder;
pub use crate::encode::kept::KeptBases;
pub use crate::encode::step::Step;
pub use crate::encode::whole::Compress;
pub use crate::encode::whole::EncodedFrame;
pub use crate::encode::whole::WholeCoder;

/// The read-back of encoded blocks: they are decoded and hashed again before they are used, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBack {
    /// Results are checked: a wrong computation is caught here.
    On,
    /// Results are used without a check.
    Off,
}

/// The compression level of whole blocks: one of zstd, or `auto`, which takes [`Step`]s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level(Option<i32>);

impl Level {
    /// Creates a zstd level; `None` if it is not from -7 to 19.
    pub fn new(level: i32) -> Option<Self> {
        (-7..=19).contains(&level).then_some(Self(Some(level)))
    }

    /// The level of `auto`: the first step, and higher ones while the producer is slow.
    pub const AUTO: Self = Self(None);
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("auto"),
            Some(level) => level.fmt(f),
        }
    }
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
    configure(&mut context, level, size, own);
    context
}

/// Sets all parameters of a context that is between two frames.
fn configure(context: &mut CCtx<'_>, level: i32, size: ContentSize, own: &[CParameter]) {
    context.reset(ResetDirective::Parameters).expect("a context between frames forgets parameters");
    let common = [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(size == ContentSize::Written),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for parameter in common.iter().chain(own) {
        context.set_parameter(*parameter).expect("zstd knows these parameters");
    }
}

const UNDECODABLE: Malformed = Malformed { what: "compressed data", why: "can't be decompressed" };

/// Decompresses exactly `length` bytes into `out`.
fn decompress(
    decompressor: &mut DCtx<'_>,
    text: &[u8],
    length: usize,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    exactly(length, out, |out| decompressor.decompress(out, text))
}

/// Makes room for `length` bytes in `out`, and fails if `decode` makes more or fewer.
fn exactly(
    length: usize,
    out: &mut Vec<u8>,
    decode: impl FnOnce(&mut Vec<u8>) -> SafeResult,
) -> Result<(), Malformed> {
    out.clear();
    out.reserve_exact(length);
    let made = decode(out).map_err(|_| UNDECODABLE)?;
    if made == length { Ok(()) } else { Err(UNDECODABLE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::directory::Codec;
    use crate::format::directory::FramedBlock;
    use crate::format::form::BlockForm;
    use crate::hash::BlockHasher;
    use proptest::prelude::*;

    fn hasher() -> BlockHasher {
        BlockHasher::new([7; 32])
    }

    fn plain(block: &[u8]) -> FramedBlock {
        let hash = hasher().hash(block);
        FramedBlock { hash, length: block.len(), form: BlockForm::PLAIN }
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
                raw.chunks(16384).map(plain).collect();
            let mut coder = WholeCoder::new(Level::new(level).unwrap(), ReadBack::On, hasher());
            let compress = if skip { Compress::Skip } else { Compress::Try };
            let frame = coder.encode(&raw, blocks, compress).unwrap();
            let codec = frame.codec();
            let mut decoder = FrameDecoder::new();
            prop_assert_eq!(decoder.decode(codec, frame.text(), raw.len()).unwrap(), &raw);
        }

        #[test]
        fn a_delta_comes_back(
            seed in any::<u32>(),
            changes in prop::collection::vec((0usize..16384, any::<u8>()), 0..40),
        ) {
            let base = page(seed);
            let mut block = base.clone();
            changes.iter().for_each(|(at, byte)| block[*at] = *byte);
            let mut coder = DeltaCoder::new(ReadBack::On, hasher(), Trailers::LeftOut);
            if let Some(delta) = coder.encode(&block, hasher().hash(&block), &base).unwrap() {
                let mut decoder = DeltaDecoder::new();
                let back = decoder.decode(delta.text(), &base, block.len(), delta.form());
                prop_assert_eq!(back.unwrap(), &block);
            }
        }

        // zstd takes what begins like this for a dictionary of its own.
        #[test]
        fn a_delta_to_a_base_that_looks_like_a_dictionary_comes_back(
            seed in any::<u32>(),
            at in 4usize..16384,
        ) {
            let mut base = page(seed);
            base[..4].copy_from_slice(&0xec30_a437_u32.to_le_bytes());
            let mut block = base.clone();
            block[at] ^= 1;
            let mut coder = DeltaCoder::new(ReadBack::Off, hasher(), Trailers::LeftOut);
            let mut decoder = DeltaDecoder::new();
            // Some of these pages compress so well that they are stored whole.
            let delta = coder.encode(&block, hasher().hash(&block), &base).unwrap();
            let Some(delta) = delta else { return Ok(()) };
            for _ in 0..2 {
                let back = decoder.decode(delta.text(), &base, block.len(), delta.form());
                prop_assert_eq!(back.unwrap(), &block);
            }
        }

        #[test]
        fn arbitrary_text_gives_at_most_what_was_asked(
            text in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..70_000
        ) {
            let base = page(3);
            let mut decoder = DeltaDecoder::new();
            if let Ok(out) = decoder.decode(&text, &base, length, BlockForm::PLAIN) {
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
    fn frames_of_every_step_come_back_in_any_order() {
        let raw: Vec<u8> = (1..6).flat_map(page).collect();
        let blocks: Vec<_> = raw.chunks(16384).map(plain).collect();
        let frame = |coder: &mut WholeCoder, step| {
            coder.set_step(step);
            coder.encode(&raw, blocks.clone(), Compress::Try).unwrap()
        };
        let mut changing = WholeCoder::new(Level::AUTO, ReadBack::On, hasher());
        let mut decoder = FrameDecoder::new();
        for (first, second) in Step::ALL.into_iter().flat_map(|a| Step::ALL.map(|b| (a, b))) {
            frame(&mut changing, first);
            let made = frame(&mut changing, second);
            assert_eq!(decoder.decode(made.codec(), made.text(), raw.len()).unwrap(), &raw);
            let mut fresh = WholeCoder::new(Level::AUTO, ReadBack::Off, hasher());
            let same = frame(&mut fresh, second);
            assert_eq!(made.text(), same.text(), "{first:?} leaves nothing for {second:?}");
        }
    }

    #[test]
    fn a_fixed_level_knows_no_steps() {
        let raw = page(77);
        let text = |step| {
            let mut coder = WholeCoder::new(Level::new(3).unwrap(), ReadBack::On, hasher());
            coder.set_step(step);
            coder.encode(&raw, vec![plain(&raw)], Compress::Try).unwrap().text().to_vec()
        };
        assert_eq!(text(Step::Best), text(Step::Base));
    }

    #[test]
    fn a_wrong_hash_is_noticed_by_the_read_back() {
        let raw = page(1);
        let wrong = vec![FramedBlock { hash: hasher().hash(b"another"), ..plain(&raw) }];
        let mut coder = WholeCoder::new(Level::AUTO, ReadBack::On, hasher());
        assert!(coder.encode(&raw, wrong, Compress::Try).is_err());
    }

    #[test]
    fn a_coder_that_takes_trailers_in_turns_leaves_nothing_of_the_other_way() {
        let base = page(5);
        let mut block = base.clone();
        (0..400).for_each(|n| block[n * 37] ^= 0x55);
        let hash = hasher().hash(&block);
        let mut changing = DeltaCoder::new(ReadBack::On, hasher(), Trailers::Kept);
        for trailers in [Trailers::LeftOut, Trailers::Kept, Trailers::LeftOut] {
            changing.set_trailers(trailers);
            let mut fresh = DeltaCoder::new(ReadBack::On, hasher(), trailers);
            let [made, expected] =
                [&mut changing, &mut fresh].map(|c| c.encode_page(&block, hash, &base).unwrap());
            assert_eq!(made.unwrap().text(), expected.unwrap().text(), "{trailers:?}");
        }
    }

    #[test]
    fn a_delta_leaves_out_a_trailer_that_can_be_computed() {
        let base = page(1);
        let mut block = base.clone();
        block[9000] ^= 1;
        crate::innodb::trailer::restore(&mut block);
        for (trailers, left_out) in [(Trailers::Kept, false), (Trailers::LeftOut, true)] {
            let mut coder = DeltaCoder::new(ReadBack::On, hasher(), trailers);
            let delta = coder.encode(&block, hasher().hash(&block), &base).unwrap().unwrap();
            assert_eq!(delta.form().is_without_trailer(), left_out);
            let mut decoder = DeltaDecoder::new();
            let back = decoder.decode(delta.text(), &base, block.len(), delta.form());
            assert_eq!(back, Ok(&block[..]));
            let short = decoder.decode(delta.text(), &base, 31, delta.form());
            assert!(short.is_err());
        }
        // One that says something else is kept.
        block[16383] ^= 1;
        let mut coder = DeltaCoder::new(ReadBack::On, hasher(), Trailers::LeftOut);
        let delta = coder.encode(&block, hasher().hash(&block), &base).unwrap().unwrap();
        assert_eq!(delta.form(), BlockForm::PLAIN);
    }

    #[test]
    fn a_few_changed_bytes_cost_a_few_bytes_and_a_new_page_is_stored_whole() {
        let mut base = vec![0; 16384];
        blake3::Hasher::new().update(b"page").finalize_xof().fill(&mut base);
        let mut block = base.clone();
        block[5000..5010].fill(0xaa);
        let mut coder = DeltaCoder::new(ReadBack::On, hasher(), Trailers::LeftOut);
        let delta = coder.encode(&block, hasher().hash(&block), &base).unwrap().unwrap();
        assert!(delta.text().len() < 60, "{} bytes", delta.text().len());
        let mut new = vec![0; 16384];
        blake3::Hasher::new().update(b"other").finalize_xof().fill(&mut new);
        assert!(coder.encode(&new, hasher().hash(&new), &base).unwrap().is_none());
    }
}
