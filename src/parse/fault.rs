//! The faults of a stream, in words: where, which file, and what.
//!
//! A fault never stops a backup: the bytes are kept, and the stream can be written again unchanged.
//! It stops a *verdict*: a stream with any fault is not complete. So a fault is recorded for
//! anything that the producer would not have written, even where a restore would probably succeed.
//!
//! It does not advise: what to do about a fault depends on the whole stream and is said by the
//! verdict.

use std::fmt;

use crate::parse::frame::BadFrame;
use crate::parse::item::StreamOffset;
use crate::parse::path::OwnedPath;

/// The most faults that a parser keeps; more are only counted.
pub const FAULTS_KEPT_MAX: usize = 1_000;

/// One thing that is wrong with the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The offset at which the frame begins.
    pub at: StreamOffset,
    /// The file that the frame names, if it got as far as that.
    pub path: Option<OwnedPath>,
    /// The defect of the frame.
    pub kind: FaultKind,
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The stream has no frame at all.
    EmptyStream,
    /// The stream ends inside a header, after this many bytes of it.
    CutInHeader(u64),
    /// The stream ends inside a payload.
    CutInPayload {
        /// Number of payload bytes that arrived.
        arrived: u64,
        /// Number of payload bytes that the frame announces.
        len: u64,
    },
    /// The stream ended before the file did.
    NotEnded,
    /// From here on the stream can't be understood.
    Malformed(Malformed),
    /// The CRC-32 that the frame states.
    BadCrc {
        /// CRC-32 in the frame.
        stated: u32,
        /// CRC-32 of the bytes.
        computed: u32,
    },
    /// The payload does not continue where the previous one ended, or where a seek led.
    OffsetGap {
        /// The offset that should follow.
        expected: u64,
        /// The offset in the frame.
        found: u64,
    },
    /// A file that has ended begins again, without the rewrite flag.
    Reopened,
    /// A seek in a file of which nothing was sent.
    SeekBeforeData,
    /// Nothing was written where a seek led.
    SeekWithoutData,
    /// A file is renamed or removed before it has ended.
    ChangedWhileOpen,
    /// Flag bits that no known writer sets.
    UnknownFlags(u8),
    /// The path is spelled in a way that no known writer uses.
    OddPath,
}

/// A reason why the stream can't be parsed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes at a frame boundary are no frame.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// More files are open at a time than any producer opens.
    #[error("more than 65536 files are open at once")]
    TooManyOpen,
    /// One path was opened 2^32 times.
    #[error("a file begins again for the 4294967296th time")]
    TooManyIncarnations,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "'{path}', ")?;
        }
        write!(f, "stream byte {}: {}", self.at, self.kind)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyStream => f.write_str("the stream is empty"),
            Self::CutInHeader(bytes) => {
                write!(f, "the stream ends {bytes} bytes into a frame header")
            }
            Self::CutInPayload { arrived, len } => {
                write!(f, "the stream ends after {arrived} of {len} bytes of a payload")
            }
            Self::NotEnded => f.write_str("the file was not ended before the stream was"),
            Self::Malformed(why) => write!(f, "the stream can't be parsed from here on: {why}"),
            Self::BadCrc { stated, computed } => {
                write!(f, "the payload's crc is {computed:08x}, the frame states {stated:08x}")
            }
            Self::OffsetGap { expected, found } => {
                write!(f, "the payload is for file offset {found}, expected was {expected}")
            }
            Self::Reopened => f.write_str("the file begins again although it had ended"),
            Self::SeekBeforeData => f.write_str("a seek in a file that was not begun"),
            Self::SeekWithoutData => f.write_str("a seek that nothing follows"),
            Self::ChangedWhileOpen => f.write_str("a rename or removal before the file has ended"),
            Self::UnknownFlags(bits) => write!(f, "unknown flags 0x{bits:02x}"),
            Self::OddPath => f.write_str("the path is oddly spelled"),
        }
    }
}
