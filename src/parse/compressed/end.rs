//! The ways in which a compressed stream ends.

/// How a compressed stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressedEnd {
    /// With the end of its format.
    Whole,
    /// The stream stops before the end of its format.
    Cut,
    /// At its own end, after which something else follows.
    Followed,
    /// It is not what its first bytes promise.
    Malformed,
    /// Nothing in the stream tells.
    Unknown,
}
