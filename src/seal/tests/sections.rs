//! Sections, runs and objects used as they should be.

use std::collections::BTreeSet;
use std::thread;

use crate::base::entropy::OsEntropy;
use crate::base::entropy::SeededEntropy;
use crate::base::ids::Class;
use crate::seal::checksum;
use crate::seal::checksum::CHECKSUM_BYTES;
use crate::seal::error::SealError;
use crate::seal::object::OBJECT_OVERHEAD_BYTES;
use crate::seal::object::OBJECT_TEXT_BYTES_MAX;
use crate::seal::object::ObjectKind;
use crate::seal::purpose::Purpose;
use crate::seal::run::COPY_BODY_BYTES_MAX;
use crate::seal::run::RUN_COPIES_MAX;
use crate::seal::run::RunRecord;
use crate::seal::run::SealedCopy;
use crate::seal::section::FrameKind;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::suite::Suite;
use crate::seal::suite::TAG_BYTES;
use crate::seal::tests::CLASSES;
use crate::seal::tests::RUN;
use crate::seal::tests::SUITES;
use crate::seal::tests::keyring;
use crate::seal::tests::run;

#[test]
fn frames_of_any_length_come_back() {
    for suite in SUITES {
        let (secret, _) = run(suite);
        let sealer = SectionSealer::begin(&keyring(suite), Class::Data, &secret.data, &OsEntropy);
        let opener = SectionOpener::new(&keyring(suite), &sealer.header(), &secret.data).unwrap();
        let mut back = Vec::new();
        for length in [0, 1, 15, 1 << 20, 16, 17, 1023, 1024, 1025, 65_536] {
            let text: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut buffer = text.clone();
            let ordinal = sealer.seal(FrameKind::Frame, &mut buffer);
            assert_eq!(buffer.len(), length + TAG_BYTES);
            opener.open_into(FrameKind::Frame, ordinal, &buffer, &mut back).unwrap();
            assert_eq!(back, text);
        }
    }
}

#[test]
fn threads_that_share_a_sealer_never_share_an_ordinal() {
    let (secret, _) = run(Suite::Aes256GcmSiv);
    let keyring = keyring(Suite::Aes256GcmSiv);
    let sealer = SectionSealer::begin(&keyring, Class::Meta, &secret.meta, &OsEntropy);
    let seal_many = || (0..1000).map(|_| sealer.seal(FrameKind::Frame, &mut vec![1])).collect();
    let ordinals: Vec<Vec<u32>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(seal_many)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u32> = ordinals.into_iter().flatten().collect();
    assert_eq!(distinct, (0..4000).collect());
}

#[test]
fn two_sections_of_one_run_share_nothing() {
    let (secret, _) = run(Suite::Aes256GcmSiv);
    let keyring = keyring(Suite::Aes256GcmSiv);
    let entropy = SeededEntropy::new(1);
    let begin = || SectionSealer::begin(&keyring, Class::Data, &secret.data, &entropy);
    let (one, two) = (begin(), begin());
    assert_ne!(one.header().salt, two.header().salt);
    assert_ne!(one.header().commitment, two.header().commitment);
    let (mut first, mut second) = (vec![0; 64], vec![0; 64]);
    one.seal(FrameKind::Frame, &mut first);
    two.seal(FrameKind::Frame, &mut second);
    assert_ne!(first[..16], second[..16]);
}

#[test]
fn an_unencrypted_text_stays_readable() {
    let (secret, _) = run(Suite::KeyedTag);
    let keyring = keyring(Suite::KeyedTag);
    let sealer = SectionSealer::begin(&keyring, Class::Data, &secret.data, &OsEntropy);
    let mut buffer = b"plain".to_vec();
    sealer.seal(FrameKind::Frame, &mut buffer);
    assert!(buffer.starts_with(b"plain"));
}

#[test]
fn run_secrets_come_back_from_the_record_and_from_a_pack() {
    for suite in SUITES {
        let (secret, record) = run(suite);
        let decoded = RunRecord::decode(&record.encode()).unwrap();
        assert_eq!(decoded, record);
        for class in CLASSES {
            let opened = keyring(suite).open_run(&decoded, class).unwrap();
            assert_eq!(opened.bytes(), secret.class(class).bytes());

            let mut in_pack = Vec::new();
            record.copies_of(class).for_each(|copy| copy.encode(&mut in_pack));
            let mut rest = &in_pack[..];
            let copy = SealedCopy::decode(&mut rest).unwrap();
            assert!(rest.is_empty());
            assert_eq!(copy.class(), class);
            let opened = keyring(suite).open_any(RUN, class, [&copy]).unwrap();
            assert_eq!(opened.bytes(), secret.class(class).bytes());
        }
    }
}

/// Returns a record whose second copy is of a kind that this program does not open.
fn with_reserved_copy(body_bytes: usize, more_copies: usize) -> Vec<u8> {
    let (_, record) = run(Suite::Aes256GcmSiv);
    let mut bytes = record.encode();
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    for _ in 0..more_copies {
        bytes[42] += 1;
        bytes.extend_from_slice(&[Class::Data.code(), 3]);
        bytes.extend_from_slice(&u16::try_from(body_bytes).unwrap().to_le_bytes());
        bytes.extend(std::iter::repeat_n(7, body_bytes));
    }
    checksum::append(&mut bytes);
    bytes
}

#[test]
fn copies_of_a_reserved_kind_are_kept_and_passed_over() {
    let bytes = with_reserved_copy(COPY_BODY_BYTES_MAX, RUN_COPIES_MAX - 2);
    let record = RunRecord::decode(&bytes).unwrap();
    let copies = CLASSES.map(|class| record.copies_of(class).count());
    assert_eq!(copies.iter().sum::<usize>(), RUN_COPIES_MAX);
    assert_eq!(record.encode(), bytes);
    for class in CLASSES {
        keyring(Suite::Aes256GcmSiv).open_run(&record, class).unwrap();
    }
    let reserved = record.copies_of(Class::Data).nth(1).unwrap();
    let refused = keyring(Suite::Aes256GcmSiv).open_any(RUN, Class::Data, [reserved]);
    assert_eq!(refused.unwrap_err(), SealError::NoCopy("data"));
}

#[test]
fn a_record_with_too_many_or_too_long_copies_is_refused() {
    RunRecord::decode(&with_reserved_copy(0, RUN_COPIES_MAX - 1)).unwrap_err();
    RunRecord::decode(&with_reserved_copy(COPY_BODY_BYTES_MAX + 1, 1)).unwrap_err();
}

#[test]
fn a_key_slot_without_the_data_key_reads_meta_packs_only() {
    let (secret, record) = run(Suite::Aes256GcmSiv);
    let keyring = keyring(Suite::Aes256GcmSiv).without(Purpose::RunData);
    let meta = keyring.open_run(&record, Class::Meta).unwrap();
    assert_eq!(meta.bytes(), secret.meta.bytes());
    let data = keyring.open_run(&record, Class::Data).unwrap_err();
    assert_eq!(data, SealError::KeyNotInSlot(Purpose::RunData));
    assert_eq!(data.to_string(), "this key slot does not have the key to data packs");
}

#[test]
fn objects_come_back() {
    for suite in SUITES {
        let keyring = keyring(suite);
        for kind in ObjectKind::ALL {
            for length in [0, 1, 5000] {
                let text = vec![7; length];
                let sealed = keyring.seal_object(kind, b"here", &text, &OsEntropy).unwrap();
                assert_eq!(sealed.len(), length + OBJECT_OVERHEAD_BYTES);
                assert_eq!(*keyring.open_object(kind, b"here", &sealed).unwrap(), text);
            }
        }
    }
}

#[test]
fn the_same_object_is_never_sealed_to_the_same_bytes() {
    let keyring = keyring(Suite::Aes256GcmSiv);
    let seal = || keyring.seal_object(ObjectKind::Note, b"", b"same", &OsEntropy).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn an_object_over_the_limit_is_refused() {
    let keyring = keyring(Suite::KeyedTag);
    let text = vec![0; OBJECT_TEXT_BYTES_MAX + 1];
    let refused = keyring.seal_object(ObjectKind::Note, b"", &text, &OsEntropy);
    assert!(matches!(refused, Err(SealError::TooLarge { .. })));
    let sealed = keyring.seal_object(ObjectKind::Note, b"", &text[1..], &OsEntropy).unwrap();
    let longer = [&sealed[..], b"x"].concat();
    let refused = keyring.open_object(ObjectKind::Note, b"", &longer);
    assert!(matches!(refused, Err(SealError::TooLarge { .. })));
    keyring.open_object(ObjectKind::Note, b"", &sealed).unwrap();
}

#[test]
fn debug_output_hides_every_secret() {
    let (secret, _) = run(Suite::KeyedTag);
    let keyring = keyring(Suite::KeyedTag);
    let sealer = SectionSealer::begin(&keyring, Class::Data, &secret.data, &OsEntropy);
    let shown = format!("{secret:?} {keyring:?} {:?}", crate::seal::tests::key());
    assert!(shown.contains("hidden"));
    assert!(!shown.contains("[0, 1, 2") && !shown.contains("0001"), "{shown}");
    assert!(format!("{sealer:?}").contains("hidden"));
}
