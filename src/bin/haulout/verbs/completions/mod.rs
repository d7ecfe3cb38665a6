//! `completions`: prints a script for completion in a shell.

pub(crate) mod args;
