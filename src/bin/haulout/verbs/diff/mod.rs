//! `diff`: compares two snapshots.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
