//! Any bytes as a key slot, a run record, a key file, a sealed object or a frame: never opened
//! unless they are what was sealed.

#![no_main]

use std::sync::LazyLock;

use haulout::base::entropy::SeededEntropy;
use haulout::base::ids::Class;
use haulout::seal::cost::Limits;
use haulout::seal::ids::RepositoryId;
use haulout::seal::ids::RunId;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlot;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Protection;
use haulout::seal::keys::Keyring;
use haulout::seal::keys::RepositoryKey;
use haulout::seal::object::ObjectKind;
use haulout::seal::recovery_kit::RecoveryKit;
use haulout::seal::run::RunRecord;
use haulout::seal::run::RunSecret;
use haulout::seal::run::SealedCopy;
use haulout::seal::section::FrameKind;
use haulout::seal::section::SectionOpener;
use haulout::seal::section::SectionSealer;
use haulout::seal::suite::Suite;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use libfuzzer_sys::fuzz_target;

struct Valid {
    keyring: Keyring,
    credential: Credential,
    slot: Vec<u8>,
    run: Vec<u8>,
    object: Vec<u8>,
    frame: Vec<u8>,
    opener: SectionOpener,
}

static VALID: LazyLock<[Valid; 2]> =
    LazyLock::new(|| [Suite::KeyedTag, Suite::Aes256GcmSiv].map(valid));

fn valid(suite: Suite) -> Valid {
    let entropy = SeededEntropy::new(5);
    let key = RepositoryKey::new(&[6; 32]);
    let keyring = Keyring::new(RepositoryId::new([7; 16]), suite, &key);
    let file = KeyFile::generate(&entropy);
    let note = KeySlotNote { label: "host".to_owned(), created_unix_seconds: 1 };
    let slot = KeySlot::seal(&keyring, &key, Protection::KeyFile(&file), &note, &entropy)
        .expect("a key slot can be sealed");
    let secret = RunSecret::generate(&entropy);
    let run = keyring.seal_run(RunId::new([8; 16]), &secret, &entropy).expect("a run can");
    let object = keyring.seal_object(ObjectKind::Snapshot, b"x", b"text", &entropy);
    let sealer = SectionSealer::begin(&keyring, Class::Data, &secret.data, &entropy);
    let mut frame = b"a frame".to_vec();
    sealer.seal(FrameKind::Frame, &mut frame);
    let opener = SectionOpener::new(&keyring, &sealer.header(), &secret.data);
    Valid {
        credential: Credential::KeyFile(file),
        slot: slot.encode(),
        run: run.encode(),
        object: object.expect("an object can be sealed"),
        frame,
        opener: opener.expect("the section is ours"),
        keyring,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    let valid = &VALID[usize::from(mode % 2)];
    let bytes = match mode / 2 % 6 {
        0 => input.rest().to_vec(),
        1 => mended(graft(&valid.slot, &mut input)),
        2 => mended(graft(&valid.run, &mut input)),
        3 => graft(&valid.object, &mut input),
        4 => graft(&valid.frame, &mut input),
        _ => [b"haulout-key-1:", input.rest()].concat(),
    };
    open_all(valid, &bytes);
});

/// Gives a record the checksum that it ends in.
fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = bytes.len().checked_sub(16) {
        let sum = blake3::hash(&bytes[..at]);
        bytes[at..].copy_from_slice(&sum.as_bytes()[..16]);
    }
    bytes
}

fn open_all(valid: &Valid, bytes: &[u8]) {
    if let Ok(slot) = KeySlot::decode(bytes) {
        assert_eq!(slot.encode(), bytes, "one key slot, one spelling");
        // Not with a passphrase: a key slot may ask for as much stretching as is allowed.
        let _unlocked = slot.open(&valid.credential, &Limits::STANDARD);
        let _note = slot.note(&valid.keyring);
    }
    if let Ok(record) = RunRecord::decode(bytes) {
        assert_eq!(record.encode(), bytes, "one record, one spelling");
        let _secrets =
            [Class::Data, Class::Meta].map(|class| valid.keyring.open_run(&record, class));
    }
    if let Ok(copy) = SealedCopy::decode(&mut &bytes[..]) {
        assert!(valid.keyring.open_any(RunId::new([9; 16]), copy.class(), [&copy]).is_err());
    }
    for kind in ObjectKind::ALL {
        let is_ours = kind == ObjectKind::Snapshot && bytes == valid.object;
        assert_eq!(valid.keyring.open_object(kind, b"x", bytes).is_ok(), is_ours);
        assert!(valid.keyring.open_tagged(kind, b"x", bytes).is_err(), "it is too short for a tag");
    }
    for ordinal in [0, 1, u32::MAX] {
        let mut text = b"former".to_vec();
        let opened = valid.opener.open_into(FrameKind::Frame, ordinal, bytes, &mut text);
        assert_eq!(opened.is_ok(), ordinal == 0 && bytes == valid.frame);
        assert!(opened.is_ok() || text.is_empty(), "what fails to open yields no text");
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _file = KeyFile::from_text(text);
        let _kit = RecoveryKit::from_text(text);
    }
}
