//! `replicate`: sends snapshots to another repository, or fetches them.

pub(crate) mod args;
pub(crate) mod network;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod run;
