//! Holders: right and wrong credentials, hostile parameters, key files on paper.

use crate::base::entropy::OsEntropy;
use crate::base::entropy::SeededEntropy;
use crate::seal::checksum;
use crate::seal::checksum::CHECKSUM_BYTES;
use crate::seal::cost::Cost;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::holder::Credential;
use crate::seal::holder::Holder;
use crate::seal::holder::HolderNote;
use crate::seal::holder::KeyFile;
use crate::seal::holder::LABEL_BYTES_MAX;
use crate::seal::holder::Passphrase;
use crate::seal::holder::Protection;
use crate::seal::keys::Keyring;
use crate::seal::suite::Suite;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::credential;
use crate::seal::tests::holder;
use crate::seal::tests::key;
use crate::seal::tests::keyring;
use crate::seal::tests::note;
use crate::seal::tests::passphrase;

const MEMORY_AT: usize = 46;

fn ring() -> Keyring {
    keyring(Suite::Aes256GcmSiv)
}

#[test]
fn the_right_passphrase_opens_the_repository() {
    let decoded = Holder::decode(&holder().encode()).unwrap();
    assert_eq!(decoded, holder());
    let unlocked = decoded.open(&credential("correct horse"), &Limits::FOR_TESTS).unwrap();
    assert_eq!(unlocked.key().unwrap().expose(), key().expose());
    assert_eq!((unlocked.repository, unlocked.suite), (REPOSITORY, Suite::Aes256GcmSiv));
    assert_eq!(decoded.note(&unlocked.keyring()).unwrap(), note());
}

#[test]
fn the_default_cost_is_within_the_standard_limits() {
    for cost in [Cost::STANDARD, Cost::RECOVERY_KIT] {
        let passphrase = passphrase("correct horse");
        let protection = Protection::Passphrase(&passphrase, cost);
        let holder = Holder::seal(&ring(), &key(), protection, &note(), &OsEntropy).unwrap();
        let unlocked = holder.open(&credential("correct horse"), &Limits::STANDARD).unwrap();
        assert_eq!(unlocked.key().unwrap().expose(), key().expose());
    }
}

#[test]
fn a_wrong_passphrase_is_told_from_everything_else() {
    let refused = holder().open(&credential("correct house"), &Limits::FOR_TESTS).unwrap_err();
    assert_eq!(refused, SealError::WrongPassphrase(holder().id()));
    let message = format!("password does not open key {}", holder().id());
    assert_eq!(refused.to_string(), message);
    let empty = Passphrase::new(Vec::new()).unwrap_err();
    assert_eq!(empty.to_string(), "password: is empty");
}

#[test]
fn a_key_file_opens_its_holder_and_no_other() {
    let (file, other) = (KeyFile::generate(&OsEntropy), KeyFile::generate(&OsEntropy));
    let protection = Protection::KeyFile(&file);
    let holder = Holder::seal(&ring(), &key(), protection, &note(), &OsEntropy).unwrap();
    let refused = holder.open(&Credential::KeyFile(other), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::WrongKeyFile(holder.id()));
    let refused = holder.open(&credential("a passphrase"), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::OtherCredential { holder: holder.id(), needs: "key file" });
    let read_again = KeyFile::from_text(&file.to_text()).unwrap();
    let unlocked = holder.open(&Credential::KeyFile(read_again), &Limits::STANDARD).unwrap();
    assert_eq!(unlocked.key().unwrap().expose(), key().expose());
}

#[test]
fn a_key_file_where_a_passphrase_is_needed_is_told() {
    let file = Credential::KeyFile(KeyFile::generate(&OsEntropy));
    let refused = holder().open(&file, &Limits::FOR_TESTS).unwrap_err();
    assert_eq!(refused, SealError::OtherCredential { holder: holder().id(), needs: "password" });
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

/// Returns a holder that asks for other stretching, with a right checksum.
fn with_cost(memory_kib: u32, passes: u32, lanes: u32) -> Holder {
    let mut bytes = holder().encode();
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    for (at, number) in [memory_kib, passes, lanes].into_iter().enumerate() {
        bytes[MEMORY_AT + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
    }
    checksum::append(&mut bytes);
    Holder::decode(&bytes).unwrap()
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
        assert_eq!(refused, SealError::CostRefused(Cost { memory_kib, passes, lanes }));
    }
}

#[test]
fn weak_stretching_is_refused_by_the_standard_limits() {
    let refused = holder().open(&credential("correct horse"), &Limits::STANDARD).unwrap_err();
    assert_eq!(refused, SealError::CostRefused(Cost::FOR_TESTS));
}

#[test]
fn stretching_that_argon2_can_not_do_is_an_error() {
    let refused = with_cost(8, 1, 4).open(&credential("x"), &Limits::FOR_TESTS).unwrap_err();
    assert!(matches!(refused, SealError::CostRefused(_)), "{refused}");
}

#[test]
fn a_label_must_be_short() {
    let label = "x".repeat(LABEL_BYTES_MAX + 1);
    let long = HolderNote { label, created_unix_seconds: 0 };
    let file = KeyFile::generate(&OsEntropy);
    let protection = Protection::KeyFile(&file);
    let refused = Holder::seal(&ring(), &key(), protection, &long, &OsEntropy).unwrap_err();
    assert!(matches!(refused, SealError::TooLarge { .. }));
    let longest = HolderNote { label: "x".repeat(LABEL_BYTES_MAX), created_unix_seconds: 0 };
    let holder = Holder::seal(&ring(), &key(), protection, &longest, &OsEntropy).unwrap();
    assert_eq!(Holder::decode(&holder.encode()).unwrap().note(&ring()).unwrap(), longest);
}

#[test]
fn a_note_is_read_with_the_key_of_its_repository_only() {
    let foreign =
        Keyring::new(crate::seal::ids::RepositoryId::new([1; 16]), Suite::Aes256GcmSiv, &key());
    let refused = holder().note(&foreign).unwrap_err();
    assert!(matches!(refused, SealError::ForeignRepository { .. }));
    let bytes = holder().encode();
    assert!(!bytes.windows(3).any(|window| window == b"db1"), "labels are not in clear");
}
