//! Everything that is known of a stream that has ended, before it is judged.

use crate::base::producer::ProducerExit;
use crate::base::producer::Stall;
use crate::format::snapshot::StreamFormat;
use crate::parse::beginning::Before;
use crate::parse::compressed::CompressedEnd;
use crate::parse::detect::Wrapping;
use crate::parse::fault::FAULTS_KEPT_MAX;
use crate::parse::fault::Fault;
use crate::parse::mbstream::Parsed;
use crate::parse::sql::DumpFacts;
use crate::parse::tar::TarFacts;
use crate::verdict::finding::Acceptance;
use crate::verdict::observer::Observer;

/// The evidence on which a judgement rests.
#[derive(Debug)]
pub struct Evidence {
    /// Facts that the parser of its format found out.
    pub facts: Facts,
    /// The format that the user gave, if any.
    pub asked: Option<StreamFormat>,
    /// The text before the stream, or the damage to its first bytes.
    pub before: Before,
    /// The reason why the stream could not be read to its end, if it could not.
    pub failure: Option<String>,
    /// The way in which the producer ended.
    pub producer: Producer,
    /// Findings of the page checks.
    pub pages: PageFindings,
    /// The findings that the user has accepted.
    pub accepted: Vec<Acceptance>,
}

/// The facts that the parser of a stream found out.
#[derive(Debug)]
pub enum Facts {
    /// Facts of an mbstream.
    Mbstream(Box<MbstreamFacts>),
    /// Facts of an SQL dump.
    Sql(Box<DumpFacts>),
    /// Facts of a tar archive.
    Tar(TarFacts),
    /// Facts of a stream that no parser looked into.
    Plain(PlainFacts),
}

impl Facts {
    /// Returns the format that the stream had.
    pub fn format(&self) -> StreamFormat {
        match self {
            Self::Mbstream(_) => StreamFormat::Mbstream,
            Self::Sql(_) => StreamFormat::Sql,
            Self::Tar(_) => StreamFormat::Tar,
            Self::Plain(_) => StreamFormat::Raw,
        }
    }
}

/// The facts that are known of an mbstream.
#[derive(Debug)]
pub struct MbstreamFacts {
    /// The observer that watched the stream.
    pub observer: Observer,
    /// Faults that the parser found, and payloads that are not what their CRCs state.
    pub faults: StreamFaults,
    /// Files of changed pages, if it is an increment.
    pub deltas: DeltaFiles,
}

/// The faults of the frames of an mbstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFaults {
    /// The faults that were kept.
    pub kept: Vec<Fault>,
    /// Number of all faults, kept or not.
    pub count: u64,
}

impl StreamFaults {
    /// Enters a fault, in any order; the first ones of the stream are kept.
    pub fn record(&mut self, fault: Fault) {
        self.count += 1;
        self.kept.push(fault);
        if self.kept.len() >= 2 * FAULTS_KEPT_MAX {
            self.keep_first();
        }
    }

    /// Adds faults of the same stream, which come after those of the same frame that are here.
    pub fn add(&mut self, others: Self) {
        self.count += others.count;
        self.kept.extend(others.kept);
        self.keep_first();
    }

    fn keep_first(&mut self) {
        self.kept.sort_by_key(|fault| fault.at);
        self.kept.truncate(FAULTS_KEPT_MAX);
    }
}

impl From<Parsed> for StreamFaults {
    fn from(parsed: Parsed) -> Self {
        Self { kept: parsed.faults, count: parsed.fault_count }
    }
}

/// The files of changed pages that a stream had, and those that are broken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DeltaFiles {
    /// Number of `.delta` files that began.
    pub files: u64,
    /// Files that can't be applied, in words; at most a few.
    pub broken: Vec<String>,
    /// Number of such files that `broken` does not name.
    pub broken_others: u64,
}

/// The facts that the first and the last bytes of a plain stream show.
#[derive(Debug)]
pub struct PlainFacts {
    /// The wrapping that hides its content, if there is one.
    pub wrapping: Option<Wrapping>,
    /// The end of the stream, if it is compressed.
    pub end: CompressedEnd,
    /// Its first line, or a part of it.
    pub first_line: String,
}

/// The facts about the producer that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Way in which it ended.
    pub exit: ProducerExit,
    /// True if its messages end in `completed OK!`; `None` if this program did not read them.
    pub completed_ok_seen: Option<bool>,
    /// The first of its messages that report an error.
    pub errors: Vec<String>,
    /// The stall for which it was ended, if it was.
    pub ended_for: Option<Stall>,
    /// The files of which they say that they changed while they were read.
    pub changed: Vec<String>,
}

/// The results of looking at the pages, in words where pages are named (`app/t.ibd, page 7: ...`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageFindings {
    /// Number of pages looked at.
    pub pages: u64,
    /// Pages of which nothing vouches for the contents.
    pub unverifiable: u64,
    /// Number of corrupt pages.
    pub corrupt_count: u64,
    /// Corrupt pages in words, as many as are named.
    pub corrupt: Vec<String>,
    /// The page changed last, and its LSN.
    pub newest: Option<(u64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::num::u64_of;
    use crate::parse::fault::FaultKind;
    use crate::parse::item::StreamOffset;

    fn fault(at: u64, kind: FaultKind) -> Fault {
        Fault { at: StreamOffset::new(at), path: None, kind }
    }

    #[test]
    fn the_first_faults_of_the_stream_are_kept_in_whatever_order_they_come() {
        let most = u64_of(FAULTS_KEPT_MAX);
        let mut late = StreamFaults::default();
        (0..5 * most).rev().for_each(|at| late.record(fault(at * 2, FaultKind::OddPath)));
        assert!(late.kept.len() < 2 * FAULTS_KEPT_MAX);
        let kept = vec![fault(4, FaultKind::NotEnded), fault(5, FaultKind::Reopened)];
        let mut faults = StreamFaults { kept, count: 2 };
        faults.add(late);
        assert_eq!((faults.kept.len(), faults.count), (FAULTS_KEPT_MAX, 5 * most + 2));
        let first: Vec<_> = faults.kept.iter().take(5).map(|fault| fault.at.get()).collect();
        assert_eq!(first, [0, 2, 4, 4, 5]);
        assert_eq!(faults.kept[2].kind, FaultKind::NotEnded, "the parser's come first");
        let last = faults.kept.last().unwrap();
        assert_eq!(last.at.get(), 2 * (most - 3), "two of the thousand stand between");
    }
}
