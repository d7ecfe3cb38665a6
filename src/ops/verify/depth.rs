//! The depths of a verification.

/// The depth of a verification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    /// Names and sizes of objects.
    Objects,
    /// As before, and the hash of every object.
    Stored,
    /// As before, and every block is decoded and hashed.
    Blocks,
    /// As before, and every page's checksum is computed again.
    Pages,
}
