//! Tells from the first page of a tablespace how to read all of them.
//!
//! The format is a property of the tablespace, fixed when it was created. One backup mixes them,
//! so it is asked of every file and never of the server's settings.
//!
//! - The flags on page 0 decide; they are valid as a whole or not used at all.
//! - A [`TablespaceFormat`] knows the physical page size: with `ROW_FORMAT=COMPRESSED` that is less
//!   than `innodb_page_size`.
//! - Encryption does not show in the flags: every page tells for itself.
//!
//! MariaDB 10.1.0 to 10.1.20 shuffled the flags, and MySQL 5.7 gave meaning to bits that MariaDB
//! keeps zero. Both are refused by name rather than guessed at.
//!
//! Source: the comments in `fsp0types.h` and `fil_space_t::is_valid_flags` of the server.

use crate::innodb::big_endian::u32_at;
use crate::innodb::header;
use crate::innodb::header::BODY_AT;
use crate::innodb::units::PageNumber;
use crate::innodb::units::PageSize;
use crate::innodb::units::SpaceId;

const FSP_SPACE_AT: usize = BODY_AT;
const FSP_NOT_USED_AT: usize = FSP_SPACE_AT + 4;
const FSP_SIZE_AT: usize = FSP_NOT_USED_AT + 4;
const FSP_FREE_LIMIT_AT: usize = FSP_SIZE_AT + 4;
const FSP_FLAGS_AT: usize = FSP_FREE_LIMIT_AT + 4;

/// The bytes of the first page that decide on the format.
pub const PAGE_ZERO_BYTES_MIN: usize = FSP_FLAGS_AT + 4;

/// The compression of `PAGE_COMPRESSED` tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionAlgorithm {
    /// zlib, the default; code 1 in flags and pages.
    Zlib,
    /// LZ4; code 2 in flags and pages.
    Lz4,
    /// LZO; code 3 in flags and pages.
    Lzo,
    /// LZMA; code 4 in flags and pages.
    Lzma,
    /// bzip2; code 5 in flags and pages.
    Bzip2,
    /// Snappy; code 6 in flags and pages.
    Snappy,
}

impl CompressionAlgorithm {
    const ALL: [Self; 6] =
        [Self::Zlib, Self::Lz4, Self::Lzo, Self::Lzma, Self::Bzip2, Self::Snappy];

    /// Looks up the code that flags and pages carry, 1 to 6.
    pub(super) fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| u64::from(algorithm.code()) == code)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Zlib => 1,
            Self::Lz4 => 2,
            Self::Lzo => 3,
            Self::Lzma => 4,
            Self::Bzip2 => 5,
            Self::Snappy => 6,
        }
    }
}

/// The protection of a tablespace's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// One checksum over all of a page, and the same for encrypted and compressed pages.
    FullCrc32 {
        /// The algorithm with which the pages of a `PAGE_COMPRESSED` table are compressed.
        compression: Option<CompressionAlgorithm>,
    },
    /// The format before that.
    Legacy,
    /// A `PAGE_COMPRESSED` table in the format before that.
    LegacyPageCompressed,
    /// `ROW_FORMAT=COMPRESSED`, which servers of any version write in the older format.
    LegacyZip,
    /// The first page is missing, so each page is held against both formats.
    Undetermined,
}

/// The properties of a tablespace that its pages are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TablespaceFormat {
    page_size: PageSize,
    kind: FormatKind,
    space: Option<SpaceId>,
}

/// The result of reading the first page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageZero {
    /// The page states the format of all pages.
    Formatted(TablespaceFormat),
    /// It is all zero as far as it was shown: redo is going to build it. See
    /// [`TablespaceFormat::presumed`].
    Unformatted,
    /// It is no first page of a tablespace, or a damaged one.
    Unrecognised(Unrecognised),
    /// Fewer than [`PAGE_ZERO_BYTES_MIN`] bytes were shown.
    TooShort,
}

/// A reason why a first page is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecognised {
    /// The page has the number of another page.
    #[error("first page says it is number {0}")]
    Number(PageNumber),
    /// The page names two different tablespaces.
    #[error("first page names two spaces, {header} and {tablespace}")]
    Spaces {
        /// Tablespace id in the page header.
        header: SpaceId,
        /// Tablespace id in the tablespace header.
        tablespace: SpaceId,
    },
    /// The page size in the flags does not exist.
    #[error("no such page size in tablespace flags {flags:#x}")]
    PageSize {
        /// The flags as found.
        flags: u32,
    },
    /// The compressed page size in the flags does not exist or does not fit the others.
    #[error("no such compressed page size in tablespace flags {flags:#x}")]
    ZipSize {
        /// The flags as found.
        flags: u32,
    },
    /// The compression algorithm in the flags does not exist.
    #[error("no such compression in tablespace flags {flags:#x}")]
    Compression {
        /// The flags as found.
        flags: u32,
    },
    /// Bits are set that MariaDB keeps zero.
    #[error(
        "reserved bits in tablespace flags {flags:#x}, as of MariaDB 10.1.0 to 10.1.20 or MySQL \
         5.7 and later"
    )]
    ReservedBits {
        /// The flags as found.
        flags: u32,
    },
}

impl TablespaceFormat {
    /// Reads the format off the beginning of a tablespace's first page.
    ///
    /// It does not say whether the rest of that page is intact: [`check`](Self::check) does.
    pub fn from_page_zero(first: &[u8]) -> PageZero {
        if first.len() < PAGE_ZERO_BYTES_MIN {
            return PageZero::TooShort;
        }
        if first.iter().all(|byte| *byte == 0) {
            return PageZero::Unformatted;
        }
        match Self::parse(first) {
            Ok(format) => PageZero::Formatted(format),
            Err(reason) => PageZero::Unrecognised(reason),
        }
    }

    /// Stands in where the first page is missing: all-zero `.new` files, and `.delta` files.
    ///
    /// Without `space` it is not checked which tablespace pages belong to.
    pub const fn presumed(page_size: PageSize, space: Option<SpaceId>) -> Self {
        Self { page_size, kind: FormatKind::Undetermined, space }
    }

    /// Stands in for a `ROW_FORMAT=COMPRESSED` tablespace whose first page is missing.
    pub const fn presumed_zip(page_size: PageSize, space: Option<SpaceId>) -> Self {
        Self { page_size, kind: FormatKind::LegacyZip, space }
    }

    /// Returns the bytes that a page occupies in the file.
    pub const fn page_size(self) -> PageSize {
        self.page_size
    }

    /// Returns how pages are protected.
    pub const fn kind(self) -> FormatKind {
        self.kind
    }

    /// Returns the tablespace that pages have to belong to, if it is known.
    pub const fn space(self) -> Option<SpaceId> {
        self.space
    }

    /// Tells whether a position is within the doublewrite buffer.
    ///
    /// It is the second and the third extent of the system tablespace, where `mariabackup` and
    /// `innochecksum` expect it as well.
    pub(super) fn is_doublewrite(self, number: PageNumber) -> bool {
        let extent = self.page_size.pages_per_extent();
        self.space == Some(SpaceId::SYSTEM) && (extent..3 * extent).contains(&number.get())
    }

    fn parse(first: &[u8]) -> Result<Self, Unrecognised> {
        let number = header::number(first);
        if number != PageNumber::FIRST {
            return Err(Unrecognised::Number(number));
        }
        let header = header::space(first);
        let tablespace = SpaceId::new(u32_at(first, FSP_SPACE_AT));
        // Servers before 4.1.1 left garbage in the page headers of the system tablespace.
        if header != tablespace && tablespace != SpaceId::SYSTEM {
            return Err(Unrecognised::Spaces { header, tablespace });
        }
        let (page_size, kind) = parse_flags(u32_at(first, FSP_FLAGS_AT))?;
        Ok(Self { page_size, kind, space: Some(tablespace) })
    }
}

/// The bit that tells the two layouts of the flags apart; in the older one it is always zero.
const FULL_CRC32: u32 = 1 << 4;

fn parse_flags(flags: u32) -> Result<(PageSize, FormatKind), Unrecognised> {
    if flags & FULL_CRC32 == 0 { parse_legacy(flags) } else { parse_full_crc32(flags) }
}

fn parse_full_crc32(flags: u32) -> Result<(PageSize, FormatKind), Unrecognised> {
    let page_size = logical_size(flags & 0xF).ok_or(Unrecognised::PageSize { flags })?;
    let compression = match flags >> 5 {
        0 => None,
        code => match CompressionAlgorithm::from_code(code.into()) {
            None => return Err(Unrecognised::Compression { flags }),
            some => some,
        },
    };
    Ok((page_size, FormatKind::FullCrc32 { compression }))
}

fn parse_legacy(flags: u32) -> Result<(PageSize, FormatKind), Unrecognised> {
    const POST_ANTELOPE: u32 = 1;
    const ATOMIC_BLOBS: u32 = 1 << 5;
    // Bit 10 is DATA_DIRECTORY of MySQL 5.6 and does no harm.
    const RESERVED: u32 = 0b1_1111 << 11 | !0 << 17;
    const PAGE_COMPRESSED: u32 = 1 << 16;

    let row_format = flags & (POST_ANTELOPE | ATOMIC_BLOBS);
    if flags & RESERVED != 0 || row_format == ATOMIC_BLOBS {
        return Err(Unrecognised::ReservedBits { flags });
    }
    let page_size = match flags >> 6 & 0xF {
        0 => PageSize::KIB_16,
        // 16 KiB is written as 0.
        5 => return Err(Unrecognised::PageSize { flags }),
        size => logical_size(size).ok_or(Unrecognised::PageSize { flags })?,
    };
    let zip_size = flags >> 1 & 0xF;
    if zip_size == 0 {
        let compressed = flags & PAGE_COMPRESSED != 0;
        let kind = if compressed { FormatKind::LegacyPageCompressed } else { FormatKind::Legacy };
        return Ok((page_size, kind));
    }
    let zip_size = size_of_code(zip_size).filter(|zip_size| *zip_size <= page_size);
    match zip_size {
        Some(zip_size) if row_format == POST_ANTELOPE | ATOMIC_BLOBS => {
            Ok((zip_size, FormatKind::LegacyZip))
        }
        _ => Err(Unrecognised::ZipSize { flags }),
    }
}

/// Decodes the size of an uncompressed page, 4 to 64 KiB.
fn logical_size(code: u32) -> Option<PageSize> {
    size_of_code(code).filter(|size| size.shift() >= 12)
}

/// Decodes a size that flags give as the power of two by which 512 is multiplied.
fn size_of_code(code: u32) -> Option<PageSize> {
    PageSize::from_shift(u8::try_from(code.checked_add(9)?).ok()?)
}

/// A stored format that no version of this program has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown tablespace format {0:#018x}")]
pub struct UnknownFormat(pub u64);

/// The compact form: from the lowest byte four bytes of tablespace id, one of page size, one of
/// kind, one of compression, one that tells whether the id is known.
impl TablespaceFormat {
    /// Packs the format into the integer that a member record stores.
    pub fn encode(self) -> u64 {
        let (kind, compression) = match self.kind {
            FormatKind::FullCrc32 { compression: None } => (1, 0),
            FormatKind::FullCrc32 { compression: Some(algorithm) } => (1, algorithm.code()),
            FormatKind::Legacy => (2, 0),
            FormatKind::LegacyPageCompressed => (3, 0),
            FormatKind::LegacyZip => (4, 0),
            FormatKind::Undetermined => (5, 0),
        };
        let [a, b, c, d] = self.space.unwrap_or(SpaceId::SYSTEM).get().to_le_bytes();
        let known = u8::from(self.space.is_some());
        u64::from_le_bytes([a, b, c, d, self.page_size.shift(), kind, compression, known])
    }

    /// Unpacks what [`encode`](Self::encode) has packed, and nothing else.
    pub fn decode(packed: u64) -> Result<Self, UnknownFormat> {
        let [a, b, c, d, shift, kind, compression, known] = packed.to_le_bytes();
        let page_size = PageSize::from_shift(shift).ok_or(UnknownFormat(packed))?;
        let algorithm = CompressionAlgorithm::from_code(compression.into());
        let kind = match kind {
            1 => FormatKind::FullCrc32 { compression: algorithm },
            2 => FormatKind::Legacy,
            3 => FormatKind::LegacyPageCompressed,
            4 => FormatKind::LegacyZip,
            5 => FormatKind::Undetermined,
            _ => return Err(UnknownFormat(packed)),
        };
        let space = (known == 1).then(|| SpaceId::new(u32::from_le_bytes([a, b, c, d])));
        let format = Self { page_size, kind, space };
        // What is left over, such as a compression that the kind does not have, is caught whole.
        if format.encode() == packed { Ok(format) } else { Err(UnknownFormat(packed)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::innodb::big_endian::put_u32;

    fn page_zero(flags: u32) -> Vec<u8> {
        let mut page = vec![0; PAGE_ZERO_BYTES_MIN];
        put_u32(&mut page, header::SPACE_AT, 8);
        put_u32(&mut page, FSP_SPACE_AT, 8);
        put_u32(&mut page, FSP_FLAGS_AT, flags);
        page
    }

    fn format_of(flags: u32) -> (usize, FormatKind) {
        let found = TablespaceFormat::from_page_zero(&page_zero(flags));
        let PageZero::Formatted(format) = found else { panic!("{flags:#x}: {found:?}") };
        assert_eq!(format.space(), Some(SpaceId::new(8)));
        (format.page_size().bytes(), format.kind())
    }

    #[test]
    fn flags_seen_on_a_server_are_understood() {
        let plain = FormatKind::FullCrc32 { compression: None };
        let zlib = FormatKind::FullCrc32 { compression: Some(CompressionAlgorithm::Zlib) };
        let seen = [
            (0x15, 16_384, plain),
            (0x35, 16_384, zlib),
            (0x17, 65_536, plain),
            (0x37, 65_536, zlib),
            (0xC0, 4096, FormatKind::Legacy),
            (0xE1, 4096, FormatKind::Legacy),
            (0x1_00E1, 4096, FormatKind::LegacyPageCompressed),
            (0x0, 16_384, FormatKind::Legacy),
            (0x21, 16_384, FormatKind::Legacy),
            (0x421, 16_384, FormatKind::Legacy),
            (0x1_0021, 16_384, FormatKind::LegacyPageCompressed),
            (0x29, 8192, FormatKind::LegacyZip),
            (0x27, 4096, FormatKind::LegacyZip),
            (0x23, 1024, FormatKind::LegacyZip),
        ];
        for (flags, bytes, kind) in seen {
            assert_eq!(format_of(flags), (bytes, kind), "{flags:#x}");
        }
    }

    #[test]
    fn flags_that_no_server_writes_are_refused_by_name() {
        type Reason = fn(u32) -> Unrecognised;
        let page_size: Reason = |flags| Unrecognised::PageSize { flags };
        let zip_size: Reason = |flags| Unrecognised::ZipSize { flags };
        let compression: Reason = |flags| Unrecognised::Compression { flags };
        let reserved: Reason = |flags| Unrecognised::ReservedBits { flags };
        let refused = [
            (0x10, page_size),
            (0x12, page_size),
            (0x18, page_size),
            (0x1F, page_size),
            (0x15 | 7 << 5, compression),
            (0x15 | 1 << 31, compression),
            (0x61, page_size),
            (0x161, page_size),
            (0x221, page_size),
            (0x03, zip_size),
            (0x22, reserved),
            (0x2D, zip_size),
            (0xE9, zip_size),
            (0x20, reserved),
            (0x821, reserved),
            (0x4021, reserved),
            (0x2_0021, reserved),
        ];
        for (flags, reason) in refused {
            let page = page_zero(flags);
            let found = TablespaceFormat::from_page_zero(&page);
            assert_eq!(found, PageZero::Unrecognised(reason(flags)), "{flags:#x}");
        }
    }

    #[test]
    fn a_page_of_zeroes_is_unformatted_and_a_short_one_too_short() {
        let zero = [0; 64];
        assert_eq!(TablespaceFormat::from_page_zero(&zero), PageZero::Unformatted);
        for bytes in 0..PAGE_ZERO_BYTES_MIN {
            assert_eq!(TablespaceFormat::from_page_zero(&zero[..bytes]), PageZero::TooShort);
        }
    }

    #[test]
    fn a_first_page_has_number_zero_and_one_tablespace() {
        let mut page = page_zero(0x15);
        put_u32(&mut page, header::NUMBER_AT, 3);
        let number = Unrecognised::Number(PageNumber::new(3));
        assert_eq!(TablespaceFormat::from_page_zero(&page), PageZero::Unrecognised(number));

        let mut page = page_zero(0x15);
        put_u32(&mut page, header::SPACE_AT, 9);
        let spaces = Unrecognised::Spaces { header: SpaceId::new(9), tablespace: SpaceId::new(8) };
        assert_eq!(TablespaceFormat::from_page_zero(&page), PageZero::Unrecognised(spaces));
        assert_eq!(spaces.to_string(), "first page names two spaces, 9 and 8");
    }

    #[test]
    fn only_the_second_and_third_extent_of_the_system_tablespace_are_the_doublewrite_buffer() {
        let system = TablespaceFormat::presumed(PageSize::KIB_16, Some(SpaceId::SYSTEM));
        let inside: Vec<u32> =
            (0..1000).filter(|number| system.is_doublewrite(PageNumber::new(*number))).collect();
        assert_eq!(inside, (64..192).collect::<Vec<u32>>());
        for space in [None, Some(SpaceId::new(1))] {
            let other = TablespaceFormat::presumed(PageSize::KIB_16, space);
            assert!(!other.is_doublewrite(PageNumber::new(100)));
        }
    }

    proptest! {
        #[test]
        fn a_format_survives_being_stored(flags: u32, space: u32, known: bool) {
            let space = known.then(|| SpaceId::new(space));
            if let Ok((page_size, kind)) = parse_flags(flags & 0x1_FFFF) {
                let format = TablespaceFormat { page_size, kind, space };
                prop_assert_eq!(TablespaceFormat::decode(format.encode()), Ok(format));
            }
        }

        #[test]
        fn what_was_never_stored_is_not_read(packed: u64) {
            if let Ok(format) = TablespaceFormat::decode(packed) {
                prop_assert_eq!(format.encode(), packed);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = TablespaceFormat::from_page_zero(&bytes);
        }
    }
}
