//! Passwords, key files and recovery kits: where they come from, and how they are written to files.

pub(crate) mod password;
pub(crate) mod prompt;
pub(crate) mod recovery_kit;
