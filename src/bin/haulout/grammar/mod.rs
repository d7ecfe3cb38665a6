//! The command line that all commands have in common: options, the values that they take, and how
//! much of it each help text shows.

pub(crate) mod common;
pub(crate) mod help_texts;
pub(crate) mod limit;
pub(crate) mod synonyms;
pub(crate) mod values;
