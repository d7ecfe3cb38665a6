//! What a stream is made of: frames, members, and the files that result.
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
//! the *script*, everything else. From both the stream is written again byte for byte ([`Replay`])
//! or the files are made that `mbstream -x` should have made ([`Tree`]).
//!
//! All of it is pure: it sees bytes and says what they mean. It reads nothing, knows no time, and
//! moves no payload, so that payload goes from the pipe into its buffer once.
//!
//! Invariants:
//! - a stream is never altered: valid or not, script and members give it back to the byte;
//! - no input panics, and none makes it allocate more than a constant times its own size;
//! - what is odd is reported ([`Fault`]), what is certain is used, and the rest is kept literally.
//!
//! What it does not do: decide whether a backup is good. That takes the producer's fate and the
//! contents of files, see the verdict.

pub mod beginning;
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

pub use crate::parse::container::{Dissector, MEMBER_PATH_BYTES_MAX, Sink};
pub use crate::parse::detect::{Container, Detection, Wrapping, detect, wrapping};
pub use crate::parse::fault::{Fault, FaultKind, Malformed};
pub use crate::parse::frame::{Extent, FrameFlags, HEADER_BYTES_MAX, SparseMap};
pub use crate::parse::item::{Incarnation, Item, MemberNo, Payload, StreamOffset, Target};
pub use crate::parse::mbstream::{Parsed, Parser, Step, StreamEnd};
pub use crate::parse::path::{OwnedPath, PathSeed, StreamPath};
pub use crate::parse::replay::{Emit, Replay};
pub use crate::parse::script::{ContainerOp, ContainerReader, ContainerWriter};
pub use crate::parse::script::{Op, ScriptEnd, ScriptError, ScriptReader, ScriptWriter};
pub use crate::parse::sql::{DumpEnd, DumpFacts, DumpKind, SqlMember, SqlParser, SqlPart};
pub use crate::parse::tree::{FileExtent, Tree, TreeError, TreeFile};
