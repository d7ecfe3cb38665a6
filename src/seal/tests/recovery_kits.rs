//! Recovery kits: printed, typed with errors, opened.

use proptest::prelude::any;
use proptest::proptest;

use crate::base::entropy::OsEntropy;
use crate::base::entropy::SeededEntropy;
use crate::seal::cost::KdfCost;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::key_slot::Unlocked;
use crate::seal::recovery_kit::RecoveryKit;
use crate::seal::slot_contents::SlotContents;
use crate::seal::suite::Suite;
use crate::seal::tests::REPOSITORY;
use crate::seal::tests::credential;
use crate::seal::tests::key;
use crate::seal::tests::note;
use crate::seal::tests::passphrase;

fn unlocked() -> Unlocked {
    Unlocked {
        contents: SlotContents::Key(key()),
        repository: REPOSITORY,
        suite: Suite::Aes256GcmSiv,
        slot: None,
    }
}

fn sealed() -> RecoveryKit {
    let (passphrase, entropy) = (passphrase("correct horse"), SeededEntropy::new(4));
    RecoveryKit::sealed(&unlocked(), &passphrase, KdfCost::FOR_TESTS, &note(), &entropy).unwrap()
}

fn numbered(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn a_kit_without_a_password_carries_every_generation() {
    let key = key().rotated([1; 32], &OsEntropy).rotated([2; 32], &OsEntropy);
    let unlocked = Unlocked {
        contents: SlotContents::Key(key.duplicate()),
        repository: REPOSITORY,
        suite: Suite::Aes256GcmSiv,
        slot: None,
    };
    let text = RecoveryKit::in_clear(&unlocked).unwrap().to_text("");
    let opened = RecoveryKit::from_text(&text).unwrap().open(None, &Limits::STANDARD).unwrap();
    assert!(opened.key().unwrap().is_same(&key));
    assert!(!opened.key().unwrap().is_same(&key.rotated([3; 32], &OsEntropy)));
}

#[test]
fn a_kit_is_typed_with_or_without_spaces() {
    let text = sealed().to_text("made on 2026-11-29\n");
    let lines = || numbered(&text).into_iter();
    let dense: String = lines().map(|line| line.replace(' ', "") + "\n").collect();
    let shouted: String = lines().map(|line| line.replace(' ', "").to_uppercase() + "\n").collect();
    let tabs: String = lines().map(|line| line.replace(' ', "\t") + "\n").collect();
    for typed in [dense, shouted, tabs] {
        let kit = RecoveryKit::from_text(&typed).unwrap();
        assert_eq!(kit.repository(), REPOSITORY, "{typed}");
    }
    // A mistake is named by its line all the same.
    let mut wrong: Vec<String> = lines().map(|line| line.replace(' ', "")).collect();
    let last = if wrong[1].ends_with('0') { "1" } else { "0" };
    let end = wrong[1].len() - 1;
    wrong[1].replace_range(end.., last);
    let error = RecoveryKit::from_text(&wrong.join("\n")).unwrap_err();
    assert!(matches!(error, SealError::KitLine { line: 2, .. }), "{error:?}");
}

#[test]
fn a_kit_with_a_password_opens_with_it_and_with_no_other() {
    let text = sealed().to_text("keep this safe\n");
    assert!(text.starts_with("haulout recovery kit\n\nkeep this safe\n\n01  "), "{}", *text);
    let kit = RecoveryKit::from_text(&text).unwrap();
    assert!(kit.needs_passphrase());
    assert_eq!(kit.repository(), REPOSITORY);
    let opened = kit.open(Some(&credential("correct horse")), &Limits::FOR_TESTS).unwrap();
    assert_eq!(opened.key().unwrap().expose(), key().expose());
    assert_eq!((opened.repository, opened.suite), (REPOSITORY, Suite::Aes256GcmSiv));
    kit.open(Some(&credential("correct house")), &Limits::FOR_TESTS).unwrap_err();
    kit.open(None, &Limits::FOR_TESTS).unwrap_err();
}

#[test]
fn a_kit_in_clear_is_short_and_opens_by_itself() {
    let text = RecoveryKit::in_clear(&unlocked()).unwrap().to_text("");
    assert_eq!(numbered(&text).len(), 4, "{}", *text);
    let kit = RecoveryKit::from_text(&text).unwrap();
    assert!(!kit.needs_passphrase());
    assert_eq!(kit.open(None, &Limits::STANDARD).unwrap().key().unwrap().expose(), key().expose());
}

#[test]
fn capitals_missing_spaces_and_letters_that_look_like_digits_are_understood() {
    let text = RecoveryKit::in_clear(&unlocked()).unwrap().to_text("");
    let typed: Vec<String> = numbered(&text)
        .iter()
        .map(|line| {
            let (number, rest) = line.split_at(2);
            let rest = rest.replace(' ', "").replace('0', "O").replace('1', "l");
            format!("  {number} {}", rest.to_uppercase().replace('L', "l"))
        })
        .collect();
    let kit = RecoveryKit::from_text(&typed.join("\r\n")).unwrap();
    assert_eq!(kit.open(None, &Limits::STANDARD).unwrap().key().unwrap().expose(), key().expose());
}

#[test]
fn a_typing_error_is_found_in_its_line() {
    let text = sealed().to_text("");
    let lines = numbered(&text);
    assert!(lines.len() > 9, "{}", lines.len());
    for at in 0..lines.len() {
        let mut typed: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let wrong = if &typed[at][4..5] == "a" { "b" } else { "a" };
        typed[at].replace_range(4..5, wrong);
        let line = u8::try_from(at + 1).unwrap();
        let refused = RecoveryKit::from_text(&typed.join("\n")).unwrap_err();
        let why = "does not match its checksum";
        assert_eq!(refused, SealError::KitLine { line, why });
        typed[at] = typed[at].replace(wrong, "u");
        assert!(RecoveryKit::from_text(&typed.join("\n")).is_err());
        typed.remove(at);
        let refused = RecoveryKit::from_text(&typed.join("\n")).unwrap_err();
        if at + 1 < lines.len() {
            assert_eq!(refused, SealError::KitLine { line, why: "is missing" });
        } else {
            assert_eq!(refused, SealError::Damaged { what: "recovery kit" });
        }
    }
    let twice = [lines[0], lines[0]].join("\n");
    let refused = RecoveryKit::from_text(&twice).unwrap_err();
    assert_eq!(refused, SealError::KitLine { line: 1, why: "stands there twice" });
    assert!(RecoveryKit::from_text("haulout recovery kit\n").is_err());
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_kit(
        text in any::<String>(),
        lines in "([0-9]{2} [0-9a-z ]{0,40}=[0-9a-z]{4}\n){0,5}",
    ) {
        assert!(RecoveryKit::from_text(&text).is_err());
        assert!(RecoveryKit::from_text(&lines).is_err());
    }
}
