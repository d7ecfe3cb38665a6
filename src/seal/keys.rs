//! The repository key, and everything that derives from it.
//!
//! One random secret opens a repository. It is never used itself: for each purpose a key is derived
//! from it with BLAKE3's `derive_key` and a context string of its own (the table is in the story of
//! this module), so what leaks from one use says nothing about another, and a key slot can be given
//! some of the keys without the rest.
//!
//! A [`Keyring`] is what the rest of the program works with: which repository, which suite, and the
//! derived keys that its key slot has. A full key has all of them; a write-only key has no key
//! that opens data packs of earlier runs, and the public half of the key that does.
//!
//! A rotation draws a new secret and keeps the old ones: each is a *generation*. What finds equal
//! blocks and names sources derives from the first for ever; what seals derives from the newest,
//! and what was sealed before is opened with the key of its own generation. Each later generation
//! names by its hash the list of what the one before had sealed until then: nothing else sealed by
//! it is believed from there on.
//!
//! Invariants:
//! - Secret bytes are held as `secret` holds them.
//! - Comparing a commitment or a tag takes the same time whatever differs.
//!
//! It does not read or write objects and asks nobody for passphrases: see `key_slot`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroize;
use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::purpose::Purpose;
use crate::seal::recovery::RecoveryPublic;
use crate::seal::secret::KEY_BYTES;
use crate::seal::secret::Secret;
use crate::seal::secret::Subkey;
use crate::seal::suite::AeadKey;
use crate::seal::suite::Suite;

/// Width in bytes of the salts that keys derive from.
pub const SALT_BYTES: usize = 32;

/// Width of a key commitment in bytes.
pub const COMMITMENT_BYTES: usize = 32;

/// Width of the tag of `config` in bytes.
pub const CONFIG_TAG_BYTES: usize = 32;

/// The largest number of a generation: a key slot has the keys of all, and stays a small object.
pub const GENERATION_MAX: u8 = 15;

/// The hash of the list that closes a generation.
pub type Closing = [u8; 32];

/// A random public value that makes a derived key new.
pub type Salt = [u8; SALT_BYTES];

/// A public value that only one key can have been derived together with.
///
/// The ciphers alone would let someone craft a text that opens under two keys.
pub type Commitment = [u8; COMMITMENT_BYTES];

/// The secret that opens a repository: one for each generation.
#[derive(Debug)]
pub struct RepositoryKey {
    first: Secret,
    later: Vec<Later>,
}

/// A generation after the first.
#[derive(Debug)]
struct Later {
    secret: Secret,
    /// The hash of the list that closes the generation before.
    closing: Closing,
}

impl RepositoryKey {
    /// Generates a random key with a single generation.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self { first: Secret::build(|bytes| entropy.fill(bytes)), later: Vec::new() }
    }

    /// Creates a key from bytes that were read: from `config` of an unencrypted repository, or a
    /// key slot.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self { first: Secret::build(|own| own.copy_from_slice(bytes)), later: Vec::new() }
    }

    /// Draws the next generation, after the one that `closing` closes.
    ///
    /// The caller has found [`generation`](Self::generation) to be below the largest.
    #[must_use]
    pub fn rotated(&self, closing: Closing, entropy: &dyn Entropy) -> Self {
        let secret = Secret::build(|bytes| entropy.fill(bytes));
        self.followed_by(Later { secret, closing })
    }

    fn followed_by(&self, next: Later) -> Self {
        assert!(self.generation() < GENERATION_MAX, "the caller counts generations");
        let mut copy = self.duplicate();
        copy.later.push(next);
        copy
    }

    /// Returns a second copy of the bytes, wiped like the first.
    pub(super) fn duplicate(&self) -> Self {
        let copy = |secret: &Secret| Secret::build(|own| own.copy_from_slice(secret.bytes()));
        let later = |later: &Later| Later { secret: copy(&later.secret), closing: later.closing };
        Self { first: copy(&self.first), later: self.later.iter().map(later).collect() }
    }

    /// Returns the number of the newest generation; the first is 0.
    pub fn generation(&self) -> u8 {
        u8::try_from(self.later.len()).expect("there are at most 16")
    }

    /// Returns the hash of the list that closes each generation but the newest.
    pub fn closings(&self) -> Vec<Closing> {
        self.later.iter().map(|later| later.closing).collect()
    }

    /// Shows the bytes of the first generation. Only an unencrypted repository writes them
    /// anywhere: into `config`.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.first.bytes()
    }

    /// Tells whether both keys have the same bytes in every generation.
    pub fn is_same(&self, other: &Self) -> bool {
        let (own, their) = (self.to_text(), other.to_text());
        verify_slices_are_equal(&own, &their).is_ok()
    }

    /// Returns the bytes that a key slot keeps: the first key, then every later one and what closes
    /// the generation before it.
    pub(super) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(key_text_bytes(GENERATION_MAX)));
        out.extend_from_slice(self.first.bytes());
        for later in &self.later {
            out.extend_from_slice(later.secret.bytes());
            out.extend_from_slice(&later.closing);
        }
        out
    }

    /// Reads what [`to_text`](Self::to_text) gave; the caller has checked how much it is.
    pub(super) fn from_text(text: &[u8]) -> Self {
        let (keys, rest) = text.as_chunks::<KEY_BYTES>();
        assert!(rest.is_empty() && keys.len() % 2 == 1, "a whole number of generations");
        let mut key = Self::new(&keys[0]);
        for pair in keys[1..].chunks_exact(2) {
            let secret = Secret::build(|own| own.copy_from_slice(&pair[0]));
            key.later.push(Later { secret, closing: pair[1] });
        }
        key
    }

    /// Derives the key for `purpose` as it is used now.
    pub fn derive(&self, purpose: Purpose) -> Subkey {
        self.derive_of(if purpose.rotates() { self.generation() } else { 0 }, purpose)
    }

    /// Derives the key that one generation uses for `purpose`.
    pub(super) fn derive_of(&self, generation: u8, purpose: Purpose) -> Subkey {
        let secret = match usize::from(generation).checked_sub(1) {
            None => &self.first,
            Some(at) => &self.later[at].secret,
        };
        Subkey::derive(purpose, &[secret.bytes()])
    }
}

/// Returns the number of bytes of the text of a key with `generation` generations after the first.
pub(super) const fn key_text_bytes(generation: u8) -> usize {
    KEY_BYTES + widen(generation) * (KEY_BYTES + size_of::<Closing>())
}

/// Widens a number in a const context, where `usize::from` can't be called yet.
#[expect(clippy::as_conversions, reason = "a u8 fits")]
pub(super) const fn widen(number: u8) -> usize {
    number as usize
}

/// The keys of one generation, as far as the key slot has them.
pub(super) type Subkeys = Vec<(Purpose, Subkey)>;

/// An open repository's keys, as far as the key slot has them.
#[derive(Debug)]
pub struct Keyring {
    repository: RepositoryId,
    suite: Suite,
    /// The keys that are used now.
    subkeys: Subkeys,
    /// The keys that earlier generations sealed with, the first one first.
    retired: Vec<Subkeys>,
    /// The hashes of the lists that close those generations.
    closings: Vec<Closing>,
    /// The public key to which a write-only key seals the secrets of data packs.
    recovery: Option<RecoveryPublic>,
}

impl Keyring {
    /// Derives everything that a full key gives.
    pub fn new(repository: RepositoryId, suite: Suite, key: &RepositoryKey) -> Self {
        let subkeys = Purpose::ALL.map(|purpose| (purpose, key.derive(purpose))).into();
        let rotating = || Purpose::ALL.into_iter().filter(|purpose| purpose.rotates());
        let of = |number| rotating().map(move |purpose| (purpose, key.derive_of(number, purpose)));
        let retired = (0..key.generation()).map(|number| of(number).collect()).collect();
        Self { repository, suite, subkeys, retired, closings: key.closings(), recovery: None }
    }

    /// Creates the keyring of a write-only key: some keys, and the public half of the recovery
    /// key. Of every generation but the last the closing is known.
    pub(super) fn write_only(
        repository: RepositoryId,
        suite: Suite,
        first: Subkeys,
        later: Vec<(Closing, Subkeys)>,
        recovery: RecoveryPublic,
    ) -> Self {
        let (mut subkeys, mut retired, mut closings) = (first, Vec::new(), Vec::new());
        for (closing, keys) in later {
            let rotates = |(purpose, _): &mut (Purpose, Subkey)| purpose.rotates();
            retired.push(subkeys.extract_if(.., rotates).collect());
            closings.push(closing);
            subkeys.extend(keys);
        }
        Self { repository, suite, subkeys, retired, closings, recovery: Some(recovery) }
    }

    /// Tells whether the key slot can open data packs, or only write them.
    pub fn opens_data(&self) -> bool {
        self.subkey(Purpose::RunData).is_ok()
    }

    pub(super) fn recovery(&self) -> Option<&RecoveryPublic> {
        self.recovery.as_ref()
    }

    /// Returns the repository that these keys open.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// Returns the suite that this repository seals with.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns the number of the generation that is used now.
    pub fn generation(&self) -> u8 {
        u8::try_from(self.retired.len()).expect("there are at most 16")
    }

    /// Returns what closes each generation but the newest, the first one first.
    pub fn closings(&self) -> &[Closing] {
        &self.closings
    }

    /// Returns the key that is used for `purpose` now, if the key slot has it.
    pub fn subkey(&self, purpose: Purpose) -> Result<&Subkey, SealError> {
        find(&self.subkeys, purpose).ok_or(SealError::KeyNotInSlot(purpose))
    }

    /// Returns the keys that were ever used for `purpose`, the newest first, with the numbers of
    /// their generations; fails if there is none.
    pub(super) fn every(&self, purpose: Purpose) -> Result<Vec<(u8, &Subkey)>, SealError> {
        let previous = (0..).zip(&self.retired);
        let previous = previous.filter_map(|(number, keys)| Some((number, find(keys, purpose)?)));
        let mut found: Vec<(u8, &Subkey)> = previous.collect();
        found.extend(find(&self.subkeys, purpose).map(|key| (self.generation(), key)));
        found.reverse();
        if found.is_empty() { Err(SealError::KeyNotInSlot(purpose)) } else { Ok(found) }
    }

    /// Returns a tag that binds `config` to the repository key.
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
        Err(SealError::SuiteMismatch { what, expected: self.suite.name(), found: found.name() })
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

fn find(subkeys: &Subkeys, purpose: Purpose) -> Option<&Subkey> {
    let mut held = subkeys.iter();
    held.find(|(own, _)| *own == purpose).map(|(_, subkey)| subkey)
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

    /// Returns the key if it is the one that `stored` commits to.
    pub(super) fn confirm(self, stored: &Commitment) -> Option<AeadKey> {
        verify_slices_are_equal(&self.commitment, stored).ok().map(|()| self.key)
    }
}
