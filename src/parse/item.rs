//! The vocabulary that parser, script, replay and tree share: a frame, resolved to its member.
//!
//! The parser makes items from a stream, the script reader makes the same items from a script. What
//! consumes them (replay, tree, verdict) can't tell where they came from, and needs one code path.
//!
//! Invariants:
//! - an item holds every field of its frame's header, so that [`Item::frame`] gives it back;
//! - a [`MemberNo`] counts members in order of opening from 0, without gaps;
//! - the payloads of a member, in stream order, tile it: each begins `at` where the previous ended.
//!
//! It does not own bytes: items borrow from the input or from the reader.

use std::fmt;

use crate::parse::frame::Body;
use crate::parse::frame::Extent;
use crate::parse::frame::Frame;
use crate::parse::frame::FrameFlags;
use crate::parse::frame::SparseMap;
use crate::parse::path::StreamPath;

/// Numbers the members of a stream in order of opening, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemberNo(u64);

impl MemberNo {
    /// Makes the number of the member that was opened after `count` others.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Returns how many members were opened before this one.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Counts the members that had the same path before: 0 for the first. (path, incarnation) is the
/// key of a member within its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(u32);

impl Incarnation {
    /// Makes the incarnation that `count` others precede.
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// Returns how many members of the same path precede this one.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A position in the stream, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamOffset(u64);

impl StreamOffset {
    /// Makes the position that `bytes` bytes precede.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns how many bytes precede the position.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for StreamOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The member that a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Number of the member in the stream.
    pub member: MemberNo,
    /// The path of its frames; a rename of the file does not change it.
    pub path: StreamPath<'a>,
    /// Its place among the members of the same path.
    pub incarnation: Incarnation,
    /// True if this frame opened it.
    pub opens: bool,
}

/// A frame with payload bytes after its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The member whose bytes these are.
    pub target: Target<'a>,
    /// The flags byte of the frame.
    pub flags: FrameFlags,
    /// Length, file offset and CRC-32 as the frame states them.
    pub extent: Extent,
    /// Position in the member: the bytes that arrived for it before.
    pub at: u64,
    /// The map of a Percona sparse frame; `None` for a plain one.
    pub sparse: Option<SparseMap<'a>>,
}

impl<'a> Payload<'a> {
    /// Returns the bytes that the CRC covers before the payload; empty but for sparse frames.
    pub fn crc_prefix(&self) -> &'a [u8] {
        self.sparse.map_or(&[], SparseMap::as_bytes)
    }

    /// Returns the file offset at which the next payload of the member is expected.
    pub fn next_offset(&self) -> u64 {
        let advance = self.sparse.map_or(self.extent.len, SparseMap::file_bytes);
        self.extent.offset.checked_add(advance).expect("the frame was checked for overflow")
    }

    /// Returns the position in the member after this payload.
    pub fn end(&self) -> u64 {
        self.at.checked_add(self.extent.len).expect("a stream has less than 2^64 bytes")
    }
}

/// One frame of a stream, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// Bytes for a member follow the header.
    Payload(Payload<'a>),
    /// The member has ended.
    End {
        /// The member that has ended.
        target: Target<'a>,
        /// The flags byte of the frame.
        flags: FrameFlags,
    },
    /// The member's next bytes go elsewhere in the file.
    Seek {
        /// The member that the seek is in.
        target: Target<'a>,
        /// The flags byte of the frame.
        flags: FrameFlags,
        /// The file offset at which they go.
        offset: u64,
    },
    /// A file has a new name.
    Rename {
        /// The flags byte of the frame.
        flags: FrameFlags,
        /// Its name so far.
        from: StreamPath<'a>,
        /// Its new name, which may have belonged to another file.
        to: StreamPath<'a>,
    },
    /// A file, a directory with all it holds, or the files a glob names are gone.
    Remove {
        /// The flags byte of the frame.
        flags: FrameFlags,
        /// The path of the file or directory, or the glob.
        path: StreamPath<'a>,
    },
}

impl<'a> Item<'a> {
    /// Returns the member that the frame is about, if it is about one.
    pub fn target(&self) -> Option<Target<'a>> {
        match *self {
            Item::Payload(Payload { target, .. })
            | Item::End { target, .. }
            | Item::Seek { target, .. } => Some(target),
            Item::Rename { .. } | Item::Remove { .. } => None,
        }
    }

    /// Returns the frame's header.
    pub fn frame(&self) -> Frame<'a> {
        match *self {
            Item::Payload(Payload { target, flags, extent, sparse, .. }) => {
                let plain = Body::Payload(extent);
                let body = sparse.map_or(plain, |map| Body::Sparse(extent, map));
                Frame { flags, path: target.path, body }
            }
            Item::End { target, flags } => Frame { flags, path: target.path, body: Body::End },
            Item::Seek { target, flags, offset } => {
                Frame { flags, path: target.path, body: Body::Seek(offset) }
            }
            Item::Rename { flags, from, to } => Frame { flags, path: from, body: Body::Rename(to) },
            Item::Remove { flags, path } => Frame { flags, path, body: Body::Remove },
        }
    }
}
