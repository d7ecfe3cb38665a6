//! The bytes of keys: they live on the heap in one place, are wiped when dropped, and `Debug` hides
//! them.
//!
//! It knows nothing of repositories, key slots and files.

use std::fmt;

use zeroize::Zeroize;

use crate::seal::purpose::Purpose;

/// Width of every key in bytes.
pub const KEY_BYTES: usize = 32;

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

/// A key derived for one [`Purpose`].
#[derive(Debug)]
pub struct Subkey(Secret);

impl Subkey {
    /// Creates a key from bytes that were read.
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Secret::build(|own| own.copy_from_slice(bytes)))
    }

    /// Derives a key from `parts` with the context string of its purpose.
    pub(super) fn derive(purpose: Purpose, parts: &[&[u8]]) -> Self {
        Self(derive_secret(purpose.context(), parts))
    }

    /// Shows the bytes to the code that hashes or cuts with them.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
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
