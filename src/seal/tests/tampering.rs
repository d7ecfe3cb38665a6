//! Whatever is changed, swapped or cut is refused, and no plaintext gets out.

use crate::base::entropy::OsEntropy;
use crate::base::entropy::SeededEntropy;
use crate::base::ids::Class;
use crate::seal::checksum;
use crate::seal::checksum::CHECKSUM_BYTES;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::ids::RunId;
use crate::seal::key_slot::KEY_SLOT_BYTES_MAX;
use crate::seal::key_slot::KeySlot;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::object::ObjectKind;
use crate::seal::run::ClassSecret;
use crate::seal::run::RUN_RECORD_BYTES_MAX;
use crate::seal::run::RunRecord;
use crate::seal::section::FrameKind;
use crate::seal::section::SECTION_FRAMES_MAX;
use crate::seal::section::SectionHeader;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::suite::Suite;
use crate::seal::suite::TAG_BYTES;
use crate::seal::tests::CLASSES;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::SUITES;
use crate::seal::tests::credential;
use crate::seal::tests::key;
use crate::seal::tests::keyring;
use crate::seal::tests::note;
use crate::seal::tests::one_bit_flipped;
use crate::seal::tests::run;
use crate::seal::tests::slot;

const TEXT: &[u8] = b"forty-eight bytes of text, three blocks of AES..";

fn sealed_frame(suite: Suite) -> (SectionHeader, ClassSecret, Vec<u8>) {
    let (secret, _) = run(suite);
    let sealer =
        SectionSealer::begin(&keyring(suite), Class::Data, &secret.data, &SeededEntropy::new(8));
    let mut buffer = TEXT.to_vec();
    assert_eq!(sealer.seal(FrameKind::Frame, &mut buffer), 0);
    (sealer.header(), secret.data, buffer)
}

/// Opens the frame, and checks that a refusal leaves nothing in the buffer.
fn open(
    opener: &SectionOpener,
    kind: FrameKind,
    ordinal: u32,
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut text = b"the text of the frame before".to_vec();
    match opener.open_into(kind, ordinal, sealed, &mut text) {
        Ok(()) => Ok(text),
        Err(error) => {
            assert!(text.is_empty(), "a refused text must not be left in the buffer");
            Err(error)
        }
    }
}

#[test]
fn any_flipped_bit_in_a_frame_is_refused() {
    for suite in SUITES {
        let (header, secret, sealed) = sealed_frame(suite);
        let opener = SectionOpener::new(&keyring(suite), &header, &secret).unwrap();
        assert_eq!(open(&opener, FrameKind::Frame, 0, &sealed).unwrap(), TEXT);
        for (bit, flipped) in one_bit_flipped(&sealed) {
            let refused = open(&opener, FrameKind::Frame, 0, &flipped);
            assert_eq!(refused, Err(SealError::NotAuthentic { what: "frame" }), "bit {bit}");
        }
    }
}

#[test]
fn a_frame_of_another_length_is_refused() {
    for suite in SUITES {
        let (header, secret, sealed) = sealed_frame(suite);
        let opener = SectionOpener::new(&keyring(suite), &header, &secret).unwrap();
        for length in 0..sealed.len() {
            let refused = open(&opener, FrameKind::Frame, 0, &sealed[..length]).unwrap_err();
            let short = matches!(refused, SealError::Malformed(_));
            assert_eq!(short, length < TAG_BYTES, "{refused}");
            assert!(open(&opener, FrameKind::Frame, 0, &sealed[sealed.len() - length..]).is_err());
        }
        let longer = [&sealed[..], &[0]].concat();
        assert!(open(&opener, FrameKind::Frame, 0, &longer).is_err());
    }
}

#[test]
fn a_frame_out_of_its_place_is_refused() {
    for suite in SUITES {
        let (header, secret, sealed) = sealed_frame(suite);
        let keyring = keyring(suite);
        let opener = SectionOpener::new(&keyring, &header, &secret).unwrap();
        for (kind, ordinal) in [
            (FrameKind::Frame, 1),
            (FrameKind::Frame, 1 << 16),
            (FrameKind::Directory, 0),
            (FrameKind::Frame, SECTION_FRAMES_MAX),
        ] {
            assert!(open(&opener, kind, ordinal, &sealed).is_err(), "{kind:?} {ordinal}");
        }

        // The class is not part of the key: what binds it are the associated data.
        let other_class = SectionHeader { class: Class::Meta, ..header };
        let opener = SectionOpener::new(&keyring, &other_class, &secret).unwrap();
        assert!(open(&opener, FrameKind::Frame, 0, &sealed).is_err());

        let foreign = Keyring::new(RepositoryId::new([1; 16]), suite, &key());
        let opener = SectionOpener::new(&foreign, &header, &secret).unwrap();
        assert!(open(&opener, FrameKind::Frame, 0, &sealed).is_err());
    }
}

#[test]
fn a_section_with_another_salt_secret_or_suite_does_not_open() {
    for suite in SUITES {
        let (header, secret, _) = sealed_frame(suite);
        let keyring = keyring(suite);
        let wrong_key = SealError::WrongKey { what: "pack section" };
        for (bit, salt) in one_bit_flipped(&header.salt) {
            let header = SectionHeader { salt: salt.try_into().unwrap(), ..header };
            let refused = SectionOpener::new(&keyring, &header, &secret).unwrap_err();
            assert_eq!(refused, wrong_key, "bit {bit}");
        }
        for (bit, commitment) in one_bit_flipped(&header.commitment) {
            let header = SectionHeader { commitment: commitment.try_into().unwrap(), ..header };
            let refused = SectionOpener::new(&keyring, &header, &secret).unwrap_err();
            assert_eq!(refused, wrong_key, "bit {bit}");
        }
        let other_secret = ClassSecret::generate(&OsEntropy);
        let refused = SectionOpener::new(&keyring, &header, &other_secret).unwrap_err();
        assert_eq!(refused, wrong_key);

        let other = SUITES.into_iter().find(|other| *other != suite).unwrap();
        let header = SectionHeader { suite: other, ..header };
        let refused = SectionOpener::new(&keyring, &header, &secret).unwrap_err();
        assert!(matches!(refused, SealError::SuiteMismatch { .. }), "{refused}");
    }
}

#[test]
fn any_flipped_bit_in_an_object_is_refused() {
    for suite in SUITES {
        let keyring = keyring(suite);
        let kind = ObjectKind::Snapshot;
        let sealed = keyring.seal_object(kind, b"source", TEXT, &OsEntropy).unwrap();
        for (bit, flipped) in one_bit_flipped(&sealed) {
            assert!(keyring.open_object(kind, b"source", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keyring.open_object(kind, b"source", &sealed[..length]).is_err());
        }
        let longer = [&sealed[..], &[0]].concat();
        assert!(keyring.open_object(kind, b"source", &longer).is_err());
    }
}

#[test]
fn an_object_out_of_its_place_is_refused() {
    for suite in SUITES {
        let keyring = keyring(suite);
        let kind = ObjectKind::Intent;
        let sealed = keyring.seal_object(kind, b"here", TEXT, &OsEntropy).unwrap();
        assert_eq!(
            keyring.open_object(kind, b"there", &sealed),
            Err(SealError::NotAuthentic { what: "intent" })
        );
        assert_eq!(
            keyring.open_object(ObjectKind::Fence, b"here", &sealed),
            Err(SealError::KindMismatch { expected: "fence", found: "intent" })
        );
        let foreign = Keyring::new(RepositoryId::new([1; 16]), suite, &key());
        assert_eq!(
            foreign.open_object(kind, b"here", &sealed),
            Err(SealError::NotAuthentic { what: "intent" })
        );
        let other_key = Keyring::new(REPOSITORY, suite, &RepositoryKey::new(&[9; 32]));
        assert_eq!(
            other_key.open_object(kind, b"here", &sealed),
            Err(SealError::WrongKey { what: "intent" })
        );
    }
}

#[test]
fn a_kind_that_is_relabelled_does_not_open() {
    let keyring = keyring(Suite::Aes256GcmSiv);
    let mut sealed = keyring.seal_object(ObjectKind::Intent, b"", TEXT, &OsEntropy).unwrap();
    sealed[10] = ObjectKind::Fence.byte();
    let refused = keyring.open_object(ObjectKind::Fence, b"", &sealed);
    assert_eq!(refused, Err(SealError::WrongKey { what: "fence" }));
}

#[test]
fn encryption_can_not_be_stripped_from_an_object() {
    let open = keyring(Suite::KeyedTag);
    let sealed = open.seal_object(ObjectKind::Note, b"", TEXT, &OsEntropy).unwrap();
    let refused = keyring(Suite::Aes256GcmSiv).open_object(ObjectKind::Note, b"", &sealed);
    assert!(matches!(refused, Err(SealError::SuiteMismatch { .. })));
}

#[test]
fn any_change_of_config_is_noticed() {
    let keyring = keyring(Suite::Aes256GcmSiv);
    let tag = keyring.config_tag(TEXT).unwrap();
    keyring.check_config_tag(TEXT, &tag).unwrap();
    for (bit, flipped) in one_bit_flipped(TEXT) {
        assert!(keyring.check_config_tag(&flipped, &tag).is_err(), "bit {bit}");
    }
    for (bit, flipped) in one_bit_flipped(&tag) {
        let flipped = flipped.try_into().unwrap();
        assert!(keyring.check_config_tag(TEXT, &flipped).is_err(), "bit {bit}");
    }
    let foreign = Keyring::new(RepositoryId::new([1; 16]), Suite::Aes256GcmSiv, &key());
    assert!(foreign.check_config_tag(TEXT, &tag).is_err());
}

#[test]
fn accidental_damage_to_a_record_is_not_taken_for_a_wrong_key() {
    let run_record = run(Suite::Aes256GcmSiv).1.encode();
    let key_slot = slot().encode();
    for (bit, flipped) in one_bit_flipped(&run_record).skip(80) {
        let refused = RunRecord::decode(&flipped).unwrap_err();
        assert_eq!(refused, SealError::Damaged { what: "run record" }, "bit {bit}");
    }
    for (bit, flipped) in one_bit_flipped(&key_slot).skip(80) {
        let refused = KeySlot::decode(&flipped).unwrap_err();
        assert_eq!(refused, SealError::Damaged { what: "key slot" }, "bit {bit}");
    }
    for length in 0..run_record.len() {
        assert!(RunRecord::decode(&run_record[..length]).is_err());
    }
    for length in 0..key_slot.len() {
        assert!(KeySlot::decode(&key_slot[..length]).is_err());
    }
}

#[test]
fn a_record_over_its_limit_is_refused_unread() {
    for bytes_max in [RUN_RECORD_BYTES_MAX, KEY_SLOT_BYTES_MAX] {
        let refusal = |bytes: &[u8]| match bytes_max {
            RUN_RECORD_BYTES_MAX => RunRecord::decode(bytes).unwrap_err(),
            _ => KeySlot::decode(bytes).unwrap_err(),
        };
        let too_large = |bytes| matches!(refusal(bytes), SealError::TooLarge { .. });
        let bytes = vec![0; bytes_max + 2];
        assert!(too_large(&bytes) && too_large(&bytes[1..]));
        assert!(!too_large(&bytes[2..]) && !too_large(&bytes[3..]));
    }
}

/// Returns every version with one bit flipped and the checksum made right again.
fn forged(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    one_bit_flipped(&bytes[..bytes.len() - CHECKSUM_BYTES]).map(|(bit, mut record)| {
        checksum::append(&mut record);
        (bit, record)
    })
}

#[test]
fn a_forged_run_record_gives_no_other_secret() {
    let (secret, record) = run(Suite::Aes256GcmSiv);
    let keyring = keyring(Suite::Aes256GcmSiv);
    for (bit, bytes) in forged(&record.encode()) {
        let Ok(record) = RunRecord::decode(&bytes) else { continue };
        let mut refusals = 0;
        for class in CLASSES {
            match keyring.open_run(&record, class) {
                Ok(opened) => assert_eq!(opened.bytes(), secret.class(class).bytes()),
                Err(_) => refusals += 1,
            }
        }
        assert!(refusals > 0, "bit {bit} changed nothing");
    }
}

#[test]
fn a_copy_does_not_open_for_another_run_class_or_repository() {
    let (_, record) = run(Suite::Aes256GcmSiv);
    let own = keyring(Suite::Aes256GcmSiv);
    let not_authentic = SealError::NotAuthentic { what: "sealed run secret" };
    let data = record.copies_of(Class::Data).next().unwrap();
    let refused = own.open_any(RunId::new([0; 16]), Class::Data, [data]).unwrap_err();
    assert_eq!(refused, not_authentic);
    let refused = own.open_any(record.run(), Class::Meta, [data]).unwrap_err();
    assert_eq!(refused, not_authentic);
    let foreign = Keyring::new(RepositoryId::new([1; 16]), Suite::Aes256GcmSiv, &key());
    let refused = foreign.open_any(record.run(), Class::Data, [data]).unwrap_err();
    assert_eq!(refused, not_authentic);
    let refused = foreign.open_run(&record, Class::Data).unwrap_err();
    assert!(matches!(refused, SealError::ForeignRepository { .. }));
    let refused = own.open_any(record.run(), Class::Data, []).unwrap_err();
    assert_eq!(refused, SealError::NoCopy("data"));
}

#[test]
fn a_forged_key_slot_gives_no_key_and_no_note() {
    let keyring = keyring(Suite::Aes256GcmSiv);
    let credential = credential("correct horse");
    for (bit, bytes) in forged(&slot().encode()) {
        let Ok(forged) = KeySlot::decode(&bytes) else { continue };
        let opened = forged.open(&credential, &Limits::FOR_TESTS);
        let read = forged.note(&keyring);
        assert!(opened.is_err() || read.is_err(), "bit {bit} changed nothing");
        if let Ok(unlocked) = opened {
            assert_eq!(unlocked.key().unwrap().expose(), key().expose(), "bit {bit}");
            assert_eq!(unlocked.suite, Suite::Aes256GcmSiv, "bit {bit}");
            assert_eq!(unlocked.repository, REPOSITORY, "bit {bit}");
        }
        if let Ok(read) = read {
            assert_eq!(read, note(), "bit {bit}");
        }
    }
}
