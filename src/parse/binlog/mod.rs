//! Binary logs of MariaDB: their events, the checksum of each, and what they say of the history.
//!
//! A file is the magic `fe 62 69 6e`, then events: a header of 19 bytes (time u32, kind u8, server
//! u32, length u32, end u32, flags u16), a body, and where the first event says so the CRC-32 of
//! both. The first event is the format description, and a list of GTIDs follows: the state before
//! the file. [`Walk`] goes through the bytes as they come and keeps the place behind the last whole
//! event, so that a file can be read while it is written.
//!
//! Invariants:
//! - no input panics, and none makes it hold more than 64 KiB bytes of an event;
//! - what it says is of whole events with a right checksum only;
//! - after a fault nothing more is read.
//!
//! It does not decode rows: they are the server's. [`transactions`] names the places at which
//! transactions begin and the statements that were logged as text, in which [`drops`] finds the end
//! of a table.
//!
//! Source: `sql/log_event.h` and `sql/rpl_gtid.cc` of MariaDB 10.11, files of that server.

mod drops;
mod event;
#[cfg(test)]
pub(crate) mod made;
mod transactions;
mod walk;

pub use drops::drops;
pub use transactions::Found;
pub use transactions::Go;
pub use transactions::Statement;
pub use transactions::Unwalked;
pub use transactions::transactions;
#[cfg(any(test, feature = "internals"))]
pub use walk::BinlogFacts;
pub use walk::BinlogFault;
pub use walk::Walk;
