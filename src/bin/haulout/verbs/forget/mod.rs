//! `forget`: removes the snapshots that no rule keeps, or those that are named.

pub(crate) mod args;
pub(crate) mod calendar;
pub(crate) mod report;
pub(crate) mod run;
