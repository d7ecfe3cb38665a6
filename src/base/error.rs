//! One error type for the library: a kind to act on, the object it is about, and its cause.
//!
//! There are two grains. Hints and code that handles an error go by its [`ErrorKind`]; operators
//! and their scripts go by its [`ErrorCode`], of which there are few enough to know them.
//!
//! `Display` speaks for one layer: lower case, no full stop, names the object. Hints for people are
//! kept with the program that prints them, keyed by [`ErrorKind`].

pub mod code;

use std::error::Error as StdError;
use std::fmt;

use crate::base::error::code::ErrorCode;

/// Declares the kinds: each has the name by which programs know it, and its code.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $code:ident)*) => {
        /// The finest grain of what a caller can do about an error. The names are part of the
        /// interface.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// All kinds, in the order of their declaration.
            pub const ALL: &[ErrorKind] = &[$(ErrorKind::$kind),*];

            /// Returns the name of the kind.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorKind::$kind => $name,)* }
            }

            /// Returns the code that the kind belongs to.
            pub fn code(self) -> ErrorCode {
                match self { $(ErrorKind::$kind => ErrorCode::$code,)* }
            }
        }
    };
}

kinds! {
    /// The arguments make no sense together, or name nothing.
    Usage "usage" Usage

    /// There is no repository at this place.
    NoRepository "no-repository" Location

    /// A repository has lost its config.
    NoConfig "no-config" Location

    /// There is a repository or other content where none may be.
    Occupied "occupied" Location

    /// A version, feature or codec that this program does not know.
    Unsupported "unsupported" Unsupported

    /// The password or key file opens no key of this repository.
    WrongKey "wrong-key" Key

    /// There is too little memory to stretch a password: whether it is the right one is not known.
    Memory "memory" Machine

    /// A password is needed and none was given.
    NoKey "no-key" Key

    /// A snapshot that was removed, or that does not count because its run was stopped.
    Removed "removed" Usage

    /// An object is not there.
    Missing "missing" Damaged

    /// Stored bytes are not what was stored.
    Damaged "damaged" Damaged

    /// The store refused or failed.
    Store "store" Store

    /// The store has no space left.
    Full "full" Store

    /// The store lets this user put new objects, and replace none.
    Protected "protected" Store

    /// Runs may still be writing to the repository.
    Busy "busy" Store

    /// A prune has stopped the run: what it stored is not relied upon.
    Fenced "fenced" Store

    /// The producer could not be started or read.
    Source "source" Producer

    /// A database server could not be asked, or refused what it was asked for.
    Server "server" Producer

    /// The target of a restore could not be written.
    Target "target" Target

    /// The target of a restore has not room enough; nothing was written.
    NoRoom "no-room" Target

    /// Others can write to the target of a restore.
    Shared "shared" Target

    /// A program that finishes a restore failed.
    Prepare "prepare" Target

    /// A server refused what was loaded into it, or the client that loads it failed.
    Load "load" Target

    /// The increments of a restored backup can't be applied to it.
    Chain "chain" Target

    /// The user asked to stop.
    Cancelled "cancelled" Stopped

    /// The key in use may add backups, and not do this.
    WriteOnly "write-only" Key

    /// It was sealed with a key that had been retired.
    RetiredKey "retired-key" Distrusted

    /// The key in use was not carried over when the keys were rotated.
    RetiredSlot "retired-slot" Key

    /// The store shows an older state than before.
    RolledBack "rolled-back" Distrusted

    /// The store hides a snapshot that was there, or that another one follows.
    Gap "gap" Distrusted

    /// The store shows another repository than before.
    OtherRepository "other-repository" Distrusted

    /// Sealed under the right key, and for another place.
    Misplaced "misplaced" Distrusted

    /// Sealed under another key than the repository's.
    ForeignKey "foreign-key" Distrusted

    /// The store shows something that contradicts what is known from elsewhere.
    Distrusted "distrusted" Distrusted

    /// A computation gave two different results on this machine.
    Miscomputed "miscomputed" Machine

    /// A file with a secret can be read by every user of this host.
    Exposed "exposed" Key

    /// The system did not let the program start a thread.
    Threads "threads" Machine

    /// A part of the program panicked.
    Bug "bug" Internal
}

/// An error of this library.
pub struct Error {
    kind: ErrorKind,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of most operations of this library.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Creates an error without a deeper cause. `message` names the object.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// Keeps `cause` as the reason for this error.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Returns the error of a temporary file that can't be written or read back.
    pub fn temporary_file(cause: std::io::Error) -> Self {
        Self::new(ErrorKind::Store, "cannot use a temporary file in the directory TMPDIR")
            .because(cause)
    }

    /// Returns the kind of the error: what can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the error of a damaged object: `object` names it, `cause` says how.
    pub fn damaged(
        object: impl fmt::Display,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Damaged, format!("{object} is damaged")).because(cause)
    }

    /// Returns the words of its causes, the nearest first. A layer that only passes its cause on is
    /// left out.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut before = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            if words != before {
                causes.push(words.clone());
            }
            before = words;
            next = cause.source();
        }
        causes
    }

    /// Returns the error and its causes in one line.
    pub fn with_causes(&self) -> String {
        let words = std::iter::once(self.to_string()).chain(self.causes());
        words.collect::<Vec<_>>().join(": ")
    }

    /// Returns the error of a run that the user stopped.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "stopped on request")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause:?}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| {
            let cause: &(dyn StdError + 'static) = cause;
            cause
        })
    }
}

/// Bytes that do not follow the format: which structure, and what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Malformed {
    /// The structure, as FORMAT.md calls it.
    pub what: &'static str,
    /// The reason why it is malformed.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: HashSet<&str> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c == '-' || c.is_ascii_lowercase())));
    }

    #[test]
    fn every_code_has_kinds() {
        let used: HashSet<ErrorCode> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(used.len(), ErrorCode::ALL.len());
    }
}
