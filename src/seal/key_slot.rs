//! Key slots: who can open the repository key, and with what.
//!
//! The repository key never lies in an encrypted repository as it is. A key slot is an object
//! `keys/<key slot id>` with the key sealed under something that only its owner has: a passphrase,
//! stretched by Argon2id, or a key file of 32 random bytes. Adding, removing or changing a key slot
//! touches these objects only. Removing one protects the future, not what its owner copied before.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `HAULOKEY` |
//! | 8 | 2 | version, 1 |
//! | 10 | 16 | repository id |
//! | 26 | 16 | key slot id |
//! | 42 | 1 | protection: 1 passphrase, 2 key file |
//! | 43 | 1 | payload: 1 the repository key; 2 what a write-only key has |
//! | 44 | 1 | suite of the repository |
//! | 45 | 1 | generation of keys, the first is 0; at most 15 |
//! | 46 | 4 | Argon2id memory in KiB; zero for a key file |
//! | 50 | 4 | Argon2id passes; zero for a key file |
//! | 54 | 4 | Argon2id lanes; zero for a key file |
//! | 58 | 32 | salt |
//! | 90 | 32 | key commitment |
//! | 122 | 48 + 64 a generation | payload 1: AES-256-GCM-SIV of the repository key, tag (16) |
//! | 122 | 1488 + 128 a generation | payload 2: the same for a write-only key, tag (16) |
//! | then | 4 | length of the note |
//! | then | .. | the note: a sealed object of kind 8, its context is the key slot id |
//! | end - 16 | 16 | BLAKE3 of all before it, first 16 bytes |
//!
//! The wrap key and its commitment derive from `stretched passphrase or key file (32) | salt (32)`.
//! The associated data are bytes 0 to 122. The key seals one text only, so the nonce is zero.
//!
//! The label (a host name, say) and the time are a note sealed with the small object key: all who
//! can open the repository can list its key slots, and the store learns no names.
//!
//! The module `slot_contents` has what is sealed for whom, generation by generation.
//!
//! Invariants:
//! - Parameters of the stretching are checked against [`Limits`] before memory is allocated.
//! - Damage (checksum), a wrong passphrase (commitment) and a forged record (tag) are told apart.
//! - The suite is authenticated here, so a store can't strip the encryption of a known repository.
//!
//! It does not ask for passphrases, read key files from disks, or judge how good a passphrase is.
//! Passphrases are taken byte by byte as typed, without Unicode normalization.

use std::fmt;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use rayon::ThreadPoolBuilder;
use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Malformed;
use crate::base::hex;
use crate::base::num::u32_of;
use crate::base::num::usize_of_u32;
use crate::base::wire::Reader;
use crate::seal::checksum;
use crate::seal::cost::KdfCost;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::ids::KeySlotId;
use crate::seal::ids::RepositoryId;
use crate::seal::keys::COMMITMENT_BYTES;
use crate::seal::keys::Commitment;
use crate::seal::keys::CommittedKey;
use crate::seal::keys::GENERATION_MAX;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::keys::SALT_BYTES;
use crate::seal::keys::Salt;
use crate::seal::object::ObjectKind;
use crate::seal::purpose::Purpose;
use crate::seal::secret::KEY_BYTES;
use crate::seal::secret::Secret;
use crate::seal::slot_contents::Role;
use crate::seal::slot_contents::SlotContents;
use crate::seal::suite::Nonce;
use crate::seal::suite::Suite;
use crate::seal::suite::TAG_BYTES;

/// Maximum size of a key slot in bytes; what is longer is refused unread.
pub const KEY_SLOT_BYTES_MAX: usize = 4096;

/// Maximum length of the label of a key slot, in bytes.
pub const LABEL_BYTES_MAX: usize = 255;

pub(super) const KEY_SLOT_CONTEXT: &str = "haulout 1 2026 holder wrap key";
pub(super) const KEY_FILE_CONTEXT: &str = "haulout 1 2026 key file checksum";

const KEY_SLOT: &str = "key slot";
const MAGIC: [u8; 8] = *b"HAULOKEY";
const VERSION: u16 = 1;
const SALT_AT: usize = 58;
const COMMITMENT_AT: usize = SALT_AT + SALT_BYTES;
const SEALED_AT: usize = COMMITMENT_AT + COMMITMENT_BYTES;

/// A passphrase as typed; wiped when dropped.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Creates a passphrase from its bytes; refuses an empty one.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SealError> {
        if bytes.is_empty() {
            return Err(Malformed { what: "password", why: "is empty" }.into());
        }
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Returns a second copy, wiped like the first.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Passphrase(hidden)")
    }
}

/// 32 random bytes kept outside the repository, which need no stretching.
///
/// As a file it is one line that can be printed and typed: `haulout-key-1:`, 64 hexadecimal digits,
/// a colon and 8 digits of checksum.
#[derive(Debug)]
pub struct KeyFile(Secret);

impl KeyFile {
    const PREFIX: &str = "haulout-key-1:";

    /// Generates a random key file.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::build(|bytes| entropy.fill(bytes)))
    }

    /// Returns the line of the key file, with its end.
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(hex::encode(self.0.bytes()));
        let sum = hex::encode(&self.checksum());
        Zeroizing::new(format!("{}{}:{sum}\n", Self::PREFIX, *key))
    }

    /// Reads the line; spaces around it do not matter.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let malformed = |why| SealError::from(Malformed { what: "key file", why });
        let Some(fields) = text.trim().strip_prefix(Self::PREFIX) else {
            return Err(malformed("does not begin with haulout-key-1:"));
        };
        let Some((key, sum)) = fields.split_once(':') else {
            return Err(malformed("has no checksum"));
        };
        let Some(key) = hex::decode::<KEY_BYTES>(key).map(Zeroizing::new) else {
            return Err(malformed("does not have 64 hexadecimal digits"));
        };
        let file = Self(Secret::build(|bytes| bytes.copy_from_slice(&*key)));
        if hex::decode(sum) != Some(file.checksum()) {
            return Err(malformed("its checksum does not match"));
        }
        Ok(file)
    }

    /// Returns 4 bytes that reveal a typing error, and next to nothing about the key.
    fn checksum(&self) -> [u8; 4] {
        let sum = blake3::derive_key(KEY_FILE_CONTEXT, self.0.bytes());
        *sum.first_chunk().expect("a checksum is shorter than a hash")
    }
}

/// A secret that opens a repository.
#[derive(Debug)]
pub enum Credential {
    /// A passphrase that somebody remembers.
    Passphrase(Passphrase),
    /// A key file that somebody keeps.
    KeyFile(KeyFile),
}

/// The credential that seals a new key slot's copy of the key.
#[derive(Debug, Clone, Copy)]
pub enum Protection<'a> {
    /// A passphrase, and how hard guessing it is to be.
    Passphrase(&'a Passphrase, KdfCost),
    /// A key file, which needs no stretching.
    KeyFile(&'a KeyFile),
}

/// The kinds of protection, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtectionKind {
    /// Opens with a passphrase.
    Passphrase,
    /// Opens with a key file.
    KeyFile,
}

impl ProtectionKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Passphrase => 1,
            Self::KeyFile => 2,
        }
    }

    fn from_byte(code: u8) -> Result<Self, SealError> {
        match code {
            1 => Ok(Self::Passphrase),
            2 => Ok(Self::KeyFile),
            code => Err(SealError::UnknownCode { what: "protection of a key", code }),
        }
    }

    /// Returns the name of the kind in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passphrase => "password",
            Self::KeyFile => "key file",
        }
    }
}

/// The facts about a key slot that those who can open the repository see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlotNote {
    /// A name for people: a host, a person, where the key file is kept.
    pub label: String,
    /// The time when the key slot was added, in seconds since 1970.
    pub created_unix_seconds: u64,
}

impl KeySlotNote {
    fn encode(&self) -> Result<Vec<u8>, SealError> {
        let bytes = self.label.len();
        if bytes > LABEL_BYTES_MAX {
            let what = "label of a key";
            return Err(SealError::TooLarge { what, bytes, bytes_max: LABEL_BYTES_MAX });
        }
        Ok([&self.created_unix_seconds.to_le_bytes(), self.label.as_bytes()].concat())
    }

    fn decode(text: &[u8]) -> Result<Self, SealError> {
        let mut input = Reader::new("key slot note", text);
        let created_unix_seconds = input.u64()?;
        let Ok(label) = str::from_utf8(input.take(input.left())?) else {
            return Err(input.malformed("its label is no text").into());
        };
        Ok(Self { label: label.to_owned(), created_unix_seconds })
    }
}

/// The result of opening a key slot.
#[derive(Debug)]
pub struct Unlocked {
    /// The secrets that the key slot has.
    pub contents: SlotContents,
    /// The id of the repository.
    pub repository: RepositoryId,
    /// The suite of the repository: authenticated, unlike what `config` says.
    pub suite: Suite,
    /// The id of the key slot; a recovery kit in clear has none.
    pub slot: Option<KeySlotId>,
}

impl Unlocked {
    /// Derives all keys that the key slot has.
    pub fn keyring(&self) -> Keyring {
        match &self.contents {
            SlotContents::Key(key) => Keyring::new(self.repository, self.suite, key),
            SlotContents::WriteOnly(keys) => keys.keyring(self.repository, self.suite),
        }
    }

    /// Returns the secret of the repository, if the key slot has it.
    pub fn key(&self) -> Option<&RepositoryKey> {
        match &self.contents {
            SlotContents::Key(key) => Some(key),
            SlotContents::WriteOnly(_) => None,
        }
    }
}

/// A repository key, and the keyring that was derived from it.
#[derive(Debug, Clone, Copy)]
struct SlotKeys<'k> {
    keyring: &'k Keyring,
    key: &'k RepositoryKey,
}

/// A key slot as stored in `keys/<key slot id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    head: Head,
    commitment: Commitment,
    sealed: Vec<u8>,
    note: Vec<u8>,
}

impl KeySlot {
    /// Seals `key`, whose keys `keyring` has, in a new key slot.
    pub fn seal(
        keyring: &Keyring,
        key: &RepositoryKey,
        protection: Protection<'_>,
        note: &KeySlotNote,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        Self::seal_for(Role::Full, SlotKeys { keyring, key }, protection, note, entropy)
    }

    /// Seals the keys of a write-only key in a new key slot.
    pub fn seal_write_only(
        keyring: &Keyring,
        key: &RepositoryKey,
        protection: Protection<'_>,
        note: &KeySlotNote,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        Self::seal_for(Role::WriteOnly, SlotKeys { keyring, key }, protection, note, entropy)
    }

    fn seal_for(
        role: Role,
        keys: SlotKeys<'_>,
        protection: Protection<'_>,
        note: &KeySlotNote,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let SlotKeys { keyring, key } = keys;
        let known = keyring.subkey(Purpose::Snapshot)?;
        assert!(key.derive(Purpose::Snapshot).bytes() == known.bytes(), "one key, one keyring");
        let generation = key.generation();
        let (kind, cost) = match protection {
            Protection::Passphrase(_, cost) => (ProtectionKind::Passphrase, cost),
            Protection::KeyFile(_) => (ProtectionKind::KeyFile, KdfCost::NONE),
        };
        let (repository, suite) = (keyring.repository(), keyring.suite());
        let (id, salt) = (KeySlotId::random(entropy), random(entropy));
        let head = Head { repository, id, kind, role, suite, generation, cost, salt };
        let derived = match protection {
            Protection::Passphrase(passphrase, _) => head.derive(&head.stretch(passphrase)?),
            Protection::KeyFile(KeyFile(secret)) => head.derive(secret),
        };
        let text = note.encode()?;
        let note = keyring.seal_object(ObjectKind::KeySlotNote, id.bytes(), &text, entropy)?;
        let sealed_bytes = role.text_bytes(generation) + TAG_BYTES;
        let mut sealed = Vec::with_capacity(sealed_bytes);
        sealed.extend_from_slice(&role.text(key));
        let aad = head.aad(&derived.commitment);
        derived.key.seal(Nonce::only(), &aad, &mut sealed, 0);
        assert_eq!(sealed.len(), sealed_bytes, "the table and the code agree");
        Ok(Self { head, commitment: derived.commitment, sealed, note })
    }

    /// Opens the repository key.
    pub fn open(&self, credential: &Credential, limits: &Limits) -> Result<Unlocked, SealError> {
        let Head { repository, id, kind, role, suite, cost, .. } = self.head;
        let (derived, wrong) = match (credential, kind) {
            (Credential::Passphrase(passphrase), ProtectionKind::Passphrase) => {
                if !limits.accepts(cost) {
                    return Err(SealError::CostRefused(cost));
                }
                let stretched = self.head.stretch(passphrase)?;
                (self.head.derive(&stretched), SealError::WrongPassphrase(id))
            }
            (Credential::KeyFile(KeyFile(secret)), ProtectionKind::KeyFile) => {
                (self.head.derive(secret), SealError::WrongKeyFile(id))
            }
            (Credential::Passphrase(_) | Credential::KeyFile(_), kind) => {
                return Err(SealError::OtherCredential { slot: id, needs: kind.name() });
            }
        };
        let Some(wrap) = derived.confirm(&self.commitment) else { return Err(wrong) };
        let mut text = Zeroizing::new(self.sealed.clone());
        wrap.open(&Nonce::only(), &self.head.aad(&self.commitment), &mut text, KEY_SLOT)?;
        let contents = SlotContents::read(role, text)?;
        Ok(Unlocked { contents, repository, suite, slot: Some(id) })
    }

    /// Opens what is known about the key slot.
    pub fn note(&self, keyring: &Keyring) -> Result<KeySlotNote, SealError> {
        keyring.require_repository(KEY_SLOT, self.head.repository)?;
        let kind = ObjectKind::KeySlotNote;
        let text = keyring.open_object(kind, self.head.id.bytes(), &self.note)?;
        KeySlotNote::decode(&text)
    }

    /// Returns the id of the key slot, which is its name under `keys/`.
    pub fn id(&self) -> KeySlotId {
        self.head.id
    }

    /// Returns the repository that the key slot claims to open.
    pub fn repository(&self) -> RepositoryId {
        self.head.repository
    }

    /// Returns the rights that the key gives.
    pub fn role(&self) -> Role {
        self.head.role
    }

    /// Returns the newest generation of keys that the key slot has.
    pub fn generation(&self) -> u8 {
        self.head.generation
    }

    /// Returns the kind of credential that opens the key slot.
    pub fn protection(&self) -> ProtectionKind {
        self.head.kind
    }

    /// Returns the bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head.aad(&self.commitment);
        out.extend_from_slice(&self.sealed);
        out.extend_from_slice(&u32_of(self.note.len()).to_le_bytes());
        out.extend_from_slice(&self.note);
        checksum::append(&mut out);
        assert!(out.len() <= KEY_SLOT_BYTES_MAX, "labels are short");
        out
    }

    /// Reads the bytes of the object. Nothing in it is believed before it opens.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() > KEY_SLOT_BYTES_MAX {
            let (what, bytes_max) = (KEY_SLOT, KEY_SLOT_BYTES_MAX);
            return Err(SealError::TooLarge { what, bytes: bytes.len(), bytes_max });
        }
        let mut input = checksum::open(KEY_SLOT, MAGIC, VERSION, bytes)?;
        let head = Head::read(&mut input)?;
        let commitment = input.array()?;
        let sealed = input.take(head.role.text_bytes(head.generation) + TAG_BYTES)?.to_vec();
        let note_bytes = usize_of_u32(input.u32()?);
        let note = input.take(note_bytes)?.to_vec();
        input.finish()?;
        Ok(Self { head, commitment, sealed, note })
    }
}

/// The fields that stand in clear before the commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    repository: RepositoryId,
    id: KeySlotId,
    kind: ProtectionKind,
    role: Role,
    suite: Suite,
    generation: u8,
    cost: KdfCost,
    salt: Salt,
}

impl Head {
    /// Returns the associated data of the sealed key, which are the first bytes of the object.
    fn aad(&self, commitment: &Commitment) -> Vec<u8> {
        let mut out = Vec::with_capacity(KEY_SLOT_BYTES_MAX);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(self.repository.bytes());
        out.extend_from_slice(self.id.bytes());
        let codes = [self.kind.byte(), self.role.payload(), self.suite.byte(), self.generation];
        out.extend_from_slice(&codes);
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(out.len(), SALT_AT, "the table and the code agree");
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(commitment);
        assert_eq!(out.len(), SEALED_AT, "the table and the code agree");
        out
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, SealError> {
        let repository = RepositoryId::new(input.array()?);
        let id = KeySlotId::new(input.array()?);
        let kind = ProtectionKind::from_byte(input.u8()?)?;
        let role = Role::from_payload(input.u8()?)?;
        let suite = Suite::from_byte(input.u8()?)?;
        let generation = input.u8()?;
        if generation > GENERATION_MAX {
            return Err(input.malformed("its generation of keys is too high").into());
        }
        let (memory_kib, passes, lanes) = (input.u32()?, input.u32()?, input.u32()?);
        let cost = KdfCost { memory_kib, passes, lanes };
        if kind == ProtectionKind::KeyFile && cost != KdfCost::NONE {
            return Err(input.malformed("a key file has no stretching").into());
        }
        let salt = input.array()?;
        Ok(Self { repository, id, kind, role, suite, generation, cost, salt })
    }

    fn stretch(&self, passphrase: &Passphrase) -> Result<Secret, SealError> {
        let KdfCost { memory_kib, passes, lanes } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES))
            .map_err(|_| SealError::CostRefused(self.cost))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // A pool of its own: that of the process would keep a thread a core for ever.
        let pool = ThreadPoolBuilder::new()
            .num_threads(usize_of_u32(lanes))
            .thread_name(|lane| format!("haulout-key-{}", lane + 1))
            .build()
            .map_err(|_| SealError::NotEnoughMemory(self.cost))?;
        let mut outcome = Ok(());
        let secret = Secret::build(|bytes| {
            let stretch = || argon.hash_password_into(&passphrase.0, &self.salt, bytes);
            outcome = pool.install(stretch);
        });
        outcome.map(|()| secret).map_err(|_| SealError::NotEnoughMemory(self.cost))
    }

    fn derive(&self, secret: &Secret) -> CommittedKey {
        let parts: [&[u8]; 2] = [secret.bytes(), &self.salt];
        CommittedKey::derive(Suite::Aes256GcmSiv, KEY_SLOT_CONTEXT, &parts)
    }
}
