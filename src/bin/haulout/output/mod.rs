//! The output of the program, for people and for programs, and what the reports of verbs have in
//! common.

pub(crate) mod console;
pub(crate) mod damage;
pub(crate) mod features;
pub(crate) mod findings;
pub(crate) mod grouping;
pub(crate) mod guide;
pub(crate) mod holds;
pub(crate) mod json;
pub(crate) mod listed;
pub(crate) mod log_lines;
pub(crate) mod members;
pub(crate) mod phrases;
pub(crate) mod producer_log;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod spool;
pub(crate) mod standing;
pub(crate) mod stdout;
pub(crate) mod text;
pub(crate) mod timefmt;
pub(crate) mod units;
pub(crate) mod verified;
