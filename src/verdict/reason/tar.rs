//! The reasons why a tar is not complete.

use std::fmt;

/// The advice about an archive that was cut.
const AGAIN: &str = "the producer stopped or the stream was cut, run the backup again";

/// A reason why a tar is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarReason {
    /// The mark of the end is missing.
    Unmarked,
    /// The archive ends within an entry or a header.
    EndsInside(String),
    /// There is nothing but the mark of the end.
    NoEntries,
    /// Something is wrong with a header, in words.
    Fault(String),
    /// More faults than are kept.
    MoreFaults(u64),
    /// The producer ended as tar does if files changed meanwhile.
    ChangedMeanwhile,
}

impl fmt::Display for TarReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmarked => write!(
                f,
                "the archive ends without the two blocks of zeros that mark its end: {AGAIN}"
            ),
            Self::EndsInside(what) => write!(f, "the archive ends within {what}: {AGAIN}"),
            Self::NoEntries => {
                f.write_str("the archive has no entries: look at what the producer was told")
            }
            Self::Fault(words) => f.write_str(words),
            Self::MoreFaults(count) => write!(f, "{count} more faults in it"),
            Self::ChangedMeanwhile => f.write_str(
                "tar ends with 1 if files changed while it read them: back up a snapshot of the \
                 file system, or let tar run with --warning=no-file-changed once they may be torn",
            ),
        }
    }
}
