//! Sends snapshots to another repository, or fetches them.

use std::sync::Arc;

use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::ops::replicate;
use haulout::ops::replicate::FarSide;
use haulout::ops::replicate::ReplicateOptions;
use haulout::repo::Repository;
use haulout::repo::snapshots::Listing;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::place::Place;

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

impl Run<'_> {
    /// Does it.
    pub(super) fn replicate(&self, plan: &ReplicatePlan) -> Outcome<Exit> {
        let (near, far) = match plan.direction {
            Direction::To => (self.repository()?, self.target(&plan.other, plan)?),
            Direction::From => {
                let near = self.open(self.store_at(&plan.other)?)?;
                (near, self.target(&self.plan.place, plan)?)
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

    /// The store that snapshots go to; it is made if there is none.
    fn target(&self, place: &Place, plan: &ReplicatePlan) -> Outcome<Arc<dyn Store>> {
        let missing = matches!(place, Place::Directory(path) if !path.exists());
        if plan.mode == Mode::Plan && missing {
            // Nothing is made for a plan.
            return Ok(Arc::new(MemoryStore::new()));
        }
        self.new_store_at(place)
    }
}

fn other_keys(far: &dyn Store) -> Failure {
    let what = format!("{} has other keys", far.location());
    Failure::from(Error::new(ErrorKind::Occupied, what))
}
