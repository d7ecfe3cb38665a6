//! The reason why the program could not do what was asked, and a hint for its user.
//!
//! The library's errors say what happened to which object. Here they get a hint: one that fits the
//! moment if the program knows better, else the one of [`hints`](crate::fail::hints).

use std::error::Error as StdError;
use std::io;

use haulout::error::Error;
use haulout::error::ErrorCode;
use haulout::error::ErrorKind;
use haulout::store::error::Diagnosis;
use haulout::store::error::StoreError;

use crate::fail::exit::Exit;
use crate::fail::hints;
use crate::secrets::password::NoPassword;

/// The result of every operation that can fail here.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// An error with its hint.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    hint: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, hint: None }
    }
}

impl Failure {
    /// Creates a failure with a hint of its own.
    pub(crate) fn new(error: Error, hint: impl Into<String>) -> Self {
        Self { error, hint: Some(hint.into()) }
    }

    /// Creates a failure for arguments that make no sense together.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Error::new(ErrorKind::Usage, message), hint)
    }

    /// Returns the failure with another hint.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells whether the failure has a hint of its own.
    pub(crate) fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    /// Tells whether the cause is a limit of the system.
    pub(crate) fn is_about_a_limit(&self) -> bool {
        system_error(&self.error).and_then(hints::hint_of_limit).is_some()
    }

    /// Returns the kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Returns the code of the error.
    pub(crate) fn code(&self) -> ErrorCode {
        self.kind().code()
    }

    /// Returns the message of the error.
    pub(crate) fn message(&self) -> String {
        self.error.to_string()
    }

    /// Returns the messages of its causes, the nearest first.
    pub(crate) fn causes(&self) -> Vec<String> {
        self.error.causes()
    }

    /// Returns message and causes in one line. A run that was stopped gets only that message: what
    /// it was about to do is not the reason.
    pub(crate) fn line(&self) -> String {
        if self.kind() == ErrorKind::Cancelled {
            return Error::cancelled().to_string();
        }
        let mut words = self.message();
        for cause in self.causes() {
            // Of a program's messages only the last one; they have been shown before.
            words.extend([": ", cause.lines().last().unwrap_or_default()]);
        }
        words
    }

    /// Returns the hint about what to do.
    pub(crate) fn hint(&self) -> &str {
        let of_password = || cause::<NoPassword>(&self.error).map(|why| why.hint());
        let of_store = || diagnosis(&self.error).map(hints::hint_of);
        let of_limit = || system_error(&self.error).and_then(hints::hint_of_limit);
        let of_kind = || hints::hint(self.kind());
        // That the store denies it is known; what is special is the object.
        let is_special = self.kind() == ErrorKind::Protected;
        let of_store = || of_store().filter(|_| !is_special);
        let of_cause = || of_limit().or_else(of_store).or_else(of_password);
        self.hint.as_deref().unwrap_or_else(|| of_cause().unwrap_or_else(of_kind))
    }

    /// Returns the hint with the command that explains the code.
    pub(crate) fn hint_with_code(&self) -> String {
        format!("{} (haulout errors {})", self.hint(), self.code())
    }

    /// Returns the exit status that follows from the failure.
    pub(crate) fn exit(&self) -> Exit {
        Exit::after(self.code())
    }
}

/// Returns the nearest cause of a type.
fn cause<T: StdError + 'static>(error: &Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// Returns the number of the system's error that caused this one, if one did.
fn system_error(error: &Error) -> Option<i32> {
    let mut next = error.source();
    while let Some(cause) = next {
        let number = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if number.is_some() {
            return number;
        }
        next = cause.source();
    }
    None
}

/// Returns the diagnosis of an object store, if the error has one.
fn diagnosis(error: &Error) -> Option<Diagnosis> {
    cause::<StoreError>(error).and_then(StoreError::diagnosis)
}

#[cfg(test)]
mod tests {
    use haulout::store::error::Category;
    use haulout::store::error::Verb;

    use super::*;

    #[test]
    fn causes_are_reported_once_each() {
        let cause = io::Error::other(io::Error::other("the disk is on fire"));
        let error = Error::new(ErrorKind::Store, "cannot store packs/ab").because(cause);
        let failure = Failure::from(error);
        assert_eq!(failure.message(), "cannot store packs/ab");
        assert_eq!(failure.causes(), ["the disk is on fire"]);
        assert_eq!(failure.line(), "cannot store packs/ab: the disk is on fire");
        assert_eq!(failure.hint(), hints::hint(ErrorKind::Store));
        assert!(failure.hint_with_code().ends_with(" again (haulout errors store)"));
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn a_run_that_was_stopped_says_only_so() {
        let cause = StoreError::new(Verb::Put, "packs/ab", Category::Stopped);
        let error = Error::new(ErrorKind::Cancelled, "cannot store packs/ab").because(cause);
        assert_eq!(Failure::from(error).line(), "stopped on request");
    }

    #[test]
    fn what_a_store_told_has_the_better_hint() {
        let store = StoreError::new(Verb::Get, "config", Category::Denied);
        let store = store.with_diagnosis(Diagnosis::ClockSkew);
        let error = Error::new(ErrorKind::Store, "cannot read the config").because(store);
        assert_eq!(Failure::from(error).hint(), hints::hint_of(Diagnosis::ClockSkew));
    }

    #[test]
    fn a_limit_of_the_system_is_named_whatever_ran_into_it() {
        for (number, limit) in [(24, "ulimit -n"), (23, "ulimit -n"), (11, "ulimit -u")] {
            for kind in [ErrorKind::Target, ErrorKind::Source, ErrorKind::Store] {
                let cause = io::Error::from_raw_os_error(number);
                let failure = Failure::from(Error::new(kind, "cannot do it").because(cause));
                assert!(failure.hint().contains(limit), "{number}: {}", failure.hint());
            }
        }
    }

    #[test]
    fn a_hint_of_the_moment_goes_first() {
        let failure = Failure::usage("no", "do this");
        assert_eq!(failure.hint(), "do this");
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
