//! Streaming physical backups of MariaDB that store only the bytes that changed.
//!
//! A physical backup is a stream of database pages, and two nights apart most of them are the same.
//! The place of a page (tablespace, number) tells which earlier page to compare it with, so nothing
//! has to be searched: the previous map is read in step with the stream, an unchanged page costs a
//! hash, and a changed one is stored as its difference, a few hundred bytes.
//!
//! ```text
//! source -> parse -> cut -> hash -> compare -> encode -> seal -> pack -> store -> snapshot
//!           frames   blocks  BLAKE3  prev. map  delta/zstd  AEAD   32 MiB  dir     last
//! ```
//!
//! Restoring is the reverse: map, frames (bases included), open, decode, verify each block's hash,
//! write in place.
//!
#![doc = include_str!("guide/glossary.md")]
//!
//! # Invariants
//!
//! - A snapshot is written when everything that it needs is durable; nothing is ever rewritten in
//!   place.
//! - A stream that is not whole is never called complete; its bytes are kept all the same.
//! - Nothing unverified is ever written out.
//! - Memory does not depend on the size of the stream.
//!
//! # Order
//!
//! Modules stand below in the order in which they may use each other, from the bottom up;
//! `tests/tidy.rs` checks it. The library touches no terminal, no environment, no clock and no
//! randomness except through arguments.

pub mod base;

pub mod format;

pub mod aria;
pub mod innodb;

pub mod parse;

pub mod verdict;

pub mod source;

pub mod cut;
pub mod hash;

pub mod encode;

pub mod seal;

pub mod store;

pub mod pack;

pub mod map;

pub mod repo;

pub mod pipeline;

pub mod ops;

pub mod guide;
