//! The verbs, one a file. Each takes what it needs as arguments, reports to a
//! [`Monitor`](crate::base::monitor::Monitor) what it does, prints nothing, and returns a report.

pub mod accept;
pub mod backup;
mod batches;
pub mod binlog;
pub mod cat;
pub mod chain;
mod copies;
pub mod copy_reencrypted;
mod dependencies;
pub mod diff;
pub mod expected;
pub mod findings;
pub mod forget;
pub mod hold;
mod judge;
mod lost;
pub mod memory;
mod pieces;
pub mod prepare;
pub mod prune;
mod records;
pub mod repair;
pub mod replay;
pub mod replicate;
pub mod restore;
mod run_intent;
pub mod salvage;
mod selection;
pub mod show;
pub mod slot;
pub mod stats;
mod survey;
pub mod tables;
pub mod tag;
pub mod upgrade;
pub mod verify;
