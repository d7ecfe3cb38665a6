//! The failures of a command, hints for its user, and the exit status of the program.

pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod hints;
