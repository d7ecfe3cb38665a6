//! `show`: shows what is known about a snapshot.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
