//! Lists the snapshots.

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::run::Run;

impl Run<'_> {
    /// Does it.
    pub(super) fn snapshots(&self) -> Outcome<Exit> {
        let repository = self.repository()?;
        let mut listing = repository.snapshots()?;
        let unread = self.apply_notes(&repository, None, &mut listing.snapshots)?;
        self.report.snapshots(&listing)?;
        Ok(Exit::with(listing.damaged.len() + unread))
    }
}
