//! `prune`: deletes what no snapshot needs, and compacts what is mostly unused.

pub(crate) mod args;
mod audit;
pub(crate) mod report;
pub(crate) mod run;
