//! The reasons why the beginning of a stream spoils it.

use std::fmt;

use crate::parse::beginning::What;

/// A reason that lies before the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginningReason {
    /// The first bytes are lost.
    Lost(What),
    /// The stream is text in UTF-16.
    Recoded(What),
    /// An error of the dump program stands before its dump.
    DumpError(String),
    /// Text stands before a stream that no program reads with it.
    Text {
        /// The stream that the text stands before.
        what: What,
        /// Number of bytes of the text.
        bytes: usize,
        /// The beginning of the text.
        quoted: String,
    },
}

impl fmt::Display for BeginningReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(
                f,
                "the stream begins like {} {what} that lost its first bytes: look at what stands \
                 between the producer and haulout, run the backup again",
                article(*what)
            ),
            Self::Recoded(what) => write!(
                f,
                "the stream is {} {what} that was written in UTF-16, as > of PowerShell does: no \
                 program reads it, and what is no text in it is lost; let the producer write the \
                 file (--result-file), or let haulout run it (-- COMMAND)",
                article(*what)
            ),
            Self::DumpError(quoted) => write!(
                f,
                "'{quoted}' stands before the dump: what the producer was doing is not in it, mend \
                 that and dump again"
            ),
            Self::Text { what, bytes, quoted } => {
                let mark = if *what == What::Mbstream { "XBSTCK01" } else { "it" };
                write!(
                    f,
                    "text stands before the {what}: {mark} begins at byte {bytes}, after \
                     '{quoted}': keep messages out of the producer's output"
                )
            }
        }
    }
}

fn article(what: What) -> &'static str {
    if what == What::Mbstream { "an" } else { "a" }
}
