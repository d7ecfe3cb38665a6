//! Looks inside the compressed pages of `PAGE_COMPRESSED` tables in the older format.
//!
//! Such a page carries no checksum that the server reads: in its place stands the mark for "none",
//! and what comes out after unpacking is checked. With zlib, the default, that is done here as
//! well, so that the page is verified and not only assumed; it costs far more than a checksum. A
//! page that is also encrypted has a checksum after all, which vouches for it if it is right.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 4 | the mark for "no checksum" |
//! | 26 | 8 | algorithm; if encrypted: key version, and checksum after encryption |
//! | 38 | 2 | bytes of compressed contents |
//! | 40 | | contents; if encrypted: two bytes of algorithm before them |
//!
//! - The contents are a whole page, header included, so the two headers must agree.
//! - Bytes after the contents do not count: the server punches a hole there.
//! - The output is bounded by the size of a page, whatever the stream claims.
//!
//! Pages packed with another algorithm are checked for structure only.
//!
//! Source: `fil_page_decompress_for_non_full_crc32` of the server.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::DecompressorOxide;
use miniz_oxide::inflate::core::decompress;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

use crate::innodb::big_endian::u16_at;
use crate::innodb::big_endian::u32_at;
use crate::innodb::big_endian::u64_at;
use crate::innodb::checksum;
use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::checksum::NO_CHECKSUM;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::header::CHECKSUM_AT;
use crate::innodb::header::ENCRYPTED_CHECKSUM_AT;
use crate::innodb::header::KEY_VERSION_AT;
use crate::innodb::header::NUMBER_AT;
use crate::innodb::header::SPACE_AT;
use crate::innodb::header::TYPE_AT;
use crate::innodb::proof::Proof;
use crate::innodb::proof::check_torn;
use crate::innodb::proof::legacy_plain;
use crate::innodb::tablespace::CompressionAlgorithm;
use crate::innodb::units::PAGE_BYTES_MAX;
use crate::innodb::verdict::Corruption;
use crate::innodb::verdict::Unverifiable;

/// The page types. Source: `FIL_PAGE_PAGE_COMPRESSED` and `FIL_PAGE_PAGE_COMPRESSED_ENCRYPTED`.
pub(super) const COMPRESSED: u16 = 34_354;
pub(super) const COMPRESSED_AND_ENCRYPTED: u16 = 37_401;

const ALGORITHM_AT: usize = KEY_VERSION_AT;
const LENGTH_AT: usize = BODY_AT;
const CONTENTS_AT: usize = LENGTH_AT + 2;
const ENCRYPTED_ALGORITHM_AT: usize = CONTENTS_AT;
const ENCRYPTED_CONTENTS_AT: usize = ENCRYPTED_ALGORITHM_AT + 2;

/// Tells whether a page of the older format says that it is compressed.
pub(super) fn is_compressed(page: &[u8]) -> bool {
    matches!(header::page_type(page), COMPRESSED | COMPRESSED_AND_ENCRYPTED)
}

/// Checks a page that says it is compressed.
pub(super) fn check(page: &[u8]) -> Result<Proof, Corruption> {
    let stored = u32_at(page, CHECKSUM_AT);
    if stored != NO_CHECKSUM {
        return Err(Corruption::Checksum { stored, computed: NO_CHECKSUM });
    }
    if header::page_type(page) == COMPRESSED_AND_ENCRYPTED {
        algorithm(u16_at(page, ENCRYPTED_ALGORITHM_AT).into())?;
        contents(page, ENCRYPTED_CONTENTS_AT)?;
        return Ok(check_encrypted(page));
    }
    let algorithm = algorithm(u64_at(page, ALGORITHM_AT))?;
    let contents = contents(page, CONTENTS_AT)?;
    match algorithm {
        CompressionAlgorithm::Zlib => check_zlib(page, contents),
        CompressionAlgorithm::Lz4
        | CompressionAlgorithm::Lzo
        | CompressionAlgorithm::Lzma
        | CompressionAlgorithm::Bzip2
        | CompressionAlgorithm::Snappy => Ok(Proof::Nothing(Unverifiable::Compressed(algorithm))),
    }
}

/// Compares a checksum that the server writes but never reads.
///
/// Every such page of the servers tried has it, but as no server reads it, a mismatch is no proof
/// of damage: it may never have been right.
fn check_encrypted(page: &[u8]) -> Proof {
    if u32_at(page, ENCRYPTED_CHECKSUM_AT) == checksum::legacy_crc32(page) {
        Proof::Checksum(ChecksumVariant::Encrypted)
    } else {
        Proof::Nothing(Unverifiable::CompressedAndEncrypted)
    }
}

fn algorithm(code: u64) -> Result<CompressionAlgorithm, Corruption> {
    CompressionAlgorithm::from_code(code).ok_or(Corruption::CompressionAlgorithm { code })
}

fn contents(page: &[u8], at: usize) -> Result<&[u8], Corruption> {
    let length = u16_at(page, LENGTH_AT);
    match page[at..].get(..length.into()) {
        Some(contents) if length > 0 => Ok(contents),
        _ => Err(Corruption::CompressedLength { bytes: length.into() }),
    }
}

fn check_zlib(page: &[u8], contents: &[u8]) -> Result<Proof, Corruption> {
    #[expect(clippy::large_stack_arrays, reason = "no memory is allocated for a page")]
    let mut buffer = [0; PAGE_BYTES_MAX];
    let inner = &mut buffer[..page.len()];
    inflate(contents, inner)?;
    let has_same = |from: usize, to: usize| page[from..to] == inner[from..to];
    if !has_same(NUMBER_AT, TYPE_AT) || !has_same(SPACE_AT, BODY_AT) || is_compressed(inner) {
        return Err(Corruption::InflatedHeader);
    }
    // Without a checksum inside there is still the one of the zlib stream.
    legacy_plain(inner, checksum::legacy_crc32(inner))?;
    check_torn(inner, inner.len() - size_of::<u32>())?;
    Ok(Proof::Checksum(ChecksumVariant::Inflated))
}

/// Unpacks a zlib stream that fills `target` to the last byte, its Adler-32 included.
fn inflate(stream: &[u8], target: &mut [u8]) -> Result<(), Corruption> {
    const FLAGS: u32 = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = DecompressorOxide::new();
    let (status, read, written) = decompress(&mut state, stream, target, 0, FLAGS);
    if status == TINFLStatus::Done && read == stream.len() && written == target.len() {
        Ok(())
    } else {
        Err(Corruption::Inflate)
    }
}
