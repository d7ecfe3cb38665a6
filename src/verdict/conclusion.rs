//! The result of a judgement, and how it becomes the text of a snapshot.
//!
//! Reasons and checks stay values until they are written into a description. There they become
//! lines, and there the lines are bounded: whatever a stream made of its names, the snapshot must
//! keep within its size.

use crate::base::num::u64_of;
use crate::format::snapshot::Description;
use crate::format::snapshot::Positions;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::verdict::check::Check;
use crate::verdict::finding::Finding;
use crate::verdict::reason::Reason;

/// Reasons that a snapshot carries; more are only counted.
pub const LINES_MAX: usize = 30;

/// Bytes of one such line.
const LINE_BYTES_MAX: usize = 250;

/// All that was concluded about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The format as which the stream is stored; a guess in a checkpoint.
    pub format: StreamFormat,
    /// The kind of the snapshot, which stands alone or not.
    pub kind: SnapshotKind,
    /// Reasons why it can't be trusted further, the most important first.
    pub reasons: Vec<Reason>,
    /// Checks that were made, with their outcomes.
    pub checks: Vec<Check>,
    /// Findings that leave the verdict as it is.
    pub findings: Vec<Finding>,
    /// The positions that the stream states about itself.
    pub positions: Positions,
    /// Snapshots without which it can't be restored, the full backup first.
    pub requires: Vec<String>,
}

impl Conclusion {
    /// Returns the conclusion about a full backup of which nothing is said yet.
    pub(super) fn new(format: StreamFormat) -> Self {
        Self {
            format,
            kind: SnapshotKind::Full,
            reasons: Vec::new(),
            checks: Vec::new(),
            findings: Vec::new(),
            positions: Positions::default(),
            requires: Vec::new(),
        }
    }

    /// Returns the conclusion about a run that has not ended.
    pub fn checkpoint() -> Self {
        Self {
            kind: SnapshotKind::Checkpoint,
            reasons: vec![Reason::Checkpoint],
            ..Self::new(StreamFormat::Mbstream)
        }
    }

    /// Returns how far the backup can be trusted: as far as every reason allows.
    pub fn verdict(&self) -> Verdict {
        self.reasons.iter().map(Reason::verdict).max().unwrap_or(Verdict::Complete)
    }

    /// Puts a reason before all others.
    pub(super) fn lead_with(&mut self, reason: impl Into<Reason>) {
        self.reasons.insert(0, reason.into());
    }

    /// Writes everything but the findings into the description of a snapshot, as text.
    pub fn describe(self, about: &mut Description) {
        about.verdict = self.verdict();
        about.format = self.format;
        about.kind = self.kind;
        about.reasons = self.reason_lines();
        about.checks = self.checks.into_iter().map(Into::into).collect();
        about.checks.iter_mut().for_each(|check| shorten(&mut check.detail));
        about.positions = self.positions;
        about.requires = self.requires;
    }

    fn reason_lines(&self) -> Vec<String> {
        let line = |reason: &Reason| {
            let mut line = reason.to_string();
            shorten(&mut line);
            line
        };
        let mut lines: Vec<String> = self.reasons.iter().take(LINES_MAX).map(line).collect();
        let others = self.reasons.len() - lines.len();
        if others > 0 {
            lines.push(format!("and {} more reasons", u64_of(others)));
        }
        lines
    }
}

/// Cuts a line to the length that a snapshot carries.
pub fn shorten(line: &mut String) {
    if line.len() > LINE_BYTES_MAX {
        let end = line.floor_char_boundary(LINE_BYTES_MAX);
        line.truncate(end);
        line.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(reasons: Vec<Reason>) -> Conclusion {
        Conclusion { reasons, ..Conclusion::new(StreamFormat::Tar) }
    }

    #[test]
    fn the_verdict_is_the_lowest_that_the_reasons_allow() {
        let base = |verdict| Reason::Base { id: "1".to_owned(), verdict };
        assert_eq!(with(Vec::new()).verdict(), Verdict::Complete);
        let some = vec![base(Verdict::Unattested), base(Verdict::CorruptPages)];
        assert_eq!(with(some.clone()).verdict(), Verdict::CorruptPages);
        let all = [some, vec![Reason::Checkpoint]].concat();
        assert_eq!(with(all).verdict(), Verdict::Partial);
    }

    #[test]
    fn a_snapshot_carries_thirty_reasons_of_250_bytes_and_the_number_of_the_others() {
        let long = |number: usize| Reason::FirstError(format!("{number} {}", "\u{e9}".repeat(999)));
        let lines = with((0..LINES_MAX).map(long).collect()).reason_lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX + 3 && line.ends_with("...")));
        let lines = with((0..100).map(long).collect()).reason_lines();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX], "and 70 more reasons");
    }
}
