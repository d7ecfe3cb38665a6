//! Sealing the frames of a pack.
//!
//! A *section* is what one run sealed under one salt: usually a whole pack; packs that were merged
//! have several. Its key derives from the run's secret of the class and the salt that lies in the
//! section's trailer, so a reader needs the trailer and the run, and a writer can't reuse a key by
//! accident.
//!
//! The associated data of a frame name what must not be mixed up, and leave out the object, so that
//! frames can move into another pack together with their section's trailer:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 1 | 1, the version of this table |
//! | 1 | 1 | class |
//! | 2 | 1 | kind of frame |
//! | 3 | 1 | zero |
//! | 4 | 16 | repository id |
//! | 20 | 32 | salt of the section |
//! | 52 | 4 | ordinal of the frame in its section |
//!
//! Invariants:
//! - A sealer draws its own salt and hands out ordinals itself: a nonce can't be used twice, nor be
//!   taken from one section to another.
//! - An opener exists only after the key commitment in the trailer was found right.
//!
//! It does not know how a pack is laid out, nor where the ordinal of a frame is kept.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use zeroize::Zeroize;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Malformed;
use crate::base::ids::Class;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::keys::Commitment;
use crate::seal::keys::CommittedKey;
use crate::seal::keys::Keyring;
use crate::seal::keys::SALT_BYTES;
use crate::seal::keys::Salt;
use crate::seal::run::ClassSecret;
use crate::seal::suite::AeadKey;
use crate::seal::suite::Nonce;
use crate::seal::suite::Sealed;
use crate::seal::suite::Suite;
pub use crate::seal::suite::TAG_BYTES;

/// Most frames that are sealed under one key: far below any limit of the cipher.
pub const SECTION_FRAMES_MAX: u32 = 1 << 24;

pub(super) const SECTION_CONTEXT: &str = "haulout 1 2026 section key";

const SECTION: &str = "pack section";

const CONTEXT_VERSION: u8 = 1;
const CLASS_AT: usize = 1;
const KIND_AT: usize = 2;
const REPOSITORY_AT: usize = 4;
const SALT_AT: usize = REPOSITORY_AT + RepositoryId::BYTES;
const ORDINAL_AT: usize = SALT_AT + SALT_BYTES;
const CONTEXT_BYTES: usize = ORDINAL_AT + size_of::<u32>();

/// The kind of a sealed text in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A frame with blocks.
    Frame,
    /// The directory of the pack.
    Directory,
}

impl FrameKind {
    /// Returns the code of the kind in the associated data.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Frame => 1,
            Self::Directory => 2,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Directory => "pack directory",
        }
    }
}

/// The facts in a section's trailer about its key: believed only as far as the key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionHeader {
    /// The suite that seals the section.
    pub suite: Suite,
    /// The class of the pack.
    pub class: Class,
    /// The salt that the key derives from.
    pub salt: Salt,
    /// The commitment to the key.
    pub commitment: Commitment,
}

/// The repository, class and salt that all frames of a section are bound to.
#[derive(Debug)]
struct Binding {
    repository: RepositoryId,
    class: Class,
    salt: Salt,
}

impl Binding {
    fn derive(&self, suite: Suite, secret: &ClassSecret) -> CommittedKey {
        CommittedKey::derive(suite, SECTION_CONTEXT, &[secret.bytes(), &self.salt])
    }

    /// Returns the associated data of one frame.
    fn context(&self, kind: FrameKind, ordinal: u32) -> [u8; CONTEXT_BYTES] {
        let mut bytes = [0; CONTEXT_BYTES];
        bytes[0] = CONTEXT_VERSION;
        bytes[CLASS_AT] = self.class.code();
        bytes[KIND_AT] = kind.byte();
        bytes[REPOSITORY_AT..SALT_AT].copy_from_slice(self.repository.bytes());
        bytes[SALT_AT..ORDINAL_AT].copy_from_slice(&self.salt);
        bytes[ORDINAL_AT..].copy_from_slice(&ordinal.to_le_bytes());
        bytes
    }
}

/// Seals the frames of one section.
///
/// It may be shared: each caller that seals a frame takes the next ordinal.
#[derive(Debug)]
pub struct SectionSealer {
    binding: Binding,
    key: AeadKey,
    commitment: Commitment,
    next_ordinal: AtomicU32,
}

impl SectionSealer {
    /// Begins a section of `class` under a new salt, with the run's secret of that class.
    pub fn begin(
        keyring: &Keyring,
        class: Class,
        secret: &ClassSecret,
        entropy: &dyn Entropy,
    ) -> Self {
        let binding = Binding { repository: keyring.repository(), class, salt: random(entropy) };
        let CommittedKey { key, commitment } = binding.derive(keyring.suite(), secret);
        Self { binding, key, commitment, next_ordinal: AtomicU32::new(0) }
    }

    /// Returns what must be stored for a reader.
    pub fn header(&self) -> SectionHeader {
        SectionHeader {
            suite: self.key.suite(),
            class: self.binding.class,
            salt: self.binding.salt,
            commitment: self.commitment,
        }
    }

    /// Seals all of `buffer` in place and appends the tag.
    #[cfg(any(test, feature = "internals"))]
    pub fn seal(&self, kind: FrameKind, buffer: &mut Vec<u8>) -> u32 {
        buffer.extend_from_slice(&[0; TAG_BYTES]);
        self.seal_in_place(kind, buffer)
    }

    /// Seals all of `buffer` but the last [`TAG_BYTES`], which become the tag, and gives the
    /// ordinal.
    ///
    /// Ordinals count from 0 in the order of the calls.
    pub fn seal_in_place(&self, kind: FrameKind, buffer: &mut [u8]) -> u32 {
        let ordinal = self.next_ordinal.fetch_add(1, Ordering::Relaxed);
        // An ordinal comes twice only after 2^32 calls, all but 2^24 of which panic here.
        assert!(ordinal < SECTION_FRAMES_MAX, "a section has at most 2^24 frames");
        let context = self.binding.context(kind, ordinal);
        self.key.seal_in_place(Nonce::of_ordinal(ordinal), &context, buffer);
        ordinal
    }
}

/// Opens the frames of one section.
#[derive(Debug)]
pub struct SectionOpener {
    binding: Binding,
    key: AeadKey,
}

impl SectionOpener {
    /// Creates an opener from a section's trailer; refuses a secret that it does not commit to.
    pub fn new(
        keyring: &Keyring,
        header: &SectionHeader,
        secret: &ClassSecret,
    ) -> Result<Self, SealError> {
        keyring.require_suite(SECTION, header.suite)?;
        let binding =
            Binding { repository: keyring.repository(), class: header.class, salt: header.salt };
        match binding.derive(header.suite, secret).confirm(&header.commitment) {
            Some(key) => Ok(Self { binding, key }),
            None => Err(SealError::WrongKey { what: SECTION }),
        }
    }

    /// Opens `sealed` into `text`, whose previous content is dropped; on failure it is wiped and
    /// empty.
    pub fn open_into(
        &self,
        kind: FrameKind,
        ordinal: u32,
        sealed: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if ordinal >= SECTION_FRAMES_MAX {
            text.zeroize();
            return Err(Malformed { what: kind.name(), why: "its ordinal is too high" }.into());
        }
        let context = self.binding.context(kind, ordinal);
        let sealed = Sealed { what: kind.name(), bytes: sealed };
        self.key.open_into(&Nonce::of_ordinal(ordinal), &context, sealed, text)
    }
}
