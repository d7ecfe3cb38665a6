//! `tag`: changes the tags of a snapshot.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
