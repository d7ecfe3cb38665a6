//! The script: the frames of a stream in order, as compact opcodes over its members.
//!
//! There are two grammars, told apart by the first byte: this one for mbstreams, and that of
//! [`container`] for every other stream that is taken apart.
//!
//! The members hold the payload, the script holds the rest: script and members together give the
//! stream back byte for byte, valid or not. What the parser could not understand stands in it
//! literally. It is also what files are made from: seeks, renames and removals are in it. A stream
//! of 2.7 GB has a script of a few kilobytes, as a 10 MiB frame takes 6 bytes; 200,000 small files
//! cost 9 bytes each and the part of the path that the previous path does not share.
//!
//! # Grammar
//!
//! A script is one version byte (1), then ops, then nothing after the op *finish*. Integers are
//! little-endian; a *varint* is LEB128 in its shortest form, at most 64 bits. An op is a byte, of
//! which bits 0 to 2 are its kind, and fields:
//!
//! | kind | op | fields | stands for |
//! |---|---|---|---|
//! | 0 | payload | target, flags, offset, length, crc | a `P` frame and its payload |
//! | 1 | sparse | target, flags, offset, map, crc | an `S` frame of Percona and its payload |
//! | 2 | end | target, flags | an `E` frame |
//! | 3 | seek | target, flags, varint file offset | an `S` frame of MariaDB |
//! | 4 | rename | flags, old path, new path | an `R` frame |
//! | 5 | remove | flags, path | a `D` frame |
//! | 6 | literal | varint count (1 to 65,536), bytes | these bytes of the stream |
//! | 7 | finish, if bits 3 to 7 are 0 | varint count | the end: the stream has count bytes |
//! | 7 | cut, if bits 3 to 7 are 1 | varint count | count bytes of the next op's payload arrived |
//!
//! After a cut comes a payload or sparse op that is longer than count, then finish.
//!
//! | field | bits of the op byte | bytes |
//! |---|---|---|
//! | target | 3, 4: 0 | none: the slot of the previous op with a target |
//! | | 3, 4: 1 | varint slot |
//! | | 3, 4: 2 | path; opens a member of incarnation 0 |
//! | | 3, 4: 3 | varint incarnation, path; opens a member |
//! | flags | 6: 1 | u8 |
//! | | 6: 0 | none: in kinds 0 and 1 those of the member's previous payload, if any; else 0 |
//! | offset | 5: 1 | varint file offset |
//! | | 5: 0 | none: where the member's previous payload ended or a seek led, at first 0 |
//! | length | | varint: 0 the length of the previous payload op (kind 0), else length + 1 |
//! | map | | varint entries (up to 65,536), for each varint skip, varint length; all are u32 |
//! | crc | | u32 |
//! | path | | varint bytes shared with the start of the previous path, varint count, bytes |
//! | | 7: 1, in kinds 0 and 1 | an `E` frame of the member with flags 0 follows the payload |
//!
//! All other bits are 0. A *slot* is the place of an open member: opening takes the slot vacated
//! last, or else the next new one, counted from 0; an `E` frame vacates it. At most 65,536 members
//! may be open. Members are numbered as they are opened; a member's *incarnation* counts those
//! that had its path before. The length of a sparse payload is the sum of its map's lengths.
//!
//! # Why so
//!
//! The CRC of each payload is stored as it was in its frame, right or wrong. It comes before the
//! payload in a stream, and replay would otherwise have to read every payload twice. Being random,
//! it is most of a script; runs of equal frames are therefore not folded any further than to the
//! 6 bytes that each needs anyway, and a script can't expand by more than its frames' headers.
//!
//! Invariants:
//! - equal streams give equal scripts, for any sizes of the reads;
//! - the reader is bounded: one op, the paths of open members, nothing that a count announces;
//! - a script that was cut anywhere, or lost an op, is refused: `finish` counts the stream's bytes.
//!
//! It does not compress: scripts are stored in blocks, as members are.

pub mod container;
mod cursor;
mod error;
mod grammar;
mod op;
mod reader;
mod slots;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::parse::script::error::ScriptError;
pub use crate::parse::script::reader::Op;
pub use crate::parse::script::reader::ScriptReader;
pub use crate::parse::script::writer::ScriptEnd;
pub use crate::parse::script::writer::ScriptWriter;
