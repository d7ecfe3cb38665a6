//! `cat`: writes one file of a snapshot to standard output.

pub(crate) mod args;
pub(crate) mod run;
