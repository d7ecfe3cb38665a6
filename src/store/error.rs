//! The errors of a store: why it did not do something.
//!
//! Each kind of store fails in its own way; what callers act upon is the [`Category`]. The error
//! names the verb and the object, and keeps its cause for a caller that prints the chain.
//!
//! `Display` speaks for this layer only, in lower case. What to do about it is not said here.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::base::error::Error;
use crate::base::error::ErrorKind;

/// The category of a failure, on which callers act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// There is no such object, or no such store.
    NotFound,
    /// The store refuses: rights, a read-only file system, wrong credentials.
    Denied,
    /// No space or quota is left.
    Full,
    /// Another object has this name.
    Conflict,
    /// The object is not what was asked for: too short, too long, not a file.
    Damaged,
    /// It may succeed if repeated.
    Transient,
    /// The user asked to stop.
    Stopped,
    /// The store has no such call.
    Unsupported,
    /// Any other failure of the store.
    Other,
}

impl fmt::Display for Category {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotFound => "not found",
            Self::Denied => "permission denied",
            Self::Full => "no space left in the store",
            Self::Conflict => "another object has this name",
            Self::Damaged => "not what it should be",
            Self::Transient => "the store failed for now",
            Self::Stopped => "stopped on request",
            Self::Unsupported => "not supported by the store",
            Self::Other => "the store failed",
        })
    }
}

/// The call that was made to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Opening or creating the store itself.
    Open,
    /// A call of [`Store::put`](super::Store::put).
    Put,
    /// A call of [`Store::replace`](super::Store::replace).
    Replace,
    /// A call of [`Store::get`](super::Store::get).
    Get,
    /// A call of [`Store::get_range`](super::Store::get_range).
    GetRange,
    /// A call of [`Store::size`](super::Store::size).
    Size,
    /// A call of [`Store::list`](super::Store::list).
    List,
    /// A call of [`Store::delete`](super::Store::delete).
    Delete,
    /// A call of [`Store::extend_lock`](super::Store::extend_lock).
    Lock,
    /// Asking for settings of the store.
    Settings,
    /// Removing what interrupted writers left.
    Sweep,
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Open => "open",
            Self::Put => "put",
            Self::Replace => "replace",
            Self::Get => "get",
            Self::GetRange => "get a part of",
            Self::Size => "get the size of",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Lock => "extend the lock of",
            Self::Settings => "get the settings of",
            Self::Sweep => "sweep",
        })
    }
}

/// The diagnosis of a failure of a store over the network, where its user can do something about
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Diagnosis {
    /// It does not accept the credentials.
    Credentials,
    /// It accepts them, and they may not do this.
    Forbidden,
    /// There is no such bucket.
    NoBucket,
    /// The clocks differ too much for signatures to be accepted.
    ClockSkew,
    /// The bucket is in another region.
    Region,
    /// Something answers that is no object store: a proxy, a login page.
    NotAStore,
    /// The server's certificate is not trusted.
    Certificate,
    /// Nothing answers at the store's address.
    Unreachable,
    /// It would be asked without TLS, which was not allowed.
    PlainHttp,
    /// It answered too late, or asked to be asked later, until the time for retries was over.
    RetriesExhausted,
    /// It does not give parts of objects.
    NoRanges,
    /// It keeps the object until its lock ends.
    Locked,
    /// It knows no locks, or the bucket was made without them.
    NoLocks,
    /// The options make no store: nothing was asked.
    Options,
}

/// A refusal or failure of a store.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<Inner>);

type Cause = Box<dyn StdError + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {object}: {}", reason(*category, *diagnosis))]
struct Inner {
    verb: Verb,
    object: String,
    category: Category,
    diagnosis: Option<Diagnosis>,
    #[source]
    cause: Option<Cause>,
}

impl StoreError {
    /// Makes an error for `verb` on `object` without a deeper cause.
    pub fn new(verb: Verb, object: impl fmt::Display, category: Category) -> Self {
        Self(Box::new(Inner {
            verb,
            object: object.to_string(),
            category,
            diagnosis: None,
            cause: None,
        }))
    }

    /// Keeps `cause` as the reason.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Keeps what an operator can do something about.
    #[must_use]
    pub fn with_diagnosis(mut self, diagnosis: Diagnosis) -> Self {
        self.0.diagnosis = Some(diagnosis);
        self
    }

    /// Returns the error and its causes as one line of text.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            text.extend([": ", &cause.to_string()]);
            next = cause.source();
        }
        text
    }

    /// Returns the trouble, if it is one that an operator can do something about.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.0.diagnosis
    }

    /// Returns the category, which callers act upon.
    pub fn category(&self) -> Category {
        self.0.category
    }

    /// Returns the library's error for this one: `what` names the object and what was to be done.
    pub fn named(self, what: impl Into<String>) -> Error {
        Error::new(self.kind(), what).because(self)
    }

    /// Returns what a caller can do about it. Only who reads an object learns that it is missing or
    /// damaged; for every other call the store itself, or a part of it, is not as it should be.
    fn kind(&self) -> ErrorKind {
        let reads = matches!(self.verb(), Verb::Get | Verb::GetRange | Verb::Size);
        match self.category() {
            Category::NotFound if reads => ErrorKind::Missing,
            Category::Damaged if reads => ErrorKind::Damaged,
            Category::Full => ErrorKind::Full,
            Category::NotFound
            | Category::Damaged
            | Category::Denied
            | Category::Conflict
            | Category::Transient
            | Category::Unsupported
            | Category::Other => ErrorKind::Store,
            Category::Stopped => ErrorKind::Cancelled,
        }
    }

    /// Returns what was asked of the store.
    pub fn verb(&self) -> Verb {
        self.0.verb
    }

    /// Returns the name of the object, the prefix of a listing, or the store.
    pub fn object(&self) -> &str {
        &self.0.object
    }
}

/// Returns the reason in words: the category, unless the trouble says more.
fn reason(category: Category, diagnosis: Option<Diagnosis>) -> String {
    match diagnosis {
        Some(Diagnosis::PlainHttp) => "not without TLS".to_owned(),
        Some(Diagnosis::Certificate) => "the server is not trusted".to_owned(),
        Some(Diagnosis::Locked) => "the object is locked".to_owned(),
        Some(Diagnosis::NoLocks) => "the bucket has no Object Lock".to_owned(),
        _ => category.to_string(),
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StoreError({self}")?;
        if let Some(cause) = &self.0.cause {
            write!(out, "; {cause:?}")?;
        }
        out.write_str(")")
    }
}

/// A fault that a store found itself, not the system beneath it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it has {bytes} bytes, more than the {bytes_max} that are accepted")]
    TooLong { bytes: u64, bytes_max: u64 },
    #[error("it has {bytes} bytes, and bytes up to {end} were asked for")]
    TooShort { bytes: u64, end: u64 },
    #[error("it has {found} bytes, and one of {own} bytes was to be put")]
    OtherSize { found: u64, own: u64 },
    #[error("it has other bytes than those that were to be put")]
    OtherBytes,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("there is a symbolic link inside the store: {0}")]
    SymbolicLink(String),
    #[error("it is not a directory")]
    NotADirectory,
    #[error("a prefix is empty or ends with a slash")]
    NotAPrefix,
    #[error("no store is known for {0}")]
    UnknownScheme(String),
    #[error("not a valid file URL")]
    BadUrl,
    #[error("not a URL like s3://bucket/prefix")]
    BadBucketUrl,
    #[error("a colon before the first slash is no part of a path, and {0}: is no scheme with //")]
    ColonInName(String),
    #[error("a ~ is replaced by the shell only, and was not")]
    HomeInName,
    #[error("an earlier fsync failed, so nothing more is believed to be durable")]
    Distrusted,
    #[error("there was no answer within {0} s")]
    Late(u64),
    #[cfg(any(test, feature = "internals"))]
    #[error("made to fail by a test")]
    Injected,
}

impl Fault {
    pub(super) fn category(&self) -> Category {
        match self {
            Self::OtherSize { .. } | Self::OtherBytes => Category::Conflict,
            Self::TooLong { .. } | Self::TooShort { .. } | Self::NotAFile => Category::Damaged,
            Self::SymbolicLink(_)
            | Self::NotADirectory
            | Self::NotAPrefix
            | Self::UnknownScheme(_)
            | Self::BadUrl
            | Self::BadBucketUrl
            | Self::ColonInName(_)
            | Self::HomeInName
            | Self::Distrusted
            | Self::Late(_) => Category::Other,
            #[cfg(any(test, feature = "internals"))]
            Self::Injected => Category::Other,
        }
    }

    /// Says what it was found at.
    pub(super) fn on(self, verb: Verb, object: impl fmt::Display) -> StoreError {
        StoreError::new(verb, object, self.category()).because(self)
    }
}

/// Tells the category of an error of the operating system.
pub(super) fn category_of(error: &io::Error) -> Category {
    const FULL: [io::ErrorKind; 3] =
        [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    const DAMAGED: [io::ErrorKind; 2] = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData];
    const DENIED: [io::ErrorKind; 2] =
        [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    const TRANSIENT: [io::ErrorKind; 5] = [
        io::ErrorKind::Interrupted,
        io::ErrorKind::TimedOut,
        io::ErrorKind::WouldBlock,
        io::ErrorKind::ResourceBusy,
        io::ErrorKind::StaleNetworkFileHandle,
    ];
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        return Category::NotFound;
    }
    if kind == io::ErrorKind::AlreadyExists {
        return Category::Conflict;
    }
    if DAMAGED.contains(&kind) {
        return Category::Damaged;
    }
    if FULL.contains(&kind) {
        return Category::Full;
    }
    if DENIED.contains(&kind) {
        return Category::Denied;
    }
    if TRANSIENT.contains(&kind) { Category::Transient } else { Category::Other }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;
    use std::io::ErrorKind;

    use crate::base::error;

    use super::*;

    #[test]
    fn a_message_names_verb_and_object_and_leaves_the_cause_to_the_chain() {
        let cause = io::Error::from(ErrorKind::StorageFull);
        let error = StoreError::new(Verb::Put, "packs/ab", category_of(&cause)).because(cause);
        assert_eq!(error.to_string(), "cannot put packs/ab: no space left in the store");
        assert_eq!(error.source().unwrap().to_string(), "no storage space");
        let shown = format!("{error:?}");
        assert!(shown.contains("cannot put packs/ab") && shown.contains("StorageFull"), "{shown}");
        let all = "cannot put packs/ab: no space left in the store: no storage space";
        assert_eq!(error.with_causes(), all);
        let plain = StoreError::new(Verb::Size, "config", Category::NotFound);
        assert_eq!(plain.to_string(), "cannot get the size of config: not found");
        assert!(plain.source().is_none());
    }

    #[test]
    fn a_fault_tells_the_numbers() {
        let error = Fault::TooLong { bytes: 10, bytes_max: 9 }.on(Verb::Get, "config");
        assert_eq!(error.category(), Category::Damaged);
        let cause = error.source().unwrap().to_string();
        assert_eq!(cause, "it has 10 bytes, more than the 9 that are accepted");
    }

    /// Kinds of the library's error for each category: for calls that read an object, and others.
    const KINDS: [(Category, error::ErrorKind, error::ErrorKind); 9] = [
        (Category::NotFound, error::ErrorKind::Missing, error::ErrorKind::Store),
        (Category::Denied, error::ErrorKind::Store, error::ErrorKind::Store),
        (Category::Full, error::ErrorKind::Full, error::ErrorKind::Full),
        (Category::Conflict, error::ErrorKind::Store, error::ErrorKind::Store),
        (Category::Damaged, error::ErrorKind::Damaged, error::ErrorKind::Store),
        (Category::Transient, error::ErrorKind::Store, error::ErrorKind::Store),
        (Category::Stopped, error::ErrorKind::Cancelled, error::ErrorKind::Cancelled),
        (Category::Unsupported, error::ErrorKind::Store, error::ErrorKind::Store),
        (Category::Other, error::ErrorKind::Store, error::ErrorKind::Store),
    ];

    #[test]
    fn each_category_becomes_one_kind_with_the_message_and_the_cause_kept() {
        let reading = [Verb::Get, Verb::GetRange, Verb::Size];
        let others = [Verb::Open, Verb::Put, Verb::Replace, Verb::List, Verb::Delete, Verb::Lock];
        for (category, read, other) in KINDS {
            let verbs = reading.map(|verb| (verb, read));
            for (verb, kind) in verbs.into_iter().chain(others.map(|verb| (verb, other))) {
                let named = StoreError::new(verb, "packs/ab", category).named("cannot do it");
                assert_eq!(named.kind(), kind, "{verb} {category}");
                let cause = format!("cannot {verb} packs/ab: {category}");
                assert_eq!(named.with_causes(), format!("cannot do it: {cause}"));
                assert!(named.source().is_some_and(<dyn Error>::is::<StoreError>));
            }
        }
    }

    #[test]
    fn errors_of_the_system_have_a_category() {
        for (kind, category) in [
            (ErrorKind::NotFound, Category::NotFound),
            (ErrorKind::PermissionDenied, Category::Denied),
            (ErrorKind::ReadOnlyFilesystem, Category::Denied),
            (ErrorKind::StorageFull, Category::Full),
            (ErrorKind::QuotaExceeded, Category::Full),
            (ErrorKind::FileTooLarge, Category::Full),
            (ErrorKind::AlreadyExists, Category::Conflict),
            (ErrorKind::UnexpectedEof, Category::Damaged),
            (ErrorKind::InvalidData, Category::Damaged),
            (ErrorKind::TimedOut, Category::Transient),
            (ErrorKind::StaleNetworkFileHandle, Category::Transient),
            (ErrorKind::Other, Category::Other),
        ] {
            assert_eq!(category_of(&kind.into()), category, "{kind:?}");
        }
        let input_output = io::Error::from(rustix::io::Errno::IO);
        assert_eq!(category_of(&input_output), Category::Other);
    }
}
