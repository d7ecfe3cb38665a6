//! The object `config`: what a reader must know before it knows anything else (FORMAT.md 3).

use crate::base::error::Malformed;
use crate::base::limits::BLOCK_BYTES_MAX;
use crate::base::limits::BLOCK_BYTES_MIN;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;

/// The bytes of a config.
pub const CONFIG_BYTES: usize = 137;
/// The part that the checksum covers.
const CHECKED_BYTES: usize = 89;
/// The part that the tag covers.
pub const TAGGED_BYTES: usize = 105;
const MAGIC: &[u8; 8] = b"HAULOUT1";
/// The place of the repository's id.
const ID_AT: usize = 28;
/// The format version that this program reads and writes.
pub const FORMAT_VERSION: u16 = 1;
/// Required features that this program knows.
pub const FEATURES_KNOWN: Features = Features::INTENTS
    .with(Features::COMPACTED)
    .with(Features::NORMAL_FORM)
    .with(Features::NEEDS)
    .with(Features::BINLOGS);
/// Required features of a repository that this program makes.
pub const FEATURES_MADE: Features =
    Features::INTENTS.with(Features::NORMAL_FORM).with(Features::NEEDS);
const WHAT: &str = "config";

/// Features of a repository, a bit each (FORMAT.md 10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(pub u64);

impl Features {
    /// No feature at all, as version 0.1.0 makes repositories.
    pub const NONE: Self = Self(0);
    /// Runs put intents, and prune deletes.
    pub const INTENTS: Self = Self(1);
    /// Packs may have been compacted away.
    pub const COMPACTED: Self = Self(1 << 1);
    /// Blocks and deltas in normal form, deltas of two bases.
    pub const NORMAL_FORM: Self = Self(1 << 2);
    /// Packs that nothing needs may be absent: snapshots have need lists.
    pub const NEEDS: Self = Self(1 << 3);
    /// Snapshots of binary logs, and segments of those that are open.
    pub const BINLOGS: Self = Self(1 << 4);

    /// Tells whether all of `others` are among these features.
    pub fn include(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns these features and `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Returns those of these features that are not among `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Returns what is known of each of these features, in ascending order of their bits.
    pub fn described(self) -> impl Iterator<Item = &'static FeatureAbout> {
        FEATURES.iter().filter(move |about| self.0 >> about.bit & 1 == 1)
    }

    /// Returns the numbers of the bits that are set, in ascending order.
    pub fn bits(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |bit| self.0 >> bit & 1 == 1)
    }
}

/// What is known of a required feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureAbout {
    /// The number of its bit.
    pub bit: u32,
    /// The thing that a repository with it may hold.
    pub what: &'static str,
    /// The first version of the program that knows it: earlier ones refuse the repository.
    pub since: ProgramVersion,
}

/// A version of the program by its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramVersion(pub u16, pub u16);

impl std::fmt::Display for ProgramVersion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.0, self.1)
    }
}

/// All features that this program knows, in ascending order of their bits.
const FEATURES: [FeatureAbout; 5] = [
    FeatureAbout { bit: 0, what: "runs put intents, prune deletes", since: ProgramVersion(0, 2) },
    FeatureAbout { bit: 1, what: "packs are compacted and merged", since: ProgramVersion(0, 2) },
    FeatureAbout {
        bit: 2,
        what: "blocks and deltas in normal form, deltas of two bases",
        since: ProgramVersion(0, 2),
    },
    FeatureAbout {
        bit: 3,
        what: "packs that nothing needs may be absent",
        since: ProgramVersion(0, 2),
    },
    FeatureAbout {
        bit: 4,
        what: "snapshots of binary logs, and segments",
        since: ProgramVersion(0, 2),
    },
];

/// The fields as FORMAT.md lists them: place, bytes, words. A test compares them.
#[cfg(test)]
pub const CONFIG_FIELDS: [(usize, usize, &str); 14] = [
    (0, 8, "magic `HAULOUT1`"),
    (8, 2, "format version"),
    (10, 1, "suite"),
    (11, 1, "zero"),
    (12, 8, "required features"),
    (20, 8, "optional features"),
    (28, 16, "repository id"),
    (44, 1, "smallest block of a page file"),
    (45, 4, "content-defined blocks: smallest"),
    (49, 4, "content-defined blocks: average"),
    (53, 4, "content-defined blocks: largest"),
    (57, 32, "suite 0: the repository key"),
    (89, 16, "first 16 bytes of the BLAKE3"),
    (105, 32, "keyed BLAKE3"),
];

/// Sizes of content-defined blocks, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutSizes {
    /// Smallest size, but for the last block of a member.
    pub min: u32,
    /// Average, a power of two.
    pub average: u32,
    /// Largest size, at which a block is cut in any case.
    pub max: u32,
}

/// The sizes that `init` writes: a quarter of a frame on average, so that several blocks share one.
pub const CUT_SIZES: CutSizes = CutSizes { min: 8 << 10, average: 32 << 10, max: 128 << 10 };

impl CutSizes {
    fn valid(self) -> bool {
        self.average.is_power_of_two()
            && 256 <= self.min
            && self.min < self.average
            && self.average < self.max
            && usize_of_u32(self.max) <= BLOCK_BYTES_MAX
    }
}

/// The config of a repository, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Number of the suite.
    pub suite: u8,
    /// Features that a program must know.
    pub required_features: Features,
    /// Features that a program may ignore.
    pub optional_features: Features,
    /// Random id of the repository.
    pub repository: [u8; 16],
    /// Smallest block of a page file, log2 of bytes.
    pub block_log2: u8,
    /// Sizes of content-defined blocks.
    pub cuts: CutSizes,
    /// The repository key if the repository is not encrypted, else zero.
    pub clear_key: [u8; 32],
    /// Keyed BLAKE3 of the bytes before.
    pub tag: [u8; 32],
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("suite", &self.suite)
            .field("repository", &self.repository)
            .field("cuts", &self.cuts)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Tells whether two configs are of one repository: they agree in all but features and tag.
    pub fn is_of_same_repository(&self, other: &Self) -> bool {
        let plain = |config: &Self| Self {
            required_features: Features::NONE,
            optional_features: Features::NONE,
            tag: [0; 32],
            ..config.clone()
        };
        plain(self) == plain(other)
    }

    /// Returns the bytes that the tag covers.
    pub fn tagged(&self) -> [u8; TAGGED_BYTES] {
        let mut out = [0; TAGGED_BYTES];
        out[0..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[10] = self.suite;
        out[12..20].copy_from_slice(&self.required_features.0.to_le_bytes());
        out[20..28].copy_from_slice(&self.optional_features.0.to_le_bytes());
        out[ID_AT..44].copy_from_slice(&self.repository);
        out[44] = self.block_log2;
        out[45..49].copy_from_slice(&self.cuts.min.to_le_bytes());
        out[49..53].copy_from_slice(&self.cuts.average.to_le_bytes());
        out[53..57].copy_from_slice(&self.cuts.max.to_le_bytes());
        out[57..89].copy_from_slice(&self.clear_key);
        let sum = blake3::hash(&out[..CHECKED_BYTES]);
        out[89..105].copy_from_slice(&sum.as_bytes()[..16]);
        out
    }

    /// Returns the bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.tagged().to_vec();
        out.extend_from_slice(&self.tag);
        out
    }

    /// Reads the object. The tag is the caller's to check, once there is a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let malformed = |why| Malformed { what: WHAT, why };
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != *MAGIC {
            return Err(malformed("does not begin with HAULOUT1"));
        }
        if reader.u16()? != FORMAT_VERSION {
            return Err(malformed(UNKNOWN_VERSION));
        }
        if bytes.len() != CONFIG_BYTES {
            return Err(malformed("does not have 137 bytes"));
        }
        let sum = blake3::hash(&bytes[..CHECKED_BYTES]);
        if sum.as_bytes()[..16] != bytes[CHECKED_BYTES..TAGGED_BYTES] {
            return Err(malformed("its checksum is wrong"));
        }
        let (suite, zero) = (reader.u8()?, reader.u8()?);
        if zero != 0 {
            return Err(malformed("a byte that must be zero is not"));
        }
        let required_features = Features(reader.u64()?);
        let optional_features = Features(reader.u64()?);
        let repository = reader.array()?;
        let block_log2 = reader.u8()?;
        let cuts = CutSizes { min: reader.u32()?, average: reader.u32()?, max: reader.u32()? };
        let clear_key = reader.array()?;
        let _sum: [u8; 16] = reader.array()?;
        let tag = reader.array()?;
        if !FEATURES_KNOWN.include(required_features) {
            return Err(malformed(UNKNOWN_FEATURE));
        }
        if 1usize.checked_shl(block_log2.into()) != Some(BLOCK_BYTES_MIN) || !cuts.valid() {
            return Err(malformed("its block sizes are out of bounds"));
        }
        Ok(Self {
            suite,
            required_features,
            optional_features,
            repository,
            block_log2,
            cuts,
            clear_key,
            tag,
        })
    }
}

/// Returns the id of the repository that some bytes claim to be the config of, without a look at
/// anything else: it may be a config of a later version.
pub fn claimed_id(bytes: &[u8]) -> Option<[u8; 16]> {
    let is_config = bytes.starts_with(MAGIC) && bytes.len() >= CONFIG_BYTES;
    bytes.get(ID_AT..).filter(|_| is_config)?.first_chunk().copied()
}

/// The reason for refusing a config of a later format.
pub const UNKNOWN_VERSION: &str = "its format version is unknown to this program";
/// The reason for refusing a config with a later feature.
pub const UNKNOWN_FEATURE: &str = "it requires a feature that is unknown to this program";

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            suite: 1,
            required_features: Features::NORMAL_FORM,
            optional_features: Features(2),
            repository: [3; 16],
            block_log2: 14,
            cuts: CUT_SIZES,
            clear_key: [0; 32],
            tag: [5; 32],
        }
    }

    #[test]
    fn the_config_stands_in_the_specification_as_it_is() {
        let text = include_str!("FORMAT.md");
        let mut end = 0;
        for (at, bytes, words) in CONFIG_FIELDS {
            assert_eq!(at, end, "{words}");
            assert!(text.contains(&format!("| {at} | {bytes} | {words}")), "{words}");
            end = at + bytes;
        }
        assert_eq!(end, CONFIG_BYTES);
    }

    #[test]
    fn a_config_comes_back_and_any_flipped_byte_before_the_tag_is_refused() {
        let bytes = config().encode();
        assert_eq!(Config::decode(&bytes), Ok(config()));
        for at in 0..TAGGED_BYTES {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(Config::decode(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn each_feature_that_is_known_is_described_as_the_specification_does() {
        let text = include_str!("FORMAT.md");
        let described = FEATURES_KNOWN.described().map(|about| about.bit);
        assert_eq!(described.collect::<Vec<_>>(), FEATURES_KNOWN.bits().collect::<Vec<_>>());
        for about in FEATURES {
            assert!(text.contains(&format!("| {} | {} (", about.bit, about.what)), "{about:?}");
        }
        assert_eq!(FEATURES_KNOWN.without(FEATURES_KNOWN), Features::NONE);
        assert_eq!(Features(0b110).without(Features(0b011)), Features(0b100));
    }

    #[test]
    fn configs_of_one_repository_differ_in_features_and_tag_at_most() {
        let own = config();
        for same in [
            config(),
            Config { required_features: Features::NONE, tag: [6; 32], ..config() },
            Config { optional_features: Features(7), ..config() },
        ] {
            assert!(own.is_of_same_repository(&same), "{same:?}");
            assert_eq!(claimed_id(&same.encode()), Some(own.repository));
        }
        let cuts = CutSizes { min: 4 << 10, ..CUT_SIZES };
        for other in [
            Config { suite: 0, ..config() },
            Config { repository: [4; 16], ..config() },
            Config { cuts, ..config() },
            Config { clear_key: [1; 32], ..config() },
        ] {
            assert!(!own.is_of_same_repository(&other), "{other:?}");
        }
        assert_eq!(claimed_id(&own.encode()[..136]), None);
        assert_eq!(claimed_id(&[0; 137]), None);
    }

    #[test]
    fn a_later_version_or_feature_is_refused_by_name() {
        let mut bytes = config().encode();
        bytes[8] = 2;
        assert_eq!(Config::decode(&bytes).unwrap_err().why, UNKNOWN_VERSION);
        let later = Config { required_features: Features(1 << 40), ..config() };
        assert_eq!(Config::decode(&later.encode()).unwrap_err().why, UNKNOWN_FEATURE);
        // A bit that is assigned, and not known yet.
        let reserved = Features(1 << 5).with(Features::NORMAL_FORM);
        let config = Config { required_features: reserved, ..config() };
        assert_eq!(Config::decode(&config.encode()).unwrap_err().why, UNKNOWN_FEATURE);
    }
}
