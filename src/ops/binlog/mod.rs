//! Binary logs: stored file by file as their server closes them, and what is stored of the open one
//! (FORMAT.md 10.12).
//!
//! ```text
//! spool/bin.000007  closed: a later file is there -> walk, compare -> snapshot of SOURCE.binlog
//! spool/bin.000008  open -> walk to the last whole event -> segments, the last of them replaced
//! ```
//!
//! The server's own tool writes the files into an empty directory, the spool; [`Archive`] looks
//! there again and again. [`coverage`] says from what is stored which stretches of history can be
//! replayed, and [`first`] from what a server has with which file an archive goes on.
//!
//! Invariants:
//! - a file is stored only if each of its events is whole and has its checksum, and the bytes that
//!   are stored are those that were checked;
//! - a segment goes only when the snapshot of its file is durable and has its bytes;
//! - an interval in which nothing is new makes no request.

mod archive;
mod coverage;
mod enable;
mod fetch;
mod first;
mod open_file;
mod spooled;

pub use crate::base::gtid::Gtid;
pub use crate::base::gtid::GtidState;
pub use crate::format::binlog::BINLOG_SUFFIX;
pub use crate::format::binlog::BinlogEnd;
pub use crate::format::binlog::BinlogIndex;
pub use crate::format::binlog::SegmentHead;
pub use archive::Archive;
pub use archive::Looked;
pub use archive::Position;
pub use coverage::Begins;
pub use coverage::Coverage;
pub use coverage::OpenEnd;
pub use coverage::StoredFile;
pub use coverage::Stretch;
pub use coverage::coverage;
pub use enable::FirstTime;
pub use enable::enable;
pub use fetch::Continuation;
pub use first::First;
pub use first::ServerFile;
pub use first::first;

/// Returns the name of the source of the binary logs that belong to the backups of a source.
pub fn source_of(name: &str) -> String {
    format!("{name}{BINLOG_SUFFIX}")
}
