//! The facts about a producer, from the source that watched it to the report: how it ended, and for
//! how long it made its server stand still.

use std::fmt;
use std::time::Duration;

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

/// What is known of the server of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// It is a node of a Galera cluster: it may not stand still for long.
    ClusterNode,
    /// Nothing says that it is one.
    Unknown,
}

/// What was seen of the stages of a producer whose messages were followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagesSeen {
    /// What is known of the server.
    pub server: Server,
    /// The stage in which it stood still, if the producer named one.
    pub pause: Option<Pause>,
}

impl StagesSeen {
    /// Tells whether the producer was ended since the stage stood still.
    pub fn was_ended(&self) -> bool {
        let stall = self.pause.as_ref().and_then(|pause| pause.stall.as_ref());
        stall.is_some_and(|stall| stall.outcome == StallOutcome::Ended)
    }
}

/// The stage in which a producer made its server stand still.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pause {
    /// The last name of the stage, such as `BACKUP STAGE BLOCK_DDL`.
    pub stage: &'static str,
    /// The time from its beginning to its end.
    pub lasted: Duration,
    /// Bytes of the stream that came in it.
    pub bytes: u64,
    /// Those of them that went through the spool.
    pub spooled_bytes: u64,
    /// The reason why the spool took no more, if it was needed and did not.
    pub spool_full: Option<String>,
    /// The stall that was longer than its limit, if there was one.
    pub stall: Option<Stall>,
}

/// A stage in which nothing went on for longer than its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The name of the stage at that time.
    pub stage: &'static str,
    /// The longest time for which nothing went on.
    pub lasted: Duration,
    /// What the stage waited for.
    pub cause: StallCause,
    /// What was done about it.
    pub outcome: StallOutcome,
}

/// What a stage waited for that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallCause {
    /// Its reader: memory and spool were full, and the repository took nothing.
    Reader,
    /// The producer: it gave nothing.
    Producer,
}

/// What was done about a stage that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallOutcome {
    /// The producer was ended, so that the server goes on.
    Ended,
    /// It was said, and waited for.
    Warned,
}

impl fmt::Display for Stall {
    /// Writes a sentence about the stall, without what to do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasted.as_secs();
        let cause = match self.cause {
            StallCause::Reader => "memory and spool were full and the repository took nothing",
            StallCause::Producer => "the producer gave nothing",
        };
        write!(f, "{} stood still for {seconds} s, since {cause}", self.stage)
    }
}
