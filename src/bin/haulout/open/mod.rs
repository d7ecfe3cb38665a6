//! From the settings that all verbs share to an opened repository that can be trusted.

pub(crate) mod consent;
mod memory;
pub(crate) mod network;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod stores;
pub(crate) mod traits;
pub(crate) mod trust_state;
pub(crate) mod verified_state;
