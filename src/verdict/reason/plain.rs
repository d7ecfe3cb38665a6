//! The reasons why a stream that is kept as it is is not complete.

use std::fmt;

/// A reason why a plain stream is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainReason {
    /// The stream is the error message of a dump program.
    DumpError(String),
    /// The stream of this program has no end.
    NoEnd(&'static str),
    /// Something follows the end of the stream of this program.
    Followed(&'static str),
    /// The stream begins like one of this program and does not go on like one.
    Malformed(&'static str),
}

impl fmt::Display for PlainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DumpError(line) => {
                write!(f, "the stream is no dump but the message '{line}': fix that, dump again")
            }
            Self::NoEnd(program) => write!(
                f,
                "the stream of {program} has no end: the producer stopped or the stream was cut, \
                 run the backup again"
            ),
            Self::Followed(program) => write!(
                f,
                "something follows the end of the stream of {program}, which can't be unpacked \
                 without an error: look at what the producer runs after it"
            ),
            Self::Malformed(program) => write!(
                f,
                "the stream begins like one of {program} and does not go on like one: it was \
                 damaged in transit, run the backup again"
            ),
        }
    }
}
