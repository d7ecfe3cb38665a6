//! Bytes that must never change: repositories out there are read by them.
//!
//! `golden.txt` has a line for each thing: its name and its bytes. A changed line is a changed
//! format. Every line is also opened again from the file alone, as an old repository would be.

use crate::base::entropy::SeededEntropy;
use crate::base::hex;
use crate::base::ids::Class;
use crate::seal::cost::Limits;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KEY_FILE_CONTEXT;
use crate::seal::key_slot::KEY_SLOT_CONTEXT;
use crate::seal::key_slot::KeyFile;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::Protection;
use crate::seal::keys::Keyring;
use crate::seal::object::OBJECT_CONTEXT;
use crate::seal::object::ObjectKind;
use crate::seal::purpose::Purpose;
use crate::seal::recovery_kit::LINE_CONTEXT;
use crate::seal::run::RunRecord;
use crate::seal::section::FrameKind;
use crate::seal::section::SECTION_CONTEXT;
use crate::seal::section::SectionHeader;
use crate::seal::section::SectionOpener;
use crate::seal::section::SectionSealer;
use crate::seal::slot_contents::Role;
use crate::seal::suite::Suite;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::SUITES;
use crate::seal::tests::credential;
use crate::seal::tests::key;
use crate::seal::tests::keyring;
use crate::seal::tests::note;
use crate::seal::tests::run;
use crate::seal::tests::slot;

const GOLDEN: &str = include_str!("golden.txt");

/// Compares with the line of that name.
#[track_caller]
fn check(name: &str, bytes: &[u8]) {
    let line = format!("{name} {}", hex::encode(bytes));
    assert!(GOLDEN.lines().any(|golden| golden == line), "golden.txt lacks this line:\n{line}");
}

/// Returns the bytes of a line.
fn stored(name: &str) -> Vec<u8> {
    let mut lines = GOLDEN.lines().filter_map(|line| line.split_once(' '));
    let (_, digits) = lines.find(|(own, _)| *own == name).expect("golden.txt has the line");
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| hex::decode::<1>(pair).unwrap()[0]).collect()
}

#[test]
fn derived_keys_stay() {
    for purpose in Purpose::ALL {
        let name = format!("{purpose:?}");
        check(&name, key().derive(purpose).bytes());
    }
    check("config-tag", &keyring(Suite::Aes256GcmSiv).config_tag(b"config").unwrap());
    let tag = keyring(Suite::Aes256GcmSiv).prune_tag(ObjectKind::Fence, b"context", b"a text");
    check("prune-tag", &tag.unwrap());
}

#[test]
fn every_context_is_in_the_table_and_used_once() {
    let purposes = Purpose::ALL.map(Purpose::context);
    let others =
        [SECTION_CONTEXT, OBJECT_CONTEXT, KEY_SLOT_CONTEXT, KEY_FILE_CONTEXT, LINE_CONTEXT];
    let mut contexts = [&purposes[..], &others].concat();
    for context in &contexts {
        let row = format!("//! | `{context}` |");
        assert_eq!(include_str!("../mod.rs").matches(&row).count(), 1, "{row}");
    }
    assert_eq!(include_str!("../mod.rs").matches("//! | `haulout").count(), contexts.len());
    contexts.sort_unstable();
    contexts.dedup();
    assert_eq!(contexts.len(), Purpose::ALL.len() + others.len());
}

#[test]
fn run_records_stay() {
    let (secret, record) = run(Suite::Aes256GcmSiv);
    check("run-record", &record.encode());
    let old = RunRecord::decode(&stored("run-record")).unwrap();
    let opened = keyring(Suite::Aes256GcmSiv).open_run(&old, Class::Meta).unwrap();
    assert_eq!(opened.bytes(), secret.meta.bytes());
}

#[test]
fn frames_stay() {
    for suite in SUITES {
        let (secret, _) = run(suite);
        let (keyring, entropy) = (keyring(suite), SeededEntropy::new(4));
        let sealer = SectionSealer::begin(&keyring, Class::Data, &secret.data, &entropy);
        let SectionHeader { salt, commitment, .. } = sealer.header();
        check(&format!("section-{}", suite.byte()), &[salt, commitment].concat());
        let (mut first, mut second) = (b"a frame".to_vec(), b"a directory".to_vec());
        sealer.seal(FrameKind::Frame, &mut first);
        sealer.seal(FrameKind::Directory, &mut second);
        check(&format!("frame-{}", suite.byte()), &first);
        check(&format!("directory-{}", suite.byte()), &second);
        let opener = SectionOpener::new(&keyring, &sealer.header(), &secret.data).unwrap();
        let mut text = Vec::new();
        let old = stored(&format!("directory-{}", suite.byte()));
        opener.open_into(FrameKind::Directory, 1, &old, &mut text).unwrap();
        assert_eq!(text, b"a directory");
    }
}

#[test]
fn sealed_objects_stay() {
    for suite in SUITES {
        let (keyring, entropy) = (keyring(suite), SeededEntropy::new(5));
        for kind in [ObjectKind::Snapshot, ObjectKind::Damage] {
            let name = format!("{}-{}", kind.name(), suite.byte());
            let sealed = keyring.seal_object(kind, b"context", b"a text", &entropy).unwrap();
            check(&name, &sealed);
            let text = keyring.open_object(kind, b"context", &stored(&name)).unwrap();
            assert_eq!(*text, b"a text");
        }
    }
}

#[test]
fn key_slots_stay() {
    check("holder-passphrase", &slot().encode());
    let keyring = keyring(Suite::Aes256GcmSiv);
    let file = KeyFile::generate(&SeededEntropy::new(6));
    let entropy = SeededEntropy::new(7);
    let protection = Protection::KeyFile(&file);
    let other = KeySlot::seal(&keyring, &key(), protection, &note(), &entropy).unwrap();
    check("holder-key-file", &other.encode());
    check("key-file", file.to_text().as_bytes());
    for (name, credential) in [
        ("holder-passphrase", credential("correct horse")),
        ("holder-key-file", Credential::KeyFile(file)),
    ] {
        let old = KeySlot::decode(&stored(name)).unwrap();
        let unlocked = old.open(&credential, &Limits::FOR_TESTS).unwrap();
        assert_eq!(unlocked.key().unwrap().expose(), key().expose());
        assert_eq!(old.note(&keyring).unwrap(), note());
    }
}

#[test]
fn key_slots_that_may_only_write_and_later_generations_stay() {
    let suite = Suite::Aes256GcmSiv;
    let file = || KeyFile::generate(&SeededEntropy::new(6));
    let first = key();
    let third = first.rotated([1; 32], &SeededEntropy::new(8));
    let third = third.rotated([2; 32], &SeededEntropy::new(9));
    for (name, key, role) in [
        ("holder-write-only", &first, Role::WriteOnly),
        ("holder-generation-2", &third, Role::Full),
        ("holder-write-only-generation-2", &third, Role::WriteOnly),
    ] {
        let (keyring, entropy) = (Keyring::new(REPOSITORY, suite, key), SeededEntropy::new(7));
        let (file, protection) = (file(), &file());
        let protection = Protection::KeyFile(protection);
        let made = match role {
            Role::Full => KeySlot::seal(&keyring, key, protection, &note(), &entropy),
            Role::WriteOnly => {
                KeySlot::seal_write_only(&keyring, key, protection, &note(), &entropy)
            }
        };
        check(name, &made.unwrap().encode());
        let old = KeySlot::decode(&stored(name)).unwrap();
        assert_eq!(old.generation(), key.generation());
        let unlocked = old.open(&Credential::KeyFile(file), &Limits::FOR_TESTS).unwrap();
        let opened = unlocked.keyring();
        assert_eq!(opened.closings(), key.closings());
        for purpose in Purpose::ALL {
            let kept = role == Role::Full || Purpose::WRITE_ONLY.contains(&purpose);
            assert_eq!(opened.subkey(purpose).is_ok(), kept, "{name}: {purpose}");
            let every = |keyring: &Keyring| -> Vec<(u8, [u8; 32])> {
                let keys = keyring.every(purpose).unwrap();
                keys.into_iter().map(|(number, key)| (number, *key.bytes())).collect()
            };
            assert!(!kept || every(&opened) == every(&keyring), "{name}: {purpose}");
        }
    }
}
