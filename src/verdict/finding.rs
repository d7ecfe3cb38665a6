//! Findings: what an operator should look at, although the verdict stands.
//!
//! A verdict says whether a snapshot can be relied upon. A [`Finding`] is about anything else: what
//! is odd in the stream (a table that last night's backup had), in the repository (a damaged
//! snapshot that could not be used), or around the run (a cache that could not be written). A
//! warning makes `backup` exit with 3; a note does not.
//!
//! # How a finding gets into a snapshot
//!
//! - The judgement on a stream returns it with its conclusion (`Conclusion::findings`).
//! - Whatever happens around the stream is reported to the run's [`FindingLog`]. Those reported
//!   before the snapshot is published stand in it; later ones are shown by the run only.
//!
//! # Acceptance
//!
//! An [`Acceptance`] turns the warnings that it covers into notes. A snapshot records those in
//! force, and the next snapshot of the source takes them over.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use crate::base::crew::lock;
use crate::base::globs::Globs;
use crate::format::snapshot;
pub use crate::format::snapshot::Severity;

/// Findings that a run keeps; a run that has more has said enough.
const LOG_MAX: usize = 10_000;

/// Declares the codes: each has a spelling that never changes, what it means, and what to do.
macro_rules! codes {
    ($($name:ident $spelling:literal $severity:ident $meaning:literal $advice:literal)*) => {
        /// The subject of a finding. The spellings are part of the interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All codes, in the order of their declaration.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// Returns the spelling of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $spelling,)* }
            }

            /// Returns how severe such a finding is, unless its maker knows better.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// Explains what such a finding means.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// Says what to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice,)* }
            }
        }
    };
}

codes! {
    FormatChanged "format-changed" Warning
    "The stream is of another format than the earlier ones of its source. Usually the producer \
     failed, or its options changed. Until the new format is confirmed, 'SOURCE@latest' passes \
     such a snapshot over."
    "Look at the producer's command and messages. If the new format is intended, run backup once \
     with --format and that format; it is then the format of the source."

    ForeignText "foreign-text" Warning
    "Text that is not the producer's stands before or after the stream. The stream was taken apart \
     without it and the text is kept, so that restore --stdout writes the same bytes; a program \
     that reads all of them fails at that text."
    "Keep messages out of the stream: leave 2>&1 out, and let wrappers and login scripts write to \
     standard error. Restore with --to, or with --include, which leave the text out."

    NotRecognised "not-recognised" Note
    "The stream begins like no format that haulout knows. It is stored as it is, as one file: \
     nothing in it is checked, and single tables cannot be restored."
    "If it should be an mbstream, a dump or a tar, look at how the producer's output begins \
     (restore --stdout | head). If it is meant to be opaque, run backup with --format raw."

    LostMembers "lost-members" Warning
    "Schemas, tables or most of the bytes that an earlier snapshot of the source has are not in \
     this one. A producer whose account lost its rights leaves them out without an error."
    "Check the rights of the backup account and the producer's options. If they were removed on \
     purpose, run backup with --accept lost-members, or wait: after 7 runs they are not expected \
     any more."

    MissingObjects "missing-objects" Warning
    "The server has objects that are not in the dump. It listed them before the dump and after it. \
     A tool whose account lacks rights leaves them out without an error."
    "Run haulout doctor with the name of the job: it says which right is missing. If an option of \
     the tool leaves them out on purpose, run backup with --accept missing-objects:SCHEMA/TABLE."

    MissingRights "missing-rights" Warning
    "The account of the dump lacks a right without which the tool leaves objects out, and ends \
     with status 0. What it does not see is in no list either."
    "Grant the right: haulout doctor with the name of the job prints the statement. If the dump is \
     meant to have only what the account sees, run backup with --accept missing-rights."

    NotTransactional "not-transactional" Warning
    "A table is of an engine without transactions. It may have changed while it was dumped, so its \
     rows may not fit those of other tables."
    "Convert it with ALTER TABLE ... ENGINE=InnoDB, or back it up with mariabackup. If that does \
     not matter, run backup with --accept not-transactional:SCHEMA/TABLE."

    ServerNotAsked "server-not-asked" Warning
    "The server of the source could not be asked: whether it is a node of a Galera cluster, or \
     what a dump must hold, is not known. So objects that a dump lacks go unnoticed, and on a node \
     the position in the cluster is not stored and no limit ends a stage that stalls."
    "Run haulout doctor with the name of the job: it says why. For a server of which haulout shall \
     not ask anything, set ask_server = false in its source."

    SqlUnexpectedStatement "sql-unexpected-statement" Warning
    "The dump holds a statement that the dump programs do not write. Loading the dump runs it."
    "Read the statement before you load the dump, and load it with mariadb --sandbox. If it \
     belongs there, run backup with --accept sql-unexpected-statement."

    SqlClientCommand "sql-client-command" Warning
    "The dump holds a command of the mariadb client, such as \\! or source, outside of strings. \
     Loading the dump with a client that is not in sandbox mode can run programs on its host."
    "Find out who wrote it before you load the dump, and load it with mariadb --sandbox."

    TrailingStatement "trailing-statement" Warning
    "Statements follow the completion line of the dump. They were not written by the dump program."
    "If a script appends them on purpose, run backup with --accept trailing-statement. Otherwise \
     find out who writes to the producer's output."

    EmptyDirectory "empty-directory" Note
    "The stream has an empty db.opt of a directory that is not a database, such as lost+found. \
     The producer sends it for every directory that it finds."
    "Nothing has to be done; --databases-exclude of the producer leaves it out."

    DiscardedTablespace "discarded-tablespace" Warning
    "A table is defined but has no data file, which is what ALTER TABLE ... DISCARD TABLESPACE \
     leaves. A file that was lost at the source looks the same: until it is accepted, the backup \
     is partial."
    "If the tablespace was discarded on purpose, run backup with --accept \
     discarded-tablespace:SCHEMA/TABLE. Otherwise look for the file at the source."

    CannotJudge "cannot-judge" Note
    "Whether a stream of this kind is whole cannot be seen from its bytes. Only the producer's \
     exit status vouches for it."
    "Let haulout run the producer (backup -- COMMAND), and prefer an uncompressed mbstream or \
     dump: those are checked."

    FileChanged "file-changed" Warning
    "A file changed or went away while tar read it. The archive is whole, and every other file in \
     it is as it was; what is stored of this one may be half old and half new."
    "Back up a snapshot of the file system, stop what writes the file, or exclude it. If a torn \
     copy does no harm (a log), run backup with --accept file-changed:GLOB."

    DamagePassedOver "damage-passed-over" Warning
    "An earlier snapshot, or a pack of one, is missing or damaged. This backup did not need it: it \
     compared with an older snapshot, or stored everything again."
    "Run verify to see what is lost, then repair, or replicate --from a copy."

    OutputHeldOpen "output-held-open" Note
    "The producer had ended, but another process that it had started kept its standard output open \
     for longer than --grace. The stream was taken as ended."
    "Let background processes write elsewhere: start them with >/dev/null, or leave the connection \
     sharing of ssh (ControlPersist) out of the producer's command."

    StageStalled "stage-stalled" Warning
    "The producer holds locks at the server in its last stage, and there nothing went on for \
     longer than --stall-limit. On a node of a Galera cluster the producer was ended; another \
     server kept its changes of definitions, and perhaps its commits, waiting for so long."
    "See what the stage waited for: a repository that takes nothing while the spool is full, or \
     the producer itself (show --log). Give a larger --spool-size, or --stall-limit if this \
     may last."

    SpoolFull "spool-full" Note
    "In the stage in which the producer holds locks at the server, its stream came faster than \
     the repository took it, and the spool had no room for the rest. From then on the server \
     waited for the repository."
    "Give --spool-size and --spool DIR with more room: the finding says how much came in the \
     stage."

    StageNotNamed "stage-not-named" Note
    "The messages of the producer named no stage in which it holds locks at the server, so that \
     stage was not made short and has no limit. On a node of a Galera cluster this is a \
     warning."
    "Let the messages of mariabackup reach haulout: leave 2>FILE out of the producer's command. \
     With --no-lock, or if the stream is not a server's, run backup with --accept \
     stage-not-named."

    StateNotWritten "state-not-written" Warning
    "What the repository showed could not be recorded in the --state directory, so that a later \
     rollback may go unnoticed. The backup itself is stored."
    "Make room in the directory, or give the user of haulout the right to write there."

    CacheNotWritten "cache-not-written" Note
    "The --cache directory could not be written. Metadata is read from the repository instead, \
     which is slower and changes nothing else."
    "Make room in the directory, give the user of haulout the right to write there, or lower \
     --cache-size."

    InsecurePermissions "insecure-permissions" Warning
    "A file with a password or a key can be read by every user of this host."
    "Run chmod 0400 on the file. If other users must be able to read it, give \
     --insecure-permissions."
}

impl Code {
    /// Tells whether `--accept` may turn its warnings into notes. What is about this run or this
    /// host is mended there, and a format is confirmed by `--format`.
    pub fn can_be_accepted(self) -> bool {
        match self {
            Self::ForeignText
            | Self::NotRecognised
            | Self::LostMembers
            | Self::MissingObjects
            | Self::MissingRights
            | Self::NotTransactional
            | Self::SqlUnexpectedStatement
            | Self::SqlClientCommand
            | Self::TrailingStatement
            | Self::EmptyDirectory
            | Self::DiscardedTablespace
            | Self::StageNotNamed
            | Self::FileChanged
            | Self::CannotJudge => true,
            Self::FormatChanged
            | Self::ServerNotAsked
            | Self::DamagePassedOver
            | Self::OutputHeldOpen
            | Self::StageStalled
            | Self::SpoolFull
            | Self::StateNotWritten
            | Self::CacheNotWritten
            | Self::InsecurePermissions => false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

/// The error for a spelling that no code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCode;

/// An observation that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The subject of the finding.
    pub code: Code,
    /// The object: a table as `schema/table`, a file, a statement's place. Globs match this.
    pub object: String,
    /// The problem with the object, in one line that does not repeat its name.
    pub text: String,
    /// The severity, which decides whether the run ends with status 3.
    pub severity: Severity,
}

impl Finding {
    /// Makes a finding of the severity that its code usually has.
    pub fn new(code: Code, object: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code, object: object.into(), text: text.into(), severity: code.severity() }
    }

    /// Returns the same finding with another severity.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Returns it as a snapshot stores it, changed by what was accepted.
    pub fn stored(self, acceptances: &[Acceptance]) -> snapshot::Finding {
        let covered = acceptances.iter().any(|acceptance| acceptance.covers(&self));
        let accepted = covered && self.severity == Severity::Warning;
        let severity = if accepted { Severity::Note } else { self.severity };
        let Self { code, object, text, .. } = self;
        snapshot::Finding { code: code.as_str().to_owned(), object, text, severity, accepted }
    }
}

/// The findings of a run, reported from any thread.
#[derive(Debug, Default)]
pub struct FindingLog(Mutex<Vec<Finding>>);

impl FindingLog {
    /// Adds a finding; one that was reported before is not added again.
    pub fn report(&self, finding: Finding) {
        let mut log = lock(&self.0);
        if log.len() < LOG_MAX && !log.contains(&finding) {
            log.push(finding);
        }
    }

    /// Takes out everything that was reported so far.
    pub fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// `CODE` or `CODE:GLOB`: the findings that a user has accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    code: Code,
    objects: Option<Globs>,
    text: String,
}

impl PartialEq for Acceptance {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Acceptance {}

/// A reason why a text is no acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAcceptance {
    /// There is no such code.
    UnknownCode,
    /// Findings of this code are not accepted, but mended.
    NotAcceptable,
    /// The text after the colon is no glob.
    NoGlob,
}

impl Acceptance {
    /// Returns how it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether it covers a finding: the code is the same, and the object matches.
    pub fn covers(&self, finding: &Finding) -> bool {
        let matches = |globs: &Globs| globs.matches(finding.object.as_bytes());
        self.code == finding.code && self.objects.as_ref().is_none_or(matches)
    }
}

impl FromStr for Acceptance {
    type Err = NoAcceptance;

    fn from_str(text: &str) -> Result<Self, NoAcceptance> {
        let (code, glob) = match text.split_once(':') {
            Some((code, glob)) => (code, Some(glob)),
            None => (text, None),
        };
        let code: Code = code.parse().map_err(|UnknownCode| NoAcceptance::UnknownCode)?;
        if !code.can_be_accepted() {
            return Err(NoAcceptance::NotAcceptable);
        }
        let objects =
            glob.map(|glob| Globs::new(&[glob])).transpose().map_err(|_| NoAcceptance::NoGlob)?;
        Ok(Self { code, objects, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_spelling_of_its_own_and_is_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let spelling = code.as_str();
            assert!(seen.insert(spelling), "{spelling} twice");
            assert_eq!(spelling.parse(), Ok(*code));
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(spelling.chars().all(kebab), "{spelling}");
            for text in [code.meaning(), code.advice()] {
                assert!(text.len() > 30 && text.ends_with('.'), "{spelling}: {text}");
            }
        }
        assert_eq!("".parse::<Code>(), Err(UnknownCode));
    }

    #[test]
    fn what_was_accepted_is_a_note_and_says_so() {
        let accepted: Vec<Acceptance> =
            ["lost-members:shop/*", "foreign-text"].map(|text| text.parse().unwrap()).into();
        let stored =
            |code, object: &str| Finding::new(code, object, "it is gone").stored(&accepted);
        for (code, object, severity) in [
            (Code::LostMembers, "shop/orders", Severity::Note),
            (Code::LostMembers, "bank/orders", Severity::Warning),
            (Code::ForeignText, "line 1", Severity::Note),
            (Code::TrailingStatement, "line 1", Severity::Warning),
        ] {
            let finding = stored(code, object);
            assert_eq!(finding.severity, severity, "{code} {object}");
            assert_eq!(finding.accepted, severity == Severity::Note, "{code} {object}");
        }
        // What is a note anyway needed no acceptance.
        let accepted = ["not-recognised".parse().unwrap()];
        assert!(!Finding::new(Code::NotRecognised, "a", "b").stored(&accepted).accepted);
    }

    #[test]
    fn what_cannot_be_accepted_is_refused() {
        for (text, why) in [
            ("lost", NoAcceptance::UnknownCode),
            ("", NoAcceptance::UnknownCode),
            ("format-changed", NoAcceptance::NotAcceptable),
            ("lost-members:[", NoAcceptance::NoGlob),
        ] {
            assert_eq!(text.parse::<Acceptance>().map(|_| ()), Err(why), "{text}");
        }
    }

    #[test]
    fn a_finding_is_logged_once() {
        let log = FindingLog::default();
        let finding = || Finding::new(Code::CacheNotWritten, "/cache", "it is full");
        (0..3).for_each(|_| log.report(finding()));
        assert_eq!(log.take(), [finding()]);
        assert_eq!(log.take(), []);
    }
}
