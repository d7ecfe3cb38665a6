//! The verdict on a page of a tablespace.
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

use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::tablespace::CompressionAlgorithm;
use crate::innodb::units::Lsn;
use crate::innodb::units::PageNumber;
use crate::innodb::units::SpaceId;

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
        /// The reason why there is nothing to compare with.
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
}

/// A reason why no checksum vouches for a page in which nothing is wrong.
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

/// A defect of a corrupt page.
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

#[cfg(test)]
mod tests {
    use super::*;

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
