//! Puts a physical snapshot in the place of a server's data directory.
//!
//! ```text
//! check --> restore --> prepare, judge --> first start --> finish --> swap
//!           beside      End of log, pages  private, read   owner,     exchange, or
//!           the old     members            only            GTIDs      contents with guards
//! ```
//!
//! Everything is checked before the first byte is written, and all that is wrong is said at once
//! ([`plan`]). The new directory is made beside the old one, or in a staging directory, and takes
//! its place only once a private server has found it healthy. A [`journal`] beside the directory
//! has a line for every step, durable before the step begins and after it has ended: a restore that
//! was interrupted at any moment is found again ([`unfinished`]) and continued ([`carry_out`]) or
//! taken back ([`undo`]).
//!
//! Invariants:
//! - The directory holds either the old server or the new one whole, or a guard in the place of
//!   its system tablespace that no server starts on (`swap`).
//! - The old data are moved, never removed, unless the plan says so.
//! - Only private servers are started and stopped; the public one is stopped and started by the
//!   commands of the operator, if at all.
//! - What `mariabackup --prepare` says is not believed (`judge`).

mod check;
mod command;
mod configuration;
mod copy;
mod files;
mod finish;
mod galera;
mod health;
pub mod journal;
mod judge;
mod lock;
mod losses;
mod moment;
mod moment_plan;
mod options;
mod pages;
mod place;
mod plan;
mod prepared;
mod replaying;
mod sequence;
mod swap;

pub use galera::Donors;
pub use galera::Joining;
pub use losses::Losses;
pub use moment::Moment;
pub use moment::Wanted;
pub use options::DatadirOptions;
pub use options::Listener;
pub use place::Places;
pub use place::Way;
pub use plan::Plan;
pub use plan::PlanStep;
pub use plan::plan;
pub use sequence::DatadirReport;
pub use sequence::Startable;
pub use sequence::Undone;
pub use sequence::begin;
pub use sequence::carry_out;
pub use sequence::startable;
pub use sequence::undo;
pub use sequence::unfinished;
