//! haulout
pub mod aria;
pub mod base;
pub mod cut;
pub mod encode;
pub mod format;
pub mod hash;
pub mod innodb;
pub mod map;
pub mod ops;
pub mod pack;
pub mod parse;
pub mod pipeline;
pub mod repo;
pub mod seal;
pub mod source;
pub mod store;
pub mod verdict;
