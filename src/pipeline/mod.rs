//! The pipeline of a backup: wiring, threads, order, bounds.
//!
//! ```text
//!            segments            events                   packs
//!  ingest -> [ bounded ] -> worker x N -> collector -> appender -> uploader x M -> store
//!  (reads,   in order       (checks,      (back in     (one open   (seals,
//!   parses)                  compares,     order,       pack a      names,
//!     ^                      encodes)      maps, table) class)      durable)
//!     +--------- room for all work in progress -----------+
//! ```
//!
//! Reader, workers and collector are one pool ([`crew`](crate::base::crew)) of threads of its own,
//! and packs pass to the uploaders through a channel. A pool for computations alone, such as
//! rayon's, does not fit here: workers read bases while they work, which blocks, each keeps a
//! compressor's state, and segments come back in order under a bound in number.
//!
//! There is one reader and one collector, so a byte of the stream is looked at by neither of them
//! where a worker or an uploader can do it: on many cores they are what bounds a backup. Their
//! threads are `haulout-read`, `haulout-work-1` and so on, `haulout-collect`, and
//! `haulout-send-1` and so on; `benches/threads.py` prints what each takes.
//!
//! The memory of a run is the sum of this table, whatever the size of the stream (2 workers, and
//! M = 2; over a network M is what `--memory` has room for, at 32 MiB each):
//!
//! | what | bytes |
//! |---|---|
//! | segments in progress, read or encoded: 2 per worker + 8, 1 MiB each | 12 MiB |
//! | segments that are being filled: one per open file, others in a temporary file | 1 to 8 MiB |
//! | data packs: one being filled, two being stored | 96 MiB |
//! | meta packs: one being filled, those being stored are among the two above | 8 MiB |
//! | directories and frames kept for reading bases and previous maps | 24 MiB |
//! | map pages, tables, sorted records, what is known of tables' files | 16 MiB |
//! | paths that were opened | 18 bytes each |
//! | what the snapshot needs | 8 bytes, while it grows 16, for each pack of its table |
//! | compressors | 4 MiB a worker |
//! | pages of last night that a worker compares moved pages with | 7 MiB a worker at most |
//! | bases that a worker's coder of deltas refers to | 1 MiB a worker, and those of a segment |
//! | the stream while the producer's server stands still | a 64th of `--memory`, 4 MiB of 256 |
//! | keys with which leaves of rebuilt tables begin | a 32nd of `--memory`, 8 MiB of 256 |
//!
//! The module `ops::memory` shares `--memory` out among these.

pub mod appender;
pub mod bases;
pub mod choice;
pub mod collector;
mod former_table;
pub mod increments;
pub mod ingest;
pub mod input;
pub mod internal;
pub mod level;
pub mod matcher;
mod open_segments;
pub mod pages;
pub mod payloads;
pub mod presence;
pub mod previous;
pub mod rebuilt;
pub mod relocations;
pub mod run;
pub mod segment;
pub mod shared;
pub mod sorter;
pub mod uploader;
pub mod worker;
