//! Tests of the verdict on a page, one for each kind of page.

use proptest::prelude::*;

use super::*;
use crate::innodb::big_endian::put_u16;
use crate::innodb::big_endian::put_u32;
use crate::innodb::big_endian::put_u64;
use crate::innodb::fixtures;
use crate::innodb::fixtures::LSN;
use crate::innodb::fixtures::NUMBER;
use crate::innodb::fixtures::SPACE;
use crate::innodb::header::LSN_LOW_AT;
use crate::innodb::server_pages;
use crate::innodb::tablespace::CompressionAlgorithm;
use crate::innodb::units::Lsn;
use crate::innodb::units::PageSize;

const OTHER: PageNumber = PageNumber::new(NUMBER.get() + 1);

fn good(variant: ChecksumVariant) -> PageVerdict {
    PageVerdict::Good { lsn: LSN, variant }
}

fn unverifiable(reason: Unverifiable) -> PageVerdict {
    PageVerdict::Unverifiable { lsn: LSN, reason }
}

impl PageVerdict {
    /// Returns what is wrong, if anything is.
    fn corruption(self) -> Option<Corruption> {
        match self {
            Self::Corrupt { reason, .. } => Some(reason),
            Self::Zero | Self::Good { .. } | Self::Doublewrite | Self::Unverifiable { .. } => None,
        }
    }
}

fn legacy_format() -> TablespaceFormat {
    fixtures::format(0x21, SPACE)
}

#[test]
fn every_kind_of_good_page_is_good() {
    for made in fixtures::all() {
        let verdict = made.format.check(&made.page, NUMBER);
        assert_eq!(verdict, good(made.variant), "{}", made.name);
    }
}

#[test]
fn every_page_of_a_server_is_good() {
    for made in server_pages::PAGES {
        let format = fixtures::format(made.flags, made.space);
        let verdict = format.check(&made.page(), PageNumber::new(1));
        let good = PageVerdict::Good { lsn: made.lsn, variant: made.variant };
        assert_eq!(verdict, good, "{}", made.name);
    }
}

#[test]
fn every_page_of_zeroes_is_zero_wherever_it_stands() {
    for made in fixtures::all() {
        let page = vec![0; made.page.len()];
        for number in [PageNumber::FIRST, NUMBER, PageNumber::new(100)] {
            assert_eq!(made.format.check(&page, number), PageVerdict::Zero, "{}", made.name);
        }
    }
}

#[test]
fn a_page_with_one_bit_set_is_not_zero() {
    for made in fixtures::all() {
        for at in (0..made.page.len()).step_by(509).chain([made.page.len() - 1]) {
            let mut page = vec![0; made.page.len()];
            page[at] = 0x40;
            assert_ne!(made.format.check(&page, NUMBER), PageVerdict::Zero, "{at}");
        }
    }
}

#[test]
fn a_good_page_in_the_wrong_place_is_corrupt() {
    for made in fixtures::all() {
        let stray = Corruption::Number { says: NUMBER, stands_at: OTHER };
        let verdict = made.format.check(&made.page, OTHER);
        assert_eq!(verdict.corruption(), Some(stray), "{}", made.name);
    }
}

#[test]
fn a_page_of_another_tablespace_is_corrupt_if_it_shows_its_own() {
    let file = SpaceId::new(9);
    for made in fixtures::all() {
        let page_size = made.format.page_size();
        let format = if made.format.kind() == FormatKind::LegacyZip {
            TablespaceFormat::presumed_zip(page_size, Some(file))
        } else {
            TablespaceFormat::presumed(page_size, Some(file))
        };
        let verdict = format.check(&made.page, NUMBER);
        let hides_space = made.variant == ChecksumVariant::FullCrc32
            && (made.page[0..4] != [0; 4] || is_compressed_full_crc32(&made.page));
        let expected = (!hides_space).then_some(Corruption::Space { says: SPACE, file });
        assert_eq!(verdict.corruption(), expected, "{}", made.name);
    }
}

#[test]
fn without_its_first_page_a_tablespace_is_judged_by_all_formats() {
    for made in fixtures::all() {
        let format = TablespaceFormat::presumed(made.format.page_size(), None);
        let verdict = format.check(&made.page, NUMBER);
        assert_eq!(verdict, good(made.variant), "{}", made.name);
        let mut page = made.page.clone();
        page[50] ^= 1;
        assert!(format.check(&page, NUMBER).corruption().is_some(), "{}", made.name);
    }
}

#[test]
fn a_torn_page_is_distinguished_from_a_wrong_checksum() {
    let mut torn = 0;
    for made in fixtures::all() {
        let Some(copy_at) = made.lsn_copy_at else { continue };
        let mut page = made.page.clone();
        put_u32(&mut page, copy_at, 1);
        if made.variant == ChecksumVariant::FullCrc32 {
            fixtures::put_full_crc32(&mut page, made.page.len());
        }
        let reason = Corruption::Torn { header: u32_at(&page, LSN_LOW_AT), trailer: 1 };
        let verdict = made.format.check(&page, NUMBER);
        assert_eq!(verdict.corruption(), Some(reason), "{}", made.name);
        torn += 1;
    }
    assert_eq!(torn, 10, "uncompressed pages repeat their LSN, unless all is encrypted");
}

#[test]
fn switched_off_checksums_prove_nothing() {
    let disabled = unverifiable(Unverifiable::ChecksumDisabled);
    let mut page = fixtures::raw(16_384);
    fixtures::put_crc32(&mut page);
    put_u32(&mut page, CHECKSUM_AT, NO_CHECKSUM);
    assert_ne!(legacy_format().check(&page, NUMBER), disabled, "both fields have to say so");
    put_u32(&mut page, 16_384 - 8, NO_CHECKSUM);
    assert_eq!(legacy_format().check(&page, NUMBER), disabled);

    let mut page = fixtures::raw(8192);
    put_u32(&mut page, CHECKSUM_AT, NO_CHECKSUM);
    assert_eq!(fixtures::format(0x29, SPACE).check(&page, NUMBER), disabled);

    let mut page = fixtures::raw(16_384);
    fixtures::put_crc32(&mut page);
    put_u32(&mut page, KEY_VERSION_AT, 1);
    put_u32(&mut page, ENCRYPTED_CHECKSUM_AT, NO_CHECKSUM);
    page[50] ^= 1;
    assert_eq!(legacy_format().check(&page, NUMBER), disabled);
}

#[test]
fn the_marks_of_ancient_servers_prove_nothing() {
    let ancient = unverifiable(Unverifiable::ChecksumAncient);
    for first in [0, NO_CHECKSUM] {
        let mut page = fixtures::raw(16_384);
        fixtures::put_crc32(&mut page);
        put_u32(&mut page, CHECKSUM_AT, first);
        fixtures::copy_u32(&mut page, header::LSN_AT, 16_384 - 8);
        assert_eq!(legacy_format().check(&page, NUMBER), ancient);
    }
}

#[test]
fn garbage_in_place_of_a_key_version_does_not_make_a_page_corrupt() {
    for made in fixtures::all() {
        let is_plain = matches!(
            made.variant,
            ChecksumVariant::Crc32
                | ChecksumVariant::Innodb
                | ChecksumVariant::ZipCrc32
                | ChecksumVariant::ZipAdler32
        );
        if is_plain {
            let mut page = made.page.clone();
            page[KEY_VERSION_AT..SPACE_AT].fill(0xC3);
            let verdict = made.format.check(&page, NUMBER);
            assert_eq!(verdict, good(made.variant), "{}", made.name);
        }
    }
}

#[test]
fn the_first_page_is_never_taken_for_encrypted() {
    let mut page = fixtures::raw(16_384);
    put_u32(&mut page, header::NUMBER_AT, 0);
    put_u64(&mut page, KEY_VERSION_AT, 0x0000_0001_0000_0000);
    fixtures::put_crc32(&mut page);
    let verdict = legacy_format().check(&page, PageNumber::FIRST);
    assert_eq!(verdict, good(ChecksumVariant::Crc32));
    // What would do for an encrypted page does not do for this one.
    let crc = checksum::legacy_crc32(&page);
    put_u32(&mut page, ENCRYPTED_CHECKSUM_AT, crc);
    put_u32(&mut page, CHECKSUM_AT, 1);
    let verdict = legacy_format().check(&page, PageNumber::FIRST);
    assert_eq!(verdict.corruption(), Some(Corruption::Checksum { stored: 1, computed: crc }));
}

#[test]
fn a_flush_lsn_alone_makes_a_page_blank_and_not_corrupt() {
    let mut page = vec![0; 16_384];
    put_u64(&mut page, KEY_VERSION_AT, 123_456);
    let reason = Unverifiable::Blank;
    let blank = PageVerdict::Unverifiable { lsn: Lsn::new(0), reason };
    let system = fixtures::format(0x21, SpaceId::SYSTEM);
    assert_eq!(system.check(&page, NUMBER), blank);
    assert!(legacy_format().check(&page, NUMBER).corruption().is_some());
    assert!(fixtures::format(0x15, SPACE).check(&page, NUMBER).corruption().is_some());
}

#[test]
fn the_doublewrite_buffer_is_exempt_but_good_pages_in_it_are_good() {
    let format = fixtures::format(0x15, SpaceId::SYSTEM);
    let mut page = fixtures::raw(16_384);
    let inside = PageNumber::new(64);
    assert_eq!(format.check(&page, inside), PageVerdict::Doublewrite);
    assert!(format.check(&page, PageNumber::new(63)).corruption().is_some());
    assert!(format.check(&page, PageNumber::new(192)).corruption().is_some());

    put_u32(&mut page, header::NUMBER_AT, inside.get());
    put_u32(&mut page, SPACE_AT, 0);
    fixtures::copy_u32(&mut page, LSN_LOW_AT, 16_384 - 8);
    fixtures::put_full_crc32(&mut page, 16_384);
    assert_eq!(format.check(&page, inside), good(ChecksumVariant::FullCrc32));
}

#[test]
fn old_pages_of_the_system_tablespace_need_not_name_it() {
    let mut page = fixtures::raw(16_384);
    fixtures::put_innodb(&mut page);
    let system = fixtures::format(0, SpaceId::SYSTEM);
    assert_eq!(system.check(&page, NUMBER), good(ChecksumVariant::Innodb));
}

#[test]
fn a_page_tells_where_a_second_system_file_begins() {
    let system = TablespaceFormat::presumed(PageSize::KIB_16, Some(SpaceId::SYSTEM));
    let mut page = fixtures::raw(16_384);
    put_u32(&mut page, header::NUMBER_AT, 768);
    put_u32(&mut page, SPACE_AT, 0);
    fixtures::put_crc32(&mut page);
    let claimed = header::number(&page);
    assert_eq!(claimed, PageNumber::new(768));
    assert_eq!(system.check(&page, claimed), good(ChecksumVariant::Crc32));
}

#[test]
fn a_compressed_length_beyond_the_page_is_corrupt() {
    let made = fixtures::full_crc32_compressed();
    for (length, bytes) in [(0, 0), (64, 16_384), (0x7FFF, 0x7F_FF00)] {
        let mut page = made.page.clone();
        put_u16(&mut page, header::TYPE_AT, COMPRESSED | length);
        let impossible = Corruption::CompressedLength { bytes };
        assert_eq!(made.format.check(&page, NUMBER).corruption(), Some(impossible));
    }
}

#[test]
fn a_compressed_page_is_verified_by_what_is_inside() {
    let made = fixtures::inflated();
    let check = |page: &[u8]| made.format.check(page, NUMBER).corruption();
    let with = |change: fn(&mut [u8])| {
        let mut page = made.page.clone();
        change(&mut page);
        page
    };
    let stored = with(|page| put_u32(page, CHECKSUM_AT, 1));
    let mark = Corruption::Checksum { stored: 1, computed: NO_CHECKSUM };
    assert_eq!(check(&stored), Some(mark));
    let contents = with(|page| page[60] ^= 1);
    assert_eq!(check(&contents), Some(Corruption::Inflate));
    let length = with(|page| put_u16(page, BODY_AT, 16_345));
    assert_eq!(check(&length), Some(Corruption::CompressedLength { bytes: 16_345 }));
    let nothing = with(|page| put_u16(page, BODY_AT, 0));
    assert_eq!(check(&nothing), Some(Corruption::CompressedLength { bytes: 0 }));
    let header = with(|page| put_u32(page, LSN_LOW_AT, 1));
    assert_eq!(check(&header), Some(Corruption::InflatedHeader));
    let algorithm = with(|page| put_u64(page, KEY_VERSION_AT, 9));
    assert_eq!(check(&algorithm), Some(Corruption::CompressionAlgorithm { code: 9 }));
}

#[test]
fn the_page_inside_a_compressed_one_has_to_be_intact() {
    let mut page = fixtures::raw(16_384);
    page[1000..].fill(7);
    fixtures::put_crc32(&mut page);
    page[500] ^= 1;
    fixtures::compress(&mut page);
    let verdict = fixtures::format(0x1_0021, SPACE).check(&page, NUMBER);
    assert!(matches!(verdict.corruption(), Some(Corruption::Checksum { .. })));
}

#[test]
fn a_compressed_page_is_recognised_before_the_flags_tell_of_it() {
    let made = fixtures::inflated();
    let verdict = legacy_format().check(&made.page, NUMBER);
    assert_eq!(verdict, good(ChecksumVariant::Inflated));
}

#[test]
fn what_cannot_be_unpacked_is_unverifiable() {
    let mut page = fixtures::inflated().page;
    let format = fixtures::format(0x1_0021, SPACE);
    put_u64(&mut page, KEY_VERSION_AT, 2);
    let lz4 = unverifiable(Unverifiable::Compressed(CompressionAlgorithm::Lz4));
    assert_eq!(format.check(&page, NUMBER), lz4);

    put_u16(&mut page, header::TYPE_AT, compressed::COMPRESSED_AND_ENCRYPTED);
    put_u16(&mut page, 40, 1);
    let both = unverifiable(Unverifiable::CompressedAndEncrypted);
    assert_eq!(format.check(&page, NUMBER), both);
    let crc = checksum::legacy_crc32(&page);
    put_u32(&mut page, ENCRYPTED_CHECKSUM_AT, crc);
    assert_eq!(format.check(&page, NUMBER), good(ChecksumVariant::Encrypted));
    put_u16(&mut page, 40, 7);
    let algorithm = Corruption::CompressionAlgorithm { code: 7 };
    assert_eq!(format.check(&page, NUMBER).corruption(), Some(algorithm));
}

#[test]
fn a_run_of_pages_is_numbered_on_and_a_tail_left_out() {
    let format = fixtures::format(0x13, SPACE);
    let pages = vec![0; 3 * 4096 + 100];
    let numbers: Vec<u32> =
        format.check_run(&pages, NUMBER).map(|(number, _)| number.get()).collect();
    assert_eq!(numbers, [5, 6, 7]);
    let last = PageNumber::new(u32::MAX - 1);
    assert_eq!(format.check_run(&pages, last).count(), 1);
}

#[test]
#[should_panic(expected = "whole pages")]
fn a_part_of_a_page_is_a_mistake_of_the_caller() {
    let _ = legacy_format().check(&[0; 100], NUMBER);
}

#[test]
fn each_flipped_bit_in_a_header_or_trailer_is_noticed() {
    for made in fixtures::all() {
        let bytes = made.page.len();
        let covered = (0..42).chain(bytes - 10..bytes).filter(|at| made.covers(*at));
        for bit in covered.flat_map(|at| at * 8..at * 8 + 8) {
            let verdict = made.format.check(&flipped(&made.page, bit), NUMBER);
            assert!(verdict.corruption().is_some(), "{} {bit}: {verdict:?}", made.name);
        }
    }
}

fn flipped(page: &[u8], bit: usize) -> Vec<u8> {
    let mut page = page.to_vec();
    page[bit / 8] ^= 1 << (bit % 8);
    page
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_flipped_bit_in_a_good_page_is_noticed(
        which in 0..fixtures::all().len(),
        bit in any::<proptest::sample::Index>(),
    ) {
        let made = &fixtures::all()[which];
        let bit = bit.index(made.page.len() * 8);
        let verdict = made.format.check(&flipped(&made.page, bit), NUMBER);
        if made.covers(bit / 8) {
            prop_assert!(verdict.corruption().is_some(), "{} {bit}: {verdict:?}", made.name);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        which in 0..fixtures::all().len(),
        start in proptest::collection::vec(any::<u8>(), 60),
        number: u32,
    ) {
        let made = &fixtures::all()[which];
        let number = PageNumber::new(number);
        let mut page = made.page.clone();
        page[..60].copy_from_slice(&start);
        let _ = made.format.check(&page, number);
        for page_type in [compressed::COMPRESSED, compressed::COMPRESSED_AND_ENCRYPTED] {
            put_u32(&mut page, CHECKSUM_AT, NO_CHECKSUM);
            put_u16(&mut page, header::TYPE_AT, page_type);
            put_u64(&mut page, KEY_VERSION_AT, 1);
            let _ = made.format.check(&page, number);
            let undetermined = TablespaceFormat::presumed(
                PageSize::from_shift(made.format.page_size().shift()).expect("a page size"),
                None,
            );
            let _ = undetermined.check(&page, number);
        }
    }
}
