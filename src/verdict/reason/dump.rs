//! The reasons why an SQL dump is not complete.

use std::fmt;

use crate::format::snapshot::Verdict;
use crate::parse::sql::DumpEnd;
use crate::parse::sql::DumpFacts;
use crate::parse::sql::DumpKind;
use crate::parse::sql::Flaw;

/// A reason why a dump is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpReason {
    /// The producer reported this error.
    Reported(String),
    /// The dump is not finished.
    Unfinished(Unfinished),
    /// The program that wrote the dump marks no end.
    NoMark,
    /// Something is wrong with a dump of the stream.
    Flaw {
        /// The thing that is wrong.
        flaw: Flaw,
        /// Number of dumps in the stream.
        dumps: u64,
    },
    /// More flaws than are kept.
    MoreFlaws(u64),
    /// The dump says itself that something is missing.
    Complaint(String),
}

/// The end of a dump that lacks its completion line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The kind of text that the dump is made of.
    kind: DumpKind,
    /// The way in which the dump ends.
    end: DumpEnd,
    /// True if it has comments.
    has_comments: bool,
    /// The subject of its last bytes.
    last: String,
}

impl DumpReason {
    /// Returns the best verdict that the reason allows.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::NoMark => Verdict::Unattested,
            Self::Reported(_)
            | Self::Unfinished(_)
            | Self::Flaw { .. }
            | Self::MoreFlaws(_)
            | Self::Complaint(_) => Verdict::Partial,
        }
    }
}

impl fmt::Display for DumpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(line) => write!(
                f,
                "the producer reported '{line}': what it was doing is not in the dump, fix that \
                 and dump again"
            ),
            Self::Unfinished(unfinished) => unfinished.fmt(f),
            Self::NoMark => f.write_str(
                "the program that wrote the dump marks no end: dump with mariadb-dump, whose last \
                 line shows that the dump is whole",
            ),
            Self::Flaw { flaw, dumps } => f.write_str(&flaw_words(flaw, *dumps)),
            Self::MoreFlaws(count) => write!(f, "the dump has {count} more such faults"),
            Self::Complaint(words) => write!(
                f,
                "the dump says '{words}': that object is missing, mend it or its definer's rights \
                 at the source and dump again"
            ),
        }
    }
}

impl From<&DumpFacts> for Unfinished {
    fn from(facts: &DumpFacts) -> Self {
        let DumpFacts { kind, end, has_comments, .. } = *facts;
        Self { kind, end, has_comments, last: facts.last.clone() }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LOST: &str = "the connection or the producer broke off, look at the producer's \
                            messages and dump again";
        let last = &self.last;
        match (self.end, self.kind) {
            (_, DumpKind::Xml) => write!(f, "the dump does not end in </mysqldump>: {LOST}"),
            (_, DumpKind::Postgres) => {
                write!(f, "the dump does not end in 'PostgreSQL database dump complete': {LOST}")
            }
            (_, DumpKind::Mydumper) => {
                write!(f, "the dump does not end in mydumper's 'Finished dump at': {LOST}")
            }
            (DumpEnd::InValue, _) => write!(f, "the dump stops inside a value of {last}: {LOST}"),
            (DumpEnd::InStatement, _) => {
                write!(f, "the dump stops inside a statement of {last}: {LOST}")
            }
            (DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked, _)
                if !self.has_comments =>
            {
                write!(
                    f,
                    "the dump has no completion line, it stops after a statement of {last}: \
                     without that line a whole dump can't be told from a cut one, leave out \
                     --compact and --skip-comments"
                )
            }
            (DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked, _) => {
                write!(
                    f,
                    "the dump stops after a statement of {last}, without its last line: {LOST}"
                )
            }
        }
    }
}

/// Says what is wrong with a dump, and what to do.
fn flaw_words(flaw: &Flaw, dumps: u64) -> String {
    let lost = "a part of the dump was lost, dump again";
    let which = |number: u64| {
        if dumps > 1 { format!("dump {number} of {dumps}") } else { "the dump".to_owned() }
    };
    match flaw {
        Flaw::Broken { number, schema, end, last } => {
            let of = schema.as_ref().map_or(String::new(), |name| format!(" (of '{name}')"));
            let place = match end {
                DumpEnd::InValue => "inside a value of",
                DumpEnd::InStatement => "inside a statement of",
                DumpEnd::Completed | DumpEnd::Between | DumpEnd::Unmarked => "after a statement of",
            };
            format!(
                "{}{of} stops {place} {last}, without its last line, and another dump follows it: \
                 look at the producer's messages and dump again; in a shell, set -e ends a loop \
                 at the first failure",
                which(*number)
            )
        }
        Flaw::Empty { number } => format!(
            "{} holds no table, view, routine, account or schema at all: check the rights of the \
             account that dumps (SHOW GRANTS) and the producer's options",
            which(*number)
        ),
        Flaw::Message(line) => format!(
            "the dump holds the producer's message '{line}': what it was doing is not in the dump, \
             fix that and dump again, without 2>&1"
        ),
        Flaw::Rows { last } => format!("{last} has rows without their INSERT: {lost}"),
        Flaw::Text { last, text } => {
            format!("in {last} stands text that is no statement, '{text}': {lost}")
        }
        Flaw::Zeros { offset } => format!(
            "byte {offset} of the dump is zero, which no client reads: the dump was damaged on its \
             way or on a disk, dump again"
        ),
        Flaw::Dropped(name) => format!("'{name}' is dropped and not made again: {lost}"),
        Flaw::Locked(name) => {
            format!("table '{name}' is locked for its rows and not unlocked: {lost}")
        }
        Flaw::Placeholder(name) => {
            format!("view '{name}' has its placeholder only, not its definition: {lost}")
        }
        Flaw::Appended(text) => format!(
            "after the completion line follows '{text}', which belongs to no dump: find out what \
             writes it, and keep it out of the stream"
        ),
    }
}
