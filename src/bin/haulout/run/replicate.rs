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
use crate::run::places::Directory;
use crate::run::places::Site;

impl Run<'_> {
    /// Does it.
    pub(super) fn replicate(&self, plan: &ReplicatePlan) -> Outcome<Exit> {
        let (from, to) = self.sites(plan);
        let near = self.open(self.store_at(&from)?)?;
        let far = self.target(&to, plan)?;
        match replicate::look(&near, &*far)? {
            FarSide::Vacant | FarSide::Same => self.copy(plan, &near, far),
            FarSide::Other => Err(other_keys(&*far)),
        }
    }

    /// From where to where. The limit holds between the two: what is read from a directory only to
    /// be sent elsewhere is not held up, and neither is what arrives in one.
    fn sites<'s>(&'s self, plan: &'s ReplicatePlan) -> (Site<'s>, Site<'s>) {
        let other = Site { place: &plan.other, network: &plan.network, ..self.site() };
        let (mut from, mut to) = match plan.direction {
            Direction::To => (self.site(), other),
            Direction::From => (other, self.site()),
        };
        from.directory = Directory::Free;
        if !from.is_directory() {
            to.directory = Directory::Free;
        }
        (from, to)
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
        let now = self.report.clock.week_minute();
        let bytes = planned.cost().bytes;
        let time = self.plan.limit.as_ref().map(|limit| limit.time_for(bytes, now));
        let told = Planned::new(place, &planned, time);
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
    fn target(&self, site: &Site<'_>, plan: &ReplicatePlan) -> Outcome<Arc<dyn Store>> {
        let missing = matches!(site.place, Place::Directory(path) if !path.exists());
        if plan.mode == Mode::Plan && missing {
            // Nothing is made for a plan.
            return Ok(Arc::new(MemoryStore::new()));
        }
        self.new_store_at(site)
    }
}

fn other_keys(far: &dyn Store) -> Failure {
    let what = format!("{} has other keys", far.location());
    Failure::from(Error::new(ErrorKind::Occupied, what))
}
