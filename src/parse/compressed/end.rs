//! The ways in which a compressed stream ends.

/// The end of a compressed stream, as far as it could be checked.
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
