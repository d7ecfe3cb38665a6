//! The two ways to seal a text so that any change to it is noticed.
//!
//! | suite | name | text | tag |
//! |---|---|---|---|
//! | 0 | keyed tag | stays as it is | first 16 bytes of keyed BLAKE3 |
//! | 1 | AES-256-GCM-SIV | encrypted | 16 bytes of RFC 8452 |
//!
//! Both put 16 bytes after the text and nothing else, so an unencrypted repository has the layout
//! of an encrypted one, and every kind of damage is found in the same place.
//!
//! Suite 0 tags `nonce (12) | length of associated data (u64) | associated data | text`; what is
//! variable comes last, so no two inputs share a spelling. Suite 1 resists nonce misuse: if a
//! nonce were ever used twice, only the equality of two texts would show.
//!
//! Invariants:
//! - A nonce is spent: it is neither `Clone` nor `Copy`, and sealing takes it by value.
//! - A buffer whose tag is wrong is wiped and emptied: unverified plaintext does not get out.
//!
//! It does not choose nonces and does not commit to the key: sections, objects and key slots do.

use std::fmt;

use aws_lc_rs::aead::AES_256_GCM_SIV;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::aead::UnboundKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroize;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Malformed;
use crate::seal::error::SealError;
use crate::seal::secret::Secret;

/// Number of bytes that sealing appends to a text.
pub const TAG_BYTES: usize = 16;

/// Width of a nonce in bytes.
pub(super) const NONCE_BYTES: usize = 12;

/// The method by which the texts of a repository are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Plain text with a keyed tag: for repositories without encryption.
    KeyedTag,
    /// AES-256-GCM-SIV: encrypts the text, for encrypted repositories.
    Aes256GcmSiv,
}

impl Suite {
    /// Returns the code of the suite in stored bytes.
    pub const fn byte(self) -> u8 {
        match self {
            Self::KeyedTag => 0,
            Self::Aes256GcmSiv => 1,
        }
    }

    /// Returns the code with the name of the method, as messages show them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyedTag => "0 (keyed tag)",
            Self::Aes256GcmSiv => "1 (AES-256-GCM-SIV)",
        }
    }

    /// Reads a code; an unknown one is refused.
    pub fn from_byte(code: u8) -> Result<Self, SealError> {
        match code {
            0 => Ok(Self::KeyedTag),
            1 => Ok(Self::Aes256GcmSiv),
            code => Err(SealError::UnknownCode { what: "suite", code }),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A number that is used once under a key.
#[derive(Debug)]
pub(super) struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// Creates the nonce for a key under which texts are numbered.
    pub(super) fn of_ordinal(ordinal: u32) -> Self {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..size_of::<u32>()].copy_from_slice(&ordinal.to_le_bytes());
        Self(bytes)
    }

    /// Creates the nonce for a key that seals a single text.
    pub(super) fn only() -> Self {
        Self::of_ordinal(0)
    }

    /// Draws a nonce for a key that seals a few texts over its life.
    pub(super) fn random(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// Creates a nonce from bytes that were stored beside a text.
    pub(super) fn stored(bytes: [u8; NONCE_BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; NONCE_BYTES] {
        &self.0
    }
}

/// A sealed text, and what it is in an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed<'s> {
    /// The name of the thing in an error.
    pub(super) what: &'static str,
    /// The text and its tag.
    pub(super) bytes: &'s [u8],
}

/// A key of one suite, ready for use.
pub(super) enum AeadKey {
    KeyedTag(Secret),
    Aes256GcmSiv(LessSafeKey),
}

impl AeadKey {
    pub(super) fn new(suite: Suite, key: Secret) -> Self {
        match suite {
            Suite::KeyedTag => Self::KeyedTag(key),
            Suite::Aes256GcmSiv => {
                let key = UnboundKey::new(&AES_256_GCM_SIV, key.bytes())
                    .expect("the key has the width that the cipher wants");
                Self::Aes256GcmSiv(LessSafeKey::new(key))
            }
        }
    }

    pub(super) fn suite(&self) -> Suite {
        match self {
            Self::KeyedTag(_) => Suite::KeyedTag,
            Self::Aes256GcmSiv(_) => Suite::Aes256GcmSiv,
        }
    }

    /// Seals `buffer` from byte `from` on, in place, and appends the tag.
    pub(super) fn seal(&self, nonce: Nonce, aad: &[u8], buffer: &mut Vec<u8>, from: usize) {
        buffer.extend_from_slice(&[0; TAG_BYTES]);
        self.seal_in_place(nonce, aad, &mut buffer[from..]);
    }

    /// Seals all of `buffer` but its last bytes, which become the tag.
    pub(super) fn seal_in_place(&self, nonce: Nonce, aad: &[u8], buffer: &mut [u8]) {
        let (text, room) =
            buffer.split_last_chunk_mut::<TAG_BYTES>().expect("there is room for the tag");
        match self {
            Self::KeyedTag(key) => *room = keyed_tag(key, &nonce, aad, text),
            Self::Aes256GcmSiv(key) => {
                let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce.0);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
                    .expect("the cipher takes texts of up to 64 GiB");
                room.copy_from_slice(tag.as_ref());
            }
        }
    }

    /// Opens all of `buffer` in place and removes the tag.
    ///
    /// On failure the buffer is wiped and empty. `what` names the thing in the error.
    pub(super) fn open(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        buffer: &mut Vec<u8>,
        what: &'static str,
    ) -> Result<(), SealError> {
        let Some(text_bytes) = buffer.len().checked_sub(TAG_BYTES) else {
            buffer.zeroize();
            return Err(Malformed { what, why: "is shorter than a tag" }.into());
        };
        if self.open_in_place(nonce, aad, buffer, text_bytes) {
            buffer.truncate(text_bytes);
            return Ok(());
        }
        buffer.zeroize();
        Err(SealError::NotAuthentic { what })
    }

    /// Opens all of `sealed` into `text`, whose previous content is dropped.
    ///
    /// The cipher writes there itself: a text is not copied only to be opened where it lies. On
    /// failure `text` is wiped and empty.
    pub(super) fn open_into(
        &self,
        nonce: &Nonce,
        aad: &[u8],
        sealed: Sealed<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let what = sealed.what;
        let Some((sealed, tag)) = sealed.bytes.split_last_chunk::<TAG_BYTES>() else {
            text.zeroize();
            return Err(Malformed { what, why: "is shorter than a tag" }.into());
        };
        let is_authentic = match self {
            Self::KeyedTag(key) => {
                text.clear();
                text.extend_from_slice(sealed);
                verify_slices_are_equal(&keyed_tag(key, nonce, aad, text), tag).is_ok()
            }
            Self::Aes256GcmSiv(key) => {
                // All of it is written, so only what it grows by is cleared.
                text.resize(sealed.len(), 0);
                let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce.0);
                key.open_separate_gather(nonce, Aad::from(aad), sealed, tag, text).is_ok()
            }
        };
        if is_authentic {
            return Ok(());
        }
        text.zeroize();
        Err(SealError::NotAuthentic { what })
    }

    fn open_in_place(&self, nonce: &Nonce, aad: &[u8], buffer: &mut [u8], text: usize) -> bool {
        match self {
            Self::KeyedTag(key) => {
                let (text, stored) = buffer.split_at(text);
                let tag = keyed_tag(key, nonce, aad, text);
                verify_slices_are_equal(&tag, stored).is_ok()
            }
            Self::Aes256GcmSiv(key) => {
                let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce.0);
                key.open_in_place(nonce, Aad::from(aad), buffer).is_ok()
            }
        }
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AeadKey(suite {}, hidden)", self.suite())
    }
}

fn keyed_tag(key: &Secret, nonce: &Nonce, aad: &[u8], text: &[u8]) -> [u8; TAG_BYTES] {
    let aad_bytes = u64::try_from(aad.len()).expect("lengths fit 64 bits");
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    hasher.update(nonce.bytes()).update(&aad_bytes.to_le_bytes()).update(aad).update(text);
    let tag = hasher.finalize();
    hasher.zeroize();
    *tag.as_bytes().first_chunk().expect("a tag is shorter than a hash")
}
