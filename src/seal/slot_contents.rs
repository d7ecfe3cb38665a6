//! The contents of a key slot: everything, or the keys that it takes to write.
//!
//! This is the text that `key_slot` seals, for each generation of keys:
//!
//! | payload | of the first generation | of every later one | after all |
//! |---|---|---|---|
//! | 1 | the repository key (32) | its key (32), the closing (32) | |
//! | 2 | 8 keys (256) | its closing (32), 3 keys (96) | the public recovery key (1216) |
//!
//! The keys of payload 2 are those for hashes of blocks, cuts, sources, paths, snapshots, small
//! objects, meta secrets of runs and `config`; later ones are those for snapshots, small objects
//! and meta secrets of runs. The recovery key is the newest one: nothing is sealed to another.
//!
//! It does not seal and knows nothing of passphrases.

use std::fmt;

use zeroize::Zeroizing;

use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::keys::Closing;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::keys::Subkeys;
use crate::seal::keys::key_text_bytes;
use crate::seal::keys::widen;
use crate::seal::purpose::Purpose;
use crate::seal::recovery::PUBLIC_BYTES;
use crate::seal::recovery::RecoveryPublic;
use crate::seal::secret::KEY_BYTES;
use crate::seal::secret::Subkey;
use crate::seal::suite::Suite;

const PAYLOAD_REPOSITORY_KEY: u8 = 1;
const PAYLOAD_WRITE_ONLY: u8 = 2;
const FIRST_BYTES: usize = Purpose::WRITE_ONLY.len() * KEY_BYTES;
const LATER_BYTES: usize = size_of::<Closing>() + Purpose::WRITE_ONLY_LATER.len() * KEY_BYTES;

/// The rights that a key gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The owner of the key may do everything.
    Full,
    /// The owner of the key may add backups and read maps; it opens no data pack.
    WriteOnly,
}

impl Role {
    pub(super) const fn payload(self) -> u8 {
        match self {
            Self::Full => PAYLOAD_REPOSITORY_KEY,
            Self::WriteOnly => PAYLOAD_WRITE_ONLY,
        }
    }

    pub(super) fn from_payload(code: u8) -> Result<Self, SealError> {
        match code {
            PAYLOAD_REPOSITORY_KEY => Ok(Self::Full),
            PAYLOAD_WRITE_ONLY => Ok(Self::WriteOnly),
            code => Err(SealError::UnknownCode { what: "payload of a key", code }),
        }
    }

    /// Returns the number of bytes of the text of a key slot of that generation.
    pub(super) const fn text_bytes(self, generation: u8) -> usize {
        match self {
            Self::Full => key_text_bytes(generation),
            Self::WriteOnly => FIRST_BYTES + widen(generation) * LATER_BYTES + PUBLIC_BYTES,
        }
    }

    /// Returns the text to seal in a key slot.
    pub(super) fn text(self, key: &RepositoryKey) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Full => key.to_text(),
            Self::WriteOnly => {
                let mut out = Zeroizing::new(Vec::with_capacity(self.text_bytes(key.generation())));
                for purpose in Purpose::WRITE_ONLY {
                    out.extend_from_slice(key.derive_of(0, purpose).bytes());
                }
                for (number, closing) in (1..).zip(key.closings()) {
                    out.extend_from_slice(&closing);
                    for purpose in Purpose::WRITE_ONLY_LATER {
                        out.extend_from_slice(key.derive_of(number, purpose).bytes());
                    }
                }
                let seed = key.derive(Purpose::Recovery);
                out.extend_from_slice(&RecoveryPublic::of_seed(&seed).bytes());
                out
            }
        }
    }

    /// Returns the name of the role in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::WriteOnly => "write-only",
        }
    }
}

/// The secrets that a key slot has.
#[derive(Debug)]
pub enum SlotContents {
    /// The secret of the repository.
    Key(RepositoryKey),
    /// The keys that are enough to write backups.
    WriteOnly(Box<WriteOnlyKeys>),
}

impl SlotContents {
    /// Reads what [`Role::text`] gave; the caller has checked how much it is.
    pub(super) fn read(role: Role, text: Zeroizing<Vec<u8>>) -> Result<Self, SealError> {
        match role {
            Role::Full => Ok(Self::Key(RepositoryKey::from_text(&text))),
            Role::WriteOnly => Ok(Self::WriteOnly(Box::new(WriteOnlyKeys::read(text)?))),
        }
    }
}

/// The keys in the slot of a write-only key.
pub struct WriteOnlyKeys {
    text: Zeroizing<Vec<u8>>,
    recovery: RecoveryPublic,
}

impl fmt::Debug for WriteOnlyKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("WriteOnlyKeys(hidden)")
    }
}

impl WriteOnlyKeys {
    /// Reads the keys from a text of the right width.
    fn read(text: Zeroizing<Vec<u8>>) -> Result<Self, SealError> {
        let recovery = RecoveryPublic::read(&text[text.len() - PUBLIC_BYTES..])?;
        Ok(Self { text, recovery })
    }

    pub(super) fn keyring(&self, repository: RepositoryId, suite: Suite) -> Keyring {
        let keys = &self.text[..self.text.len() - PUBLIC_BYTES];
        let (first, later) = keys.split_at(FIRST_BYTES);
        let later = later.chunks_exact(LATER_BYTES).map(|own| {
            let (closing, keys) = own.split_at(size_of::<Closing>());
            let closing = *closing.as_array().expect("it was split off with its width");
            (closing, subkeys(&Purpose::WRITE_ONLY_LATER, keys))
        });
        let first = subkeys(&Purpose::WRITE_ONLY, first);
        Keyring::write_only(repository, suite, first, later.collect(), self.recovery.clone())
    }
}

fn subkeys(purposes: &[Purpose], keys: &[u8]) -> Subkeys {
    let (keys, _) = keys.as_chunks::<KEY_BYTES>();
    purposes.iter().copied().zip(keys.iter().map(Subkey::new)).collect()
}
