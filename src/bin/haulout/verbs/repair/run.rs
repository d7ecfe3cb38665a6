//! Repairs a repository, or prints the plan for that.

use std::sync::Arc;

use haulout::error::ErrorKind;
use haulout::ops::repair;
use haulout::ops::repair::RepairPlan;
use haulout::ops::replicate;
use haulout::ops::replicate::FarSide;
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
use crate::secrets::password::OTHER_VARIABLES;
use crate::secrets::password::PasswordSource;
use crate::verbs::job::Job;
use crate::verbs::repair::args::RepairArguments;
use crate::verbs::replicate::network::other;
use crate::verbs::replicate::run::not_there;

/// The other repository, and how it is reached and opened.
#[derive(Debug)]
struct Other {
    place: Location,
    network: NetworkPlan,
    /// The source of its password, if it has other keys.
    password: PasswordSource,
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
        let network = other(network, &typed.other, around);
        let password = PasswordSource::choose(
            typed.other.other_password_file,
            typed.other.other_password_command,
            &OTHER_VARIABLES,
            around.variable,
        );
        let from = typed.from.map(|from| place(Some(from), around)).transpose()?;
        let other = from.map(|place| Other { place, network, password });
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
        let from = job.other.as_ref().map(|other| self.look_at_other(&repository, other));
        let from = from.transpose()?.unwrap_or(OtherSide::Nowhere);
        let (began, progress) = (self.now(), self.progress(Activity::Verifying { passes: 1 }));
        let mut plan = self.plan_repair(&repository, &from)?;
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
        from: &OtherSide,
    ) -> Outcome<RepairPlan<'r>> {
        let (workers, world) = (self.settings.at_once.workers, &self.world);
        Ok(match from {
            OtherSide::Nowhere => repair::plan(repository, workers, world)?,
            OtherSide::Copy(far) => repair::plan_from(repository, far, workers, world)?,
            OtherSide::Streams(far) => {
                let planned = repair::plan(repository, workers, world)?.take_from(far, world);
                planned.map_err(|error| {
                    if error.kind() == ErrorKind::OtherRepository {
                        return Failure::new(error, NO_ORIGIN);
                    }
                    error.into()
                })?
            }
        })
    }

    /// Looks what keys the other repository has, and opens it if it has its own.
    fn look_at_other(&self, repository: &Repository, other: &Other) -> Outcome<OtherSide> {
        let Other { place, network, password } = other;
        let store = self.store_at(&Site { place, network, ..self.site() })?;
        Ok(match replicate::look(repository, &*store)? {
            FarSide::Vacant => return Err(not_there(place)),
            FarSide::Same => OtherSide::Copy(store),
            FarSide::Other => OtherSide::Streams(self.open_other(store, password)?),
        })
    }
}

/// The other repository, from which something may come.
enum OtherSide {
    /// No other repository was named.
    Nowhere,
    /// A copy with the same keys.
    Copy(Arc<dyn Store>),
    /// A repository with keys of its own.
    Streams(Repository),
}

/// The hint for two repositories that have no snapshot in common.
const NO_ORIGIN: &str = "name a copy that replicate made, in either direction; to store the \
                         snapshots of another repository here, run haulout replicate --from";
