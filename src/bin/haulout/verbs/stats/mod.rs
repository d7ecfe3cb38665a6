//! `stats`: shows the size of the repository, and what snapshots added.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
