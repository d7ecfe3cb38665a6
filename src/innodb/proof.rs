//! Proofs that a page's contents are intact, and the checks that pages of the older format share,
//! whether they are compressed or not.

use crate::innodb::big_endian::u32_at;
use crate::innodb::checksum;
use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::checksum::NO_CHECKSUM;
use crate::innodb::header;
use crate::innodb::header::CHECKSUM_AT;
use crate::innodb::header::LSN_LOW_AT;
use crate::innodb::header::TRAILER_BYTES;
use crate::innodb::verdict::Corruption;
use crate::innodb::verdict::Unverifiable;

/// The evidence that vouches for the contents of a page that is not corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Checksum(ChecksumVariant),
    Nothing(Unverifiable),
}

/// Holds an unencrypted page of the older format against the checksums that the server accepts.
///
/// Also serves for the page inside a compressed one.
pub(super) fn legacy_plain(page: &[u8], crc: u32) -> Result<Proof, Corruption> {
    let first = u32_at(page, CHECKSUM_AT);
    let trailer = u32_at(page, page.len() - TRAILER_BYTES);
    if first == crc && trailer == crc {
        return Ok(Proof::Checksum(ChecksumVariant::Crc32));
    }
    if first == NO_CHECKSUM && trailer == NO_CHECKSUM {
        return Ok(Proof::Nothing(Unverifiable::ChecksumDisabled));
    }
    // The oldest servers wrote the upper half of the LSN there, and any server takes the mark of
    // switched-off checksums in one field without asking for it in the other.
    let trailer_accepted = trailer == u32_at(page, header::LSN_AT)
        || trailer == NO_CHECKSUM
        || trailer == checksum::legacy_innodb_trailer(page);
    if trailer_accepted {
        if matches!(first, 0 | NO_CHECKSUM) {
            return Ok(Proof::Nothing(Unverifiable::ChecksumAncient));
        }
        if first == checksum::legacy_innodb(page) {
            return Ok(Proof::Checksum(ChecksumVariant::Innodb));
        }
    }
    if first == crc {
        return Err(Corruption::TrailerChecksum { stored: trailer, computed: crc });
    }
    Err(Corruption::Checksum { stored: first, computed: crc })
}

/// Compares the low half of the LSN in the header with its copy at `copy_at` in the trailer.
pub(super) fn check_torn(page: &[u8], copy_at: usize) -> Result<(), Corruption> {
    let (header, trailer) = (u32_at(page, LSN_LOW_AT), u32_at(page, copy_at));
    if header == trailer { Ok(()) } else { Err(Corruption::Torn { header, trailer }) }
}
