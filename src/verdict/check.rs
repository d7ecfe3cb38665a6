//! The checklist: what was looked at, and how it came out.
//!
//! Names and outcomes are values while a stream is judged. Their spellings are part of the stored
//! format, and stand here only: [`From`] writes them into a snapshot, [`Outcome::parse`] reads them
//! back. A later version may store other outcomes; a snapshot keeps their words.

use std::fmt;

use crate::base::producer::ProducerExit;
use crate::format::snapshot;

/// The name of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckName {
    /// The end of the producer, as it was observed.
    Producer,
    /// The frames of an mbstream.
    Stream,
    /// The files in which a backup describes itself.
    DescribingFiles,
    /// The position that a replica starts from.
    BinlogPosition,
    /// The order of the last files.
    Order,
    /// The redo log and its length.
    RedoLog,
    /// The system tablespace and the undo tablespaces.
    SystemTablespace,
    /// The first bytes of the files.
    Beginnings,
    /// Statements that the backup makes twice.
    Agreement,
    /// The logs that Aria recovers from.
    AriaLogs,
    /// Files that have no bytes.
    EmptyFiles,
    /// The lengths that files state.
    Lengths,
    /// The files of every table.
    Tables,
    /// The files that were renamed.
    Renames,
    /// Tables that were changed meanwhile.
    ChangedTables,
    /// The pages of the tablespaces.
    Pages,
    /// The LSN of the newest page.
    PageLsn,
    /// Pages that the producer found corrupt.
    CorruptAtSource,
    /// A stream or files whose content can't be looked at.
    HiddenContent,
    /// The temporary files of the judgement itself.
    TemporaryFiles,
    /// The changed pages of an increment.
    ChangedPages,
    /// The snapshot that an increment builds on.
    Base,
    /// The last line of a dump.
    CompletionLine,
    /// The contents of a dump or an archive.
    Contents,
    /// The headers of an archive.
    Archive,
    /// The end of a compressed stream.
    End,
}

impl CheckName {
    /// Returns the name as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Stream => "stream",
            Self::DescribingFiles => "describing files",
            Self::BinlogPosition => "binlog position",
            Self::Order => "order",
            Self::RedoLog => "redo log",
            Self::SystemTablespace => "system tablespace",
            Self::Beginnings => "beginnings",
            Self::Agreement => "agreement",
            Self::AriaLogs => "aria logs",
            Self::EmptyFiles => "empty files",
            Self::Lengths => "lengths",
            Self::Tables => "tables",
            Self::Renames => "renames",
            Self::ChangedTables => "changed tables",
            Self::Pages => "pages",
            Self::PageLsn => "page lsn",
            Self::CorruptAtSource => "corrupt at source",
            Self::HiddenContent => "content",
            Self::TemporaryFiles => "notes",
            Self::ChangedPages => "changed pages",
            Self::Base => "base",
            Self::CompletionLine => "completion line",
            Self::Contents => "contents",
            Self::Archive => "archive",
            Self::End => "end",
        }
    }
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made and all is well.
    Passed,
    /// It was made and something is wrong.
    Failed,
    /// It could not be made.
    Unknown,
    /// It does not apply.
    Skipped,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Unknown, Self::Skipped];

    /// Returns the outcome as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }

    /// Reads a stored outcome; returns `None` for one of a later version.
    pub fn parse(stored: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == stored)
    }

    /// Returns the outcome of a check that was made and found this number of faults.
    pub(super) fn of_faults(count: usize) -> Self {
        if count == 0 { Self::Passed } else { Self::Failed }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The name of the check.
    pub name: CheckName,
    /// The outcome of the check.
    pub outcome: Outcome,
    /// The details that the check has seen, in words.
    pub detail: String,
}

impl Check {
    /// Makes a line of the checklist.
    pub fn new(name: CheckName, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { name, outcome, detail: detail.into() }
    }

    /// Makes the line about a producer of which only the exit is looked at.
    pub(super) fn of_exit(exit: ProducerExit) -> Self {
        let (outcome, detail) = match exit {
            ProducerExit::Unseen => (Outcome::Unknown, "how it ended was not seen".to_owned()),
            ProducerExit::Exited(0) => (Outcome::Passed, "exit status 0".to_owned()),
            ProducerExit::Exited(code) => (Outcome::Failed, format!("exit status {code}")),
            ProducerExit::Killed(signal) => (Outcome::Failed, format!("killed by signal {signal}")),
            ProducerExit::Hung => (Outcome::Failed, "it hung".to_owned()),
        };
        Self { name: CheckName::Producer, outcome, detail }
    }
}

impl From<Check> for snapshot::Check {
    fn from(check: Check) -> Self {
        let Check { name, outcome, detail } = check;
        Self { name: name.as_str().to_owned(), outcome: outcome.as_str().to_owned(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_words_of_later_versions_are_none_of_these() {
        for outcome in Outcome::ALL {
            let stored: snapshot::Check = Check::new(CheckName::Base, outcome, "").into();
            assert_eq!(Outcome::parse(&stored.outcome), Some(outcome));
        }
        assert_eq!(Outcome::parse("postponed"), None);
        assert_eq!(Outcome::parse("Passed"), None);
    }
}
