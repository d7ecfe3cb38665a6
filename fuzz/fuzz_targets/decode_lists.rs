//! Any release list, relocation record, damage record of either kind, note, slot record and part of
//! the pack table.

#![no_main]

use haulout::base::wire::Reader;
use haulout::format::lists::Damage;
use haulout::format::lists::Relocation;
use haulout::format::lists::decode_releases;
use haulout::format::lists::put_release;
use haulout::format::note::Note;
use haulout::format::pack_table::TableTail;
use haulout::format::pack_table::decode_records;
use haulout::format::pack_table::decode_references;
use haulout::format::pack_table::encode_records;
use haulout::format::pack_table::encode_references;
use haulout::format::retired::Retired;
use haulout::format::slot::SlotRecord;
use haulout::format::snapshot_damage::SnapshotDamage;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// Records in a node of the pack table.
const NODE: usize = 256;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let kind = input.byte();
    match kind % 10 {
        0 => {
            let Ok(releases) = decode_releases(input.rest()) else { return };
            let mut bytes = Vec::new();
            releases.iter().for_each(|(key, release)| put_release(&mut bytes, key, release));
            assert_eq!(decode_releases(&bytes), Ok(releases));
        }
        1 => {
            let Ok(moves) = Relocation::decode(input.rest()) else { return };
            assert_eq!(Relocation::decode(&moves.encode()).as_ref(), Ok(&moves));
            for (old, ..) in &moves.moves {
                assert!(moves.find(*old).is_some(), "what is listed is found");
            }
        }
        2 => {
            let Ok(damage) = Damage::decode(input.rest()) else { return };
            assert_eq!(Damage::decode(&damage.encode()), Ok(damage));
        }
        3 => {
            let mut reader = Reader::new("fuzz input", input.rest());
            let Ok(tail) = TableTail::decode(&mut reader) else { return };
            let mut bytes = Vec::new();
            tail.encode(&mut bytes);
            assert_eq!(TableTail::decode(&mut Reader::new("again", &bytes)), Ok(tail));
        }
        4 => {
            // One record, often: a node is longer than inputs usually are.
            let bytes = if kind < 128 { input.rest().repeat(NODE) } else { input.rest().to_vec() };
            let Ok(records) = decode_records(&bytes) else { return };
            assert_eq!(decode_records(&encode_records(&records)).as_ref(), Ok(&records));
        }
        6 => {
            let Ok(retired) = Retired::decode(input.rest()) else { return };
            assert_eq!(retired.encode(), input.rest(), "one list, one spelling");
        }
        7 => {
            let Ok(damage) = SnapshotDamage::decode(input.rest()) else { return };
            assert_eq!(SnapshotDamage::decode(&damage.encode()), Ok(damage));
        }
        5 => {
            let Ok(Some(note)) = Note::decode(input.rest()) else { return };
            assert_eq!(Note::decode(&note.encode()), Ok(Some(note)));
        }
        8 => {
            let Ok(Some(record)) = SlotRecord::decode(input.rest()) else { return };
            assert_eq!(SlotRecord::decode(&record.encode()), Ok(Some(record)));
        }
        _ => {
            let bytes =
                if kind < 128 { input.array::<52>().repeat(NODE) } else { input.rest().to_vec() };
            let Ok(nodes) = decode_references(&bytes) else { return };
            assert_eq!(encode_references(&nodes), bytes, "one node, one spelling");
        }
    }
});
