//! The reasons why a backup is not complete, in words for the operator who is woken up by it.
//!
//! A reason says what is wrong and what to do. It is shown in lists, stored in snapshots and sent
//! in mails, so that it stands alone in one line. Each of them bounds the verdict, and the verdict
//! is the lowest of these bounds: no reason can overrule another.
//!
//! Every dialect has reasons of its own. Those here are about any stream.

pub(super) mod beginning;
pub(super) mod dump;
pub(super) mod mbstream;
pub(super) mod plain;
pub(super) mod producer;
pub(super) mod tar;

use std::fmt;

use crate::base::producer::Stall;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::verdict::reason::beginning::BeginningReason;
use crate::verdict::reason::dump::DumpReason;
use crate::verdict::reason::mbstream::MbstreamReason;
use crate::verdict::reason::plain::PlainReason;
use crate::verdict::reason::producer::ProducerReason;
use crate::verdict::reason::tar::TarReason;

/// A reason why a backup is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The snapshot is a checkpoint: its run had not ended.
    Checkpoint,
    /// The stream could not be read to its end, for this cause.
    Unread(String),
    /// The producer was ended since its server stood still.
    Stalled(Stall),
    /// The stream is not what the user said.
    OtherFormat {
        /// The format that the user gave.
        asked: StreamFormat,
        /// The format as which the stream is stored.
        stored: StreamFormat,
    },
    /// An error that the producer reported before it failed.
    FirstError(String),
    /// The way in which the producer ended.
    Producer(ProducerReason),
    /// Something about the text before the stream, or the damage to its first bytes.
    Beginning(BeginningReason),
    /// Something about an mbstream.
    Mbstream(MbstreamReason),
    /// Something about an SQL dump.
    Dump(DumpReason),
    /// Something about a tar.
    Tar(TarReason),
    /// Something about a stream that is kept as it is.
    Plain(PlainReason),
    /// An increment is trusted no more than its base.
    Base {
        /// The short id of the base.
        id: String,
        /// The verdict on the base.
        verdict: Verdict,
    },
    /// The base of an increment was not found, in words.
    NoBase(String),
}

impl Reason {
    /// Returns the best verdict that the reason allows.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Checkpoint
            | Self::Unread(_)
            | Self::Stalled(_)
            | Self::OtherFormat { .. }
            | Self::FirstError(_)
            | Self::Beginning(_)
            | Self::Tar(_)
            | Self::Plain(_)
            | Self::NoBase(_) => Verdict::Partial,
            Self::Producer(reason) => reason.verdict(),
            Self::Mbstream(reason) => reason.verdict(),
            Self::Dump(reason) => reason.verdict(),
            Self::Base { verdict, .. } => *verdict,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("a checkpoint of a run that had not ended"),
            Self::Unread(why) => write!(f, "the stream could not be read to its end: {why}"),
            Self::Stalled(stall) => write!(
                f,
                "{stall}; the producer was ended, so that the node goes on: see what it waited \
                 for, then run it again; --stall-limit gives it longer"
            ),
            Self::OtherFormat { asked, stored } => write!(
                f,
                "--format {asked} does not fit, the stream was stored as {stored}: check the \
                 producer's options, or leave --format out"
            ),
            Self::FirstError(line) => write!(f, "the producer's first error message: {line}"),
            Self::Producer(reason) => reason.fmt(f),
            Self::Beginning(reason) => reason.fmt(f),
            Self::Mbstream(reason) => reason.fmt(f),
            Self::Dump(reason) => reason.fmt(f),
            Self::Tar(reason) => reason.fmt(f),
            Self::Plain(reason) => reason.fmt(f),
            Self::Base { id, verdict } => {
                write!(f, "its base, snapshot {id}, is {verdict}: run haulout show {id}")
            }
            Self::NoBase(why) => write!(f, "an increment without its base: {why}"),
        }
    }
}

impl From<ProducerReason> for Reason {
    fn from(reason: ProducerReason) -> Self {
        Self::Producer(reason)
    }
}

impl From<BeginningReason> for Reason {
    fn from(reason: BeginningReason) -> Self {
        Self::Beginning(reason)
    }
}

impl From<MbstreamReason> for Reason {
    fn from(reason: MbstreamReason) -> Self {
        Self::Mbstream(reason)
    }
}

impl From<DumpReason> for Reason {
    fn from(reason: DumpReason) -> Self {
        Self::Dump(reason)
    }
}

impl From<TarReason> for Reason {
    fn from(reason: TarReason) -> Self {
        Self::Tar(reason)
    }
}

impl From<PlainReason> for Reason {
    fn from(reason: PlainReason) -> Self {
        Self::Plain(reason)
    }
}
