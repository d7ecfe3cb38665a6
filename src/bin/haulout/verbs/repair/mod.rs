//! `repair`: makes damaged metadata again from its second copies.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
