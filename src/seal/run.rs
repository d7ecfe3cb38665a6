//! The secrets of a run, and the small object that keeps them.
//!
//! Each run draws two secrets, one for its data packs and one for its meta packs; the keys of all
//! its sections derive from them. They are stored sealed in `runs/<run id>`, a copy for everyone
//! who may open them, so adding or removing a key slot re-seals these small objects and never a
//! pack. Every pack carries the copies of its class too, as a last resort.
//!
//! Object `runs/<run id>`:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `HAULORUN` |
//! | 8 | 2 | version, 1 |
//! | 10 | 16 | repository id |
//! | 26 | 16 | run id |
//! | 42 | 1 | number of copies |
//! | 43 | .. | the copies |
//! | end - 16 | 16 | BLAKE3 of all before it, first 16 bytes |
//!
//! A copy:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 1 | class of the secret |
//! | 1 | 1 | kind: 1 wrapped by a key of the repository; 2 sealed to the recovery key by HPKE |
//! | 2 | 2 | length of the body |
//! | 4 | .. | kind 1: nonce (12), AES-256-GCM-SIV of the secret (32), tag (16) |
//! | 4 | .. | kind 2: encapsulated key (1120), ChaCha20-Poly1305 of the secret (32), tag (16) |
//!
//! Kind 1 is sealed under the wrap key of the class, kind 2 is what a write-only host makes of the
//! secret of its data packs: it can seal to the recovery key, and not open. The associated data are
//! `repository id (16) | run id (16) | class | kind`, not the record, so the same copy is good in a
//! pack. Kind 1 is encrypted in every suite: what it protects in an unencrypted repository is
//! nothing, and what it costs is nothing either.
//!
//! Invariants:
//! - Reading keeps copies of kinds it does not know, and the checksum covers them.
//! - The checksum tells a damaged record from a wrong key; it is no protection from forgery.
//!
//! It does not forget: a run's writer drops its secrets when it ends, which is what makes kind 2
//! worth anything.

use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::error::Malformed;
use crate::base::ids::Class;
use crate::base::wire::Reader;
use crate::seal::checksum;
use crate::seal::checksum::CHECKSUM_BYTES;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::ids::RunId;
use crate::seal::keys::Keyring;
use crate::seal::purpose::Purpose;
use crate::seal::recovery;
use crate::seal::recovery::SEALED_SECRET_BYTES;
use crate::seal::secret::KEY_BYTES;
use crate::seal::secret::Secret;
use crate::seal::secret::Subkey;
use crate::seal::suite::AeadKey;
use crate::seal::suite::NONCE_BYTES;
use crate::seal::suite::Nonce;
use crate::seal::suite::Suite;
use crate::seal::suite::TAG_BYTES;

/// Maximum size of a run record in bytes; what is longer is refused unread.
pub const RUN_RECORD_BYTES_MAX: usize = 64 << 10;

/// Maximum number of copies in a record.
pub const RUN_COPIES_MAX: usize = 32;

/// Maximum size of the body of a copy in bytes: room for a hybrid key encapsulation.
pub const COPY_BODY_BYTES_MAX: usize = 1536;

const RUN_RECORD: &str = "run record";
const SEALED_COPY: &str = "sealed run secret";
const MAGIC: [u8; 8] = *b"HAULORUN";
const VERSION: u16 = 1;
const KIND_WRAPPED: u8 = 1;
const KIND_RECOVERY: u8 = 2;
const WRAPPED_BODY_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const COPY_HEAD_BYTES: usize = 4;
const RECORD_HEAD_BYTES: usize = 43;

const _: () = assert!(
    RECORD_HEAD_BYTES + RUN_COPIES_MAX * (COPY_HEAD_BYTES + COPY_BODY_BYTES_MAX) + CHECKSUM_BYTES
        <= RUN_RECORD_BYTES_MAX
);

/// The secret that the sections of one class of one run derive from.
#[derive(Debug)]
pub struct ClassSecret(Secret);

impl ClassSecret {
    /// Generates a random secret.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::build(|bytes| entropy.fill(bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }
}

/// Both secrets of a run, as its writer has them.
#[derive(Debug)]
pub struct RunSecret {
    /// The secret for data packs.
    pub data: ClassSecret,
    /// The secret for meta packs.
    pub meta: ClassSecret,
}

impl RunSecret {
    /// Generates a random pair of secrets.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self { data: ClassSecret::generate(entropy), meta: ClassSecret::generate(entropy) }
    }

    /// Returns the secret of one class.
    pub fn class(&self, class: Class) -> &ClassSecret {
        match class {
            Class::Data => &self.data,
            Class::Meta => &self.meta,
        }
    }
}

/// One secret of a run, sealed for someone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCopy {
    class: Class,
    kind: u8,
    body: Vec<u8>,
}

impl SealedCopy {
    /// Returns the class of the secret.
    #[cfg(any(test, feature = "internals"))]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Appends the bytes of the copy to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body_bytes = u16::try_from(self.body.len()).expect("a body is at most 1536 bytes");
        out.extend_from_slice(&[self.class.code(), self.kind]);
        out.extend_from_slice(&body_bytes.to_le_bytes());
        out.extend_from_slice(&self.body);
    }

    /// Reads one from the front of `bytes`, and moves `bytes` past it.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, SealError> {
        let mut input = Reader::new(SEALED_COPY, bytes);
        let copy = Self::read(&mut input)?;
        *bytes = &bytes[bytes.len() - input.left()..];
        Ok(copy)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, SealError> {
        let code = input.u8()?;
        let unknown = SealError::UnknownCode { what: "class", code };
        let class = Class::from_code(code).ok_or(unknown)?;
        let kind = input.u8()?;
        let body_bytes = usize::from(input.u16()?);
        if body_bytes > COPY_BODY_BYTES_MAX {
            return Err(input.malformed("a body is too long").into());
        }
        if kind == KIND_RECOVERY && body_bytes != SEALED_SECRET_BYTES {
            return Err(input
                .malformed("a secret sealed to the recovery key has another length")
                .into());
        }
        if kind == KIND_WRAPPED && body_bytes != WRAPPED_BODY_BYTES {
            return Err(input.malformed("a wrapped secret has another length").into());
        }
        Ok(Self { class, kind, body: input.take(body_bytes)?.to_vec() })
    }
}

/// The content of the object `runs/<run id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    repository: RepositoryId,
    run: RunId,
    copies: Vec<SealedCopy>,
}

impl RunRecord {
    /// Returns the run whose secrets these are.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Returns the copies of one class: what each pack of the class carries.
    pub fn copies_of(&self, class: Class) -> impl Iterator<Item = &SealedCopy> {
        self.copies.iter().filter(move |copy| copy.class == class)
    }

    /// Returns the bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.copies.len()).expect("a record has at most 32 copies");
        let mut out = Vec::with_capacity(RECORD_HEAD_BYTES + CHECKSUM_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(self.repository.bytes());
        out.extend_from_slice(self.run.bytes());
        out.push(count);
        assert_eq!(out.len(), RECORD_HEAD_BYTES, "the table and the code agree");
        self.copies.iter().for_each(|copy| copy.encode(&mut out));
        checksum::append(&mut out);
        out
    }

    /// Reads the bytes of the object. Which of its copies are authentic shows when one is opened.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() > RUN_RECORD_BYTES_MAX {
            return Err(SealError::TooLarge {
                what: RUN_RECORD,
                bytes: bytes.len(),
                bytes_max: RUN_RECORD_BYTES_MAX,
            });
        }
        let mut input = checksum::open(RUN_RECORD, MAGIC, VERSION, bytes)?;
        let repository = RepositoryId::new(input.array()?);
        let run = RunId::new(input.array()?);
        let count = usize::from(input.u8()?);
        if count > RUN_COPIES_MAX {
            return Err(input.malformed("has too many copies").into());
        }
        let copies = (0..count).map(|_| SealedCopy::read(&mut input)).collect::<Result<_, _>>()?;
        input.finish()?;
        Ok(Self { repository, run, copies })
    }
}

impl Keyring {
    /// Seals both secrets of a run for everyone who may open them.
    pub fn seal_run(
        &self,
        run: RunId,
        secret: &RunSecret,
        entropy: &dyn Entropy,
    ) -> Result<RunRecord, SealError> {
        let copies = [Class::Data, Class::Meta]
            .into_iter()
            .map(|class| self.seal_copy(run, class, secret.class(class), entropy))
            .collect::<Result<_, _>>()?;
        Ok(RunRecord { repository: self.repository(), run, copies })
    }

    /// Opens the secret of one class.
    pub fn open_run(&self, record: &RunRecord, class: Class) -> Result<ClassSecret, SealError> {
        self.require_repository(RUN_RECORD, record.repository)?;
        self.open_any(record.run, class, record.copies_of(class))
    }

    /// Opens the first of several copies that this keyring has a key for.
    pub fn open_any<'a>(
        &self,
        run: RunId,
        class: Class,
        copies: impl IntoIterator<Item = &'a SealedCopy>,
    ) -> Result<ClassSecret, SealError> {
        let mut answer = Err(SealError::NoCopy(class_name(class)));
        let known = |copy: &&SealedCopy| [KIND_WRAPPED, KIND_RECOVERY].contains(&copy.kind);
        for copy in copies.into_iter().filter(known) {
            answer = self.open_copy(run, class, copy);
            if answer.is_ok() {
                break;
            }
        }
        answer
    }

    fn seal_copy(
        &self,
        run: RunId,
        class: Class,
        secret: &ClassSecret,
        entropy: &dyn Entropy,
    ) -> Result<SealedCopy, SealError> {
        let held = self.subkey(purpose_of(class));
        if let (Err(_), Some(recovery)) = (&held, self.recovery()) {
            let context = self.copy_context(run, class, KIND_RECOVERY);
            let body = recovery.seal(&secret.0, &context, entropy);
            return Ok(SealedCopy { class, kind: KIND_RECOVERY, body });
        }
        let nonce = Nonce::random(entropy);
        let mut body = Vec::with_capacity(WRAPPED_BODY_BYTES);
        body.extend_from_slice(nonce.bytes());
        body.extend_from_slice(secret.bytes());
        let context = self.copy_context(run, class, KIND_WRAPPED);
        wrap_key(held?).seal(nonce, &context, &mut body, NONCE_BYTES);
        assert_eq!(body.len(), WRAPPED_BODY_BYTES, "the table and the code agree");
        Ok(SealedCopy { class, kind: KIND_WRAPPED, body })
    }

    fn open_copy(
        &self,
        run: RunId,
        class: Class,
        copy: &SealedCopy,
    ) -> Result<ClassSecret, SealError> {
        let context = self.copy_context(run, class, copy.kind);
        let purpose = match copy.kind {
            KIND_RECOVERY => Purpose::Recovery,
            _ => purpose_of(class),
        };
        // Who has no seed lacks the key to data packs: that is what the error shall say.
        let keys = self.every(purpose).map_err(|_| SealError::KeyNotInSlot(purpose_of(class)))?;
        // The generation that wrapped it is not recorded; its tag shows it.
        let mut answer = Err(SealError::NotAuthentic { what: SEALED_COPY });
        for (_, key) in keys {
            answer = match copy.kind {
                KIND_RECOVERY => recovery::open(key, &copy.body, &context),
                _ => unwrap(key, &copy.body, &context),
            };
            if answer.is_ok() {
                break;
            }
        }
        answer.map(ClassSecret)
    }

    fn copy_context(&self, run: RunId, class: Class, kind: u8) -> [u8; 34] {
        let mut context = [0; 34];
        context[..16].copy_from_slice(self.repository().bytes());
        context[16..32].copy_from_slice(run.bytes());
        context[32] = class.code();
        context[33] = kind;
        context
    }
}

/// Opens a copy of kind 1.
fn unwrap(key: &Subkey, body: &[u8], context: &[u8]) -> Result<Secret, SealError> {
    let mut input = Reader::new(SEALED_COPY, body);
    let nonce = Nonce::stored(input.array()?);
    let mut text = Zeroizing::new(input.take(input.left())?.to_vec());
    wrap_key(key).open(&nonce, context, &mut text, SEALED_COPY)?;
    let Some(bytes) = text.as_array::<KEY_BYTES>() else {
        return Err(Malformed { what: SEALED_COPY, why: "is not 32 bytes long" }.into());
    };
    Ok(Secret::build(|own| own.copy_from_slice(bytes)))
}

fn wrap_key(wrap: &Subkey) -> AeadKey {
    let key = Secret::build(|bytes| bytes.copy_from_slice(wrap.bytes()));
    AeadKey::new(Suite::Aes256GcmSiv, key)
}

fn purpose_of(class: Class) -> Purpose {
    match class {
        Class::Data => Purpose::RunData,
        Class::Meta => Purpose::RunMeta,
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Data => "data",
        Class::Meta => "meta",
    }
}
