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
//! # Using it
//!
//! A verb takes a [`Repository`], its options, and the [`World`] last; it returns a report and
//! prints nothing. Back up bytes to a repository in memory:
//!
//! ```
//! use std::sync::Arc;
//!
//! use haulout::World;
//! use haulout::ops::backup::BackupOptions;
//! use haulout::ops::backup::backup;
//! use haulout::repo::NewProtection;
//! use haulout::repo::Repository;
//! use haulout::repo::Verdict;
//! use haulout::source::BytesSource;
//! use haulout::source::ProducerExit;
//! use haulout::store::memory::MemoryStore;
//!
//! # fn main() -> haulout::Result<()> {
//! let world = World::of_this_machine();
//! let store = Arc::new(MemoryStore::new());
//! let repository = Repository::init(store, &NewProtection::Clear, &world)?;
//! let stream = BytesSource::new(b"-- a stream".to_vec(), 1 << 20, ProducerExit::Exited(0));
//! let report = backup(&repository, Box::new(stream), &BackupOptions::new("db1"), &world)?;
//! assert_eq!(report.about.verdict, Verdict::Complete);
//! # Ok(())
//! # }
//! ```
//!
//! Restore the newest backup of a source, here as the stream that was backed up:
//!
//! ```
//! # use std::sync::Arc;
//! # use haulout::ops::backup::BackupOptions;
//! # use haulout::repo::NewProtection;
//! # use haulout::source::BytesSource;
//! # use haulout::source::ProducerExit;
//! # use haulout::store::memory::MemoryStore;
//! # use haulout::{Repository, World, backup};
//! use haulout::ops::restore::RestoreOptions;
//! use haulout::ops::restore::Target;
//! use haulout::ops::restore::restore;
//!
//! # fn main() -> haulout::Result<()> {
//! # let world = World::of_this_machine();
//! # let store = Arc::new(MemoryStore::new());
//! # let repository = Repository::init(store, &NewProtection::Clear, &world)?;
//! # let stream = BytesSource::new(b"-- a stream".to_vec(), 1 << 20, ProducerExit::Exited(0));
//! # backup(&repository, Box::new(stream), &BackupOptions::new("db1"), &world)?;
//! let newest = repository.find_snapshot("db1@latest")?;
//! let mut out = Vec::new();
//! restore(&repository, &newest, Target::Stream(&mut out), &RestoreOptions::default(), &world)?;
//! assert_eq!(out, b"-- a stream");
//! # Ok(())
//! # }
//! ```
//!
//! Verify everything down to the blocks:
//!
//! ```
//! # use std::sync::Arc;
//! # use haulout::ops::backup::BackupOptions;
//! # use haulout::repo::NewProtection;
//! # use haulout::source::BytesSource;
//! # use haulout::source::ProducerExit;
//! # use haulout::store::memory::MemoryStore;
//! # use haulout::{Repository, World, backup};
//! use haulout::ops::verify::Depth;
//! use haulout::ops::verify::VerifyOptions;
//! use haulout::ops::verify::verify;
//!
//! # fn main() -> haulout::Result<()> {
//! # let world = World::of_this_machine();
//! # let store = Arc::new(MemoryStore::new());
//! # let repository = Repository::init(store, &NewProtection::Clear, &world)?;
//! # let stream = BytesSource::new(b"-- a stream".to_vec(), 1 << 20, ProducerExit::Exited(0));
//! # backup(&repository, Box::new(stream), &BackupOptions::new("db1"), &world)?;
//! let report = verify(&repository, &VerifyOptions::new(Depth::Blocks), &world)?;
//! assert!(report.findings.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Where things go
//!
//! - *A verb*: `ops/VERB.rs`: options with defaults, a function with the world last, a report
//!   that is data. In the program `verbs/VERB.rs`, and the three places that `main.rs` names.
//! - *A store*: `store/NAME`: the trait [`store::Store`], which `store::conformance` tests; a
//!   scheme in [`store::location`]; rights in the guide's chapter `stores`.
//! - *A stream format*: `parse/FORMAT`: bytes to members and script, without I/O; recognised in
//!   `parse::beginning` and `parse::detect`; judged in `verdict/FORMAT`; restored in
//!   `ops/restore/FORMAT`; a fixture of a real producer, and a fuzz target.
//! - *A page format*: `innodb` or a room beside it: how a page names itself and what vouches for
//!   it, pure; chosen in `pipeline::pages`; FORMAT.md 7.5.
//! - *A kind of object*: FORMAT.md 2 first, then `format::layout`; a test compares both.
//! - *A change of the stored bytes*: FORMAT.md first, with a feature bit; then the code,
//!   `tests/reference_reader.py`, golden constants, and an archive that is never edited
//!   (`tests/README.md`).
//! - *A finding, or a kind of error*: its table in [`verdict::finding`] or `base::error`;
//!   `haulout help errors` is made from them.
//! - *A chapter of the guide*: `guide/NAME.md`, named in `guide/mod.rs` and the README.
//!
//! # Order
//!
//! Modules stand below in the order in which they may use each other, from the bottom up;
//! `tests/tidy.rs` checks it, and that no files import each other in a ring. The library touches no
//! terminal, no environment, no clock and no randomness except through arguments. The rooms that
//! are not public are so with the feature `internals`, for tests, benchmarks and fuzz targets.

#![cfg_attr(
    not(feature = "internals"),
    allow(
        unreachable_pub,
        rustdoc::private_intra_doc_links,
        reason = "public with the feature internals"
    )
)]

pub mod error {
    //! The one error of the library: a message that names the object, a kind, a code, its causes.

    pub use crate::base::error::Error;
    pub use crate::base::error::ErrorKind;
    pub use crate::base::error::Result;
    pub use crate::base::error::code::ErrorCode;
}

pub mod world {
    //! The time, the randomness, and the monitor of the work, as an argument of everything.

    pub use crate::base::clock::Clock;
    pub use crate::base::clock::SystemClock;
    pub use crate::base::clock::WeekMinute;
    pub use crate::base::entropy::Entropy;
    pub use crate::base::entropy::OsEntropy;
    #[cfg(feature = "internals")]
    pub use crate::base::entropy::SeededEntropy;
    pub use crate::base::monitor::Counts;
    pub use crate::base::monitor::LOOK_UP;
    pub use crate::base::monitor::Monitor;
    pub use crate::base::world::World;
}

#[doc(hidden)]
pub mod shared {
    //! The ground that the program stands on besides the library's face. Not for others.

    pub use crate::base::crew;
    pub use crate::base::entries;
    pub use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
    pub use crate::base::num;
}

pub use crate::error::Error;
pub use crate::error::Result;
pub use crate::ops::backup::backup;
pub use crate::ops::restore::restore;
pub use crate::ops::verify::verify;
pub use crate::repo::Repository;
pub use crate::world::World;

#[cfg(feature = "internals")]
pub mod base;
#[cfg(not(feature = "internals"))]
mod base;

#[cfg(feature = "internals")]
pub mod format;
#[cfg(not(feature = "internals"))]
mod format;

#[cfg(feature = "internals")]
pub mod aria;
#[cfg(not(feature = "internals"))]
mod aria;

#[cfg(feature = "internals")]
pub mod innodb;
#[cfg(not(feature = "internals"))]
mod innodb;

#[cfg(feature = "internals")]
pub mod parse;
#[cfg(not(feature = "internals"))]
mod parse;

pub mod verdict;

pub mod source;

pub mod server;

#[cfg(feature = "internals")]
pub mod cut;
#[cfg(not(feature = "internals"))]
mod cut;

#[cfg(feature = "internals")]
pub mod hash;
#[cfg(not(feature = "internals"))]
mod hash;

#[cfg(feature = "internals")]
pub mod encode;
#[cfg(not(feature = "internals"))]
mod encode;

#[cfg(feature = "internals")]
pub mod seal;
#[cfg(not(feature = "internals"))]
mod seal;

pub mod store;

#[cfg(feature = "internals")]
pub mod pack;
#[cfg(not(feature = "internals"))]
mod pack;

#[cfg(feature = "internals")]
pub mod map;
#[cfg(not(feature = "internals"))]
mod map;

pub mod repo;

#[cfg(feature = "internals")]
pub mod pipeline;
#[cfg(not(feature = "internals"))]
mod pipeline;

pub mod ops;

pub mod guide;
