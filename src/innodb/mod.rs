//! Knows InnoDB's bytes: which format a tablespace has, and whether a page is what it should be.
//!
//! A physical backup is a stream of database pages, and each page carries a checksum. So damage can
//! be seen while the stream passes by, without a server and without a key: long before the day on
//! which that backup is needed.
//!
//! ```text
//! first page of a file -> TablespaceFormat -> check(page, number) -> PageVerdict
//! .meta, .delta        -> DeltaMeta, DeltaReader: which page is where
//! ib_logfile0          -> RedoHeader: where the log begins and where it has to end
//! ibdata1              -> dictionary: the number of a table
//! .frm                 -> Frm: which files a table consists of
//! index pages          -> normal::normalize, restore: a form in which rows that move stay the same
//! index pages          -> columns::gather, spread: that form with the bytes of rows in columns
//! a page               -> trailer::append: its last bytes, computed from the others
//! an index page        -> leaf_chain::Search, Sample: pages of last night that its rows stood on
//! a table as it was    -> node_page, leaf_starts: the same for a table that was rebuilt
//! ```
//!
//! - Functions of bytes only: no I/O, no clock, no state between pages, and no memory per page.
//! - Bytes come from outside. None of them makes a function here panic or run long.
//! - "Not verifiable" is an answer of its own and never counts as good.
//! - What the server would read is not called corrupt; what it would refuse is.
//!
//! It repairs nothing, and alters a page only in a way that gives all of it back: a bad page is
//! stored like any other, because recovery may still rebuild or drop it. It decrypts nothing.

mod big_endian;
pub mod checksum;
pub mod columns;
mod compressed;
pub mod delta_file;
pub mod dictionary;
#[cfg(test)]
mod fixtures;
pub mod frm;
mod header;
pub mod leaf_chain;
pub mod leaf_starts;
pub mod node_page;
pub mod normal;
mod page;
mod proof;
pub mod redo;
#[cfg(test)]
mod server_pages;
mod tablespace;
pub mod trailer;
#[cfg(test)]
pub(crate) mod tree_pages;
mod units;
pub mod verdict;

pub use tablespace::FormatKind;
pub use tablespace::PAGE_ZERO_BYTES_MIN;
pub use tablespace::PageZero;
pub use tablespace::TablespaceFormat;
pub use tablespace::Unrecognised;
pub use units::Lsn;
pub use units::PageNumber;
pub use units::PageSize;
pub use units::SpaceId;
pub use verdict::PageVerdict;
