//! Tests of the whole module, by theme.

mod fuzz;
mod golden;
mod key_slots;
mod prune_tags;
mod recovery_kits;
mod sections;
mod tampering;
mod vectors;
mod wiping;

use crate::base::entropy::SeededEntropy;
use crate::base::ids::Class;
use crate::seal::cost::KdfCost;
use crate::seal::ids::RepositoryId;
use crate::seal::ids::RunId;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::KeySlotNote;
use crate::seal::key_slot::Passphrase;
use crate::seal::key_slot::Protection;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::run::RunRecord;
use crate::seal::run::RunSecret;
use crate::seal::suite::Suite;

const SUITES: [Suite; 2] = [Suite::KeyedTag, Suite::Aes256GcmSiv];
const CLASSES: [Class; 2] = [Class::Data, Class::Meta];
const REPOSITORY: RepositoryId = RepositoryId::new([0xa5; 16]);
const RUN: RunId = RunId::new([0x3c; 16]);

fn key() -> RepositoryKey {
    RepositoryKey::new(&std::array::from_fn(|at| u8::try_from(at).unwrap()))
}

fn keyring(suite: Suite) -> Keyring {
    Keyring::new(REPOSITORY, suite, &key())
}

fn run(suite: Suite) -> (RunSecret, RunRecord) {
    let entropy = SeededEntropy::new(2);
    let secret = RunSecret::generate(&entropy);
    let record = keyring(suite).seal_run(RUN, &secret, &entropy).unwrap();
    (secret, record)
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.as_bytes().to_vec()).unwrap()
}

fn credential(text: &str) -> Credential {
    Credential::Passphrase(passphrase(text))
}

fn note() -> KeySlotNote {
    KeySlotNote { label: "db1".into(), created_unix_seconds: 1_767_225_600 }
}

fn slot() -> KeySlot {
    let suite = Suite::Aes256GcmSiv;
    let passphrase = passphrase("correct horse");
    let protection = Protection::Passphrase(&passphrase, KdfCost::FOR_TESTS);
    let entropy = SeededEntropy::new(3);
    KeySlot::seal(&keyring(suite), &key(), protection, &note(), &entropy).unwrap()
}

/// Returns every version of `bytes` that differs in one bit.
fn one_bit_flipped(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}
