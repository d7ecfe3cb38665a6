//! The repository key, and everything that derives from it.
//!
//! One random secret opens a repository. It is never used itself: for each purpose a key is derived
//! from it with BLAKE3's `derive_key` and a context string of its own (the table is in the story of
//! this module), so what leaks from one use says nothing about another, and a holder can be given
//! some of the keys without the rest.
//!
//! A [`Keyring`] is what the rest of the program works with: which repository, which suite, and the
//! derived keys that its holder has. A full holder has all of them; a write-only holder has no key
//! that opens data packs of earlier runs, and the public half of the key that does.
//!
//! Invariants:
//! - Secret bytes live on the heap in one place, are wiped when dropped, and `Debug` hides them.
//! - Comparing a commitment or a tag takes the same time whatever differs.
//!
//! It does not read or write objects and asks nobody for passphrases: see `holder`.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroize;

use crate::base::entropy::Entropy;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::recovery::RecoveryPublic;
use crate::seal::suite::AeadKey;
use crate::seal::suite::Suite;

/// Width of every key.
pub const KEY_BYTES: usize = 32;

/// Width of the salts that keys derive from.
pub const SALT_BYTES: usize = 32;

/// Width of a key commitment.
pub const COMMITMENT_BYTES: usize = 32;

/// Width of the tag of `config`.
pub const CONFIG_TAG_BYTES: usize = 32;

/// A random public value that makes a derived key new.
pub type Salt = [u8; SALT_BYTES];

/// A public value that only one key can have been derived together with.
///
/// The ciphers alone would let someone craft a text that opens under two keys.
pub type Commitment = [u8; COMMITMENT_BYTES];

/// 32 bytes that are wiped when dropped and never printed.
pub(super) struct Secret(Box<[u8; KEY_BYTES]>);

impl Secret {
    /// Lets `fill` write the bytes where they stay, so that no copy is left on the stack.
    pub(super) fn build(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> Self {
        let mut secret = Self(Box::new([0; KEY_BYTES]));
        fill(&mut secret.0);
        secret
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(hidden)")
    }
}

/// What a key of the repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Hashes of blocks.
    BlockHash,
    /// Where content-defined blocks begin.
    Cut,
    /// Names of sources in object names.
    Source,
    /// Hashes of paths.
    Path,
    /// Snapshot objects.
    Snapshot,
    /// All other small objects.
    SmallObject,
    /// Wraps the secrets of runs for meta packs.
    RunMeta,
    /// Wraps the secrets of runs for data packs.
    RunData,
    /// The tag of `config`.
    Config,
    /// The seed of the key pair that write-only holders seal to.
    Recovery,
}

impl Purpose {
    /// Every purpose, in the order of the enum.
    pub const ALL: [Self; 10] = [
        Self::BlockHash,
        Self::Cut,
        Self::Source,
        Self::Path,
        Self::Snapshot,
        Self::SmallObject,
        Self::RunMeta,
        Self::RunData,
        Self::Config,
        Self::Recovery,
    ];

    /// What a write-only holder has, in the order in which it is stored: no key that opens a data
    /// pack.
    pub(super) const WRITE_ONLY: [Self; 8] = [
        Self::BlockHash,
        Self::Cut,
        Self::Source,
        Self::Path,
        Self::Snapshot,
        Self::SmallObject,
        Self::RunMeta,
        Self::Config,
    ];

    /// The context string that its key derives with.
    pub const fn context(self) -> &'static str {
        match self {
            Self::BlockHash => "haulout 1 2026 block hash key",
            Self::Cut => "haulout 1 2026 cut key",
            Self::Source => "haulout 1 2026 source key",
            Self::Path => "haulout 1 2026 path key",
            Self::Snapshot => "haulout 1 2026 snapshot key",
            Self::SmallObject => "haulout 1 2026 small object key",
            Self::RunMeta => "haulout 1 2026 run meta wrap key",
            Self::RunData => "haulout 1 2026 run data wrap key",
            Self::Config => "haulout 1 2026 config key",
            Self::Recovery => "haulout 1 2026 recovery key",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BlockHash => "block hash key",
            Self::Cut => "cut key",
            Self::Source => "source key",
            Self::Path => "path key",
            Self::Snapshot => "snapshot key",
            Self::SmallObject => "small object key",
            Self::RunMeta => "key to meta packs",
            Self::RunData => "key to data packs",
            Self::Config => "config key",
            Self::Recovery => "recovery key",
        })
    }
}

/// The secret that opens a repository.
#[derive(Debug)]
pub struct RepositoryKey(Secret);

impl RepositoryKey {
    /// Draws a new one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::build(|bytes| entropy.fill(bytes)))
    }

    /// Takes bytes that were read: from `config` of an unencrypted repository, or from a holder.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Secret::build(|own| own.copy_from_slice(bytes)))
    }

    /// Shows the bytes. Only an unencrypted repository writes them anywhere: into `config`.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }

    /// Derives the key for `purpose`.
    pub fn derive(&self, purpose: Purpose) -> Subkey {
        Subkey(derive_secret(purpose.context(), &[self.0.bytes()]))
    }
}

/// A key derived for one [`Purpose`].
#[derive(Debug)]
pub struct Subkey(Secret);

impl Subkey {
    /// Takes bytes that were read.
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Secret::build(|own| own.copy_from_slice(bytes)))
    }

    /// Shows the bytes to the code that hashes or cuts with them.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }
}

/// An open repository's keys, as far as the holder has them.
#[derive(Debug)]
pub struct Keyring {
    repository: RepositoryId,
    suite: Suite,
    subkeys: Vec<(Purpose, Subkey)>,
    /// What a write-only holder seals the secrets of data packs to.
    recovery: Option<RecoveryPublic>,
}

impl Keyring {
    /// Derives everything that a full holder has.
    pub fn new(repository: RepositoryId, suite: Suite, key: &RepositoryKey) -> Self {
        let subkeys = Purpose::ALL.map(|purpose| (purpose, key.derive(purpose))).into();
        Self { repository, suite, subkeys, recovery: None }
    }

    /// What a write-only holder has: some keys, and the public half of the recovery key.
    pub(super) fn write_only(
        repository: RepositoryId,
        suite: Suite,
        subkeys: Vec<(Purpose, Subkey)>,
        recovery: RecoveryPublic,
    ) -> Self {
        Self { repository, suite, subkeys, recovery: Some(recovery) }
    }

    /// Whether the holder can open data packs, or only write them.
    pub fn opens_data(&self) -> bool {
        self.subkey(Purpose::RunData).is_ok()
    }

    pub(super) fn recovery(&self) -> Option<&RecoveryPublic> {
        self.recovery.as_ref()
    }

    /// The repository that these keys open.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// How this repository seals.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Gives the key for `purpose`, if the holder has it.
    pub fn subkey(&self, purpose: Purpose) -> Result<&Subkey, SealError> {
        let mut held = self.subkeys.iter();
        match held.find(|(own, _)| *own == purpose) {
            Some((_, subkey)) => Ok(subkey),
            None => Err(SealError::KeyNotHeld(purpose)),
        }
    }

    /// Gives a tag that binds `config` to the repository key.
    ///
    /// `config` is read before there is a key, so it can't be sealed. Its tag keeps a store from
    /// changing the suite or the cut parameters under a client that has the key.
    pub fn config_tag(&self, config: &[u8]) -> Result<[u8; CONFIG_TAG_BYTES], SealError> {
        let key = self.subkey(Purpose::Config)?;
        let mut hasher = blake3::Hasher::new_keyed(key.bytes());
        hasher.update(self.repository.bytes()).update(config);
        let tag = hasher.finalize();
        hasher.zeroize();
        Ok(tag.into())
    }

    /// Checks a tag made by [`config_tag`](Self::config_tag).
    pub fn check_config_tag(
        &self,
        config: &[u8],
        stored: &[u8; CONFIG_TAG_BYTES],
    ) -> Result<(), SealError> {
        let tag = self.config_tag(config)?;
        verify_slices_are_equal(&tag, stored)
            .map_err(|_| SealError::NotAuthentic { what: "config" })
    }

    pub(super) fn require_suite(&self, what: &'static str, found: Suite) -> Result<(), SealError> {
        if found == self.suite {
            return Ok(());
        }
        // A store could otherwise offer unencrypted objects to a client that expects encryption.
        Err(SealError::SuiteMismatch { what, expected: self.suite, found })
    }

    pub(super) fn require_repository(
        &self,
        what: &'static str,
        found: RepositoryId,
    ) -> Result<(), SealError> {
        if found == self.repository {
            return Ok(());
        }
        Err(SealError::ForeignRepository { what, expected: self.repository, found })
    }

    #[cfg(test)]
    pub(super) fn without(mut self, purpose: Purpose) -> Self {
        self.subkeys.retain(|(own, _)| *own != purpose);
        self
    }
}

/// A derived cipher key with the public value that commits to it.
#[derive(Debug)]
pub(super) struct CommittedKey {
    pub(super) key: AeadKey,
    pub(super) commitment: Commitment,
}

impl CommittedKey {
    /// Derives 64 bytes from `parts`: the key of `suite`, then the commitment.
    ///
    /// The suite takes part, so no two ciphers ever run under one key. All parts but the last must
    /// have fixed widths.
    pub(super) fn derive(suite: Suite, context: &'static str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&[suite.byte()]);
        for part in parts {
            hasher.update(part);
        }
        let mut stream = hasher.finalize_xof();
        hasher.zeroize();
        let key = Secret::build(|bytes| stream.fill(bytes));
        let mut commitment = [0; COMMITMENT_BYTES];
        stream.fill(&mut commitment);
        stream.zeroize();
        Self { key: AeadKey::new(suite, key), commitment }
    }

    /// Gives the key if it is the one that `stored` commits to.
    pub(super) fn confirm(self, stored: &Commitment) -> Option<AeadKey> {
        verify_slices_are_equal(&self.commitment, stored).ok().map(|()| self.key)
    }
}

fn derive_secret(context: &'static str, parts: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut stream = hasher.finalize_xof();
    hasher.zeroize();
    let secret = Secret::build(|bytes| stream.fill(bytes));
    stream.zeroize();
    secret
}
