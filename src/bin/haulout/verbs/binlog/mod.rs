//! `binlog`: archives the binary logs of a server, and says which history is stored.

pub(crate) mod args;
mod follow;
mod list;
pub(crate) mod plan;
mod server;
mod start;
mod tool;
