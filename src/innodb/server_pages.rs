//! Pages of a MariaDB server 10.11.19, one for each formula that fits into a few bytes.
//!
//! They are bitmap pages, which are nearly empty: only the bytes that are not zero are listed. The
//! two pages with `innodb` checksums and the one with Adler-32 were made from others by a second
//! implementation of the formulas, in another language, and a server has read and checked them.
//!
//! They show what the hand-made pages cannot: that the formulas are those of the server.

use crate::innodb::checksum::ChecksumVariant;
use crate::innodb::units::Lsn;
use crate::innodb::units::SpaceId;

/// A page, the flags of its tablespace, and what is known of it.
#[derive(Debug)]
pub(super) struct ServerPage {
    pub name: &'static str,
    pub flags: u32,
    pub space: SpaceId,
    pub lsn: Lsn,
    pub variant: ChecksumVariant,
    pub bytes: usize,
    runs: &'static [(usize, &'static str)],
}

impl ServerPage {
    /// Unpacks the page to its full size.
    pub(super) fn page(&self) -> Vec<u8> {
        unpack(self.bytes, self.runs)
    }
}

/// Fills `bytes` zeroes with what stands in hexadecimal digits at the positions given.
pub(super) fn unpack(bytes: usize, runs: &[(usize, &str)]) -> Vec<u8> {
    let mut unpacked = vec![0; bytes];
    for (at, digits) in runs {
        for (place, digit) in digits.bytes().enumerate() {
            let digit = char::from(digit).to_digit(16).expect("a hexadecimal digit");
            let byte = &mut unpacked[at + place / 2];
            *byte = *byte << 4 | u8::try_from(digit).expect("a digit is below 16");
        }
    }
    unpacked
}

/// Page 1 of as many tablespaces.
pub(super) const PAGES: &[ServerPage] = &[
    ServerPage {
        name: "full_crc32, 16 KiB",
        flags: 0x15,
        space: SpaceId::new(5),
        lsn: Lsn::new(68_904_725),
        variant: ChecksumVariant::FullCrc32,
        bytes: 16_384,
        runs: &[
            (7, "01ffffffffffffffff"),
            (20, "041b67150005"),
            (37, "05"),
            (108, "300300000030333333333333333333333333"),
            (318, "333303"),
            (333, "30"),
            (16_376, "041b67156c52664d"),
        ],
    },
    ServerPage {
        name: "full_crc32, 64 KiB",
        flags: 0x17,
        space: SpaceId::new(21),
        lsn: Lsn::new(934_220),
        variant: ChecksumVariant::FullCrc32,
        bytes: 65_536,
        runs: &[
            (7, "01ffffffffffffffff"),
            (21, "0e414c0005"),
            (37, "15"),
            (65_529, "0e414c07ea0fd1"),
        ],
    },
    ServerPage {
        name: "full_crc32, 4 KiB",
        flags: 0x13,
        space: SpaceId::new(4),
        lsn: Lsn::new(51_515),
        variant: ChecksumVariant::FullCrc32,
        bytes: 4096,
        runs: &[(7, "01ffffffffffffffff"), (22, "c93b0005"), (37, "04"), (4090, "c93b3aa15d63")],
    },
    ServerPage {
        name: "full_crc32, compressed",
        flags: 0x35,
        space: SpaceId::new(17),
        lsn: Lsn::new(13_383_993),
        variant: ChecksumVariant::FullCrc32,
        bytes: 16_384,
        runs: &[
            (7, "01ffffffffffffffff"),
            (
                21,
                "cc39398001789ceddbb10d80200044d1238601d8c496fd5b764225262e4065deeb7e731b\
                 5cb294f95a357a4fcda7658bf3d8b303",
            ),
            (88, "bff17cfc6f17dcb30abf"),
            (252, "06b31ae6"),
        ],
    },
    ServerPage {
        name: "full_crc32, compressed and encrypted",
        flags: 0x35,
        space: SpaceId::new(18),
        lsn: Lsn::new(13_531_768),
        variant: ChecksumVariant::FullCrc32,
        bytes: 16_384,
        runs: &[
            (3, "0100000001ffffffffffffffff"),
            (
                21,
                "ce7a78800194ddbc8bf04813e63eaf648cf19280e3583e085457355d9823ec565d203a07\
                 f8db37b8d466c919b8911747548a7a5ec0a375fb314d5d65a8bb1d90e1cff67ce0c5baed\
                 22cee833d551dc8b386b53fcf49d955f7b25ac8843d6a0e53e860a796f36c5e744557537\
                 c7e9c642e6ca9f67fdb970b23fb2a30b4f23c1df1710e0b79ac74f2a85fe3b7fa39fb4d6\
                 7d5e2869a4608d0913e1ce2b1ef5a490b93287493379c279ac1fe4f32d3cb33dff0a75c0\
                 875e97c91db85bcc15b7cb1b598cf065ba78c81d2f976aedc67c736698f3fe1ec243fde9\
                 c94589bde5c43c56cf450b7e66f03b10616e8f",
            ),
        ],
    },
    ServerPage {
        name: "crc32, 16 KiB",
        flags: 0x21,
        space: SpaceId::new(26),
        lsn: Lsn::new(21_446_312),
        variant: ChecksumVariant::Crc32,
        bytes: 16_384,
        runs: &[
            (0, "c44d3cb900000001ffffffffffffffff"),
            (20, "01473ea80005"),
            (37, "1a"),
            (108, "100200000030111103"),
            (16_376, "c44d3cb901473ea8"),
        ],
    },
    ServerPage {
        name: "crc32, 8 KiB",
        flags: 0x121,
        space: SpaceId::new(26),
        lsn: Lsn::new(20_103_174),
        variant: ChecksumVariant::Crc32,
        bytes: 8192,
        runs: &[
            (0, "ae3a2fe300000001ffffffffffffffff"),
            (20, "0132c0060005"),
            (37, "1a"),
            (108, "3002"),
            (120, "300001"),
            (130, "3033131221313303"),
            (8184, "ae3a2fe30132c006"),
        ],
    },
    ServerPage {
        name: "innodb",
        flags: 0x21,
        space: SpaceId::new(26),
        lsn: Lsn::new(21_446_312),
        variant: ChecksumVariant::Innodb,
        bytes: 16_384,
        runs: &[
            (0, "ff36339500000001ffffffffffffffff"),
            (20, "01473ea80005"),
            (37, "1a"),
            (108, "100200000030111103"),
            (16_376, "6623932f01473ea8"),
        ],
    },
    ServerPage {
        name: "innodb, with an LSN in the trailer",
        flags: 0x21,
        space: SpaceId::new(26),
        lsn: Lsn::new(21_446_312),
        variant: ChecksumVariant::Innodb,
        bytes: 16_384,
        runs: &[
            (0, "ff36339500000001ffffffffffffffff"),
            (20, "01473ea80005"),
            (37, "1a"),
            (108, "100200000030111103"),
            (16_380, "01473ea8"),
        ],
    },
    ServerPage {
        name: "crc32 of a compressed page, 1 KiB",
        flags: 0x23,
        space: SpaceId::new(32),
        lsn: Lsn::new(31_285_961),
        variant: ChecksumVariant::ZipCrc32,
        bytes: 1024,
        runs: &[
            (0, "bcb5275000000001ffffffffffffffff"),
            (20, "01dd62c90005"),
            (37, "20"),
            (102, "30"),
            (115, "23001110210003"),
        ],
    },
    ServerPage {
        name: "crc32 of a compressed page, 8 KiB",
        flags: 0x29,
        space: SpaceId::new(38),
        lsn: Lsn::new(39_379_410),
        variant: ChecksumVariant::ZipCrc32,
        bytes: 8192,
        runs: &[
            (0, "cf408e0500000001ffffffffffffffff"),
            (20, "0258e1d20005"),
            (37, "26"),
            (107, "31"),
        ],
    },
    ServerPage {
        name: "adler32 of a compressed page",
        flags: 0x29,
        space: SpaceId::new(38),
        lsn: Lsn::new(39_379_410),
        variant: ChecksumVariant::ZipAdler32,
        bytes: 8192,
        runs: &[
            (0, "b9ae085500000001ffffffffffffffff"),
            (20, "0258e1d20005"),
            (37, "26"),
            (107, "31"),
        ],
    },
    ServerPage {
        name: "page_compressed",
        flags: 0x1_0021,
        space: SpaceId::new(24),
        lsn: Lsn::new(17_509_790),
        variant: ChecksumVariant::Inflated,
        bytes: 16_384,
        runs: &[
            (0, "deadbeef00000001ffffffffffffffff"),
            (20, "010b2d9e8632"),
            (
                33,
                "01000000180050789ceddbb10980300044d113b192f4594270846c956d5c5509082e904a\
                 deeb7e731b5ca9ad2759ee5746ecc7952d9f9a29ce75ce0e",
            ),
            (108, "fc45a9ad8f9fff03e1330bb0"),
        ],
    },
    ServerPage {
        name: "page_compressed and encrypted",
        flags: 0x1_0021,
        space: SpaceId::new(25),
        lsn: Lsn::new(18_140_739),
        variant: ChecksumVariant::Encrypted,
        bytes: 16_384,
        runs: &[
            (0, "deadbeef00000001ffffffffffffffff"),
            (
                20,
                "0114ce439219000000019fdd596900000019005200019ae63303a4818131c914abfb3c8a\
                 3d27b75172c152cbe19695e597c0d1b1d0a204348921cc2e358eaa18758b4e06f0ccba3b\
                 4963adb7ee3cafa45f5b78c34c76ee222e766bfd13f4f018e99857140b5f8cab",
            ),
        ],
    },
];
