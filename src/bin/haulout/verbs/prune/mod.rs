//! `prune`: deletes what no snapshot needs, and compacts what is mostly unused.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
