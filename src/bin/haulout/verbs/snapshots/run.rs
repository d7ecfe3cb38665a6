//! Lists the snapshots.

use std::collections::HashMap;

use haulout::repo::snapshots::Described;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::verbs::job::Job;
use crate::verbs::snapshots::args::SnapshotsArguments;

impl Job for SnapshotsArguments {
    fn traits(&self) -> Traits {
        Traits::default()
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.snapshots(self)
    }
}

impl Run<'_> {
    /// Lists the snapshots that are wanted.
    pub(crate) fn snapshots(&self, wanted: &SnapshotsArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let mut listing = repository.descriptions()?;
        let notes = self.notes(&repository, None)?;
        for described in &mut listing.snapshots {
            notes.apply_to(described.id(), &mut described.about);
        }
        choose(wanted, &mut listing.snapshots)?;
        let damage = repository.known_damage()?;
        self.report.snapshots(&listing, &damage)?;
        Ok(Exit::with(listing.damaged.len() + notes.damaged.len()))
    }
}

/// Leaves the snapshots that are wanted.
fn choose(wanted: &SnapshotsArguments, snapshots: &mut Vec<Described>) -> Outcome<()> {
    let SnapshotsArguments { sources, tags, last } = wanted;
    for source in sources {
        if !snapshots.iter().any(|stored| stored.about.source == *source) {
            return Err(Failure::usage(
                format!("there is no snapshot of {source}"),
                "haulout snapshots without --source lists what there is",
            ));
        }
    }
    snapshots.retain(|stored| {
        let about = &stored.about;
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
            let count = counted.entry(stored.about.source.clone()).or_default();
            *count += 1;
            *count <= last
        })
        .collect();
    snapshots.retain(|_| newest.pop().unwrap_or(true));
    Ok(())
}
