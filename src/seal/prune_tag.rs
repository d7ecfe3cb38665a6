//! The tag of fences and removals: that a holder of a full key put them.
//!
//! Such objects are sealed like others, so that whoever reads a repository can read them. That is
//! not enough: a write-only key seals small objects as well, and a host that has one could remove
//! every snapshot by a record for each, which an honest prune would carry out. So their texts end
//! in a tag under a key that only full keys have.
//!
//! Invariants:
//! - The tag covers the kind, the context and the text: it is good in one place only.
//! - It is checked under the key of the generation that sealed the object.
//!
//! It does not say whether the object is on the list of its generation: that is for its reader.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroize;
use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::error::Malformed;
use crate::seal::error::SealError;
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::seal::purpose::Purpose;
use crate::seal::secret::Subkey;

/// Bytes of a tag.
pub const PRUNE_TAG_BYTES: usize = 32;

/// The result of checking a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagCheck {
    /// A holder of a full key made it.
    Right,
    /// Nobody with a full key made it.
    Wrong,
    /// The key in use can't tell.
    Unknown,
}

/// An object whose text ended in a tag.
#[derive(Debug)]
pub struct OpenedTagged {
    /// The text without its tag; it is wiped when dropped.
    pub text: Zeroizing<Vec<u8>>,
    /// The generation that sealed it.
    pub generation: u8,
    /// The result of checking its tag.
    pub check: TagCheck,
}

impl Keyring {
    /// Returns the tag of a text that is sealed now; nothing if the key slot has no prune key.
    pub fn prune_tag(
        &self,
        kind: ObjectKind,
        context: &[u8],
        text: &[u8],
    ) -> Option<[u8; PRUNE_TAG_BYTES]> {
        let key = self.subkey(Purpose::Prune).ok()?;
        Some(tag(key, kind, context, text))
    }

    /// Seals a text with its tag at the end; fails if the key slot has no prune key.
    pub fn seal_tagged(
        &self,
        kind: ObjectKind,
        context: &[u8],
        text: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let tag = self.prune_tag(kind, context, text);
        let tag = tag.ok_or(SealError::KeyNotInSlot(Purpose::Prune))?;
        self.seal_object(kind, context, &[text, &tag].concat(), entropy)
    }

    /// Opens an object whose text ends in a tag, which is taken off and checked.
    pub fn open_tagged(
        &self,
        kind: ObjectKind,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<OpenedTagged, SealError> {
        let (mut text, generation) = self.open_dated(kind, context, sealed)?;
        let split = text.split_last_chunk::<PRUNE_TAG_BYTES>();
        let (before, stored) = split.ok_or(SealError::Malformed(Malformed {
            what: kind.name(),
            why: "ends before its tag",
        }))?;
        let check = match self.every(Purpose::Prune) {
            Err(_) => TagCheck::Unknown,
            Ok(keys) => {
                let own = keys.into_iter().find(|(number, _)| *number == generation);
                let is_right = own.is_some_and(|(_, key)| {
                    verify_slices_are_equal(&tag(key, kind, context, before), stored).is_ok()
                });
                if is_right { TagCheck::Right } else { TagCheck::Wrong }
            }
        };
        let length = before.len();
        text.truncate(length);
        Ok(OpenedTagged { text, generation, check })
    }
}

fn tag(key: &Subkey, kind: ObjectKind, context: &[u8], text: &[u8]) -> [u8; PRUNE_TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    // Each kind has contexts of one width, so no two inputs share a spelling.
    hasher.update(&[kind.byte()]).update(context).update(text);
    let tag = hasher.finalize();
    hasher.zeroize();
    tag.into()
}
