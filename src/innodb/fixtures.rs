//! Pages made by hand for the tests, one for each way in which a page can be protected.
//!
//! They are made by the formulas under test, so they show that checks agree with each other and
//! notice damage. That the formulas are those of the server is shown on pages of a server, and by
//! the tests of each formula.

use std::ops::Range;
use std::sync::LazyLock;

use crate::innodb::big_endian::put_u16;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::put_u64;
use crate::innodb::checksum;
use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::checksum::NO_CHECKSUM;
use crate::innodb::compressed;
use crate::innodb::header::CHECKSUM_AT;
use crate::innodb::header::ENCRYPTED_CHECKSUM_AT;
use crate::innodb::header::KEY_VERSION_AT;
use crate::innodb::header::LSN_AT;
use crate::innodb::header::LSN_LOW_AT;
use crate::innodb::header::NUMBER_AT;
use crate::innodb::header::SPACE_AT;
use crate::innodb::header::TYPE_AT;
use crate::innodb::tablespace::PageZero;
use crate::innodb::tablespace::TablespaceFormat;
use crate::innodb::units::Lsn;
use crate::innodb::units::PageNumber;
use crate::innodb::units::SpaceId;

/// The position and the tablespace of every page made here.
pub(super) const NUMBER: PageNumber = PageNumber::new(5);
pub(super) const SPACE: SpaceId = SpaceId::new(8);
/// An LSN with both halves in use.
pub(super) const LSN: Lsn = Lsn::new(0x0000_0007_1122_3344);

const INDEX: u16 = 17_855;
/// The length of the compressed contents in a compressed `full_crc32` page.
const FULL_CRC32_LENGTH: usize = 512;

/// A good page and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Fixture {
    pub name: &'static str,
    pub format: TablespaceFormat,
    pub variant: ChecksumVariant,
    pub page: Vec<u8>,
    /// The offset at which the page repeats the low half of its LSN.
    pub lsn_copy_at: Option<usize>,
    /// The bytes in which no damage can be seen, because nothing covers them.
    uncovered: Vec<Range<usize>>,
}

impl Fixture {
    /// Tells whether damage to a byte has to be noticed.
    pub(super) fn covers(&self, at: usize) -> bool {
        !self.uncovered.iter().any(|range| range.contains(&at))
    }
}

/// Makes the format of a tablespace with these flags.
pub(super) fn format(flags: u32, space: SpaceId) -> TablespaceFormat {
    let mut first = [0; 64];
    put_u32(&mut first, SPACE_AT, space.get());
    put_u32(&mut first, SPACE_AT + 4, space.get());
    put_u32(&mut first, 54, flags);
    // Flags 0 of space 0 make a header of zeroes, which a real page never is.
    first[63] = 1;
    let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(&first) else {
        panic!("{flags:#x} are no flags");
    };
    format
}

/// Makes a page with a full header and noise for a body, and no checksum yet.
pub(super) fn raw(bytes: usize) -> Vec<u8> {
    let mut page = vec![0; bytes];
    let mut state = 1_u32;
    for byte in &mut page[38..] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_le_bytes()[3];
    }
    put_u32(&mut page, NUMBER_AT, NUMBER.get());
    put_u64(&mut page, NUMBER_AT + 4, 0x0000_0004_0000_0006);
    put_u64(&mut page, LSN_AT, LSN.get());
    put_u16(&mut page, TYPE_AT, INDEX);
    put_u32(&mut page, SPACE_AT, SPACE.get());
    page
}

/// Copies a field of four bytes.
pub(super) fn copy_u32(page: &mut [u8], from: usize, to: usize) {
    page.copy_within(from..from + 4, to);
}

/// Puts the checksum of a `full_crc32` page, and of its compressed contents if they are shorter.
pub(super) fn put_full_crc32(page: &mut [u8], length: usize) {
    let end = length - 4;
    put_u32(page, end, checksum::crc32c(&page[..end]));
}

/// Puts the copy of the LSN and both checksums of the older format.
pub(super) fn put_crc32(page: &mut [u8]) {
    let bytes = page.len();
    copy_u32(page, LSN_LOW_AT, bytes - 4);
    let crc = checksum::legacy_crc32(page);
    put_u32(page, CHECKSUM_AT, crc);
    put_u32(page, bytes - 8, crc);
}

/// Puts the copy of the LSN and the checksums of the older of the two formulas.
pub(super) fn put_innodb(page: &mut [u8]) {
    let bytes = page.len();
    put_crc32(page);
    put_u32(page, CHECKSUM_AT, checksum::legacy_innodb(page));
    put_u32(page, bytes - 8, checksum::legacy_innodb_trailer(page));
}

/// Returns a good page of each kind, in several sizes.
pub(super) fn all() -> &'static [Fixture] {
    static ALL: LazyLock<Vec<Fixture>> = LazyLock::new(make_all);
    &ALL
}

fn make_all() -> Vec<Fixture> {
    vec![
        full_crc32("full_crc32 16K", 0x15),
        full_crc32("full_crc32 4K", 0x13),
        full_crc32("full_crc32 64K", 0x17),
        full_crc32_encrypted(),
        full_crc32_compressed(),
        crc32("crc32 16K", 0x21),
        crc32("crc32 4K", 0xE1),
        crc32("crc32 32K", 0x1A1),
        crc32("crc32 in a compressed table", 0x1_0021),
        innodb(),
        innodb_ancient_trailer(),
        zip("zip 8K", 0x29, ChecksumVariant::ZipCrc32),
        zip("zip 1K", 0x23, ChecksumVariant::ZipCrc32),
        zip("zip 4K adler", 0x27, ChecksumVariant::ZipAdler32),
        encrypted(),
        encrypted_zip(),
        inflated(),
    ]
}

fn fixture(name: &'static str, flags: u32, variant: ChecksumVariant) -> Fixture {
    let format = format(flags, SPACE);
    let page = raw(format.page_size().bytes());
    Fixture { name, format, variant, page, lsn_copy_at: None, uncovered: Vec::new() }
}

fn full_crc32(name: &'static str, flags: u32) -> Fixture {
    let mut made = fixture(name, flags, ChecksumVariant::FullCrc32);
    let bytes = made.page.len();
    copy_u32(&mut made.page, LSN_LOW_AT, bytes - 8);
    put_full_crc32(&mut made.page, bytes);
    made.lsn_copy_at = Some(bytes - 8);
    made
}

fn full_crc32_encrypted() -> Fixture {
    let mut made = fixture("full_crc32 encrypted", 0x15, ChecksumVariant::FullCrc32);
    let bytes = made.page.len();
    put_u32(&mut made.page, CHECKSUM_AT, 1);
    made.page[KEY_VERSION_AT..38].fill(0x5A);
    put_full_crc32(&mut made.page, bytes);
    made
}

pub(super) fn full_crc32_compressed() -> Fixture {
    let mut made = fixture("full_crc32 compressed", 0x35, ChecksumVariant::FullCrc32);
    let length = u16::try_from(FULL_CRC32_LENGTH / 256).unwrap();
    put_u16(&mut made.page, TYPE_AT, 1 << 15 | length);
    made.page[FULL_CRC32_LENGTH..].fill(0);
    put_full_crc32(&mut made.page, FULL_CRC32_LENGTH);
    made.uncovered.push(FULL_CRC32_LENGTH..made.page.len());
    made
}

fn crc32(name: &'static str, flags: u32) -> Fixture {
    let mut made = fixture(name, flags, ChecksumVariant::Crc32);
    put_crc32(&mut made.page);
    made.lsn_copy_at = Some(made.page.len() - 4);
    made.uncovered.push(KEY_VERSION_AT..SPACE_AT);
    made
}

fn innodb() -> Fixture {
    let mut made = fixture("innodb", 0x21, ChecksumVariant::Innodb);
    put_innodb(&mut made.page);
    made.lsn_copy_at = Some(made.page.len() - 4);
    made.uncovered.push(KEY_VERSION_AT..SPACE_AT);
    made
}

fn innodb_ancient_trailer() -> Fixture {
    let mut made = fixture("innodb with an LSN in the trailer", 0, ChecksumVariant::Innodb);
    put_innodb(&mut made.page);
    let bytes = made.page.len();
    copy_u32(&mut made.page, LSN_AT, bytes - 8);
    made.lsn_copy_at = Some(bytes - 4);
    made.uncovered.push(KEY_VERSION_AT..SPACE_AT);
    made
}

fn zip(name: &'static str, flags: u32, variant: ChecksumVariant) -> Fixture {
    let mut made = fixture(name, flags, variant);
    let checksum = if variant == ChecksumVariant::ZipAdler32 {
        checksum::zip_adler32(&made.page)
    } else {
        checksum::zip_crc32(&made.page)
    };
    put_u32(&mut made.page, CHECKSUM_AT, checksum);
    made.uncovered.extend([LSN_AT..TYPE_AT, KEY_VERSION_AT..SPACE_AT]);
    made
}

fn encrypted() -> Fixture {
    let mut made = fixture("encrypted", 0x21, ChecksumVariant::Encrypted);
    let bytes = made.page.len();
    put_crc32(&mut made.page);
    put_u32(&mut made.page, KEY_VERSION_AT, 1);
    made.page[38..bytes - 8].reverse();
    let crc = checksum::legacy_crc32(&made.page);
    put_u32(&mut made.page, ENCRYPTED_CHECKSUM_AT, crc);
    made.lsn_copy_at = Some(bytes - 4);
    // The key version is not covered, and both ordinary checksums are from before encryption.
    made.uncovered.extend([CHECKSUM_AT..NUMBER_AT, KEY_VERSION_AT..ENCRYPTED_CHECKSUM_AT]);
    made.uncovered.push(bytes - 8..bytes - 4);
    made
}

fn encrypted_zip() -> Fixture {
    let mut made = fixture("encrypted zip", 0x27, ChecksumVariant::Encrypted);
    put_u32(&mut made.page, KEY_VERSION_AT, 1);
    let crc = checksum::zip_crc32(&made.page);
    put_u32(&mut made.page, ENCRYPTED_CHECKSUM_AT, crc);
    made.uncovered.extend([CHECKSUM_AT..NUMBER_AT, KEY_VERSION_AT..ENCRYPTED_CHECKSUM_AT]);
    made.uncovered.push(LSN_AT..TYPE_AT);
    made
}

/// Makes a compressed page of the older format around a page with few different bytes.
pub(super) fn inflated() -> Fixture {
    let mut made = fixture("page_compressed", 0x1_0021, ChecksumVariant::Inflated);
    let bytes = made.page.len();
    made.page[1000..bytes].fill(7);
    put_crc32(&mut made.page);
    let length = compress(&mut made.page);
    // A flipped bit may turn zlib into another algorithm, and after the contents there is a hole.
    made.uncovered.extend([KEY_VERSION_AT..SPACE_AT, 40 + length..bytes]);
    made
}

/// Replaces a page by one that has it inside, and returns the length of the compressed contents.
pub(super) fn compress(page: &mut [u8]) -> usize {
    let contents = zlib(page);
    let length = contents.len();
    put_u32(page, CHECKSUM_AT, NO_CHECKSUM);
    put_u16(page, TYPE_AT, compressed::COMPRESSED);
    put_u64(page, KEY_VERSION_AT, 1);
    put_u16(page, 38, u16::try_from(length).unwrap());
    page[40..].fill(0);
    page[40..][..length].copy_from_slice(&contents);
    length
}

/// Compresses with zlib at level 6.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(bytes, 6)
}
