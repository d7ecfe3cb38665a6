//! Sealing to the offline: what a host that may only write does with its secrets.
//!
//! Anyone with the repository key can derive a key pair from it. A write-only host has the public
//! half: it seals the secret of its data packs with it, forgets the secret when its run ends, and
//! has nothing left that opens them. The pair is X-Wing, which is X25519 and ML-KEM-768 together:
//! stored backups are what is worth being kept until X25519 falls.
//!
//! HPKE (RFC 9180) in base mode: KEM 0x647a (X-Wing), KDF 0x0001 (HKDF-SHA-256), AEAD 0x0003
//! (ChaCha20-Poly1305), one message for each encapsulation. A sealed secret is the encapsulated key
//! (1120), the text (32), its tag (16).
//!
//! Invariants:
//! - What is opened belongs to the repository, run and class that it was sealed for.
//! - Sealing says nothing about who sealed: anyone with the public key can. The section that is
//!   sealed under the secret, and the snapshot that names its pack, say that.
//!
//! It does not decide who gets which half: `keys` and `key_slot` do.

use std::convert::Infallible;
use std::fmt;

use hpke::Deserializable;
use hpke::Kem;
use hpke::OpModeR;
use hpke::OpModeS;
use hpke::Serializable;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::TryCryptoRng;
use hpke::rand_core::TryRng;
use hpke::single_shot_open;
use hpke::single_shot_seal_with_rng;
use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Malformed;
use crate::seal::error::SealError;
use crate::seal::secret::KEY_BYTES;
use crate::seal::secret::Secret;
use crate::seal::secret::Subkey;
use crate::seal::suite::TAG_BYTES;

/// Width of the public half in bytes.
pub const PUBLIC_BYTES: usize = 1216;

/// Width of a secret sealed with it, in bytes.
pub(super) const SEALED_SECRET_BYTES: usize = ENCAPSULATED_BYTES + KEY_BYTES + TAG_BYTES;

const ENCAPSULATED_BYTES: usize = 1120;
const INFO: &[u8] = b"haulout 1 2026 secret sealed to the recovery key";
const WHAT: &str = "secret sealed to the recovery key";

/// The public half: seals, and opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryPublic(<XWing as Kem>::PublicKey);

impl RecoveryPublic {
    /// Reads the bytes that [`bytes`](Self::bytes) gave.
    pub fn read(bytes: &[u8]) -> Result<Self, SealError> {
        let malformed = Malformed { what: "recovery key", why: "is no public key" };
        let key = <XWing as Kem>::PublicKey::from_bytes(bytes);
        key.map(Self).map_err(|_| malformed.into())
    }

    /// Derives the public half that belongs to a seed.
    pub(super) fn of_seed(seed: &Subkey) -> Self {
        let private = private(seed);
        Self(XWing::sk_to_pk(&private))
    }

    /// Returns the bytes as they are stored.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    pub(super) fn seal(&self, secret: &Secret, context: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let (encapsulated, sealed) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeS::Base,
                &self.0,
                INFO,
                secret.bytes(),
                context,
                &mut FromEntropy(entropy),
            )
            .expect("a public key that was read seals a short text");
        let out = [encapsulated.to_bytes().as_slice(), &sealed].concat();
        assert_eq!(out.len(), SEALED_SECRET_BYTES, "the widths are those of the suite");
        out
    }
}

impl fmt::Debug for RecoveryPublic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RecoveryPublic")
    }
}

/// Opens what was sealed to the public half of a seed.
pub(super) fn open(seed: &Subkey, sealed: &[u8], context: &[u8]) -> Result<Secret, SealError> {
    let Some((encapsulated, text)) = sealed.split_at_checked(ENCAPSULATED_BYTES) else {
        return Err(Malformed { what: WHAT, why: "ends early" }.into());
    };
    let forged = || SealError::NotAuthentic { what: WHAT };
    let encapsulated =
        <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| forged())?;
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &private(seed),
        &encapsulated,
        INFO,
        text,
        context,
    );
    let opened = Zeroizing::new(opened.map_err(|_| forged())?);
    let Some(bytes) = opened.as_array::<KEY_BYTES>() else {
        return Err(Malformed { what: WHAT, why: "is not 32 bytes long" }.into());
    };
    Ok(Secret::build(|own| own.copy_from_slice(bytes)))
}

fn private(seed: &Subkey) -> <XWing as Kem>::PrivateKey {
    <XWing as Kem>::PrivateKey::from_bytes(seed.bytes()).expect("a seed has 32 bytes")
}

/// Adapts our source of randomness to the trait of the crate.
struct FromEntropy<'e>(&'e dyn Entropy);

impl TryRng for FromEntropy<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random(self.0)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for FromEntropy<'_> {}
