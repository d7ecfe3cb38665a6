//! `errors`: explains the findings.

pub(crate) mod args;
