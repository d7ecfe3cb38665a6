//! The words that every other module uses: names, units, limits, errors, and the seams to the
//! world.
//!
//! Nothing in here knows what a backup is. Time ([`clock`]) and chance ([`entropy`]) are traits, so
//! that the rest of the library can be run with invented ones.

pub mod buffers;
pub mod clock;
pub mod crew;
pub mod entries;
pub mod entropy;
pub mod error;
pub mod globs;
pub mod gtid;
pub mod hex;
pub mod ids;
pub mod limits;
pub mod monitor;
pub mod name;
pub mod num;
pub mod producer;
pub mod runs;
pub mod wire;
pub mod world;
