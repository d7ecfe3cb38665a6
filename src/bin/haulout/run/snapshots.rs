//! Lists the snapshots.

use std::collections::HashMap;

use haulout::repo::snapshots::StoredSnapshot;

use crate::args::snapshots::SnapshotsArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::run::Run;

impl Run<'_> {
    /// Does it.
    pub(super) fn snapshots(&self, wanted: &SnapshotsArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let mut listing = repository.snapshots()?;
        let unread = self.apply_notes(&repository, None, &mut listing.snapshots)?;
        choose(wanted, &mut listing.snapshots)?;
        self.report.snapshots(&listing)?;
        Ok(Exit::with(listing.damaged.len() + unread))
    }
}

/// Leaves the snapshots that are wanted.
fn choose(wanted: &SnapshotsArguments, snapshots: &mut Vec<StoredSnapshot>) -> Outcome<()> {
    let SnapshotsArguments { sources, tags, last } = wanted;
    for source in sources {
        if !snapshots.iter().any(|stored| stored.snapshot.about.source == *source) {
            return Err(Failure::usage(
                format!("there is no snapshot of {source}"),
                "haulout snapshots without --source lists what there is",
            ));
        }
    }
    snapshots.retain(|stored| {
        let about = &stored.snapshot.about;
        let of_source = sources.is_empty() || sources.contains(&about.source);
        of_source && tags.iter().all(|tag| about.tags.contains(tag))
    });
    let Some(last) = *last else { return Ok(()) };
    // The newest stand last.
    let mut counted: HashMap<String, u32> = HashMap::new();
    let mut newest: Vec<bool> = snapshots
        .iter()
        .rev()
        .map(|stored| {
            let count = counted.entry(stored.snapshot.about.source.clone()).or_default();
            *count += 1;
            *count <= last
        })
        .collect();
    snapshots.retain(|_| newest.pop().unwrap_or(true));
    Ok(())
}
