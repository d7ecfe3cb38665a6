//! Lists the snapshots.

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::run::Run;

impl Run<'_> {
    /// Does it.
    pub(super) fn snapshots(&self) -> Outcome<Exit> {
        let listing = self.repository()?.snapshots()?;
        self.report.snapshots(&listing)?;
        Ok(Exit::with(listing.damaged.len()))
    }
}
