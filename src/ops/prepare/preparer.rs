//! How the program is run that prepares.

use std::ffi::OsStr;

/// The program that prepares, and how it is run.
#[derive(Debug, Clone, Copy)]
pub struct Preparer<'p> {
    /// The program, `mariabackup` as a rule.
    pub program: &'p OsStr,
    /// Bytes of memory for it, if not its own choice.
    pub memory: Option<u64>,
    /// Whether it may go on when this program is killed.
    pub tie: Tie,
}

/// The tie between a program and the one that has started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// It may go on, and ends when it is done.
    Loose,
    /// The kernel kills it with this program, for which setpriv is needed.
    Fast,
}
