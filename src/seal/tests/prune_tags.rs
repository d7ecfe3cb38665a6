//! Tags of fences and removals: made and checked with a full key only.

use crate::base::entropy::OsEntropy;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeyFile;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::Protection;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::object::ObjectKind;
use crate::seal::prune_tag::PRUNE_TAG_BYTES;
use crate::seal::prune_tag::TagCheck;
use crate::seal::suite::Suite;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::SUITES;
use crate::seal::tests::key;
use crate::seal::tests::keyring;
use crate::seal::tests::note;

const KIND: ObjectKind = ObjectKind::Fence;
const TEXT: &[u8] = b"runs that shall stop";

/// The keys that a write-only key slot has.
fn write_only(key: &RepositoryKey) -> Keyring {
    let file = KeyFile::generate(&OsEntropy);
    let full = Keyring::new(REPOSITORY, Suite::Aes256GcmSiv, key);
    let protection = Protection::KeyFile(&file);
    let slot = KeySlot::seal_write_only(&full, key, protection, &note(), &OsEntropy).unwrap();
    slot.open(&Credential::KeyFile(file), &Limits::FOR_TESTS).unwrap().keyring()
}

#[test]
fn a_tagged_text_comes_back_and_a_tag_of_another_place_or_kind_is_wrong() {
    for suite in SUITES {
        let keyring = keyring(suite);
        let sealed = keyring.seal_tagged(KIND, b"1", TEXT, &OsEntropy).unwrap();
        let opened = keyring.open_tagged(KIND, b"1", &sealed).unwrap();
        assert_eq!((&opened.text[..], opened.check), (TEXT, TagCheck::Right));
        let tag = |kind, context: &[u8], text: &[u8]| keyring.prune_tag(kind, context, text);
        let tag = |kind, context: &[u8], text: &[u8]| tag(kind, context, text).unwrap();
        for wrong in [
            tag(ObjectKind::Removed, b"1", TEXT),
            tag(KIND, b"2", TEXT),
            tag(KIND, b"1", b"other runs"),
            [0; PRUNE_TAG_BYTES],
        ] {
            let text = [TEXT, &wrong].concat();
            let sealed = keyring.seal_object(KIND, b"1", &text, &OsEntropy).unwrap();
            let opened = keyring.open_tagged(KIND, b"1", &sealed).unwrap();
            assert_eq!(opened.check, TagCheck::Wrong);
        }
    }
}

#[test]
fn a_text_that_is_shorter_than_a_tag_is_refused() {
    let keyring = keyring(Suite::Aes256GcmSiv);
    let short = [0; PRUNE_TAG_BYTES - 1];
    let sealed = keyring.seal_object(KIND, b"1", &short, &OsEntropy).unwrap();
    let refused = keyring.open_tagged(KIND, b"1", &sealed).unwrap_err();
    assert!(matches!(refused, SealError::Malformed(_)), "{refused}");
}

#[test]
fn a_write_only_key_reads_tagged_texts_and_neither_makes_nor_checks_a_tag() {
    let (full, other) = (keyring(Suite::Aes256GcmSiv), write_only(&key()));
    assert_eq!(other.prune_tag(KIND, b"1", TEXT), None);
    let refused = other.seal_tagged(KIND, b"1", TEXT, &OsEntropy).unwrap_err();
    assert!(matches!(refused, SealError::KeyNotInSlot(_)), "{refused}");
    let sealed = full.seal_tagged(KIND, b"1", TEXT, &OsEntropy).unwrap();
    let opened = other.open_tagged(KIND, b"1", &sealed).unwrap();
    assert_eq!((&opened.text[..], opened.check), (TEXT, TagCheck::Unknown));
    // What it seals with a tag that it made up is found out.
    let text = [TEXT, &[7; PRUNE_TAG_BYTES]].concat();
    let forged = other.seal_object(KIND, b"1", &text, &OsEntropy).unwrap();
    assert_eq!(full.open_tagged(KIND, b"1", &forged).unwrap().check, TagCheck::Wrong);
}

#[test]
fn a_tag_is_checked_under_the_key_of_the_generation_that_sealed_it() {
    let next = key().rotated([1; 32], &OsEntropy);
    let (old, new) =
        (keyring(Suite::Aes256GcmSiv), Keyring::new(REPOSITORY, Suite::Aes256GcmSiv, &next));
    let of_old = old.seal_tagged(KIND, b"1", TEXT, &OsEntropy).unwrap();
    let opened = new.open_tagged(KIND, b"1", &of_old).unwrap();
    assert_eq!((opened.generation, opened.check), (0, TagCheck::Right));
    let of_new = new.seal_tagged(KIND, b"1", TEXT, &OsEntropy).unwrap();
    let opened = new.open_tagged(KIND, b"1", &of_new).unwrap();
    assert_eq!((opened.generation, opened.check), (1, TagCheck::Right));
    assert_ne!(old.prune_tag(KIND, b"1", TEXT), new.prune_tag(KIND, b"1", TEXT));
}
