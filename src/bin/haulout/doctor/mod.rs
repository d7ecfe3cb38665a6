//! What is looked at before a job is trusted with a night: servers, rights, repositories, the job
//! itself and this host.
//!
//! ```text
//! configuration --examine--> questions to servers, programs, repositories --> facts
//! facts --judge--> findings --> a table, or JSON
//! ```
//!
//! Judging is apart from asking: what judges takes facts and returns findings, and is tested
//! without a server. Nothing that is asked changes a server: rights are tried by statements that
//! leave nothing, and no stage of a backup is entered that makes others wait. In a bucket a small
//! object is put, which is always the same, and deleted again.

pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod desync;
mod engines;
pub(crate) mod examine;
pub(crate) mod finding;
pub(crate) mod galera;
pub(crate) mod host;
pub(crate) mod job;
pub(crate) mod probe;
pub(crate) mod repository;
pub(crate) mod rights;
pub(crate) mod server;
pub(crate) mod tool;
pub(crate) mod writes;
