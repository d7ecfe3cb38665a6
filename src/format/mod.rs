#![doc = include_str!("FORMAT.md")]
//!
//! # The code
//!
//! The modules below are pure: bytes to values and back, no I/O, no keys. Every decoder refuses
//! what the text above does not allow, with [`Malformed`](crate::base::error::Malformed), and
//! allocates no more than its input justifies.

pub mod binlog;
pub mod config;
pub mod directory;
pub mod fence;
pub mod form;
pub mod intent;
pub mod layout;
pub mod lists;
pub mod map_page;
pub mod needs;
pub mod note;
pub mod pack_table;
pub mod record;
pub mod removed;
pub mod retired;
pub mod slot;
pub mod snapshot;
pub mod snapshot_damage;
pub mod snapshot_list;
pub mod table_page;
pub mod trailer;
pub mod verified;
