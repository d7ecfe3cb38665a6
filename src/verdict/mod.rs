//! The judgement on a stream of any format: whether a backup is whole, with the reasons.
//!
//! A stream that stops looks like one that ends. `mbstream -x` and `mariabackup --prepare` notice
//! almost nothing: a producer that was killed, a redo log that was overrun, a table that got lost
//! in a rename all leave files that extract with exit status 0. A dump that was cut between two
//! statements loads without an error. So a stream is judged when it has ended, by everything that
//! is known of it: what its parser found, how its producer ended, the pages, what the tool states
//! about itself.
//!
//! ```text
//! items, small files --> Observer --+
//! faults of the parser -------------+                  mbstream
//! files of changed pages -----------+                  dump
//! facts of a dump, a tar -----------+--> Evidence -->  tar       --> Conclusion --> Description
//! first and last bytes of others ---+                  plain          reasons,       text
//! text before the stream -----------+                  beginning      checks,
//! exit status, messages ------------+                                 findings,
//! page checks ----------------------+                                 positions
//! ```
//!
//! | format | judged by |
//! |---|---|
//! | mbstream | every check of `mbstream`, on what an [`Observer`] saw while the stream passed |
//! | dump | `dump`: the last line, statements that come in pairs, errors that it holds |
//! | tar | `tar`: its headers and the mark of the end |
//! | anything else | `plain`: the end of a compressed stream, if it has one |
//! | all of them | `beginning`: what stands before the stream; the exit of the producer |
//! | increments | `increment`: the snapshot that they build on |
//!
//! | verdict | when |
//! |---|---|
//! | complete | every check passed |
//! | unattested | the same, but how the producer ended was not seen, or nothing marks the end |
//! | corrupt-pages | the same, but the source has bad pages |
//! | partial | anything else |
//!
//! Invariants:
//! - the verdict is the lowest that the reasons allow, so that no check can overrule another;
//! - no source fault yields *complete*: what can't be shown to be good lowers the verdict, unless
//!   it is ordinary (a compressed stream, an old redo format), and then the checklist says so;
//! - a reason names the file and says what to do;
//! - reasons and checks are values; they become text, and bounded, in [`Conclusion::describe`];
//! - a [`finding`] never changes the verdict;
//! - the producer's command line (`tool_command`), which may hold a password, is never kept.
//!
//! It does not read pages, parse frames, or run anything.

mod arrived;
mod beginning;
mod check;
mod conclusion;
mod contradictions;
mod dump;
mod evidence;
pub mod finding;
mod heads;
mod increment;
mod judge;
mod lengths;
mod mbstream;
mod metadata;
mod observer;
mod partitions;
mod plain;
mod reason;
mod shared;
mod table_files;
mod table_state;
mod tar;

#[cfg(test)]
mod tests;

pub use crate::verdict::check::Check;
pub use crate::verdict::check::CheckName;
pub use crate::verdict::check::Outcome;
pub use crate::verdict::conclusion::Conclusion;
pub use crate::verdict::conclusion::LINES_MAX;
pub use crate::verdict::conclusion::shorten;
pub use crate::verdict::evidence::DeltaFiles;
pub use crate::verdict::evidence::Evidence;
pub use crate::verdict::evidence::Facts;
pub use crate::verdict::evidence::MbstreamFacts;
pub use crate::verdict::evidence::PageFindings;
pub use crate::verdict::evidence::PlainFacts;
pub use crate::verdict::evidence::Producer;
pub use crate::verdict::evidence::StreamFaults;
pub use crate::verdict::judge::judge;
pub use crate::verdict::observer::Interest;
pub use crate::verdict::observer::Observer;
pub use crate::verdict::reason::Reason;
pub use crate::verdict::reason::beginning::BeginningReason;
pub use crate::verdict::reason::dump::DumpReason;
pub use crate::verdict::reason::mbstream::MbstreamReason;
pub use crate::verdict::reason::plain::PlainReason;
pub use crate::verdict::reason::producer::ProducerReason;
pub use crate::verdict::reason::tar::TarReason;
