//! Sends snapshots to another repository, or fetches them.

use std::path::Path;
use std::sync::Arc;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::ops::replicate;
use haulout::ops::replicate::FarSide;
use haulout::ops::replicate::ReplicateOptions;
use haulout::repo::Repository;
use haulout::repo::snapshots::Listing;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::repo::store_error;
use haulout::store::Store;
use haulout::store::local::LocalStore;
use haulout::store::memory::MemoryStore;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::plan::replicate::Direction;
use crate::plan::replicate::Mode;
use crate::plan::replicate::ReplicatePlan;
use crate::plan::replicate::Wanted;
use crate::progress::Activity;
use crate::report::replicate::Planned;
use crate::run::Run;
use crate::run::find;
use crate::run::init::require_vacant;
use crate::run::open_store;

impl Run<'_> {
    /// Does it.
    pub(super) fn replicate(&self, plan: &ReplicatePlan) -> Outcome<Exit> {
        let (near, far) = match plan.direction {
            Direction::To => (self.repository()?, target(&plan.other, plan)?),
            Direction::From => {
                let near = self.open(Arc::new(open_store(&plan.other)?))?;
                (near, target(&self.plan.place, plan)?)
            }
        };
        match replicate::look(&near, &*far)? {
            FarSide::Vacant | FarSide::Same => self.copy(plan, &near, far),
            FarSide::Other => Err(other_keys(&*far)),
        }
    }

    fn copy(&self, plan: &ReplicatePlan, near: &Repository, far: Arc<dyn Store>) -> Outcome<Exit> {
        let (snapshots, unreadable) = self.wanted(near, &plan.wanted)?;
        let options = ReplicateOptions {
            snapshots,
            connections: plan.connections,
            confirmation: plan.confirmation,
        };
        let place = far.location();
        let planned = replicate::plan(near, far, options, &self.monitor)?;
        let told = Planned::new(place, &planned);
        if plan.mode == Mode::Plan {
            self.report.replication_planned(&told)?;
            return Ok(Exit::with(unreadable));
        }
        let (began, progress) = (self.now(), self.progress(Activity::Replicating));
        let report = planned.send(&self.monitor)?;
        drop(progress);
        self.report.replication(&told, &report, self.now().saturating_sub(began))?;
        Ok(Exit::with(unreadable + report.left_out.len() + report.damaged.len()))
    }

    /// The snapshots that are meant, and how many can't be read.
    fn wanted(&self, near: &Repository, wanted: &Wanted) -> Outcome<(Vec<StoredSnapshot>, usize)> {
        let (sources, last) = match wanted {
            Wanted::Named(names) => {
                let found = names.iter().map(|name| find(near, name)).collect::<Outcome<_>>()?;
                return Ok((found, 0));
            }
            Wanted::Newest { sources, last } => (sources, *last),
        };
        let Listing { snapshots, damaged } = replicate::newest(near, sources, last)?;
        for (name, error) in &damaged {
            self.report
                .console
                .warning(format!("snapshot {} can't be sent: {error}", name.id.short()));
        }
        for source in sources {
            if !snapshots.iter().any(|stored| stored.snapshot.about.source == *source) {
                return Err(Failure::usage(
                    format!("there is no snapshot of {source}"),
                    "haulout snapshots lists what there is",
                ));
            }
        }
        Ok((snapshots, damaged.len()))
    }
}

/// The store that snapshots go to; it is made if there is none.
fn target(place: &Path, plan: &ReplicatePlan) -> Outcome<Arc<dyn Store>> {
    let cannot = |e| store_error(format!("cannot make {}", place.display()), e);
    if !place.join("config").exists() {
        require_vacant(place)?;
    }
    if plan.mode == Mode::Plan && !place.exists() {
        // Nothing is made for a plan.
        return Ok(Arc::new(MemoryStore::new()));
    }
    Ok(Arc::new(LocalStore::create(place).map_err(cannot)?))
}

fn other_keys(far: &dyn Store) -> Failure {
    let what = format!("{} has other keys", far.location());
    Failure::from(Error::new(ErrorKind::Occupied, what))
}
