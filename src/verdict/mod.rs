//! Whether a backup is whole: the verdict on a mariabackup stream, with its reasons.
//!
//! A stream that stops looks like one that ends. `mbstream -x` and `mariabackup --prepare` notice
//! almost nothing: a producer that was killed, a redo log that was overrun, a table that got lost
//! in a rename all leave files that extract with exit status 0. So the stream is watched while it
//! passes ([`Observer`]), and judged when it has ended ([`Observer::conclude`]) by everything that
//! is known of it: the parser's faults, the producer's exit, the pages, the tool's own statements.
//!
//! ```text
//! items, small files --> Observer --+
//! faults of the parser -------------+--> conclude --> verdict, reasons, checklist, positions
//! exit status, "completed OK!" -----+
//! page checks ----------------------+
//! ```
//!
//! | verdict | when |
//! |---|---|
//! | complete | every check passed |
//! | unattested | the same, but nobody saw how the producer ended |
//! | corrupt-pages | the same, but the source has bad pages |
//! | partial | anything else |
//!
//! Invariants:
//! - no source fault yields *complete*: what can't be shown to be good lowers the verdict, unless
//!   it is ordinary (a compressed stream, an old redo format), and then the checklist says so;
//! - a reason names the file and says what to do;
//! - a [`finding`] never changes the verdict;
//! - the producer's command line (`tool_command`), which may hold a password, is never kept.
//!
//! What it does not do: read pages, parse frames, or run anything.

mod beginning;
mod dump;
pub mod finding;
mod heads;
mod known;
mod lengths;
mod mbstream;
mod metadata;
mod observer;
mod partitions;
mod presence;
mod reason;
mod shared;
mod table_files;

#[cfg(test)]
mod tests;

pub use crate::verdict::beginning::{BeforeConclusion, judge_before};
pub use crate::verdict::dump::{DumpConclusion, judge_dump};
pub use crate::verdict::mbstream::{
    CONTENT_CHECK, Conclusion, Evidence, PageFindings, Producer, StreamFaults,
};
pub use crate::verdict::observer::{Interest, Observer};
pub use crate::verdict::reason::{Check, Outcome, Reason, Weight};
