//! What `init` is to do.

use crate::args::init::InitArguments;

/// How a new repository is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRepository {
    /// With a password.
    Encrypted,
    /// Not at all.
    Clear,
}

impl NewRepository {
    /// What was typed.
    pub(crate) fn new(typed: &InitArguments) -> NewRepository {
        if typed.no_encryption { NewRepository::Clear } else { NewRepository::Encrypted }
    }
}
