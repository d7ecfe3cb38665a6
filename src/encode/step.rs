//! The steps of compression of the level `auto`, and the parameters of each.
//!
//! Measured on frames of 128 KiB in normal form, in rows, bytes and CPU seconds a GB relative to
//! the first step (1.44 s/GB); narrow and wide rows hold random digits and hashes, as benchmarks
//! do, the text is HTML, JSON and Markdown:
//!
//! | step | narrow rows | wide rows | text | decoding |
//! |---|---|---|---|---|
//! | base: level 1, matches of 7 bytes, every third position | 1 | 1 | 1 | 1 |
//! | fine: the same at every position | 0.986, 1.3 x | 0.975, 1.3 x | 0.917, 1.1 x | 1.0 |
//! | deep: the smaller of fine and lazy | 0.986, 7 x | 0.969, 7 x | 0.809, 5 x | 1.4 |
//! | best: level 16, matches of 6 bytes | 0.961, 25 x | 0.950, 26 x | 0.757, 60 x | 1.3 |
//!
//! In columns the fine step makes 0.992 of narrow rows and 0.990 of wide ones, and takes 1.2 times
//! as long. Lazy is level 7 with matches of 6 bytes. The levels between are no steps: with matches
//! of 3 to 5 bytes, which zstd takes for them, frames of pages are larger than those of level 1
//! (level 3 makes 1.04 of narrow rows, level 5 1.08), since such matches are mostly chance. Larger
//! frames are no way either: of 256 KiB they save 0.1 %, of 1 MiB 0.25 %, in as much time, and a
//! reader of one block decodes all of its frame.

use zstd::zstd_safe::CParameter;
use zstd::zstd_safe::ParamSwitch;

/// A step of compression: the time that a frame of whole blocks is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Step {
    /// The fastest: as small as `zstd -1` in less time.
    #[default]
    Base,
    /// A search at every position.
    Fine,
    /// A lazy search besides.
    Deep,
    /// An optimal choice of matches.
    Best,
}

/// Level and parameters of one way to compress a frame.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) level: i32,
    pub(super) own: &'static [CParameter],
}

/// The parameters of level 1 for large inputs, with a wider step. For 128 KiB zstd would choose a
/// smaller table and shorter matches, which on pages are mostly chance: measured on 200 MB of pages
/// they cost 1.9 % in size and a tenth in decoding. A search that tries every third position is 1.4
/// times as fast and as small on pages; zstd takes it for one of the negative levels, which leave
/// literals uncoded, so these parameters are set explicitly.
const BASE: Parameters = Parameters {
    level: 1,
    own: &[
        CParameter::HashLog(14),
        CParameter::MinMatch(7),
        CParameter::TargetLength(3),
        CParameter::LiteralCompressionMode(ParamSwitch::Enable),
    ],
};
const FINE: Parameters = Parameters {
    level: 1,
    own: &[
        CParameter::HashLog(14),
        CParameter::MinMatch(7),
        CParameter::TargetLength(1),
        CParameter::LiteralCompressionMode(ParamSwitch::Enable),
    ],
};
const LAZY: Parameters = Parameters { level: 7, own: &[CParameter::MinMatch(6)] };
const OPTIMAL: Parameters = Parameters { level: 16, own: &[CParameter::MinMatch(6)] };

impl Step {
    /// All steps, from the fastest on.
    pub const ALL: [Self; 4] = [Self::Base, Self::Fine, Self::Deep, Self::Best];

    /// Returns the step after this one; the last has none.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Base => Some(Self::Fine),
            Self::Fine => Some(Self::Deep),
            Self::Deep => Some(Self::Best),
            Self::Best => None,
        }
    }

    /// Returns the ways of which the one that gives the smallest frame is taken.
    pub(super) fn ways(self) -> &'static [Parameters] {
        match self {
            Self::Base => const { &[BASE] },
            Self::Fine => const { &[FINE] },
            // Where matches are rare, the lazy search makes larger frames than the fast one.
            Self::Deep => const { &[FINE, LAZY] },
            Self::Best => const { &[OPTIMAL] },
        }
    }
}
