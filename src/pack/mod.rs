//! Packs: frames and the directory that tells what is in them (FORMAT.md 5).
//!
//! [`writer`] lays encoded frames and deltas out, and [`filled`] seals them into one immutable
//! object whose name is the hash of its bytes. [`reader`] opens packs by name, fetches neighbouring
//! frames together, follows bases, and hands out blocks only after their hash was found right.
//! [`cache`] bounds what a reader keeps.

pub mod cache;
pub mod filled;
pub mod reader;
pub mod writer;
