//! `man`: prints the manual pages.

pub(crate) mod args;
