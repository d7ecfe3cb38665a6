//! Repairs a repository, or prints the plan for that.

use std::sync::Arc;

use haulout::ops::repair;
use haulout::ops::repair::RepairPlan;
use haulout::repo::Repository;
use haulout::store::Store;
use haulout::store::location::Location;

use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::network::NetworkPlan;
use crate::open::run::Run;
use crate::open::settings::place;
use crate::open::stores::Site;
use crate::open::traits::CacheUse;
use crate::open::traits::Traits;
use crate::output::progress::Activity;
use crate::verbs::job::Job;
use crate::verbs::repair::args::RepairArguments;
use crate::verbs::replicate::network::other;

/// The other repository, and how it is reached.
#[derive(Debug)]
struct Other {
    place: Location,
    network: NetworkPlan,
}

/// The settings of a repair.
#[derive(Debug)]
pub(crate) struct RepairJob {
    /// The plan is printed, and nothing is changed.
    only_plans: bool,
    /// Lost blocks are looked for in all other packs.
    searches: bool,
    other: Option<Other>,
}

impl RepairJob {
    /// Builds the settings from the parsed arguments on this host.
    pub(crate) fn new(
        typed: RepairArguments,
        network: &NetworkPlan,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let reached = other(network, &typed.other, around.variables);
        let from = typed.from.map(|from| place(Some(from))).transpose()?;
        let other = from.map(|place| Other { place, network: reached });
        Ok(Self { only_plans: typed.plan, searches: typed.search, other })
    }
}

impl Job for RepairJob {
    fn traits(&self) -> Traits {
        Traits { cache: CacheUse::Refused, ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.repair(self)
    }
}

impl Run<'_> {
    /// Repairs the repository, or prints the plan for that.
    pub(crate) fn repair(&self, job: &RepairJob) -> Outcome<Exit> {
        let repository = self.repository()?;
        let far = job.other.as_ref().map(|other| self.other_store(other)).transpose()?;
        let (began, progress) = (self.now(), self.progress(Activity::Verifying { passes: 1 }));
        let mut plan = self.plan_repair(&repository, far.as_ref())?;
        if job.searches {
            plan = plan.search(&self.world)?;
        }
        drop(progress);
        if job.only_plans {
            let progress = self.progress(Activity::Verifying { passes: 1 });
            let left = plan.left(&self.world)?;
            drop(progress);
            self.report.repair_planned(&plan, &left)?;
            return Ok(Exit::with(plan.lost.len().max(left.findings.len())));
        }
        self.report.before_repair(&plan);
        let progress = self.progress(Activity::Verifying { passes: 1 });
        let report = plan.run(&self.world)?;
        drop(progress);
        self.report.repair(&report, self.now().saturating_sub(began))?;
        let lost = report.lost.len() + report.left.findings.len();
        Ok(Exit::with(report.failed.len() + lost))
    }

    fn plan_repair<'r>(
        &self,
        repository: &'r Repository,
        far: Option<&Arc<dyn Store>>,
    ) -> Outcome<RepairPlan<'r>> {
        let workers = self.settings.at_once.workers;
        let Some(far) = far else { return Ok(repair::plan(repository, workers, &self.world)?) };
        let planned = repair::plan_from(repository, far, workers, &self.world);
        planned.map_err(|error| {
            if error.kind() == haulout::error::ErrorKind::OtherRepository {
                return Failure::new(error, NO_COPY);
            }
            error.into()
        })
    }

    fn other_store(&self, other: &Other) -> Outcome<Arc<dyn Store>> {
        Ok(self.store_at(&Site { place: &other.place, network: &other.network, ..self.site() })?)
    }
}

/// The hint for a place that holds no copy of the repository.
const NO_COPY: &str = "name a copy with the same keys; from a repository with other keys, haulout \
                       replicate --from stores whole snapshots again";
