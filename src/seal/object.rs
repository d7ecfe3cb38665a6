//! Sealing small objects whole: snapshots, intents, relocation records, damage records, notes.
//!
//! Each object derives a key of its own from a random salt in its header, so nonces can't repeat
//! however many objects there are, and its tag covers what it is and where it belongs.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `HAULOBJ1` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | kind of object |
//! | 11 | 1 | suite |
//! | 12 | 32 | salt |
//! | 44 | 32 | key commitment |
//! | 76 | .. | text, then 16 bytes of tag |
//!
//! The associated data are bytes 0 to 44, the repository id (16), then the context: bytes that the
//! caller knows from elsewhere, such as the source that a snapshot belongs to. What the context is
//! for each kind belongs to FORMAT.md.
//!
//! Invariants:
//! - The snapshot key seals snapshots and nothing else; the small object key seals the rest.
//! - Nothing is allocated beyond the size of what was read, and no text is over 64 MiB.
//!
//! It does not name objects (a name has the hash of the sealed bytes) and does not compress.

use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::wire::Reader;
use crate::seal::checksum::check_head;
use crate::seal::error::SealError;
use crate::seal::keys::COMMITMENT_BYTES;
use crate::seal::keys::Commitment;
use crate::seal::keys::CommittedKey;
use crate::seal::keys::Keyring;
use crate::seal::keys::SALT_BYTES;
use crate::seal::keys::Salt;
use crate::seal::purpose::Purpose;
use crate::seal::secret::Subkey;
use crate::seal::suite::Nonce;
use crate::seal::suite::Suite;
use crate::seal::suite::TAG_BYTES;

/// Maximum length of the text of a sealed object, in bytes.
pub const OBJECT_TEXT_BYTES_MAX: usize = 64 << 20;

/// Number of bytes that sealing adds to a text.
pub const OBJECT_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

pub(super) const OBJECT_CONTEXT: &str = "haulout 1 2026 sealed object key";

const OBJECT: &str = "sealed object";
const MAGIC: [u8; 8] = *b"HAULOBJ1";
const VERSION: u16 = 1;
const SALT_AT: usize = 12;
const COMMITMENT_AT: usize = SALT_AT + SALT_BYTES;
const HEADER_BYTES: usize = COMMITMENT_AT + COMMITMENT_BYTES;

/// The kind of a sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A snapshot: what one backup stored.
    Snapshot,
    /// A record of what a run relies on, removes or holds.
    Intent,
    /// Runs that shall stop, or a verdict about their snapshots.
    Fence,
    /// A record of where entries of an old pack are served from.
    Relocation,
    /// A record of damage that was found.
    Damage,
    /// A statement about a snapshot or the store.
    Note,
    /// A snapshot that was removed.
    Removed,
    /// The note about a key slot; it lies inside `keys/<id>`.
    KeySlotNote,
    /// An announcement that the keys are being rotated.
    Rotation,
    /// What was verified, how deep and when.
    Verified,
    /// A doubtful snapshot that was confirmed.
    Cleared,
    /// A record about one of the times at which a job is to run.
    Slot,
    /// Bytes of a binary log that its server has not closed yet.
    Segment,
}

impl ObjectKind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; 13] = [
        Self::Snapshot,
        Self::Intent,
        Self::Fence,
        Self::Relocation,
        Self::Damage,
        Self::Note,
        Self::Removed,
        Self::KeySlotNote,
        Self::Rotation,
        Self::Verified,
        Self::Cleared,
        Self::Slot,
        Self::Segment,
    ];

    /// Returns the code of the kind in stored bytes.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Snapshot => 1,
            Self::Intent => 2,
            Self::Fence => 3,
            Self::Relocation => 4,
            Self::Damage => 5,
            Self::Note => 6,
            Self::Removed => 7,
            Self::KeySlotNote => 8,
            Self::Rotation => 9,
            Self::Verified => 10,
            Self::Cleared => 11,
            Self::Slot => 12,
            Self::Segment => 13,
        }
    }

    /// Reads a code; an unknown one is refused.
    pub fn from_byte(code: u8) -> Result<Self, SealError> {
        let mut known = Self::ALL.into_iter();
        known
            .find(|kind| kind.byte() == code)
            .ok_or(SealError::UnknownCode { what: "kind of object", code })
    }

    /// Returns the name of the kind in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Intent => "intent",
            Self::Fence => "fence",
            Self::Relocation => "relocation record",
            Self::Damage => "damage",
            Self::Note => "note",
            Self::Removed => "removed",
            Self::KeySlotNote => "key slot note",
            Self::Rotation => "rotation",
            Self::Verified => "verified",
            Self::Cleared => "cleared",
            Self::Slot => "slot record",
            Self::Segment => "segment",
        }
    }

    const fn purpose(self) -> Purpose {
        match self {
            Self::Snapshot => Purpose::Snapshot,
            Self::Intent
            | Self::Fence
            | Self::Relocation
            | Self::Damage
            | Self::Note
            | Self::Removed
            | Self::KeySlotNote
            | Self::Rotation
            | Self::Verified
            | Self::Cleared
            | Self::Segment
            | Self::Slot => Purpose::SmallObject,
        }
    }
}

impl Keyring {
    /// Seals `text` as an object of `kind` that belongs to `context`.
    pub fn seal_object(
        &self,
        kind: ObjectKind,
        context: &[u8],
        text: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        require_size(kind, text.len())?;
        let (salt, suite) = (random(entropy), self.suite());
        let root = self.subkey(kind.purpose())?;
        let CommittedKey { key, commitment } = object_key(root, kind, suite, &salt);
        let header = Header { kind, suite, salt, commitment };
        let mut sealed = Vec::with_capacity(OBJECT_OVERHEAD_BYTES + text.len());
        sealed.extend_from_slice(&header.to_bytes());
        sealed.extend_from_slice(text);
        key.seal(Nonce::only(), &self.object_aad(&header, context), &mut sealed, HEADER_BYTES);
        Ok(sealed)
    }

    /// Opens an object that must be of `kind` and belong to `context`.
    ///
    /// The text is wiped when dropped.
    pub fn open_object(
        &self,
        kind: ObjectKind,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_dated(kind, context, sealed).map(|(text, _)| text)
    }

    /// Opens an object like `open_object`; also returns the number of the generation that sealed
    /// it.
    pub fn open_dated(
        &self,
        kind: ObjectKind,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, u8), SealError> {
        let (header, body) = Header::read(sealed)?;
        if header.kind != kind {
            return Err(SealError::KindMismatch {
                expected: kind.name(),
                found: header.kind.name(),
            });
        }
        self.require_suite(kind.name(), header.suite)?;
        require_size(kind, body.len().saturating_sub(TAG_BYTES))?;
        let roots = self.every(kind.purpose())?;
        let opener = roots.into_iter().find_map(|(generation, root)| {
            let derived = object_key(root, kind, header.suite, &header.salt);
            Some((derived.confirm(&header.commitment)?, generation))
        });
        let (key, generation) = opener.ok_or(SealError::WrongKey { what: kind.name() })?;
        let mut text = Zeroizing::new(body.to_vec());
        key.open(&Nonce::only(), &self.object_aad(&header, context), &mut text, kind.name())?;
        Ok((text, generation))
    }

    fn object_aad(&self, header: &Header, context: &[u8]) -> Vec<u8> {
        let header = header.to_bytes();
        [&header[..COMMITMENT_AT], self.repository().bytes(), context].concat()
    }
}

fn object_key(root: &Subkey, kind: ObjectKind, suite: Suite, salt: &Salt) -> CommittedKey {
    let parts: [&[u8]; 3] = [root.bytes(), salt, &[kind.byte()]];
    CommittedKey::derive(suite, OBJECT_CONTEXT, &parts)
}

#[derive(Debug)]
struct Header {
    kind: ObjectKind,
    suite: Suite,
    salt: Salt,
    commitment: Commitment,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.kind.byte();
        bytes[11] = self.suite.byte();
        bytes[SALT_AT..COMMITMENT_AT].copy_from_slice(&self.salt);
        bytes[COMMITMENT_AT..].copy_from_slice(&self.commitment);
        bytes
    }

    /// Reads the header and returns it with the bytes that follow it.
    fn read(sealed: &[u8]) -> Result<(Self, &[u8]), SealError> {
        let mut input = Reader::new(OBJECT, sealed);
        check_head(OBJECT, MAGIC, VERSION, &mut input)?;
        let kind = ObjectKind::from_byte(input.u8()?)?;
        let suite = Suite::from_byte(input.u8()?)?;
        let (salt, commitment) = (input.array()?, input.array()?);
        let body = input.take(input.left())?;
        Ok((Self { kind, suite, salt, commitment }, body))
    }
}

fn require_size(kind: ObjectKind, bytes: usize) -> Result<(), SealError> {
    if bytes <= OBJECT_TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(SealError::TooLarge { what: kind.name(), bytes, bytes_max: OBJECT_TEXT_BYTES_MAX })
}
