//! Everything that is known of a stream that has ended, before it is judged.

use crate::base::producer::ProducerExit;
use crate::format::snapshot::StreamFormat;
use crate::parse::beginning::Before;
use crate::parse::compressed::CompressedEnd;
use crate::parse::detect::Wrapping;
use crate::parse::fault::Fault;
use crate::parse::mbstream::Parsed;
use crate::parse::sql::DumpFacts;
use crate::parse::tar::TarFacts;
use crate::verdict::finding::Acceptance;
use crate::verdict::observer::Observer;

/// What a judgement rests on.
#[derive(Debug)]
pub struct Evidence {
    /// Facts that the parser of its format found out.
    pub facts: Facts,
    /// The format that the user gave, if any.
    pub asked: Option<StreamFormat>,
    /// What stands before the stream.
    pub before: Before,
    /// Why the stream could not be read to its end, if it could not.
    pub failure: Option<String>,
    /// The way in which the producer ended.
    pub producer: Producer,
    /// Findings of the page checks.
    pub pages: PageFindings,
    /// What the user has accepted.
    pub accepted: Vec<Acceptance>,
}

/// What the parser of a stream found out.
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
            Facts::Mbstream(_) => StreamFormat::Mbstream,
            Facts::Sql(_) => StreamFormat::Sql,
            Facts::Tar(_) => StreamFormat::Tar,
            Facts::Plain(_) => StreamFormat::Raw,
        }
    }
}

/// What is known of an mbstream.
#[derive(Debug)]
pub struct MbstreamFacts {
    /// The observer that watched the stream.
    pub observer: Observer,
    /// Faults that the parser found.
    pub faults: StreamFaults,
    /// Files of changed pages, if it is an increment.
    pub deltas: DeltaFiles,
}

/// The faults that the parser of an mbstream found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFaults {
    /// The faults that were kept.
    pub kept: Vec<Fault>,
    /// Number of all faults, kept or not.
    pub count: u64,
}

impl From<Parsed> for StreamFaults {
    fn from(parsed: Parsed) -> StreamFaults {
        StreamFaults { kept: parsed.faults, count: parsed.fault_count }
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

/// What the first and the last bytes of a plain stream show.
#[derive(Debug)]
pub struct PlainFacts {
    /// What hides its content, if anything does.
    pub wrapping: Option<Wrapping>,
    /// How it ended, if it is compressed.
    pub end: CompressedEnd,
    /// Its first line, or a part of it.
    pub first_line: String,
}

/// What is known of the producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Way in which it ended.
    pub exit: ProducerExit,
    /// Whether its messages end in `completed OK!`; `None` if this program did not read them.
    pub completed_ok_seen: Option<bool>,
    /// The first of its messages that report an error.
    pub errors: Vec<String>,
}

/// What looking at the pages showed, in words where pages are named (`app/t.ibd, page 7: ...`).
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
