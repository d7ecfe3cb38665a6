//! The one type for the end of a producer, from the source that watched it to the report.

use std::fmt;

/// The end of a producer, as far as it was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerExit {
    /// This program did not run it, and could not see how it ended.
    Unseen,
    /// It ended with this exit code; 0 is success.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It kept running after its stream ended, and was killed.
    Hung,
}

impl ProducerExit {
    /// Tells whether the producer is known to have failed.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Unseen | Self::Exited(0))
    }
}

impl fmt::Display for ProducerExit {
    /// Writes the end of a sentence that begins with the producer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen => f.write_str("was not seen to end"),
            Self::Exited(code) => write!(f, "ended with status {code}"),
            Self::Killed(signal) => write!(f, "was killed by signal {signal}"),
            Self::Hung => f.write_str("kept running after its stream ended, and was killed"),
        }
    }
}
