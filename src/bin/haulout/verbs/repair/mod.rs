//! `repair`: brings back what is damaged or lost, from second copies or from another repository.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod run;
