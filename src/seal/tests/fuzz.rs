//! Bytes from anywhere: decoders answer, they never panic.
//!
//! None of the decoders allocates by a number that it read: they copy slices of the input. So what
//! they keep can't exceed what they were given.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::proptest;
use proptest::test_runner::Config;

use crate::base::ids::Class;
use crate::seal::checksum;
use crate::seal::cost::Limits;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeyFile;
use crate::seal::key_slot::KeySlot;
use crate::seal::object::ObjectKind;
use crate::seal::run::RunRecord;
use crate::seal::run::SealedCopy;
use crate::seal::section::FrameKind;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::suite::Suite;
use crate::seal::tests::RUN;
use crate::seal::tests::SUITES;
use crate::seal::tests::credential;
use crate::seal::tests::keyring;
use crate::seal::tests::run;
use crate::seal::tests::slot;

fn decode_everything(bytes: &[u8]) {
    let keyring = keyring(Suite::Aes256GcmSiv);
    for kind in ObjectKind::ALL {
        assert!(keyring.open_object(kind, b"", bytes).is_err());
    }
    if let Ok(record) = RunRecord::decode(bytes) {
        assert_eq!(record.encode(), bytes, "one record, one spelling");
        assert!(keyring.open_run(&record, Class::Meta).is_err());
    }
    if let Ok(copy) = SealedCopy::decode(&mut &bytes[..]) {
        assert!(keyring.open_any(RUN, copy.class(), [&copy]).is_err());
    }
    if let Ok(slot) = KeySlot::decode(bytes) {
        assert_eq!(slot.encode(), bytes, "one key slot, one spelling");
        assert!(slot.open(&credential("x"), &Limits::FOR_TESTS).is_err());
        assert!(slot.note(&keyring).is_err());
    }
    if let Ok(text) = str::from_utf8(bytes) {
        assert!(KeyFile::from_text(text).is_err());
    }
}

/// Keeps the first `keep` bytes of something valid, so that decoders get past the first checks.
fn graft(valid: &[u8], keep: usize, tail: &[u8]) -> Vec<u8> {
    let mut bytes = valid[..keep.min(valid.len())].to_vec();
    bytes.extend_from_slice(tail);
    checksum::append(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(Config::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in vec(any::<u8>(), 0..600)) {
        decode_everything(&bytes);
    }

    #[test]
    fn arbitrary_text_is_no_key_file(text in "(haulout-key-1:)?[0-9a-f]{0,70}:?[0-9a-f]{0,10}") {
        decode_everything(text.as_bytes());
    }

    #[test]
    fn arbitrary_frames_are_refused(bytes in vec(any::<u8>(), 0..600), ordinal in any::<u32>()) {
        for suite in SUITES {
            let (secret, _) = run(suite);
            let entropy = crate::base::entropy::SeededEntropy::new(9);
            let sealer =
                SectionSealer::begin(&keyring(suite), Class::Data, &secret.data, &entropy);
            let opener =
                SectionOpener::new(&keyring(suite), &sealer.header(), &secret.data).unwrap();
            let mut text = b"previous content".to_vec();
            assert!(opener.open_into(FrameKind::Frame, ordinal, &bytes, &mut text).is_err());
            assert!(text.is_empty());
        }
    }
}

proptest! {
    // A key slot that decodes is also opened, which costs a millisecond of stretching.
    #![proptest_config(Config::with_cases(500))]

    #[test]
    fn grafted_records_are_answered(
        keep in 10_usize..400,
        tail in vec(any::<u8>(), 0..200),
    ) {
        let object = keyring(Suite::Aes256GcmSiv)
            .seal_object(ObjectKind::Snapshot, b"x", b"text", &crate::base::entropy::OsEntropy)
            .unwrap();
        for valid in [run(Suite::Aes256GcmSiv).1.encode(), slot().encode(), object] {
            let bytes = graft(&valid, keep.min(valid.len() - 20), &tail);
            decode_quietly(&bytes);
        }
    }
}

/// Decodes like [`decode_everything`], but what is grafted may be partly authentic.
fn decode_quietly(bytes: &[u8]) {
    let keyring = keyring(Suite::Aes256GcmSiv);
    assert!(keyring.open_object(ObjectKind::Snapshot, b"x", bytes).is_err());
    if let Ok(record) = RunRecord::decode(bytes) {
        assert_eq!(record.encode(), bytes, "one record, one spelling");
        let _opened = keyring.open_run(&record, Class::Meta);
    }
    if let Ok(slot) = KeySlot::decode(bytes) {
        assert_eq!(slot.encode(), bytes, "one key slot, one spelling");
        let passphrase = credential("correct horse");
        assert!(matches!(passphrase, Credential::Passphrase(_)));
        let _opened = slot.open(&passphrase, &Limits::FOR_TESTS);
    }
}
