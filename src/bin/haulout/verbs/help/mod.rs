//! `help`: prints a chapter of the guide, or the reference of a command.

pub(crate) mod args;
