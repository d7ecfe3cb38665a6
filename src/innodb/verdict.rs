//! What can be said of a page, and the count of it over a file.
//!
//! A verdict has four answers besides "corrupt", because "not known to be bad" is not "good":
//!
//! - [`PageVerdict::Good`]: a checksum over its contents was right, and it stands where it belongs.
//! - [`PageVerdict::Zero`]: every single byte is zero, so that it may become a hole.
//! - [`PageVerdict::Doublewrite`]: a copy in the doublewrite buffer, which may be torn by design.
//! - [`PageVerdict::Unverifiable`]: nothing is wrong, but nothing vouches for the contents either.
//!
//! A verdict owns no bytes and allocates nothing. Its texts speak to the operator of the server;
//! the caller adds the name of the file.

use std::fmt;

use super::checksum::ChecksumVariant;
use super::tablespace::CompressionAlgorithm;
use super::units::Lsn;
use super::units::PageNumber;
use super::units::SpaceId;

/// The judgement on one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageVerdict {
    /// All bytes are zero: the page was never used. Valid in every format.
    Zero,
    /// Checksum and identity are right.
    Good {
        /// The last change to the page.
        lsn: Lsn,
        /// The formula that vouches for it.
        variant: ChecksumVariant,
    },
    /// A copy of some page in the doublewrite buffer, which the server trusts only after a crash.
    Doublewrite,
    /// Identity is right, but no checksum vouches for the contents.
    Unverifiable {
        /// The last change to the page.
        lsn: Lsn,
        /// Why there is nothing to compare with.
        reason: Unverifiable,
    },
    /// The server would not accept the page.
    Corrupt {
        /// The last change to the page, as far as its header can still be believed.
        lsn: Lsn,
        /// The reason for which the page is refused.
        reason: Corruption,
    },
}

impl PageVerdict {
    /// Returns the LSN of a page that is believed, which may not exceed the end of the redo log.
    pub const fn lsn(self) -> Option<Lsn> {
        match self {
            Self::Good { lsn, .. } | Self::Unverifiable { lsn, .. } => Some(lsn),
            Self::Zero | Self::Doublewrite | Self::Corrupt { .. } => None,
        }
    }

    /// Returns what is wrong, if anything is.
    pub const fn corruption(self) -> Option<Corruption> {
        match self {
            Self::Corrupt { reason, .. } => Some(reason),
            Self::Zero | Self::Good { .. } | Self::Doublewrite | Self::Unverifiable { .. } => None,
        }
    }
}

/// Why no checksum vouches for a page in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unverifiable {
    /// The page was written with `innodb_checksum_algorithm=none`.
    ChecksumDisabled,
    /// The checksum fields hold what servers before 4.1 wrote, and today's accept it unchecked.
    ChecksumAncient,
    /// All is zero but the flush LSN, which old servers put on the first page of each system file.
    Blank,
    /// A page of an older format, compressed with something else than zlib.
    Compressed(CompressionAlgorithm),
    /// A page of an older format, compressed and then encrypted, whose checksum is wrong or was
    /// never right: the server does not read it, so it takes the key to tell.
    CompressedAndEncrypted,
}

impl fmt::Display for Unverifiable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChecksumDisabled => out.write_str("written without a checksum"),
            Self::ChecksumAncient => out.write_str("has a checksum field of a server before 4.1"),
            Self::Blank => out.write_str("zero but for the flush LSN"),
            Self::Compressed(algorithm) => {
                write!(out, "compressed with {algorithm}, which is not unpacked")
            }
            Self::CompressedAndEncrypted => out.write_str("compressed and encrypted"),
        }
    }
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// The contents do not match the checksum.
    Checksum {
        /// Checksum that the page carries.
        stored: u32,
        /// Checksum computed over the contents.
        computed: u32,
    },
    /// The first checksum matches, that in the trailer does not.
    TrailerChecksum {
        /// Checksum that the trailer carries.
        stored: u32,
        /// Checksum that the trailer should carry.
        computed: u32,
    },
    /// The LSN was written twice and differs: start and end of the page are from different times.
    Torn {
        /// The low half of the LSN in the header.
        header: u32,
        /// The low half of the LSN in the trailer.
        trailer: u32,
    },
    /// The page is intact, but it is another one.
    Number {
        /// Page number in its header.
        says: PageNumber,
        /// Page number of its position in the tablespace.
        stands_at: PageNumber,
    },
    /// The page is intact, but it is of another tablespace.
    Space {
        /// The tablespace in its header.
        says: SpaceId,
        /// The tablespace of the file.
        file: SpaceId,
    },
    /// A compressed page gives a length that it cannot have.
    CompressedLength {
        /// The length, in bytes.
        bytes: u32,
    },
    /// A compressed page names an algorithm that does not exist.
    CompressionAlgorithm {
        /// The code of it.
        code: u64,
    },
    /// The zlib stream in a compressed page is broken or does not make a page.
    Inflate,
    /// The header of a compressed page is not that of the page inside it.
    InflatedHeader,
}

impl fmt::Display for Corruption {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { stored, computed } => {
                write!(out, "checksum is {stored:08x}, should be {computed:08x}")
            }
            Self::TrailerChecksum { stored, computed } => {
                write!(out, "checksum in the trailer is {stored:08x}, should be {computed:08x}")
            }
            Self::Torn { header, trailer } => {
                write!(out, "torn: LSN ends in {header:08x} in header, {trailer:08x} in trailer")
            }
            Self::Number { says, stands_at } => {
                write!(out, "page says it is number {says} but stands at {stands_at}")
            }
            Self::Space { says, file } => {
                write!(out, "page belongs to space {says}, file is space {file}")
            }
            Self::CompressedLength { bytes } => {
                write!(out, "compressed length of {bytes} bytes is impossible")
            }
            Self::CompressionAlgorithm { code } => {
                write!(out, "compression algorithm {code} does not exist")
            }
            Self::Inflate => out.write_str("compressed contents cannot be inflated"),
            Self::InflatedHeader => out.write_str("header differs from that of the page inside"),
        }
    }
}

/// The verdicts on many pages, counted.
///
/// Workers count apart and [`merge`](Self::merge); order does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageTally {
    zero: u64,
    doublewrite: u64,
    good: [u64; ChecksumVariant::ALL.len()],
    unverifiable: [u64; UNVERIFIABLE_KINDS],
    corrupt: u64,
    newest: Option<(Lsn, PageNumber)>,
}

impl PageTally {
    /// Counts one page by its verdict.
    pub fn add(&mut self, number: PageNumber, verdict: PageVerdict) {
        match verdict {
            PageVerdict::Zero => self.zero += 1,
            PageVerdict::Doublewrite => self.doublewrite += 1,
            PageVerdict::Good { variant, .. } => self.good[place_of(variant)] += 1,
            PageVerdict::Unverifiable { reason, .. } => self.unverifiable[kind_of(reason)] += 1,
            PageVerdict::Corrupt { .. } => self.corrupt += 1,
        }
        self.newest = self.newest.max(verdict.lsn().map(|lsn| (lsn, number)));
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        self.zero += other.zero;
        self.doublewrite += other.doublewrite;
        add_each(&mut self.good, &other.good);
        add_each(&mut self.unverifiable, &other.unverifiable);
        self.corrupt += other.corrupt;
        self.newest = self.newest.max(other.newest);
    }

    /// Counts all pages seen.
    pub fn pages(&self) -> u64 {
        self.zero + self.doublewrite + self.good() + self.unverifiable() + self.corrupt
    }

    /// Counts the pages that are all zero.
    pub const fn zero(&self) -> u64 {
        self.zero
    }

    /// Counts the exempt pages of the doublewrite buffer.
    pub const fn doublewrite(&self) -> u64 {
        self.doublewrite
    }

    /// Counts the pages that a checksum vouches for.
    pub fn good(&self) -> u64 {
        self.good.iter().sum()
    }

    /// Counts the pages that one kind of checksum vouches for.
    pub fn good_by(&self, variant: ChecksumVariant) -> u64 {
        self.good[place_of(variant)]
    }

    /// Counts the pages that nothing vouches for.
    pub fn unverifiable(&self) -> u64 {
        self.unverifiable.iter().sum()
    }

    /// Counts the pages that nothing vouches for by one reason; algorithms are counted together.
    pub const fn unverifiable_by(&self, reason: Unverifiable) -> u64 {
        self.unverifiable[kind_of(reason)]
    }

    /// Counts the corrupt pages.
    pub const fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Returns the largest LSN and the page that has it.
    ///
    /// An LSN past the end of the redo log means that pages and log are not of one backup. The end
    /// is known only after the last file has arrived, so it is for the caller to compare.
    pub const fn newest(&self) -> Option<(Lsn, PageNumber)> {
        self.newest
    }
}

fn add_each(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

const UNVERIFIABLE_KINDS: usize = 5;

const fn kind_of(reason: Unverifiable) -> usize {
    match reason {
        Unverifiable::ChecksumDisabled => 0,
        Unverifiable::ChecksumAncient => 1,
        Unverifiable::Blank => 2,
        Unverifiable::Compressed(_) => 3,
        Unverifiable::CompressedAndEncrypted => 4,
    }
}

fn place_of(variant: ChecksumVariant) -> usize {
    let place = ChecksumVariant::ALL.iter().position(|listed| *listed == variant);
    place.expect("ALL lists every variant")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: PageVerdict =
        PageVerdict::Good { lsn: Lsn::new(70), variant: ChecksumVariant::Crc32 };
    const DISABLED: PageVerdict =
        PageVerdict::Unverifiable { lsn: Lsn::new(90), reason: Unverifiable::ChecksumDisabled };
    const CORRUPT: PageVerdict =
        PageVerdict::Corrupt { lsn: Lsn::new(u64::MAX), reason: Corruption::Inflate };

    #[test]
    fn each_page_is_counted_once_in_whatever_order() {
        let verdicts = [PageVerdict::Zero, GOOD, PageVerdict::Doublewrite, DISABLED, CORRUPT];
        let mut whole = PageTally::default();
        let mut parts = [PageTally::default(), PageTally::default()];
        for (at, verdict) in (0..).zip(verdicts) {
            whole.add(PageNumber::new(at), verdict);
            parts[usize::from(at % 2 == 0)].add(PageNumber::new(at), verdict);
        }
        let [mut left, mut right] = parts;
        let before = left.clone();
        left.merge(&right);
        right.merge(&before);
        assert_eq!(left, whole);
        assert_eq!(right, whole);

        assert_eq!(whole.pages(), 5);
        let counts = [whole.zero(), whole.doublewrite(), whole.unverifiable(), whole.corrupt()];
        assert_eq!(counts, [1; 4]);
        assert_eq!((whole.good(), whole.good_by(ChecksumVariant::Crc32)), (1, 1));
        assert_eq!(whole.unverifiable_by(Unverifiable::ChecksumDisabled), 1);
        assert_eq!(whole.unverifiable_by(Unverifiable::Blank), 0);
    }

    #[test]
    fn the_newest_page_is_one_that_is_believed() {
        let mut tally = PageTally::default();
        tally.add(PageNumber::new(1), CORRUPT);
        assert_eq!(tally.newest(), None);
        tally.add(PageNumber::new(2), DISABLED);
        tally.add(PageNumber::new(3), GOOD);
        assert_eq!(tally.newest(), Some((Lsn::new(90), PageNumber::new(2))));
    }

    #[test]
    fn texts_name_both_sides_of_a_mismatch() {
        let texts = [
            (
                Corruption::Checksum { stored: 0x1234_ABCD, computed: 5 },
                "checksum is 1234abcd, should be 00000005",
            ),
            (
                Corruption::Number { says: PageNumber::new(7), stands_at: PageNumber::new(5) },
                "page says it is number 7 but stands at 5",
            ),
            (
                Corruption::Space { says: SpaceId::new(12), file: SpaceId::new(8) },
                "page belongs to space 12, file is space 8",
            ),
        ];
        for (corruption, text) in texts {
            assert_eq!(corruption.to_string(), text);
        }
    }
}
