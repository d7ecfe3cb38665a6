//! Failures of sealing as errors of the library.

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::seal::error::SealError;

/// Reports that the keys of a repository can't be used.
pub(super) fn sealing_failed(cause: SealError) -> Error {
    if matches!(cause, SealError::NotEnoughMemory(_)) {
        return not_stretched(cause);
    }
    Error::new(ErrorKind::WrongKey, "the repository's keys can't be used").because(cause)
}

/// Reports that a password could not be tried; it may still be the right one.
pub(super) fn not_stretched(cause: SealError) -> Error {
    Error::new(ErrorKind::Memory, "the password can't be tried").because(cause)
}
