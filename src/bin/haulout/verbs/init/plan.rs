//! The plan of `init`.

use crate::verbs::init::args::InitArguments;

/// The protection of a new repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRepository {
    /// Encrypted: a password or key file opens it.
    Encrypted,
    /// Not encrypted, readable by anyone with the store.
    Clear,
}

impl NewRepository {
    /// Builds the plan from the parsed arguments.
    pub(crate) fn new(typed: &InitArguments) -> NewRepository {
        if typed.no_encryption { NewRepository::Clear } else { NewRepository::Encrypted }
    }
}
