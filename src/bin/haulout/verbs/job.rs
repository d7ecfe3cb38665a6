//! A verb that is ready to run.

use std::fmt::Debug;

use crate::fail::exit::Exit;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;

/// A verb with its settings, checked against this machine.
pub(crate) trait Job: Debug {
    /// Returns what the verb declares about itself.
    fn traits(&self) -> Traits;

    /// Calls the library and prints the report.
    fn run(&self, run: &Run<'_>) -> Outcome<Exit>;
}
