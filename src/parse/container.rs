//! The shape of every parser but mbstream's: bytes in, members and what lies between them out.
//!
//! An mbstream interleaves its files and says so in frames; every other container that is taken
//! apart (an SQL dump, a tar) has its members one after the other. For those a parser is a
//! [`Dissector`]: the reader pushes the stream through it in the pieces that the pipe gives, and it
//! tells a [`Sink`] what each byte is.
//!
//! ```text
//!            push                 literal, open, payload, end
//!  stream ---------> Dissector ------------------------------> Sink --+--> members (their blocks)
//!            finish      |                                            +--> script (version 2)
//!                        +--> Facts, for the verdict
//! ```
//!
//! # How a further parser plugs in
//!
//! 1. Write a `Dissector` beside this file. It is pure: no I/O, no clock.
//! 2. Give `parse::detect::Container` a variant, and `detect` the first bytes.
//! 3. Give `format::snapshot::StreamFormat` a variant: it is the `format` of the snapshot, and
//!    tells a restore which script to expect.
//! 4. Give the match in `pipeline::run` an arm that calls `Reader::read_container`, and
//!    `verdict::Facts` a variant that `verdict::judge` turns into a conclusion.
//! 5. Give `ops::restore` what its files are beyond path and bytes, if anything: the literals of
//!    the script hold every byte that is no payload, so a restore can read the headers again.
//! 6. Add a fuzz target like `parse_sql`.
//!
//! Invariants that a dissector keeps:
//! - every byte that is pushed goes to the sink exactly once, in order, as a literal or as payload:
//!   it may be held back for a while, up to a fixed bound, and nothing is held back by `finish`;
//! - the calls do not depend on how the stream was cut into pieces, but for the lengths of literals
//!   and payloads that follow each other;
//! - `payload` and `end` only while a member is open, `open` only while none is;
//! - a path has 1 to [`MEMBER_PATH_BYTES_MAX`] bytes; it is a key, and may be anything a container
//!   says. What writes files checks it.
//! - what is not understood is a literal, or payload of one member: kept, never guessed;
//! - memory is bounded, whatever lengths the stream announces.

use crate::base::error::Result;

/// The longest path of a member.
pub const MEMBER_PATH_BYTES_MAX: usize = crate::base::limits::PATH_BYTES_MAX;

/// Takes what a dissector finds, in stream order.
pub trait Sink {
    /// Takes bytes that belong to no member.
    fn literal(&mut self, bytes: &[u8]) -> Result<()>;
    /// Opens a member. Its path may have been used before: that makes another incarnation.
    fn open(&mut self, path: &[u8]) -> Result<()>;
    /// Takes the next bytes of the open member.
    fn payload(&mut self, bytes: &[u8]) -> Result<()>;
    /// Ends the open member, which is whole.
    fn end(&mut self) -> Result<()>;
}

/// Takes one stream apart.
pub trait Dissector {
    /// The facts about the stream that are known in the end.
    type Facts;
    /// Takes the next bytes of the stream. Errors are the sink's.
    fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()>;
    /// Ends the stream: hands out what was held back. A member that is left open was cut.
    fn finish(self, sink: &mut impl Sink) -> Result<Self::Facts>;
}
