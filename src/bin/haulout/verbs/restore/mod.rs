//! `restore`: restores a snapshot.

pub(crate) mod args;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod run;
