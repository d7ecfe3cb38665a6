//! `ls`: lists the files of a snapshot.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
