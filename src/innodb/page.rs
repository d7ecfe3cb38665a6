//! Judges one page: is it intact, and is it the page that belongs here?
//!
//! Contents come first, then identity. A page whose checksum is wrong has no identity worth
//! reporting; one whose checksum is right but whose number is wrong went astray.
//!
//! - The rules are those of a server that is not set to be strict: what it would refuse is never
//!   called good, and a checksum that it would accept is never called wrong.
//! - Where the server does not look, or not without the key, damage that can be seen is corruption
//!   all the same: in the header of a compressed page, in the trailer of an encrypted one, in a
//!   page that is free.
//! - A page for which the server asks no checksum is [`PageVerdict::Unverifiable`], unless
//!   something else vouches for it.
//! - The judgement rests on the page's bytes and the tablespace's format alone. It takes no memory
//!   and no key, and the same page always gets the same verdict.
//!
//! It does not decide whether an LSN lies in the future: that takes the end of the redo log, which
//! arrives last.
//!
//! Sources: `buf_page_is_corrupted`, `fil_space_verify_crypt_checksum` and
//! `buf_page_t::read_complete` of the server, `page_is_corrupted` of `mariabackup`. Of 23,640 pages
//! with one flipped bit, in every format, `innochecksum` 10.11 called none corrupt that passes
//! here; only the doublewrite buffer, which it does not exempt, makes an exception.

use crate::innodb::big_endian::u32_at;
use crate::innodb::checksum;
use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::checksum::NO_CHECKSUM;
use crate::innodb::compressed;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::header::CHECKSUM_AT;
use crate::innodb::header::ENCRYPTED_CHECKSUM_AT;
use crate::innodb::header::KEY_VERSION_AT;
use crate::innodb::header::SPACE_AT;
use crate::innodb::header::TRAILER_BYTES;
use crate::innodb::proof::Proof;
use crate::innodb::proof::check_torn;
use crate::innodb::proof::legacy_plain;
use crate::innodb::tablespace::FormatKind;
use crate::innodb::tablespace::TablespaceFormat;
use crate::innodb::units::PageNumber;
use crate::innodb::units::SpaceId;
use crate::innodb::verdict::Corruption;
use crate::innodb::verdict::PageVerdict;
use crate::innodb::verdict::Unverifiable;

impl TablespaceFormat {
    /// Judges the page that stands at position `expected` of the tablespace.
    ///
    /// With several system files, positions go on from one file to the next.
    ///
    /// # Panics
    ///
    /// If `page` is not one whole page.
    pub fn check(&self, page: &[u8], expected: PageNumber) -> PageVerdict {
        assert_eq!(page.len(), self.page_size().bytes(), "the caller passes whole pages");
        if is_zero(page) {
            return PageVerdict::Zero;
        }
        let lsn = header::lsn(page);
        match self.judge(page, expected) {
            Ok(Proof::Checksum(variant)) => PageVerdict::Good { lsn, variant },
            _ if self.is_doublewrite(expected) => PageVerdict::Doublewrite,
            Ok(Proof::Nothing(reason)) => PageVerdict::Unverifiable { lsn, reason },
            Err(reason) => PageVerdict::Corrupt { lsn, reason },
        }
    }

    /// Judges neighbouring pages, of which the first stands at position `first`.
    ///
    /// A tail that makes no whole page is left out: `mariabackup` does not copy it either.
    pub fn check_run<'a>(
        &'a self,
        pages: &'a [u8],
        first: PageNumber,
    ) -> impl Iterator<Item = (PageNumber, PageVerdict)> + 'a {
        let numbers = (0..).map_while(move |pages| first.checked_add(pages));
        let pages = pages.chunks_exact(self.page_size().bytes());
        numbers.zip(pages).map(|(number, page)| (number, self.check(page, number)))
    }

    fn judge(&self, page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
        let proof = match self.kind() {
            FormatKind::FullCrc32 { .. } => full_crc32(page)?,
            FormatKind::Legacy => legacy(page, expected)?,
            FormatKind::LegacyPageCompressed => legacy_page_compressed(page, expected)?,
            FormatKind::LegacyZip => legacy_zip(page, expected)?,
            FormatKind::Undetermined => undetermined(page, expected)?,
        };
        self.check_identity(page, expected, proof)?;
        Ok(proof)
    }

    fn check_identity(
        &self,
        page: &[u8],
        expected: PageNumber,
        proof: Proof,
    ) -> Result<(), Corruption> {
        let may_be_blank = self.space().is_none_or(|space| space == SpaceId::SYSTEM);
        if may_be_blank && proof == Proof::Nothing(Unverifiable::Blank) {
            return Ok(());
        }
        let says = header::number(page);
        if says != expected {
            return Err(Corruption::Number { says, stands_at: expected });
        }
        let shows_space = match proof {
            // Encrypted or compressed contents begin before the space id.
            Proof::Checksum(ChecksumVariant::FullCrc32) => {
                key_version_of_full_crc32(page) == 0 && !is_compressed_full_crc32(page)
            }
            // Servers before 4.1.1 left garbage there in the system tablespace.
            Proof::Checksum(_) | Proof::Nothing(_) => self.space() != Some(SpaceId::SYSTEM),
        };
        match self.space() {
            Some(file) if shows_space && header::space(page) != file => {
                Err(Corruption::Space { says: header::space(page), file })
            }
            _ => Ok(()),
        }
    }
}

/// Checks a page of a `full_crc32` tablespace; encrypted and compressed ones need no special care.
fn full_crc32(page: &[u8]) -> Result<Proof, Corruption> {
    let stored_at = full_crc32_at(page)?;
    let stored = u32_at(page, stored_at);
    let computed = checksum::crc32c(&page[..stored_at]);
    if stored != computed {
        return Err(Corruption::Checksum { stored, computed });
    }
    if !is_compressed_full_crc32(page) && key_version_of_full_crc32(page) == 0 {
        check_torn(page, page.len() - TRAILER_BYTES)?;
    }
    Ok(Proof::Checksum(ChecksumVariant::FullCrc32))
}

/// The bit of the page type that marks a compressed page of a `full_crc32` tablespace; the others
/// then give its length. Source: `FIL_PAGE_COMPRESS_FCRC32_MARKER`.
const COMPRESSED: u16 = 1 << 15;

/// Finds the checksum: at the end of the page, or of its compressed contents.
///
/// Source: `buf_page_full_crc32_size`.
fn full_crc32_at(page: &[u8]) -> Result<usize, Corruption> {
    if !is_compressed_full_crc32(page) {
        return Ok(page.len() - size_of::<u32>());
    }
    let bytes = u32::from(header::page_type(page) & !COMPRESSED) << 8;
    let impossible = Corruption::CompressedLength { bytes };
    let length = usize::try_from(bytes).map_err(|_| impossible)?;
    if length < BODY_AT || length >= page.len() {
        return Err(impossible);
    }
    Ok(length - size_of::<u32>())
}

fn is_compressed_full_crc32(page: &[u8]) -> bool {
    header::page_type(page) & COMPRESSED != 0
}

fn key_version_of_full_crc32(page: &[u8]) -> u32 {
    u32_at(page, CHECKSUM_AT)
}

/// Checks a page of the older format that is not expected to be compressed.
fn legacy(page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
    let as_plain = legacy_uncompressed(page, expected);
    // PAGE_COMPRESSED can be switched on without a rebuild, and the flags may lag behind. The type
    // alone proves nothing: old servers did not set it on every page.
    if as_plain.is_err() && compressed::is_compressed(page) {
        return compressed::check(page);
    }
    as_plain
}

/// Checks a page of the older format in a tablespace that is compressed page by page.
fn legacy_page_compressed(page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
    if compressed::is_compressed(page) {
        return compressed::check(page);
    }
    legacy_uncompressed(page, expected)
}

fn legacy_uncompressed(page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
    if is_blank(page) {
        return Ok(Proof::Nothing(Unverifiable::Blank));
    }
    let crc = checksum::legacy_crc32(page);
    let proof = if may_be_encrypted(page, expected) {
        legacy_encrypted(page, crc)?
    } else {
        legacy_plain(page, crc)?
    };
    check_torn(page, page.len() - size_of::<u32>())?;
    Ok(proof)
}

/// Checks a page of the older format that seems to be encrypted.
fn legacy_encrypted(page: &[u8], crc: u32) -> Result<Proof, Corruption> {
    let stored = u32_at(page, ENCRYPTED_CHECKSUM_AT);
    if stored == crc {
        return Ok(Proof::Checksum(ChecksumVariant::Encrypted));
    }
    // Servers before 5.1.48 left garbage where the key version came to stand (MDEV-18129).
    if let Ok(proof) = legacy_plain(page, crc) {
        return Ok(proof);
    }
    if stored == NO_CHECKSUM {
        return Ok(Proof::Nothing(Unverifiable::ChecksumDisabled));
    }
    if stored == checksum::legacy_innodb(page) {
        return Ok(Proof::Checksum(ChecksumVariant::Encrypted));
    }
    Err(Corruption::Checksum { stored, computed: crc })
}

/// Checks a `ROW_FORMAT=COMPRESSED` page, encrypted or not.
fn legacy_zip(page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
    let crc = checksum::zip_crc32(page);
    let plain = u32_at(page, CHECKSUM_AT);
    let encrypted = u32_at(page, ENCRYPTED_CHECKSUM_AT);
    let may_be_encrypted = may_be_encrypted(page, expected);
    if may_be_encrypted && encrypted == crc {
        return Ok(Proof::Checksum(ChecksumVariant::Encrypted));
    }
    if plain == crc {
        return Ok(Proof::Checksum(ChecksumVariant::ZipCrc32));
    }
    if plain == NO_CHECKSUM || may_be_encrypted && encrypted == NO_CHECKSUM {
        return Ok(Proof::Nothing(Unverifiable::ChecksumDisabled));
    }
    let adler = checksum::zip_adler32(page);
    if may_be_encrypted && encrypted == adler {
        return Ok(Proof::Checksum(ChecksumVariant::Encrypted));
    }
    if plain == adler {
        return Ok(Proof::Checksum(ChecksumVariant::ZipAdler32));
    }
    let stored = if may_be_encrypted { encrypted } else { plain };
    Err(Corruption::Checksum { stored, computed: crc })
}

/// Checks an uncompressed page whose tablespace did not tell its format.
fn undetermined(page: &[u8], expected: PageNumber) -> Result<Proof, Corruption> {
    // The last bytes repeat the LSN in the older format and are a checksum in the newer one.
    let proof = if check_torn(page, page.len() - size_of::<u32>()).is_ok() {
        legacy(page, expected).or_else(|reason| full_crc32(page).map_err(|_| reason))
    } else {
        full_crc32(page).or_else(|reason| legacy(page, expected).map_err(|_| reason))
    };
    // Pages of compressed rows may have the size of others, and then only their checksum differs.
    proof.or_else(|reason| match legacy_zip(page, expected) {
        Ok(proof @ Proof::Checksum(_)) => Ok(proof),
        Ok(Proof::Nothing(_)) | Err(_) => Err(reason),
    })
}

/// Tells whether the key version field of an older page is in use, or holds garbage.
///
/// The first page is never encrypted, and that of the system tablespace holds the flush LSN there.
fn may_be_encrypted(page: &[u8], expected: PageNumber) -> bool {
    expected != PageNumber::FIRST && u32_at(page, KEY_VERSION_AT) != 0
}

/// Tells whether nothing but the flush LSN was ever written to a page.
fn is_blank(page: &[u8]) -> bool {
    is_zero(&page[..KEY_VERSION_AT]) && is_zero(&page[SPACE_AT..])
}

/// Tells whether all bytes are zero, without reading on after the first lines that are not.
fn is_zero(bytes: &[u8]) -> bool {
    let is_zero = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | byte) == 0;
    let (lines, rest) = bytes.as_chunks::<256>();
    is_zero(rest) && lines.iter().all(|line| is_zero(line))
}

#[cfg(test)]
mod tests;
