//! Keys and sealing: what keeps a store from reading, forging or mixing up what it holds.
//!
//! A store is not trusted. It may be read by others, and it may give back something else than was
//! put. So everything but `config` is sealed: encrypted, and bound to the repository and the place
//! it belongs to. In a repository without encryption the same bytes are in the same places, only
//! the text is plain and the tag is a keyed hash: damage is found either way.
//!
//! ```text
//! passphrase -- Argon2id --+                        +-> keys for hashing, cutting and naming
//!                          +-> opens the REPOSITORY +-> snapshot key, small object key
//! key file ----------------+   KEY  (keys/<id>)     +-> wrap keys -> open the RUN's two SECRETS
//!                                                                    (runs/<run id>, each pack)
//!                                                            secret + salt -> key of a section
//! ```
//!
//! Every arrow to the right is BLAKE3's `derive_key` with a context string of its own:
//!
//! | context | input, concatenated | gives |
//! |---|---|---|
//! | `haulout 1 2026 block hash key` | R | 32 bytes |
//! | `haulout 1 2026 cut key` | R | 32 bytes |
//! | `haulout 1 2026 source key` | R | 32 bytes |
//! | `haulout 1 2026 path key` | R | 32 bytes |
//! | `haulout 1 2026 snapshot key` | R | 32 bytes |
//! | `haulout 1 2026 small object key` | R | 32 bytes |
//! | `haulout 1 2026 run meta wrap key` | R | 32 bytes |
//! | `haulout 1 2026 run data wrap key` | R | 32 bytes |
//! | `haulout 1 2026 config key` | R | 32 bytes |
//! | `haulout 1 2026 recovery key` | R | 32 bytes, the seed of an X-Wing key pair |
//! | `haulout 1 2026 prune key` | R | 32 bytes |
//! | `haulout 1 2026 section key` | suite, run secret of the class, salt | K, C |
//! | `haulout 1 2026 sealed object key` | suite, key of the object, salt, kind | K, C |
//! | `haulout 1 2026 holder wrap key` | 1, stretched passphrase or key file, salt | K, C |
//! | `haulout 1 2026 key file checksum` | key file | 4 bytes |
//! | `haulout 1 2026 recovery kit line checksum` | number of the line, its characters | 3 bytes |
//!
//! R is the repository key of a generation: for hashes of blocks, cuts, sources, paths and `config`
//! always of the first, for what is sealed of the newest. K is a cipher key of 32 bytes, C the 32
//! bytes after it in the same stream: the commitment to the key. Suite and kind are one byte, keys
//! and salts have 32. The key of an object is the snapshot key or the small object key.
//!
//! The parts: `suite` seals texts; `purpose`, `secret` and `keys` derive; `key_slot` is
//! `keys/<id>`, `slot_contents` what is in it, and `cost` what guessing its passphrase takes;
//! `recovery_kit` is the key on paper; `run` is `runs/<id>`; `section` seals the frames of packs;
//! `object` seals whole small objects;
//! `prune_tag` tags those that remove.
//!
//! Invariants:
//! - No key is used for two things, and no (key, nonce) pair for two texts.
//! - A key commitment is compared before anything is opened under the key.
//! - What fails to open yields an error and no plaintext.
//! - Numbers are little-endian; unknown versions, kinds and suites are refused by name.
//! - Bytes from a store never make this module panic or allocate more than their own size.
//!
//! It does no input or output, keeps no clock, and takes randomness as an argument. It does not
//! hide sizes, and does not sign: anyone who has the repository key, or the part of it that a
//! write-only key has, can write to the repository.

mod checksum;
pub mod cost;
pub mod error;
pub mod ids;
pub mod key_slot;
pub mod keys;
pub mod object;
pub mod prune_tag;
pub mod purpose;
pub mod recovery;
pub mod recovery_kit;
pub mod run;
pub mod secret;
pub mod section;
pub mod slot_contents;
pub mod suite;
#[cfg(test)]
mod tests;
