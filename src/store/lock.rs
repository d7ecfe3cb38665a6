//! Locks of objects: until when a store refuses to delete an object or to replace its bytes, by
//! any user, and what it keeps of deleted ones.
//!
//! A store of this kind is a bucket with Object Lock. Its rule gives every object that is put a
//! lock; [`Store::extend_lock`](super::Store::extend_lock) extends the locks of objects that are
//! needed for longer.

use std::fmt;

/// The strength of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Identities with a right of its own may end it early.
    Governance,
    /// It can't be ended early.
    Compliance,
}

impl LockMode {
    /// Returns the word by which S3 calls the mode.
    pub fn word(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// Returns the mode that S3 calls by a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.word() == word)
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// The wish about the lock of an object. A lock is never shortened, and keeps its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTerm {
    /// Seconds since 1970: a lock that lasts as long stays as it is.
    pub enough: u64,
    /// The end of any other lock from then on, seconds since 1970; not before `enough`.
    pub until: u64,
    /// The mode of the lock that an object gets which has none.
    pub mode: LockMode,
}

/// The result of [`extend_lock`](super::Store::extend_lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    /// The lock lasts long enough as it is.
    Stays,
    /// The lock was extended.
    Extended,
    /// The object had no lock, and has one now.
    New,
}

/// The lock that objects get when they are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRule {
    /// The mode of the lock.
    pub mode: LockMode,
    /// Days from the put of an object to the end of its lock.
    pub days: u64,
}

/// What a store keeps of an object that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// Nothing: its bytes are free.
    #[default]
    Deleted,
    /// A version of it, with all its bytes: the deletion puts a marker that hides it.
    Kept,
    /// This is not known: the store does not say it, or not to this user.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known_by_their_words_only() {
        for mode in [LockMode::Governance, LockMode::Compliance] {
            assert_eq!(LockMode::of_word(&mode.to_string()), Some(mode));
        }
        assert_eq!(LockMode::of_word("governance"), None);
        assert_eq!(LockMode::of_word(""), None);
    }
}
