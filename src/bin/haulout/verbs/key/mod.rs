//! `key`: lists and changes the keys that open a repository.

pub(crate) mod args;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod run;
