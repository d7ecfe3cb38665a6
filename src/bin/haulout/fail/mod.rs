//! Why a command could not do what was asked, what its user can do about it, and how the program
//! ends.

pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod hints;
