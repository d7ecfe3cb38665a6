//! The parts of a stream: frames, members, and the files that result.
//!
//! ```text
//!  stream --> detect --> mbstream::Parser --> Item --+--> ScriptWriter --> script
//!                             |                      |                       |
//!                             +--> Fault             |                  ScriptReader
//!                                                    |                       |
//!                                   payload bytes    v                       v
//!                                   to the member   Tree <--- Op --------- Replay --> stream
//! ```
//!
//! Any other container goes through a [`container::Dissector`], which has a simpler script.
//!
//! A stream of mariabackup interleaves files, reopens, patches, renames and removes them. What is
//! stored of it has two parts: *members*, the payload bytes of each file in order of arrival, and
//! the *script*, everything else. From both the stream is written again byte for byte
//! ([`replay::Replay`]) or the files are made that `mbstream -x` should have made ([`tree::Tree`]).
//!
//! All of it is pure: it sees bytes and says what they mean. It reads nothing, knows no time, and
//! moves no payload, so that payload goes from the pipe into its buffer once.
//!
//! Invariants:
//! - a stream is never altered: valid or not, script and members give it back to the byte;
//! - no input panics, and none makes it allocate more than a constant times its own size;
//! - what is odd is reported ([`fault::Fault`]), what is certain is used, and the rest is kept
//!   literally.
//!
//! It does not decide whether a backup is good: that takes the producer's fate and the contents of
//! files, see the verdict.

pub mod beginning;
pub mod binlog;
pub mod compressed;
pub mod container;
pub mod detect;
pub mod fault;
pub mod frame;
pub mod item;
pub mod mbstream;
pub(crate) mod openings;
pub mod path;
pub mod replay;
pub mod script;
pub mod sql;
pub mod tar;
pub mod tree;

#[cfg(test)]
pub(crate) mod testing;
