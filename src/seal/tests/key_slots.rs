//! Key slots: right and wrong credentials, hostile parameters, key files on paper.

use crate::base::entropy::OsEntropy;
use crate::base::entropy::SeededEntropy;
use crate::seal::checksum;
use crate::seal::checksum::CHECKSUM_BYTES;
use crate::seal::cost::KdfCost;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeyFile;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::KeySlotNote;
use crate::seal::key_slot::LABEL_BYTES_MAX;
use crate::seal::key_slot::Passphrase;
use crate::seal::key_slot::Protection;
use crate::seal::keys::Keyring;
use crate::seal::suite::Suite;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::credential;
use crate::seal::tests::key;
use crate::seal::tests::keyring;
use crate::seal::tests::note;
use crate::seal::tests::passphrase;
use crate::seal::tests::slot;

const MEMORY_AT: usize = 46;

fn ring() -> Keyring {
    keyring(Suite::Aes256GcmSiv)
}

#[test]
fn the_right_passphrase_opens_the_repository() {
    let decoded = KeySlot::decode(&slot().encode()).unwrap();
    assert_eq!(decoded, slot());
    let unlocked = decoded.open(&credential("correct horse"), &Limits::FOR_TESTS).unwrap();
    assert_eq!(unlocked.key().unwrap().expose(), key().expose());
    assert_eq!((unlocked.repository, unlocked.suite), (REPOSITORY, Suite::Aes256GcmSiv));
    assert_eq!(decoded.note(&unlocked.keyring()).unwrap(), note());
}

#[test]
fn the_default_cost_is_within_the_standard_limits() {
    for cost in [KdfCost::STANDARD, KdfCost::RECOVERY_KIT] {
        let passphrase = passphrase("correct horse");
        let protection = Protection::Passphrase(&passphrase, cost);
        let slot = KeySlot::seal(&ring(), &key(), protection, &note(), &OsEntropy).unwrap();
        let unlocked = slot.open(&credential("correct horse"), &Limits::STANDARD).unwrap();
        assert_eq!(unlocked.key().unwrap().expose(), key().expose());
    }
}

#[test]
fn a_wrong_passphrase_is_distinguished_from_everything_else() {
    let refused = slot().open(&credential("correct house"), &Limits::FOR_TESTS).unwrap_err();
    assert_eq!(refused, SealError::WrongPassphrase(slot().id()));
    let message = format!("password does not open key {}", slot().id());
    assert_eq!(refused.to_string(), message);
    let empty = Passphrase::new(Vec::new()).unwrap_err();
    assert_eq!(empty.to_string(), "password: is empty");
}

#[test]
fn a_key_file_opens_its_key_slot_and_no_other() {
    let (file, other) = (KeyFile::generate(&OsEntropy), KeyFile::generate(&OsEntropy));
    let protection = Protection::KeyFile(&file);
    let slot = KeySlot::seal(&ring(), &key(), protection, &note(), &OsEntropy).unwrap();
    let refused = slot.open(&Credential::KeyFile(other), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::WrongKeyFile(slot.id()));
    let refused = slot.open(&credential("a passphrase"), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::OtherCredential { slot: slot.id(), needs: "key file" });
    let read_again = KeyFile::from_text(&file.to_text()).unwrap();
    let unlocked = slot.open(&Credential::KeyFile(read_again), &Limits::STANDARD).unwrap();
    assert_eq!(unlocked.key().unwrap().expose(), key().expose());
}

#[test]
fn a_key_file_where_a_passphrase_is_needed_is_reported() {
    let file = Credential::KeyFile(KeyFile::generate(&OsEntropy));
    let refused = slot().open(&file, &Limits::FOR_TESTS).unwrap_err();
    assert_eq!(refused, SealError::OtherCredential { slot: slot().id(), needs: "password" });
}

#[test]
fn any_typing_error_in_a_key_file_is_noticed() {
    let text = KeyFile::generate(&SeededEntropy::new(1)).to_text();
    KeyFile::from_text(&format!("  {}\r\n", text.trim())).unwrap();
    for at in 0..text.trim().len() {
        let mut typed = text.trim().to_owned();
        let wrong = if typed.as_bytes()[at] == b'0' { "1" } else { "0" };
        typed.replace_range(at..=at, wrong);
        assert!(KeyFile::from_text(&typed).is_err(), "{typed}");
        assert!(KeyFile::from_text(&text[..at]).is_err());
    }
}

/// Returns a key slot that asks for other stretching, with a right checksum.
fn with_cost(memory_kib: u32, passes: u32, lanes: u32) -> KeySlot {
    let mut bytes = slot().encode();
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    for (at, number) in [memory_kib, passes, lanes].into_iter().enumerate() {
        bytes[MEMORY_AT + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
    }
    checksum::append(&mut bytes);
    KeySlot::decode(&bytes).unwrap()
}

#[test]
fn hostile_stretching_is_refused_before_memory_is_taken() {
    let (mib_64, gib_4) = (64 << 10, 4 << 20);
    for (memory_kib, passes, lanes) in [
        (u32::MAX, 1, 1),
        (gib_4 + 1, 3, 4),
        (mib_64 - 1, 3, 4),
        (0, 3, 4),
        (mib_64, 0, 4),
        (mib_64, 17, 4),
        (mib_64, u32::MAX, 4),
        (mib_64, 3, 0),
        (mib_64, 3, 17),
        (gib_4, 16, u32::MAX),
    ] {
        let refused = with_cost(memory_kib, passes, lanes)
            .open(&credential("correct horse"), &Limits::STANDARD)
            .unwrap_err();
        assert_eq!(refused, SealError::CostRefused(KdfCost { memory_kib, passes, lanes }));
    }
}

#[test]
fn weak_stretching_is_refused_by_the_standard_limits() {
    let refused = slot().open(&credential("correct horse"), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::CostRefused(KdfCost::FOR_TESTS));
}

#[test]
fn stretching_that_argon2_can_not_do_is_an_error() {
    let refused = with_cost(8, 1, 4).open(&credential("x"), &Limits::FOR_TESTS).unwrap_err();
    assert!(matches!(refused, SealError::CostRefused(_)), "{refused}");
}

#[test]
fn a_label_must_be_short() {
    let label = "x".repeat(LABEL_BYTES_MAX + 1);
    let long = KeySlotNote { label, created_unix_seconds: 0 };
    let file = KeyFile::generate(&OsEntropy);
    let protection = Protection::KeyFile(&file);
    let refused = KeySlot::seal(&ring(), &key(), protection, &long, &OsEntropy).unwrap_err();
    assert!(matches!(refused, SealError::TooLarge { .. }));
    let longest = KeySlotNote { label: "x".repeat(LABEL_BYTES_MAX), created_unix_seconds: 0 };
    let slot = KeySlot::seal(&ring(), &key(), protection, &longest, &OsEntropy).unwrap();
    assert_eq!(KeySlot::decode(&slot.encode()).unwrap().note(&ring()).unwrap(), longest);
}

#[test]
fn a_note_is_read_with_the_key_of_its_repository_only() {
    let foreign =
        Keyring::new(crate::seal::ids::RepositoryId::new([1; 16]), Suite::Aes256GcmSiv, &key());
    let refused = slot().note(&foreign).unwrap_err();
    assert!(matches!(refused, SealError::ForeignRepository { .. }));
    let bytes = slot().encode();
    assert!(!bytes.windows(3).any(|window| window == b"db1"), "labels are not in clear");
}
