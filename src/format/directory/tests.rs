//! Tests of directories: they come back, cost little, and refuse what is unknown.

use super::*;
use proptest::prelude::*;

fn block(hash: BlockHash, length: usize) -> FramedBlock {
    FramedBlock { hash, length, form: BlockForm::PLAIN }
}

fn address(pack: u8, entry: u32) -> EntryAddress {
    EntryAddress { pack: PackName([pack; 32]), entry: EntryNumber(entry) }
}

fn record(length: usize, record: usize, base: EntryAddress) -> NewRecord {
    NewRecord { length, record, form: BlockForm::PLAIN, base, second: None }
}

/// An entry to be made: whole or a delta, its form, whether it has a second base, a size.
#[derive(Debug, Clone, Copy)]
struct Seed {
    whole: bool,
    form: BlockForm,
    two: bool,
    size: u16,
}

fn any_seed() -> impl Strategy<Value = Seed> {
    let form = prop_oneof![
        3 => Just(BlockForm::PLAIN),
        1 => (12u8..=16).prop_map(|log2| BlockForm::normal(1 << log2).unwrap()),
    ];
    (any::<bool>(), form, any::<bool>(), any::<u16>()).prop_map(|(whole, form, two, size)| Seed {
        whole,
        form,
        two,
        size,
    })
}

fn sample(seed: &[Seed]) -> Directory {
    let mut builder = DirectoryBuilder::default();
    let mut open = 0;
    for (n, &Seed { whole, form, two, size }) in seed.iter().enumerate() {
        let hash = BlockHash([u32_of(n).to_le_bytes()[0]; 16]);
        let size = usize::from(size) + 1;
        if whole {
            let first = FramedBlock { form, ..block(hash, size) };
            builder.add_whole(Codec::Zstd, size / 2 + 17, &[first, block(hash, 16384)]);
        } else {
            let n = u32_of(n).to_le_bytes()[0];
            let second = two.then(|| address(n % 5, u32_of(size) / 2));
            let new = record(16384, size % 300, address(n % 3, u32_of(size)));
            builder.add_record(NewRecord { form, second, ..new });
            open += 1;
        }
        if open == 7 {
            builder.close_records(Codec::PackedRecords, 50);
            open = 0;
        }
    }
    if open > 0 {
        builder.close_records(Codec::ZstdPrefix, 100);
    }
    builder.finish()
}

proptest! {
    #[test]
    fn a_directory_comes_back(seed in prop::collection::vec(any_seed(), 0..200)) {
        let directory = sample(&seed);
        prop_assert_eq!(Directory::decode(&directory.encode()), Ok(directory));
    }

    #[test]
    fn the_entries_of_a_frame_are_found_in_order(
        seed in prop::collection::vec(any_seed(), 0..200),
    ) {
        let directory = sample(&seed);
        for number in 0..u32_of(directory.frames.len()) {
            let own: Vec<Slot> =
                directory.slots.iter().filter(|slot| slot.frame == number).copied().collect();
            let found: Vec<Slot> = directory.slots_of(number).copied().collect();
            // Records of no bytes at the end of a frame are no blocks.
            prop_assert_eq!(&found[..], &own[..found.len()]);
            prop_assert!(own[found.len()..].iter().all(|slot| slot.record == 0));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _unused = Directory::decode(&bytes);
    }
}

#[test]
fn a_directory_without_forms_is_that_of_version_0_1() {
    let mut builder = DirectoryBuilder::default();
    builder.add_whole(Codec::Zstd, 100, &[block(BlockHash([1; 16]), 16384)]);
    builder.add_record(record(16384, 100, address(7, 3)));
    builder.close_records(Codec::PackedRecords, 90);
    let columns = [
        vec![0, 1],
        // Codecs, stored bytes, raw bytes.
        vec![1, 4, 100, 90, 0x80, 0x80, 1, 100],
        // Frames, lengths, the record's bytes, its base.
        vec![0, 2, 0x80, 0x80, 1, 0x80, 0x80, 1, 100, 0, 4],
    ];
    assert_eq!(builder.finish().columns(), columns.concat());
}

fn night(forms: impl Fn(u32) -> BlockForm, two: impl Fn(u32) -> bool) -> usize {
    let mut builder = DirectoryBuilder::default();
    for n in 0..10_000u32 {
        let bytes = 200 + usize_of_u32(n * 7919 % 150);
        let base = address(7, n * 14 + n * 31 % 9);
        let second = two(n).then(|| address(7, n * 14 + 7));
        let new = record(16384, bytes, base);
        builder.add_record(NewRecord { form: forms(n), second, ..new });
        if n % 250 == 249 {
            builder.close_records(Codec::ZstdPrefix, 64 << 10);
        }
    }
    builder.finish().encode().len()
}

#[test]
fn a_delta_costs_at_most_8_bytes_of_directory() {
    let bytes = night(|_| BlockForm::PLAIN, |_| false);
    assert!(bytes <= 8 * 10_000, "{bytes} bytes for 10,000 deltas");
}

#[test]
fn a_form_costs_a_bit_and_a_second_base_4_bytes_of_directory() {
    let plain = night(|_| BlockForm::PLAIN, |_| false);
    let normal = BlockForm::normal(16384).unwrap();
    let form = |n: u32| if n * 31 % 17 < 4 { normal } else { BlockForm::PLAIN };
    let forms = night(form, |_| false) - plain;
    assert!(forms <= 10_000 / 8, "{forms} bytes for the forms of 10,000 deltas");
    let both = night(form, |n| n % 10 == 0) - plain;
    assert!(both <= 10_000 / 8 + 4 * 1_000, "{both} bytes with 1,000 second bases");
}

#[test]
fn forms_of_raw_frames_and_of_unknown_pages_are_refused() {
    let mut builder = DirectoryBuilder::default();
    let form = BlockForm::normal(16384).unwrap();
    let blocks = [FramedBlock { form, ..block(BlockHash([1; 16]), 16384) }];
    builder.add_whole(Codec::Raw, 16384 + 16, &blocks);
    let raw = builder.finish().encode();
    assert_eq!(Directory::decode(&raw).unwrap_err().why, "a codec is unknown to this program");
}

#[test]
fn columns_are_of_whole_blocks_and_a_trailer_is_left_out_of_deltas_only() {
    let normal = BlockForm::normal(16384).unwrap();
    let forms = [
        (normal.in_columns(), true, false),
        (normal.without_trailer(), false, true),
        (BlockForm::PLAIN.without_trailer(), false, true),
        (normal.in_columns().without_trailer(), false, false),
    ];
    for (form, of_whole, of_delta) in forms {
        let mut whole = DirectoryBuilder::default();
        let framed = FramedBlock { form, ..block(BlockHash([1; 16]), 16384) };
        whole.add_whole(Codec::Zstd, 100, &[framed]);
        assert_eq!(Directory::decode(&whole.finish().encode()).is_ok(), of_whole, "{form:?}");
        let mut deltas = DirectoryBuilder::default();
        deltas.add_record(NewRecord { form, ..record(16384, 100, address(7, 3)) });
        deltas.close_records(Codec::ZstdPrefix, 90);
        assert_eq!(Directory::decode(&deltas.finish().encode()).is_ok(), of_delta, "{form:?}");
    }
}
