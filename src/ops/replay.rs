//! Replays binary logs on a restored server, up to a moment.
//!
//! ```text
//! files, in order --plan--> continuous? reached? where does it end?
//! files, the last one cut at the end --feed--> mariadb-binlog, twice: once to look, once into
//!                                              the client of a private server
//! ```
//!
//! Where a replay ends is decided by the places of transactions in the files, and the last file is
//! cut there: what comes behind the end is not even shown to the server's tool. Every file is read
//! once before anything is applied, and each checksum compared; a gap between two files, or between
//! the backup and the first one, ends the replay before it begins.
//!
//! Invariants:
//! - Nothing is applied unless everything that is to be applied has been decoded once without an
//!   error.
//! - Files are not changed; the cut one is a copy.

mod feed;
mod plan;

pub use feed::Replayed;
pub use feed::Tools;
pub use feed::replay;
pub use plan::End;
pub use plan::ReplayPlan;
pub use plan::Stopped;
pub use plan::Until;
pub use plan::logs_in;
pub use plan::needed;
pub use plan::plan;
