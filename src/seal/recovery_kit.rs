//! The recovery kit: the repository key on paper.
//!
//! Passwords are forgotten and machines burn down; what is left then is a sheet in a safe. A kit is
//! a text that can be printed and typed again. It carries either a key slot of its own, sealed by a
//! passphrase that is dearer to guess than others (a thief of the sheet may guess at leisure),
//! or the key itself, which then needs a safe. Nothing in the repository belongs to it, so it also
//! opens one whose `keys/` are lost.
//!
//! The bytes of a kit:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `HAULOKIT` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | kind: 1 a key slot, 2 the repository key, 3 the same of several generations |
//! | 11 | 1 | zero |
//! | 12 | .. | kind 1: the bytes of a key slot, as in `keys/` |
//! | 12 | 49 | kind 2: repository id (16), suite (1), repository key (32) |
//! | 12 | 114.. | kind 3: repository id (16), suite (1), generation (1), keys as in payload 1 |
//! | end - 16 | 16 | BLAKE3 of all before it, first 16 bytes |
//!
//! They are written in base 32 (`0` to `9` and the letters but `i`, `l`, `o`, `u`), the highest bit
//! first, filled up with zero bits. A line has a number of two digits, counted from 01, up to eight
//! groups of four characters, and one group more after an equals sign: the first 20 bits of the
//! checksum that derives from the line's number (one byte) and its characters. Everything else on
//! the sheet is for people, and is not read.
//!
//! Invariants:
//! - One wrong, missing or doubled line is named by its number.
//! - Capitals, and `o`, `i` and `l` where `0` and `1` are meant, are understood.
//! - No space has to be typed.
//!
//! It does not ask for passphrases, and writes no files.

use std::fmt::Write;

use zeroize::Zeroizing;

use crate::base::entropy::Entropy;
use crate::base::error::Malformed;
use crate::base::num::usize_of_u32;
use crate::seal::checksum;
use crate::seal::cost::KdfCost;
use crate::seal::cost::Limits;
use crate::seal::error::SealError;
use crate::seal::ids::RepositoryId;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::KeySlotNote;
use crate::seal::key_slot::Passphrase;
use crate::seal::key_slot::Protection;
use crate::seal::key_slot::Unlocked;
use crate::seal::keys::GENERATION_MAX;
use crate::seal::keys::RepositoryKey;
use crate::seal::keys::key_text_bytes;
use crate::seal::purpose::Purpose;
use crate::seal::slot_contents::SlotContents;
use crate::seal::suite::Suite;

/// The words with which the text of a kit begins.
pub const KIT_BEGINS: &str = "haulout recovery kit";

/// Maximum length of a text that is read as a kit, in bytes.
pub const KIT_TEXT_BYTES_MAX: usize = 64 << 10;

pub(super) const LINE_CONTEXT: &str = "haulout 1 2026 recovery kit line checksum";

const RECOVERY_KIT: &str = "recovery kit";
const MAGIC: [u8; 8] = *b"HAULOKIT";
const VERSION: u16 = 1;
const KIND_KEY_SLOT: u8 = 1;
const KIND_KEY: u8 = 2;
const KIND_LATER_KEY: u8 = 3;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP_CHARACTERS: usize = 4;
const LINE_CHARACTERS: usize = 8 * GROUP_CHARACTERS;
const LINES_MAX: usize = 99;

/// The content of a recovery kit: a sealed key slot, or the key itself.
#[derive(Debug)]
pub struct RecoveryKit(Content);

#[derive(Debug)]
enum Content {
    KeySlot(Box<KeySlot>),
    Key { repository: RepositoryId, suite: Suite, key: RepositoryKey },
}

impl RecoveryKit {
    /// Creates a kit that needs a passphrase.
    pub fn sealed(
        unlocked: &Unlocked,
        passphrase: &Passphrase,
        cost: KdfCost,
        note: &KeySlotNote,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let key = unlocked.key().ok_or(SealError::KeyNotInSlot(Purpose::Recovery))?;
        let protection = Protection::Passphrase(passphrase, cost);
        let slot = KeySlot::seal(&unlocked.keyring(), key, protection, note, entropy)?;
        Ok(Self(Content::KeySlot(Box::new(slot))))
    }

    /// Creates a kit that opens the repository by itself.
    pub fn in_clear(unlocked: &Unlocked) -> Result<Self, SealError> {
        let key = unlocked.key().ok_or(SealError::KeyNotInSlot(Purpose::Recovery))?;
        let key = key.duplicate();
        let (repository, suite) = (unlocked.repository, unlocked.suite);
        Ok(Self(Content::Key { repository, suite, key }))
    }

    /// Tells whether the kit opens with a passphrase only.
    pub fn needs_passphrase(&self) -> bool {
        matches!(self.0, Content::KeySlot(_))
    }

    /// Returns the repository that the kit claims to open.
    pub fn repository(&self) -> RepositoryId {
        match &self.0 {
            Content::KeySlot(slot) => slot.repository(),
            Content::Key { repository, .. } => *repository,
        }
    }

    /// Opens the repository key.
    pub fn open(
        &self,
        passphrase: Option<&Credential>,
        limits: &Limits,
    ) -> Result<Unlocked, SealError> {
        match (&self.0, passphrase) {
            (Content::Key { repository, suite, key }, _) => Ok(Unlocked {
                contents: SlotContents::Key(key.duplicate()),
                repository: *repository,
                suite: *suite,
                slot: None,
            }),
            (Content::KeySlot(slot), Some(passphrase)) => slot.open(passphrase, limits),
            (Content::KeySlot(slot), None) => {
                Err(SealError::OtherCredential { slot: slot.id(), needs: "password" })
            }
        }
    }

    /// Returns the sheet, with `heading` (lines for people) above the numbered lines.
    pub fn to_text(&self, heading: &str) -> Zeroizing<String> {
        let bytes = self.encode();
        let characters = spell(&bytes);
        let mut text = Zeroizing::new(String::with_capacity(heading.len() + bytes.len() * 3 + 256));
        text.push_str(KIT_BEGINS);
        text.push_str("\n\n");
        text.push_str(heading);
        text.push('\n');
        for (number, line) in (1..).zip(characters.chunks(LINE_CHARACTERS)) {
            write!(text, "{number:02} ").expect("a string takes everything");
            for group in line.chunks(GROUP_CHARACTERS) {
                text.push(' ');
                text.push_str(str::from_utf8(group).expect("base 32 is ASCII"));
            }
            text.push_str(" =");
            text.extend(sum_of(number, line).map(char::from));
            text.push('\n');
        }
        text
    }

    /// Reads the sheet, as it was written or as somebody typed it.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        if text.len() > KIT_TEXT_BYTES_MAX {
            let (what, bytes_max) = (RECOVERY_KIT, KIT_TEXT_BYTES_MAX);
            return Err(SealError::TooLarge { what, bytes: text.len(), bytes_max });
        }
        let mut characters = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut due = 1;
        for line in text.lines() {
            let Some((number, rest)) = numbered(line) else { continue };
            if number != due {
                let why = if number < due { "stands there twice" } else { "is missing" };
                return Err(SealError::KitLine { line: number.min(due), why });
            }
            let refused = |why| SealError::KitLine { line: number, why };
            let (own, sum) = rest.split_once('=').ok_or(refused("has no checksum"))?;
            let typed = Zeroizing::new(normal(own).ok_or(refused("has a wrong character"))?);
            if normal(sum).is_none_or(|sum| *sum != sum_of(number, &typed)) {
                return Err(refused("does not match its checksum"));
            }
            characters.extend_from_slice(&typed);
            due += 1;
        }
        let bytes = read(&characters);
        Self::decode(&bytes)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(4096));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        match &self.0 {
            Content::KeySlot(slot) => {
                out.extend_from_slice(&[KIND_KEY_SLOT, 0]);
                out.extend_from_slice(&slot.encode());
            }
            Content::Key { repository, suite, key } => {
                let generation = key.generation();
                out.extend_from_slice(&[
                    if generation == 0 { KIND_KEY } else { KIND_LATER_KEY },
                    0,
                ]);
                out.extend_from_slice(repository.bytes());
                out.push(suite.byte());
                out.extend((generation > 0).then_some(generation));
                out.extend_from_slice(&key.to_text());
            }
        }
        checksum::append(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.is_empty() {
            return Err(Malformed { what: RECOVERY_KIT, why: "has no numbered line" }.into());
        }
        let mut input = checksum::open(RECOVERY_KIT, MAGIC, VERSION, bytes)?;
        let kind = input.u8()?;
        if input.u8()? != 0 {
            return Err(input.malformed("a reserved byte is not zero").into());
        }
        match kind {
            KIND_KEY_SLOT => {
                let slot = KeySlot::decode(input.take(input.left())?)?;
                Ok(Self(Content::KeySlot(Box::new(slot))))
            }
            KIND_KEY | KIND_LATER_KEY => {
                let repository = RepositoryId::new(input.array()?);
                let suite = Suite::from_byte(input.u8()?)?;
                let generation = if kind == KIND_KEY { 0 } else { input.u8()? };
                if (generation == 0) != (kind == KIND_KEY) || generation > GENERATION_MAX {
                    return Err(input.malformed("its generation of keys is out of bounds").into());
                }
                let text = input.take(key_text_bytes(generation))?;
                let key = RepositoryKey::from_text(text);
                input.finish()?;
                Ok(Self(Content::Key { repository, suite, key }))
            }
            code => Err(SealError::UnknownCode { what: "kind of recovery kit", code }),
        }
    }
}

/// Splits a line that begins with a number of two digits. A space follows the number, or else the
/// line has nothing but groups and their checksum.
fn numbered(line: &str) -> Option<(u8, &str)> {
    let line = line.trim();
    let (number, rest) = line.split_at_checked(2)?;
    let digits = number.bytes().all(|digit| digit.is_ascii_digit());
    let is_apart = rest.starts_with(|c: char| c.is_ascii_whitespace());
    let is_typed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'=' || byte == b' ';
    let is_together = rest.contains('=') && rest.bytes().all(is_typed);
    let number = number.parse().ok().filter(|_| digits && (is_apart || is_together))?;
    Some((number, rest))
}

/// Converts what was typed to the characters that are written; `None` if one has no meaning.
fn normal(typed: &str) -> Option<Vec<u8>> {
    let spoken = typed.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let understood = spoken.map(|byte| match byte.to_ascii_lowercase() {
        b'o' => Some(b'0'),
        b'i' | b'l' => Some(b'1'),
        byte => ALPHABET.contains(&byte).then_some(byte),
    });
    understood.collect()
}

/// Returns four characters that reveal a typing error in a line, and next to nothing of its bytes.
fn sum_of(number: u8, line: &[u8]) -> [u8; GROUP_CHARACTERS] {
    let mut hasher = blake3::Hasher::new_derive_key(LINE_CONTEXT);
    hasher.update(&[number]).update(line);
    let sum = spell(&hasher.finalize().as_bytes()[..3]);
    *sum.first_chunk().expect("three bytes are five characters")
}

fn spell(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() * 8 / 5 + 1));
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(ALPHABET[usize_of_u32(bits >> count & 31)]);
        }
    }
    if count > 0 {
        out.push(ALPHABET[usize_of_u32(bits << (5 - count) & 31)]);
    }
    assert!(out.len() <= LINES_MAX * LINE_CHARACTERS, "a kit is short");
    out
}

/// Decodes characters that [`normal`] returned; bits that fill no byte are left out.
fn read(characters: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(characters.len() * 5 / 8));
    let (mut bits, mut count) = (0u32, 0);
    for character in characters {
        let value = ALPHABET.iter().position(|known| known == character);
        let value = value.expect("what was typed was made normal");
        bits = (bits << 5 | u32::try_from(value).expect("there are 32 characters")) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("it is masked"));
        }
    }
    out
}
